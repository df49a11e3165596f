/*!
Errors of reading and writing models.
*/

use std::io;
use std::path::PathBuf;

use super::format::NEWEST;
use crate::cause::Cause;
use crate::encoder::EncodeError;
use crate::hash::HashError;

/// An error of reading or writing a model.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ModelError {
    /// The file could not be read.
    #[error("cannot read the model {}: {source}; specify a model file", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// The file is not a model.
    #[error("{} is not a Barbule model: {reason}", path.display())]
    Unfit {
        /// The file.
        path: PathBuf,
        /// The reason.
        #[source]
        reason: Cause,
    },
    /// The model has no attention.
    #[error(
        "{0} models have no attention to parts; those of ExchNet, A²-Net, SEMICON, DAHNet and DSaH do"
    )]
    NoParts(String),
    /// The model's codes cannot be compared by Hamming distance.
    #[error(
        "codes of {0} are words, which have no bits to explain; use a model whose codes are signs"
    )]
    NotHamming(String),
    /// The file has a newer format.
    #[error("{} is a model of format {found}, and this version reads only up to {NEWEST}; install a newer Barbule", path.display())]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its format version.
        found: u64,
    },
    /// The file could not be written.
    #[error("cannot write the model {}: {source}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// The reason.
        source: io::Error,
    },
    /// A file that is no model is at the place of the model to write.
    #[error("{} exists and is no Barbule model, so it is not replaced; choose another name", path.display())]
    Occupied {
        /// The file.
        path: PathBuf,
    },
    /// The hash and the trunk do not fit together.
    #[error(transparent)]
    Hash(#[from] HashError),
    /// The device failed.
    #[error(transparent)]
    Encode(#[from] EncodeError),
}
