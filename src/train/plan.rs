/*!
What to train and how: methods, recipes, budgets.
*/

use std::path::PathBuf;
use std::sync::Arc;

use rand::RngExt;
use serde::{Deserialize, Serialize};

use super::TrainError;
use super::draw::{Purpose, generator};
use crate::device::Device;
use crate::hash::codebooks::WORD_BITS;
use crate::image::Limits;
use crate::method::asymmetric::{Asymmetric, Groups, LearnedCodes};
use crate::method::learner::Learner;
use crate::method::{csq, dpsh, dsah, dtq, exchnet, hashnet, orthohash, plume};
use crate::network::Level;
use crate::trunk::TrunkKind;

/// A method that trains a network, with its options.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum LearnMethod {
    /// Asymmetric deep supervised hashing.
    Adsh,
    /// The same on parts that the network finds.
    ExchNet(exchnet::Options),
    /// The likelihood of pairs.
    Dpsh(dpsh::Options),
    /// Balanced pairs and a tanh that grows steeper.
    HashNet(hashnet::Options),
    /// Triplets, and words that add up to an image's values.
    Dtq(dtq::Options),
    /// A centre for every class.
    Csq(csq::Options),
    /// The cosine to a fixed code for every class.
    OrthoHash(orthohash::Options),
    /// Attention that makes pairs easier: our reconstruction of DSaH.
    Dsah(dsah::Options),
    /// Barbule's own: class centres beside what the pretrained network sees.
    Plume(plume::Options),
}

impl LearnMethod {
    /// The name on the command line.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Adsh => "adsh",
            Self::ExchNet(_) => "exchnet",
            Self::Dpsh(_) => "dpsh",
            Self::HashNet(_) => "hashnet",
            Self::Dtq(_) => "dtq",
            Self::Csq(_) => "csq",
            Self::OrthoHash(_) => "orthohash",
            Self::Dsah(_) => "dsah",
            Self::Plume(_) => "plume",
        }
    }

    /// What the network's parts do, for methods that have them.
    pub(super) fn exchnet(&self) -> Option<&exchnet::Options> {
        match self {
            // Without parts there is nothing to attend to or to exchange: the global features
            // alone, under the same loss.
            Self::ExchNet(options) if options.parts > 0 => Some(options),
            _ => None,
        }
    }

    /// Parts of an image that have features of their own.
    pub(super) fn parts(&self) -> usize {
        self.exchnet().map_or(0, |options| options.parts)
    }

    /// The learning rate of pretrained layers as a share of that of new ones, in the quick
    /// recipe: chosen on Grocery's validation split for each method.
    fn pretrained(&self) -> f64 {
        match self {
            Self::Adsh => 0.5,
            _ => 1.0,
        }
    }
}

/// What the learned codes are at first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Init {
    /// Random signs for each image, as published.
    Random,
    /// One random code for each class.
    Class,
}

/// Which part of the network is trained.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trained {
    /// All of it: every image is decoded anew each time it is shown.
    Full,
    /// The refine part, and what a method adds.
    Refine,
    /// Only what a method adds: the hash, and for ExchNet the attention.
    Head,
}

/// How weights follow gradients.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Optimiser {
    /// Adam with decoupled weight decay.
    AdamW,
    /// Stochastic gradient descent with momentum 0.9, without dampening.
    Sgd,
}

/// How the learning rate falls over the run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Schedule {
    /// To 0 along a cosine.
    Cosine,
    /// To a tenth after seven eighths of the run.
    Step,
}

/// A set of defaults that belong together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Recipe {
    /// Barbule's own, for small budgets: about 16 times each image.
    Quick,
    /// That of the published runs of ExchNet's group: 2.4 million images.
    Paper,
}

