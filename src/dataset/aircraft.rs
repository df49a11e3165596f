/*!
The layout of FGVC-Aircraft (Maji, Kannala, Rahtu, Blaschko, Vedaldi; 2013).

All files lie in a folder `data`. `variants.txt` names the classes.
`images_variant_train.txt`, `images_variant_val.txt` and `images_variant_test.txt` have one
line `image variant` per image. The image file is `images/IMAGE.jpg`, named by seven digits;
the variant may contain spaces and slashes.
*/

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use super::list::{List, Once, folder_with};
use super::{Dataset, DatasetError, Layout, Sample};

const VARIANTS: &str = "variants.txt";
const LISTS: [&str; 3] =
    ["images_variant_train.txt", "images_variant_val.txt", "images_variant_test.txt"];

/// Returns the folder with the lists: `root`, its `data` folder, or that of the published archive.
pub(super) fn base(root: &Path) -> Option<PathBuf> {
    folder_with(root, &["data", "fgvc-aircraft-2013b/data"], &LISTS, 1)
}

/// Reads the data set in `root`.
pub(super) fn read(root: &Path) -> Result<Dataset, DatasetError> {
    let root = base(root).unwrap_or_else(|| root.to_path_buf());
    let list = |name| List::read(Layout::Aircraft, &root, name);
    let variants = list(VARIANTS)?;
    let lists = [list(LISTS[0])?, list(LISTS[1])?, list(LISTS[2])?];
    let mut labels = HashMap::new();
    for ((line, variant), label) in variants.lines().zip(0u32..) {
        if labels.insert(variant, label).is_some() {
            return Err(variants.error(line, "every variant only once", variant));
        }
    }
    let classes = variants.lines().map(|(_, variant)| variant.to_owned()).collect();
    let mut dataset = Dataset::new(Layout::Aircraft, &root, classes);
    let mut once = Once::new();
    dataset.train = samples(&lists[0], &root, &labels, &mut once)?;
    dataset.val = samples(&lists[1], &root, &labels, &mut once)?;
    dataset.test = samples(&lists[2], &root, &labels, &mut once)?;
    Ok(dataset)
}

fn samples<'a>(
    list: &'a List,
    root: &Path,
    labels: &HashMap<&str, u32>,
    once: &mut Once<'a>,
) -> Result<Vec<Sample>, DatasetError> {
    let images = root.join("images");
    let mut samples = Vec::new();
    for (line, text) in list.lines() {
        let Some((image, variant)) = text.split_once(' ') else {
            return Err(list.error(line, "'image variant'", text));
        };
        let label = labels.get(variant.trim()).ok_or_else(|| {
            list.error(line, format!("'image variant' with a variant of {VARIANTS}"), text)
        })?;
        once.check(list, line, image)?;
        let path = list.below(line, &images, &format!("{image}.jpg"))?;
        samples.push(Sample::file(path, vec![*label]));
    }
    Ok(samples)
}

#[cfg(test)]
mod tests {
    use super::super::tests::{names, refused, write};
    use super::*;

    const FILES: [(&str, &str); 4] = [
        ("variants.txt", "707-320\nF/A-18\nGulfstream IV\n"),
        ("images_variant_train.txt", "1025794 707-320\n0056978 F/A-18\n0450014 Gulfstream IV\n"),
        ("images_variant_val.txt", "1340192 707-320\n"),
        ("images_variant_test.txt", "1514522 Gulfstream IV\n0747566 F/A-18\n"),
    ];

    #[test]
    fn lists_become_splits() {
        let folder = tempfile::tempdir().unwrap();
        for inner in ["fgvc-aircraft-2013b/data", "data", "."] {
            let root = folder.path().join(inner);
            write(&root, &FILES);
            let data = Dataset::open(folder.path(), None, 0).unwrap();
            assert_eq!(data.layout, Layout::Aircraft);
            assert_eq!(data.classes, ["707-320", "F/A-18", "Gulfstream IV"]);
            let train = ["images/1025794.jpg", "images/0056978.jpg", "images/0450014.jpg"];
            assert_eq!(names(&data, &data.train), train);
            assert_eq!(data.test.iter().map(|s| s.labels[0]).collect::<Vec<_>>(), [2, 1]);
            assert_eq!(names(&data, &data.val), ["images/1340192.jpg"]);
            assert_eq!(data.missing_files().len(), 6);
        }
    }

    #[test]
    fn missing_and_malformed_lists_are_named() {
        let folder = tempfile::tempdir().unwrap();
        for (list, _) in FILES {
            write(folder.path(), &FILES);
            std::fs::remove_file(folder.path().join(list)).unwrap();
            let error = refused(folder.path(), None);
            assert!(error.contains(list), "{error}");
        }
        for (list, text, expected) in [
            ("variants.txt", "707-320\n707-320\n", "line 2: expected every variant only once"),
            ("images_variant_val.txt", "1340192\n", "line 1: expected 'image variant'"),
            ("images_variant_val.txt", "1 Gulfstream\n", "with a variant of variants.txt"),
            ("images_variant_val.txt", "1025794 707-320\n", "only once across all splits"),
            ("images_variant_val.txt", "../1 707-320\n", "a path inside the data set"),
            ("images_variant_test.txt", "\n", "test split"),
        ] {
            write(folder.path(), &FILES);
            write(folder.path(), &[(list, text)]);
            let error = refused(folder.path(), None);
            assert!(error.contains(expected), "{error}");
        }
    }
}
