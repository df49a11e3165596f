/*!
Labelled images in splits.
*/

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use super::{DatasetError, Layout, Sample};

/// Maximum number of paths that [`Dataset::missing_files`] returns.
pub const MISSING_SHOWN: usize = 20;

/// Labelled images in splits. `test` contains the queries; the database is `train`, unless
/// `database` is set.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
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

    pub(super) fn new(layout: Layout, root: &Path, classes: Vec<String>) -> Self {
        let (train, val, test) = (Vec::new(), Vec::new(), Vec::new());
        let (split_seed, warnings, held_out) = (None, Vec::new(), Vec::new());
        let root = root.into();
        let database = None;
        Self { layout, root, classes, train, database, val, test, split_seed, warnings, held_out }
    }
}
