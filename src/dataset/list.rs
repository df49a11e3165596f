/*!
Text lists that come with data sets. Their content is untrusted and therefore checked.
*/

use std::collections::HashSet;
use std::fs;
use std::iter::once;
use std::path::{Component, Path, PathBuf};

use super::{DatasetError, Layout};

/// Returns the first folder among `root` and its subfolders `inner` that contains at least
/// `least` of the lists.
pub(super) fn folder_with(
    root: &Path,
    inner: &[&str],
    lists: &[&str],
    least: usize,
) -> Option<PathBuf> {
    let fits =
        |folder: &PathBuf| lists.iter().filter(|list| folder.join(list).is_file()).count() >= least;
    once(root.to_path_buf()).chain(inner.iter().map(|inner| root.join(inner))).find(fits)
}

/// Joins `folder` and `path`; `None` if the result would lie outside `folder`.
pub(super) fn inside(folder: &Path, path: &str) -> Option<PathBuf> {
    let inside = |c: Component| matches!(c, Component::Normal(_) | Component::CurDir);
    let relative = Path::new(path);
    let fits = relative.file_name().is_some() && relative.components().all(inside);
    fits.then(|| folder.join(relative))
}

/// A list file: its path, for error messages, and its text.
pub(super) struct List {
    pub path: PathBuf,
    pub text: String,
}

impl List {
    /// Reads `folder/name`.
    pub fn read(layout: Layout, folder: &Path, name: &str) -> Result<Self, DatasetError> {
        let path = folder.join(name);
        if !path.is_file() {
            return Err(DatasetError::Missing { layout, path });
        }
        match fs::read_to_string(&path) {
            Ok(text) => Ok(Self { path, text }),
            Err(source) => Err(DatasetError::Read { path, source }),
        }
    }

    /// Returns the trimmed lines with their numbers, from 1; blank lines are skipped.
    pub fn lines(&self) -> impl Iterator<Item = (usize, &str)> {
        // Spreadsheet programs and Windows editors prepend a byte order mark.
        let text = self.text.strip_prefix('\u{feff}').unwrap_or(&self.text);
        let lines = text.lines().enumerate().map(|(i, line)| (i + 1, line.trim()));
        lines.filter(|(_, line)| !line.is_empty())
    }

    /// Returns an error about a line; `found` is shortened.
    pub fn error(&self, line: usize, expected: impl Into<String>, found: &str) -> DatasetError {
        let found = found.chars().take(80).collect();
        let (path, expected) = (self.path.clone(), expected.into());
        DatasetError::Line { path, line, expected, found, source: None }
    }

    /// Joins `folder` and a path from the list. Returns an error if the path leads out of
    /// `folder`, because lists are untrusted.
    pub fn below(&self, line: usize, folder: &Path, path: &str) -> Result<PathBuf, DatasetError> {
        let wrong = || self.error(line, "a path inside the data set's folder", path);
        inside(folder, path).ok_or_else(wrong)
    }
}

/// Detects images that are listed twice, within a split or across splits. A query that is also in
/// the database would inflate every metric.
pub(super) struct Once<'a>(HashSet<&'a str>);

impl<'a> Once<'a> {
    pub fn new() -> Self {
        Self(HashSet::new())
    }

    pub fn check(&mut self, list: &List, line: usize, path: &'a str) -> Result<(), DatasetError> {
        if self.0.insert(path) {
            return Ok(());
        }
        Err(list.error(line, "every image only once across all splits", path))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_stay_inside_the_root() {
        let list = List { path: "train.txt".into(), text: String::new() };
        let root = Path::new("root");
        assert_eq!(list.below(1, root, "a/./b.jpg").unwrap(), root.join("a/./b.jpg"));
        for path in ["", ".", "/etc/passwd", "../a.jpg", "a/../../b.jpg", "a/.."] {
            assert!(list.below(1, root, path).is_err(), "{path}");
        }
    }
}
