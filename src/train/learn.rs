/*!
Training a network by the asymmetric skeleton: ADSH, and ExchNet on top of it.

One outer iteration draws a sample of the images, trains on it for a few epochs against
the learned codes of all images, and then sweeps those codes once in closed form.
*/

use std::path::{Path, PathBuf};
use std::time::Duration;

use burn::module::{Module, Param};
use burn::nn::{Linear, LinearConfig};
use burn::tensor::{Tensor, TensorData};
use serde::Serialize;

use super::cache::{Source, StemCache, Views};
use super::checkpoint::Checkpoint;
use super::draw::new_weights;
use super::run::{Net, Run};
use super::{TrainError, Unreadable, data_card};
use crate::dataset::Dataset;
use crate::device::Device;
use crate::image::Limits;
use crate::method::LinearHash;
use crate::method::exchnet;
use crate::method::parts::{Extractor, Parts};
use crate::model::{self, Card};
use crate::task::Task;
use crate::trunk::efficientnet_lite::POOLED;
use crate::trunk::{TrunkKind, weights};

/// A method that trains a network.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum LearnMethod {
    /// Asymmetric deep supervised hashing.
    Adsh,
    /// ExchNet with its options.
    ExchNet(exchnet::Options),
}

impl LearnMethod {
    /// The name on the command line.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Adsh => "adsh",
            Self::ExchNet(_) => "exchnet",
        }
    }

    /// Weight of the pull of a sampled image's code to its learned code.
    pub(super) fn gamma(&self) -> f32 {
        match self {
            Self::Adsh => 200.0,
            Self::ExchNet(_) => 0.0,
        }
    }

    pub(super) fn parts(&self) -> usize {
        match self {
            Self::Adsh => 0,
            Self::ExchNet(options) => options.parts,
        }
    }
}

/// What the learned codes are at first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Init {
    /// Random signs for each image, as published.
    Random,
    /// One random code for each class.
    Class,
}

/// Which part of the network is trained; the stem never is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trained {
    /// The refine part, and what a method adds.
    Refine,
    /// Only what a method adds: the hash, and for ExchNet the attention.
    Head,
}

/// What to train and how.
#[derive(Debug, Clone)]
pub struct LearnPlan {
    /// The method.
    pub method: LearnMethod,
    /// Bits per code.
    pub bits: usize,
    /// Seed of every draw.
    pub seed: u64,
    /// Width and height of the trunk's input, in pixels.
    pub size: u32,
    /// Cached views of each image.
    pub views: usize,
    /// The least share of an image that a view shows.
    pub least_area: f32,
    /// Which part is trained.
    pub trained: Trained,
    /// First learned codes.
    pub init: Init,
    /// Outer iterations.
    pub outer: usize,
    /// Epochs over the sample in each.
    pub epochs: usize,
    /// Images in a sample; all of them if there are fewer.
    pub sample: Option<usize>,
    /// Images per step.
    pub batch: usize,
    /// Learning rate of new layers at the start; half of it for the pretrained ones.
    pub rate: f64,
    /// AdamW's weight decay.
    pub weight_decay: f32,
    /// Stop after about this many images were shown: the schedule is shortened as a whole.
    pub images: Option<usize>,
    /// A trunk file instead of the shipped weights.
    pub weights: Option<PathBuf>,
    /// Where the stem's features are kept.
    pub cache: PathBuf,
    /// Which images are refused.
    pub limits: Limits,
    /// Go on from the checkpoint of a run that was stopped.
    pub resume: bool,
}

