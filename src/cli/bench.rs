/*!
`barbule bench`: how fast this machine is.
*/

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Result, bail};
use clap::{Subcommand, ValueHint};
use serde_json::json;
use walkdir::WalkDir;

use super::Context;
use crate::encoder::Encoder;
use crate::image::is_image_path;
use crate::task::Task;
use crate::train::{StepTimes, time_refine_step};
use crate::trunk::{TrunkKind, weights};

/// Measure this machine
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Images per second through the shipped trunk, alone and with decoding
    #[command(after_help = "Example: barbule bench encode --device cpu --images ~/Pictures")]
    Encode {
        /// Width and height of the input, in pixels
        #[arg(long, default_value_t = 224, value_name = "PIXELS")]
        size: u32,
        /// Images per batch
        #[arg(long, default_value_t = crate::encoder::BATCH, value_name = "N")]
        batch: usize,
        /// Batches that are timed; the median counts
        #[arg(long, default_value_t = 7, value_name = "N")]
        repeats: usize,
        /// Also time decoding and preparing the images of this folder
        #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
        images: Option<PathBuf>,
    },
    /// Seconds per training step of the refine part of the shipped trunk
    #[command(after_help = "Example: barbule bench train --device cpu --size 160 --batch 32")]
    Train {
        /// Width and height of the images, in pixels
        #[arg(long, default_value_t = 160, value_name = "PIXELS")]
        size: u32,
        /// Images per step
        #[arg(long, default_value_t = 32, value_name = "N")]
        batch: usize,
        /// Steps before the one that is timed
        #[arg(long, default_value_t = 2, value_name = "N")]
        warm_up: usize,
    },
}

pub fn run(context: &Context, args: &Args) -> Result<ExitCode> {
    match &args.command {
        Command::Encode { size, batch, repeats, images } => {
            encode(context, *size, (*batch).max(1), (*repeats).max(1), images.as_ref())?;
        }
        Command::Train { size, batch, warm_up } => {
            train(context, *size, (*batch).max(1), *warm_up)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn encode(
    context: &Context,
    size: u32,
    batch: usize,
    repeats: usize,
    images: Option<&PathBuf>,
) -> Result<()> {
    let device = context.device()?;
    let kind = TrunkKind::EfficientNetLite0;
    let preprocess = kind.preprocess(size)?;
    let trunk = weights::shipped(&device.burn())?;
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
            let files = WalkDir::new(folder).sort_by_file_name().into_iter().flatten();
            let files = files.filter(|f| f.file_type().is_file() && is_image_path(f.path()));
            let files: Vec<PathBuf> = files.take(256).map(|f| f.into_path()).collect();
            if files.is_empty() {
                bail!("{} holds no image; name a folder of photos", folder.display());
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

fn train(context: &Context, size: u32, batch: usize, warm_up: usize) -> Result<()> {
    let device = context.device()?;
    TrunkKind::EfficientNetLite0.preprocess(size)?;
    let times = time_refine_step(&device, size, batch, warm_up)?;
    let StepTimes { forward, backward, update } = times;
    let total = (forward + backward + update).as_secs_f64();
    let ms = |seconds: f64| seconds * 1e3;
    if context.json {
        return context.print_json(&json!({
            "part": "refine", "size": size, "batch": batch, "device": device.to_string(),
            "threads": rayon::current_num_threads(),
            "forward_ms": ms(forward.as_secs_f64()), "backward_ms": ms(backward.as_secs_f64()),
            "update_ms": ms(update.as_secs_f64()), "ms_per_image": ms(total) / batch as f64,
            "images_per_second": batch as f64 / total,
        }));
    }
    context.print(format_args!("refine at {size}×{size}, batch {batch}, {device}"))?;
    context.print(format_args!(
        "forward {:.1} ms, backward {:.1} ms, update {:.1} ms: {:.2} ms per image, {:.1} images/s",
        ms(forward.as_secs_f64()),
        ms(backward.as_secs_f64()),
        ms(update.as_secs_f64()),
        ms(total) / batch as f64,
        batch as f64 / total,
    ))
}
