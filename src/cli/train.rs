/*!
`barbule train`: fits a model to labelled photos.
*/

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::str::FromStr;
use std::time::Instant;

use anyhow::{Context as _, Result, bail};
use clap::{ValueEnum, ValueHint};

use super::Context;
use super::context::bits;
use crate::dataset::{Dataset, Layout};
use crate::device::Device;
use crate::method::saliency::Level;
use crate::method::{Shallow, dsah, dtq, exchnet, plume, sdh};
use crate::model::Card;
use crate::task::Task;
use crate::train::{
    EpochReport, Fitted, Init, LearnMethod, LearnPlan, Learned, Optimiser, Outlook, Recipe,
    Schedule, ShallowPlan, Trained, Watcher, fit_shallow, learn,
};
use crate::trunk::TrunkKind;

/// Fit a model to labelled photos
///
/// METHOD is one of
///   lsh           random directions: no training, the floor of every comparison
///   whitened-lsh  the same where no direction dominates; the built-in model is one
///   itq           principal directions and a learned rotation, without labels
///   lda-itq       directions that separate the classes, then a learned rotation
///   sdh           bits that labels follow from, through a kernel on some of the images
///   adsh          a network trained against learned codes of all images
///   exchnet       the same, on parts that the network finds by itself
///   dpsh          a network trained on the likelihood of pairs
///   hashnet       the same with balanced pairs and a tanh that grows steeper
///   dtq           a network trained on triplets, and words that add up to what it gives: its
///                 codes are measured by `eval` and `compare`, no index can hold them
///   csq           a network that draws every class to a centre of its own
///   orthohash     the same by the cosine, all that there is to its loss
///   dsah          a network of which attention shows only what matters; a reconstruction of
///                 the published method, of which only the abstract could be read
///   plume         Barbule's own: class centres beside what the pretrained network sees, and a
///                 hash fitted to both
#[derive(Debug, clap::Args)]
#[command(
    verbatim_doc_comment,
    after_help = "Example: barbule train exchnet --data birds/ --bits 48 --out birds.safetensors"
)]
pub struct Args {
    /// One of the names above
    method: Method,
    /// The labelled photos: a folder per class, or a published data set's folder
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    data: PathBuf,
    /// How the data lie: folder, photos for images without classes (methods up to itq), or a
    /// published data set as `barbule data` lists them; found by looking if left out
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
    /// Width and height of the trunk's input, in pixels [default: 224; networks by the quick
    /// recipe 160]
    #[arg(long, value_name = "PIXELS")]
    size: Option<u32>,
    /// The pretrained network: efficientnet-lite0, which ships, or resnet18 or resnet50, whose
    /// weights you name with --weights
    #[arg(long, default_value = "efficientnet-lite0", value_name = "TRUNK")]
    trunk: TrunkKind,
    /// The trunk's weights, as `barbule weights import` writes them [default: the shipped ones]
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    weights: Option<PathBuf>,
    /// lsh, whitened-lsh, itq, lda-itq, sdh: leave the shipped trunk out of the model file, which
    /// then opens with this version's trunk only (1.4 MB for 256 bits instead of 8.4)
    #[arg(long, conflicts_with = "weights")]
    share_trunk: bool,
    /// lsh, whitened-lsh, itq, lda-itq, sdh: what the model's card says of the hash's licence
    #[arg(long, value_name = "TEXT")]
    licence: Option<String>,
    /// Keep this share of the classes out of training, to measure on kinds never seen
    #[arg(long, value_name = "SHARE")]
    hold_out_classes: Option<f64>,
    /// Go on where a run with the same options was stopped (Ctrl-C or a power cut)
    #[arg(long, help_heading = NETWORK)]
    resume: bool,
    /// Write a JSON line per epoch to this file
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, help_heading = NETWORK)]
    log: Option<PathBuf>,
    /// Train on several devices at once: numbers or names as `barbule doctor` lists adapters, and
    /// cpu, with commas between. The first one leads
    ///
    /// Each device gets an equal share of the images of every update, so take devices of about
    /// the same speed, and raise --batch to keep each as busy as before: --devices 0,1 --batch 64
    /// gives each passes of 32. Norms, and the losses of dpsh, hashnet, dtq, dsah and plume, which
    /// compare images with each other, see the images of one pass.
    #[arg(
        long,
        value_name = "N|NAME|cpu,...",
        value_delimiter = ',',
        help_heading = NETWORK
    )]
    devices: Vec<String>,
    #[command(flatten)]
    sdh: Sdh,
    #[command(flatten)]
    network: Network,
}

/// Options of sdh.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Options of sdh")]
struct Sdh {
    /// Training images that all others are compared with
    #[arg(long, default_value_t = sdh::Options::default().anchors, value_name = "N")]
    anchors: usize,
    /// Width of the kernel: its variance, as a share of the mean squared distance
    #[arg(long, default_value_t = sdh::Options::default().width, value_name = "SHARE")]
    width: f64,
    /// Weight of what maps codes to labels being small
    #[arg(long, default_value_t = sdh::Options::default().lambda, value_name = "W")]
    lambda: f64,
    /// Weight of codes being what the images give
    #[arg(long, default_value_t = sdh::Options::default().nu, value_name = "W")]
    nu: f64,
    /// Weight of what maps images to codes being small
    #[arg(long, default_value_t = sdh::Options::default().ridge, value_name = "W")]
    ridge: f64,
    /// Rounds at most
    #[arg(long, default_value_t = sdh::Options::default().rounds, value_name = "N")]
    rounds: usize,
}

