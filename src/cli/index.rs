/*!
`barbule index`: brings an index up to date with folders of images.
*/

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Context as _, Result, bail};
use clap::ValueHint;
use serde_json::json;

use super::Context;
use super::context::default_index;
use crate::index::{Index, Labels, UpdateOptions, update};
use crate::task::Task;

/// Add the images of folders to an index, or bring it up to date
///
/// Only new and changed files are encoded. Every batch is written at once: stopping
/// loses at most one, and the next run goes on.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: barbule index ~/Pictures\n         \
                  barbule index ~/birds --model birds.safetensors --index birds.db")]
pub struct Args {
    /// The folders; sub-folders are included, hidden ones are not
    #[arg(required = true, value_name = "DIR", value_hint = ValueHint::DirPath)]
    folders: Vec<PathBuf>,
    /// The index file [default: barbule.db in the platform's data folder]
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    index: Option<PathBuf>,
    /// The model file [default: the built-in general model]
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    model: Option<PathBuf>,
    /// Labels: `folder` for the name of each image's folder, or a file of PATH,LABEL lines
    #[arg(long, value_name = "folder|FILE.csv")]
    labels: Option<String>,
    /// Fail (exit status 1) if any image could not be used
    #[arg(long)]
    strict: bool,
}

pub fn run(context: &Context, args: &Args) -> Result<ExitCode> {
    let begun = Instant::now();
    let path = match &args.index {
        Some(path) => path.clone(),
        None => default_index()?,
    };
    let labels = match args.labels.as_deref() {
        None => Labels::None,
        Some("folder") => Labels::Folder,
        Some(file) => Labels::read(file.as_ref())?,
    };
    if let Some(wrong) = args.folders.iter().find(|folder| !folder.is_dir()) {
        bail!("{} is not a folder; name the folders that hold your images", wrong.display());
    }
    let model = context.model(args.model.as_deref(), &context.device()?)?;
    if let Some(folder) = path.parent().filter(|_| args.index.is_none()) {
        std::fs::create_dir_all(folder)
            .with_context(|| format!("cannot make the folder {}", folder.display()))?;
    }
    let mut index = Index::open_or_create(&path, model.bits(), model.fingerprint())?;
    let options = UpdateOptions { labels, limits: context.limits };
    let work = |task: &Task<'_>| update(&mut index, &model, &args.folders, &options, task);
    let report = context.with_progress("indexing", work)?;
    for skipped in &report.skipped {
        context.warn(format_args!("skipped: {}", skipped.reason));
    }
    let (images, seconds) = (index.len()?, begun.elapsed().as_secs_f64());
    let skipped = report.skipped.len();
    if context.json {
        let list = report
            .skipped
            .iter()
            .map(|s| json!({ "path": s.path.display().to_string(), "reason": s.reason }));
        context.print_json(&json!({
            "index": path.display().to_string(), "bits": model.bits(), "images": images,
            "found": report.found, "added": report.added, "copied": report.copied,
            "changed": report.changed, "unchanged": report.unchanged,
            "skipped": list.collect::<Vec<_>>(), "seconds": seconds,
        }))?;
    } else {
        context.print(format_args!(
            "{}: {images} images ({} added, {} changed, {} unchanged, {skipped} skipped) in {seconds:.1} s",
            path.display(), report.added, report.changed, report.unchanged,
        ))?;
    }
    if report.found == 0 {
        context.warn("no image was found: JPEG, PNG and WebP files are looked for");
    }
    if args.strict && skipped > 0 {
        bail!("{skipped} images were skipped (--strict)");
    }
    Ok(ExitCode::SUCCESS)
}
