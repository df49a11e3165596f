/*!
Training a network by the asymmetric skeleton: ADSH, and ExchNet on top of it.

One outer iteration draws a sample of the images, trains on it for a few epochs against
the learned codes of all images, and then sweeps those codes once in closed form.
*/

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use burn::module::Module;
use burn::nn::Linear;
use serde::Serialize;

use super::cache::{Precision, Source, Views};
use super::checkpoint::Checkpoint;
use super::devices;
use super::images::{Begins, Images};
use super::memory;
use super::net::{Net, read};
use super::plan::{LearnMethod, LearnPlan, Trained};
use super::run::Run;
use super::{TrainError, Unreadable, data_card, open_trunk};
use crate::dataset::Dataset;
use crate::device::Device;
use crate::encoder::{BATCH, EncodeError};
use crate::hash::{Codebooks, Features, Hash, HashError, LinearHash, Quantizer};
use crate::image::Preprocess;
use crate::method::MethodError;
use crate::model::{self, Card};
use crate::network::Extractor;
use crate::task::Task;
use crate::trunk::{Refine, Stem, Trunk, weights};

/// Steps that are timed to turn minutes into images; the last one counts.
const TIMED: usize = 3;
/// The share of the time that steps get: sweeps, anchors and checkpoints take the rest.
const STEPPING: f64 = 0.95;

/// What one epoch gave: a line of the log.
#[derive(Debug, Clone, Serialize)]
pub struct EpochReport {
    /// Outer iteration, from 1.
    pub outer: usize,
    /// Outer iterations of the whole run.
    pub of: usize,
    /// Epoch within it, from 1.
    pub epoch: usize,
    /// Mean loss.
    pub loss: f32,
    /// Images shown since the start.
    pub images: usize,
    /// Seconds since training began, the cache not included.
    pub seconds: f64,
    /// Learning rate of new layers at the end.
    pub rate: f64,
    /// Whether parts were exchanged.
    pub exchange: bool,
}

/// What is known before the first step.
#[derive(Debug, Clone, PartialEq)]
pub struct Outlook {
    /// Images that will be shown.
    pub images: usize,
    /// Outer iterations.
    pub outer: usize,
    /// Epochs in each.
    pub epochs: usize,
    /// About how much memory training takes, in bytes.
    pub memory: u64,
    /// Seconds per image of the steps that were timed, where minutes were asked for.
    pub seconds_per_image: Option<f64>,
}

/// What watches a training: it is told what will be done, and every epoch. A closure is
/// told the epochs.
pub trait Watcher {
    /// Before the first step.
    fn begins(&mut self, _: &Outlook) {}
    /// After each epoch.
    fn epoch(&mut self, report: &EpochReport);
}

impl<F: FnMut(&EpochReport)> Watcher for F {
    fn epoch(&mut self, report: &EpochReport) {
        self(report);
    }
}

/// What was trained and written.
#[derive(Debug)]
pub struct Learned {
    /// The card in the written file.
    pub card: Card,
    /// Training images that could not be read.
    pub unreadable: Vec<Unreadable>,
    /// Time spent training, the stem's features not included.
    pub time: Duration,
    /// Images shown, before an interruption too.
    pub images: usize,
}

/// Where a run that writes `out` keeps its checkpoint.
pub fn checkpoint_path(out: &Path) -> PathBuf {
    let mut name = out.file_name().unwrap_or_default().to_owned();
    name.push(".checkpoint");
    out.with_file_name(name)
}

