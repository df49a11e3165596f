/*!
`barbule forget`: removes folders from an index.
*/

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Result, bail};
use clap::ValueHint;
use serde_json::json;

use super::Context;
use super::query::{absolute, index_path};
use crate::index::{Forgotten, IndexWriter};

/// Remove folders from an index; the image files are not touched
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: barbule forget ~/Pictures/old")]
pub struct Args {
    /// The folders; they need not exist any more
    #[arg(required = true, value_name = "DIR", value_hint = ValueHint::DirPath)]
    folders: Vec<PathBuf>,
    /// The index file [default: barbule.db in the platform's data folder]
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    index: Option<PathBuf>,
}

pub fn run(context: &Context, args: &Args) -> Result<ExitCode> {
    let path = index_path(args.index.as_deref())?;
    let mut writer = IndexWriter::open_existing(&path)?;
    let under: Vec<String> =
        args.folders.iter().map(|folder| absolute(folder)).collect::<Result<_>>()?;
    let Forgotten { images: removed, was_root, left_out } = writer.forget(&under)?;
    if removed == 0 && !was_root {
        bail!(
            "no image in {} is indexed in {}; `barbule status` lists the folders",
            under.join(" and "),
            path.display()
        );
    }
    for (folder, root) in left_out {
        context.say(format_args!(
            "{folder} is now excluded from {root}; `barbule index {folder}` adds it again"
        ));
    }
    let images = writer.index().len()?;
    if context.json {
        context.print_json(&json!({
            "index": path.display().to_string(), "removed": removed, "images": images,
        }))?;
    } else {
        context.print(format_args!("{images} images; {removed} removed"))?;
    }
    Ok(ExitCode::SUCCESS)
}
