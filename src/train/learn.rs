/*!
Training a network, from the first checks to the model file.

One outer iteration draws a sample of the images, trains on it for a few epochs, and lets the method
update its state for all images: [`Run`].
*/

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use burn::module::Module;
use burn::nn::Linear;

use super::TrainError;
use super::build::build;
use super::checkpoint::Checkpoint;
use super::data_card::data_card;
use super::devices;
use super::images::{Begins, Images};
use super::memory;
use super::plan::{LearnPlan, Length};
use super::prepared::{Prepared, open_images};
use super::run::Run;
use super::split_features::Unreadable;
use super::step::read;
use super::watch::{Outlook, Watcher};
use crate::cause::Cause;
use crate::dataset::Dataset;
use crate::device::Device;
use crate::encoder::{BATCH, EncodeError};
use crate::hash::{Features, Hash, LinearHash};
use crate::method::net::Net;
use crate::method::{Additions, MethodError};
use crate::model::{self, Card};
use crate::network::{Extractor, Layers};
use crate::task::Task;
use crate::trunk::Trunk;

/// Number of timed steps for converting minutes to images; only the last one counts.
const TIMED: usize = 3;
/// Views that a hash is fitted to, at most, unless there are more images. Their features are in
/// memory together.
const ROWS: usize = 100_000;
/// The share of the time that steps take; sweeps, surveys and checkpoints take the rest.
const STEPPING: f64 = 0.95;

/// The result of a training run.
#[derive(Debug)]
#[non_exhaustive]
pub struct Learned {
    /// The card in the written file.
    pub card: Card,
    /// Training images that could not be read.
    pub unreadable: Vec<Unreadable>,
    /// Time spent training, without computing the stem's features.
    pub time: Duration,
    /// Images shown, including those before an interruption.
    pub images: usize,
}

/// Returns the path of the checkpoint of a run that writes `out`.
pub fn checkpoint_path(out: &Path) -> PathBuf {
    let mut name = out.file_name().unwrap_or_default().to_owned();
    name.push(".checkpoint");
    out.with_file_name(name)
}

/// Trains `plan` on the training split and writes the model to `out`.
///
/// Progress counts images shown, after the images whose stem features are computed.
///
/// # Errors
/// If the plan, the images, the weights, the device or the file are unusable, the loss becomes
/// NaN or infinite, memory is too small, or the work is stopped. `out` is unchanged then.
pub fn learn(
    plan: &LearnPlan,
    dataset: &Dataset,
    out: &Path,
    device: &Device,
    task: &Task<'_>,
    watcher: &mut dyn Watcher,
) -> Result<Learned, TrainError> {
    let begun = Instant::now();
    model::check_writable(out)?;
    let memory = check(plan, dataset, device)?;
    let prepared = Prepared::new(plan, device)?;
    let source = prepared.source(plan, dataset, device);
    let path = checkpoint_path(out);
    let key = run_key(plan, &source.key())?;
    let saved = plan.resume.then(|| open_checkpoint(&path, &key)).transpose()?;
    let (images, kept, unreadable) = open_images(plan, dataset, &source, task)?;
    let labels: Vec<Vec<u32>> =
        kept.iter().map(|position| dataset.train[*position].labels.clone()).collect();

    let seconds_per_image = match (&saved, plan.minutes) {
        (None, Some(_)) => Some(pace(plan, &images, &labels, &prepared.trunk, device)?),
        _ => None,
    };
    let length = match &saved {
        Some(saved) => saved.length,
        None => plan.length(labels.len(), budget(plan, seconds_per_image, begun)),
    };
    let Length { outer, epochs, .. } = length;
    watcher.begins(&Outlook { images: length.images(), outer, epochs, memory, seconds_per_image });
    let fresh = build(plan, &prepared.trunk, &labels, &device.burn())?;
    let run = Run::new(plan, &images, &labels, length, &fresh, device)?;
    let (mut run, net) = match saved {
        Some(saved) => {
            let failed = |reason| TrainError::Resume { path: path.clone(), reason };
            run.resume(fresh, saved).map_err(failed)?
        }
        None => (run, fresh),
    };
    let trained = run.train(net, &path, &key, task, &mut |report| watcher.epoch(report));
    let trained = trained.map_err(|error| memory::advise(error, plan))?.valid();
    let time = Duration::from_secs_f64(run.at.seconds);

    let finished = Finished::new(plan, &prepared.trunk, trained)?;
    let hash = finished.hash(&run, plan, &images, &labels, device, task)?;
    let figures = [("images_shown", run.at.shown as f64), ("outer", length.outer as f64)];
    let card = Card {
        figures: figures.map(|(name, value)| (name.to_owned(), value)).into_iter().collect(),
        learned: run.learned()?,
        ..card(plan, &prepared, dataset, &kept, &hash)?
    };
    model::write(out, &card, finished.extractor, &hash)?;
    // The model is written, so the checkpoint is no longer needed; failing to remove it does no
    // harm.
    let _ = std::fs::remove_file(&path);
    Ok(Learned { card, unreadable, time, images: run.at.shown })
}

