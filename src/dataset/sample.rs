/*!
One image of a data set: its file and its labels.
*/

use std::path::PathBuf;

use ::image::RgbImage;

use super::cifar10;
use crate::image::{self, ImageError, Limits};

/// An image and its labels.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Sample {
    /// Path of the file, including the data set's root.
    pub path: PathBuf,
    /// Position of the image in a file of many images, from 0
    /// ([`Layout::Cifar10`](super::Layout::Cifar10)); `None` if the file is the image.
    pub record: Option<u32>,
    /// Indices into [`Dataset::classes`](super::Dataset::classes), ascending. Empty only in
    /// [`Layout::Photos`](super::Layout::Photos).
    pub labels: Vec<u32>,
}

impl Sample {
    /// Creates a sample from an image file.
    pub fn file(path: PathBuf, labels: Vec<u32>) -> Self {
        Self { path, record: None, labels }
    }

    /// Reads and decodes the image. An image in its own file is opened by [`image::open`].
    ///
    /// # Errors
    /// If the file is unreadable or does not contain a complete image within `limits`.
    pub fn open(&self, limits: &Limits) -> Result<RgbImage, ImageError> {
        match self.record {
            None => image::open(&self.path, limits),
            Some(record) => cifar10::picture(&self.path, record),
        }
    }
}
