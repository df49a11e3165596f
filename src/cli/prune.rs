/*!
`barbule prune`: removes images whose files are gone.
*/

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::ValueHint;
use serde_json::json;

use super::Context;
use super::query::index_path;
use crate::index::{Index, IndexWriter, Prunable};

/// Remove images whose files are gone from an index
///
/// `barbule index` does this for the folders that it scans; this command checks all images and
/// needs no model. Images of a folder that is missing, or has no image left (an unplugged drive),
/// stay unless --all is given. The index file shrinks.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: barbule prune\n         barbule prune --dry-run")]
pub struct Args {
    /// The index file [default: barbule.db in the platform's data folder]
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    index: Option<PathBuf>,
    /// Also remove the images of missing folders
    #[arg(long)]
    all: bool,
    /// Only print what would be removed
    #[arg(long)]
    dry_run: bool,
}

pub fn run(context: &Context, args: &Args) -> Result<ExitCode> {
    let path = index_path(args.index.as_deref())?;
    let (gone, images) = if args.dry_run {
        let index = Index::open(&path)?;
        (index.prunable(args.all)?, index.len()?)
    } else {
        let mut writer = IndexWriter::open_existing(&path)?;
        (writer.prune(args.all)?, writer.index().len()?)
    };
    let Prunable { images: gone, missing, .. } = gone;
    if context.json {
        let paths: Vec<_> = gone.iter().map(|(_, path)| path).collect();
        context.print_json(&json!({
            "index": path.display().to_string(), "images": images, "removed": paths,
            "missing": missing, "dry_run": args.dry_run,
        }))?;
        return Ok(ExitCode::SUCCESS);
    }
    if args.dry_run {
        for (_, path) in &gone {
            context.print(path)?;
        }
    }
    let would = if args.dry_run { "would be " } else { "" };
    context.print(format_args!("{images} images; {} {would}removed", gone.len()))?;
    for root in missing.iter().filter(|_| !args.all) {
        context.warn(format_args!(
            "{root} is missing or empty, so its images stay in the index (--all removes them)"
        ));
    }
    Ok(ExitCode::SUCCESS)
}
