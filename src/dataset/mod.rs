/*!
Labelled image data sets: which files there are, what they show, who may learn from which.

One file per layout on disk; all give the same [`Dataset`] of labelled splits. Opening one
reads lists and folder names, never an image: those are opened one by one, by
[`Sample::open`].
*/

mod aircraft;
#[cfg(feature = "train")]
pub mod aviary;
mod cifar10;
mod cub;
mod dogs;
mod draw;
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
use std::io;
use std::path::{Path, PathBuf};

pub use facts::{Counts, Facts, Place};
pub use layout::Layout;
pub use parts::{Area, TellingParts};
pub use sample::Sample;

/// How many paths [`Dataset::missing_files`] gives at most.
pub const MISSING_SHOWN: usize = 20;

/// How many class names a warning gives at most.
const NAMES_SHOWN: usize = 5;

/// Why a data set could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum DatasetError {
    /// The folder is not there.
    #[error("there is no folder {}; give the folder that holds the data set", .0.display())]
    NoRoot(PathBuf),
    /// A layout of this name is not known.
    #[error("'{0}' is not a data set layout; choose one of {names}", names = Layout::NAMES)]
    Layout(String),
    /// A file or folder that the layout asks for is not there.
    #[error("a {layout} data set needs {}, which is not there; complete the data set or name another layout", path.display())]
    Missing {
        /// The layout.
        layout: Layout,
        /// What is missing.
        path: PathBuf,
    },
    /// A list or a folder cannot be read.
    #[error("cannot read {}: {error}; check that you may read it", path.display())]
    Read {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// A line of a list is not what the layout asks for.
    #[error("{}, line {line}: expected {expected}, found '{found}'; correct the line", path.display())]
    Line {
        /// The list.
        path: PathBuf,
        /// The line's number, from 1.
        line: usize,
        /// What should stand there.
        expected: String,
        /// What stands there, shortened.
        found: String,
    },
    /// A file is not what the layout asks for.
    #[error("{} cannot be used: {reason}; take it from the publisher again", path.display())]
    Unfit {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The entry of one list has no partner in another.
    #[error("{} has no line for {what}, which {} lists; complete it", path.display(), other.display())]
    NoPartner {
        /// The list that lacks a line.
        path: PathBuf,
        /// What the line should be about.
        what: String,
        /// The list that has one.
        other: PathBuf,
    },
    /// A folder's name is not Unicode, so it cannot be a class name.
    #[error("the folder name {} is not Unicode; rename it", .0.display())]
    Name(PathBuf),
    /// A split that is needed has no images.
    #[error("the {split} split of {} has no images ({}); add some in a folder for each class, or name --layout photos for a method that needs no classes", root.display(), crate::image::IMAGE_EXTENSIONS.join(", "))]
    NoImages {
        /// "train" or "test".
        split: &'static str,
        /// The data set's folder.
        root: PathBuf,
    },
    /// A folder of unlabelled photos has none.
    #[error("there is no image ({}) in {}; name the folder that holds your photos", crate::image::IMAGE_EXTENSIONS.join(", "), .0.display())]
    NoPhotos(PathBuf),
    /// Classes cannot be held out as asked.
    #[error(
        "a share of {share} of {classes} classes cannot be held out; give a share above 0 and below 1, and three or more classes"
    )]
    HoldOut {
        /// What was asked for.
        share: f64,
        /// How many classes there are.
        classes: usize,
    },
    /// All images are of one class, so there is nothing to tell apart.
    #[error("all images of {} are of one class, '{class}'; add a folder or list entries of a second class", root.display())]
    OneClass {
        /// The data set's folder.
        root: PathBuf,
        /// The class.
        class: String,
    },
}

/// Labelled images in splits. Queries come from `test`, and the database, if it is not
/// said otherwise, is `train`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dataset {
    /// How it lies on disk.
    pub layout: Layout,
    /// The folder that holds the lists or the class folders.
    pub root: PathBuf,
    /// Class names; a label is an index into them.
    pub classes: Vec<String>,
    /// What a model learns from.
    pub train: Vec<Sample>,
    /// What queries are compared with, where that is more than `train`, which it holds
    /// too; see [`Dataset::database`].
    pub database: Option<Vec<Sample>>,
    /// What choices are made on; empty where the data set has no such split.
    pub val: Vec<Sample>,
    /// The queries of an evaluation.
    pub test: Vec<Sample>,
    /// The seed of the split, where the data set does not come with one.
    pub split_seed: Option<u64>,
    /// What is odd about the data but no error, a sentence each.
    pub warnings: Vec<String>,
    /// Labels of the classes that [`Dataset::hold_out`] took out of training, ascending.
    pub held_out: Vec<u32>,
}

impl Dataset {
    /// Reads the data set in `root`, in the given layout or the one [`Layout::detect`] finds.
    ///
    /// `split_seed` matters only where splits are drawn: in a folder of classes without a
    /// `train` level, and where retrieval does not use the published split (CIFAR-10 and
    /// NUS-WIDE). Image files that lists name are not looked for: see
    /// [`Dataset::missing_files`].
    ///
    /// # Errors
    /// When the folder or a list is missing, a list is malformed or leads out of the
    /// folder, a needed split is empty, or there is only one class.
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

    /// What queries are compared with: `train`, unless the data set has more.
    pub fn database(&self) -> &[Sample] {
        self.database.as_ref().unwrap_or(&self.train)
    }

    /// The first [`MISSING_SHOWN`] images that are listed but not on disk.
    ///
    /// Looks at every image's entry on disk, so it takes a while on a large data set.
    pub fn missing_files(&self) -> Vec<PathBuf> {
        // A file of many images is looked at and named once.
        let mut seen = HashSet::new();
        let paths = self.samples().map(|s| &s.path).filter(|path| seen.insert(*path));
        paths.filter(|p| !p.is_file()).take(MISSING_SHOWN).cloned().collect()
    }

    /// Takes a share of the classes out of `train` and `val`, so that a model can be
    /// measured on kinds that it has never seen; which ones depends on `seed` and the
    /// classes' names alone. At least one class is taken and two stay. An image with
    /// several classes goes with any of them. A separate database keeps all its images.
    ///
    /// # Errors
    /// [`DatasetError::HoldOut`] when `share` is not above 0 and below 1, or there are
    /// fewer than three classes.
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

    /// All samples, each once: the database, which holds train, then val, then test.
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
        // Before the empty test split: a class alone of one image has none either, and
        // the second class is what it lacks.
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
            warnings.push(format!("only one image of each of these classes, so no query of theirs can be answered: {which}"));
        }
        let none = named(&|i| all[i] == 0);
        if !none.is_empty() {
            warnings.push(format!("no image at all of these classes: {}", shorten(&none)));
        }
        let unseen = named(&|i| all[i] > 0 && train[i] == 0);
        if !unseen.is_empty() {
            let which = shorten(&unseen);
            warnings.push(format!(
                "no training image of these classes, so they are never learned: {which}"
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

/// The first names of a list and how many more there are.
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

    /// Makes files with the given content below a folder, and the folders that they need.
    pub(crate) fn write(root: &Path, files: &[(&str, &str)]) {
        for (name, content) in files {
            let path = root.join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content).unwrap();
        }
    }

    /// The message of opening a data set that must not open.
    pub(crate) fn refused(root: &Path, layout: Option<Layout>) -> String {
        Dataset::open(root, layout, 0).unwrap_err().to_string()
    }

    /// Paths of samples relative to the data set's root, with forward slashes.
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

    /// Images of classes 0 to 5; every third shows two of them.
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
