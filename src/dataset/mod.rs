/*!
Labelled image data sets: which files there are, what they show, who may learn from which.

One file per layout on disk; all give the same [`Dataset`] of labelled splits. This
module reads lists and folder names, never an image.
*/

#[cfg(feature = "train")]
pub mod aviary;
mod cub;
mod folder;
mod grocery;
mod parts;

use std::collections::{BTreeSet, HashSet};
use std::fmt;
use std::fs;
use std::io;
use std::path::{Component, Path, PathBuf};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

pub use parts::{Area, TellingParts};

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

/// How a data set lies on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Layout {
    /// Grocery Store: `train.txt`, `val.txt`, `test.txt` and `classes.csv`.
    Grocery,
    /// A folder per class, with or without `train`, `val` and `test` above.
    Folder,
    /// CUB-200-2011: `images.txt` and its companions, and `images/`.
    Cub,
    /// Images without labels, in any folders: for methods that need no labels.
    Photos,
}

impl Layout {
    /// The names of all layouts, for messages.
    pub const NAMES: &str = "grocery, folder, cub, photos";

    /// The layout of the data set in `root`: by its lists, or else `folder`.
    ///
    /// One characteristic list is enough, so that a missing one is later named.
    ///
    /// # Errors
    /// [`DatasetError::NoRoot`] when `root` is no folder.
    pub fn detect(root: &Path) -> Result<Self, DatasetError> {
        if !root.is_dir() {
            return Err(DatasetError::NoRoot(root.into()));
        }
        if grocery::base(root).is_some() {
            return Ok(Self::Grocery);
        }
        if cub::base(root).is_some() {
            return Ok(Self::Cub);
        }
        Ok(Self::Folder)
    }
}

impl fmt::Display for Layout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Grocery => "grocery",
            Self::Folder => "folder",
            Self::Cub => "cub",
            Self::Photos => "photos",
        })
    }
}

impl FromStr for Layout {
    type Err = DatasetError;

    fn from_str(text: &str) -> Result<Self, DatasetError> {
        match text {
            "grocery" => Ok(Self::Grocery),
            "folder" => Ok(Self::Folder),
            "cub" => Ok(Self::Cub),
            "photos" => Ok(Self::Photos),
            _ => Err(DatasetError::Layout(text.into())),
        }
    }
}

/// One image and what it shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sample {
    /// The file: the data set's root joined with its place in there.
    pub path: PathBuf,
    /// Indexes into [`Dataset::classes`], ascending, at least one but in
    /// [`Layout::Photos`].
    pub labels: Vec<u32>,
}

