/*!
One image of a data set: where it lies, and what it shows.
*/

use std::path::PathBuf;

use ::image::RgbImage;

use super::cifar10;
use crate::image::{self, ImageError, Limits};

/// One image and what it shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sample {
    /// The file: the data set's root joined with its place in there.
    pub path: PathBuf,
    /// Which of the file's images it is, from 0, where one file holds many
    /// ([`Layout::Cifar10`](super::Layout::Cifar10)); none where the file is the image.
    pub record: Option<u32>,
    /// Indexes into [`Dataset::classes`](super::Dataset::classes), ascending, at least one
    /// but in [`Layout::Photos`](super::Layout::Photos).
    pub labels: Vec<u32>,
}

impl Sample {
    /// An image file.
    pub fn file(path: PathBuf, labels: Vec<u32>) -> Self {
        Self { path, record: None, labels }
    }

    /// Reads and decodes the image, as [`image::open`] does for one in a file of its own.
    ///
    /// # Errors
    /// When the file cannot be read, or does not hold a whole image within `limits`.
    pub fn open(&self, limits: &Limits) -> Result<RgbImage, ImageError> {
        match self.record {
            None => image::open(&self.path, limits),
            Some(record) => cifar10::picture(&self.path, record),
        }
    }
}
