/*!
`barbule bench`: benchmarks of this machine.
*/

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use clap::{Subcommand, ValueHint};
use serde_json::json;

use super::{ann, rank};
use crate::cli::Context;
use crate::cli::train::{Network, learned_method};
use crate::encoder::Encoder;
use crate::index::{ScanOptions, files_under};
use crate::method::Method;
use crate::task::Task;
use crate::train::{LearnPlan, StepTimes, time_training};
use crate::trunk::{Trunk, TrunkKind, weights};

/// Measure the speed of encoding, search and training on this machine
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Compare search over binary codes with a linear scan of the float features
    #[command(after_help = "Example: barbule bench ann --model birds.safetensors --data birds/")]
    Ann(ann::Args),
    /// Measure encoding: images per second through a trunk, with and without file decoding
    #[command(after_help = "Example: barbule bench encode --device cpu --images ~/Pictures")]
    Encode {
        /// The network: efficientnet-lite0, or resnet18 or resnet50 with random weights
        #[arg(long, default_value = "efficientnet-lite0", value_name = "TRUNK")]
        trunk: TrunkKind,
        /// Width and height of the input, in pixels
        #[arg(long, default_value_t = 224, value_name = "PIXELS")]
        size: u32,
        /// Images per batch
        #[arg(long, default_value_t = crate::encoder::BATCH, value_name = "N")]
        batch: usize,
        /// Number of timed batches; the median is reported
        #[arg(long, default_value_t = 7, value_name = "N")]
        repeats: usize,
        /// Also measure images of this folder (256 at most), with decoding and preprocessing
        #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
        images: Option<PathBuf>,
    },
    /// Measure exact ranking: queries per second, and the share of the hardware limit
    #[command(
        after_help = "Example: barbule bench rank --bits 64,256 --codes 1000000 --queries 1,100 --device cpu"
    )]
    Rank(rank::Args),
    /// Measure a training step: images per second, and the time of each phase
    #[command(
        after_help = "Example: barbule bench train exchnet --device cpu --size 160 --batch 32"
    )]
    Train {
        /// The training method
        #[arg(default_value = "exchnet", value_parser = learned_method)]
        method: &'static Method,
        /// Width and height of the trunk's input, in pixels [default: set by the recipe]
        #[arg(long, value_name = "PIXELS")]
        size: Option<u32>,
        /// Number of untimed steps before the timed one
        #[arg(long, default_value_t = 3, value_name = "N")]
        warm_up: usize,
        #[command(flatten)]
        network: Box<Network>,
    },
}

pub fn run(context: &Context, args: &Args) -> Result<ExitCode> {
    match &args.command {
        Command::Ann(args) => ann::run(context, args)?,
        Command::Encode { trunk, size, batch, repeats, images } => {
            let (batch, repeats) = ((*batch).max(1), (*repeats).max(1));
            encode(context, *trunk, *size, batch, repeats, images.as_ref())?;
        }
        Command::Rank(args) => rank::run(context, args)?,
        Command::Train { method, size, warm_up, network } => {
            train(context, &network.plan(method, *size)?, *warm_up)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn encode(
    context: &Context,
    kind: TrunkKind,
    size: u32,
    batch: usize,
    repeats: usize,
    images: Option<&PathBuf>,
) -> Result<()> {
    let device = context.device()?;
    let preprocess = kind.preprocess(size)?;
    let trunk = if kind.ships() {
        weights::shipped(&device.burn())?.into()
    } else {
        Trunk::new(kind, &device.burn())
    };
    let encoder = Encoder::new(trunk.into(), preprocess.clone(), device.clone());
    let wave = |i: usize| (i as f32 * 0.7).sin();
    let inputs: Vec<f32> = (0..batch * preprocess.values()).map(wave).collect();
    // The first pass compiles kernels and fills caches.
    encoder.features(inputs.clone())?;
    let mut seconds = Vec::new();
    for _ in 0..repeats {
        let inputs = inputs.clone();
        let begun = Instant::now();
        encoder.features(inputs)?;
        seconds.push(begun.elapsed().as_secs_f64() / batch as f64);
    }
    seconds.sort_by(f64::total_cmp);
    let trunk = seconds[seconds.len() / 2];
    let files = match images {
        Some(folder) => {
            let (files, _) = files_under(folder, &ScanOptions::default(), &Task::unwatched())?;
            let files: Vec<PathBuf> = files.into_iter().take(256).collect();
            if files.is_empty() {
                bail!("{} contains no images; name a folder of photos", folder.display());
            }
            let read = |task: &Task<'_>| {
                let begun = Instant::now();
                let features = encoder.features_of_files(&files, &context.limits, task)?;
                anyhow::Ok((features.kept.len(), begun.elapsed().as_secs_f64()))
            };
            let (kept, seconds) = context.with_progress("files", read)?;
            if kept == 0 {
                bail!("none of the images in {} could be read", folder.display());
            }
            Some((kept, seconds / kept as f64))
        }
        None => None,
    };
    if context.json {
        return context.print_json(&json!({
            "trunk": kind.name(), "size": size, "batch": batch, "device": device.to_string(),
            "threads": rayon::current_num_threads(),
            "images_per_second": 1.0 / trunk, "ms_per_image": trunk * 1e3,
            "files": files.map(|(kept, seconds)| json!({
                "images": kept, "images_per_second": 1.0 / seconds, "ms_per_image": seconds * 1e3,
            })),
        }));
    }
    let rate = |what: &str, seconds: f64| {
        format!("{what:<12} {:>8.1} images/s   {:>7.2} ms per image", 1.0 / seconds, seconds * 1e3)
    };
    context.print(format_args!("{kind} at {size}×{size}, batch {batch}, {device}"))?;
    context.print(rate("trunk", trunk))?;
    match files {
        Some((kept, seconds)) => {
            context.print(format_args!("{} ({kept} files)", rate("from files", seconds)))
        }
        None => Ok(()),
    }
}

fn train(context: &Context, plan: &LearnPlan, warm_up: usize) -> Result<()> {
    let device = context.device()?;
    let times = context.with_progress("steps", |_| time_training(plan, &device, warm_up))?;
    let per_image = times.total() / times.images as f64;
    let StepTimes { data, stem, attention, refine, loss, backward, update, .. } = times;
    let parts = [
        ("data", data),
        ("stem", stem),
        ("attention", attention),
        ("refine", refine),
        ("loss", loss),
        ("backward", backward),
        ("update", update),
    ];
    let (method, trained) = (plan.method.name, plan.trained.name());
    let ms = |part: Duration| part.as_secs_f64() * 1e3 / times.images as f64;
    if context.json {
        let parts: serde_json::Map<_, _> =
            parts.iter().map(|(name, part)| ((*name).to_owned(), json!(ms(*part)))).collect();
        return context.print_json(&json!({
            "method": method, "trained": trained, "size": plan.size, "batch": plan.batch,
            "accumulate": plan.accumulate, "device": device.to_string(),
            "threads": rayon::current_num_threads(), "ms_per_image": per_image * 1e3,
            "images_per_second": 1.0 / per_image, "parts_ms_per_image": parts,
        }));
    }
    context.print(format_args!(
        "{method}, {trained} trained, {0}×{0}, batch {1}, {device}",
        plan.size, plan.batch
    ))?;
    for (name, part) in parts {
        context.print(format_args!("{name:<10} {:>8.2} ms per image", ms(part)))?;
    }
    context.print(format_args!(
        "{:<10} {:>8.2} ms per image   {:.1} images/s",
        "all",
        per_image * 1e3,
        1.0 / per_image
    ))
}
