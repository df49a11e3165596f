/*!
Why a model could not be fitted or measured.
*/

use std::fmt;
use std::path::PathBuf;

use crate::encoder::EncodeError;
use crate::eval::EvalError;
use crate::image::{ImageError, PreprocessError};
use crate::method::{MethodError, OneKind};
use crate::model::ModelError;
use crate::trunk::WeightsError;

/// Why a model could not be fitted or measured.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
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
    #[error("cannot keep the stem's features in {}: {source}; choose another folder for them", path.display())]
    Cache {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
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
    #[error("cannot resume from {}: {reason}; start from the beginning", path.display())]
    Resume {
        /// The checkpoint.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// An image that could be read a moment ago cannot be any more.
    #[error("{source}, though it could be read before; start again")]
    Vanished {
        /// What happened.
        source: ImageError,
    },
    /// Nothing tells the training images apart.
    #[error(transparent)]
    OneKind(#[from] OneKind),
    /// The loss is no number any more.
    #[error(
        "the loss was {loss} at step {step} with a learning rate of {rate:.1e}; try a smaller one"
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
    #[error("{0}; choose a learning rate between 0 and 1")]
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
        /// What needs less.
        way: Smaller,
    },
    /// The graphics adapter is too small.
    #[error("{device} ran out of memory; resume with {way}, or close other programs")]
    OutOfMemory {
        /// The device.
        device: String,
        /// What needs less.
        way: Smaller,
    },
    /// More devices than images to share.
    #[error(
        "{devices} devices cannot share an update of {images} images; use fewer devices, or a larger batch"
    )]
    TooManyDevices {
        /// The devices.
        devices: usize,
        /// The images of an update.
        images: usize,
    },
    /// A graphics adapter is to work beside itself.
    #[error("{0} is named twice; name every device once")]
    SameDevice(String),
    /// Files for a measurement could not be written.
    #[error("cannot write a temporary file: {0}; set TMPDIR to a folder with some space")]
    Temporary(#[source] std::io::Error),
    /// A list of the data set is malformed.
    #[error(transparent)]
    Dataset(#[from] crate::dataset::DatasetError),
    /// The data set has no such split.
    #[error("the data set has no {0} split; choose another split")]
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

/// Settings of a training that need less memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Smaller {
    /// Fewer images a pass, and more passes an update.
    Batch {
        /// Images of a pass.
        batch: usize,
        /// Passes of an update.
        accumulate: usize,
    },
    /// Smaller images.
    Size(u32),
}

impl fmt::Display for Smaller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Batch { batch, accumulate } => {
                write!(f, "a batch of {batch} and {accumulate} batches to an update")
            }
            Self::Size(pixels) => write!(f, "images of {pixels} pixels"),
        }
    }
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
