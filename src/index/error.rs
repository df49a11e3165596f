/*!
Why an index could not be opened, changed or searched.
*/

use std::path::PathBuf;

use super::FORMAT;
use crate::code::CodeError;
use crate::image::{DecodeError, ImageError};
use crate::model::ModelError;
use crate::rank::RankError;
use crate::task::Stopped;

/// Why an index could not be opened, changed or searched.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum IndexError {
    /// There is no such index.
    #[error("there is no index at {}", .0.display())]
    Missing(PathBuf),
    /// The file is empty, or a database without tables: an index that was begun.
    #[error("{} is not a Barbule index: it is empty", .0.display())]
    Empty(PathBuf),
    /// The file is not an index.
    #[error("{} is not a Barbule index: {reason}", path.display())]
    Unfit {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The file is of a later version.
    #[error("{} is an index of format {found}, this version reads up to {FORMAT}; install a newer Barbule", path.display())]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its version.
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
        /// Beginning of the fingerprint of the index's model.
        index_model: String,
        /// Bits of the given model.
        model_bits: usize,
        /// Beginning of the given model's fingerprint.
        model: String,
    },
    /// The database failed: disk full, file locked, no permission.
    #[error(
        "cannot use the index {}: {source}; check its folder, the room on its disk and who else writes to it (what was finished before is kept)",
        path.display()
    )]
    Database {
        /// The file.
        path: PathBuf,
        /// What SQLite said.
        source: rusqlite::Error,
    },
    /// Another process is writing to the index.
    #[error(
        "another program{} is writing to {}; wait until it is done, or stop it",
        process.map(|number| format!(" (process {number})")).unwrap_or_default(),
        path.display()
    )]
    Busy {
        /// The index.
        path: PathBuf,
        /// The other process, if it says.
        process: Option<u32>,
    },
    /// The file that keeps a second writer out could not be made.
    #[error("cannot write {}: {source}; check the folder", path.display())]
    Lock {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A pattern of what is left out is none.
    #[error(
        "{pattern} is no pattern: {reason}; write it as in a shell, such as '*.png' or 'raw/**'"
    )]
    Pattern {
        /// The pattern.
        pattern: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Features are asked for, but none are kept.
    #[error("{} keeps no features; update it once with features kept", .0.display())]
    NoFeatures(PathBuf),
    /// A folder to index could not be read.
    #[error("cannot read the folder {}: {source}", path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file with labels could not be used.
    #[error("{}: {reason}; each line is PATH,LABEL", path.display())]
    Labels {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// There is no image with this id: it was never there, or was removed.
    #[error("there is no image {0} in the index")]
    NoSuchImage(i64),
    /// The model that made the index is not where it was, and is needed.
    #[error("the model that made {} is not where it was; name it", .0.display())]
    NoModel(PathBuf),
    /// An image to search for could not be read.
    #[error(transparent)]
    Image(#[from] ImageError),
    /// The bytes of an image to search for could not be decoded.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// The model failed.
    #[error(transparent)]
    Model(#[from] ModelError),
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
