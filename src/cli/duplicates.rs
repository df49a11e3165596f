/*!
`barbule duplicates`: images that are nearly the same.
*/

use std::process::ExitCode;

use anyhow::Result;
use serde_json::json;

use super::Context;
use super::context::plain_name;
use super::query::{FilterArgs, IndexArgs, collection};
use crate::index::Group;
use crate::task::Task;

/// Find groups of images that are nearly the same
///
/// Two images are in one group if a chain of images leads from one to the other in steps of at
/// most R bits. Copies of a file are marked. Nothing is deleted.
///
/// The default radius is for the built-in model. A model trained on classes gives all images of a
/// class similar codes, so that whole classes become groups.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: barbule duplicates\n         \
                        barbule duplicates --radius 4 --under ~/Pictures/2024 --json")]
pub struct Args {
    /// Maximum distance of near duplicates, in bits [default: a sixth of the bits]
    #[arg(long, value_name = "R")]
    radius: Option<u32>,
    #[command(flatten)]
    filter: FilterArgs,
    #[command(flatten)]
    index: IndexArgs,
}

pub fn run(context: &Context, args: &Args) -> Result<ExitCode> {
    let collection = collection(context, args.index.index.as_deref())?;
    let bits = u32::try_from(collection.bits()).unwrap_or(u32::MAX);
    let radius = args.radius.unwrap_or(bits / 6);
    let filter = args.filter.filter()?;
    let work = |task: &Task<'_>| collection.duplicates(radius, &filter, task);
    let groups = context.with_progress("comparing", work)?;
    let images: usize = groups.iter().map(|group| group.images.len()).sum();
    if context.json {
        context.print_json(&json!({
            "index": collection.path().display().to_string(), "bits": bits, "radius": radius,
            "groups": groups.iter().map(members).collect::<Vec<_>>(),
        }))?;
        return Ok(ExitCode::SUCCESS);
    }
    for group in &groups {
        for image in &group.images {
            let note = if image.copy { "copy".to_owned() } else { image.distance.to_string() };
            context.print(format_args!("{note:>5}  {}", plain_name(&image.path)))?;
        }
        context.print("")?;
    }
    let copies = groups.iter().flat_map(|group| &group.images).filter(|image| image.copy).count();
    context.print(format_args!(
        "{} groups of {images} images within {radius} of {bits} bits; {copies} are copies",
        groups.len()
    ))?;
    Ok(ExitCode::SUCCESS)
}

fn members(group: &Group) -> Vec<serde_json::Value> {
    let member = |image: &crate::index::Member| {
        json!({
            "id": image.id, "path": image.path, "label": image.label,
            "distance": image.distance, "copy": image.copy,
        })
    };
    group.images.iter().map(member).collect()
}
