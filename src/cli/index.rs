/*!
`barbule index`: brings an index up to date with folders of images.
*/

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use clap::ValueHint;
use notify_debouncer_mini::notify::event::{AccessKind, AccessMode, Event, EventKind};
use notify_debouncer_mini::notify::{
    self, EventHandler, RecommendedWatcher, RecursiveMode, Watcher, WatcherKind,
};
use notify_debouncer_mini::{Config, new_debouncer_opt};
use serde_json::{Value, json};

use super::query::index_path;
use super::{Context, advice};
use crate::index::{Index, IndexWriter, Labels, Scan, ScanOptions, Update, UpdateOptions};
use crate::model::Model;
use crate::task::{Stopped, Task};

/// Quiet period after the last change in a watched folder, before it is scanned.
const QUIET: Duration = Duration::from_secs(2);
/// Interval of the checks for Ctrl-C.
const GLANCE: Duration = Duration::from_millis(200);

/// Index folders of images, or update an index
///
/// Only new and changed files are read, and only new pictures are encoded: moved, renamed and
/// copied ones are recognised by their content. Images whose files are gone are removed. Images are
/// written in batches: an interrupted run loses at most one batch, and the next run continues.
///
/// Without a folder, all indexed folders are scanned again. The options --exclude, --hidden and
/// --follow-links are stored for each folder.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: barbule index ~/Pictures\n         \
                  barbule index\n         \
                  barbule index ~/Pictures --exclude 'raw' --exclude '*.png' --watch\n         \
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
    /// Also store the features of each image (2.5 KB) for `search --rerank`
    #[arg(long)]
    keep_features: bool,
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

