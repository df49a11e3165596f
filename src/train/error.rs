/*!
Errors of fitting and measuring models.
*/

use std::fmt;
use std::path::PathBuf;

use crate::cause::Cause;
use crate::device::Device;
use crate::encoder::EncodeError;
use crate::eval::EvalError;
use crate::image::{ImageError, PreprocessError};
use crate::method::{MethodError, OneKind};
use crate::model::ModelError;
use crate::trunk::{TrunkKind, WeightsError};

/// An error of fitting or measuring a model.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TrainError {
    /// No image of a split could be read.
    #[error("none of the {count} {split} images could be read (first: {first})")]
    NoImages {
        /// The split.
        split: &'static str,
        /// The number of images.
        count: usize,
        /// The error of the first image.
        #[source]
        first: ImageError,
    },
    /// The cache of stem features could not be written or read.
    #[error("cannot store the stem's features in {}: {source}; choose another folder for them", path.display())]
    Cache {
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: std::io::Error,
    },
    /// The checkpoint could not be written.
    #[error("cannot write the checkpoint {}: {reason}; free some space and start again", path.display())]
    Checkpoint {
        /// The file.
        path: PathBuf,
        /// The reason.
        #[source]
        reason: Cause,
    },
    /// The run cannot be resumed.
    #[error("cannot resume from {}: {reason}; start from the beginning", path.display())]
    Resume {
        /// The checkpoint.
        path: PathBuf,
        /// The reason.
        #[source]
        reason: Cause,
    },
    /// An image became unreadable during training.
    #[error("{source}, though it could be read before; start again")]
    Vanished {
        /// The error.
        source: ImageError,
    },
    /// All training images are similar to each other.
    #[error(transparent)]
    OneKind(#[from] OneKind),
    /// The method weighs positions of a map, and the trunk's map has none.
    #[error(
        "{method} weighs positions of a map, which the norms of the transformer {trunk} undo; choose a convolutional trunk or another method"
    )]
    NoPositions {
        /// The method.
        method: &'static str,
        /// The trunk.
        trunk: TrunkKind,
    },
    /// The loss became NaN or infinite.
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
    /// The learning rate is out of range.
    #[error("{0}; choose a learning rate between 0 and 1")]
    Rate(String),
    /// The machine has too little memory.
    #[error(
        "training needs about {needed:.1} GiB of memory, but this machine has {here:.1}; try {way}"
    )]
    Memory {
        /// GiB needed.
        needed: f64,
        /// GiB available.
        here: f64,
        /// Settings that need less memory.
        way: Smaller,
    },
    /// The graphics adapter has too little memory.
    #[error("{device} ran out of memory; resume with {way}, or close other programs")]
    OutOfMemory {
        /// The device.
        device: String,
        /// Settings that need less memory.
        way: Smaller,
        /// The device's error.
        source: EncodeError,
    },
    /// More devices than images of an update.
    #[error(
        "{devices} devices cannot share an update of {images} images; use fewer devices, or a larger batch"
    )]
    TooManyDevices {
        /// The devices.
        devices: usize,
        /// The images of an update.
        images: usize,
    },
    /// A graphics adapter is listed twice.
    #[error("{0} is named twice; list every device once")]
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
    /// The input size is out of range.
    #[error(transparent)]
    Preprocess(#[from] PreprocessError),
    /// The trunk's weights are unusable.
    #[error(transparent)]
    Weights(#[from] WeightsError),
    /// The method could not be fitted.
    #[error(transparent)]
    Method(#[from] MethodError),
    /// The evaluation failed.
    #[error(transparent)]
    Eval(#[from] EvalError),
    /// The model could not be used or written.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// The device failed or the work was stopped.
    #[error(transparent)]
    Encode(#[from] EncodeError),
}

/// Training settings that need less memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Smaller {
    /// Fewer images per pass, and more passes per update.
    Batch {
        /// Images per pass.
        batch: usize,
        /// Passes per update.
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
    /// Returns whether the work was stopped on request, which is not a failure.
    pub fn is_stop(&self) -> bool {
        matches!(
            self,
            Self::Encode(EncodeError::Stopped(_))
                | Self::Method(MethodError::Stopped(_))
                | Self::Eval(EvalError::Stopped(_))
        )
    }
}

/// Converts a device's failure to an error.
pub(super) fn device_failed(device: &Device, reason: Cause) -> TrainError {
    TrainError::Encode(EncodeError::Device { device: device.to_string(), reason })
}
