/*!
Options of methods that train a network, and their plan.
*/

use std::path::PathBuf;

use anyhow::{Context as _, Result};
use clap::ValueHint;
use clap::builder::{PossibleValuesParser, TypedValueParser};

use super::options::{LearnedOptions, NETWORK};
use crate::method::{METHODS, Method, lookup};
use crate::train::{Init, LearnPlan, Optimiser, Recipe, Schedule, Trained};
use crate::trunk::TrunkKind;

/// Parses one of the names of an enum.
macro_rules! one_of {
    ($type:ident) => {
        PossibleValuesParser::new($type::NAMES).try_map(|name| name.parse::<$type>())
    };
}
/// Options of methods that train a network.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = NETWORK)]
pub struct Network {
    /// The part of the network to train: full (everything; every image is decoded again each time),
    /// refine (the last blocks of the trunk, after stride 16, and the layers that the method adds)
    /// or head (only the layers that the method adds: the hash, and attention if it has any)
    #[arg(long, default_value = "refine", value_parser = one_of!(Trained))]
    train: Trained,
    /// The defaults of the options below [default: quick; paper with --train full]: quick, for
    /// small budgets (16 outer iterations of 2 epochs, AdamW, cosine schedule, 160 pixels), or
    /// paper, as in the published runs (40 iterations of 30 epochs, SGD, step schedule, 224 pixels)
    #[arg(long, value_parser = one_of!(Recipe))]
    recipe: Option<Recipe>,
    /// Stop after about this many images; the whole schedule is shortened to fit
    #[arg(long, value_name = "N")]
    images: Option<usize>,
    /// Stop after about this many minutes; timing a few steps converts them to images
    #[arg(long, value_name = "MIN", value_parser = minutes)]
    minutes: Option<f64>,
    /// Number of outer iterations; each trains on a sample, then updates all codes
    /// [default: 16; paper 40]
    #[arg(long, value_name = "N", value_parser = positive)]
    outer: Option<usize>,
    /// Epochs over the sample in each outer iteration [default: 2; paper 30]
    #[arg(long, value_name = "N", value_parser = positive)]
    epochs: Option<usize>,
    /// Images in a sample [default: half of the training images; paper 2000]
    #[arg(long, value_name = "N", value_parser = positive)]
    sample: Option<usize>,
    /// Images per pass through the network [default: 32; paper 16]
    #[arg(long, value_name = "N", value_parser = positive)]
    batch: Option<usize>,
    /// Passes per update; more have the effect of a larger batch without its memory
    #[arg(long, default_value = "1", value_name = "N", value_parser = positive)]
    accumulate: usize,
    /// The optimiser: adamw (Adam with decoupled weight decay) or sgd (stochastic gradient descent
    /// with momentum 0.9) [default: adamw; paper sgd]
    #[arg(long, value_parser = one_of!(Optimiser))]
    optimiser: Option<Optimiser>,
    /// The decay of the learning rate: cosine (to 0) or step (to a tenth after 7/8 of the run)
    /// [default: cosine; paper step]
    #[arg(long, value_parser = one_of!(Schedule))]
    schedule: Option<Schedule>,
    /// Initial learning rate of new layers [default: 1e-3; paper 1e-4]
    #[arg(long, value_name = "RATE")]
    lr: Option<f64>,
    #[arg(long, value_name = "SHARE", help = lr_pretrained_help())]
    lr_pretrained: Option<f64>,
    /// Weight decay [default: 1e-4]
    #[arg(long, value_name = "W")]
    weight_decay: Option<f32>,
    /// Cached views of each image: the whole image and random crops [default: 2]
    ///
    /// More views find more and cost no training steps, only a pass of the frozen layers each, and
    /// disk space. The hash of plume and plume-words is fitted to all of them.
    #[arg(long, value_name = "N", value_parser = positive)]
    views: Option<usize>,
    /// Minimum share of an image's area that a random view shows [default: 0.4; paper 0.08]
    #[arg(long, value_name = "SHARE")]
    least_area: Option<f32>,
    /// Initial learned codes: class (one per class) or random [default: class; paper random]
    #[arg(long, value_parser = one_of!(Init))]
    init: Option<Init>,
    /// Folder for the stem's features, which are computed once; it can be deleted safely [default:
    /// the platform's cache folder]
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    cache: Option<PathBuf>,
    #[command(flatten)]
    options: LearnedOptions,
}

