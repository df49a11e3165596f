/*!
The result of an update.
*/

use std::path::PathBuf;

use super::TableUse;
use crate::folder::{LeftOut, Unreadable};

/// A file that could not be indexed.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Skipped {
    /// The file.
    pub path: PathBuf,
    /// The reason, a sentence that names the file.
    pub reason: String,
}

impl From<Unreadable> for Skipped {
    fn from(Unreadable { path, reason }: Unreadable) -> Self {
        Self { path, reason }
    }
}

/// Numbers of images of an update. Each file under the folders is in one of `added`, `changed`,
/// `moved`, `unchanged`, `skipped`, `skipped_before` and `left_out`; folders that cannot be read
/// are in `skipped` or `skipped_before`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Update {
    /// Image files found.
    pub found: usize,
    /// Indexed for the first time.
    pub added: usize,
    /// Encoded again because their content changed.
    pub changed: usize,
    /// Found at another path than before, recognised by their content.
    pub moved: usize,
    /// Unchanged.
    pub unchanged: usize,
    /// Of those added, the ones that were not encoded because their content was indexed already.
    pub copied: usize,
    /// Removed because their files are gone or excluded now.
    pub removed: usize,
    /// Unusable files, without those that were unusable before.
    pub skipped: Vec<Skipped>,
    /// Unusable before and unchanged since.
    pub skipped_before: usize,
    /// Files that are not read, and why.
    pub left_out: LeftOut,
    /// How much of a table of labels names images here.
    pub labels: Option<TableUse>,
    /// Folders that are missing, or empty and were not before, like an unplugged drive. Their
    /// images stay in the index.
    pub absent: Vec<PathBuf>,
}
