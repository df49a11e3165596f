/*!
Labelled image data sets: image files, their classes, and the splits for training and testing.

Each layout on disk has its own module; all produce the same [`Dataset`] of labelled splits.
Opening a data set reads lists and folder names, but no images: [`Sample::open`] reads those
one by one.
*/

mod aircraft;
mod cifar10;
mod cub;
mod dogs;
mod draw;
mod error;
mod facts;
mod flowers;
mod folder;
mod food101;
mod grocery;
mod keyed;
mod layout;
mod list;
mod mat;
mod nabirds;
mod numbered;
mod nuswide;
mod parts;
mod sample;
mod vegfru;

use std::collections::{BTreeSet, HashSet};
use std::path::{Path, PathBuf};

pub use error::DatasetError;
pub use facts::{Counts, Facts, Place};
pub use layout::Layout;
pub use parts::{Area, TellingParts};
pub use sample::Sample;

/// Maximum number of paths that [`Dataset::missing_files`] returns.
pub const MISSING_SHOWN: usize = 20;

/// Maximum number of class names in a warning.
const NAMES_SHOWN: usize = 5;

/// Labelled images in splits. `test` contains the queries; the database is `train`, unless
/// `database` is set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dataset {
    /// The layout on disk.
    pub layout: Layout,
    /// The folder with the lists or the class folders.
    pub root: PathBuf,
    /// Class names; a label is an index into them.
    pub classes: Vec<String>,
    /// Training images.
    pub train: Vec<Sample>,
    /// The images that queries are compared with, if these are more than `train`. Includes
    /// `train`; see [`Dataset::database`].
    pub database: Option<Vec<Sample>>,
    /// Validation images; empty if the data set has no validation split.
    pub val: Vec<Sample>,
    /// Test images, the queries of an evaluation.
    pub test: Vec<Sample>,
    /// The seed of the split; `None` if the data set defines its own split.
    pub split_seed: Option<u64>,
    /// Problems with the data that are not errors, one sentence each.
    pub warnings: Vec<String>,
    /// Labels of the classes that [`Dataset::hold_out`] removed from training, ascending.
    pub held_out: Vec<u32>,
}

impl Dataset {
    /// Reads the data set in `root`, in the given layout or the one that [`Layout::detect`] finds.
    ///
    /// `split_seed` is used only if splits are random: in a folder of classes without a `train`
    /// level, and for CIFAR-10 and NUS-WIDE, where retrieval does not use the published split.
    /// Does not check whether listed image files exist; see [`Dataset::missing_files`].
    ///
    /// # Errors
    /// If the folder or a list is missing, a list is malformed or contains a path outside the
    /// folder, a required split is empty, or there is only one class.
    pub fn open(
        root: &Path,
        layout: Option<Layout>,
        split_seed: u64,
    ) -> Result<Self, DatasetError> {
        let detected = Layout::detect(root)?;
        let mut dataset = match layout.unwrap_or(detected) {
            Layout::Grocery => grocery::read(root)?,
            Layout::Folder => folder::read(root, split_seed)?,
            Layout::Photos => folder::read_photos(root)?,
            Layout::Cub => cub::read(root)?,
            Layout::NaBirds => nabirds::read(root)?,
            Layout::Dogs => dogs::read(root)?,
            Layout::Flowers102 => flowers::read_102(root)?,
            Layout::Flowers17 => flowers::read_17(root)?,
            Layout::Aircraft => aircraft::read(root)?,
            Layout::VegFru => vegfru::read(root)?,
            Layout::Food101 => food101::read(root)?,
            Layout::Cifar10 => cifar10::read(root, split_seed)?,
            Layout::NusWide => nuswide::read(root, split_seed)?,
        };
        dataset.check()?;
        dataset.warn();
        Ok(dataset)
    }

    /// Returns the images that queries are compared with: `database` if set, otherwise `train`.
    pub fn database(&self) -> &[Sample] {
        self.database.as_ref().unwrap_or(&self.train)
    }

    /// Returns the first [`MISSING_SHOWN`] image files that are listed but not on disk.
    ///
    /// Checks every file on disk, which takes a while for a large data set.
    pub fn missing_files(&self) -> Vec<PathBuf> {
        // Check and report a file with many images only once.
        let mut seen = HashSet::new();
        let paths = self.samples().map(|s| &s.path).filter(|path| seen.insert(*path));
        paths.filter(|p| !p.is_file()).take(MISSING_SHOWN).cloned().collect()
    }

