/*!
Classes that the lists only number; their names come from the folders of their images.
*/

use std::collections::{BTreeMap, HashSet};
use std::path::PathBuf;

use super::{Dataset, Sample};

/// An entry of a list.
pub(super) struct Entry<'a> {
    /// Path relative to the folder of images, joined by `/`.
    pub place: &'a str,
    /// Path of the file.
    pub path: PathBuf,
    /// Class number.
    pub class: u64,
}

/// Fills a new data set with the entries of the training, validation and test split.
///
/// A class is named after the innermost folder of its first image. If another class would get the
/// same name, both are named by the whole path of their folder and their number.
pub(super) fn fill(dataset: &mut Dataset, splits: [Vec<Entry<'_>>; 3]) {
    let mut folders: BTreeMap<u64, &str> = BTreeMap::new();
    let mut spread: BTreeMap<u64, ()> = BTreeMap::new();
    for entry in splits.iter().flatten() {
        let folder = entry.place.rsplit_once('/').map_or("", |(folder, _)| folder);
        if *folders.entry(entry.class).or_insert(folder) != folder {
            spread.insert(entry.class, ());
        }
    }
    let last = |folder: &str| folder.rsplit('/').next().unwrap_or_default().to_owned();
    let mut seen = HashSet::new();
    let twice: HashSet<String> = folders
        .values()
        .map(|folder| last(folder))
        .filter(|name| !seen.insert(name.clone()))
        .collect();
    let name = |(class, folder): (&u64, &&str)| match last(folder) {
        name if name.is_empty() => format!("class {class}"),
        name if twice.contains(&name) => format!("{folder} ({class})"),
        name => name,
    };
    dataset.classes = folders.iter().map(name).collect();
    if let Some(class) = spread.keys().next() {
        let count = spread.len();
        dataset.warnings.push(format!(
            "the images of {count} classes lie in several folders (first: class number {class}); using the class numbers of the lists"
        ));
    }
    let labels: BTreeMap<u64, u32> = folders.keys().copied().zip(0..).collect();
    let [train, val, test] = splits.map(|entries| {
        // Always found: the labels were collected from the entries.
        let sample = |entry: Entry| {
            Sample::file(entry.path, labels.get(&entry.class).copied().into_iter().collect())
        };
        entries.into_iter().map(sample).collect()
    });
    (dataset.train, dataset.val, dataset.test) = (train, val, test);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dataset::Layout;

    fn filled(entries: &[(&'static str, u64)]) -> Dataset {
        let mut dataset = Dataset::new(Layout::VegFru, "root".as_ref(), Vec::new());
        let entry = |(place, class): &(&'static str, u64)| Entry {
            place,
            path: place.into(),
            class: *class,
        };
        fill(&mut dataset, [entries.iter().map(entry).collect(), Vec::new(), Vec::new()]);
        dataset
    }

    #[test]
    fn classes_are_called_by_their_folders() {
        let data = filled(&[("veg/leek/1.jpg", 7), ("fru/fig/1.jpg", 3), ("veg/leek/2.jpg", 7)]);
        assert_eq!(data.classes, ["fig", "leek"]);
        assert_eq!(data.train.iter().map(|s| s.labels[0]).collect::<Vec<_>>(), [1, 0, 1]);
        assert!(data.warnings.is_empty());
    }

    #[test]
    fn no_two_classes_have_one_name() {
        let data = filled(&[("veg/lime/1.jpg", 1), ("fru/lime/1.jpg", 2), ("3.jpg", 3)]);
        assert_eq!(data.classes, ["veg/lime (1)", "fru/lime (2)", "class 3"]);
        let data = filled(&[("lime/1.jpg", 1), ("lime/2.jpg", 2)]);
        assert_eq!(data.classes, ["lime (1)", "lime (2)"]);
    }

    #[test]
    fn a_class_in_several_folders_is_said() {
        let data = filled(&[("leek/1.jpg", 1), ("fig/1.jpg", 2), ("fig/2.jpg", 1)]);
        assert!(
            data.warnings[0].contains("1 classes lie in several folders"),
            "{:?}",
            data.warnings
        );
        assert_eq!(data.train[2].labels, [0]);
    }
}