/// Trains `plan` on the training split and writes the model to `out`.
///
/// Progress counts images shown, after those whose stem's features are computed.
///
/// # Errors
/// When the images, the weights, the device or the file make trouble, the loss is no
/// number any more, memory will not do, or the work is stopped; `out` is as before then.
pub fn learn(
    plan: &LearnPlan,
    dataset: &Dataset,
    out: &Path,
    device: &Device,
    task: &Task<'_>,
    watcher: &mut dyn Watcher,
) -> Result<Learned, TrainError> {
    let begun = Instant::now();
    plan.check_bits(plan.bits)?;
    model::check_writable(out)?;
    if dataset.classes.len() < 2 {
        return Err(MethodError::Classes(dataset.classes.len()).into());
    }
    devices::check(plan, device)?;
    let needed = memory::estimate(plan, device);
    memory::check(needed, plan, device)?;
    for device in &plan.beside {
        memory::check(memory::estimate(plan, device), plan, device)?;
    }
    let prepared = Prepared::new(plan, device)?;
    let source = prepared.source(plan, dataset, device);
    let path = checkpoint_path(out);
    let key = run_key(plan, &source.key());
    let saved = plan.resume.then(|| open_checkpoint(&path, &key)).transpose()?;
    let (images, kept, unreadable) = open_images(plan, dataset, &source, task)?;
    let labels: Vec<Vec<u32>> =
        kept.iter().map(|position| dataset.train[*position].labels.clone()).collect();

    let (length, seconds_per_image) = match (&saved, plan.minutes) {
        (Some(saved), _) => (saved.length, None),
        (None, None) => (plan.length(labels.len(), plan.images), None),
        (None, Some(minutes)) => {
            let pace = pace(plan, &images, &labels, &prepared.trunk, device)?;
            let left = minutes * 60.0 - begun.elapsed().as_secs_f64();
            let shown = (left.max(0.0) * STEPPING / pace) as usize;
            let budget = plan.images.map_or(shown, |images| images.min(shown));
            (plan.length(labels.len(), Some(budget)), Some(pace))
        }
    };
    watcher.begins(&Outlook {
        images: length.images(),
        outer: length.outer,
        epochs: length.epochs,
        memory: needed,
        seconds_per_image,
    });
    let net = Net::new(plan, &prepared.trunk, &device.burn())?;
    let mut run = Run::new(plan, &images, &labels, length, &net, device)?;
    let mut net = net;
    if let Some(saved) = saved {
        let failed = |reason| TrainError::Resume { path: path.clone(), reason };
        (run, net) = run.resume(net, saved).map_err(failed)?;
    }
    let trained = run.train(net, &path, &key, task, &mut |report| watcher.epoch(report));
    let net = trained.map_err(|error| memory::advise(error, plan))?.valid();
    let time = Duration::from_secs_f64(run.at.seconds);

    let original = match plan.keeps_original() {
        true => Some(prepared.trunk.refine.clone()),
        false => None,
    };
    let stem = net.stem.unwrap_or_else(|| prepared.trunk.stem.clone());
    let saliency = net.saliency;
    let extractor = Extractor { stem, refine: net.refine, parts: net.parts, saliency, original };
    let refitted = match run.learner().refits() {
        true => {
            let values = features_of(&extractor, plan, &images, device, task)?;
            let dim = values.len() / labels.len().max(1);
            run.learner().refit(Features { dim, values: &values }, &labels)?
        }
        false => None,
    };
    let hash = match refitted {
        Some(hash) => Hash::from(hash),
        None => trained_hash(plan, hash_of(&net.linear, device)?, run.codebooks())?,
    };
    let figures = [("images_shown", run.at.shown as f64), ("outer", length.outer as f64)];
    let card = Card {
        format: model::format_of(&hash, plan.saliency().is_some() || plan.keeps_original()),
        program: env!("CARGO_PKG_VERSION").to_owned(),
        method: plan.method.name().to_owned(),
        bits: plan.bits,
        trunk: plan.trunk,
        parts: plan.method.parts(),
        saliency: plan.saliency(),
        original: plan.keeps_original(),
        anchors: None,
        codebooks: hash.codebooks().map(Codebooks::count),
        preprocess: prepared.preprocess.clone(),
        classes: dataset.classes.clone(),
        data: data_card(dataset, &kept),
        seed: plan.seed,
        figures: figures.map(|(name, value)| (name.to_owned(), value)).into_iter().collect(),
        licence: format!("trunk: {}; the rest: as its training data", plan.trunk.licence()),
        shared_trunk: None,
        learned: run.learned()?,
    };
    model::write(out, &card, extractor, &hash)?;
    // The model is there: nothing is left to go on with. A checkpoint that stays is no harm.
    let _ = std::fs::remove_file(&path);
    Ok(Learned { card, unreadable, time, images: run.at.shown })
}

/// What the training images pass through before they are learned from.
pub(super) struct Prepared {
    /// The pretrained trunk.
    pub trunk: Trunk,
    /// Its stem, norms folded.
    stem: Stem,
    /// Its refine part, where it is never run again.
    refine: Option<Refine>,
    weights: blake3::Hash,
    preprocess: Preprocess,
    views: Views,
}

impl Prepared {
    /// Opens the plan's trunk.
    ///
    /// # Errors
    /// When the weights or the input size are unusable.
    pub fn new(plan: &LearnPlan, device: &Device) -> Result<Self, TrainError> {
        let preprocess = plan.trunk.preprocess(plan.size)?;
        let trunk = open_trunk(plan.trunk, plan.weights.as_deref(), device)?;
        Ok(Self {
            stem: trunk.stem.clone().fold(),
            refine: plan.learns_from_features().then(|| trunk.refine.clone().fold()),
            weights: weights::fingerprint(&trunk)?,
            trunk,
            preprocess,
            views: Views { count: plan.views, seed: plan.seed, least_area: plan.least_area },
        })
    }

    /// Where the images of a data set come from.
    pub fn source<'a>(
        &'a self,
        plan: &'a LearnPlan,
        dataset: &'a Dataset,
        device: &'a Device,
    ) -> Source<'a> {
        Source {
            trunk: self.trunk.kind(),
            stem: &self.stem,
            refine: self.refine.as_ref(),
            weights: self.weights,
            preprocess: &self.preprocess,
            views: &self.views,
            precision: Precision::Half,
            samples: &dataset.train,
            limits: &plan.limits,
            device,
        }
    }
}

