/*!
Errors of opening, changing and searching an index.
*/

use std::path::PathBuf;

use super::FORMAT;
use crate::cause::Cause;
use crate::code::CodeError;
use crate::folder::FolderError;
use crate::hash::HashError;
use crate::image::{AreaError, DecodeError, ImageError};
use crate::model::ModelError;
use crate::rank::RankError;
use crate::task::Stopped;

/// An error of opening, changing or searching an index.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum IndexError {
    /// The index does not exist.
    #[error("there is no index at {}", .0.display())]
    Missing(PathBuf),
    /// The file is empty or a database without tables: creating the index was interrupted.
    #[error("{} is not a Barbule index: it is empty", .0.display())]
    Empty(PathBuf),
    /// The file is not an index.
    #[error("{} is not a Barbule index: {reason}", path.display())]
    Unfit {
        /// The file.
        path: PathBuf,
        /// The reason.
        #[source]
        reason: Cause,
    },
    /// The file has a newer format.
    #[error("{} is an index of format {found}, and this version reads only up to {FORMAT}; install a newer Barbule", path.display())]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its format.
        found: u32,
    },
    /// The index was made with another model.
    #[error(
        "{} was made with another model ({index_bits} bits, {index_model}, not {model_bits} bits, {model}); use that model, or another index",
        path.display()
    )]
    OtherModel {
        /// The index.
        path: PathBuf,
        /// Bits of the index's codes.
        index_bits: usize,
        /// Start of the fingerprint of the index's model.
        index_model: String,
        /// Bits of the given model.
        model_bits: usize,
        /// Start of the given model's fingerprint.
        model: String,
    },
    /// The database failed: disk full, file locked, no permission.
    #[error(
        "cannot use the index {}: {source}; check its folder, the free disk space, and whether another program writes to it (finished work is kept)",
        path.display()
    )]
    Database {
        /// The file.
        path: PathBuf,
        /// SQLite's error.
        source: rusqlite::Error,
    },
    /// Another process is writing to the index.
    #[error(
        "another program{} is writing to {}; wait until it ends, or stop it",
        process.map(|number| format!(" (process {number})")).unwrap_or_default(),
        path.display()
    )]
    Busy {
        /// The index.
        path: PathBuf,
        /// The id of the other process, if known.
        process: Option<u32>,
    },
    /// The lock file could not be created.
    #[error("cannot write {}: {source}; check the folder", path.display())]
    Lock {
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: std::io::Error,
    },
    /// The index contains no features.
    #[error("{} contains no features; update it with the option to keep features", .0.display())]
    NoFeatures(PathBuf),
    /// No hash could be fitted to the images of the index.
    #[error("no hash can be fitted to these images: {0}")]
    Fit(#[source] Cause),
    /// A folder to index could not be listed.
    #[error(transparent)]
    Folder(FolderError),
    /// The file with labels could not be used.
    #[error("{}: {reason}; each line is PATH,LABEL", path.display())]
    Labels {
        /// The file.
        path: PathBuf,
        /// The reason.
        #[source]
        reason: Cause,
    },
    /// A label that was given by hand cannot be used.
    #[error("{0}")]
    Label(String),
    /// No image has this id; it may have been removed.
    #[error("there is no image {0} in the index")]
    NoSuchImage(i64),
    /// The model of the index is required, but no longer at its path.
    #[error("the model that made {} is no longer at its path; specify it", .0.display())]
    NoModel(PathBuf),
    /// An image to search for could not be read.
    #[error(transparent)]
    Image(#[from] ImageError),
    /// The bytes of an image to search for could not be decoded.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// The area to search for lies outside its picture.
    #[error(transparent)]
    Area(#[from] AreaError),
    /// The model failed.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// The values of a query cannot be used.
    #[error(transparent)]
    Values(#[from] HashError),
    /// Ranking failed.
    #[error(transparent)]
    Rank(#[from] RankError),
    /// A stored code is damaged.
    #[error(transparent)]
    Code(#[from] CodeError),
    /// The work was stopped.
    #[error(transparent)]
    Stopped(#[from] Stopped),
}

impl From<FolderError> for IndexError {
    fn from(error: FolderError) -> Self {
        match error {
            FolderError::Stopped(stopped) => Self::Stopped(stopped),
            error => Self::Folder(error),
        }
    }
}
