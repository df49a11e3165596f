/*!
The layout of CUB-200-2011 (Wah, Branson, Welinder, Perona, Belongie; 2011).

`images.txt` numbers the images below `images/`, `image_class_labels.txt` gives each
number a class, `classes.txt` names the classes, and `train_test_split.txt` says 1 for
a training image. Numbers start at 1. There is no validation split.
*/

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use super::{Dataset, DatasetError, Layout, List, Once, Sample};

const CLASSES: &str = "classes.txt";
const IMAGES: &str = "images.txt";
const LABELS: &str = "image_class_labels.txt";
const SPLIT: &str = "train_test_split.txt";

/// The folder with the lists: `root` or the folder that the published archive unpacks to.
pub(super) fn base(root: &Path) -> Option<PathBuf> {
    let fits = |folder: &PathBuf| {
        let lists = [IMAGES, LABELS, SPLIT].iter();
        lists.filter(|list| folder.join(list).is_file()).count() >= 2
    };
    [root.to_path_buf(), root.join("CUB_200_2011")].into_iter().find(fits)
}

/// Reads the data set in `root`.
pub(super) fn read(root: &Path) -> Result<Dataset, DatasetError> {
    let root = base(root).unwrap_or_else(|| root.to_path_buf());
    let list = |name| List::read(Layout::Cub, &root, name);
    let (images, labels, split, names) =
        (list(IMAGES)?, list(LABELS)?, list(SPLIT)?, list(CLASSES)?);
    let (numbers, classes) = classes(&names)?;
    let labels = Numbered::read(&labels, "'image number class number'")?;
    let split = Numbered::read(&split, "'image number 1' or 'image number 0'")?;
    let mut dataset = Dataset::new(Layout::Cub, &root, classes);
    let folder = root.join("images");
    let paths = Numbered::read(&images, "'image number path'")?;
    labels.no_more_than(&paths)?;
    split.no_more_than(&paths)?;
    let mut once = Once::new();
    for (id, line, path) in &paths.rows {
        once.check(&images, *line, path)?;
        let (label_line, label) = labels.get(*id, &images)?;
        let label = label.parse().ok().and_then(|n: u64| numbers.get(&n).copied());
        let label = label.ok_or_else(|| {
            labels
                .error(label_line, format!("'image number class number' with a class of {CLASSES}"))
        })?;
        let sample = Sample { path: images.below(*line, &folder, path)?, labels: vec![label] };
        match split.get(*id, &images)? {
            (_, "1") => dataset.train.push(sample),
            (_, "0") => dataset.test.push(sample),
            (line, _) => return Err(split.error(line, "1 for train or 0 for test")),
        }
    }
    Ok(dataset)
}

/// From class numbers to labels, and the names by label.
fn classes(list: &List) -> Result<(HashMap<u64, u32>, Vec<String>), DatasetError> {
    let mut rows = Numbered::read(list, "'class number name'")?.rows;
    rows.sort_unstable();
    let numbers = rows.iter().map(|(id, _, _)| *id).zip(0..).collect();
    let names = rows.into_iter().map(|(_, _, name)| name.to_string()).collect();
    Ok((numbers, names))
}

/// The lines of a list of the form `number value`, each number once.
struct Numbered<'a> {
    list: &'a List,
    /// Number, line, value.
    rows: Vec<(u64, usize, &'a str)>,
    /// From a number to its row.
    at: HashMap<u64, usize>,
}

impl<'a> Numbered<'a> {
    fn read(list: &'a List, expected: &str) -> Result<Self, DatasetError> {
        let (mut rows, mut at) = (Vec::new(), HashMap::new());
        for (line, text) in list.lines() {
            let (id, value) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
            let value = value.trim();
            let Some(id) = id.parse().ok().filter(|id| *id >= 1 && !value.is_empty()) else {
                return Err(list.error(line, format!("{expected}, numbered from 1"), text));
            };
            if at.insert(id, rows.len()).is_some() {
                return Err(list.error(line, "every number only once", text));
            }
            rows.push((id, line, value));
        }
        Ok(Self { list, rows, at })
    }

    /// Line and value of a number that `other` lists.
    fn get(&self, id: u64, other: &List) -> Result<(usize, &'a str), DatasetError> {
        let row = self.at.get(&id).and_then(|row| self.rows.get(*row));
        row.map(|(_, line, value)| (*line, *value)).ok_or_else(|| DatasetError::NoPartner {
            path: self.list.path.clone(),
            what: format!("image {id}"),
            other: other.path.clone(),
        })
    }

    /// Refuses a number that `other` does not list.
    fn no_more_than(&self, other: &Self) -> Result<(), DatasetError> {
        match self.rows.iter().find(|(id, _, _)| !other.at.contains_key(id)) {
            Some((id, line, _)) => {
                let found = format!("{id}");
                Err(self.list.error(*line, format!("an image number of {IMAGES}"), &found))
            }
            None => Ok(()),
        }
    }

    fn error(&self, line: usize, expected: impl Into<String>) -> DatasetError {
        let row = self.rows.iter().find(|(_, l, _)| *l == line);
        let found = row.map(|(id, _, value)| format!("{id} {value}")).unwrap_or_default();
        self.list.error(line, expected, &found)
    }
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
