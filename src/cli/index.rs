/*!
`barbule index`: brings an index up to date with folders of images.
*/

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Context as _, Result, bail};
use clap::ValueHint;
use serde_json::{Value, json};

use super::query::index_path;
use super::{Context, counts, watch};
use crate::folder::shown;
use crate::image;
use crate::index::{
    Fitted, HashState, Index, IndexError, IndexWriter, Labels, MOST_REGIONS, Scan, ScanOptions,
    Update, UpdateOptions,
};
use crate::model::Model;
use crate::task::Task;
use crate::train::OwnHash;

/// Index folders of images, or update an index
///
/// Only new and changed files are read, and only new pictures are encoded: moved, renamed and
/// copied ones are recognised by their content. Images whose files are gone are removed. Images are
/// written in batches: an interrupted run loses at most one batch, and the next run continues.
///
/// Without a folder, all indexed folders are scanned again. The options --exclude, --hidden and
/// --follow-links are stored for each folder.
///
/// Without --model, the hash is fitted to your images as soon as there are 50 of them, and again
/// when a quarter of the collection has changed. Codes are then computed from stored features (1.3
/// KB per image); no picture is read for it. If most images have labels, the hash separates labels.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: barbule index ~/Pictures\n         \
                  barbule index\n         \
                  barbule index ~/Pictures --exclude 'raw' --exclude '*.png' --watch\n         \
                  barbule index ~/Pictures --regions 4\n         \
                  barbule index ~/birds --model birds.safetensors --index birds.db")]
pub struct Args {
    /// The folders to index, with their sub-folders
    #[arg(value_name = "DIR", value_hint = ValueHint::DirPath)]
    folders: Vec<PathBuf>,
    /// The index file [default: barbule.db in the platform's data folder]
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    index: Option<PathBuf>,
    /// The model file [default: the index's own model; for a new index, the built-in general model]
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    model: Option<PathBuf>,
    /// Labels: `folder` for the name of each image's folder, or a file of PATH,LABEL lines
    /// (commas, semicolons or tabs)
    #[arg(long, value_name = "folder|FILE.csv")]
    labels: Option<String>,
    /// Also skip names that match a pattern such as '*.png' or 'raw'; one with a slash is matched
    /// with the path below DIR. May be given several times; '' clears all stored patterns and
    /// options
    #[arg(long, value_name = "GLOB")]
    exclude: Vec<String>,
    /// Include hidden files and folders
    #[arg(long)]
    hidden: bool,
    /// Follow symbolic links to folders
    #[arg(long)]
    follow_links: bool,
    /// Also store the features of each image (1.3 KB) for `search --rerank`; without --model, a new
    /// index always does
    #[arg(long)]
    keep_features: bool,
    /// Also search in up to N regions of each image, those that stand out most, so that small
    /// objects in large pictures are found. Each region takes as long as an image. The number is
    /// stored; 0 removes the regions
    #[arg(long, value_name = "N", value_parser = regions)]
    regions: Option<usize>,
    /// When the hash is fitted to the images; `never` is stored until another value is given
    /// [default: auto]
    #[arg(long, value_enum, value_name = "WHEN", conflicts_with = "model")]
    fit: Option<When>,
    /// Look into every file, even if its size, times and number are as before; pictures that are
    /// the same keep their codes
    #[arg(long)]
    again: bool,
    /// Keep the index current: scan the folders whenever they change, until Ctrl-C
    #[arg(long)]
    watch: bool,
    /// Fail (exit status 1) if any image could not be used
    #[arg(long)]
    strict: bool,
}

/// When the hash is fitted to the images.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum When {
    /// As soon as there are enough images, and again after many changes
    Auto,
    /// At the end of this run, and later as with auto; an index of an earlier version reads every
    /// picture again for it
    Now,
    /// Keep the present hash
    Never,
}

/// Parses the number of regions of an image.
fn regions(text: &str) -> Result<usize, String> {
    let number = text.parse().ok().filter(|number| *number <= MOST_REGIONS);
    number.ok_or_else(|| format!("choose 0 to {MOST_REGIONS} regions"))
}

