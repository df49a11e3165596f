/*!
The layout of NABirds (Van Horn et al., CVPR 2015).

The lists are those of CUB-200-2011, with two differences: images have names instead of numbers,
and `classes.txt` numbers all nodes of a class hierarchy from 0 (`hierarchy.txt`: child, parent).
Only nodes that have images become classes here.
*/

use std::collections::{BTreeSet, HashMap};
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use super::cub::{IMAGES, LISTS, Lists};
use super::list::folder_with;
use super::{Dataset, DatasetError, Layout};

const HIERARCHY: &str = "hierarchy.txt";

/// Returns the folder with the lists: `root`, or the top folder of the published archive.
pub(super) fn base(root: &Path) -> Option<PathBuf> {
    let folder = folder_with(root, &["nabirds"], &LISTS, 2)?;
    let named = || is_name(&beginning(&folder.join(IMAGES)));
    (folder.join(HIERARCHY).is_file() || named()).then_some(folder)
}

/// Returns the first bytes of a file; empty if it is unreadable.
fn beginning(path: &Path) -> Vec<u8> {
    let mut bytes = Vec::new();
    if let Ok(file) = File::open(path) {
        let _ = file.take(36).read_to_end(&mut bytes);
    }
    bytes
}

/// Returns whether `text` has the form of an image name: 32 hexadecimal digits and four dashes.
fn is_name(text: &[u8]) -> bool {
    let dashes = text.iter().filter(|c| **c == b'-').count();
    text.len() == 36 && dashes == 4 && text.iter().all(|c| *c == b'-' || c.is_ascii_hexdigit())
}

/// Reads the data set in `root`.
pub(super) fn read(root: &Path) -> Result<Dataset, DatasetError> {
    let root = base(root).unwrap_or_else(|| {
        folder_with(root, &["nabirds"], &LISTS, 1).unwrap_or_else(|| root.to_path_buf())
    });
    let lists = Lists::read(Layout::NaBirds, &root)?;
    let mut dataset = lists.dataset(Layout::NaBirds, &root, Some, 0)?;
    keep_used(&mut dataset);
    Ok(dataset)
}

/// Removes the classes without images, which are inner nodes of the hierarchy.
fn keep_used(dataset: &mut Dataset) {
    let used: BTreeSet<u32> = dataset.samples().flat_map(|s| s.labels.iter().copied()).collect();
    let labels: HashMap<u32, u32> = used.iter().copied().zip(0..).collect();
    let names = used.iter().filter_map(|label| dataset.classes.get(*label as usize));
    dataset.classes = names.cloned().collect();
    for sample in dataset.train.iter_mut().chain(&mut dataset.test) {
        let own = sample.labels.iter().filter_map(|label| labels.get(label).copied());
        sample.labels = own.collect();
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{names, refused, write};
    use super::*;

    const FILES: [(&str, &str); 5] = [
        (
            "classes.txt",
            "0 Birds\n1 Ducks, Geese, and Swans\n295 Common Eider (Adult male)\n817 Oak Titmouse\n1010 Northern Cardinal (Adult Male)\n",
        ),
        ("hierarchy.txt", "1 0\n295 1\n817 0\n1010 0\n"),
        (
            "images.txt",
            "0000139e-21dc-4d0c-bfe1-4cae3c85c829 0817/0000139e21dc4d0cbfe14cae3c85c829.jpg\n0000d9fc-4e02-4c06-a0af-a55cfb16b12b 0817/0000d9fc4e024c06a0afa55cfb16b12b.jpg\n00019306-9d83-4334-b255-a447742edce3 0295/000193069d834334b255a447742edce3.jpg\n0001afd4-99a1-4a67-b940-d419413e23b3 1010/0001afd499a14a67b940d419413e23b3.jpg\n",
        ),
        (
            "image_class_labels.txt",
            "0000139e-21dc-4d0c-bfe1-4cae3c85c829 817\n0000d9fc-4e02-4c06-a0af-a55cfb16b12b 817\n00019306-9d83-4334-b255-a447742edce3 295\n0001afd4-99a1-4a67-b940-d419413e23b3 1010\n",
        ),
        (
            "train_test_split.txt",
            "0000139e-21dc-4d0c-bfe1-4cae3c85c829 0\n0000d9fc-4e02-4c06-a0af-a55cfb16b12b 1\n00019306-9d83-4334-b255-a447742edce3 1\n0001afd4-99a1-4a67-b940-d419413e23b3 1\n",
        ),
    ];

    #[test]
    fn lists_become_splits_and_only_used_classes_count() {
        let folder = tempfile::tempdir().unwrap();
        let inner = folder.path().join("nabirds");
        write(&inner, &FILES);
        let data = Dataset::open(folder.path(), None, 0).unwrap();
        assert_eq!((data.layout, &data.root), (Layout::NaBirds, &inner));
        let classes =
            ["Common Eider (Adult male)", "Oak Titmouse", "Northern Cardinal (Adult Male)"];
        assert_eq!(data.classes, classes);
        assert_eq!(data.train.iter().map(|s| s.labels[0]).collect::<Vec<_>>(), [1, 0, 2]);
        let test = ["images/0817/0000139e21dc4d0cbfe14cae3c85c829.jpg"];
        assert_eq!(names(&data, &data.test), test);
        assert!(!data.warnings.iter().any(|w| w.contains("no images of")), "{:?}", data.warnings);
        assert_eq!(data.missing_files().len(), 4);
    }

    #[test]
    fn it_is_told_from_its_cousin_without_the_hierarchy() {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), &FILES);
        std::fs::remove_file(folder.path().join(HIERARCHY)).unwrap();
        assert_eq!(Layout::detect(folder.path()).unwrap(), Layout::NaBirds);
        write(folder.path(), &[("images.txt", "1 a.jpg\n2 b.jpg\n")]);
        assert_eq!(Layout::detect(folder.path()).unwrap(), Layout::Cub);
    }

    #[test]
    fn missing_and_malformed_lists_are_named() {
        let folder = tempfile::tempdir().unwrap();
        for (list, _) in FILES.iter().filter(|(list, _)| *list != HIERARCHY) {
            write(folder.path(), &FILES);
            std::fs::remove_file(folder.path().join(list)).unwrap();
            let error = refused(folder.path(), None);
            assert!(error.contains(list) && error.contains("nabirds"), "{error}");
        }
        write(folder.path(), &FILES);
        for (list, line, expected) in [
            ("images.txt", "0009", "line 5: expected 'image number path'"),
            ("images.txt", "0009 ../a.jpg", "line 5: expected a path inside"),
            ("image_class_labels.txt", "0009 1", "line 5: expected an image number of images.txt"),
            ("classes.txt", "-1 None", "line 6: expected 'class number name', numbered from 0"),
        ] {
            write(folder.path(), &FILES);
            let text = std::fs::read_to_string(folder.path().join(list)).unwrap();
            write(folder.path(), &[(list, &format!("{text}{line}\n"))]);
            let error = refused(folder.path(), None);
            assert!(
                error.contains(expected) || error.contains("no line for image 0009"),
                "{error}"
            );
        }
    }
}
