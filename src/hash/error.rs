/*!
Errors of features and hashes.
*/

use crate::code::CodeError;

/// An error of a block of features.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FeatureError {
    /// The number of values is not a multiple of the dimension.
    #[error("{values} values are not a whole number of rows of {dim} features")]
    Rows {
        /// Features of each image.
        dim: usize,
        /// Values given.
        values: usize,
    },
    /// The features come from a different trunk.
    #[error(
        "features of {found} dimensions were given where {expected} are needed; use one trunk throughout"
    )]
    Dim {
        /// The expected number of dimensions.
        expected: usize,
        /// The actual number of dimensions.
        found: usize,
    },
    /// A feature is infinite or NaN.
    #[error("image number {0} (counted from 0) has a feature that is infinite or not a number")]
    NotFinite(usize),
}

/// An error of creating or using a hash.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HashError {
    /// The projection is not a whole number of directions.
    #[error(
        "{weights} weights do not form a projection of {dim} features; the model file is damaged"
    )]
    Shape {
        /// Features per image.
        dim: usize,
        /// Weights given.
        weights: usize,
    },
    /// The number of anchors differs from the number of values that the hash takes.
    #[error("{numbers} values do not form {count} anchors; the model file is damaged")]
    Anchors {
        /// The expected number of anchors.
        count: usize,
        /// Values given.
        numbers: usize,
    },
    /// The rate of the kernel is not a number above 0.
    #[error("the rate of the kernel must be a number above 0, not {0}; the model file is damaged")]
    Rate(String),
    /// The number of values does not match the codebooks.
    #[error(
        "{numbers} values do not form codebooks of 16 words for codes of {dim} bits; the model file is damaged"
    )]
    Codebooks {
        /// Bits of a code.
        dim: usize,
        /// Values given.
        numbers: usize,
    },
    /// A weight is infinite or NaN.
    #[error("the hash has a weight that is infinite or not a number")]
    NotFinite,
    /// The number of bits is not supported.
    #[error(transparent)]
    Code(#[from] CodeError),
    /// The features cannot be used.
    #[error(transparent)]
    Features(#[from] FeatureError),
}
