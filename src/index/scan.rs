/*!
Which image files there are under a folder, and what they are labelled.
*/

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use walkdir::{DirEntry, WalkDir};

use super::store::Stamp;
use super::{IndexError, Skipped, stored_path};
use crate::image::is_image_path;

/// Where labels come from.
#[derive(Debug, Clone, Default)]
pub enum Labels {
    /// Images are not labelled; labels there are stay.
    #[default]
    None,
    /// The name of the folder that an image is in.
    Folder,
    /// A table: stored path to label.
    Table(HashMap<String, String>),
}

impl Labels {
    /// Reads a table of `PATH,LABEL` lines; paths are relative to the file's folder.
    ///
    /// # Errors
    /// When the file cannot be read or a line has no comma.
    pub fn read(path: &Path) -> Result<Self, IndexError> {
        let failed = |reason: String| IndexError::Labels { path: path.to_owned(), reason };
        let text = std::fs::read_to_string(path).map_err(|error| failed(error.to_string()))?;
        let folder = std::path::absolute(path).map_err(|error| failed(error.to_string()))?;
        let folder = folder.parent().unwrap_or(Path::new("/"));
        // Spreadsheets and Windows editors put a byte order mark in front.
        let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
        let mut table = HashMap::new();
        for (number, line) in (1..).zip(text.lines()).filter(|(_, line)| !line.trim().is_empty()) {
            // A path may have commas, a label has none.
            let (image, label) = line
                .rsplit_once(',')
                .ok_or_else(|| failed(format!("line {number} has no comma")))?;
            let image = folder.join(image.trim().trim_matches('"'));
            let image = image.canonicalize().unwrap_or(image);
            table.insert(stored_path(&image), label.trim().trim_matches('"').to_owned());
        }
        Ok(Self::Table(table))
    }

    /// The label of an image; `None` where the source says nothing about it.
    pub(super) fn of(&self, path: &Path) -> Option<String> {
        match self {
            Self::None => None,
            Self::Folder => {
                path.parent()?.file_name().map(|name| name.to_string_lossy().into_owned())
            }
            Self::Table(table) => table.get(&stored_path(path)).cloned(),
        }
    }

    /// Whether this says what the label of an image is, so that a stored one changes.
    pub(super) fn decides(&self) -> bool {
        !matches!(self, Self::None)
    }
}

/// A file that may be an image.
pub(super) struct Candidate {
    pub path: PathBuf,
    pub stamp: Stamp,
}

/// All image files under `folder`, in the order of their paths; hidden files and
/// folders are passed over, links to folders are not followed.
///
/// # Errors
/// When `folder` itself cannot be read. Folders below it that cannot be read are
/// given with their reasons.
pub(super) fn scan(folder: &Path) -> Result<(Vec<Candidate>, Vec<Skipped>), IndexError> {
    let failed = |reason: String| IndexError::Folder { path: folder.to_owned(), reason };
    let meta = std::fs::metadata(folder).map_err(|error| failed(error.to_string()))?;
    if !meta.is_dir() {
        return Err(failed("it is not a folder".to_owned()));
    }
    std::fs::read_dir(folder).map_err(|error| failed(error.to_string()))?;
    let visible = |entry: &DirEntry| {
        entry.depth() == 0 || !entry.file_name().to_string_lossy().starts_with('.')
    };
    let (mut found, mut unreadable) = (Vec::new(), Vec::new());
    for entry in WalkDir::new(folder).sort_by_file_name().into_iter().filter_entry(visible) {
        let entry = match entry {
            Ok(entry) => entry,
            Err(error) => {
                let path = error.path().unwrap_or(folder).to_owned();
                unreadable.push(Skipped { path, reason: error.to_string() });
                continue;
            }
        };
        if !is_image_path(entry.path()) {
            continue;
        }
        // Follows a link to a file, as opening it would.
        match std::fs::metadata(entry.path()) {
            Ok(meta) if meta.is_file() => {
                let modified = meta.modified().ok().and_then(|t| t.duration_since(UNIX_EPOCH).ok());
                let modified = modified.map_or(0, |t| t.as_nanos() as i64);
                let stamp = Stamp { size: meta.len() as i64, modified };
                found.push(Candidate { path: entry.into_path(), stamp });
            }
            Ok(_) => {}
            Err(error) => {
                let reason = format!("{}: {error}", entry.path().display());
                unreadable.push(Skipped { path: entry.into_path(), reason });
            }
        }
    }
    Ok((found, unreadable))
}
