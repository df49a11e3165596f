/*!
`barbule train`: fits a model to labelled photos.
*/

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Context as _, Result, bail};
use clap::ValueHint;

use super::network::Network;
use super::options::{FittedOptions, NETWORK};

use crate::cli::Context;
use crate::cli::context::bits;
use crate::dataset::{Dataset, Layout};
use crate::device::Device;
use crate::method::{METHODS, Method, lookup, method};
use crate::model::Card;
use crate::task::Task;
use crate::train::{
    EpochReport, Fitted, LearnPlan, Learned, Outlook, ShallowPlan, Watcher, fit_shallow, learn,
};
use crate::trunk::TrunkKind;

/// Fit a model to labelled photos
#[derive(Debug, clap::Args)]
#[command(
    long_about = about(),
    after_help = "Example: barbule train exchnet --data birds/ --bits 48 --out birds.safetensors"
)]
pub struct Args {
    /// The method, one of the names above
    #[arg(value_parser = method)]
    method: &'static Method,
    /// The labelled photos: a folder per class, an index with labels, or the folder of a published
    /// data set
    #[arg(long, value_name = "DIR|FILE", value_hint = ValueHint::AnyPath)]
    data: PathBuf,
    /// The layout of the data: folder, photos (images without classes, for methods without labels),
    /// or a published data set as listed by `barbule data` [default: detected]
    #[arg(long)]
    layout: Option<Layout>,
    /// Bits per code, 1 to 1024
    #[arg(long, default_value = "64", value_parser = bits)]
    bits: usize,
    /// The model file to write
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    out: PathBuf,
    /// Seed of all random draws, and of the split if the data set has none
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Width and height of the trunk's input, in pixels [default: 224; 160 for networks with the
    /// quick recipe]
    #[arg(long, value_name = "PIXELS")]
    size: Option<u32>,
    /// The pretrained network: efficientnet-lite0 (included), or one that `barbule weights list`
    /// names, which needs --weights
    #[arg(long, default_value = "efficientnet-lite0", value_name = "TRUNK")]
    trunk: TrunkKind,
    /// The trunk's weights, as written by `barbule weights import` [default: the included ones]
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    weights: Option<PathBuf>,
    #[arg(
        long,
        conflicts_with = "weights",
        help = format!(
            "{}: leave the included trunk out of the model file (1.4 MB for 256 bits instead \
             of 8.4), which then needs the trunk of this version of Barbule",
            fitted_names()
        )
    )]
    share_trunk: bool,
    #[arg(
        long,
        value_name = "TEXT",
        help = format!("{}: the licence of the hash, for the model card", fitted_names())
    )]
    licence: Option<String>,
    /// Exclude this share of the classes from training, to measure on unseen classes
    #[arg(long, value_name = "SHARE")]
    hold_out_classes: Option<f64>,
    /// Resume a stopped run with the same options (after Ctrl-C or a power cut)
    #[arg(long, help_heading = NETWORK)]
    resume: bool,
    /// Write a JSON line per epoch to this file
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, help_heading = NETWORK)]
    log: Option<PathBuf>,
    #[arg(
        long,
        value_name = "N|NAME|cpu,...",
        value_delimiter = ',',
        help = DEVICES,
        long_help = devices_help(),
        help_heading = NETWORK
    )]
    devices: Vec<String>,
    #[command(flatten)]
    fitted: FittedOptions,
    #[command(flatten)]
    network: Network,
}

/// The short help of `--devices`.
const DEVICES: &str = "Experimental: train on several devices at once. Takes numbers or names \
                       as listed by `barbule doctor`, or cpu, separated by commas. The first leads";

/// Returns the long help, with all methods.
fn about() -> String {
    let mut about = "Fit a model to labelled photos\n\nMETHOD is one of".to_owned();
    let width = METHODS.iter().map(|method| method.name.len()).max().unwrap_or(0);
    for method in METHODS {
        for (number, line) in method.help.iter().enumerate() {
            let name = if number == 0 { method.name } else { "" };
            about.push_str(&format!("\n  {name:<width$}  {line}"));
        }
    }
    about
}

/// Returns the names of the methods that are fitted in closed form.
fn fitted_names() -> String {
    lookup::names(|method| !method.trains_network())
}

fn devices_help() -> String {
    format!(
        "{DEVICES}\n\nExperimental: this was never tested on a machine with several GPUs.\n\n\
         Each device gets an equal share of the images of every update, so use devices of about \
         the same speed, and raise --batch to keep each of them as busy as before: --devices 0,1 \
         --batch 64 gives each passes of 32. Norms, and the losses that compare images with each \
         other ({}), see only the images of one pass.",
        lookup::names(|method| method.compares_images)
    )
}

pub fn run(context: &Context, args: Args) -> Result<ExitCode> {
    let mut dataset = Dataset::open(&args.data, args.layout, args.seed)?;
    crate::cli::dataset::warn(context, &dataset)?;
    if let Some(share) = args.hold_out_classes {
        dataset.hold_out(share, args.seed)?;
        let held_out = dataset.held_out.iter().filter_map(|l| dataset.classes.get(*l as usize));
        let names: Vec<&str> = held_out.map(String::as_str).collect();
        context.say(format_args!("held out of training: {}", names.join(", ")));
    }
    let method = args.method;
    if !args.devices.is_empty() && !method.trains_network() {
        bail!(
            "--devices is for methods that train a network, and {method} does not; name one with --device or --adapter"
        );
    }
    let devices = match args.devices.as_slice() {
        [] => vec![context.device()?],
        names => context.devices(names)?,
    };
    let Some((device, beside)) = devices.split_first() else { bail!("--devices names none") };
    let begun = Instant::now();
    let card = if method.trains_network() {
        network(context, &args, &dataset, device, beside)?
    } else {
        fitted(context, &args, &dataset, device)?
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

fn fitted(context: &Context, args: &Args, dataset: &Dataset, device: &Device) -> Result<Card> {
    let plan = ShallowPlan {
        method: args.method,
        settings: args.fitted.settings(args.method),
        bits: args.bits,
        seed: args.seed,
        size: args.size.unwrap_or_else(|| args.trunk.fitting(224)),
        trunk: args.trunk,
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
    dataset: &Dataset,
    device: &Device,
    beside: &[Device],
) -> Result<Card> {
    if args.share_trunk || args.licence.is_some() {
        bail!("--share-trunk and --licence are for {}; leave them out", fitted_names());
    }
    let plan = LearnPlan {
        bits: args.bits,
        seed: args.seed,
        trunk: args.trunk,
        weights: args.weights.clone(),
        limits: context.limits,
        resume: args.resume,
        beside: beside.to_vec(),
        ..args.network.plan(args.method, args.trunk, args.size)?
    };
    let log = args.log.as_deref().map(create_log).transpose()?;
    let mut problem = None;
    let train = |task: &Task<'_>, note: &dyn Fn(String)| {
        let mut followed = Followed { note, log, problem: &mut problem };
        learn(&plan, dataset, &args.out, device, task, &mut followed)
    };
    let Learned { card, unreadable, time, images } = context.with_notes("training", train)?;
    if let Some(problem) = problem {
        context.warn(format_args!("the log is incomplete: {problem}"));
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

/// Reports a training run to the terminal and the log.
struct Followed<'a> {
    note: &'a dyn Fn(String),
    log: Option<File>,
    /// The first error of writing the log. A full disk must not stop a training run.
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
