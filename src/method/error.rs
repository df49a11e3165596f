/*!
Why a method could not be fitted.
*/

use crate::code::CodeError;
use crate::hash::{FeatureError, HashError};
use crate::task::Stopped;

/// Why a method could not be fitted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MethodError {
    /// No shallow method has this name.
    #[error("'{0}' is no shallow method; choose one of lsh, whitened-lsh, itq, lda-itq, sdh")]
    Name(String),
    /// Fewer images than the method can learn from.
    #[error("{found} training images were given, but at least {least} are needed")]
    Images {
        /// How many are needed.
        least: usize,
        /// How many there are.
        found: usize,
    },
    /// The images and their labels do not match in number.
    #[error(
        "{images} training images came with the labels of {labels} images; each image needs its own list"
    )]
    Labels {
        /// How many images there are.
        images: usize,
        /// For how many images labels were given.
        labels: usize,
    },
    /// A method that separates classes got fewer than two.
    #[error(
        "the training images have {0} different label(s), but two or more are needed to learn what tells classes apart; use lsh or itq, which need no labels"
    )]
    Classes(usize),
    /// The regulariser of LDA is not in 0..=1, or is 0.
    #[error("the shrinkage must be above 0 and at most 1, not {0}")]
    Shrinkage(String),
    /// An option of SDH is out of its range.
    #[error("{name} must be a number above 0, not {value}")]
    Option {
        /// The option.
        name: &'static str,
        /// What it is.
        value: String,
    },
    /// All training images have the same features.
    #[error("all training images have the same features, so nothing tells them apart")]
    NoVariance,
    /// A matrix factorisation did not converge.
    #[error(
        "a matrix factorisation did not converge; the features may be too large or too small in magnitude"
    )]
    NoConvergence,
    /// No code can have that many bits.
    #[error(transparent)]
    Code(#[from] CodeError),
    /// The features are not usable.
    #[error(transparent)]
    Features(#[from] FeatureError),
    /// The fitted weights do not make a hash.
    #[error(transparent)]
    Hash(#[from] HashError),
    /// The work was stopped.
    #[error(transparent)]
    Stopped(#[from] Stopped),
}

/// There are no dissimilar pairs, so no method that contrasts them can learn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("all training images are of one kind; give images of two or more classes")]
pub struct OneKind;
