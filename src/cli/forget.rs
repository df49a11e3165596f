/*!
`barbule forget`: takes folders out of an index.
*/

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Result, bail};
use clap::ValueHint;
use serde_json::json;

use super::Context;
use super::query::{absolute, index_path};
use crate::index::{Filter, Index};

/// Take folders out of an index; the images themselves are not touched
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: barbule forget ~/Pictures/old")]
pub struct Args {
    /// The folders, whether they are still there or not
    #[arg(required = true, value_name = "DIR", value_hint = ValueHint::DirPath)]
    folders: Vec<PathBuf>,
    /// The index file [default: barbule.db in the platform's data folder]
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    index: Option<PathBuf>,
}

pub fn run(context: &Context, args: &Args) -> Result<ExitCode> {
    let path = index_path(args.index.as_deref())?;
    let mut index = Index::open_to_change(&path)?;
    let under: Vec<String> =
        args.folders.iter().map(|folder| absolute(folder)).collect::<Result<_>>()?;
    let filter = Filter { under: under.clone(), ..Filter::default() };
    let ids = index.ids(&filter)?;
    let is_root = index.roots()?.iter().any(|root| under.contains(&root.path));
    if ids.is_empty() && !is_root {
        bail!(
            "nothing of {} is in {}; `barbule status` lists the folders",
            under.join(" and "),
            path.display()
        );
    }
    index.remove(&ids, &under)?;
    // Else the next update of a folder around it would add it again.
    for folder in &under {
        if let Some(root) = index.leave_out(folder)? {
            context.say(format_args!(
                "{folder} is left out of {root} from now on; `barbule index {folder}` takes it in again"
            ));
        }
    }
    index.compact()?;
    let images = index.len()?;
    match context.json {
        true => context.print_json(&json!({
            "index": path.display().to_string(), "removed": ids.len(), "images": images,
        }))?,
        false => context.print(format_args!("{images} images; {} taken out", ids.len()))?,
    }
    Ok(ExitCode::SUCCESS)
}
