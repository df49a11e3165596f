/*!
Errors of listing a folder.
*/

use std::path::PathBuf;

use super::shown;
use crate::task::Stopped;

/// An error of listing a folder.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FolderError {
    /// The folder could not be read.
    #[error("cannot read the folder {}: {source}", shown(path))]
    Read {
        /// The folder.
        path: PathBuf,
        /// The system's error.
        source: std::io::Error,
    },
    /// An exclusion pattern is invalid.
    #[error(
        "{pattern} is not a valid pattern: {}; use shell syntax, such as '*.png' or 'raw/**'",
        source.msg
    )]
    Pattern {
        /// The pattern.
        pattern: String,
        /// The reason.
        source: glob::PatternError,
    },
    /// The work was stopped.
    #[error(transparent)]
    Stopped(#[from] Stopped),
}
