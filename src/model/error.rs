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
#[non_exhaustive]
pub enum ModelError {
    /// The file could not be read.
    #[error("cannot read the model {}: {source}; name a model file", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file is not a model.
    #[error("{} is not a Barbule model: {reason}", path.display())]
    Unfit {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The model does not attend to parts.
    #[error("a model of {0} attends to no parts; only models of ExchNet and DSaH do")]
    NoParts(String),
    /// The model's codes are no bits.
    #[error(
        "codes of {0} are numbers of words, which have no Hamming distance; use this model for an evaluation, and one of another method for an index"
    )]
    NotHamming(String),
    /// The file is of a later version.
    #[error("{} is a model of format {found}, this version reads up to {NEWEST}; install a newer Barbule", path.display())]
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
        /// What went wrong.
        source: io::Error,
    },
    /// The hash and the trunk do not fit together.
    #[error(transparent)]
    Hash(#[from] HashError),
    /// The device failed.
    #[error(transparent)]
    Encode(#[from] EncodeError),
}
