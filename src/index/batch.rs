/*!
Images as columns, for exchange with other programs.
*/

use crate::code::{BinaryCodes, CodeError};

/// Some images of a collection as columns: row `i` of every column belongs to the same image.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Batch {
    /// Ids, ascending.
    pub ids: Vec<i64>,
    /// Paths of the image files at the time they were encoded.
    pub paths: Vec<String>,
    /// Labels; `None` for an unlabelled image.
    pub labels: Vec<Option<String>>,
    /// BLAKE3 hashes of the files.
    pub contents: Vec<[u8; 32]>,
    /// Binary codes.
    pub codes: BinaryCodes,
}

impl Batch {
    /// Creates an empty batch for codes of `bits` bits.
    ///
    /// # Errors
    /// [`CodeError::Bits`] unless `1 <= bits <= 1024`.
    pub fn new(bits: usize) -> Result<Self, CodeError> {
        let codes = BinaryCodes::new(bits)?;
        let (ids, paths, labels, contents) = Default::default();
        Ok(Self { ids, paths, labels, contents, codes })
    }

    /// Number of images.
    pub fn len(&self) -> usize {
        self.ids.len()
    }

    /// Returns whether the batch has no images.
    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }
}
