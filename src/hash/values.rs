/*!
The real values of an image, from which every hash makes its code.
*/

use super::{FeatureError, Features, KernelHash, LinearHash};

/// A map from d features to c real values.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Values {
    /// One matrix product.
    Linear(LinearHash),
    /// A kernel on anchors, then a matrix product.
    Kernel(KernelHash),
}

impl Values {
    /// Features per image, d.
    pub fn dim(&self) -> usize {
        match self {
            Self::Linear(hash) => hash.dim(),
            Self::Kernel(hash) => hash.dim(),
        }
    }

    /// The matrix product.
    pub fn linear(&self) -> &LinearHash {
        match self {
            Self::Linear(hash) => hash,
            Self::Kernel(hash) => hash.linear(),
        }
    }

    /// The kernel, if any.
    pub fn kernel(&self) -> Option<&KernelHash> {
        match self {
            Self::Linear(_) => None,
            Self::Kernel(hash) => Some(hash),
        }
    }

    /// Computes the real values, n×c numbers in row order.
    ///
    /// # Errors
    /// If the features have another dimension, incomplete rows or values that are not finite.
    pub fn project(&self, features: &Features<'_>) -> Result<Vec<f32>, FeatureError> {
        match self {
            Self::Linear(hash) => hash.project(features),
            Self::Kernel(hash) => hash.project(features),
        }
    }
}

impl From<LinearHash> for Values {
    fn from(hash: LinearHash) -> Self {
        Self::Linear(hash)
    }
}

impl From<KernelHash> for Values {
    fn from(hash: KernelHash) -> Self {
        Self::Kernel(hash)
    }
}
