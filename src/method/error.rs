/*!
Errors of fitting a method.
*/

use crate::code::CodeError;
use crate::hash::{FeatureError, HashError};
use crate::task::Stopped;

/// An error of fitting a method.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MethodError {
    /// No method has this name.
    #[error("no method is called '{name}'; choose one of {names}")]
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
    /// A method that trains a network cannot be fitted in closed form.
    #[error("{0} trains a network and cannot be fitted in closed form")]
    NotFitted(&'static str),
    /// A method without a network cannot train one.
    #[error("{0} is fitted in closed form and trains no network")]
    NotLearned(&'static str),
    /// The method does not support this number of bits.
    #[error("the bits of a {method} code must be a multiple of {multiple}, not {bits}")]
    Bits {
        /// The method.
        method: &'static str,
        /// The divisor of its bits.
        multiple: usize,
        /// The bits.
        bits: usize,
    },
    /// Saliency is applied to the image, but the stem is frozen.
    #[error("saliency of the image needs the whole network to be trained, including the stem")]
    FrozenStem,
    /// Fewer images than the method can learn from.
    #[error("{found} training images were given, but at least {least} are needed")]
    Images {
        /// The minimum number of images.
        least: usize,
        /// The number of images given.
        found: usize,
    },
    /// The numbers of images and label lists differ.
    #[error(
        "{images} training images have {labels} lists of labels; each image needs its own list"
    )]
    Labels {
        /// The number of images.
        images: usize,
        /// The number of label lists.
        labels: usize,
    },
    /// A method that separates classes got fewer than two.
    #[error(
        "the training images have {0} different label(s), but this method needs at least two classes; lsh and itq need no labels"
    )]
    Classes(usize),
    /// The regulariser of LDA is not in 0..=1, or is 0.
    #[error("the shrinkage must be above 0 and at most 1, not {0}")]
    Shrinkage(String),
    /// An option of SDH is out of range.
    #[error("{name} must be a number above 0, not {value}")]
    Option {
        /// The option.
        name: &'static str,
        /// The value.
        value: String,
    },
    /// All training images have the same features.
    #[error("all training images have the same features, so nothing can be learned from them")]
    NoVariance,
    /// A matrix factorisation did not converge.
    #[error(
        "a matrix factorisation did not converge; the features may be too large or too small in magnitude"
    )]
    NoConvergence,
    /// The number of bits is not supported.
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

/// All training images are similar, so a method that contrasts pairs cannot learn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("all training images share a class; give images of two or more classes")]
pub struct OneKind;
