/*!
The layouts of Oxford Flowers-102 (Nilsback, Zisserman; ICVGIP 2008) and Flowers-17 (same
authors; CVPR 2006). Both have numbered images in `jpg/` and no class names.

Flowers-102: `imagelabels.mat` lists the class of each image, from 1. `setid.mat` lists the
numbers of the images for training (`trnid`), validation (`valid`) and testing (`tstid`). This
module uses the published split; some papers swap it and train on the larger `tstid`.

Flowers-17: images 1 to 80 are the first class, the next 80 the second, and so on.
`datasplits.mat` defines three splits (`trn1`, `val1`, `tst1`, …); the first is used.
*/

use std::collections::HashSet;
use std::path::Path;

use super::mat::Mat;
use super::{Dataset, DatasetError, Layout, Sample};

const LABELS: &str = "imagelabels.mat";
const SETS: &str = "setid.mat";
const SPLITS: &str = "datasplits.mat";

/// Number of classes of Flowers-17, and of images per class.
const KINDS: u64 = 17;
const OF_EACH: u64 = 80;

/// Returns whether `root` contains a list of Flowers-102.
pub(super) fn has_102(root: &Path) -> bool {
    [LABELS, SETS].iter().any(|list| root.join(list).is_file())
}

/// Returns whether `root` contains the list of Flowers-17.
pub(super) fn has_17(root: &Path) -> bool {
    root.join(SPLITS).is_file()
}

/// Reads Flowers-102 in `root`.
pub(super) fn read_102(root: &Path) -> Result<Dataset, DatasetError> {
    let labels_list = Mat::read(Layout::Flowers102, root, LABELS)?;
    let sets = Mat::read(Layout::Flowers102, root, SETS)?;
    let labels = labels_list.numbers("labels")?;
    for (place, label) in labels.iter().enumerate() {
        // There cannot be more classes than images.
        if *label == 0 || *label > labels.len() as u64 {
            let expected = "the number of a class, from 1";
            return Err(labels_list.entry("labels", place, expected, &label.to_string()));
        }
    }
    let class = |image: u64| labels.get(image.checked_sub(1)? as usize).copied();
    let file = |image: u64| format!("jpg/image_{image:05}.jpg");
    let classes = labels.iter().copied().max().unwrap_or(0);
    let mut dataset = numbered(Layout::Flowers102, root, classes);
    fill(&mut dataset, &sets, ["trnid", "valid", "tstid"], labels.len(), class, file)?;
    Ok(dataset)
}

/// Reads Flowers-17 in `root`.
pub(super) fn read_17(root: &Path) -> Result<Dataset, DatasetError> {
    let splits = Mat::read(Layout::Flowers17, root, SPLITS)?;
    let most = KINDS * OF_EACH;
    let class = |image: u64| (1..=most).contains(&image).then(|| (image - 1) / OF_EACH + 1);
    let file = |image: u64| format!("jpg/image_{image:04}.jpg");
    let mut dataset = numbered(Layout::Flowers17, root, KINDS);
    fill(&mut dataset, &splits, ["trn1", "val1", "tst1"], most as usize, class, file)?;
    Ok(dataset)
}

/// Returns a new data set whose classes are named by number.
fn numbered(layout: Layout, root: &Path, classes: u64) -> Dataset {
    Dataset::new(layout, root, (1..=classes).map(|class| format!("class {class}")).collect())
}

