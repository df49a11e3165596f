/*!
What a trained model hashes features with.

A match on [`Hash`] is all that the rest of the program needs to know of the kinds
there are.
*/

use super::{Codebooks, Features, HashError, KernelHash, LinearHash, Quantizer};
use crate::code::BinaryCodes;

/// From features to codes, in one of the ways that a model file can hold.
#[derive(Debug, Clone, PartialEq)]
pub enum Hash {
    /// One matrix product.
    Linear(LinearHash),
    /// A kernel on anchors first.
    Kernel(KernelHash),
    /// Words of codebooks instead of signs.
    Quantizer(Quantizer),
}

impl Hash {
    /// Features per image.
    pub fn dim(&self) -> usize {
        match self {
            Self::Linear(hash) => hash.dim(),
            Self::Kernel(hash) => hash.dim(),
            Self::Quantizer(hash) => hash.dim(),
        }
    }

    /// Bits per code.
    pub fn bits(&self) -> usize {
        self.linear().bits()
    }

    /// Anchors of the kernel, if there is one.
    pub fn anchors(&self) -> Option<usize> {
        match self {
            Self::Linear(_) | Self::Quantizer(_) => None,
            Self::Kernel(hash) => Some(hash.linear().dim()),
        }
    }

    /// What codes are numbers of words of, if they are not signs: such codes have no Hamming
    /// distance that means anything.
    pub fn codebooks(&self) -> Option<&Codebooks> {
        match self {
            Self::Linear(_) | Self::Kernel(_) => None,
            Self::Quantizer(hash) => Some(hash.codebooks()),
        }
    }

    /// The matrix product that gives the values, of which codes are the signs or the words.
    pub fn linear(&self) -> &LinearHash {
        match self {
            Self::Linear(hash) => hash,
            Self::Kernel(hash) => hash.linear(),
            Self::Quantizer(hash) => hash.linear(),
        }
    }

    /// The codes; where they are signs, with sign(0) = +1.
    ///
    /// # Errors
    /// When the features have another dimension, broken rows or values that are not
    /// finite.
    pub fn encode(&self, features: &Features<'_>) -> Result<BinaryCodes, HashError> {
        match self {
            Self::Linear(hash) => hash.encode(features),
            Self::Kernel(hash) => hash.encode(features),
            Self::Quantizer(hash) => hash.encode(features),
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

impl From<Quantizer> for Hash {
    fn from(hash: Quantizer) -> Self {
        Self::Quantizer(hash)
    }
}
