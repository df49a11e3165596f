/*!
`barbule aviary`: renders a data set of birds.
*/

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Result;
use barbule_aviary::{Aviary, AviaryError, Writing};
use clap::ValueHint;
use serde_json::json;

use super::Context;
use crate::task::Stopped;

/// Render a data set of birds that differ in one part from their nearest kin
///
/// Species come in pairs that differ in the beak, the crown, the eye, the wing, the breast
/// or the tail alone; pose, light, surroundings, cover and noise say nothing of the
/// species. Written in the layout of CUB-200-2011, with the boxes of all parts. What is
/// drawn depends on the seed alone.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: barbule aviary --species 24 --per-species 60 --out birds/")]
pub struct Args {
    /// Species, 2 or more
    #[arg(long, default_value = "24", value_name = "N", value_parser = species)]
    species: usize,
    /// Pictures of each species
    #[arg(long, default_value = "60", value_name = "N", value_parser = per_species)]
    per_species: usize,
    /// The folder to write; new or empty
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    out: PathBuf,
    /// Width and height of a picture, in pixels
    #[arg(long, default_value = "256", value_name = "PIXELS", value_parser = size)]
    size: u32,
    /// Seed of the species and of every picture
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// The share of each species' pictures that are for training
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

/// A number of species of which some are held out.
pub fn species_to_hold_out(text: &str) -> Result<usize, String> {
    within(text, 4, 2000)
}

/// A number of pictures of each species.
pub fn per_species(text: &str) -> Result<usize, String> {
    within(text, 2, 10_000)
}

fn size(text: &str) -> Result<u32, String> {
    within(text, 32, 2048).map(|size| size as u32)
}

fn share(text: &str) -> Result<f64, String> {
    let share = text.parse::<f64>().ok().filter(|share| *share > 0.0 && *share < 1.0);
    share.ok_or_else(|| "not a share above 0 and below 1".to_owned())
}

/// Writes an aviary to a new folder, with a progress bar.
///
/// # Errors
/// When something cannot be written, or on Ctrl-C.
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
