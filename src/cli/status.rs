/*!
`barbule status`: the contents of an index.
*/

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Result;
use clap::ValueHint;
use serde_json::json;

use super::query::index_path;
use super::{Context, counts};
use crate::hash::Codebooks;
use crate::index::{Filter, Fitted, HashState, Index, LEAST};
use crate::model::Model;

/// Maximum number of failures printed without --failures.
const NAMED: usize = 10;

/// Show the folders, images and model of an index, and the files that could not be used
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: barbule status\n         \
                        barbule status --index birds.db --json")]
pub struct Args {
    /// The index file [default: barbule.db in the platform's data folder]
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    index: Option<PathBuf>,
    /// List all files that could not be used
    #[arg(long)]
    failures: bool,
}

pub fn run(context: &Context, args: &Args) -> Result<ExitCode> {
    let path = index_path(args.index.as_deref())?;
    let index = Index::open(&path)?;
    let images = index.len()?;
    let bytes = std::fs::metadata(&path).map_or(0, |meta| meta.len());
    let (labels, failures) = (index.labels()?, index.failures()?);
    let (built_in, state) = (index.model() == Model::general_fingerprint(), index.hash_state()?);
    let model_file = index.model_file()?.filter(|_| !built_in);
    let mut roots = Vec::new();
    for root in index.roots()? {
        let filter = Filter { under: vec![root.path.clone()], ..Filter::default() };
        let there = Path::new(&root.path).is_dir();
        roots.push((index.ids(&filter)?.len(), there, root));
    }
    if context.json {
        let roots = roots.iter().map(|(images, there, root)| {
            json!({
                "path": root.path, "images": images, "there": there, "options": root.options,
                "left_out": root.left_out,
            })
        });
        let failures = failures.iter().map(|f| json!({ "path": f.path, "reason": f.reason }));
        context.print_json(&json!({
            "index": path.display().to_string(), "bytes": bytes, "images": images,
            "bits": index.bits(), "words": index.codebooks().map(Codebooks::count), "model": index.model(), "built_in": built_in,
            "hash": state, "fitted": index.fitted(), "model_file": model_file.map(|file| file.display().to_string()),
            "features": index.keeps_features(), "regions": index.regions(),
            "read_as_now": index.is_read_as_now()?,
            "labels": labels.len(),
            "folders": roots.collect::<Vec<_>>(), "failures": failures.collect::<Vec<_>>(),
        }))?;
        return Ok(ExitCode::SUCCESS);
    }
    let model = match (built_in, model_file) {
        _ if index.fitted().is_some() => "a hash of its own".to_owned(),
        (true, _) => "the built-in general model".to_owned(),
        (false, Some(file)) => file.display().to_string(),
        (false, None) => format!("a model with the fingerprint {:.8}", index.model()),
    };
    let features = if index.keeps_features() { ", with features" } else { "" };
    let regions = match index.regions() {
        0 => String::new(),
        1 => ", with a region of each".to_owned(),
        regions => format!(", with up to {regions} regions of each"),
    };
    let codes = match index.codebooks() {
        None => format!("{} bits", index.bits()),
        Some(books) => format!("{} words ({} bits)", books.count(), books.bits()),
    };
    context.print(format_args!(
        "{}: {images} images, codes of {codes} by {model}{features}{regions}, {:.1} MB",
        path.display(),
        bytes as f64 / 1e6
    ))?;
    if let Some(sentence) = hash(state, index.fitted(), images) {
        context.print(format_args!("  {sentence}"))?;
    }
    for (images, there, root) in roots {
        let gone = if there { "" } else { " (missing)" };
        let without = match root.options.exclude.as_slice() {
            [] => String::new(),
            patterns => format!(", excluding {}", patterns.join(" ")),
        };
        context.print(format_args!("  {}: {images} images{without}{gone}", root.path))?;
        let left_out = root.left_out.unwrap_or_default();
        if let Some(words) = counts::in_words(&left_out) {
            let others = counts::other_extensions(&left_out);
            let others = others.map(|others| format!(" ({others})")).unwrap_or_default();
            context.print(format_args!("    {words}{others}"))?;
        }
    }
    if images > 0 && !index.is_read_as_now()? {
        context.print(
            "  an earlier version read these images, without colour profiles among other things; `barbule index --again` computes their codes anew",
        )?;
    }
    if !labels.is_empty() {
        context.print(format_args!("  {} labels", labels.len()))?;
    }
    if !failures.is_empty() {
        context.print(format_args!("  {} files could not be used:", failures.len()))?;
    }
    let named = if args.failures { failures.len() } else { NAMED };
    for failure in failures.iter().take(named) {
        context.print(format_args!("    {}", failure.reason))?;
    }
    if failures.len() > named {
        context.print(format_args!("    … and {} more (--failures)", failures.len() - named))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Describes the hash of an index of `images` images, and why it has that one; `None` if a model
/// was named for it.
fn hash(state: HashState, fitted: Option<Fitted>, images: usize) -> Option<String> {
    let general = "the general hash, which knows none of these images";
    let fitted = fitted.map(|Fitted { images, labels, .. }| match labels {
        0 => format!("the hash was fitted to {images} of these images"),
        labels => {
            format!("the hash was fitted to {images} of these images and their {labels} labels")
        }
    });
    Some(match (state, fitted) {
        (HashState::Due, Some(fitted)) => {
            format!("{fitted}; many have changed since, and the next `barbule index` fits it again")
        }
        (HashState::WithoutFeatures, Some(fitted)) => {
            format!("{fitted}; some images lack the features for another fit")
        }
        (_, Some(fitted)) => fitted,
        (HashState::Off, None) => {
            format!("{general}; `barbule index --fit auto` lets it be fitted")
        }
        (HashState::WithoutFeatures, None) => {
            format!("{general}; `barbule index --fit now` reads all of them again and fits one")
        }
        (HashState::Few, None) => {
            format!("{general}; one is fitted as soon as there are {LEAST} images ({images} now)")
        }
        (HashState::Due, None) => format!("{general}; the next `barbule index` fits one"),
        _ => return None,
    })
}