/// Checks everything that does not require reading images. Returns the memory for training, in
/// bytes.
fn check(plan: &LearnPlan, dataset: &Dataset, device: &Device) -> Result<u64, TrainError> {
    plan.check()?;
    if plan.method.needs_labels && dataset.classes.len() < 2 {
        return Err(MethodError::Classes(dataset.classes.len()).into());
    }
    devices::check(plan, device)?;
    let additions = plan.additions()?;
    for device in std::iter::once(device).chain(&plan.beside) {
        memory::check(memory::estimate(plan, additions, device), plan, device)?;
    }
    Ok(memory::estimate(plan, additions, device))
}

/// Returns the maximum number of images to show, if the plan limits them or the minutes since
/// `begun`.
fn budget(plan: &LearnPlan, seconds_per_image: Option<f64>, begun: Instant) -> Option<usize> {
    let (Some(minutes), Some(pace)) = (plan.minutes, seconds_per_image) else {
        return plan.images;
    };
    let left = minutes * 60.0 - begun.elapsed().as_secs_f64();
    let shown = (left.max(0.0) * STEPPING / pace) as usize;
    Some(plan.images.map_or(shown, |images| images.min(shown)))
}

/// A trained network in the form that models store.
struct Finished {
    extractor: Extractor,
    /// The hash from training.
    linear: Linear,
}

impl Finished {
    /// Completes a trained network with the layers of `trunk` that were not trained.
    fn new(plan: &LearnPlan, trunk: &Trunk, net: Net) -> Result<Self, TrainError> {
        let Net { stem, refine, parts, saliency, projections, linear, .. } = net;
        let stem = stem.unwrap_or_else(|| trunk.stem.clone());
        let original = plan.additions()?.layers.original.then(|| trunk.refine.clone());
        let extractor = Extractor { stem, refine, parts, saliency, original, projections };
        Ok(Self { extractor, linear })
    }

    /// Returns the hash of the model: fitted again if the method does so, otherwise the trained
    /// one.
    fn hash(
        &self,
        run: &Run<'_>,
        plan: &LearnPlan,
        images: &Images<'_>,
        labels: &[Vec<u32>],
        device: &Device,
        task: &Task<'_>,
    ) -> Result<Hash, TrainError> {
        if run.learner().refits() {
            let views = plan.views.min(ROWS / labels.len().max(1)).max(1);
            let values = features_of(&self.extractor, plan, images, views, device, task)?;
            let labels: Vec<Vec<u32>> = (0..views).flat_map(|_| labels.iter().cloned()).collect();
            let dim = values.len() / labels.len().max(1);
            let refitted = run.learner().refit(Features { dim, values: &values }, &labels)?;
            if let Some(hash) = refitted {
                return Ok(hash);
            }
        }
        let linear = hash_of(&self.linear, device)?;
        Ok(run.learner().hash(linear).map_err(model::ModelError::from)?)
    }
}

