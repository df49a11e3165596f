/*!
Errors of features and hashes.
*/

use crate::code::CodeError;

/// Why a block of features cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FeatureError {
    /// The values do not make whole rows.
    #[error("{values} values do not make whole rows of {dim} features")]
    Rows {
        /// Features of each image.
        dim: usize,
        /// Values given.
        values: usize,
    },
    /// The features come from another trunk than what they are used with.
    #[error(
        "features of {found} dimensions were given where {expected} are needed; use one trunk throughout"
    )]
    Dim {
        /// How many dimensions are needed.
        expected: usize,
        /// How many the features have.
        found: usize,
    },
    /// A feature is infinite or not a number.
    #[error("image number {0} (counted from 0) has a feature that is infinite or not a number")]
    NotFinite(usize),
}

/// Why a hash could not be made or used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HashError {
    /// The projection is not a whole number of directions.
    #[error("{weights} weights are no projection of {dim} features; the model's file is damaged")]
    Shape {
        /// Features per image.
        dim: usize,
        /// Weights given.
        weights: usize,
    },
    /// The anchors of a kernel are not as many rows as its hash takes values.
    #[error("{numbers} numbers are not {count} anchors; the model's file is damaged")]
    Anchors {
        /// How many there should be.
        count: usize,
        /// Numbers given.
        numbers: usize,
    },
    /// The kernel is no kernel.
    #[error(
        "the rate of the kernel must be a number above 0, not {0}; the model's file is damaged"
    )]
    Rate(String),
    /// The words of codebooks are too many or too few.
    #[error(
        "{numbers} numbers are no codebooks of 16 words for codes of {dim} bits; the model's file is damaged"
    )]
    Codebooks {
        /// Bits of a code.
        dim: usize,
        /// Numbers given.
        numbers: usize,
    },
    /// A weight is infinite or not a number.
    #[error("the hash has a weight that is infinite or not a number")]
    NotFinite,
    /// No code can have that many bits.
    #[error(transparent)]
    Code(#[from] CodeError),
    /// The features to be hashed are not usable.
    #[error(transparent)]
    Features(#[from] FeatureError),
}