impl Args {
    fn options(&self, context: &Context) -> Result<UpdateOptions> {
        let labels = match self.labels.as_deref() {
            None => Labels::None,
            Some("folder") => Labels::Folder,
            Some(file) => {
                let labels = Labels::read(file.as_ref())?;
                if let Labels::Rows(table) = &labels
                    && !table.names_a_file()
                {
                    context.warn(format_args!(
                        "none of the {} images in {file} exists, so no labels are set; paths are relative to the folder of {file}",
                        table.rows()
                    ));
                }
                labels
            }
        };
        let said = !self.exclude.is_empty() || self.hidden || self.follow_links;
        let anew = self.exclude.iter().any(String::is_empty);
        let exclude = self.exclude.iter().filter(|pattern| !pattern.is_empty()).cloned().collect();
        let scan = ScanOptions { exclude, hidden: self.hidden, follow_links: self.follow_links };
        let scan = match (said, anew) {
            (false, _) => Scan::AsBefore,
            (true, true) => Scan::Replace(scan),
            (true, false) => Scan::Add(scan),
        };
        let (limits, again, fitting) = (context.limits, self.again, self.model.is_none());
        let keep_features = self.keep_features;
        let regions = self.regions;
        Ok(UpdateOptions { labels, limits, scan, keep_features, fitting, regions, again })
    }
}

pub fn run(context: &Context, args: &Args) -> Result<ExitCode> {
    let path = index_path(args.index.as_deref())?;
    let mut options = args.options(context)?;
    if let Some(wrong) = args.folders.iter().find(|folder| !folder.is_dir()) {
        bail!("{} is not a folder; pass the folders of your images", wrong.display());
    }
    if args.folders.is_empty() && !path.exists() {
        bail!("there is no index at {} yet; pass the folders of your images", path.display());
    }
    let mut model = model(context, args, &path)?;
    if let Some(folder) = path.parent().filter(|_| args.index.is_none()) {
        std::fs::create_dir_all(folder)
            .with_context(|| format!("cannot make the folder {}", folder.display()))?;
    }
    let mut writer = IndexWriter::open(&path, &model)?;
    if let Some(file) = &args.model {
        writer.set_model_file(file)?;
    }
    if let Some(when) = args.fit {
        check_fits(writer.index())?;
        writer.set_fitting(when != When::Never)?;
        let lacks = writer.index().hash_state()? == HashState::WithoutFeatures;
        options.again |= lacks && when == When::Now;
    }
    let mut now = args.fit == Some(When::Now);
    let report = once(context, args, &options, (&mut writer, &mut model), now)?;
    if let Labels::Rows(table) = &options.labels
        && table.names_a_file()
    {
        counts::warn_table(context, report.labels.as_ref());
    }
    let skipped = report.skipped.len() + report.skipped_before;
    if args.watch {
        // Only the first look goes into every file.
        (options.again, now) = (false, false);
        let update = |writer: &mut IndexWriter| {
            once(context, args, &options, (writer, &mut model), now).map(drop)
        };
        watch::watch(context, &args.folders, &mut writer, update)?;
    } else if args.strict && skipped > 0 {
        bail!("{skipped} images were skipped (--strict)");
    }
    Ok(ExitCode::SUCCESS)
}

/// Opens the model of `--model`, or the one that made the index.
fn model(context: &Context, args: &Args, path: &Path) -> Result<Model> {
    let device = context.device()?;
    if args.model.is_some() || !path.exists() {
        return context.model(args.model.as_deref(), &device);
    }
    // A file that is not an index fails later, when it is opened for writing.
    let Ok(index) = Index::open(path) else { return context.model(None, &device) };
    if index.fitted().is_some() {
        return Ok(index.open_model(&device)?);
    }
    let built_in = index.model() == Model::general_fingerprint();
    let made_with = index.model_file()?.filter(|file| !built_in && file.exists());
    context.model(made_with.as_deref(), &device)
}

/// Fails unless the hash of an index can be fitted to its images.
fn check_fits(index: &Index) -> Result<()> {
    if index.hash_state()? == HashState::Named {
        bail!(
            "{} was made with a model of yours, which is never replaced; leave --fit out, or make another index without --model",
            index.path().display()
        );
    }
    Ok(())
}

