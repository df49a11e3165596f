/*!
Why a model could not be read or written.
*/

use std::io;
use std::path::PathBuf;

use super::NEWEST;
use crate::encoder::EncodeError;
use crate::hash::HashError;

/// Why a model could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    /// The file could not be read.
    #[error("cannot read the model {}: {error}; name a model file", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// The file is not a model.
    #[error("{} is not a Barbule model: {reason}; train one with `barbule train`", path.display())]
    Unfit {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The model does not attend to parts.
    #[error("a model of {0} attends to no parts; train one with `barbule train exchnet` or `dsah`")]
    NoParts(String),
    /// The model's codes are no bits.
    #[error(
        "codes of {0} are numbers of words, which have no Hamming distance; measure this model with `barbule eval`, and train another method (orthohash, exchnet) for an index"
    )]
    NotHamming(String),
    /// The file is of a later version.
    #[error("{} is a model of format {found}, this program reads up to {NEWEST}; install a newer barbule", path.display())]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its format version.
        found: u64,
    },
    /// The file could not be written.
    #[error("cannot write the model {}: {reason}; choose another --out", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What went wrong.
        reason: String,
    },
    /// The hash and the trunk do not fit together.
    #[error(transparent)]
    Hash(#[from] HashError),
    /// The device failed.
    #[error(transparent)]
    Encode(#[from] EncodeError),
}
