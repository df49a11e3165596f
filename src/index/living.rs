/*!
The state of an indexed file now: there, gone, or another picture than the one indexed.
*/

use std::fs::{self, File};
use std::path::Path;
use std::time::SystemTime;

use file_id::FileId;

use super::files::KnownImage;
use super::paths::is_gone;
use crate::folder::Stamp;

/// The file of an image, now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Living {
    /// It has the content that was indexed.
    Here(Here),
    /// There is no file at its path.
    Gone,
    /// It has another content, cannot be read, or the system does not tell which file it is, so
    /// that two paths to it would seem two files.
    Changed,
}

/// A file that is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Here {
    /// The file itself, whatever path leads to it.
    pub file: FileId,
    /// Whether the path is a link.
    pub link: bool,
    /// Size in bytes.
    pub bytes: u64,
    pub modified: Option<SystemTime>,
}

impl Living {
    /// Looks at the file of an image. Its content is read only if its size or date is another than
    /// the one indexed.
    pub fn of(image: &KnownImage) -> Self {
        let path = Path::new(&image.path);
        let meta = match fs::metadata(path) {
            Ok(meta) if meta.is_file() => meta,
            Err(_) if is_gone(path) => return Self::Gone,
            _ => return Self::Changed,
        };
        if !image.stamp.is(&Stamp::of(&meta), true) && hash(path).ok() != Some(image.content) {
            return Self::Changed;
        }
        let Ok(file) = file_id::get_file_id(path) else { return Self::Changed };
        Self::Here(Here {
            file,
            link: fs::symlink_metadata(path).is_ok_and(|meta| meta.is_symlink()),
            bytes: meta.len(),
            modified: meta.modified().ok(),
        })
    }
}

/// BLAKE3 of a file's content.
fn hash(path: &Path) -> std::io::Result<blake3::Hash> {
    let mut hasher = blake3::Hasher::new();
    hasher.update_reader(File::open(path)?)?;
    Ok(hasher.finalize())
}
