/*!
The layout of CUB-200-2011 (Wah, Branson, Welinder, Perona, Belongie; 2011).

`images.txt` numbers the images below `images/`. `image_class_labels.txt` maps each image
number to a class, `classes.txt` names the classes, and `train_test_split.txt` marks training
images with 1. Numbers start at 1. There is no validation split.
*/

use std::collections::HashMap;
use std::fmt::Display;
use std::hash::Hash;
use std::path::{Path, PathBuf};

use super::keyed::Keyed;
use super::list::{List, Once, folder_with};
use super::{Dataset, DatasetError, Layout, Sample};

const CLASSES: &str = "classes.txt";
pub(super) const IMAGES: &str = "images.txt";
const LABELS: &str = "image_class_labels.txt";
const SPLIT: &str = "train_test_split.txt";
/// The lists that identify this layout. `classes.txt` is not among them: other layouts have it too.
pub(super) const LISTS: [&str; 3] = [IMAGES, LABELS, SPLIT];

/// Returns the folder with the lists: `root`, or the top folder of the published archive.
pub(super) fn base(root: &Path) -> Option<PathBuf> {
    folder_with(root, &["CUB_200_2011"], &LISTS, 2)
}

/// Reads the data set in `root`.
pub(super) fn read(root: &Path) -> Result<Dataset, DatasetError> {
    let root = base(root).unwrap_or_else(|| root.to_path_buf());
    Lists::read(Layout::Cub, &root)?.dataset(Layout::Cub, &root, |key| number(key, 1), 1)
}

fn number(key: &str, least: u64) -> Option<u64> {
    key.parse().ok().filter(|id| *id >= least)
}

/// The four lists that CUB-200-2011 and NABirds share.
pub(super) struct Lists {
    images: List,
    labels: List,
    split: List,
    classes: List,
}

impl Lists {
    /// Reads all four lists.
    pub fn read(layout: Layout, root: &Path) -> Result<Self, DatasetError> {
        let list = |name| List::read(layout, root, name);
        Ok(Self {
            images: list(IMAGES)?,
            labels: list(LABELS)?,
            split: list(SPLIT)?,
            classes: list(CLASSES)?,
        })
    }

    /// Builds the data set. `key` parses an image's number or name; class numbers start at
    /// `least_class`.
    pub fn dataset<'a, K: Copy + Eq + Hash + Display>(
        &'a self,
        layout: Layout,
        root: &Path,
        key: impl Fn(&'a str) -> Option<K>,
        least_class: u64,
    ) -> Result<Dataset, DatasetError> {
        let Self { images, labels, split, classes } = self;
        let (numbers, names) = named(classes, least_class)?;
        let of_images = |value: &str| format!("'image number {value}', numbered from 1");
        let labels = Keyed::read(labels, &key, &of_images("class number"))?;
        let split = Keyed::read(split, &key, &of_images("1' or 'image number 0"))?;
        let mut dataset = Dataset::new(layout, root, names);
        let folder = root.join("images");
        let paths = Keyed::read(images, &key, &of_images("path"))?;
        labels.no_more_than(&paths, IMAGES)?;
        split.no_more_than(&paths, IMAGES)?;
        let mut once = Once::new();
        for (id, line, path) in &paths.rows {
            once.check(images, *line, path)?;
            let (label_line, label) = labels.get(*id, images)?;
            let label = label.parse().ok().and_then(|n: u64| numbers.get(&n).copied());
            let label = label.ok_or_else(|| {
                let expected = format!("'image number class number' with a class of {CLASSES}");
                labels.error(label_line, expected)
            })?;
            let sample = Sample::file(images.below(*line, &folder, path)?, vec![label]);
            match split.get(*id, images)? {
                (_, "1") => dataset.train.push(sample),
                (_, "0") => dataset.test.push(sample),
                (line, _) => return Err(split.error(line, "1 for train or 0 for test")),
            }
        }
        Ok(dataset)
    }
}

/// Returns the label of each class number, and the class names in the order of the labels.
fn named(list: &List, least: u64) -> Result<(HashMap<u64, u32>, Vec<String>), DatasetError> {
    let expected = format!("'class number name', numbered from {least}");
    let mut rows = Keyed::read(list, |key| number(key, least), &expected)?.rows;
    rows.sort_unstable();
    let numbers = rows.iter().map(|(id, _, _)| *id).zip(0..).collect();
    let names = rows.into_iter().map(|(_, _, name)| name.to_string()).collect();
    Ok((numbers, names))
}

#[cfg(test)]
mod tests {
    use super::super::tests::{names, refused, write};
    use super::*;