/// Labelled images in splits. Queries come from `test`, the database is `train`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dataset {
    /// How it lies on disk.
    pub layout: Layout,
    /// The folder that holds the lists or the class folders.
    pub root: PathBuf,
    /// Class names; a label is an index into them.
    pub classes: Vec<String>,
    /// What a model learns from, and the database of an evaluation.
    pub train: Vec<Sample>,
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
    /// `split_seed` matters only to a folder of classes without a `train` level. Image
    /// files that lists name are not looked for: see [`Dataset::missing_files`].
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
            Layout::Cub => cub::read(root)?,
            Layout::Photos => folder::read_photos(root)?,
        };
        dataset.check()?;
        dataset.warn();
        Ok(dataset)
    }

    /// The first [`MISSING_SHOWN`] images that are listed but not on disk.
    ///
    /// Looks at every image's entry on disk, so it takes a while on a large data set.
    pub fn missing_files(&self) -> Vec<PathBuf> {
        let paths = self.samples().map(|s| &s.path);
        paths.filter(|p| !p.is_file()).take(MISSING_SHOWN).cloned().collect()
    }

    /// Takes a share of the classes out of `train` and `val`, so that a model can be
    /// measured on kinds that it has never seen; which ones depends on `seed` and the
    /// classes' names alone. At least one class is taken and two stay.
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

    /// All samples: train, then val, then test.
    pub fn samples(&self) -> impl Iterator<Item = &Sample> {
        self.train.iter().chain(&self.val).chain(&self.test)
    }

    fn new(layout: Layout, root: &Path, classes: Vec<String>) -> Self {
        let (train, val, test) = (Vec::new(), Vec::new(), Vec::new());
        let (split_seed, warnings, held_out) = (None, Vec::new(), Vec::new());
        let root = root.into();
        Self { layout, root, classes, train, val, test, split_seed, warnings, held_out }
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

/// A list file: its path, for messages, and its lines with their numbers from 1, blank
/// ones left out.
struct List {
    path: PathBuf,
    text: String,
}

impl List {
    /// Reads `folder/name`.
    fn read(layout: Layout, folder: &Path, name: &str) -> Result<Self, DatasetError> {
        let path = folder.join(name);
        if !path.is_file() {
            return Err(DatasetError::Missing { layout, path });
        }
        match fs::read_to_string(&path) {
            Ok(text) => Ok(Self { path, text }),
            Err(error) => Err(DatasetError::Read { path, error }),
        }
    }

    fn lines(&self) -> impl Iterator<Item = (usize, &str)> {
        // Spreadsheets and Windows editors put a byte order mark in front.
        let text = self.text.strip_prefix('\u{feff}').unwrap_or(&self.text);
        let lines = text.lines().enumerate().map(|(i, line)| (i + 1, line.trim()));
        lines.filter(|(_, line)| !line.is_empty())
    }

    fn error(&self, line: usize, expected: impl Into<String>, found: &str) -> DatasetError {
        let found = found.chars().take(80).collect();
        DatasetError::Line { path: self.path.clone(), line, expected: expected.into(), found }
    }

    /// A path of the list below `folder`. Lists come from elsewhere, so what leads out of
    /// the data set is refused.
    fn below(&self, line: usize, folder: &Path, path: &str) -> Result<PathBuf, DatasetError> {
        let inside = |c: Component| matches!(c, Component::Normal(_) | Component::CurDir);
        let relative = Path::new(path);
        if relative.file_name().is_none() || !relative.components().all(inside) {
            return Err(self.error(line, "a path inside the data set's folder", path));
        }
        Ok(folder.join(relative))
    }
}

/// Refuses an image that was listed before, in the same split or another: a query that is
/// also in the database would flatter every figure.
struct Once<'a>(HashSet<&'a str>);

impl<'a> Once<'a> {
    fn new() -> Self {
        Self(HashSet::new())
    }

    fn check(&mut self, list: &List, line: usize, path: &'a str) -> Result<(), DatasetError> {
        if self.0.insert(path) {
            return Ok(());
        }
        Err(list.error(line, "every image only once over all splits", path))
    }
}

#[cfg(test)]
pub(crate) mod tests {
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
    fn layouts_have_one_name_everywhere() {
        for name in Layout::NAMES.split(", ") {
            let layout: Layout = name.parse().unwrap();
            assert_eq!(layout.to_string(), name);
            assert_eq!(serde_json::to_string(&layout).unwrap(), format!("\"{name}\""));
        }
        let error = "Cub".parse::<Layout>().unwrap_err().to_string();
        assert!(error.contains("'Cub'") && error.contains("grocery, folder, cub"), "{error}");
    }

    #[test]
    fn a_missing_root_is_named() {
        let error = refused(Path::new("no/such/folder"), None);
        assert!(error.contains("no/such/folder"), "{error}");
        assert!(Layout::detect(Path::new("no/such/folder")).is_err());
    }

    #[test]
    fn long_warnings_are_shortened() {
        assert_eq!(shorten(&["a", "b"]), "a, b");
        assert_eq!(shorten(&["a", "b", "c", "d", "e", "f", "g"]), "a, b, c, d, e and 2 more");
    }

    #[test]
    fn paths_stay_inside_the_root() {
        let list = List { path: "train.txt".into(), text: String::new() };
        let root = Path::new("root");
        assert_eq!(list.below(1, root, "a/./b.jpg").unwrap(), root.join("a/./b.jpg"));
        for path in ["", ".", "/etc/passwd", "../a.jpg", "a/../../b.jpg", "a/.."] {
            assert!(list.below(1, root, path).is_err(), "{path}");
        }
    }
}
