/*!
The image files under a folder.
*/

use std::fs::Metadata;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use glob::{MatchOptions, Pattern};
use walkdir::{DirEntry, WalkDir};

use super::IndexError;
use super::report::Skipped;
use crate::image::is_image_path;
use crate::task::Task;

/// The selection of files in a folder, stored with the folder for later updates.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct ScanOptions {
    /// Excluded files and folders: patterns as in a shell (`*`, `?`, `[ab]`, `**`). A pattern
    /// without a slash is matched with each name below the folder, any other with the path from
    /// there.
    pub exclude: Vec<String>,
    /// Whether hidden files and folders (names that begin with a dot) and system folders are
    /// included.
    pub hidden: bool,
    /// Whether links to folders are followed. Loops are detected.
    pub follow_links: bool,
}

impl ScanOptions {
    /// Excludes files and folders that match `pattern`, in addition to earlier patterns.
    pub fn without(mut self, pattern: impl Into<String>) -> Self {
        self.exclude.push(pattern.into());
        self
    }

    /// Includes hidden files and folders.
    pub fn with_hidden(self) -> Self {
        Self { hidden: true, ..self }
    }

    /// Follows links to folders.
    pub fn with_links(self) -> Self {
        Self { follow_links: true, ..self }
    }

    /// Returns the union of these options and `more`.
    pub fn and(mut self, more: &Self) -> Self {
        for pattern in &more.exclude {
            if !self.exclude.contains(pattern) {
                self.exclude.push(pattern.clone());
            }
        }
        let (hidden, follow_links) =
            (self.hidden || more.hidden, self.follow_links || more.follow_links);
        Self { hidden, follow_links, ..self }
    }
}

/// Files and folders between two progress reports; on a network drive they take about a second.
const STEP: usize = 64;

/// System folders: bins, thumbnails of file servers, recovered files.
const SYSTEM: [&str; 6] =
    ["$RECYCLE.BIN", "System Volume Information", "@eaDir", "#recycle", "lost+found", "__MACOSX"];

/// Compiled patterns.
struct Excluded {
    names: Vec<Pattern>,
    paths: Vec<Pattern>,
}

impl Excluded {
    fn new(patterns: &[String]) -> Result<Self, IndexError> {
        let (mut names, mut paths) = (Vec::new(), Vec::new());
        for pattern in patterns {
            let failed = |error: glob::PatternError| IndexError::Pattern {
                pattern: pattern.clone(),
                reason: error.msg.to_owned(),
            };
            let ready = Pattern::new(pattern.trim_matches('/')).map_err(failed)?;
            let to = if pattern.contains('/') { &mut paths } else { &mut names };
            to.push(ready);
        }
        Ok(Self { names, paths })
    }

    fn has(&self, entry: &DirEntry, folder: &Path) -> bool {
        let within = MatchOptions { require_literal_separator: true, ..MatchOptions::default() };
        let below = entry.path().strip_prefix(folder).unwrap_or(entry.path());
        let name = entry.file_name().to_string_lossy();
        self.names.iter().any(|pattern| pattern.matches(&name))
            || self.paths.iter().any(|pattern| pattern.matches_path_with(below, within))
    }
}

/// Size and modification time, which show whether a file has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stamp {
    pub size: i64,
    pub modified: i64,
}

impl Stamp {
    /// The stamp of a file.
    pub fn of(meta: &Metadata) -> Self {
        let modified = meta.modified().ok().and_then(|t| t.duration_since(UNIX_EPOCH).ok());
        Self { size: meta.len() as i64, modified: modified.map_or(0, |t| t.as_nanos() as i64) }
    }

    /// Returns whether a file has this stamp, and so most likely the content of that time.
    pub fn is_of(&self, meta: &Metadata) -> bool {
        *self == Self::of(meta)
    }
}

/// A file that may be an image.
pub(super) struct Candidate {
    pub path: PathBuf,
    pub stamp: Stamp,
}

/// The files found under a folder.
#[derive(Default)]
pub(super) struct Listing {
    /// Files in the order of their paths.
    pub found: Vec<Candidate>,
    /// Folders and files that could not be read; images in them may still exist.
    pub unreadable: Vec<Skipped>,
}

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
    let Listing { found, unreadable } = scan(folder, options, &|found| Ok(task.count(found)?))?;
    Ok((found.into_iter().map(|candidate| candidate.path).collect(), unreadable))
}