/// Parses a number of at least 1.
pub fn positive(text: &str) -> Result<usize, String> {
    text.parse().ok().filter(|n| *n > 0).ok_or_else(|| "not a whole number above 0".to_owned())
}

/// Parses a time in minutes.
fn minutes(text: &str) -> Result<f64, String> {
    let minutes = text.parse::<f64>().ok().filter(|m| m.is_finite() && *m > 0.0);
    minutes.ok_or_else(|| "not a number of minutes".to_owned())
}

/// Returns the method of this name if it trains a network.
pub fn learned_method(name: &str) -> Result<&'static Method, String> {
    let found = METHODS.into_iter().find(|m| m.trains_network() && m.name == name);
    found.ok_or_else(|| {
        let names = lookup::names(Method::trains_network);
        format!("'{name}' does not train a network; choose one of {names}")
    })
}

impl Network {
    /// Creates the plan: the recipe, changed by the given options.
    ///
    /// # Errors
    /// If the method trains no network, its options do not suit the trained part, or the user has
    /// no cache folder and none is given.
    pub fn plan(
        &self,
        method: &'static Method,
        trunk: TrunkKind,
        size: Option<u32>,
    ) -> Result<LearnPlan> {
        let recipe = self.recipe.unwrap_or(match self.train {
            Trained::Full => Recipe::Paper,
            Trained::Refine | Trained::Head => Recipe::Quick,
        });
        let settings = self.options.settings(method);
        let plan = LearnPlan::new(recipe, method, settings, self.train, self.cache()?);
        let plan = LearnPlan {
            trunk,
            size: size.unwrap_or_else(|| trunk.fitting(plan.size)),
            views: self.views.unwrap_or(plan.views),
            least_area: self.least_area.unwrap_or(plan.least_area).clamp(0.01, 1.0),
            init: self.init.unwrap_or(plan.init),
            outer: self.outer.unwrap_or(plan.outer),
            epochs: self.epochs.unwrap_or(plan.epochs),
            sample: self.sample.or(plan.sample),
            batch: self.batch.unwrap_or(plan.batch),
            accumulate: self.accumulate,
            optimiser: self.optimiser.unwrap_or(plan.optimiser),
            schedule: self.schedule.unwrap_or(plan.schedule),
            rate: self.lr.unwrap_or(plan.rate),
            pretrained: self.lr_pretrained.unwrap_or(plan.pretrained),
            weight_decay: self.weight_decay.unwrap_or(plan.weight_decay),
            images: self.images,
            minutes: self.minutes,
            ..plan
        };
        plan.check_trunk()?;
        Ok(plan)
    }

    /// Returns the folder for the stem's features.
    ///
    /// # Errors
    /// If the user has no cache folder and none is given.
    pub fn cache(&self) -> Result<PathBuf> {
        match &self.cache {
            Some(folder) => Ok(folder.clone()),
            None => default_cache(),
        }
    }
}

/// Returns the help of `--lr-pretrained`, with the methods that have their own default.
fn lr_pretrained_help() -> String {
    let own = METHODS.into_iter().filter(|method| method.pretrained_rate != 1.0);
    let own = own.map(|method| format!("{method} {}, ", method.pretrained_rate));
    format!(
        "Learning rate of pretrained layers, relative to that of new layers [default: {}others 1; paper 1]",
        own.collect::<String>()
    )
}

/// Returns the default folder for the stem's features.
fn default_cache() -> Result<PathBuf> {
    let folders = directories::ProjectDirs::from("", "", "barbule")
        .context("this user has no cache folder; name one with --cache")?;
    Ok(folders.cache_dir().to_owned())
}
