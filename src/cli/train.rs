/*!
`barbule train`: fits a model to labelled photos.
*/

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::ValueHint;

use super::Context;
use super::context::bits;
use crate::dataset::{Dataset, Layout};
use crate::method::Shallow;
use crate::task::Task;
use crate::train::{Fitted, ShallowPlan, fit_shallow};

/// Fit a model to labelled photos
///
/// METHOD is one of
///   lsh       random directions: no training, the floor of every comparison
///   itq       principal directions and a learned rotation, without labels
///   lda-itq   directions that separate the classes, then a learned rotation
#[derive(Debug, clap::Args)]
#[command(
    verbatim_doc_comment,
    after_help = "Example: barbule train lda-itq --data birds/ --bits 48 --out birds.safetensors"
)]
pub struct Args {
    /// lsh, itq or lda-itq
    method: Shallow,
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
    /// Width and height of the trunk's input, in pixels
    #[arg(long, default_value_t = 224, value_name = "PIXELS")]
    size: u32,
    /// Trunk weights of your own instead of the shipped ones (see `barbule weights import`)
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    weights: Option<PathBuf>,
}

pub fn run(context: &Context, args: Args) -> Result<ExitCode> {
    let dataset = Dataset::open(&args.data, args.layout, args.seed)?;
    dataset.warnings.iter().for_each(|warning| context.warn(warning));
    let device = context.device()?;
    let plan = ShallowPlan {
        method: args.method,
        bits: args.bits,
        seed: args.seed,
        size: args.size,
        weights: args.weights,
        limits: context.limits,
    };
    let fit = |task: &Task<'_>| fit_shallow(&plan, &dataset, &args.out, &device, task);
    let Fitted { card, unreadable, features, fit } = context.with_progress("features", fit)?;
    context.warn_unreadable(&unreadable);
    if context.json {
        context.print_json(&card)?;
    } else {
        let seconds = (features + fit).as_secs_f64();
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
