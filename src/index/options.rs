/*!
The options of an update.
*/

use super::{Labels, ScanOptions};
use crate::image::Limits;

/// Options of an update.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct UpdateOptions {
    /// Source of the labels.
    pub labels: Labels,
    /// Larger images are skipped.
    pub limits: Limits,
    /// The selection of files.
    pub scan: Scan,
    /// Store the features of every image from now on, for
    /// [`Search::by_features`](super::Search::by_features) and [`IndexWriter::refit`]: 1,284 bytes
    /// per image with EfficientNet-Lite0.
    ///
    /// [`IndexWriter::refit`]: super::IndexWriter::refit
    pub keep_features: bool,
    /// The same if the hash can be fitted to the images of the index, and no picture must be read
    /// again for it: the model is the general one, and the index is empty or every file is looked
    /// into.
    pub fitting: bool,
    /// Number of regions of each image that get codes of their own, at most [`MOST_REGIONS`]; 0
    /// removes them. `None` for as many as before, which are none in a new index. Regions are what
    /// stands out to the trunk, so that small objects in large pictures are found. Each takes as
    /// long as an image.
    ///
    /// [`MOST_REGIONS`]: super::MOST_REGIONS
    pub regions: Option<usize>,
    /// Look into every file, even if size, times and number are as before.
    pub again: bool,
}

impl UpdateOptions {
    /// Sets the source of the labels.
    pub fn with_labels(self, labels: Labels) -> Self {
        Self { labels, ..self }
    }

    /// Sets the limits above which images are skipped.
    pub fn with_limits(self, limits: Limits) -> Self {
        Self { limits, ..self }
    }

    /// Sets the selection of files.
    pub fn with_scan(self, scan: Scan) -> Self {
        Self { scan, ..self }
    }

    /// Stores the features of every image from now on.
    pub fn with_features(self) -> Self {
        Self { keep_features: true, ..self }
    }

    /// Stores the features of every image from now on if the hash can be fitted to them.
    pub fn with_fitting(self) -> Self {
        Self { fitting: true, ..self }
    }

    /// Gives so many regions of each image codes of their own, from now on.
    pub fn with_regions(self, regions: usize) -> Self {
        Self { regions: Some(regions), ..self }
    }

    /// Looks into every file, even if it seems unchanged.
    pub fn with_every_file(self) -> Self {
        Self { again: true, ..self }
    }
}

/// The scan options of an update. The options of each folder are stored with it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Scan {
    /// The stored options of each folder; the default ones for a new folder.
    #[default]
    AsBefore,
    /// These options replace the stored ones.
    Replace(ScanOptions),
    /// These options are added to the stored ones.
    Add(ScanOptions),
}

impl Scan {
    /// Returns the options of a folder whose stored options are `before`, and whether they are
    /// to be stored.
    pub(super) fn of(&self, before: ScanOptions) -> (ScanOptions, bool) {
        match self {
            Self::AsBefore => (before, false),
            Self::Replace(options) => (options.clone(), true),
            Self::Add(options) => (before.and(options), true),
        }
    }
}
