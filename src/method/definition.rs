/*!
The definition of a hashing method: name, help, options, and its constructor.

Each method's file holds its [`Method`]; [`METHODS`](super::METHODS) lists them. Plans, the training
loop and the command line see methods only through these values.
*/

use std::fmt;
use std::sync::Arc;

use super::MethodError;
use super::groups::Groups;
use super::learner::Learner;
use super::settings::{MethodOption, Settings, Value};
use super::setup::{Init, Recipe, Trained};
use crate::hash::{Features, Hash};
use crate::network::Layers;
use crate::task::Task;

/// A hashing method.
#[non_exhaustive]
pub struct Method {
    /// The name, on the command line and in model cards.
    pub name: &'static str,
    /// Help text, line by line.
    pub help: &'static [&'static str],
    /// The publication.
    pub source: &'static str,
    /// The options.
    pub options: &'static [MethodOption],
    /// Whether training needs labels of two classes or more.
    pub needs_labels: bool,
    /// Whether the loss compares the images of a pass with each other, so that it depends on
    /// the division of an update into passes.
    pub compares_images: bool,
    /// The number of bits must be a multiple of this.
    pub bits_multiple: usize,
    /// Learning rate of pretrained layers in the quick recipe, relative to that of new layers.
    pub pretrained_rate: f64,
    /// Variants for ablation studies, each with one part removed.
    pub ablations: &'static [Ablation],
    /// The constructor.
    pub making: Making,
}

/// Makes a learned method from its options and what of the network is trained.
pub type MakeLearned = fn(&Settings, Trained) -> Result<Box<dyn LearnedMethod>, MethodError>;

/// Constructs a method from its options.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub enum Making {
    /// The method is fitted in closed form to features of a frozen trunk.
    Fitted(fn(&Settings) -> Result<Box<dyn FittedMethod>, MethodError>),
    /// The method trains a network, or a part of it.
    Learned(MakeLearned),
}

/// A variant of a method in which one option has another value.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct Ablation {
    /// The name of the variant, as in "without exchange".
    pub name: &'static str,
    /// The option.
    pub option: &'static str,
    /// Its value, which may be outside the range of the command line.
    pub value: Value,
}

/// The input of a fit: N images of d features.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct FitInput<'a> {
    /// N×d.
    pub features: Features<'a>,
    /// The labels of each image; ignored by methods that need none.
    pub labels: &'a [Vec<u32>],
    /// Bits per code.
    pub bits: usize,
    /// The seed of every draw.
    pub seed: u64,
}

impl<'a> FitInput<'a> {
    /// Features without labels, for codes of `bits` bits.
    pub fn new(features: Features<'a>, bits: usize, seed: u64) -> Self {
        Self { features, labels: &[], bits, seed }
    }

    /// Adds the labels of each image.
    pub fn with_labels(self, labels: &'a [Vec<u32>]) -> Self {
        Self { labels, ..self }
    }
}

/// A method that is fitted in closed form, with its options.
pub trait FittedMethod: fmt::Debug + Send + Sync {
    /// Fits the method.
    ///
    /// The same input and seed give the same hash on any number of threads. Another kind of
    /// processor may round differently, and iterative methods can turn that into another, equally
    /// good hash.
    ///
    /// # Errors
    /// If there are too few images, the features are not finite, differ in length or do not vary;
    /// if the method needs labels and there are fewer than two classes; if `bits` is out of range;
    /// or if the work is stopped.
    fn fit(&self, input: FitInput<'_>, task: &Task<'_>) -> Result<Hash, MethodError>;

    /// Returns the options that the model card records.
    fn figures(&self) -> Vec<(&'static str, f64)> {
        Vec::new()
    }
}

/// The layers that a method adds to the pretrained network.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
#[non_exhaustive]
pub struct Additions {
    /// Layers of the finished network.
    pub layers: Layers,
    /// Initial scale of the last norm of the attention.
    pub attention_gain: f32,
    /// Set if the hash has no bias.
    pub unbiased: bool,
    /// Linear classifiers of features as long as pooled ones, in training only.
    pub classifiers: usize,
    /// Set if projections have attention in training.
    pub mining: bool,
}