impl Sdh {
    fn options(&self) -> sdh::Options {
        let &Self { anchors, width, lambda, nu, ridge, rounds } = self;
        sdh::Options { anchors, width, lambda, nu, ridge, rounds }
    }
}

/// What the options below stand under in the help.
const NETWORK: &str = "Options of methods that train a network";

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

/// A method by its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// Fitted to features of the trunk.
    Shallow(Shallow),
    /// Trained.
    Network(NetworkMethod),
}

impl Method {
    /// Every method, the simplest first.
    pub fn all() -> impl Iterator<Item = Self> {
        let networks = NetworkMethod::value_variants().iter().copied().map(Self::Network);
        Shallow::ALL.into_iter().map(Self::Shallow).chain(networks)
    }
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

impl FromStr for Method {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        if let Ok(method) = NetworkMethod::from_str(name, false) {
            return Ok(Self::Network(method));
        }
        name.parse().map(Self::Shallow).map_err(|_| {
            let networks = NetworkMethod::value_variants().iter();
            let networks = networks.filter_map(|method| method.to_possible_value());
            let names: Vec<String> = networks.map(|value| value.get_name().to_owned()).collect();
            format!(
                "'{name}' is no method; choose lsh, whitened-lsh, itq, lda-itq, sdh, {}",
                names.join(", ")
            )
        })
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
    let devices = match (args.devices.as_slice(), args.method) {
        ([], _) => vec![context.device()?],
        (names, Method::Network(_)) => context.devices(names)?,
        (_, Method::Shallow(method)) => {
            bail!(
                "--devices is for methods that train a network, and {method} does not; name one with --device or --adapter"
            )
        }
    };
    let Some((device, beside)) = devices.split_first() else { bail!("--devices names none") };
    let begun = Instant::now();
    let card = match args.method {
        Method::Shallow(method) => shallow(context, &args, method, &dataset, device)?,
        Method::Network(method) => network(context, &args, method, &dataset, device, beside)?,
    };
    if context.json {
        context.print_json(&card)?;
    } else {
        let seconds = begun.elapsed().as_secs_f64();
        context.print(format_args!(
            "{}: {} with {} bits from {} images{} in {seconds:.1} s",
            args.out.display(),
            card.method,
            card.bits,
            card.data.images,
            match dataset.classes.len() - dataset.held_out.len() {
                0 => String::new(),
                classes => format!(" of {classes} classes"),
            },
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
        trunk: args.trunk,
        sdh: args.sdh.options(),
        weights: args.weights.clone(),
        share_trunk: args.share_trunk,
        licence: args.licence.clone(),
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
    method: NetworkMethod,
    dataset: &Dataset,
    device: &Device,
    beside: &[Device],
) -> Result<Card> {
    if args.share_trunk || args.licence.is_some() {
        bail!(
            "--share-trunk and --licence are for lsh, whitened-lsh, itq, lda-itq and sdh; leave them out"
        );
    }
    let plan = LearnPlan {
        bits: args.bits,
        seed: args.seed,
        trunk: args.trunk,
        weights: args.weights.clone(),
        limits: context.limits,
        resume: args.resume,
        beside: beside.to_vec(),
        ..args.network.plan(method, args.size)?
    };
    let log = args.log.as_deref().map(create_log).transpose()?;
    let mut problem = None;
    let train = |task: &Task<'_>, note: &dyn Fn(String)| {
        let mut followed = Followed { note, log, problem: &mut problem };
        learn(&plan, dataset, &args.out, device, task, &mut followed)
    };
    let Learned { card, unreadable, time, images } = context.with_notes("training", train)?;
    if let Some(problem) = problem {
        context.warn(format_args!("the log is not complete: {problem}"));
    }
    context.warn_unreadable(&unreadable);
    let seconds = time.as_secs_f64();
    context.say(format_args!(
        "{images} images shown in {seconds:.0} s: {:.1} images/s",
        images as f64 / seconds.max(1e-9)
    ));
    Ok(card)
}

fn create_log(path: &Path) -> Result<File> {
    File::create(path).with_context(|| format!("cannot write the log {}", path.display()))
}

/// A training as the terminal and the log see it.
struct Followed<'a> {
    note: &'a dyn Fn(String),
    log: Option<File>,
    /// Why the log is not complete. A full disk must not end a training.
    problem: &'a mut Option<std::io::Error>,
}

impl Watcher for Followed<'_> {
    fn begins(&mut self, outlook: &Outlook) {
        let Outlook { images, outer, epochs, memory, seconds_per_image } = outlook;
        let pace = seconds_per_image.map(|s| format!(" at {:.0} ms each", s * 1e3));
        (self.note)(format!(
            "{images} images in {outer} outer iterations of {epochs} epochs{}, about {:.1} GiB of memory",
            pace.unwrap_or_default(),
            *memory as f64 / (1u64 << 30) as f64,
        ));
    }

    fn epoch(&mut self, epoch: &EpochReport) {
        (self.note)(format!(
            "outer {}/{} epoch {} loss {:.3} rate {:.1e}{} {:.0} images/s",
            epoch.outer,
            epoch.of,
            epoch.epoch,
            epoch.loss,
            epoch.rate,
            if epoch.exchange { " exchange" } else { "" },
            epoch.images as f64 / epoch.seconds,
        ));
        if let Some(log) = &mut self.log {
            let line = serde_json::to_string(epoch).unwrap_or_default();
            if let Err(error) = writeln!(log, "{line}") {
                self.problem.get_or_insert(error);
            }
        }
    }
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