/// Fits the hash of an index to its images, and replaces the model by the new one.
fn fit(context: &Context, writer: &mut IndexWriter, model: &mut Model) -> Result<()> {
    let fitted = context.with_progress("fitting", |task| writer.refit(model, &OwnHash, task))?;
    *model = fitted;
    let about = writer.index().fitted();
    let Some(Fitted { images, labels, .. }) = about else { return Ok(()) };
    let known = if labels > 0 { format!(" and {labels} labels") } else { String::new() };
    context.say(format_args!("fitted the hash to {images} images{known}"));
    Ok(())
}

/// Runs one update, fits the hash if that is due or it is to be `now`, prints the result and returns
/// it.
fn once(
    context: &Context,
    args: &Args,
    options: &UpdateOptions,
    (writer, model): (&mut IndexWriter, &mut Model),
    now: bool,
) -> Result<Update> {
    let begun = Instant::now();
    let work = |task: &Task<'_>| writer.update(model, &args.folders, options, task);
    let report = context.with_progress("indexing", work)?;
    if now {
        fit(context, writer, model)?;
    } else if writer.index().hash_state()? == HashState::Due {
        match fit(context, writer, model) {
            // The present hash goes on.
            Err(error) if matches!(error.downcast_ref(), Some(IndexError::Fit(_))) => {
                context.say(error);
            }
            done => done?,
        }
    }
    for skipped in &report.skipped {
        context.warn(format_args!("skipped: {}", skipped.reason));
    }
    for folder in &report.absent {
        context.warn(format_args!(
            "{} is missing or empty, so its images stay in the index; `barbule forget {}` removes them",
            folder.display(),
            folder.display()
        ));
    }
    let index = writer.index();
    let state = index.hash_state()?;
    if index.fitted().is_none() && state == HashState::WithoutFeatures {
        context.say("the hash of this index knows none of its images; `--fit now` reads them again and fits one");
    }
    let (images, seconds) = (index.len()?, begun.elapsed().as_secs_f64());
    if context.json {
        let document = document(&report, index, (images, state), seconds);
        if args.watch {
            // One line per document, because more follow.
            context.print(document)?;
        } else {
            context.print_json(&document)?;
        }
    } else {
        context.print(format_args!(
            "{}: {images} images ({}) in {seconds:.1} s",
            index.path().display(),
            in_words(&report),
        ))?;
    }
    if report.found == 0 && report.absent.is_empty() {
        let formats = image::format_names().collect::<Vec<_>>().join(", ");
        context.warn(format_args!("no images found; supported formats: {formats}"));
    }
    Ok(report)
}

fn document(
    report: &Update,
    index: &Index,
    (images, state): (usize, HashState),
    seconds: f64,
) -> Value {
    let list = report.skipped.iter().map(|s| json!({ "path": shown(&s.path), "reason": s.reason }));
    let absent = report.absent.iter().map(|folder| folder.display().to_string());
    json!({
        "index": index.path().display().to_string(), "bits": index.bits(), "images": images,
        "found": report.found, "added": report.added, "copied": report.copied,
        "changed": report.changed, "moved": report.moved, "unchanged": report.unchanged,
        "removed": report.removed, "skipped": list.collect::<Vec<_>>(),
        "skipped_before": report.skipped_before, "left_out": report.left_out,
        "table": counts::table_json(report.labels.as_ref()), "absent": absent.collect::<Vec<_>>(),
        "hash": state, "regions": index.regions(), "seconds": seconds,
    })
}

/// The numbers of an update as text; from moved on, most only if they are not 0.
fn in_words(report: &Update) -> String {
    let Update { added, changed, moved, unchanged, removed, .. } = report;
    let mut parts = vec![format!("{added} added"), format!("{changed} changed")];
    parts.extend((*moved > 0).then(|| format!("{moved} moved")));
    parts.push(format!("{unchanged} unchanged"));
    parts.extend((*removed > 0).then(|| format!("{removed} removed")));
    parts.push(format!("{} skipped", report.skipped.len() + report.skipped_before));
    let mut words = parts.join(", ");
    if let Some(left_out) = counts::in_words(&report.left_out) {
        words = format!("{words}; {left_out}");
    }
    words
}
