/*!
Comparing methods: each is trained and measured on the same images at the same size, with the same
trunk, seed by seed.

Features of the frozen part of the trunk are computed once for all methods. The figures equal those
of training and measuring each model separately.
*/

use std::path::{Path, PathBuf};
use std::time::Instant;

use super::evaluate::evaluate_from;
use super::features::Store;
use super::learn::run_key;
use super::prepared::{Prepared, open_images};
use super::shallow::fit_features;
use super::split_features::{open_trunk, split_features};
use super::{
    Evaluation, Fitted, LearnPlan, Learned, ShallowPlan, Split, TrainError, Trained, Unreadable,
    Watcher, checkpoint_path, learn,
};
use crate::dataset::{Dataset, Layout, Sample};
use crate::device::Device;
use crate::image::Limits;
use crate::method::Method;
use crate::model::Model;
use crate::task::Task;
use crate::trunk::TrunkKind;

/// The settings that all runs of a comparison share.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Setting {
    /// The data set's folder.
    pub data: PathBuf,
    /// The layout; `None` detects it.
    pub layout: Option<Layout>,
    /// The split with the queries.
    pub split: Split,
    /// The share of the classes that each seed excludes from training.
    pub hold_out: Option<f64>,
    /// The seeds of all draws, of the held-out classes, and of the split if the data set has none.
    pub seeds: Vec<u64>,
    /// The trunk.
    pub trunk: TrunkKind,
    /// A trunk file that replaces the shipped weights.
    pub weights: Option<PathBuf>,
    /// Width and height of the trunk's input, in pixels.
    pub size: u32,
    /// The folder for features of the frozen part.
    pub cache: PathBuf,
    /// Limits on the size of images.
    pub limits: Limits,
}

impl Setting {
    /// Compares on the data set in `data`, with its test queries, the shipped trunk at 224² and one
    /// seed. `cache` is the folder for features of the frozen part.
    pub fn new(data: impl Into<PathBuf>, cache: impl Into<PathBuf>) -> Self {
        Self {
            data: data.into(),
            layout: None,
            split: Split::Test,
            hold_out: None,
            seeds: vec![1],
            trunk: TrunkKind::EfficientNetLite0,
            weights: None,
            size: 224,
            cache: cache.into(),
            limits: Limits::default(),
        }
    }

    /// Changes fields.
    pub fn with(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }
}

/// A method with its options. [`Setting`] and the run override the corresponding fields of a
/// network's plan.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Contender {
    /// A method that is fitted to features of the trunk.
    Shallow(&'static Method),
    /// A method that trains a network.
    Network(Box<LearnPlan>),
}

/// The result of one run.
#[derive(Debug)]
#[non_exhaustive]
pub struct Measured {
    /// The figures.
    pub evaluation: Evaluation,
    /// Seconds of fitting or training, without computing features of the frozen part of the trunk.
    pub seconds: f64,
    /// Training images shown to the method, counted each time.
    pub shown: usize,
    /// Number of training images.
    pub images: usize,
    /// Unreadable training images.
    pub unreadable: Vec<Unreadable>,
}

/// The part of a network that training never changes, so that its output can be computed once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Frozen {
    /// Stem and refine; the method adds nothing before the hash.
    All,
    /// The stem.
    Stem,
    /// Nothing.
    None,
}

/// The data of one seed.
#[derive(Debug)]
struct Set {
    seed: u64,
    /// The data set for measurement.
    whole: Dataset,
    /// The data set for training, without held-out classes.
    train: Dataset,
    /// Fingerprint of the data.
    hash: blake3::Hash,
}

/// A comparison, ready to run.
#[derive(Debug)]
pub struct Comparison {
    setting: Setting,
    device: Device,
    sets: Vec<Set>,
    store: Store,
}

impl Comparison {
    /// Opens the data and the trunk.
    ///
    /// # Errors
    /// If the data set, the trunk or the input size is unusable, there are no queries, or the share
    /// of classes cannot be held out.
    pub fn open(setting: Setting, device: &Device) -> Result<Self, TrainError> {
        let sets: Vec<Set> = setting
            .seeds
            .iter()
            .map(|seed| Set::open(&setting, *seed))
            .collect::<Result<_, _>>()?;
        let trunk = open_trunk(setting.trunk, setting.weights.as_deref(), device)?;
        let preprocess = trunk.preprocess(setting.size)?;
        let all = |set: &Set| -> Vec<Sample> {
            // A drawn split uses all images, and another seed assigns them differently.
            match set.whole.split_seed {
                Some(_) => set.whole.samples().cloned().collect(),
                None => {
                    let queries = setting.split.of(&set.whole);
                    set.whole.database().iter().chain(queries).cloned().collect()
                }
            }
        };
        let samples: Vec<Sample> = sets.iter().flat_map(all).collect();
        let (cache, limits) = (&setting.cache, setting.limits);
        let store = Store::new(trunk, preprocess, samples.iter(), cache, limits, device)?;
        Ok(Self { setting, device: device.clone(), sets, store })
    }