    /// Removes a share of the classes from `train` and `val`, so that a model can be evaluated on
    /// classes that it has never seen. The choice depends only on `seed` and the class names. At
    /// least one class is removed and at least two remain. An image with several classes is
    /// removed if any of them is. A separate database keeps all its images.
    ///
    /// # Errors
    /// [`DatasetError::HoldOut`] if `share` is not between 0 and 1 (both excluded), or if there
    /// are fewer than three classes.
    pub fn hold_out(&mut self, share: f64, seed: u64) -> Result<(), DatasetError> {
        let classes = self.classes.len();
        if !(share > 0.0 && share < 1.0) || classes < 3 {
            return Err(DatasetError::HoldOut { share, classes });
        }
        let key = |label: &u32| {
            let mut hasher = blake3::Hasher::new();
            hasher.update(&seed.to_le_bytes());
            hasher.update(self.classes[*label as usize].as_bytes());
            *hasher.finalize().as_bytes()
        };
        let mut labels: Vec<u32> = (0..classes as u32).collect();
        labels.sort_by_cached_key(key);
        labels.truncate(((classes as f64 * share).round() as usize).clamp(1, classes - 2));
        labels.sort_unstable();
        let seen = |sample: &Sample| sample.labels.iter().all(|l| labels.binary_search(l).is_err());
        self.train.retain(seen);
        self.val.retain(seen);
        if self.train.is_empty() {
            return Err(DatasetError::NoImages { split: "train", root: self.root.clone() });
        }
        self.held_out = labels;
        Ok(())
    }

    /// Iterates over all samples, each once: the database (which includes `train`), `val`, `test`.
    pub fn samples(&self) -> impl Iterator<Item = &Sample> {
        self.database().iter().chain(&self.val).chain(&self.test)
    }

    fn new(layout: Layout, root: &Path, classes: Vec<String>) -> Self {
        let (train, val, test) = (Vec::new(), Vec::new(), Vec::new());
        let (split_seed, warnings, held_out) = (None, Vec::new(), Vec::new());
        let root = root.into();
        let database = None;
        Self { layout, root, classes, train, database, val, test, split_seed, warnings, held_out }
    }

    fn check(&self) -> Result<(), DatasetError> {
        let split = if self.train.is_empty() { "train" } else { "test" };
        let used: BTreeSet<u32> = self.samples().flat_map(|s| s.labels.iter().copied()).collect();
        // Checked before the test split: a single class of one image also leaves the test split
        // empty, but the missing second class is the actual problem.
        if let (1, Some(only)) = (used.len(), used.first()) {
            let class = self.classes.get(*only as usize).cloned().unwrap_or_default();
            return Err(DatasetError::OneClass { root: self.root.clone(), class });
        }
        if self.layout == Layout::Photos {
            let none = || DatasetError::NoPhotos(self.root.clone());
            return self.train.first().map(|_| ()).ok_or_else(none);
        }
        if self.train.is_empty() || self.test.is_empty() {
            return Err(DatasetError::NoImages { split, root: self.root.clone() });
        }
        Ok(())
    }

    fn warn(&mut self) {
        let mut all = vec![0usize; self.classes.len()];
        let mut train = all.clone();
        count(&mut all, self.samples());
        count(&mut train, self.train.iter());
        let named = |wanted: &dyn Fn(usize) -> bool| -> Vec<&str> {
            let classes = self.classes.iter().enumerate();
            classes.filter(|(i, _)| wanted(*i)).map(|(_, name)| name.as_str()).collect()
        };
        let mut warnings = Vec::new();
        let single = named(&|i| all[i] == 1);
        if !single.is_empty() {
            let which = shorten(&single);
            warnings.push(format!("only one image of each of these classes, so their queries have no relevant image: {which}"));
        }
        let none = named(&|i| all[i] == 0);
        if !none.is_empty() {
            warnings.push(format!("no images of these classes: {}", shorten(&none)));
        }
        let unseen = named(&|i| all[i] > 0 && train[i] == 0);
        if !unseen.is_empty() {
            let which = shorten(&unseen);
            warnings.push(format!(
                "no training images of these classes, so the model cannot learn them: {which}"
            ));
        }
        self.warnings.extend(warnings);
    }
}

fn count<'a>(counts: &mut [usize], samples: impl Iterator<Item = &'a Sample>) {
    for label in samples.flat_map(|s| &s.labels) {
        if let Some(n) = counts.get_mut(*label as usize) {
            *n += 1;
        }
    }
}

/// Joins the first names of a list, followed by the number of omitted names.
fn shorten(names: &[&str]) -> String {
    let shown = names.iter().take(NAMES_SHOWN).copied().collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(NAMES_SHOWN) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::fs;

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

    #[test]
    fn long_warnings_are_shortened() {
        assert_eq!(shorten(&["a", "b"]), "a, b");
        assert_eq!(shorten(&["a", "b", "c", "d", "e", "f", "g"]), "a, b, c, d, e and 2 more");
    }

    /// Returns images of classes 0 to 5; every third image has two classes.
    fn several() -> Dataset {
        let mut data = Dataset::new(
            Layout::NusWide,
            Path::new("root"),
            ["sky", "lake", "sun", "sand", "snow", "tree"].map(str::to_owned).to_vec(),
        );
        let sample = |i: u32| {
            let labels =
                BTreeSet::from([i % 6, if i.is_multiple_of(3) { (i + 1) % 6 } else { i % 6 }]);
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
        let strange =
            |sample: &Sample| sample.labels.iter().any(|label| data.held_out.contains(label));
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
}