impl Additions {
    /// Returns whether the network is a plain trunk and a hash during training.
    pub fn is_plain(&self) -> bool {
        let Layers { parts, saliency, projections, .. } = self.layers;
        parts == 0 && saliency.is_none() && projections == 0 && self.classifiers == 0
    }
}

/// The input of a learner.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Start {
    /// The training images in groups.
    pub groups: Arc<Groups>,
    /// Bits per code.
    pub bits: usize,
    /// The seed of every draw.
    pub seed: u64,
    /// The initial learned codes.
    pub init: Init,
}

/// A method that trains a network, with its options.
pub trait LearnedMethod: fmt::Debug + Send + Sync {
    /// The layers that the method adds.
    fn additions(&self) -> Additions {
        Additions::default()
    }

    /// Creates the learner of a run.
    fn learner(&self, start: Start) -> Box<dyn Learner>;
}

impl Method {
    const fn new(
        name: &'static str,
        help: &'static [&'static str],
        source: &'static str,
        making: Making,
    ) -> Self {
        Self {
            name,
            help,
            source,
            options: &[],
            needs_labels: true,
            compares_images: false,
            bits_multiple: 1,
            pretrained_rate: 1.0,
            ablations: &[],
            making,
        }
    }

    /// Defines a method that is fitted in closed form, without options.
    pub const fn fitted(
        name: &'static str,
        help: &'static [&'static str],
        source: &'static str,
        make: fn(&Settings) -> Result<Box<dyn FittedMethod>, MethodError>,
    ) -> Self {
        Self::new(name, help, source, Making::Fitted(make))
    }

    /// Defines a method that trains a network, without options.
    pub const fn learned(
        name: &'static str,
        help: &'static [&'static str],
        source: &'static str,
        make: MakeLearned,
    ) -> Self {
        Self::new(name, help, source, Making::Learned(make))
    }

    /// Returns whether the method trains a network.
    pub fn trains_network(&self) -> bool {
        matches!(self.making, Making::Learned(_))
    }

    /// Parses values of options, given as names and texts.
    ///
    /// # Errors
    /// [`MethodError::NoOption`] or [`MethodError::Value`].
    pub fn settings(&self, given: &[(&str, &str)]) -> Result<Settings, MethodError> {
        let mut settings = Settings::default();
        for (name, text) in given {
            let option = self.options.iter().find(|option| option.name == *name);
            let option = option.ok_or_else(|| MethodError::NoOption {
                method: self.name,
                option: (*name).to_owned(),
            })?;
            settings.set(option.name, option.parse(text)?);
        }
        Ok(settings)
    }

    /// Sets options without a value to the recipe's values.
    pub fn with_recipe(&self, mut settings: Settings, recipe: Recipe) -> Settings {
        if recipe == Recipe::Paper {
            for option in self.options {
                if let Some(Ok(value)) = option.paper.map(|text| option.parse(text)) {
                    settings.set_default(option.name, value);
                }
            }
        }
        settings
    }

    /// Constructs a fitted method.
    ///
    /// # Errors
    /// If a setting is out of range, or the method trains a network.
    pub fn make_fitted(&self, settings: &Settings) -> Result<Box<dyn FittedMethod>, MethodError> {
        match self.making {
            Making::Fitted(make) => make(settings),
            Making::Learned(_) => Err(MethodError::NotFitted(self.name)),
        }
    }

    /// Constructs a method that trains the part `trained` of a network.
    ///
    /// # Errors
    /// If a setting is out of range or does not suit `trained`, or the method trains no network.
    pub fn make_learned(
        &self,
        settings: &Settings,
        trained: Trained,
    ) -> Result<Box<dyn LearnedMethod>, MethodError> {
        match self.making {
            Making::Learned(make) => make(settings, trained),
            Making::Fitted(_) => Err(MethodError::NotLearned(self.name)),
        }
    }

    /// Checks that codes can have `bits` bits.
    ///
    /// # Errors
    /// [`MethodError::Bits`].
    pub fn check_bits(&self, bits: usize) -> Result<(), MethodError> {
        let (method, multiple) = (self.name, self.bits_multiple);
        if bits.is_multiple_of(multiple) {
            Ok(())
        } else {
            Err(MethodError::Bits { method, multiple, bits })
        }
    }
}

impl fmt::Debug for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name)
    }
}

/// Names are unique, so methods are equal if their names are.
impl PartialEq for Method {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for Method {}