/// Fills the three splits. `class` returns the class of an image, from 1, or `None` if no image
/// has that number. `most` is the number of the last image.
fn fill(
    dataset: &mut Dataset,
    sets: &Mat,
    splits: [&str; 3],
    most: usize,
    class: impl Fn(u64) -> Option<u64>,
    file: impl Fn(u64) -> String,
) -> Result<(), DatasetError> {
    let mut once = HashSet::new();
    let mut samples = |split: &str| -> Result<Vec<Sample>, DatasetError> {
        let mut samples = Vec::new();
        for (place, image) in sets.numbers(split)?.into_iter().enumerate() {
            let wrong = |expected: &str| sets.entry(split, place, expected, &image.to_string());
            let known = || wrong(&format!("an image's number from 1 to {most}"));
            let label = class(image).ok_or_else(known)? - 1;
            if !once.insert(image) {
                return Err(wrong("listed only once across all splits"));
            }
            samples.push(Sample::file(dataset.root.join(file(image)), vec![label as u32]));
        }
        Ok(samples)
    };
    let [train, val, test] = splits;
    let (train, val, test) = (samples(train)?, samples(val)?, samples(test)?);
    (dataset.train, dataset.val, dataset.test) = (train, val, test);
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::super::mat::tests::{file_of, fixture, numbers_of};
    use super::super::tests::{names, refused};
    use super::*;

    fn open(root: &Path) -> Dataset {
        Dataset::open(root, None, 0).unwrap()
    }

    fn write(root: &Path, list: &str, variables: &[(&str, &[f64])]) {
        let elements: Vec<_> = variables.iter().map(|(name, v)| numbers_of(name, v)).collect();
        fs::write(root.join(list), file_of(&elements)).unwrap();
    }

    #[test]
    fn the_published_sizes_of_102_come_out() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(LABELS), fixture!("imagelabels.mat")).unwrap();
        fs::write(folder.path().join(SETS), fixture!("setid.mat")).unwrap();
        let data = open(folder.path());
        assert_eq!((data.layout, data.classes.len()), (Layout::Flowers102, 102));
        assert_eq!(Some(data.counts()), Layout::Flowers102.facts().images);
        assert_eq!(data.missing_files().len(), crate::dataset::MISSING_SHOWN);
    }

    #[test]
    fn images_and_classes_of_102_count_from_1() {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), LABELS, &[("labels", &[3.0, 1.0, 1.0, 3.0])]);
        let sets: [(&str, &[f64]); 3] =
            [("trnid", &[1.0, 2.0]), ("valid", &[4.0]), ("tstid", &[3.0])];
        write(folder.path(), SETS, &sets);
        let data = open(folder.path());
        assert_eq!(data.classes, ["class 1", "class 2", "class 3"]);
        assert_eq!(names(&data, &data.train), ["jpg/image_00001.jpg", "jpg/image_00002.jpg"]);
        assert_eq!(data.train.iter().map(|s| s.labels[0]).collect::<Vec<_>>(), [2, 0]);
        assert_eq!(names(&data, &data.val), ["jpg/image_00004.jpg"]);
        assert_eq!(
            (names(&data, &data.test), data.test[0].labels[0]),
            (vec!["jpg/image_00003.jpg".to_owned()], 0)
        );
    }

    #[test]
    fn eighty_images_of_17_are_a_class() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(SPLITS), fixture!("datasplits.mat")).unwrap();
        let data = open(folder.path());
        assert_eq!((data.layout, data.classes.len()), (Layout::Flowers17, 17));
        assert_eq!(Some(data.counts()), Layout::Flowers17.facts().images);
        for (file, class) in
            [("0001", 0), ("0080", 0), ("0081", 1), ("1280", 15), ("1281", 16), ("1360", 16)]
        {
            let path = folder.path().join(format!("jpg/image_{file}.jpg"));
            let sample = data.samples().find(|sample| sample.path == path).unwrap();
            assert_eq!(sample.labels, [class], "{file}");
        }
        for (samples, each) in [(&data.train, 40), (&data.val, 20), (&data.test, 20)] {
            assert_eq!(samples.iter().filter(|s| s.labels == [16]).count(), each);
        }
    }

    #[test]
    fn missing_and_malformed_lists_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        let good: [(&str, &[f64]); 3] = [("trnid", &[1.0]), ("valid", &[]), ("tstid", &[2.0])];
        write(root, SETS, &good);
        assert!(refused(root, None).contains(LABELS));
        fs::remove_file(root.join(SETS)).unwrap();
        write(root, LABELS, &[("labels", &[1.0, 2.0])]);
        assert!(refused(root, None).contains(SETS));
        assert!(refused(root, Some(Layout::Flowers17)).contains(SPLITS));
        write(root, SETS, &good);
        for (label, expected) in
            [(0.0, "entry 2 of labels"), (3.0, "the number of a class"), (1e12, "class")]
        {
            write(root, LABELS, &[("labels", &[1.0, label])]);
            let error = refused(root, None);
            assert!(error.contains(expected) && error.contains(LABELS), "{error}");
        }
        write(root, LABELS, &[("labels", &[1.0, 2.0])]);
        for (image, expected) in [
            (0.0, "entry 1 of tstid should be an image's number from 1 to 2"),
            (3.0, "entry 1 of tstid should be an image's number from 1 to 2"),
            (1.0, "entry 1 of tstid should be listed only once"),
        ] {
            write(root, SETS, &[good[0], good[1], ("tstid", &[image])]);
            let error = refused(root, None);
            assert!(error.contains(expected), "{error}");
        }
        write(root, SETS, &good[..2]);
        assert!(refused(root, None).contains("no variable tstid"));
        fs::remove_file(root.join(SETS)).unwrap();
        fs::remove_file(root.join(LABELS)).unwrap();
        write(root, SPLITS, &[("trn1", &[1.0]), ("val1", &[2.0]), ("tst1", &[1361.0])]);
        assert!(refused(root, None).contains("from 1 to 1360"));
    }
}