/// What one epoch gave: a line of the log.
#[derive(Debug, Clone, Serialize)]
pub struct EpochReport {
    /// Outer iteration, from 1.
    pub outer: usize,
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

/// What was trained and written.
#[derive(Debug)]
pub struct Learned {
    /// The card in the written file.
    pub card: Card,
    /// Training images that could not be read.
    pub unreadable: Vec<Unreadable>,
    /// Time spent training, the stem's features not included.
    pub time: Duration,
}

/// Where a run that writes `out` keeps its checkpoint.
pub fn checkpoint_path(out: &Path) -> PathBuf {
    let mut name = out.file_name().unwrap_or_default().to_owned();
    name.push(".checkpoint");
    out.with_file_name(name)
}

/// Trains `plan` on the training split and writes the model to `out`.
///
/// `report` gets every epoch; progress counts images shown.
///
/// # Errors
/// When the images, the weights, the device or the file make trouble, the loss is no
/// number any more, or the work is stopped; `out` is as before then.
pub fn learn(
    plan: &LearnPlan,
    dataset: &Dataset,
    out: &Path,
    device: &Device,
    task: &Task<'_>,
    report: &mut dyn FnMut(&EpochReport),
) -> Result<Learned, TrainError> {
    model::check_writable(out)?;
    let kind = TrunkKind::EfficientNetLite0;
    let preprocess = kind.preprocess(plan.size)?;
    let burn = device.burn();
    let trunk = match &plan.weights {
        Some(path) => weights::load(path, &burn)?,
        None => weights::shipped(&burn)?,
    };
    let trunk = weights::rounded(trunk, &burn)?;
    let views = Views { count: plan.views, seed: plan.seed, least_area: plan.least_area };
    let source = Source {
        stem: &trunk.stem.clone().fold(),
        weights: weights::fingerprint(&trunk)?,
        preprocess: &preprocess,
        views: &views,
        samples: &dataset.train,
        limits: &plan.limits,
        device,
    };
    let (cache, unreadable) = source.open(&plan.cache, task)?;
    let labels: Vec<Vec<u32>> =
        cache.kept.iter().map(|position| dataset.train[*position].labels.clone()).collect();

    let training = burn.clone().autodiff();
    let refine = trunk.refine.clone().train();
    let parts = match plan.method.parts() {
        0 => None,
        // A clone would share its weights; a second reading does not.
        parts => {
            let local = weights::rounded(trunk.clone(), &burn)?.refine.train();
            let mut parts = Parts::new(parts, local, &training);
            parts.attention = new_weights(parts.attention, plan.seed);
            Some(parts)
        }
    };
    let features = POOLED * (1 + plan.method.parts());
    let (refine, parts) = match plan.trained {
        Trained::Refine => (refine, parts),
        Trained::Head => {
            let frozen = |Parts { attention, local }| Parts { attention, local: local.freeze() };
            (refine.freeze(), parts.map(frozen))
        }
    };
    let linear = LinearConfig::new(features, plan.bits).with_bias(false).init(&training);
    let mut linear = new_weights(linear, plan.seed);
    linear.bias = Some(Param::from_tensor(Tensor::zeros([plan.bits], &training)));
    let net = Net { refine, parts, linear };
    let mut run = Run::new(plan, &cache, &labels, training);
    let (path, key) = (checkpoint_path(out), run_key(plan, &cache));
    let net = match plan.resume {
        true => {
            let failed = |reason: String| TrainError::Resume { path: path.clone(), reason };
            let saved = Checkpoint::load(&path).map_err(|error| failed(error.to_string()))?;
            if saved.run != key {
                return Err(failed("it was made with other options or data".to_owned()));
            }
            run.resume(net, saved).map_err(failed)?
        }
        false => net,
    };
    let net = run.train(net, &path, &key, task, report)?;
    let time = Duration::from_secs_f64(run.at.seconds);

    let net = net.valid();
    let hash = hash_of(&net.linear)?;
    let figures = [("images_shown", run.at.shown as f64), ("outer", run.outer as f64)];
    let card = Card {
        format: model::FORMAT,
        program: env!("CARGO_PKG_VERSION").to_owned(),
        method: plan.method.name().to_owned(),
        bits: plan.bits,
        trunk: kind,
        parts: plan.method.parts(),
        preprocess,
        classes: dataset.classes.clone(),
        data: data_card(dataset, &cache.kept),
        seed: plan.seed,
        figures: figures.map(|(name, value)| (name.to_owned(), value)).into_iter().collect(),
        licence: "trunk: Apache-2.0 (EfficientNet-Lite0); the rest: as its training data"
            .to_owned(),
        learned: Some(run.learned()?),
    };
    let extractor = Extractor { stem: trunk.stem, refine: net.refine, parts: net.parts };
    model::write(out, &card, extractor, &hash)?;
    // The model is there: nothing is left to go on with. A checkpoint that stays is no harm.
    let _ = std::fs::remove_file(&path);
    Ok(Learned { card, unreadable, time })
}

/// Everything that a run's results depend on, as far as it can differ between calls.
fn run_key(plan: &LearnPlan, cache: &StemCache) -> String {
    let LearnPlan { method, bits, seed, init, outer, epochs, sample, batch, .. } = plan;
    let LearnPlan { rate, weight_decay, images, trained, .. } = plan;
    let text = format!(
        "{} {method:?} {bits} {seed} {init:?} {outer} {epochs} {sample:?} {batch} {rate} {weight_decay} {images:?} {trained:?}",
        cache.key,
    );
    blake3::hash(text.as_bytes()).to_hex().to_string()
}

/// The linear layer as a hash.
fn hash_of(linear: &Linear) -> Result<LinearHash, TrainError> {
    let [features, _] = linear.weight.dims();
    let values = |data: TensorData| data.try_into_vec::<f32>().unwrap_or_default();
    let projection = values(linear.weight.val().into_data());
    let bias = linear.bias.as_ref().map(|bias| values(bias.val().into_data()));
    let hash = LinearHash::new(vec![0.0; features], projection).map_err(model::ModelError::from)?;
    Ok(match bias {
        Some(bias) => hash.with_bias(bias).map_err(model::ModelError::from)?,
        None => hash,
    })
}
