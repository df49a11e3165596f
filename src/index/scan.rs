/*!
The image files under a folder.
*/

use std::path::{Path, PathBuf};

use super::report::Skipped;
use super::{IndexError, ScanOptions};
use crate::folder::Walk;
use crate::task::Task;

/// Returns the image files under `folder` in the order of their paths, and what could not be read.
///
/// `task` receives the number of images found so far.
///
/// # Errors
/// If `folder` itself cannot be read, a pattern is invalid, or the work is stopped.
pub fn files_under(
    folder: &Path,
    options: &ScanOptions,
    task: &Task<'_>,
) -> Result<(Vec<PathBuf>, Vec<Skipped>), IndexError> {
    let listing = Walk::new(folder, options)?.run(&|found| task.count(found))?;
    let files = listing.found.into_iter().map(|candidate| candidate.path).collect();
    Ok((files, listing.unreadable.into_iter().map(Skipped::from).collect()))
}
