/*!
`barbule aviary`: renders a synthetic data set of birds.
*/

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Result;
use barbule_aviary::{Aviary, AviaryError, Writing};
use clap::ValueHint;
use serde_json::json;

use super::Context;
use crate::task::Stopped;

/// Render a synthetic fine-grained data set: bird species that differ in a single part
///
/// Species come in pairs that differ in exactly one part: beak, crown, eye, wing, breast or tail.
/// Pose, light, background, occlusion and noise are independent of the species. The output has the
/// layout of CUB-200-2011, with bounding boxes for all parts. The seed alone determines the content
/// of every picture.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: barbule aviary --species 24 --per-species 60 --out birds/")]
pub struct Args {
    /// Number of species, 2 to 2000
    #[arg(long, default_value = "24", value_name = "N", value_parser = species)]
    species: usize,
    /// Number of pictures per species, 2 to 10000
    #[arg(long, default_value = "60", value_name = "N", value_parser = per_species)]
    per_species: usize,
    /// The output folder; it must be new or empty
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    out: PathBuf,
    /// Width and height of a picture in pixels, 32 to 2048
    #[arg(long, default_value = "256", value_name = "PIXELS", value_parser = size)]
    size: u32,
    /// Random seed; the same seed draws the same species and pictures
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Fraction of each species' pictures in the training split, above 0 and below 1
    #[arg(long, default_value = "0.5", value_name = "SHARE", value_parser = share)]
    train: f64,
}

fn within(text: &str, least: usize, most: usize) -> Result<usize, String> {
    let number = text.parse().ok().filter(|n| (least..=most).contains(n));
    number.ok_or_else(|| format!("not a whole number from {least} to {most}"))
}

fn species(text: &str) -> Result<usize, String> {
    within(text, 2, 2000)
}

/// Parses a number of species, some of which are held out of training.
pub fn species_to_hold_out(text: &str) -> Result<usize, String> {
    within(text, 4, 2000)
}

/// Parses a number of pictures per species.
pub fn per_species(text: &str) -> Result<usize, String> {
    within(text, 2, 10_000)
}

fn size(text: &str) -> Result<u32, String> {
    within(text, 32, 2048).map(|size| size as u32)
}

fn share(text: &str) -> Result<f64, String> {
    let share = text.parse::<f64>().ok().filter(|share| *share > 0.0 && *share < 1.0);
    share.ok_or_else(|| "not a number above 0 and below 1".to_owned())
}

/// Writes an aviary to a new folder, with a progress bar.
///
/// # Errors
/// If a file cannot be written, or on Ctrl-C.
pub fn draw(context: &Context, aviary: &Aviary, out: &Path, how: &Writing) -> Result<()> {
    context.with_progress("drawing birds", |task| {
        let written = aviary.write(out, how, &|done, total| task.step(done, total).is_ok());
        written.map_err(|error| match error {
            AviaryError::Stopped => Stopped.into(),
            other => anyhow::Error::from(other),
        })
    })
}

pub fn run(context: &Context, args: &Args) -> Result<ExitCode> {
    let aviary = Aviary::new(args.seed, args.species);
    let how = Writing { per_species: args.per_species, size: args.size, train: args.train };
    draw(context, &aviary, &args.out, &how)?;
    let images = args.species * args.per_species;
    if context.json {
        context.print_json(&json!({
            "out": args.out.display().to_string(), "seed": args.seed, "images": images,
            "species": aviary.species().iter().map(|species| json!({
                "name": species.name, "telling": species.telling.name(),
            })).collect::<Vec<_>>(),
        }))?;
    } else {
        context.print(format_args!(
            "{}: {images} pictures of {} species",
            args.out.display(),
            args.species
        ))?;
    }
    Ok(ExitCode::SUCCESS)
}