/// Returns the card of a model without the figures of the finished run.
fn card(
    plan: &LearnPlan,
    prepared: &Prepared,
    dataset: &Dataset,
    kept: &[usize],
    hash: &Hash,
) -> Result<Card, TrainError> {
    let Additions { layers, .. } = plan.additions()?;
    let Layers { parts, attention, saliency, original, projections, .. } = layers;
    Ok(Card {
        format: model::FORMAT,
        program: env!("CARGO_PKG_VERSION").to_owned(),
        method: plan.method.name.to_owned(),
        bits: plan.bits,
        trunk: plan.trunk,
        parts,
        attention,
        saliency,
        original,
        projections,
        anchors: None,
        plain: 0,
        codebooks: None,
        values: None,
        unit: false,
        preprocess: prepared.preprocess.clone(),
        classes: dataset.classes.clone(),
        data: data_card(dataset, kept),
        seed: plan.seed,
        figures: BTreeMap::new(),
        licence: format!("trunk: {}; the rest: as its training data", prepared.trunk.licence()),
        shared_trunk: None,
        learned: None,
    }
    .with_hash(hash))
}

/// Returns the features of some views of all training images by a finished network, view by view:
/// `[views · images, F]`. The first view is the one of evaluation.
fn features_of(
    network: &Extractor,
    plan: &LearnPlan,
    images: &Images<'_>,
    views: usize,
    device: &Device,
    task: &Task<'_>,
) -> Result<Vec<f32>, TrainError> {
    let (network, count) = (network.clone().fold(), images.len());
    let numbers: Vec<usize> = (0..count).collect();
    let mut all = Vec::new();
    for (view, some) in (0..views).flat_map(|view| numbers.chunks(BATCH).map(move |c| (view, c))) {
        task.step(view * count + some[0], views * count).map_err(EncodeError::from)?;
        let input = images.tensor(images.view(plan, some, view)?, some.len(), &device.burn());
        let features = match images.begins() {
            Begins::Pixels => network.features(input),
            Begins::Maps => network.features_of_map(input),
            Begins::Features => input.flatten(1, 3),
        };
        all.extend(read(device, features)?);
    }
    Ok(all)
}

/// Measures seconds per image with a few steps of a network that is then discarded.
fn pace(
    plan: &LearnPlan,
    images: &Images<'_>,
    labels: &[Vec<u32>],
    trunk: &Trunk,
    device: &Device,
) -> Result<f64, TrainError> {
    let length = plan.length(labels.len(), None);
    let net = build(plan, trunk, labels, &device.burn())?;
    let mut run = Run::new(plan, images, labels, length, &net, device)?;
    let (seconds, _) = run.pace(net, TIMED).map_err(|error| memory::advise(error, plan))?;
    Ok(seconds)
}

fn open_checkpoint(path: &Path, key: &str) -> Result<Checkpoint, TrainError> {
    let failed = |reason: Cause| TrainError::Resume { path: path.to_owned(), reason };
    let saved = Checkpoint::load(path).map_err(|error| failed(error.into()))?;
    if saved.run != key {
        return Err(failed("it was created with other options or data".into()));
    }
    Ok(saved)
}

/// Returns a key of everything that affects a run's results and can differ between calls.
///
/// The division of an update into passes is not included: a run that ran out of memory may resume
/// with smaller passes.
pub(super) fn run_key(plan: &LearnPlan, data: &blake3::Hash) -> Result<String, TrainError> {
    let options = plan.learned()?;
    let LearnPlan { method, bits, seed, init, outer, epochs, sample, .. } = plan;
    let LearnPlan { optimiser, schedule, rate, pretrained, weight_decay, .. } = plan;
    let LearnPlan { trained, images, minutes, .. } = plan;
    let update = plan.batch * plan.accumulate;
    let text = format!(
        "{data} {method} {options:?} {bits} {seed} {init:?} {outer} {epochs} {sample:?} {update} \
         {optimiser:?} {schedule:?} {rate} {pretrained} {weight_decay} {trained:?} {images:?} \
         {minutes:?}"
    );
    Ok(blake3::hash(text.as_bytes()).to_hex().to_string())
}

/// Converts the linear layer to a hash.
fn hash_of(linear: &Linear, device: &Device) -> Result<LinearHash, TrainError> {
    let [features, _] = linear.weight.dims();
    let hash = LinearHash::new(vec![0.0; features], read(device, linear.weight.val())?);
    let hash = hash.map_err(model::ModelError::from)?;
    let Some(bias) = &linear.bias else { return Ok(hash) };
    Ok(hash.with_bias(read(device, bias.val())?).map_err(model::ModelError::from)?)
}
