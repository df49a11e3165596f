/*!
The plan of a training run: method, recipe, budget.
*/

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::TrainError;
use crate::device::Device;
use crate::image::Limits;
use crate::method::names::named;
use crate::method::{Additions, Init, LearnedMethod, Method, Recipe, Settings, Trained};
use crate::trunk::TrunkKind;

/// The optimiser.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Optimiser {
    /// Adam with decoupled weight decay.
    AdamW,
    /// Stochastic gradient descent with momentum 0.9, without dampening.
    Sgd,
}

/// The decay of the learning rate over the run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Schedule {
    /// Cosine decay to 0.
    Cosine,
    /// A drop to a tenth after seven eighths of the run.
    Step,
}

named!(Optimiser, "an optimiser", AdamW => "adamw", Sgd => "sgd");
named!(Schedule, "a schedule", Cosine => "cosine", Step => "step");

/// The plan of a training run.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct LearnPlan {
    /// The method.
    pub method: &'static Method,
    /// Its options.
    pub settings: Settings,
    /// Bits per code.
    pub bits: usize,
    /// Seed of all draws.
    pub seed: u64,
    /// Width and height of the trunk's input, in pixels.
    pub size: u32,
    /// Cached views of each image, if the stem is not trained.
    pub views: usize,
    /// Minimum share of an image's area that a view shows.
    pub least_area: f32,
    /// The part to train.
    pub trained: Trained,
    /// The initial learned codes.
    pub init: Init,
    /// Outer iterations.
    pub outer: usize,
    /// Epochs over the sample in each outer iteration.
    pub epochs: usize,
    /// Maximum number of images in a sample; `None` for half of the training images.
    pub sample: Option<usize>,
    /// Maximum images per pass; passes are smaller if devices share an update.
    pub batch: usize,
    /// Passes per update. More passes are slower and need no more memory. Norms see the images of
    /// one pass.
    pub accumulate: usize,
    /// The optimiser.
    pub optimiser: Optimiser,
    /// The decay of the learning rate.
    pub schedule: Schedule,
    /// Initial learning rate of new layers.
    pub rate: f64,
    /// Learning rate of pretrained layers, relative to `rate`.
    pub pretrained: f64,
    /// Weight decay.
    pub weight_decay: f32,
    /// Stop after about this many images; the whole schedule is shortened to fit.
    pub images: Option<usize>,
    /// Stop after about this many minutes, including the stem's features. Timing a few steps at the
    /// start converts minutes to images.
    pub minutes: Option<f64>,
    /// The trunk.
    pub trunk: TrunkKind,
    /// A trunk file that replaces the shipped weights; required for trunks whose weights do not
    /// ship.
    pub weights: Option<PathBuf>,
    /// The folder for the stem's features.
    pub cache: PathBuf,
    /// Limits on the size of images.
    pub limits: Limits,
    /// Whether to resume from the checkpoint of a stopped run.
    pub resume: bool,
    /// Additional devices (experimental): the images of each update are divided among all devices.
    /// Their number affects the result as the size of a pass does.
    pub beside: Vec<Device>,
}

impl LearnPlan {
    /// Changes fields.
    pub fn with(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }

    /// Creates the plan of a recipe for 64 bits and seed 1. Options that `settings` leaves out take
    /// the recipe's values.
    ///
    /// `paper` follows the published re-runs of asymmetric methods: SGD with 1e-4, batch 16, 40
    /// outer iterations of 30 epochs over 2,000 images, the rate divided by 10 at 35.
    pub fn new(
        recipe: Recipe,
        method: &'static Method,
        settings: Settings,
        trained: Trained,
        cache: PathBuf,
    ) -> Self {
        let quick = Self {
            method,
            settings: method.with_recipe(settings, recipe),
            bits: 64,
            seed: 1,
            size: 160,
            views: 2,
            least_area: 0.4,
            trained,
            init: Init::Class,
            outer: 16,
            epochs: 2,
            sample: None,
            batch: 32,
            accumulate: 1,
            optimiser: Optimiser::AdamW,
            schedule: Schedule::Cosine,
            rate: 1e-3,
            pretrained: method.pretrained_rate,
            weight_decay: 1e-4,
            images: None,
            minutes: None,
            trunk: TrunkKind::EfficientNetLite0,
            weights: None,
            cache,
            limits: Limits::default(),
            resume: false,
            beside: Vec::new(),
        };
        match recipe {
            Recipe::Quick => quick,
            Recipe::Paper => Self {
                size: 224,
                least_area: 0.08,
                init: Init::Random,
                outer: 40,
                epochs: 30,
                sample: Some(2000),
                batch: 16,
                optimiser: Optimiser::Sgd,
                schedule: Schedule::Step,
                rate: 1e-4,
                pretrained: 1.0,
                ..quick
            },
        }
    }

    /// Checks the method's options and bits, and that the trunk suits it.
    ///
    /// # Errors
    /// If the method trains no network, an option is out of range or does not suit the trained
    /// part, the method does not support this number of bits, or its layers or the input size do
    /// not suit the trunk.
    pub fn check(&self) -> Result<(), TrainError> {
        self.check_trunk()?;
        Ok(self.method.check_bits(self.bits)?)
    }