    /// Returns the setting of all runs.
    pub fn setting(&self) -> &Setting {
        &self.setting
    }

    /// Returns the device of all runs.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// Returns the data set as split by the first seed, including held-out classes.
    pub fn dataset(&self) -> Option<&Dataset> {
        self.sets.first().map(|set| &set.whole)
    }

    /// Returns the names of the held-out classes for a seed.
    pub fn held_out(&self, seed: u64) -> Vec<String> {
        let set = self.sets.iter().find(|set| set.seed == seed);
        let names = |set: &Set| -> Vec<String> {
            let labels = set.train.held_out.iter();
            labels.filter_map(|label| set.train.classes.get(*label as usize)).cloned().collect()
        };
        set.map(names).unwrap_or_default()
    }

    /// Returns a key of everything that a run's figures depend on, including the program's version
    /// and the device.
    ///
    /// # Errors
    /// As [`LearnPlan::learned`].
    pub fn key(&self, contender: &Contender, bits: usize, seed: u64) -> Result<String, TrainError> {
        let data = self.sets.iter().find(|set| set.seed == seed).map(|set| set.hash);
        let data = data.unwrap_or_else(|| blake3::hash(b""));
        let method = match contender {
            Contender::Shallow(method) => format!("{method} {bits} {seed} {data}"),
            Contender::Network(plan) => {
                let plan = self.network(plan, bits, seed);
                // Figures depend on the division of an update into passes, unlike a checkpoint.
                let LearnPlan { views, least_area, batch, accumulate, .. } = plan;
                format!("{} {views} {least_area} {batch} {accumulate}", run_key(&plan, &data)?)
            }
        };
        let Setting { split, limits, .. } = &self.setting;
        let text = format!(
            "{} {} {} {:?} {} {limits:?} {method}",
            env!("CARGO_PKG_VERSION"),
            self.device,
            self.store.weights(),
            self.store.preprocess(),
            split.name(),
        );
        Ok(blake3::hash(text.as_bytes()).to_hex().to_string())
    }

    /// Computes the output of the frozen part of the trunk that a run needs, so that the run itself
    /// only trains and measures. Does nothing if it exists.
    ///
    /// # Errors
    /// If images, cache or device fail, or the work is stopped.
    pub fn prepare(
        &mut self,
        contender: &Contender,
        bits: usize,
        seed: u64,
        task: &Task<'_>,
    ) -> Result<(), TrainError> {
        self.fill_store(contender, task)?;
        if contender.frozen()? == Frozen::None {
            return Ok(());
        }
        if let (Contender::Network(plan), Some(set)) = (contender, self.set(seed)) {
            let plan = self.network(plan, bits, seed);
            let prepared = Prepared::new(&plan, &self.device)?;
            let source = prepared.source(&plan, &set.train, &self.device);
            open_images(&plan, &set.train, &source, task)?;
        }
        Ok(())
    }

    fn fill_store(&mut self, contender: &Contender, task: &Task<'_>) -> Result<(), TrainError> {
        match contender.frozen()? {
            Frozen::All => self.store.need_features(task),
            Frozen::Stem => self.store.need_maps(task),
            Frozen::None => Ok(()),
        }
    }

