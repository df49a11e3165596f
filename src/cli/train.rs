/*!
`barbule train`: fits a model to labelled photos.
*/

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::str::FromStr;
use std::time::Instant;

use anyhow::{Context as _, Result};
use clap::{ValueEnum, ValueHint};

use super::Context;
use super::context::bits;
use crate::dataset::{Dataset, Layout};
use crate::device::Device;
use crate::method::Shallow;
use crate::method::exchnet;
use crate::model::Card;
use crate::task::Task;
use crate::train::{
    EpochReport, Fitted, Init, LearnMethod, LearnPlan, Learned, ShallowPlan, Trained, fit_shallow,
    learn,
};

/// Fit a model to labelled photos
///
/// METHOD is one of
///   lsh       random directions: no training, the floor of every comparison
///   itq       principal directions and a learned rotation, without labels
///   lda-itq   directions that separate the classes, then a learned rotation
///   adsh      a network trained against learned codes of all images
///   exchnet   the same, on parts that the network finds by itself
#[derive(Debug, clap::Args)]
#[command(
    verbatim_doc_comment,
    after_help = "Example: barbule train exchnet --data birds/ --bits 48 --out birds.safetensors"
)]
pub struct Args {
    /// lsh, itq, lda-itq, adsh or exchnet
    method: Method,
    /// The labelled photos: a folder per class, or a published data set's folder
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    data: PathBuf,
    /// How the data lie: grocery, folder or cub; found by looking if left out
    #[arg(long)]
    layout: Option<Layout>,
    /// Bits per code, 1 to 1024
    #[arg(long, default_value = "64", value_parser = bits)]
    bits: usize,
    /// The model file to write
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    out: PathBuf,
    /// Seed of every random draw, and of the split if the data have none
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Width and height of the trunk's input, in pixels [default: 224, for networks 160]
    #[arg(long, value_name = "PIXELS")]
    size: Option<u32>,
    /// Trunk weights of your own instead of the shipped ones (see `barbule weights import`)
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    weights: Option<PathBuf>,
    /// Keep this share of the classes out of training, to measure on kinds never seen
    #[arg(long, value_name = "SHARE")]
    hold_out_classes: Option<f64>,
    #[command(flatten)]
    network: Network,
}

