/*!
Paths: as an index stores them, and the files that an index consists of.
*/

use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// Returns a path as it is stored and shown.
pub(super) fn stored_path(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

/// Returns the path under which a file or folder is indexed: absolute, with its links followed. A
/// path that does not exist is only made absolute.
///
/// # Errors
/// If `path` is empty, or the current folder is needed and unknown.
pub fn indexed_path(path: &Path) -> io::Result<String> {
    let absolute = path.canonicalize().or_else(|_| std::path::absolute(path))?;
    Ok(stored_path(&absolute))
}

/// Returns the folder of `roots` that contains a stored path: the innermost if several do.
pub fn innermost<'a>(path: &str, roots: &'a [String]) -> Option<&'a str> {
    let around = roots.iter().filter(|root| is_under(path, root));
    around.max_by_key(|root| root.len()).map(String::as_str)
}

/// Returns whether a stored path is `folder` or lies in it.
pub(super) fn is_under(path: &str, folder: &str) -> bool {
    Path::new(path).starts_with(folder)
}

/// Whether a file does not exist, as opposed to being out of reach.
pub(super) fn is_gone(path: &Path) -> bool {
    let error = std::fs::metadata(path).err();
    error.is_some_and(|e| matches!(e.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory))
}

/// Returns the file that `path` refers to. Links are followed, because SQLite's other files lie
/// beside the file itself. Absolute, because SQLite gives names like ":memory:" a meaning.
pub(super) fn real(path: &Path) -> PathBuf {
    let link = path.symlink_metadata().is_ok_and(|meta| meta.is_symlink());
    let followed = link.then(|| path.canonicalize().ok()).flatten();
    followed.or_else(|| std::path::absolute(path).ok()).unwrap_or_else(|| path.to_owned())
}

/// Returns a file beside the index.
pub(super) fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = real(path).into_os_string();
    name.push(ending);
    name.into()
}

/// Returns the files that hold an index: its own and SQLite's write-ahead log.
pub(crate) fn files(path: &Path) -> [PathBuf; 2] {
    [real(path), beside(path, "-wal")]
}

/// Sizes and modification times of an index's files, which every change of the index changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct FileStamp([Option<(u64, Option<SystemTime>)>; 2]);

impl FileStamp {
    pub fn of(path: &Path) -> Self {
        Self(files(path).map(|path| {
            let meta = fs::metadata(path).ok()?;
            // Reading may create an empty log.
            (meta.len() > 0).then(|| (meta.len(), meta.modified().ok()))
        }))
    }
}
