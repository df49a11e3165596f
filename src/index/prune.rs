/*!
Removing images: of folders that are no longer wanted, and of files that are gone.
*/

use std::collections::HashMap;
use std::path::Path;

use super::paths::{innermost, is_gone, stored_path};
use super::scan::files_under;
use super::writer::IndexWriter;
use super::{Filter, Index, IndexError, Root, ScanOptions};
use crate::folder::from_shown;
use crate::task::Task;

/// The result of [`IndexWriter::forget`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Forgotten {
    /// Number of removed images.
    pub images: usize,
    /// Whether one of the folders was an indexed folder.
    pub was_root: bool,
    /// Pairs of a folder and the indexed folder around it that excludes it from now on.
    pub left_out: Vec<(String, String)>,
}

/// Images whose files are gone, which [`IndexWriter::prune`] removes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Prunable {
    /// Ids and paths of the images.
    pub images: Vec<(i64, String)>,
    /// Indexed folders that are missing, or have no image left (an unplugged drive).
    pub missing: Vec<String>,
    /// Failures and indexed folders that are removed, too.
    forgotten: Vec<String>,
}

impl Index {
    /// Returns the images whose files are gone. Those of a folder that is missing as a whole are
    /// among them only if `all` is set.
    ///
    /// # Errors
    /// If the file is damaged.
    pub fn prunable(&self, all: bool) -> Result<Prunable, IndexError> {
        let roots = self.roots()?;
        let paths: Vec<String> = roots.iter().map(|root| root.path.clone()).collect();
        let mut lost = Vec::new();
        // Whether each folder still has an image.
        let mut alive: HashMap<&str, bool> = HashMap::new();
        self.each_image(|id, path, _| {
            let gone = is_gone(Path::new(path));
            if let Some(root) = innermost(path, &paths) {
                *alive.entry(root).or_default() |= !gone;
            }
            lost.extend(gone.then(|| (id, path.to_owned())));
        })?;
        // A folder with images that are all gone may be the mount point of a drive.
        let is_missing = |root: &&Root| {
            let folder = Path::new(&root.path);
            let found = || files_under(folder, &root.options, &Task::unwatched());
            let none = || found().is_ok_and(|(files, _)| files.is_empty());
            !folder.is_dir() || (alive.get(root.path.as_str()) == Some(&false) && none())
        };
        let missing: Vec<String> =
            roots.iter().filter(is_missing).map(|root| root.path.clone()).collect();
        let is_kept = |path: &str| {
            !all && innermost(path, &paths).is_some_and(|root| missing.iter().any(|m| m == root))
        };
        let images = lost.into_iter().filter(|(_, path)| !is_kept(path)).collect();
        let is_lost = |path: &String| {
            let odd = from_shown(path);
            is_gone(odd.as_deref().unwrap_or(Path::new(path)))
        };
        let failures = self.failures()?.into_iter().map(|failure| failure.path);
        let mut forgotten: Vec<String> =
            failures.filter(|path| is_lost(path) && !is_kept(path)).collect();
        forgotten.extend(missing.iter().filter(|root| all && !Path::new(root).is_dir()).cloned());
        Ok(Prunable { images, missing, forgotten })
    }
}

impl IndexWriter {
    /// Removes the images whose files are gone, and returns them; see [`Index::prunable`].
    ///
    /// # Errors
    /// If the file is damaged or cannot be written.
    pub fn prune(&mut self, all: bool) -> Result<Prunable, IndexError> {
        let prunable = self.index().prunable(all)?;
        let ids: Vec<i64> = prunable.images.iter().map(|(id, _)| *id).collect();
        self.remove(&ids, &prunable.forgotten)?;
        self.compact()?;
        Ok(prunable)
    }

    /// Removes all images under some folders (absolute paths, see
    /// [`indexed_path`](super::indexed_path)). Indexed folders around them exclude them from now
    /// on. Changes nothing if no image is under them and none of them is an indexed folder.
    ///
    /// # Errors
    /// If the file is damaged or cannot be written.
    pub fn forget(&mut self, folders: &[impl AsRef<Path>]) -> Result<Forgotten, IndexError> {
        let under: Vec<String> =
            folders.iter().map(|folder| stored_path(folder.as_ref())).collect();
        let ids = self.index().ids(&Filter { under: under.clone(), ..Filter::default() })?;
        let was_root = self.index().roots()?.iter().any(|root| under.contains(&root.path));
        let mut forgotten = Forgotten { images: ids.len(), was_root, left_out: Vec::new() };
        if ids.is_empty() && !was_root {
            return Ok(forgotten);
        }
        self.remove(&ids, &under)?;
        // Otherwise the next update of a folder around it would add it again.
        for folder in under {
            if let Some(around) = self.leave_out(&folder)? {
                forgotten.left_out.push((folder, around));
            }
        }
        self.compact()?;
        Ok(forgotten)
    }

    /// Excludes a folder from the indexed one around it, if there is one, and returns that one.
    fn leave_out(&mut self, folder: &str) -> Result<Option<String>, IndexError> {
        let roots = self.index().roots()?;
        let paths: Vec<String> = roots.iter().map(|root| root.path.clone()).collect();
        let Some(around) = innermost(folder, &paths).filter(|root| *root != folder) else {
            return Ok(None);
        };
        let options = roots.iter().find(|root| root.path == around).map(|root| &root.options);
        let below = Path::new(folder).strip_prefix(around).unwrap_or(Path::new(folder));
        let below = glob::Pattern::escape(&stored_path(below).replace('\\', "/"));
        let more = ScanOptions { exclude: vec![format!("/{below}")], ..ScanOptions::default() };
        self.root(around, Some(&options.cloned().unwrap_or_default().and(&more)))?;
        Ok(Some(around.to_owned()))
    }
}
