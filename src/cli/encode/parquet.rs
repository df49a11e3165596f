/*!
`barbule encode --out`: writes the codes of folders or of a list of files, or of one part of
them, to a Parquet file.
*/

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use clap::ValueHint;
use serde_json::json;

use crate::cli::query::absolute;
use crate::cli::{Context, counts, list};
use crate::engine::BATCH;
use crate::engine::shard::{Encoded, Job, Shard, encode};
use crate::folder::{ScanOptions, Walk, shown};
use crate::index::{Index, IndexError, Labels};
use crate::task::Task;

/// Options of `barbule encode` for Parquet files.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Write a Parquet file with the id, path, label, content hash and code of each image
    #[arg(long, value_name = "FILE.parquet", value_hint = ValueHint::FilePath, help_heading = "Many images")]
    out: Option<PathBuf>,
    /// A file with one path per line, instead of images and folders; `-` is stdin
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, requires = "out", conflicts_with = "images", help_heading = "Many images")]
    list: Option<PathBuf>,
    /// Encode only part I of N, as in 3/16
    #[arg(long, value_name = "I/N", requires = "out", help_heading = "Many images")]
    shard: Option<Shard>,
    /// Source of labels: `folder` (the name of each image's folder) or a file of PATH,LABEL lines
    #[arg(long, value_name = "folder|FILE.csv", requires = "out", help_heading = "Many images")]
    labels: Option<String>,
}

impl Args {
    /// Returns whether a Parquet file is requested.
    pub fn is_wanted(&self) -> bool {
        self.out.is_some()
    }
}

pub fn run(
    context: &Context,
    named: &[PathBuf],
    model_file: Option<&Path>,
    args: &Args,
) -> Result<ExitCode> {
    let begun = Instant::now();
    let Some(out) = &args.out else { return Ok(ExitCode::SUCCESS) };
    let (files, roots) = match &args.list {
        Some(list) => (listed(list)?, Vec::new()),
        None => found(context, named)?,
    };
    let (files, twice) = each_once(files);
    if twice > 0 {
        context.warn(format_args!("{twice} repeated paths were ignored"));
    }
    ensure!(!files.is_empty(), "no images to encode; name images, folders or a --list");
    let labels = match args.labels.as_deref() {
        None => Labels::None,
        Some("folder") => Labels::Folder,
        Some(file) => Labels::read(file.as_ref())?,
    };
    let there: HashSet<&str> = files.iter().map(String::as_str).collect();
    counts::warn_table(context, labels.table_use(|path| there.contains(path)).as_ref());
    if let Some(folder) = out.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        std::fs::create_dir_all(folder)
            .with_context(|| format!("cannot make the folder {}", folder.display()))?;
    }
    let model = context.model(model_file, &context.device()?)?;
    let index = model_file.filter(|file| Index::is_at(file)).map(Index::open).transpose()?;
    let own_model = index.map(|index| index.own_model()).transpose()?.flatten();
    let model_file = model_file.filter(|_| own_model.is_none()).map(absolute).transpose()?;
    let shard = args.shard.unwrap_or(Shard { part: 1, of: 1 });
    let job = Job {
        files: &files,
        roots,
        model_file,
        own_model,
        labels: &labels,
        shard,
        out,
        limits: context.limits,
        segment: BATCH,
    };
    let of = shard.range(files.len()).len();
    context.say(format_args!("part {} of {}: {of} of {} files", shard.part, shard.of, files.len()));
    let Encoded { images, before, skipped } =
        context.with_progress("encoding", |task| encode(&model, &job, task))?;
    for (_, reason) in &skipped {
        context.warn(format_args!("skipped: {reason}"));
    }
    let seconds = begun.elapsed().as_secs_f64();
    if context.json {
        let skipped: Vec<_> = skipped
            .iter()
            .map(|(path, reason)| json!({ "path": path, "reason": reason }))
            .collect();
        context.print_json(&json!({
            "out": out, "part": shard.part, "of": shard.of, "images": images,
            "before": before, "skipped": skipped, "seconds": seconds,
        }))?;
        return Ok(ExitCode::SUCCESS);
    }
    context.say(format_args!(
        "{images} images in {} ({before} from an earlier run), {} skipped, {seconds:.1} s",
        out.display(),
        skipped.len()
    ));
    Ok(ExitCode::SUCCESS)
}

/// Removes repeated paths, and returns how many were removed.
fn each_once(files: Vec<String>) -> (Vec<String>, usize) {
    let mut seen = HashSet::new();
    let all = files.len();
    let files: Vec<String> = files.into_iter().filter(|file| seen.insert(file.clone())).collect();
    let twice = all - files.len();
    (files, twice)
}

/// Returns the named images and all images in the named folders, and the folders.
fn found(context: &Context, named: &[PathBuf]) -> Result<(Vec<String>, Vec<String>)> {
    let (mut files, mut roots) = (Vec::new(), Vec::new());
    for path in named {
        let stored = absolute(path)?;
        if !path.is_dir() {
            files.push(stored);
            continue;
        }
        let (folder, options) = (Path::new(&stored), ScanOptions::default());
        let list = |task: &Task<'_>| Walk::new(folder, &options)?.run(&|found| task.count(found));
        let listing = context.with_progress("listing", list).map_err(IndexError::from)?;
        for skipped in listing.unreadable {
            context.warn(format_args!("skipped: {}", skipped.reason));
        }
        if let Some(left_out) = counts::in_words(&listing.left_out) {
            context.say(format_args!("{}: {left_out}", path.display()));
        }
        for file in listing.found.into_iter().map(|found| found.path) {
            match file.to_str() {
                Some(file) => files.push(file.to_owned()),
                None => context.warn(format_args!(
                    "skipped: {}: its name is not valid Unicode; rename it",
                    shown(&file)
                )),
            }
        }
        roots.push(stored);
    }
    Ok((files, roots))
}

/// Reads the paths in a list file and makes them absolute.
fn listed(list: &Path) -> Result<Vec<String>> {
    let text = if list == Path::new("-") {
        list::text(std::io::stdin().lock())
    } else {
        std::fs::File::open(list).and_then(list::text)
    };
    let text = text.with_context(|| format!("cannot read the list {}", list.display()))?;
    let lines = list::paths(&text).into_iter();
    lines.map(|line| Ok(std::path::absolute(line)?.to_string_lossy().into_owned())).collect()
}
