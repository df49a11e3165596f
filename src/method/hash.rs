/*!
What a trained model hashes features with.

A match on [`Hash`] is all that the rest of the program needs to know of the kinds
there are.
*/

use super::{Features, HashError, KernelHash, LinearHash};
use crate::code::BinaryCodes;

/// From features to codes, in one of the ways that a model file can hold.
#[derive(Debug, Clone, PartialEq)]
pub enum Hash {
    /// One matrix product.
    Linear(LinearHash),
    /// A kernel on anchors first.
    Kernel(KernelHash),
}

impl Hash {
    /// Features per image.
    pub fn dim(&self) -> usize {
        match self {
            Self::Linear(hash) => hash.dim(),
            Self::Kernel(hash) => hash.dim(),
        }
    }

    /// Bits per code.
    pub fn bits(&self) -> usize {
        self.linear().bits()
    }

    /// Anchors of the kernel, if there is one.
    pub fn anchors(&self) -> Option<usize> {
        match self {
            Self::Linear(_) => None,
            Self::Kernel(hash) => Some(hash.linear().dim()),
        }
    }

    /// The matrix product that gives the bits.
    pub fn linear(&self) -> &LinearHash {
        match self {
            Self::Linear(hash) => hash,
            Self::Kernel(hash) => hash.linear(),
        }
    }

    /// The codes, with sign(0) = +1.
    ///
    /// # Errors
    /// When the features have another dimension, broken rows or values that are not
    /// finite.
    pub fn encode(&self, features: &Features<'_>) -> Result<BinaryCodes, HashError> {
        match self {
            Self::Linear(hash) => hash.encode(features),
            Self::Kernel(hash) => hash.encode(features),
        }
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