impl Args {
    fn options(&self, context: &Context) -> Result<UpdateOptions> {
        let labels = match self.labels.as_deref() {
            None => Labels::None,
            Some("folder") => Labels::Folder,
            Some(file) => {
                let labels = Labels::read(file.as_ref())?;
                if let Labels::Table(table) = &labels
                    && !table.keys().any(|path| Path::new(path).exists())
                {
                    context.warn(format_args!(
                        "none of the {} images in {file} exists, so no labels are set; paths are relative to the folder of {file}",
                        table.len()
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
        let keep_features = self.keep_features;
        let (limits, again) = (context.limits, self.again);
        Ok(UpdateOptions { labels, limits, scan, keep_features, again })
    }
}

pub fn run(context: &Context, args: &Args) -> Result<ExitCode> {
    let path = index_path(args.index.as_deref())?;
    let options = args.options(context)?;
    if let Some(wrong) = args.folders.iter().find(|folder| !folder.is_dir()) {
        bail!("{} is not a folder; pass the folders of your images", wrong.display());
    }
    if args.folders.is_empty() && !path.exists() {
        bail!("there is no index at {} yet; pass the folders of your images", path.display());
    }
    let model = model(context, args, &path)?;
    if let Some(folder) = path.parent().filter(|_| args.index.is_none()) {
        std::fs::create_dir_all(folder)
            .with_context(|| format!("cannot make the folder {}", folder.display()))?;
    }
    let mut writer = IndexWriter::open(&path, &model)?;
    if let Some(file) = &args.model {
        writer.set_model_file(file)?;
    }
    let skipped = once(context, args, &options, &mut writer, &model, &args.folders)?;
    if args.watch {
        watch(context, args, &options, &mut writer, &model)?;
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
    let made_with = Index::open(path).ok().and_then(|index| {
        let built_in = index.model() == Model::general_fingerprint();
        index.model_file().ok().flatten().filter(|file| !built_in && file.exists())
    });
    context.model(made_with.as_deref(), &device)
}

/// Runs one update, prints the result and returns the number of unusable files.
fn once(
    context: &Context,
    args: &Args,
    options: &UpdateOptions,
    writer: &mut IndexWriter,
    model: &Model,
    folders: &[PathBuf],
) -> Result<usize> {
    let begun = Instant::now();
    let work = |task: &Task<'_>| writer.update(model, folders, options, task);
    let report = context.with_progress("indexing", work)?;
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
    let (images, seconds) = (index.len()?, begun.elapsed().as_secs_f64());
    if context.json {
        let document = document(&report, index, images, seconds);
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
        context.warn("no images found; supported formats: JPEG, PNG, WebP, GIF, BMP and TIFF");
    }
    Ok(report.skipped.len() + report.skipped_before)
}

fn document(report: &Update, index: &Index, images: usize, seconds: f64) -> Value {
    let list = report
        .skipped
        .iter()
        .map(|s| json!({ "path": s.path.display().to_string(), "reason": s.reason }));
    let absent = report.absent.iter().map(|folder| folder.display().to_string());
    json!({
        "index": index.path().display().to_string(), "bits": index.bits(), "images": images,
        "found": report.found, "added": report.added, "copied": report.copied,
        "changed": report.changed, "moved": report.moved, "unchanged": report.unchanged,
        "removed": report.removed, "skipped": list.collect::<Vec<_>>(),
        "skipped_before": report.skipped_before, "absent": absent.collect::<Vec<_>>(),
        "seconds": seconds,
    })
}

/// The numbers of an update as text; moved and removed only if they are not 0.
fn in_words(report: &Update) -> String {
    let Update { added, changed, moved, unchanged, removed, .. } = report;
    let mut parts = vec![format!("{added} added"), format!("{changed} changed")];
    parts.extend((*moved > 0).then(|| format!("{moved} moved")));
    parts.push(format!("{unchanged} unchanged"));
    parts.extend((*removed > 0).then(|| format!("{removed} removed")));
    parts.push(format!("{} skipped", report.skipped.len() + report.skipped_before));
    parts.join(", ")
}

/// A watcher that reports changes only: the reads of an update must not start another.
struct Changes(RecommendedWatcher);

impl Watcher for Changes {
    fn new<F: EventHandler>(mut handler: F, config: notify::Config) -> notify::Result<Self> {
        let only = move |event: notify::Result<Event>| {
            let read = event.as_ref().is_ok_and(|event| match event.kind {
                EventKind::Access(kind) => kind != AccessKind::Close(AccessMode::Write),
                _ => false,
            });
            if !read {
                handler.handle_event(event);
            }
        };
        RecommendedWatcher::new(only, config).map(Self)
    }

    fn watch(&mut self, path: &Path, mode: RecursiveMode) -> notify::Result<()> {
        self.0.watch(path, mode)
    }

    fn unwatch(&mut self, path: &Path) -> notify::Result<()> {
        self.0.unwatch(path)
    }

    fn kind() -> WatcherKind {
        RecommendedWatcher::kind()
    }
}

/// Updates the index whenever a folder changes, until Ctrl-C.
fn watch(
    context: &Context,
    args: &Args,
    options: &UpdateOptions,
    writer: &mut IndexWriter,
    model: &Model,
) -> Result<()> {
    let folders = if args.folders.is_empty() {
        let roots = writer.index().roots()?;
        roots.into_iter().map(|root| PathBuf::from(root.path)).collect()
    } else {
        args.folders.clone()
    };
    let (sender, receiver) = channel();
    let config = Config::default().with_timeout(QUIET);
    let debouncer = new_debouncer_opt::<_, Changes>(config, sender);
    let mut debouncer = debouncer.context("cannot watch folders on this system")?;
    for folder in folders.iter().filter(|folder| folder.is_dir()) {
        let watched = debouncer.watcher().watch(folder, RecursiveMode::Recursive);
        watched.with_context(|| format!("cannot watch {}", folder.display()))?;
    }
    context.say("watching for changes; press Ctrl-C to stop");
    let own = writer.index().path();
    let own = own.canonicalize().unwrap_or_else(|_| own.to_owned());
    while !context.stopped() {
        let events = match receiver.recv_timeout(GLANCE) {
            Ok(Ok(events)) => events,
            Ok(Err(error)) => {
                context.warn(format_args!("watching: {error}"));
                continue;
            }
            Err(RecvTimeoutError::Timeout) => continue,
            Err(RecvTimeoutError::Disconnected) => {
                bail!("the file watcher stopped; run the command again")
            }
        };
        // An index inside a watched folder changes with every update.
        let beside = |path: &Path| path.to_string_lossy().starts_with(&*own.to_string_lossy());
        if events.iter().all(|event| beside(&event.path)) {
            continue;
        }
        match once(context, args, options, writer, model, &args.folders) {
            Ok(_) => {}
            Err(error) if error.downcast_ref::<crate::index::IndexError>().is_some_and(stopped) => {
                break;
            }
            // A folder may be missing for a moment, so keep watching.
            Err(error) => context.warn(advice::sentence(&error)),
        }
    }
    Ok(())
}

fn stopped(error: &crate::index::IndexError) -> bool {
    matches!(error, crate::index::IndexError::Stopped(Stopped))
}
