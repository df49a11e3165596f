/*!
The hash of a trained model, as an enum over all kinds.

The rest of the program only uses [`Hash`].
*/

use super::{Codebooks, Features, HashError, KernelHash, LinearHash, Quantizer, Values};
use crate::code::BinaryCodes;

/// A function from features to codes, in one of the kinds that a model file can contain.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Hash {
    /// One matrix product.
    Linear(LinearHash),
    /// A kernel on anchors, then a matrix product.
    Kernel(KernelHash),
    /// Codebook words instead of signs.
    Quantizer(Quantizer),
}

impl Hash {
    /// Features per image.
    pub fn dim(&self) -> usize {
        match self {
            Self::Linear(hash) => hash.dim(),
            Self::Kernel(hash) => hash.dim(),
            Self::Quantizer(hash) => hash.map().dim(),
        }
    }

    /// Bits per code.
    pub fn bits(&self) -> usize {
        match self {
            Self::Linear(hash) => hash.bits(),
            Self::Kernel(hash) => hash.bits(),
            Self::Quantizer(hash) => hash.codebooks().bits(),
        }
    }

    /// The kernel, if any.
    pub fn kernel(&self) -> Option<&KernelHash> {
        match self {
            Self::Linear(_) => None,
            Self::Kernel(hash) => Some(hash),
            Self::Quantizer(hash) => hash.map().kernel(),
        }
    }

    /// Number of anchors of the kernel, if any.
    pub fn anchors(&self) -> Option<usize> {
        self.kernel().map(KernelHash::count)
    }

    /// The codebooks, if codes are word indices instead of signs. The Hamming distance of such
    /// codes is meaningless.
    pub fn codebooks(&self) -> Option<&Codebooks> {
        match self {
            Self::Linear(_) | Self::Kernel(_) => None,
            Self::Quantizer(hash) => Some(hash.codebooks()),
        }
    }

    /// The matrix product whose real values become signs or words.
    pub fn linear(&self) -> &LinearHash {
        match self {
            Self::Linear(hash) => hash,
            Self::Kernel(hash) => hash.linear(),
            Self::Quantizer(hash) => hash.map().linear(),
        }
    }

    /// Computes the real values that become signs or words, n rows in row order: one value per
    /// bit, or a vector of the codebooks' dimension.
    ///
    /// # Errors
    /// If the features have another dimension, incomplete rows or values that are not finite.
    pub fn values(&self, features: &Features<'_>) -> Result<Vec<f32>, HashError> {
        match self {
            Self::Linear(hash) => Ok(hash.project(features)?),
            Self::Kernel(hash) => Ok(hash.project(features)?),
            Self::Quantizer(hash) => hash.project(features),
        }
    }

    /// Computes the codes of real values that [`Hash::values`] returned. For signs, sign(0) = +1.
    ///
    /// # Errors
    /// If the values do not fill whole rows.
    pub fn codes(&self, values: &[f32]) -> Result<BinaryCodes, HashError> {
        match self {
            Self::Linear(_) | Self::Kernel(_) => Ok(BinaryCodes::from_signs(self.bits(), values)?),
            Self::Quantizer(hash) => hash.codebooks().encode(values),
        }
    }

    /// Computes the codes. For signs, sign(0) = +1.
    ///
    /// # Errors
    /// If the features have another dimension, incomplete rows or values that are not finite.
    pub fn encode(&self, features: &Features<'_>) -> Result<BinaryCodes, HashError> {
        self.codes(&self.values(features)?)
    }
}

impl From<LinearHash> for Hash {
    fn from(hash: LinearHash) -> Self {
        Self::Linear(hash)
    }
}

impl From<KernelHash> for Hash {
    fn from(hash: KernelHash) -> Self {
        Self::Kernel(hash)
    }
}

impl From<Values> for Hash {
    fn from(values: Values) -> Self {
        match values {
            Values::Linear(hash) => Self::Linear(hash),
            Values::Kernel(hash) => Self::Kernel(hash),
        }
    }
}

impl From<Quantizer> for Hash {
    fn from(hash: Quantizer) -> Self {
        Self::Quantizer(hash)
    }
}