    /// Trains `contender` at `bits` with one of the seeds and measures it. The model is written to
    /// `out`; a checkpoint of the same run beside it is resumed.
    ///
    /// # Errors
    /// As [`fit_shallow`](super::fit_shallow), [`learn`] and [`evaluate`](super::evaluate).
    pub fn run(
        &mut self,
        contender: &Contender,
        bits: usize,
        seed: u64,
        out: &Path,
        task: &Task<'_>,
        watcher: &mut dyn Watcher,
    ) -> Result<Measured, TrainError> {
        self.fill_store(contender, task)?;
        let Some(set) = self.set(seed) else { return Err(TrainError::NoSplit("seeded")) };
        let trained = match contender {
            Contender::Shallow(method) => self.fit(set, method, bits, out, task)?,
            Contender::Network(plan) => {
                let plan = self.network(plan, bits, seed);
                let resume = LearnPlan { resume: checkpoint_path(out).exists(), ..plan.clone() };
                let (train, device) = (&set.train, &self.device);
                let learned = match learn(&resume, train, out, device, task, watcher) {
                    // A damaged checkpoint only costs time.
                    Err(TrainError::Resume { .. }) => {
                        learn(&plan, train, out, device, task, watcher)?
                    }
                    learned => learned?,
                };
                let Learned { card, unreadable, time, images } = learned;
                (card.data.images, unreadable, time.as_secs_f64(), images)
            }
        };
        let (images, unreadable, seconds, shown) = trained;
        let model = Model::open(out, &self.device)?;
        let Setting { split, limits, .. } = &self.setting;
        let features = |all: &[Sample]| {
            let known = match contender.frozen()? {
                Frozen::All => self.store.features(all),
                Frozen::Stem => self.store.behind_stem(model.encoder(), all, task)?,
                Frozen::None => None,
            };
            match known {
                Some(known) => Ok(known),
                None => split_features(model.encoder(), "listed", all, limits, task),
            }
        };
        let evaluation = evaluate_from(&model, &set.whole, *split, false, limits, task, &features)?;
        Ok(Measured { evaluation, seconds, shown, images, unreadable })
    }

    /// Fits a method in closed form. Returns training images, unreadable images, seconds and images
    /// shown.
    fn fit(
        &self,
        set: &Set,
        method: &'static Method,
        bits: usize,
        out: &Path,
        task: &Task<'_>,
    ) -> Result<(usize, Vec<Unreadable>, f64, usize), TrainError> {
        let Setting { trunk, weights, size, limits, .. } = self.setting.clone();
        let plan = ShallowPlan {
            seed: set.seed,
            size,
            trunk,
            weights,
            limits,
            ..ShallowPlan::new(method, bits)
        };
        let features = self.store.features(&set.train.train);
        let split = features.ok_or(TrainError::NoSplit("training"))?;
        let trunk = self.store.trunk().clone();
        let begun = Instant::now();
        let fitted = fit_features(&plan, &set.train, (trunk, split), out, &self.device, task)?;
        let Fitted { card, unreadable } = fitted;
        Ok((card.data.images, unreadable, begun.elapsed().as_secs_f64(), card.data.images))
    }

    fn set(&self, seed: u64) -> Option<&Set> {
        self.sets.iter().find(|set| set.seed == seed)
    }

    /// Completes a network's plan for a run.
    fn network(&self, plan: &LearnPlan, bits: usize, seed: u64) -> LearnPlan {
        let Setting { trunk, weights, size, cache, limits, .. } = self.setting.clone();
        LearnPlan { bits, seed, trunk, weights, size, cache, limits, resume: false, ..plan.clone() }
    }
}

impl Contender {
    /// Returns the method.
    pub fn method(&self) -> &'static Method {
        match self {
            Self::Shallow(method) => method,
            Self::Network(plan) => plan.method,
        }
    }

    fn frozen(&self) -> Result<Frozen, TrainError> {
        Ok(match self {
            Self::Shallow(_) => Frozen::All,
            Self::Network(plan) if plan.learns_from_features()? => Frozen::All,
            Self::Network(plan) if plan.trained != Trained::Full => Frozen::Stem,
            Self::Network(_) => Frozen::None,
        })
    }
}

impl Set {
    fn open(setting: &Setting, seed: u64) -> Result<Self, TrainError> {
        let whole = Dataset::open(&setting.data, setting.layout, seed)?;
        if setting.split.of(&whole).is_empty() {
            return Err(TrainError::NoSplit(setting.split.name()));
        }
        let mut train = whole.clone();
        if let Some(share) = setting.hold_out {
            train.hold_out(share, seed)?;
        }
        let hash = fingerprint(&train, setting.split.of(&whole), whole.database());
        Ok(Self { seed, whole, train, hash })
    }
}

/// Computes a fingerprint of images, their labels and their roles.
fn fingerprint(train: &Dataset, queries: &[Sample], database: &[Sample]) -> blake3::Hash {
    let mut hasher = blake3::Hasher::new();
    for class in &train.classes {
        hasher.update(class.as_bytes());
        hasher.update(&[0]);
    }
    for (role, samples) in [(1u8, train.train.as_slice()), (2, queries), (3, database)] {
        for sample in samples {
            let path = sample.path.strip_prefix(&train.root).unwrap_or(&sample.path);
            let size = std::fs::metadata(&sample.path).map_or(0, |meta| meta.len());
            hasher.update(&[role]);
            hasher.update(path.to_string_lossy().as_bytes());
            hasher.update(format!("\0{:?} {size} {:?}\0", sample.record, sample.labels).as_bytes());
        }
    }
    hasher.finalize()
}
