/*!
`barbule duplicates`: images that are nearly the same.
*/

use std::process::ExitCode;

use anyhow::Result;
use serde_json::{Value, json};

use super::Context;
use super::context::plain_name;
use super::query::{FilterArgs, IndexArgs, collection, warn_unmatched};
use crate::index::{DuplicateOptions, Duplicates, Member, Role};
use crate::task::Task;

/// Find groups of images that are nearly the same
///
/// Finds copies, and pictures that were saved again, scaled, mirrored, slightly cropped or made
/// brighter. Different photos of one kind are not duplicates: images with near codes are compared
/// by their look, which the index keeps.
///
/// Each group starts with its original, the best of its files: the one with the most pixels; of
/// these the largest file, which is the least compressed; of these the oldest; of these the one
/// that was indexed first. The others have a note before their path:
///
/// copy: the same content as a file above it.
///
/// A number: looks nearly the same, at this distance of the codes.
///
/// same: another path to one of these files, by a link. It is no second file.
///
/// gone: not there now. It never counts.
///
/// Photos that were shot one after the other, with the camera hardly moved, can be taken for one:
/// look before you remove what is only near.
///
/// Nothing is deleted. --paths0 lists what could be removed, for other programs.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: barbule duplicates\n         \
                        barbule duplicates --under ~/Pictures/2024 --json\n         \
                        barbule duplicates --exact --paths0 | xargs -0 ls -l")]
pub struct Args {
    /// Maximum distance of the codes of near duplicates, in bits [default: 3/8 of the bits]. Of
    /// words, see `barbule search`
    #[arg(long, value_name = "R")]
    radius: Option<u32>,
    /// Group all images within R of the original, whatever they look like: also different
    /// photos of one kind
    #[arg(long, requires = "radius")]
    by_code: bool,
    /// Print only files that could be removed so that the original remains, each path followed by
    /// a zero byte
    #[arg(long, conflicts_with_all = ["json", "by_code"])]
    paths0: bool,
    /// With --paths0: only files with the same content as another one
    #[arg(long, requires = "paths0")]
    exact: bool,
    #[command(flatten)]
    filter: FilterArgs,
    #[command(flatten)]
    index: IndexArgs,
}

pub fn run(context: &Context, args: &Args) -> Result<ExitCode> {
    let collection = collection(context, args.index.index.as_deref())?;
    let filter = args.filter.filter()?;
    if args.filter.names_any() {
        warn_unmatched(context, &filter, collection.snapshot().catalogue()?);
    }
    let mut options = DuplicateOptions::default().among(filter);
    options = options.with_limits(context.limits);
    (options.radius, options.by_code) = (args.radius, args.by_code);
    let work = |task: &Task<'_>| collection.duplicates(&options, task);
    let found = context.with_progress("comparing", work)?;
    if args.paths0 {
        context.print_paths0(found.removable(args.exact).map(|image| image.path.as_str()))?;
    } else if context.json {
        let mut document =
            json!({ "index": collection.path().display().to_string(), "bits": collection.bits() });
        if let (Value::Object(all), Value::Object(more)) = (&mut document, found.document()) {
            all.extend(more);
        }
        context.print_json(&document)?;
    } else {
        print(context, &found)?;
    }
    notes(context, &found);
    Ok(ExitCode::SUCCESS)
}

fn print(context: &Context, found: &Duplicates) -> Result<()> {
    for group in &found.groups {
        for image in &group.images {
            let facts = facts(image);
            context.print(format_args!(
                "{:>8}  {}{facts}",
                role(image),
                plain_name(&image.path)
            ))?;
        }
        context.print("")?;
    }
    let (groups, removable) = (found.groups.len(), found.removable(false).count());
    let copies = found.removable(true).count();
    context.print(format_args!(
        "{groups} groups of {} files; {copies} are copies and {} look nearly the same",
        groups + removable,
        removable - copies
    ))
}

fn role(image: &Member) -> String {
    match image.role {
        Role::Original => "original".to_owned(),
        Role::Copy => "copy".to_owned(),
        Role::SameFile => "same".to_owned(),
        Role::Gone => "gone".to_owned(),
        _ => image.distance.to_string(),
    }
}

/// The size of the picture and of its file.
fn facts(image: &Member) -> String {
    match image.size {
        Some((width, height)) if image.bytes > 0 => {
            format!("  {width}×{height}, {} kB", image.bytes.div_ceil(1000))
        }
        _ => String::new(),
    }
}

/// Says which images were left out, and what to do.
fn notes(context: &Context, found: &Duplicates) {
    if found.gone > 0 {
        context.warn(format_args!(
            "{} files with duplicates are not there now and do not count; `barbule prune` forgets them",
            found.gone
        ));
    }
    if found.changed > 0 {
        context.warn(format_args!(
            "{} files have changed since they were indexed and are in no group; run `barbule index`",
            found.changed
        ));
    }
    if found.unseen > 0 {
        context.warn(format_args!(
            "{} images could not be compared: the index does not keep their look, and their files \
             cannot be read",
            found.unseen
        ));
    }
}
