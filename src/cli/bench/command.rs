/*!
`barbule bench`: benchmarks of this machine.
*/

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;
use clap::Subcommand;
use serde_json::json;

use super::{ann, encode, rank};
use crate::cli::Context;
use crate::cli::train::{Network, learned_method};
use crate::method::Method;
use crate::train::{LearnPlan, StepTimes, time_training};
use crate::trunk::TrunkKind;

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
    /// Measure encoding: images per second through a trunk or a model, with and without file decoding
    #[command(after_help = "Example: barbule bench encode --device cpu --images ~/Pictures")]
    Encode(encode::Args),
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
        /// The network; all but efficientnet-lite0 have random weights
        #[arg(long, default_value = "efficientnet-lite0", value_name = "TRUNK")]
        trunk: TrunkKind,
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
        Command::Encode(args) => encode::run(context, args)?,
        Command::Rank(args) => rank::run(context, args)?,
        Command::Train { method, size, trunk, warm_up, network } => {
            train(context, &network.plan(method, *trunk, *size)?, *warm_up)?;
        }
    }
    Ok(ExitCode::SUCCESS)
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
            "method": method, "trained": trained, "trunk": plan.trunk.name(), "size": plan.size, "batch": plan.batch,
            "accumulate": plan.accumulate, "device": device.to_string(),
            "threads": rayon::current_num_threads(), "ms_per_image": per_image * 1e3,
            "images_per_second": 1.0 / per_image, "parts_ms_per_image": parts,
        }));
    }
    context.print(format_args!(
        "{method}, {trained} trained, {2} at {0}×{0}, batch {1}, {device}",
        plan.size, plan.batch, plan.trunk
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