    /// Checks that the trunk suits the method and the input size.
    ///
    /// # Errors
    /// As [`LearnPlan::check`], except for bits.
    pub fn check_trunk(&self) -> Result<(), TrainError> {
        let layers = self.additions()?.layers;
        if layers.weigh_positions() && !self.trunk.has_positions() {
            return Err(TrainError::NoPositions { method: self.method.name, trunk: self.trunk });
        }
        Ok(self.trunk.check_size(self.size)?)
    }

    /// Returns the method with its options.
    ///
    /// # Errors
    /// As [`LearnPlan::check`], except for bits.
    pub fn learned(&self) -> Result<Box<dyn LearnedMethod>, TrainError> {
        Ok(self.method.make_learned(&self.settings, self.trained)?)
    }

    /// Returns the layers that the method adds to the network.
    ///
    /// # Errors
    /// As [`LearnPlan::learned`].
    pub(super) fn additions(&self) -> Result<Additions, TrainError> {
        Ok(self.learned()?.additions())
    }

    /// Returns the number of devices that share an update.
    pub(super) fn devices(&self) -> usize {
        1 + self.beside.len()
    }

    /// Returns the images of the largest pass: a device's share of an update, or a batch if
    /// smaller.
    pub(super) fn per_pass(&self) -> usize {
        self.batch.min((self.batch * self.accumulate).div_ceil(self.devices()))
    }

    /// Returns whether the frozen part of the network already yields the features, so that a step
    /// runs only the hash.
    ///
    /// # Errors
    /// As [`LearnPlan::learned`].
    pub(super) fn learns_from_features(&self) -> Result<bool, TrainError> {
        Ok(self.trained == Trained::Head && self.additions()?.is_plain())
    }

    /// Computes the length of a run with `images` training images and a budget of images.
    ///
    /// A budget shortens the whole schedule: outer iterations and their epochs by about the same
    /// factor, but to at least two epochs (or the planned number, if less).
    pub(super) fn length(&self, images: usize, budget: Option<usize>) -> Length {
        let sample = self.sample.unwrap_or(images.div_ceil(2)).clamp(1, images.max(1));
        let (outer, epochs) = (self.outer.max(1), self.epochs.max(1));
        let whole = (outer * epochs * sample) as f64;
        let share = budget.map_or(1.0, |budget| budget as f64 / whole);
        if share >= 1.0 {
            return Length { outer, epochs, sample };
        }
        let shorter = (epochs as f64 * share.sqrt()).round() as usize;
        let epochs = shorter.max(epochs.min(2));
        let outer = ((whole * share) as usize / (epochs * sample)).clamp(1, outer);
        Length { outer, epochs, sample }
    }
}

/// The length of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Length {
    /// Outer iterations.
    pub outer: usize,
    /// Epochs over the sample in each outer iteration.
    pub epochs: usize,
    /// Images in a sample.
    pub sample: usize,
}

impl Length {
    /// Returns the images shown in the whole run.
    pub fn images(&self) -> usize {
        self.outer * self.epochs * self.sample
    }

    /// Returns the updates of the network in the whole run, with `images` images each.
    pub fn updates(&self, images: usize) -> usize {
        self.outer * self.epochs * self.sample.div_ceil(images.max(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::method::{adsh, dtq, itq};

    #[test]
    fn a_budget_shortens_the_whole_schedule() {
        let plan = |recipe| {
            let (settings, trained) = (Settings::default(), Trained::Refine);
            LearnPlan::new(recipe, &adsh::METHOD, settings, trained, "".into())
        };
        let quick = plan(Recipe::Quick);
        assert_eq!(quick.length(2640, None), Length { outer: 16, epochs: 2, sample: 1320 });
        assert_eq!(quick.length(2640, Some(10_560)), Length { outer: 4, epochs: 2, sample: 1320 });
        assert_eq!(quick.length(2640, Some(1)), Length { outer: 1, epochs: 2, sample: 1320 });
        assert_eq!(quick.length(2640, Some(usize::MAX)), quick.length(2640, None));
        let paper = plan(Recipe::Paper);
        assert_eq!(paper.length(5994, None), Length { outer: 40, epochs: 30, sample: 2000 });
        let short = paper.length(5994, Some(240_000));
        assert_eq!(short, Length { outer: 13, epochs: 9, sample: 2000 });
        assert_eq!(short.images(), 234_000);
        assert_eq!(paper.length(3, Some(10)).sample, 3);
        assert_eq!(quick.length(0, None).sample, 1);
    }

    #[test]
    fn words_need_whole_codebooks() {
        let check = |method, bits| {
            let (settings, trained) = (Settings::default(), Trained::Head);
            let plan = LearnPlan::new(Recipe::Quick, method, settings, trained, "".into());
            LearnPlan { bits, ..plan }.check()
        };
        assert!(check(&dtq::METHOD, 4).is_ok() && check(&dtq::METHOD, 48).is_ok());
        let error = check(&dtq::METHOD, 30).unwrap_err().to_string();
        assert!(error.contains("multiple of 4, not 30"), "{error}");
        assert!(check(&adsh::METHOD, 30).is_ok());
        assert!(check(&itq::METHOD, 32).is_err(), "ITQ trains no network");
    }

    #[test]
    fn updates_count_whole_and_last_ones() {
        let length = Length { outer: 2, epochs: 3, sample: 10 };
        assert_eq!(length.updates(4), 18);
        assert_eq!(length.updates(0), 60);
    }
}
