/*!
The options of methods that train a network, and the plan that they make.
*/

use std::path::PathBuf;

use anyhow::{Context as _, Result, bail};
use clap::{ValueEnum, ValueHint};

use crate::method::{dsah, dtq, exchnet, plume};
use crate::network::Level;
use crate::train::{Init, LearnMethod, LearnPlan, Optimiser, Recipe, Schedule, Trained};

/// What the options below stand under in the help.
pub(super) const NETWORK: &str = "Options of methods that train a network";

/// Options of methods that train a network. Where a default differs between recipes, it is said.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = NETWORK)]
pub struct Network {
    /// Which part of the network is trained
    #[arg(long, default_value = "refine")]
    train: Part,
    /// The defaults of the options below [default: quick; paper with --train full]
    #[arg(long)]
    recipe: Option<RecipeName>,
    /// Stop after about this many images: the schedule is shortened as a whole
    #[arg(long, value_name = "N")]
    images: Option<usize>,
    /// Stop after about this many minutes, turned into images by timing a few steps
    #[arg(long, value_name = "MIN", value_parser = minutes)]
    minutes: Option<f64>,
    /// Outer iterations: a sample is trained on, then all codes are updated
    /// [default: 16; paper 40]
    #[arg(long, value_name = "N", value_parser = positive)]
    outer: Option<usize>,
    /// Epochs over the sample in each outer iteration [default: 2; paper 30]
    #[arg(long, value_name = "N", value_parser = positive)]
    epochs: Option<usize>,
    /// Images in a sample [default: half of them; paper 2000]
    #[arg(long, value_name = "N", value_parser = positive)]
    sample: Option<usize>,
    /// Images per pass through the network [default: 32; paper 16]
    #[arg(long, value_name = "N", value_parser = positive)]
    batch: Option<usize>,
    /// Passes per update: as a larger batch, in the memory of a smaller one
    #[arg(long, default_value = "1", value_name = "N", value_parser = positive)]
    accumulate: usize,
    /// How weights follow gradients [default: adamw; paper sgd]
    #[arg(long)]
    optimiser: Option<OptimiserName>,
    /// How the learning rate falls: to 0 by a cosine, or to a tenth after 7/8 of the run
    /// [default: cosine; paper step]
    #[arg(long)]
    schedule: Option<ScheduleName>,
    /// Learning rate of new layers at the start [default: 1e-3; paper 1e-4]
    #[arg(long, value_name = "RATE")]
    lr: Option<f64>,
    /// Learning rate of pretrained layers, as a share of that
    /// [default: adsh 0.5, exchnet 1; paper 1]
    #[arg(long, value_name = "SHARE")]
    lr_pretrained: Option<f64>,
    /// Weight decay [default: 1e-4]
    #[arg(long, value_name = "W")]
    weight_decay: Option<f32>,
    /// Cached views of each image: the plain one and random parts of it [default: 2]
    #[arg(long, value_name = "N", value_parser = positive)]
    views: Option<usize>,
    /// The least share of an image's area that a random view shows
    /// [default: 0.4; paper 0.08]
    #[arg(long, value_name = "SHARE")]
    least_area: Option<f32>,
    /// First learned codes: one per class, or random as published
    /// [default: class; paper random]
    #[arg(long)]
    init: Option<FirstCodes>,
    /// Folder for the stem's features, which are computed once; safe to delete
    /// [default: the platform's cache folder]
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    cache: Option<PathBuf>,
    /// exchnet: parts [default: 3; paper 4]
    #[arg(long, value_name = "M", value_parser = parts)]
    parts: Option<usize>,
    /// exchnet: the scale of the attention's last norm at first, around 1 less it: 1 is a
    /// norm's usual start, with 0 every map is 1 everywhere
    #[arg(long, default_value_t = 0.1, value_name = "GAIN")]
    attention_gain: f32,
    /// exchnet: weight of the spatial diversity of parts
    #[arg(long, default_value_t = 1.0, value_name = "W")]
    spatial: f32,
    /// exchnet: sum over channels instead of the mean in the spatial diversity
    #[arg(long)]
    spatial_sum: bool,
    /// exchnet: weight of the channel diversity of parts
    #[arg(long, default_value_t = 1.0, value_name = "W")]
    channel: f32,
    /// exchnet: channel diversity that is enough
    #[arg(long, default_value_t = 0.4, value_name = "T")]
    channel_margin: f32,
    /// exchnet: share of the outer iterations, at the end, that exchange parts
    #[arg(long, default_value_t = 0.125, value_name = "SHARE")]
    exchange: f32,
    /// plume: weight of the likeness of codes and features
    #[arg(long, default_value_t = 1.0, value_name = "W")]
    likeness: f32,
    /// plume: how far covariances within classes are shrunk, above 0 and up to 1, when the hash
    /// is fitted: less for known kinds, more for others [default: 0.7; with --train head 0.3]
    #[arg(long, value_name = "SHARE")]
    shrinkage: Option<f64>,
    /// dsah: what saliency is applied to [default: feature; image with --train full]
    #[arg(long)]
    saliency: Option<SaliencyLevel>,
    /// dsah: the mean of a saliency map that is wanted
    #[arg(long, default_value_t = 0.3, value_name = "SHARE")]
    density: f32,
    /// dtq: how much farther an image of another class has to be than one of its own: squared
    /// distance per bit
    #[arg(long, default_value_t = dtq::Options::default().margin, value_name = "M")]
    margin: f32,
    /// dtq: weight of an image's distance to the sum of its words
    #[arg(long, default_value_t = dtq::Options::default().quantization, value_name = "W")]
    word_weight: f32,
    /// exchnet: weight of the pull of exchanged features to their class's anchors
    #[arg(long, default_value_t = 0.0, value_name = "W")]
    pull: f32,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum Part {
    /// All of it; every image is decoded anew each time
    Full,
    /// The last blocks of the trunk, behind stride 16, and what the method adds
    Refine,
    /// Only what the method adds: the hash, and for exchnet and dsah the attention
    Head,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum RecipeName {
    /// For small budgets: 16 outer iterations of 2 epochs, AdamW, a cosine, 160 pixels
    Quick,
    /// As the published runs: 40 iterations of 30 epochs, SGD, a step, 224 pixels
    Paper,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum OptimiserName {
    /// Adam with decoupled weight decay
    #[value(name = "adamw")]
    AdamW,
    /// Stochastic gradient descent with momentum 0.9
    Sgd,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum ScheduleName {
    /// To 0 along a cosine
    Cosine,
    /// To a tenth after seven eighths of the run
    Step,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum FirstCodes {
    /// One random code per class
    Class,
    /// Random signs per image
    Random,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum SaliencyLevel {
    /// The image; the stem runs a second time
    Image,
    /// The stem's map
    Feature,
}

/// A number of at least 1 on the command line.
pub fn positive(text: &str) -> Result<usize, String> {
    text.parse().ok().filter(|n| *n > 0).ok_or_else(|| "not a whole number above 0".to_owned())
}

/// A number of parts on the command line.
fn parts(text: &str) -> Result<usize, String> {
    let parts = text.parse().ok().filter(|n| (1..=16).contains(n));
    parts.ok_or_else(|| "not a whole number from 1 to 16".to_owned())
}

/// A time on the command line.
fn minutes(text: &str) -> Result<f64, String> {
    let minutes = text.parse::<f64>().ok().filter(|m| m.is_finite() && *m > 0.0);
    minutes.ok_or_else(|| "not a number of minutes".to_owned())
}

/// A method that trains a network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum NetworkMethod {
    /// The asymmetric skeleton alone
    Adsh,
    /// With parts
    #[value(name = "exchnet")]
    ExchNet,
    /// The likelihood of pairs
    Dpsh,
    /// Balanced pairs, and a tanh that grows steeper
    #[value(name = "hashnet")]
    HashNet,
    /// Triplets, and words that add up to an image's values
    Dtq,
    /// A centre for every class
    Csq,
    /// The cosine to a fixed code for every class
    #[value(name = "orthohash")]
    OrthoHash,
    /// Attention that makes pairs easier
    Dsah,
    /// Class centres beside what the pretrained network sees
    Plume,
}

impl Network {
    /// The plan of a recipe with what was given instead.
    ///
    /// # Errors
    /// When this user has no cache folder and none is named.
    pub fn plan(&self, method: NetworkMethod, size: Option<u32>) -> Result<LearnPlan> {
        let cache = match &self.cache {
            Some(folder) => folder.clone(),
            None => default_cache()?,
        };
        let trained = match self.train {
            Part::Full => Trained::Full,
            Part::Refine => Trained::Refine,
            Part::Head => Trained::Head,
        };
        let recipe = match (self.recipe, self.train) {
            (Some(RecipeName::Quick), _) | (None, Part::Refine | Part::Head) => Recipe::Quick,
            (Some(RecipeName::Paper), _) | (None, Part::Full) => Recipe::Paper,
        };
        let method = match method {
            NetworkMethod::Adsh => LearnMethod::Adsh,
            NetworkMethod::ExchNet => LearnMethod::ExchNet(self.exchnet(recipe)),
            NetworkMethod::Dpsh => LearnMethod::Dpsh(Default::default()),
            NetworkMethod::HashNet => LearnMethod::HashNet(Default::default()),
            NetworkMethod::Dtq => LearnMethod::Dtq(dtq::Options {
                margin: self.margin,
                quantization: self.word_weight,
            }),
            NetworkMethod::Csq => LearnMethod::Csq(Default::default()),
            NetworkMethod::OrthoHash => LearnMethod::OrthoHash(Default::default()),
            NetworkMethod::Plume => LearnMethod::Plume(plume::Options {
                likeness: self.likeness,
                shrinkage: self.shrinkage,
                ..Default::default()
            }),
            NetworkMethod::Dsah => LearnMethod::Dsah(self.dsah(trained)?),
        };
        let plan = LearnPlan::new(recipe, method, trained, cache);
        Ok(LearnPlan {
            size: size.unwrap_or(plan.size),
            views: self.views.unwrap_or(plan.views),
            least_area: self.least_area.unwrap_or(plan.least_area).clamp(0.01, 1.0),
            init: match self.init {
                Some(FirstCodes::Class) => Init::Class,
                Some(FirstCodes::Random) => Init::Random,
                None => plan.init,
            },
            outer: self.outer.unwrap_or(plan.outer),
            epochs: self.epochs.unwrap_or(plan.epochs),
            sample: self.sample.or(plan.sample),
            batch: self.batch.unwrap_or(plan.batch),
            accumulate: self.accumulate,
            optimiser: match self.optimiser {
                Some(OptimiserName::AdamW) => Optimiser::AdamW,
                Some(OptimiserName::Sgd) => Optimiser::Sgd,
                None => plan.optimiser,
            },
            schedule: match self.schedule {
                Some(ScheduleName::Cosine) => Schedule::Cosine,
                Some(ScheduleName::Step) => Schedule::Step,
                None => plan.schedule,
            },
            rate: self.lr.unwrap_or(plan.rate),
            pretrained: self.lr_pretrained.unwrap_or(plan.pretrained),
            weight_decay: self.weight_decay.unwrap_or(plan.weight_decay),
            images: self.images,
            minutes: self.minutes,
            ..plan
        })
    }

    /// DSaH's options.
    fn dsah(&self, trained: Trained) -> Result<dsah::Options> {
        let level = match (self.saliency, trained) {
            (Some(SaliencyLevel::Image), Trained::Full) | (None, Trained::Full) => Level::Image,
            (Some(SaliencyLevel::Image), _) => {
                bail!("--saliency image runs the whole network again; add --train full")
            }
            (Some(SaliencyLevel::Feature) | None, _) => Level::Feature,
        };
        Ok(dsah::Options { level, density: self.density, ..Default::default() })
    }

    fn exchnet(&self, recipe: Recipe) -> exchnet::Options {
        let published = match recipe {
            Recipe::Quick => 3,
            Recipe::Paper => 4,
        };
        exchnet::Options {
            parts: self.parts.unwrap_or(published),
            attention_gain: self.attention_gain,
            spatial_weight: self.spatial,
            spatial: match self.spatial_sum {
                true => exchnet::Spatial::Sum,
                false => exchnet::Spatial::Mean,
            },
            channel_weight: self.channel,
            channel_margin: self.channel_margin,
            exchange_share: self.exchange.clamp(0.0, 1.0),
            pull: self.pull,
        }
    }
}

/// The folder with the stem's features, if none is named.
fn default_cache() -> Result<PathBuf> {
    let folders = directories::ProjectDirs::from("", "", "barbule")
        .context("this user has no cache folder; name one with --cache")?;
    Ok(folders.cache_dir().to_owned())
}
