/*!
`barbule prune`: takes out of an index what is gone from the disk.
*/

use std::collections::HashMap;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Result;
use clap::ValueHint;
use serde_json::json;

use super::Context;
use super::query::index_path;
use crate::index::{Filter, Index, Root, files_under, innermost};
use crate::task::Task;

/// Take images whose files are gone out of an index
///
/// `barbule index` does that for the folders it looks at; this needs no model and looks at
/// all. Images of a folder that is missing as a whole, or has no image left (a drive that is
/// not there), stay, unless --all is given. The file shrinks accordingly.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: barbule prune\n         barbule prune --dry-run")]
pub struct Args {
    /// The index file [default: barbule.db in the platform's data folder]
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    index: Option<PathBuf>,
    /// Also what was in folders that are missing as a whole
    #[arg(long)]
    all: bool,
    /// Only say what would be taken out
    #[arg(long)]
    dry_run: bool,
}

pub fn run(context: &Context, args: &Args) -> Result<ExitCode> {
    let path = index_path(args.index.as_deref())?;
    let mut index = match args.dry_run {
        true => Index::open(&path)?,
        false => Index::open_to_change(&path)?,
    };
    let roots = index.roots()?;
    let paths: Vec<String> = roots.iter().map(|root| root.path.clone()).collect();
    let own = |path: &str| innermost(path, &paths).map(str::to_owned);
    let mut images = Vec::new();
    // Of each folder, whether an image of it is still there.
    let mut alive: HashMap<String, bool> = HashMap::new();
    for id in index.ids(&Filter::default())? {
        let path = index.image(id)?.path;
        let (gone, root) = (is_gone(Path::new(&path)), own(&path));
        if let Some(root) = &root {
            *alive.entry(root.clone()).or_default() |= !gone;
        }
        if gone {
            images.push((id, path, root));
        }
    }
    // A folder with images that are all gone may be the mount point of a drive.
    let is_missing = |root: &&Root| {
        let folder = Path::new(&root.path);
        let found = || files_under(folder, &root.options, &Task::unwatched());
        let none = || found().is_ok_and(|(files, _)| files.is_empty());
        !folder.is_dir() || (alive.get(&root.path) == Some(&false) && none())
    };
    let missing: Vec<String> =
        roots.iter().filter(is_missing).map(|root| root.path.clone()).collect();
    let kept = |root: &Option<String>| {
        !args.all && root.as_ref().is_some_and(|root| missing.contains(root))
    };
    let gone: Vec<(i64, String)> = images
        .into_iter()
        .filter(|(.., root)| !kept(root))
        .map(|(id, path, _)| (id, path))
        .collect();
    if !args.dry_run {
        let ids: Vec<i64> = gone.iter().map(|(id, _)| *id).collect();
        let failures = index.failures()?.into_iter().map(|failure| failure.path);
        let mut forgotten: Vec<String> =
            failures.filter(|path| is_gone(Path::new(path)) && !kept(&own(path))).collect();
        let away = missing.iter().filter(|root| args.all && !Path::new(root).is_dir());
        forgotten.extend(away.cloned());
        index.remove(&ids, &forgotten)?;
        index.compact()?;
    }
    let images = index.len()?;
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
    context.print(format_args!("{images} images; {} {would}taken out", gone.len()))?;
    for root in missing.iter().filter(|_| !args.all) {
        context.warn(format_args!(
            "nothing is in {root} any more, so what is indexed of it stays (--all takes it out)"
        ));
    }
    Ok(ExitCode::SUCCESS)
}

/// Not merely out of reach.
fn is_gone(path: &Path) -> bool {
    let error = std::fs::metadata(path).err();
    error.is_some_and(|e| matches!(e.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory))
}