/// Options of adsh and exchnet.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Options of adsh and exchnet")]
struct Network {
    /// Which part of the network is trained
    #[arg(long, default_value = "refine")]
    train: Part,
    /// Stop after about this many images: the schedule is shortened as a whole
    #[arg(long, value_name = "N")]
    images: Option<usize>,
    /// Outer iterations: a sample is trained on, then all codes are updated
    #[arg(long, default_value_t = 16, value_name = "N")]
    outer: usize,
    /// Epochs over the sample in each outer iteration
    #[arg(long, default_value_t = 2, value_name = "N")]
    epochs: usize,
    /// Images in a sample [default: half of them]
    #[arg(long, value_name = "N")]
    sample: Option<usize>,
    /// Images per step
    #[arg(long, default_value_t = 32, value_name = "N")]
    batch: usize,
    /// Learning rate of new layers, half of it for pretrained ones; falls to 0 by a cosine
    #[arg(long, default_value_t = 1e-3, value_name = "RATE")]
    lr: f64,
    /// Weight decay
    #[arg(long, default_value_t = 1e-4, value_name = "W")]
    weight_decay: f32,
    /// Cached views of each image: the plain one and random parts of it
    #[arg(long, default_value_t = 2, value_name = "N")]
    views: usize,
    /// The least share of an image's area that a random view shows
    #[arg(long, default_value_t = 0.4, value_name = "SHARE")]
    least_area: f32,
    /// First learned codes: one per class, or random as published
    #[arg(long, default_value = "class")]
    init: FirstCodes,
    /// Folder for the stem's features, which are computed once; safe to delete
    /// [default: the platform's cache folder]
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    cache: Option<PathBuf>,
    /// Go on where a run with the same options was stopped (Ctrl-C or a power cut)
    #[arg(long)]
    resume: bool,
    /// Write a JSON line per epoch to this file
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    log: Option<PathBuf>,
    /// exchnet: parts
    #[arg(long, default_value_t = 3, value_name = "M")]
    parts: usize,
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
    /// exchnet: weight of the pull of exchanged features to their class's anchors
    #[arg(long, default_value_t = 0.0, value_name = "W")]
    pull: f32,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Part {
    /// The last five blocks of the trunk, and what the method adds
    Refine,
    /// Only what the method adds: the hash, and for exchnet the attention
    Head,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum FirstCodes {
    /// One random code per class
    Class,
    /// Random signs per image
    Random,
}

#[derive(Debug, Clone, Copy)]
enum Method {
    Shallow(Shallow),
    Adsh,
    ExchNet,
}

impl FromStr for Method {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        match name {
            "adsh" => Ok(Self::Adsh),
            "exchnet" => Ok(Self::ExchNet),
            _ => name.parse().map(Self::Shallow).map_err(|_| {
                format!("'{name}' is no method; choose lsh, itq, lda-itq, adsh or exchnet")
            }),
        }
    }
}

pub fn run(context: &Context, args: Args) -> Result<ExitCode> {
    let mut dataset = Dataset::open(&args.data, args.layout, args.seed)?;
    dataset.warnings.iter().for_each(|warning| context.warn(warning));
    if let Some(share) = args.hold_out_classes {
        dataset.hold_out(share, args.seed)?;
        let held_out = dataset.held_out.iter().filter_map(|l| dataset.classes.get(*l as usize));
        let names: Vec<&str> = held_out.map(String::as_str).collect();
        context.say(format_args!("held out of training: {}", names.join(", ")));
    }
    let device = context.device()?;
    let begun = Instant::now();
    let card = match args.method {
        Method::Shallow(method) => shallow(context, &args, method, &dataset, &device)?,
        Method::Adsh => network(context, &args, LearnMethod::Adsh, &dataset, &device)?,
        Method::ExchNet => {
            let method = LearnMethod::ExchNet(args.network.exchnet());
            network(context, &args, method, &dataset, &device)?
        }
    };
    if context.json {
        context.print_json(&card)?;
    } else {
        let seconds = begun.elapsed().as_secs_f64();
        context.print(format_args!(
            "{}: {} with {} bits from {} images of {} classes in {seconds:.1} s",
            args.out.display(),
            card.method,
            card.bits,
            card.data.images,
            dataset.classes.len(),
        ))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn shallow(
    context: &Context,
    args: &Args,
    method: Shallow,
    dataset: &Dataset,
    device: &Device,
) -> Result<Card> {
    let plan = ShallowPlan {
        method,
        bits: args.bits,
        seed: args.seed,
        size: args.size.unwrap_or(224),
        weights: args.weights.clone(),
        limits: context.limits,
    };
    let fit = |task: &Task<'_>| fit_shallow(&plan, dataset, &args.out, device, task);
    let Fitted { card, unreadable, .. } = context.with_progress("features", fit)?;
    context.warn_unreadable(&unreadable);
    Ok(card)
}

fn network(
    context: &Context,
    args: &Args,
    method: LearnMethod,
    dataset: &Dataset,
    device: &Device,
) -> Result<Card> {
    let options = &args.network;
    let cache = match &options.cache {
        Some(folder) => folder.clone(),
        None => default_cache()?,
    };
    let plan = LearnPlan {
        method,
        bits: args.bits,
        seed: args.seed,
        size: args.size.unwrap_or(160),
        views: options.views.max(1),
        least_area: options.least_area.clamp(0.01, 1.0),
        trained: match options.train {
            Part::Refine => Trained::Refine,
            Part::Head => Trained::Head,
        },
        init: match options.init {
            FirstCodes::Class => Init::Class,
            FirstCodes::Random => Init::Random,
        },
        outer: options.outer.max(1),
        epochs: options.epochs.max(1),
        sample: options.sample,
        batch: options.batch.max(1),
        rate: options.lr,
        weight_decay: options.weight_decay,
        images: options.images,
        weights: args.weights.clone(),
        cache,
        limits: context.limits,
        resume: options.resume,
    };
    let mut log = options.log.as_deref().map(Log::create).transpose()?;
    let train = |task: &Task<'_>, note: &dyn Fn(String)| {
        let mut report = |epoch: &EpochReport| {
            note(format!(
                "outer {}/{} epoch {} loss {:.3} rate {:.1e}{} {:.0} images/s",
                epoch.outer,
                plan.outer,
                epoch.epoch,
                epoch.loss,
                epoch.rate,
                if epoch.exchange { " exchange" } else { "" },
                epoch.images as f64 / epoch.seconds,
            ));
            if let Some(log) = &mut log {
                log.write(epoch);
            }
        };
        learn(&plan, dataset, &args.out, device, task, &mut report)
    };
    let Learned { card, unreadable, .. } = context.with_notes("training", train)?;
    if let Some(problem) = log.and_then(|log| log.problem) {
        context.warn(format_args!("the log is not complete: {problem}"));
    }
    context.warn_unreadable(&unreadable);
    Ok(card)
}

impl Network {
    fn exchnet(&self) -> exchnet::Options {
        exchnet::Options {
            parts: self.parts.clamp(1, 16),
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

/// The file with a JSON line per epoch. A full disk must not end a training.
struct Log {
    file: File,
    problem: Option<std::io::Error>,
}

impl Log {
    fn create(path: &Path) -> Result<Self> {
        let file = File::create(path)
            .with_context(|| format!("cannot write the log {}", path.display()))?;
        Ok(Self { file, problem: None })
    }

    fn write(&mut self, epoch: &EpochReport) {
        let line = serde_json::to_string(epoch).unwrap_or_default();
        if let Err(error) = writeln!(self.file, "{line}") {
            self.problem.get_or_insert(error);
        }
    }
}

fn default_cache() -> Result<PathBuf> {
    let folders = directories::ProjectDirs::from("", "", "barbule")
        .context("this user has no cache folder; name one with --cache")?;
    Ok(folders.cache_dir().to_owned())
}