/// Lists all image files under `folder`; calls `step` regularly with the number found so far.
///
/// # Errors
/// If `folder` itself cannot be read, a pattern is invalid, or `step` fails. Folders below it that
/// cannot be read are part of the result.
pub(super) fn scan(
    folder: &Path,
    options: &ScanOptions,
    step: &dyn Fn(usize) -> Result<(), IndexError>,
) -> Result<Listing, IndexError> {
    let failed = |source: io::Error| IndexError::Folder { path: folder.to_owned(), source };
    let meta = std::fs::metadata(folder).map_err(failed)?;
    if !meta.is_dir() {
        return Err(failed(io::Error::new(ErrorKind::NotADirectory, "it is not a folder")));
    }
    std::fs::read_dir(folder).map_err(failed)?;
    let excluded = Excluded::new(&options.exclude)?;
    let looked_at = |entry: &DirEntry| {
        let name = entry.file_name();
        let hidden = name.to_string_lossy().starts_with('.') || SYSTEM.iter().any(|s| name == *s);
        entry.depth() == 0 || ((options.hidden || !hidden) && !excluded.has(entry, folder))
    };
    let mut scan = Listing::default();
    let walk = WalkDir::new(folder).follow_links(options.follow_links).sort_by_file_name();
    for (number, entry) in walk.into_iter().filter_entry(looked_at).enumerate() {
        if number.is_multiple_of(STEP) {
            step(scan.found.len())?;
        }
        let entry = match entry {
            Ok(entry) => entry,
            // The target of the loop is visited anyway.
            Err(error) if error.loop_ancestor().is_some() => continue,
            Err(error) => {
                let path = error.path().unwrap_or(folder).to_owned();
                scan.unreadable.push(Skipped { path, reason: error.to_string() });
                continue;
            }
        };
        if !is_image_path(entry.path()) {
            continue;
        }
        // Follows a link to a file, as opening it would.
        match std::fs::metadata(entry.path()) {
            Ok(meta) if meta.is_file() => {
                let stamp = Stamp::of(&meta);
                scan.found.push(Candidate { path: entry.into_path(), stamp });
            }
            Ok(_) => {}
            Err(error) => {
                let reason = format!("{}: {error}", entry.path().display());
                scan.unreadable.push(Skipped { path: entry.into_path(), reason });
            }
        }
    }
    Ok(scan)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path, options: &ScanOptions) -> Vec<String> {
        let below = |c: Candidate| {
            c.path.strip_prefix(folder).unwrap().to_str().unwrap().replace('\\', "/")
        };
        scan(folder, options, &|_| Ok(())).unwrap().found.into_iter().map(below).collect()
    }

    #[test]
    fn patterns_hidden_and_system_folders_are_left_out() {
        let folder = tempfile::tempdir().unwrap();
        let files = [
            "a.jpg",
            "b.txt",
            ".c.jpg",
            ".d/e.jpg",
            "@eaDir/f.jpg",
            "raw/g.jpg",
            "x/raw/h.png",
            "x/y/i.jpg",
        ];
        for file in files {
            let path = folder.path().join(file);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "").unwrap();
        }
        let of = |exclude: &[&str], hidden| {
            let exclude = exclude.iter().map(|s| s.to_string()).collect();
            names(folder.path(), &ScanOptions { exclude, hidden, ..Default::default() })
        };
        assert_eq!(of(&[], false), ["a.jpg", "raw/g.jpg", "x/raw/h.png", "x/y/i.jpg"]);
        assert_eq!(of(&["raw"], false), ["a.jpg", "x/y/i.jpg"]);
        assert_eq!(of(&["/raw"], false), ["a.jpg", "x/raw/h.png", "x/y/i.jpg"]);
        assert_eq!(of(&["x/*/*.jpg"], false), ["a.jpg", "raw/g.jpg", "x/raw/h.png"]);
        assert_eq!(of(&["*.jp*g"], false), ["x/raw/h.png"]);
        assert_eq!(of(&["x", "raw"], true), [".c.jpg", ".d/e.jpg", "@eaDir/f.jpg", "a.jpg"]);
        let wrong = ScanOptions { exclude: vec!["a[".to_owned()], ..Default::default() };
        let told = scan(folder.path(), &wrong, &|_| Ok(())).err().unwrap().to_string();
        assert!(told.contains("a["), "{told}");
    }

    #[test]
    fn listing_tells_how_far_it_is_and_can_be_stopped() {
        use std::sync::Mutex;
        use std::sync::atomic::{AtomicBool, Ordering};

        let folder = tempfile::tempdir().unwrap();
        (0..3 * STEP)
            .for_each(|i| std::fs::write(folder.path().join(format!("{i}.jpg")), "").unwrap());
        let (told, stop) = (Mutex::new(Vec::new()), AtomicBool::new(false));
        let progress = |done, total| {
            assert_eq!(total, 0);
            told.lock().unwrap().push(done);
        };
        let task = Task::new(&progress, &stop);
        let list = || files_under(folder.path(), &ScanOptions::default(), &task);
        assert_eq!(list().unwrap().0.len(), 3 * STEP);
        // The first entry is the folder itself.
        let expected: Vec<usize> = (0..=3).map(|i: usize| (i * STEP).saturating_sub(1)).collect();
        assert_eq!(*told.lock().unwrap(), expected);
        stop.store(true, Ordering::Relaxed);
        assert!(matches!(list(), Err(IndexError::Stopped(_))));
    }

    #[cfg(unix)]
    #[test]
    fn links_are_followed_on_request_and_loops_end() {
        let folder = tempfile::tempdir().unwrap();
        let other = tempfile::tempdir().unwrap();
        std::fs::write(other.path().join("far.jpg"), "").unwrap();
        std::fs::write(folder.path().join("near.jpg"), "").unwrap();
        std::os::unix::fs::symlink(other.path(), folder.path().join("link")).unwrap();
        std::os::unix::fs::symlink(folder.path(), folder.path().join("self")).unwrap();
        let mut options = ScanOptions::default();
        assert_eq!(names(folder.path(), &options), ["near.jpg"]);
        options.follow_links = true;
        assert_eq!(names(folder.path(), &options), ["link/far.jpg", "near.jpg"]);
        assert!(scan(folder.path(), &options, &|_| Ok(())).unwrap().unreadable.is_empty());
    }
}
