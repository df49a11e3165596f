/*!
Fitting models to labelled photos, and measuring them.

What is common to all methods: features of a data set, the card, the evaluation.
What a method computes is its own file under `method/`.
*/

mod cache;
mod checkpoint;
mod compare;
mod devices;
mod draw;
mod evaluate;
mod exchange;
mod images;
mod learn;
mod memory;
mod net;
mod optimiser;
#[cfg(test)]
mod plain;
mod plan;
mod run;
mod shallow;
mod store;
mod timing;

use std::path::{Path, PathBuf};

use crate::dataset::{Dataset, Sample};
use crate::device::Device;
use crate::encoder::{EncodeError, Encoder, FileFeatures};
use crate::eval::EvalError;
use crate::image::{ImageError, Limits, PreprocessError};
use crate::method::MethodError;
use crate::method::asymmetric::OneKind;
use crate::model::{DataCard, ModelError};
use crate::task::Task;
use crate::trunk::weights::WeightsError;
use crate::trunk::{Trunk, TrunkKind, weights};

pub use compare::{Comparison, Contender, Measured, Setting};
pub use evaluate::{Evaluation, Split, evaluate};
pub use learn::{EpochReport, Learned, Outlook, Watcher, checkpoint_path, learn};
pub use plan::{Init, LearnMethod, LearnPlan, Optimiser, Recipe, Schedule, Trained};
pub use shallow::{Fitted, ShallowPlan, fit_shallow};
pub use timing::{StepTimes, time_training};