    const FILES: [(&str, &str); 4] = [
        ("classes.txt", "1 001.Black_footed_Albatross\n2 002.Laysan_Albatross\n"),
        (
            "images.txt",
            "1 001.Black_footed_Albatross/a.jpg\n2 001.Black_footed_Albatross/b.jpg\n3 002.Laysan_Albatross/c d.jpg\n4 002.Laysan_Albatross/e.jpg\n",
        ),
        ("image_class_labels.txt", "1 1\n2 1\n3 2\n4 2\n"),
        ("train_test_split.txt", "1 0\n2 1\n3 1\n4 0\n"),
    ];

    #[test]
    fn lists_become_splits() {
        let folder = tempfile::tempdir().unwrap();
        for root in [folder.path().to_path_buf(), folder.path().join("CUB_200_2011")] {
            let _ = std::fs::remove_file(folder.path().join("images.txt"));
            let _ = std::fs::remove_file(folder.path().join("image_class_labels.txt"));
            write(&root, &FILES);
            let data = Dataset::open(folder.path(), None, 0).unwrap();
            assert_eq!((data.layout, &data.root), (Layout::Cub, &root));
            assert_eq!(data.classes, ["001.Black_footed_Albatross", "002.Laysan_Albatross"]);
            let train =
                ["images/001.Black_footed_Albatross/b.jpg", "images/002.Laysan_Albatross/c d.jpg"];
            assert_eq!(names(&data, &data.train), train);
            assert_eq!(data.test.iter().map(|s| s.labels[0]).collect::<Vec<_>>(), [0, 1]);
            assert!(data.val.is_empty() && data.warnings.is_empty());
            assert_eq!(data.missing_files().len(), 4);
        }
    }

    #[test]
    fn a_missing_list_is_named() {
        let folder = tempfile::tempdir().unwrap();
        for (list, _) in FILES {
            write(folder.path(), &FILES);
            std::fs::remove_file(folder.path().join(list)).unwrap();
            let error = refused(folder.path(), None);
            assert!(error.contains(list), "{error}");
        }
    }

    #[test]
    fn malformed_lists_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let bad = [
            ("images.txt", "1", "line 5: expected 'image number path'"),
            ("images.txt", "0 a.jpg", "line 5: expected 'image number path', numbered from 1"),
            ("images.txt", "x a.jpg", "line 5: expected 'image number path'"),
            ("images.txt", "4 f.jpg", "line 5: expected every number only once"),
            ("images.txt", "5 f.jpg", "has no line for image 5"),
            (
                "images.txt",
                "5 002.Laysan_Albatross/e.jpg",
                "line 5: expected every image only once",
            ),
            ("image_class_labels.txt", "5 1", "line 5: expected an image number of images.txt"),
            ("train_test_split.txt", "3 1", "line 5: expected every number only once"),
            ("train_test_split.txt", "9 1", "line 5: expected an image number of images.txt"),
            ("classes.txt", "2 again", "line 3: expected every number only once"),
        ];
        for (list, line, expected) in bad {
            write(folder.path(), &FILES);
            let text = std::fs::read_to_string(folder.path().join(list)).unwrap();
            write(folder.path(), &[(list, &format!("{text}{line}\n"))]);
            let error = refused(folder.path(), None);
            assert!(error.contains(expected), "{error}");
        }
        let bad = [
            (
                "images.txt",
                "1 a.jpg\n2 b.jpg\n3 ../c.jpg\n4 d.jpg",
                "line 3: expected a path inside",
            ),
            ("images.txt", "1 a.jpg\n2 /b.jpg\n3 c.jpg\n4 d.jpg", "line 2: expected a path inside"),
            (
                "image_class_labels.txt",
                "1 1\n2 1\n3 3\n4 2",
                "line 3: expected 'image number class number' with a class",
            ),
            (
                "image_class_labels.txt",
                "1 1\n2 1\n3 0\n4 2",
                "line 3: expected 'image number class number' with a class",
            ),
            (
                "image_class_labels.txt",
                "1 1\n2 1\n4 2",
                "image_class_labels.txt has no line for image 3",
            ),
            ("train_test_split.txt", "1 0\n2 1\n3 2\n4 0", "line 3: expected 1 for train"),
            ("train_test_split.txt", "1 0\n2 0\n3 0\n4 0", "train split"),
        ];
        for (list, text, expected) in bad {
            write(folder.path(), &FILES);
            write(folder.path(), &[(list, text)]);
            let error = refused(folder.path(), None);
            assert!(error.contains(expected), "{error}");
        }
    }
}
