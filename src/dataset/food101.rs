/*!
The layout of Food-101 (Bossard, Guillaumin, Van Gool; ECCV 2014).

`meta/classes.txt` names the classes. `meta/train.txt` and `meta/test.txt` have one line
`class/image` per image, whose file is `images/class/image.jpg`. The same lists are also
published as JSON, an object with a list per class, which is read if the text file is missing.
There is no validation split.
*/

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use super::list::{List, Once};
use super::{Dataset, DatasetError, Layout, Sample};

const META: &str = "meta";
const CLASSES: &str = "classes.txt";
const SPLITS: [&str; 2] = ["train", "test"];

/// Returns the data set's folder: `root`, or the top folder of the published archive.
pub(super) fn base(root: &Path) -> Option<PathBuf> {
    let fits = |folder: &PathBuf| {
        let meta = folder.join(META);
        let split = |split: &&str| list_name(&meta, split).is_some();
        let classes = usize::from(meta.join(CLASSES).is_file());
        SPLITS.iter().filter(|name| split(name)).count() + classes >= 2
    };
    [root.to_path_buf(), root.join("food-101")].into_iter().find(fits)
}

/// Returns the file name of a split's list: the text file if present, otherwise the JSON file.
fn list_name(meta: &Path, split: &str) -> Option<String> {
    let names = ["txt", "json"].map(|extension| format!("{split}.{extension}"));
    names.into_iter().find(|name| meta.join(name).is_file())
}

/// Reads the data set in `root`.
pub(super) fn read(root: &Path) -> Result<Dataset, DatasetError> {
    let root = base(root).unwrap_or_else(|| root.to_path_buf());
    let meta = root.join(META);
    let list = |name: &str| List::read(Layout::Food101, &meta, name);
    let classes = list(CLASSES)?;
    let split = |split: &str| {
        let name = list_name(&meta, split).unwrap_or_else(|| format!("{split}.txt"));
        list(&name).and_then(Split::read)
    };
    let [train, test] = SPLITS.map(split);
    let (train, test) = (train?, test?);
    let mut labels = HashMap::new();
    for ((line, class), label) in classes.lines().zip(0u32..) {
        if labels.insert(class, label).is_some() {
            return Err(classes.error(line, "every class only once", class));
        }
    }
    let names = classes.lines().map(|(_, class)| class.to_owned()).collect();
    let mut dataset = Dataset::new(Layout::Food101, &root, names);
    let mut once = Once::new();
    dataset.train = train.samples(&root, &labels, &mut once)?;
    dataset.test = test.samples(&root, &labels, &mut once)?;
    Ok(dataset)
}

/// A list and its entries with their line numbers (always 1 for JSON).
struct Split {
    list: List,
    entries: Vec<(usize, String)>,
}

impl Split {
    fn read(list: List) -> Result<Self, DatasetError> {
        let json = list.path.extension().is_some_and(|extension| extension == "json");
        let entries = if json {
            let read = serde_json::from_str::<BTreeMap<String, Vec<String>>>(&list.text);
            let wrong = |error: serde_json::Error| {
                let line = error.line().max(1);
                let (expected, found) = ("an object of lists of 'class/image'", error.to_string());
                list.error(line, expected, &found).because(error)
            };
            read.map_err(wrong)?.into_values().flatten().map(|entry| (1, entry)).collect()
        } else {
            list.lines().map(|(line, entry)| (line, entry.to_owned())).collect()
        };
        Ok(Self { list, entries })
    }

    fn samples<'a>(
        &'a self,
        root: &Path,
        labels: &HashMap<&str, u32>,
        once: &mut Once<'a>,
    ) -> Result<Vec<Sample>, DatasetError> {
        let (list, images) = (&self.list, root.join("images"));
        let mut samples = Vec::with_capacity(self.entries.len());
        for (line, entry) in &self.entries {
            let class = entry.split_once('/').map(|(class, _)| class);
            let label = class.and_then(|class| labels.get(class)).ok_or_else(|| {
                list.error(*line, format!("'class/image' with a class of {CLASSES}"), entry)
            })?;
            once.check(list, *line, entry)?;
            let path = list.below(*line, &images, &format!("{entry}.jpg"))?;
            samples.push(Sample::file(path, vec![*label]));
        }
        Ok(samples)
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{names, refused, write};
    use super::*;

    const FILES: [(&str, &str); 3] = [
        ("meta/classes.txt", "apple_pie\nbaby_back_ribs\n"),
        ("meta/train.txt", "apple_pie/1005649\napple_pie/1014775\nbaby_back_ribs/1005293\n"),
        ("meta/test.txt", "apple_pie/1011328\nbaby_back_ribs/1007102\n"),
    ];
    const JSON: [(&str, &str); 2] = [
        (
            "meta/train.json",
            r#"{"apple_pie": ["apple_pie/1005649", "apple_pie/1014775"], "baby_back_ribs": ["baby_back_ribs/1005293"]}"#,
        ),
        (
            "meta/test.json",
            r#"{"apple_pie": ["apple_pie/1011328"], "baby_back_ribs": ["baby_back_ribs/1007102"]}"#,
        ),
    ];

    #[test]
    fn lists_become_splits() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("food-101");
        write(&root, &FILES);
        let data = Dataset::open(folder.path(), None, 0).unwrap();
        assert_eq!((data.layout, &data.root), (Layout::Food101, &root));
        assert_eq!(data.classes, ["apple_pie", "baby_back_ribs"]);
        let train = [
            "images/apple_pie/1005649.jpg",
            "images/apple_pie/1014775.jpg",
            "images/baby_back_ribs/1005293.jpg",
        ];
        assert_eq!(names(&data, &data.train), train);
        assert_eq!(data.test.iter().map(|s| s.labels[0]).collect::<Vec<_>>(), [0, 1]);
        assert_eq!(data.missing_files().len(), 5);
        write(&root, &JSON);
        std::fs::remove_file(root.join("meta/train.txt")).unwrap();
        std::fs::remove_file(root.join("meta/test.txt")).unwrap();
        assert_eq!(Dataset::open(folder.path(), None, 0).unwrap(), data);
    }

    #[test]
    fn missing_and_malformed_lists_are_named() {
        let folder = tempfile::tempdir().unwrap();
        for (list, _) in FILES {
            write(folder.path(), &FILES);
            std::fs::remove_file(folder.path().join(list)).unwrap();
            let error = refused(folder.path(), None);
            assert!(error.contains(list.rsplit('/').next().unwrap()), "{error}");
        }
        for (line, expected) in [
            ("1005649", "test.txt, line 1: expected 'class/image' with a class of classes.txt"),
            ("waffles/1005649", "with a class of classes.txt"),
            ("apple_pie/../../1005649", "line 1: expected a path inside"),
            ("apple_pie/1005649", "only once across all splits"),
        ] {
            write(folder.path(), &FILES);
            write(folder.path(), &[("meta/test.txt", line)]);
            let error = refused(folder.path(), None);
            assert!(error.contains(expected), "{error}");
        }
        std::fs::remove_file(folder.path().join("meta/test.txt")).unwrap();
        for text in ["", "[]", "{\"apple_pie\": [1]}", "{\"apple_pie\": \n"] {
            write(folder.path(), &[("meta/test.json", text)]);
            let error = refused(folder.path(), None);
            assert!(error.contains("test.json") && error.contains("object of lists"), "{error}");
        }
    }
}