/// What a finished network makes of all training images, as they are when it is used:
/// `[images, F]`.
fn features_of(
    network: &Extractor,
    plan: &LearnPlan,
    images: &Images<'_>,
    device: &Device,
    task: &Task<'_>,
) -> Result<Vec<f32>, TrainError> {
    let (network, count) = (network.clone().fold(), images.len());
    let numbers: Vec<usize> = (0..count).collect();
    let mut all = Vec::new();
    for some in numbers.chunks(BATCH) {
        task.step(some[0], count).map_err(EncodeError::from)?;
        let input = images.tensor(images.plain(plan, some)?, some.len(), &device.burn());
        let features = match images.begins() {
            Begins::Pixels => network.features(input),
            Begins::Maps => network.features_of_map(input),
            Begins::Features => input.flatten(1, 3),
        };
        all.extend(read(device, features)?);
    }
    Ok(all)
}

/// The images as the plan takes them, their positions in the training split, and those
/// that cannot be read.
pub(super) fn open_images<'a>(
    plan: &LearnPlan,
    dataset: &'a Dataset,
    source: &'a Source<'_>,
    task: &Task<'_>,
) -> Result<(Images<'a>, Vec<usize>, Vec<Unreadable>), TrainError> {
    if plan.trained != Trained::Full {
        let (cache, unreadable) = source.open(&plan.cache, task)?;
        let kept = cache.kept.clone();
        return Ok((Images::Cached(cache), kept, unreadable));
    }
    let (kept, unreadable) = source.readable()?;
    let samples = kept.iter().map(|position| &dataset.train[*position]).collect();
    Ok((Images::Files { samples, preprocess: source.preprocess }, kept, unreadable))
}

/// Seconds per image, from a few steps of a network that is thrown away.
fn pace(
    plan: &LearnPlan,
    images: &Images<'_>,
    labels: &[Vec<u32>],
    trunk: &Trunk,
    device: &Device,
) -> Result<f64, TrainError> {
    let length = plan.length(labels.len(), None);
    let net = Net::new(plan, trunk, &device.burn())?;
    let mut run = Run::new(plan, images, labels, length, &net, device)?;
    let (seconds, _) = run.pace(net, TIMED).map_err(|error| memory::advise(error, plan))?;
    Ok(seconds)
}

fn open_checkpoint(path: &Path, key: &str) -> Result<Checkpoint, TrainError> {
    let failed = |reason: String| TrainError::Resume { path: path.to_owned(), reason };
    let saved = Checkpoint::load(path).map_err(|error| failed(error.to_string()))?;
    match saved.run == key {
        true => Ok(saved),
        false => Err(failed("it was made with other options or data".to_owned())),
    }
}

/// Everything that a run's results depend on, as far as it can differ between calls.
///
/// Not how an update is divided into passes: who runs out of memory may go on with
/// smaller ones.
pub(super) fn run_key(plan: &LearnPlan, data: &blake3::Hash) -> String {
    let LearnPlan { method, bits, seed, init, outer, epochs, sample, .. } = plan;
    let LearnPlan { optimiser, schedule, rate, pretrained, weight_decay, .. } = plan;
    let LearnPlan { trained, images, minutes, .. } = plan;
    let update = plan.batch * plan.accumulate;
    let text = format!(
        "{data} {method:?} {bits} {seed} {init:?} {outer} {epochs} {sample:?} {update} \
         {optimiser:?} {schedule:?} {rate} {pretrained} {weight_decay} {trained:?} {images:?} \
         {minutes:?}"
    );
    blake3::hash(text.as_bytes()).to_hex().to_string()
}

/// The hash of a finished network: its linear layer, with the method's codebooks if it has
/// some.
fn trained_hash(
    plan: &LearnPlan,
    linear: LinearHash,
    codebooks: Option<&Codebooks>,
) -> Result<Hash, TrainError> {
    let hash = match (plan.method, codebooks) {
        (_, Some(codebooks)) => Quantizer::new(linear, codebooks.clone()).map(Hash::from),
        // Values that no words could be found for.
        (LearnMethod::Dtq(_), None) => Err(HashError::NotFinite),
        (_, None) => Ok(linear.into()),
    };
    Ok(hash.map_err(model::ModelError::from)?)
}

/// The linear layer as a hash.
fn hash_of(linear: &Linear, device: &Device) -> Result<LinearHash, TrainError> {
    let [features, _] = linear.weight.dims();
    let hash = LinearHash::new(vec![0.0; features], read(device, linear.weight.val())?);
    let hash = hash.map_err(model::ModelError::from)?;
    let Some(bias) = &linear.bias else { return Ok(hash) };
    Ok(hash.with_bias(read(device, bias.val())?).map_err(model::ModelError::from)?)
}
