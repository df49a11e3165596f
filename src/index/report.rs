/*!
The result of an update.
*/

use std::path::PathBuf;

/// A file that did not get into the index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Skipped {
    /// The file.
    pub path: PathBuf,
    /// Why, in a sentence that names the file.
    pub reason: String,
}

/// What an update did, in images.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Update {
    /// Image files found.
    pub found: usize,
    /// Indexed for the first time.
    pub added: usize,
    /// Encoded again because their content had changed.
    pub changed: usize,
    /// Found in another place than before, told by their content.
    pub moved: usize,
    /// As they were.
    pub unchanged: usize,
    /// Of those added, how many were not encoded, because their content was indexed already.
    pub copied: usize,
    /// Taken out, because their files are gone or are left out now.
    pub removed: usize,
    /// Not usable, and not known to be so.
    pub skipped: Vec<Skipped>,
    /// Not usable, and unchanged since that was found.
    pub skipped_before: usize,
    /// Folders that are missing, or empty and were not: a drive that is not there. What is
    /// indexed of them stays.
    pub absent: Vec<PathBuf>,
}