/// What to train and how.
#[derive(Debug, Clone)]
pub struct LearnPlan {
    /// The method.
    pub method: LearnMethod,
    /// Bits per code.
    pub bits: usize,
    /// Seed of every draw.
    pub seed: u64,
    /// Width and height of the trunk's input, in pixels.
    pub size: u32,
    /// Cached views of each image, where the stem is not trained.
    pub views: usize,
    /// The least share of an image that a view shows.
    pub least_area: f32,
    /// Which part is trained.
    pub trained: Trained,
    /// First learned codes.
    pub init: Init,
    /// Outer iterations.
    pub outer: usize,
    /// Epochs over the sample in each.
    pub epochs: usize,
    /// Images in a sample; all of them if there are fewer. None for half of them.
    pub sample: Option<usize>,
    /// Images per pass through the network, at most: fewer where devices share an update.
    pub batch: usize,
    /// Passes per update: more of them are slower and need no more memory. Norms see
    /// the images of one pass.
    pub accumulate: usize,
    /// How weights follow gradients.
    pub optimiser: Optimiser,
    /// How the learning rate falls.
    pub schedule: Schedule,
    /// Learning rate of new layers at the start.
    pub rate: f64,
    /// That of pretrained layers, as a share of it.
    pub pretrained: f64,
    /// Weight decay.
    pub weight_decay: f32,
    /// Stop after about this many images were shown: the schedule is shortened as a whole.
    pub images: Option<usize>,
    /// Stop after about this many minutes, the stem's features included: turned into a
    /// number of images by timing a few steps at the start.
    pub minutes: Option<f64>,
    /// The trunk.
    pub trunk: TrunkKind,
    /// A trunk file instead of the shipped weights; trunks whose weights do not ship need
    /// one.
    pub weights: Option<PathBuf>,
    /// Where the stem's features are kept.
    pub cache: PathBuf,
    /// Which images are refused.
    pub limits: Limits,
    /// Go on from the checkpoint of a run that was stopped.
    pub resume: bool,
    /// Devices beside the one that a run is given: each update's images are divided among all
    /// of them. The result depends on how many there are as it does on the size of a pass.
    pub beside: Vec<Device>,
}

