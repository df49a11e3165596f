//! Of all layouts, and helpers for tests of each.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use super::*;

/// Creates files with the given content below a folder, along with their parent folders.
pub(crate) fn write(root: &Path, files: &[(&str, &str)]) {
    for (name, content) in files {
        let path = root.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }
}

/// Returns the error message of a data set that must not open.
pub(crate) fn refused(root: &Path, layout: Option<Layout>) -> String {
    Dataset::open(root, layout, 0).unwrap_err().to_string()
}

/// Returns the paths of samples relative to the data set's root, with forward slashes.
pub(crate) fn names(dataset: &Dataset, samples: &[Sample]) -> Vec<String> {
    let relative = |s: &Sample| s.path.strip_prefix(&dataset.root).unwrap().to_path_buf();
    samples.iter().map(|s| relative(s).to_string_lossy().replace('\\', "/")).collect()
}

#[test]
fn a_missing_root_is_named() {
    let error = refused(Path::new("no/such/folder"), None);
    assert!(error.contains("no/such/folder"), "{error}");
}

/// Returns images of classes 0 to 5; every third image has two classes.
fn several() -> Dataset {
    let mut data = Dataset::new(
        Layout::NusWide,
        Path::new("root"),
        ["sky", "lake", "sun", "sand", "snow", "tree"].map(str::to_owned).to_vec(),
    );
    let sample = |i: u32| {
        let labels = BTreeSet::from([i % 6, if i.is_multiple_of(3) { (i + 1) % 6 } else { i % 6 }]);
        Sample::file(format!("{i}.jpg").into(), labels.into_iter().collect())
    };
    data.train = (0..30).map(sample).collect();
    data.database = Some((0..50).map(sample).collect());
    data.test = (50..60).map(sample).collect();
    data
}

#[test]
fn images_with_any_held_out_class_leave_training_alone() {
    let (whole, mut data) = (several(), several());
    data.hold_out(0.3, 1).unwrap();
    assert_eq!(data.held_out.len(), 2);
    let strange = |sample: &Sample| sample.labels.iter().any(|label| data.held_out.contains(label));
    let known: Vec<Sample> = whole.train.iter().filter(|s| !strange(s)).cloned().collect();
    assert!(known.len() < whole.train.len() && known.iter().any(|s| s.labels.len() > 1));
    assert_eq!(data.train, known);
    assert_eq!((data.database(), &data.test), (whole.database(), &whole.test));
}

#[test]
fn the_database_counts_every_image_once() {
    let mut data = several();
    assert_eq!(data.samples().count(), 60);
    assert_eq!(data.counts(), Counts { train: 30, val: 0, test: 10, database: 50 });
    data.database = None;
    assert_eq!((data.database(), data.samples().count()), (&*data.train, 40));
}