/// Why a model could not be fitted or measured.
#[derive(Debug, thiserror::Error)]
pub enum TrainError {
    /// Not one image of a split could be read.
    #[error("none of the {count} {split} images could be read (first: {first})")]
    NoImages {
        /// The split.
        split: &'static str,
        /// How many there are.
        count: usize,
        /// Why the first could not.
        first: String,
    },
    /// The cache of stem features could not be written or read.
    #[error("cannot keep the stem's features in {}: {error}; name another folder with --cache", path.display())]
    Cache {
        /// The file.
        path: PathBuf,
        /// What the system said.
        error: std::io::Error,
    },
    /// The checkpoint could not be written.
    #[error("cannot write the checkpoint {}: {reason}; free some space and start again", path.display())]
    Checkpoint {
        /// The file.
        path: PathBuf,
        /// What went wrong.
        reason: String,
    },
    /// There is nothing to resume.
    #[error("cannot go on from {}: {reason}; start without --resume", path.display())]
    Resume {
        /// The checkpoint.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// An image that could be read a moment ago cannot be any more.
    #[error("{error}, though it could be read before; start again")]
    Vanished {
        /// What happened.
        error: ImageError,
    },
    /// The method has no codes of so many bits.
    #[error(
        "{method} makes codes of {multiple} bits a word, so --bits must be a multiple of {multiple}, not {bits}"
    )]
    Bits {
        /// The method.
        method: &'static str,
        /// What divides its bits.
        multiple: usize,
        /// The bits asked for.
        bits: usize,
    },
    /// Nothing tells the training images apart.
    #[error(transparent)]
    OneKind(#[from] OneKind),
    /// The loss is no number any more.
    #[error(
        "the loss was {loss} at step {step} with a learning rate of {rate:.1e}; try a smaller one with --lr"
    )]
    NotFinite {
        /// The loss.
        loss: f32,
        /// The step, from 1.
        step: usize,
        /// The learning rate of new layers.
        rate: f64,
    },
    /// The learning rate is impossible.
    #[error("{0}; give --lr between 0 and 1")]
    Rate(String),
    /// This machine is too small.
    #[error(
        "training needs about {needed:.1} GiB of memory and this machine has {here:.1}; try {way}"
    )]
    Memory {
        /// GiB needed.
        needed: f64,
        /// GiB there are.
        here: f64,
        /// Options that need less.
        way: String,
    },
    /// The graphics adapter is too small.
    #[error("{device} ran out of memory; go on with --resume {way}, or close other programs")]
    OutOfMemory {
        /// The device.
        device: String,
        /// Options that need less.
        way: String,
    },
    /// More devices than images to share.
    #[error(
        "{devices} devices cannot share an update of {images} images; name fewer with --devices, or raise --batch"
    )]
    TooManyDevices {
        /// The devices.
        devices: usize,
        /// The images of an update.
        images: usize,
    },
    /// A graphics adapter is to work beside itself.
    #[error("{0} is named twice in --devices; name every device once")]
    SameDevice(String),
    /// Files for a measurement could not be written.
    #[error("cannot write a temporary file: {0}; set TMPDIR to a folder with some space")]
    Temporary(std::io::Error),
    /// A list of the data set is malformed.
    #[error(transparent)]
    Dataset(#[from] crate::dataset::DatasetError),
    /// The data set has no such split.
    #[error("the data set has no {0} split; choose another --split")]
    NoSplit(&'static str),
    /// The input size is impossible.
    #[error(transparent)]
    Preprocess(#[from] PreprocessError),
    /// The trunk's weights are unusable.
    #[error(transparent)]
    Weights(#[from] WeightsError),
    /// The method could not be fitted.
    #[error(transparent)]
    Method(#[from] MethodError),
    /// The evaluation has nothing to compare.
    #[error(transparent)]
    Eval(#[from] EvalError),
    /// The model could not be used or written.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// The device failed or the work was stopped.
    #[error(transparent)]
    Encode(#[from] EncodeError),
}

impl TrainError {
    /// Whether this is no failure: the work was stopped on request.
    pub fn is_stop(&self) -> bool {
        matches!(
            self,
            Self::Encode(EncodeError::Stopped(_))
                | Self::Method(MethodError::Stopped(_))
                | Self::Eval(EvalError::Stopped(_))
        )
    }
}

/// An image of a data set that could not be used.
#[derive(Debug)]
pub struct Unreadable {
    /// The file.
    pub path: PathBuf,
    /// Why.
    pub error: ImageError,
}

/// The trunk in a file or the shipped one, in the half precision that a model file
/// holds: what is fitted to it is fitted to what will be read back.
fn open_trunk(kind: TrunkKind, file: Option<&Path>, device: &Device) -> Result<Trunk, TrainError> {
    let burn = device.burn();
    let trunk = match file {
        Some(path) => weights::load(path, kind, &burn)?,
        None if kind.ships() => weights::shipped(&burn)?.into(),
        None => return Err(WeightsError::NotShipped(kind).into()),
    };
    Ok(weights::rounded(trunk, &burn)?)
}

/// Features and labels of the images of a split that could be read.
struct SplitFeatures {
    values: Vec<f32>,
    /// Positions of the images among the samples.
    kept: Vec<usize>,
    labels: Vec<Vec<u32>>,
    unreadable: Vec<Unreadable>,
}

fn split_features(
    encoder: &Encoder,
    split: &'static str,
    samples: &[Sample],
    limits: &Limits,
    task: &Task<'_>,
) -> Result<SplitFeatures, TrainError> {
    let FileFeatures { values, kept, failures } =
        encoder.features_of(samples, |sample: &Sample| sample.open(limits), task)?;
    if let (true, Some((_, first))) = (kept.is_empty(), failures.first()) {
        let (count, first) = (samples.len(), first.to_string());
        return Err(TrainError::NoImages { split, count, first });
    }
    let labels = kept.iter().map(|i| samples[*i].labels.clone()).collect();
    let name =
        |(i, error): (usize, ImageError)| Unreadable { path: samples[i].path.clone(), error };
    let unreadable = failures.into_iter().map(name).collect();
    Ok(SplitFeatures { values, kept, labels, unreadable })
}

/// What a model's card says of its training data: `kept` are the positions of the
/// training images that could be read.
fn data_card(dataset: &Dataset, kept: &[usize]) -> DataCard {
    let name = dataset.root.file_name().map(|name| name.to_string_lossy().into_owned());
    let held_out = dataset.held_out.iter().filter_map(|l| dataset.classes.get(*l as usize));
    DataCard {
        name: name.unwrap_or_default(),
        layout: dataset.layout.to_string(),
        images: kept.len(),
        files: files_hash(dataset, kept.iter().map(|i| &dataset.train[*i])),
        held_out: held_out.cloned().collect(),
        split_seed: dataset.split_seed,
    }
}

/// BLAKE3 of the images' places below the data set's root, and in files of many, in order.
fn files_hash<'a>(dataset: &Dataset, samples: impl Iterator<Item = &'a Sample>) -> String {
    let mut hasher = blake3::Hasher::new();
    for sample in samples {
        let path = sample.path.strip_prefix(&dataset.root).unwrap_or(&sample.path);
        hasher.update(path.to_string_lossy().as_bytes());
        hasher.update(&[0]);
        if let Some(record) = sample.record {
            hasher.update(&record.to_le_bytes());
        }
    }
    hasher.finalize().to_hex().to_string()
}
