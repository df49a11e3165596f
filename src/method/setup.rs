/*!
Settings of a training run that methods depend on.
*/

use super::names::named;

/// The initial learned codes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Init {
    /// One random code for each class.
    Class,
    /// Random signs for each image, as published.
    Random,
}

named!(Init, "a choice of first codes", Class => "class", Random => "random");

/// The part of the network that is trained.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Trained {
    /// The whole network. Every image is decoded again each time it is shown.
    Full,
    /// The refine part and the layers that the method adds.
    Refine,
    /// Only the layers that the method adds: the hash, and attention or saliency if it has them.
    Head,
}

named!(Trained, "a part of the network", Full => "full", Refine => "refine", Head => "head");

/// A named set of defaults.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Recipe {
    /// Barbule's recipe for small budgets: shows each image about 16 times.
    Quick,
    /// The recipe of the published runs of asymmetric methods: 2.4 million images.
    Paper,
}

named!(Recipe, "a recipe", Quick => "quick", Paper => "paper");