impl LearnPlan {
    /// The plan of a recipe, for 64 bits and seed 1.
    ///
    /// `paper` is what the re-runs of ExchNet's group state: SGD with 1e-4, batch 16,
    /// 40 outer iterations of 30 epochs over 2,000 images, the rate divided by 10 at 35.
    pub fn new(recipe: Recipe, method: LearnMethod, trained: Trained, cache: PathBuf) -> Self {
        let quick = Self {
            method,
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
            pretrained: method.pretrained(),
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

    /// Makes sure that the method can make codes of so many bits.
    ///
    /// # Errors
    /// [`TrainError::Bits`].
    pub fn check_bits(&self, bits: usize) -> Result<(), TrainError> {
        match self.method {
            LearnMethod::Dtq(_) if !bits.is_multiple_of(WORD_BITS) => {
                let (method, multiple) = (self.method.name(), WORD_BITS);
                Err(TrainError::Bits { method, multiple, bits })
            }
            _ => Ok(()),
        }
    }

    /// How many devices share an update.
    pub(super) fn devices(&self) -> usize {
        1 + self.beside.len()
    }

    /// Images in the largest pass: a device's share of an update, or a batch if that is less.
    pub(super) fn per_pass(&self) -> usize {
        self.batch.min((self.batch * self.accumulate).div_ceil(self.devices()))
    }

    /// What the network's saliency is applied to, for methods that have it. Images that are
    /// not kept can only be weighed where the whole network is trained.
    pub(super) fn saliency(&self) -> Option<Level> {
        match (self.method, self.trained) {
            (LearnMethod::Dsah(options), Trained::Full) => Some(options.level),
            (LearnMethod::Dsah(_), _) => Some(Level::Feature),
            _ => None,
        }
    }

    /// Whether the hash sees the features of the pretrained layers beside those of the trained
    /// ones; where none are trained they are the same.
    pub(super) fn keeps_original(&self) -> bool {
        matches!(self.method, LearnMethod::Plume(_)) && self.trained != Trained::Head
    }

    /// Whether the network's frozen part gives finished features, so that a step needs no more
    /// than the hash.
    pub(super) fn learns_from_features(&self) -> bool {
        let plain = self.method.parts() == 0 && self.saliency().is_none();
        self.trained == Trained::Head && plain
    }

    /// The method, ready to learn from images in groups.
    pub(super) fn learner(&self, groups: Arc<Groups>) -> Box<dyn Learner> {
        let (bits, seed) = (self.bits, self.seed);
        match self.method {
            LearnMethod::Adsh => self.asymmetric(groups, 200.0),
            LearnMethod::ExchNet(_) => self.asymmetric(groups, 0.0),
            LearnMethod::Dpsh(options) => Box::new(dpsh::Dpsh::new(groups, options)),
            LearnMethod::HashNet(options) => Box::new(hashnet::HashNet::new(groups, options)),
            LearnMethod::Dtq(options) => Box::new(dtq::Dtq::new(groups, bits, seed, options)),
            LearnMethod::Csq(options) => Box::new(csq::Csq::new(groups, bits, seed, options)),
            LearnMethod::OrthoHash(options) => {
                Box::new(orthohash::OrthoHash::new(groups, bits, seed, options))
            }
            LearnMethod::Dsah(options) => Box::new(dsah::Dsah::new(groups, options)),
            LearnMethod::Plume(options) => {
                let frozen = self.trained == Trained::Head;
                Box::new(plume::Plume::new(groups, bits, seed, frozen, options))
            }
        }
    }

    fn asymmetric(&self, groups: Arc<Groups>, gamma: f32) -> Box<dyn Learner> {
        let codes = self.first_codes(&groups);
        Box::new(Asymmetric::new(groups, codes, gamma))
    }

    /// First learned codes, as the plan wants them.
    fn first_codes(&self, groups: &Groups) -> LearnedCodes {
        let code = |key: usize| {
            let mut rng = generator(self.seed, Purpose::Codes, 0, key);
            (0..self.bits).map(move |_| if rng.random_bool(0.5) { 1.0f32 } else { -1.0 })
        };
        let images = 0..groups.images();
        let values = match self.init {
            Init::Random => images.flat_map(code).collect(),
            Init::Class => images.flat_map(|image| code(groups.of(image))).collect(),
        };
        LearnedCodes::new(self.bits, values)
    }

    /// How long the run is with `images` training images and a budget of images to show.
    ///
    /// A budget shortens the schedule as a whole: outer iterations and epochs within
    /// them by about the same factor, but at least two epochs (or as few as planned).
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

/// The extent of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Length {
    /// Outer iterations.
    pub outer: usize,
    /// Epochs over the sample in each.
    pub epochs: usize,
    /// Images in a sample.
    pub sample: usize,
}

impl Length {
    /// Images shown in the whole run.
    pub fn images(&self) -> usize {
        self.outer * self.epochs * self.sample
    }

    /// Updates of the network in the whole run, with `images` of them in each.
    pub fn updates(&self, images: usize) -> usize {
        self.outer * self.epochs * self.sample.div_ceil(images.max(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_budget_shortens_the_whole_schedule() {
        let plan = |recipe| LearnPlan::new(recipe, LearnMethod::Adsh, Trained::Refine, "".into());
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
        let plan = |method| LearnPlan::new(Recipe::Quick, method, Trained::Head, "".into());
        let dtq = plan(LearnMethod::Dtq(Default::default()));
        assert!(dtq.check_bits(4).is_ok() && dtq.check_bits(48).is_ok());
        let error = dtq.check_bits(30).unwrap_err().to_string();
        assert!(error.contains("multiple of 4, not 30"), "{error}");
        assert!(plan(LearnMethod::Adsh).check_bits(30).is_ok());
    }

    #[test]
    fn updates_count_whole_and_last_ones() {
        let length = Length { outer: 2, epochs: 3, sample: 10 };
        assert_eq!(length.updates(4), 18);
        assert_eq!(length.updates(0), 60);
    }
}
