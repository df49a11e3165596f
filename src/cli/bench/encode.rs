/*!
`barbule bench encode`: the time of an image from pixels, or from a file, to its code.
*/

use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Result, bail};
use clap::ValueHint;
use serde_json::json;

use super::random::{median, time};
use crate::cli::Context;
use crate::encoder::Encoder;
use crate::index::{ScanOptions, files_under};
use crate::model::Model;
use crate::task::Task;
use crate::trunk::{Trunk, TrunkKind, weights};

/// Image files that are read, at most.
const FILES: usize = 256;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// The network; all but efficientnet-lite0 have random weights without --weights
    #[arg(long, default_value = "efficientnet-lite0", value_name = "TRUNK")]
    trunk: TrunkKind,
    /// Width and height of the input, in pixels [default: 224]
    #[arg(long, value_name = "PIXELS")]
    size: Option<u32>,
    /// The trunk's weights, as written by `barbule weights import`
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    weights: Option<PathBuf>,
    /// Measure this model instead: its network, and its hash
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath,
          conflicts_with_all = ["trunk", "size", "weights"])]
    model: Option<PathBuf>,
    /// Images per batch
    #[arg(long, default_value_t = crate::encoder::BATCH, value_name = "N")]
    batch: usize,
    /// Number of timed batches; the median is reported
    #[arg(long, default_value_t = 7, value_name = "N")]
    repeats: usize,
    /// Also measure images of this folder (256 at most), with decoding and preprocessing
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    images: Option<PathBuf>,
}

/// A network, and the model that it belongs to, if any.
struct Measured<'a> {
    trunk: TrunkKind,
    encoder: &'a Encoder,
    model: Option<&'a Model>,
}

/// Seconds per image.
struct Times {
    network: f64,
    hash: Option<f64>,
    /// The number of files that were read, and the time of each.
    files: Option<(usize, f64)>,
}

pub fn run(context: &Context, args: &Args) -> Result<()> {
    let device = context.device()?;
    if let Some(path) = &args.model {
        let model = context.model(Some(path), &device)?;
        let (trunk, encoder) = (model.card().trunk, model.encoder());
        return measure(context, args, &Measured { trunk, encoder, model: Some(&model) });
    }
    let burn = device.burn();
    let trunk = match &args.weights {
        Some(path) => weights::load(path, args.trunk, &burn)?,
        None if args.trunk.ships() => weights::shipped(&burn)?,
        None => Trunk::new(args.trunk, &burn),
    };
    let preprocess = trunk.preprocess(args.size.unwrap_or_else(|| args.trunk.fitting(224)))?;
    let encoder = Encoder::new(trunk.into(), preprocess, device);
    measure(context, args, &Measured { trunk: args.trunk, encoder: &encoder, model: None })
}

fn measure(context: &Context, args: &Args, measured: &Measured<'_>) -> Result<()> {
    let (batch, repeats) = (args.batch.max(1), args.repeats.max(1));
    let &Measured { encoder, model, .. } = measured;
    let wave = |i: usize| (i as f32 * 0.7).sin();
    let inputs: Vec<f32> = (0..batch * encoder.preprocess().values()).map(wave).collect();
    // The first pass compiles kernels and fills caches.
    let features = encoder.features(inputs.clone())?;
    let mut seconds = Vec::new();
    for _ in 0..repeats {
        let inputs = inputs.clone();
        let begun = Instant::now();
        encoder.features(inputs)?;
        seconds.push(begun.elapsed().as_secs_f64());
    }
    let network = median(&mut seconds) / batch as f64;
    let codes = |model: &Model| {
        let seconds = time(repeats, || {
            black_box(model.codes(&features)?);
            Ok(())
        })?;
        anyhow::Ok(seconds / batch as f64)
    };
    let hash = model.map(codes).transpose()?;
    let files = args.images.as_deref().map(|folder| from_files(context, encoder, folder));
    let times = Times { network, hash, files: files.transpose()? };
    print(context, measured, batch, &times)
}

/// Returns the number of files that were read, and the time of each.
fn from_files(context: &Context, encoder: &Encoder, folder: &Path) -> Result<(usize, f64)> {
    let (files, _) = files_under(folder, &ScanOptions::default(), &Task::unwatched())?;
    let files: Vec<PathBuf> = files.into_iter().take(FILES).collect();
    if files.is_empty() {
        bail!("{} contains no images; name a folder of photos", folder.display());
    }
    let (kept, seconds) = context.with_progress("files", |task| {
        let begun = Instant::now();
        let features = encoder.features_of_files(&files, &context.limits, task)?;
        anyhow::Ok((features.kept.len(), begun.elapsed().as_secs_f64()))
    })?;
    if kept == 0 {
        bail!("none of the images in {} could be read", folder.display());
    }
    Ok((kept, seconds / kept as f64))
}

fn print(context: &Context, measured: &Measured<'_>, batch: usize, times: &Times) -> Result<()> {
    let Measured { trunk, encoder, model } = measured;
    let (size, device) = (encoder.preprocess().size(), encoder.device());
    let &Times { network, hash, files } = times;
    let card = model.map(Model::card);
    if context.json {
        return context.print_json(&json!({
            "trunk": trunk.name(), "method": card.map(|card| &card.method),
            "bits": card.map(|card| card.bits), "size": size, "batch": batch,
            "device": device.to_string(), "threads": rayon::current_num_threads(),
            "images_per_second": 1.0 / network, "ms_per_image": network * 1e3,
            "hash_ms_per_image": hash.map(|hash| hash * 1e3),
            "files": files.map(|(kept, seconds)| json!({
                "images": kept, "images_per_second": 1.0 / seconds, "ms_per_image": seconds * 1e3,
            })),
        }));
    }
    let rate = |what: &str, seconds: f64| {
        format!("{what:<12} {:>8.1} images/s   {:>7.3} ms per image", 1.0 / seconds, seconds * 1e3)
    };
    let method = card.map(|card| format!("{} of {} bits, ", card.method, card.bits));
    let method = method.unwrap_or_default();
    context.print(format_args!("{method}{trunk} at {size}×{size}, batch {batch}, {device}"))?;
    context.print(rate(if card.is_some() { "network" } else { "trunk" }, network))?;
    if let Some(hash) = hash {
        context.print(rate("hash", hash))?;
    }
    if let Some((kept, seconds)) = files {
        context.print(format_args!("{} ({kept} files)", rate("from files", seconds)))?;
    }
    Ok(())
}
