/*!
An index whose images have labels: the labels are the classes, and a fifth of each class, chosen by
seed, becomes the test split.
*/

use std::collections::HashSet;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use super::split::{Image, by_class};
use super::{Dataset, DatasetError, Layout};
use crate::index::Index;

/// Returns whether a file begins as an index does.
pub(super) fn is_index(path: &Path) -> bool {
    let mut start = [0; 16];
    path.is_file()
        && File::open(path).and_then(|mut file| file.read_exact(&mut start)).is_ok()
        && start == *b"SQLite format 3\0"
}

/// Reads the labelled images of the index `path`.
///
/// Images of the same content count once, and those whose files are gone do not count.
pub(super) fn read(path: &Path, seed: u64) -> Result<Dataset, DatasetError> {
    let failed = |source| DatasetError::Index { source };
    let index = Index::open(path).map_err(failed)?;
    let mut roots: Vec<PathBuf> =
        index.roots().map_err(failed)?.into_iter().map(|root| root.path.into()).collect();
    // The innermost folder around an image comes first.
    roots.sort_by_key(|root| std::cmp::Reverse(root.as_os_str().len()));
    let (mut images, mut contents) = (Vec::new(), HashSet::new());
    let (mut gone, mut copies) = (0, 0);
    for row in index.labelled().map_err(failed)? {
        let Some(class) = row.label else { continue };
        let file = PathBuf::from(row.path);
        if !file.is_file() {
            gone += 1;
        } else if !contents.insert((row.content, class.clone())) {
            copies += 1;
        } else {
            let root = roots.iter().find(|root| file.starts_with(root));
            let root = root.map_or_else(PathBuf::new, Clone::clone);
            images.push(Image::new(&root, &class, file));
        }
    }
    let mut dataset = by_class(Layout::Index, path, images, seed);
    let mut warn = |number: usize, why: &str| {
        if number > 0 {
            let images = if number == 1 { "image" } else { "images" };
            dataset.warnings.push(format!("{number} labelled {images} left out: {why}"));
        }
    };
    warn(gone, "the files are not there");
    warn(copies, "copies of others with the same label");
    Ok(dataset)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_files_that_begin_so_are_indexes() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a.db");
        std::fs::write(&file, b"SQLite format 3\0 and more").unwrap();
        assert!(is_index(&file));
        std::fs::write(&file, b"SQLite").unwrap();
        assert!(!is_index(&file) && !is_index(folder.path()));
    }
}
