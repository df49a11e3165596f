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
    /// No method has this name.
    #[error("'{name}' is no method; choose one of {names}")]
    Unknown {
        /// The name.
        name: String,
        /// The names of all methods.
        names: String,
    },
    /// The method has no such option.
    #[error("{method} has no option {option}")]
    NoOption {
        /// The method.
        method: &'static str,
        /// The option.
        option: String,
    },
    /// A value of an option is malformed or out of range.
    #[error("{option} must be {expected}, not '{value}'")]
    Value {
        /// The option.
        option: &'static str,
        /// The allowed values.
        expected: String,
        /// The value.
        value: String,
    },
    /// A method that trains a network was to be fitted in closed form.
    #[error("{0} trains a network and cannot be fitted in closed form")]
    NotFitted(&'static str),
    /// A method without a network was to train one.
    #[error("{0} is fitted in closed form and trains no network")]
    NotLearned(&'static str),
    /// The method has no codes of this many bits.
    #[error("the bits of a {method} code must be a multiple of {multiple}, not {bits}")]
    Bits {
        /// The method.
        method: &'static str,
        /// The divisor of its bits.
        multiple: usize,
        /// The bits.
        bits: usize,
    },
    /// Saliency of the image, while the stem is frozen.
    #[error("saliency of the image runs the whole network again, so all of it must be trained")]
    FrozenStem,
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
