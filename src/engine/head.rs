/*!
Metadata of a collection.
*/

use super::EngineError;
use crate::code::{BinaryCodes, MAX_BITS};

/// Maximum number of images in a collection: the bytes of all its codes fit in an `i64`.
const MOST_IMAGES: u64 = i64::MAX as u64 / (MAX_BITS as u64 / 8);

/// Metadata of a collection, available before its images.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[non_exhaustive]
pub struct Head {
    /// Bits per code.
    pub bits: usize,
    /// Fingerprint of the model that produced the codes.
    pub model: String,
    /// Number of images.
    pub images: u64,
    /// The indexed folders.
    pub roots: Vec<String>,
    /// Path of the model's file; `None` for the built-in model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model_file: Option<String>,
}

impl Head {
    /// Describes a collection of `images` images with codes of `bits` bits by the model with the
    /// fingerprint `model`: without roots, and without a model file.
    pub fn new(bits: usize, model: impl Into<String>, images: u64) -> Self {
        Self { bits, model: model.into(), images, roots: Vec::new(), model_file: None }
    }

    /// Validates `bits` and `images`, which may come from an untrusted file.
    ///
    /// # Errors
    /// [`CodeError::Bits`](crate::CodeError::Bits) unless `1 <= bits <= 1024`;
    /// [`EngineError::Parts`] if `images` exceeds the limit.
    pub fn check(&self) -> Result<(), EngineError> {
        BinaryCodes::new(self.bits)?;
        if self.images <= MOST_IMAGES {
            Ok(())
        } else {
            let reason = format!(
                "the source claims {} images, which exceeds the limit of {MOST_IMAGES}; it is damaged, create it again",
                self.images
            );
            Err(EngineError::Parts(reason.into()))
        }
    }

    /// Checks that the codes of `other`, called `name` in the error, are comparable with these.
    ///
    /// # Errors
    /// [`EngineError::Mixed`] if another model produced them.
    pub fn same_model(&self, other: &Self, name: &str) -> Result<(), EngineError> {
        if (self.bits, &self.model) == (other.bits, &other.model) {
            Ok(())
        } else {
            Err(EngineError::Mixed { name: name.to_owned(), bits: other.bits, others: self.bits })
        }
    }
}
