/*!
Choices of a training run that methods depend on.
*/

use super::names::named;

/// The initial learned codes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Init {
    /// One random code for each class.
    Class,
    /// Random signs for each image, as published.
    Random,
}

named!(Init, "a choice of first codes", Class => "class", Random => "random");

/// The part of the network that is trained.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trained {
    /// All of it. Every image is decoded again each time it is shown.
    Full,
    /// The refine part, and what a method adds.
    Refine,
    /// Only what a method adds: the hash, and attention or saliency if the method has them.
    Head,
}

named!(Trained, "a part of the network", Full => "full", Refine => "refine", Head => "head");

/// A set of defaults that belong together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Recipe {
    /// Barbule's own, for small budgets: about 16 times each image.
    Quick,
    /// That of the published runs of asymmetric methods: 2.4 million images.
    Paper,
}

named!(Recipe, "a recipe", Quick => "quick", Paper => "paper");
