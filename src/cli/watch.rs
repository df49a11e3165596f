/*!
`barbule index --watch`: an update whenever a folder changes.
*/

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use notify_debouncer_mini::notify::event::{AccessKind, AccessMode, Event, EventKind};
use notify_debouncer_mini::notify::{
    self, ErrorKind, EventHandler, RecommendedWatcher, RecursiveMode, Watcher, WatcherKind,
};
use notify_debouncer_mini::{Config, new_debouncer_opt};

use super::{Context, advice};
use crate::folder::{ScanOptions, Walk, shown};
use crate::index::{IndexError, IndexWriter};
use crate::task::Stopped;

/// Quiet period after the last change in a watched folder, before it is scanned.
const QUIET: Duration = Duration::from_secs(2);
/// Interval of the checks for Ctrl-C.
const GLANCE: Duration = Duration::from_millis(200);

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

/// Runs `update` whenever one of `named` changes, or any indexed folder if there are none, until
/// Ctrl-C.
pub fn watch(
    context: &Context,
    named: &[PathBuf],
    writer: &mut IndexWriter,
    mut update: impl FnMut(&mut IndexWriter) -> Result<()>,
) -> Result<()> {
    let (sender, receiver) = channel();
    let config = Config::default().with_timeout(QUIET);
    let debouncer = new_debouncer_opt::<_, Changes>(config, sender);
    let mut debouncer = debouncer.context("cannot watch folders on this system")?;
    let mut told = HashSet::new();
    watch_all(context, debouncer.watcher(), &folders(named, writer)?, &mut told);
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
        // New folders first: what is put into them during the update is noticed.
        watch_all(context, debouncer.watcher(), &folders(named, writer)?, &mut told);
        match update(writer) {
            Ok(_) => {}
            Err(error) if error.downcast_ref::<IndexError>().is_some_and(stopped) => break,
            // A folder may be missing for a moment, so keep watching.
            Err(error) => context.warn(advice::sentence(&error)),
        }
    }
    Ok(())
}

fn stopped(error: &IndexError) -> bool {
    matches!(error, IndexError::Stopped(Stopped))
}

/// Returns the folders to watch and the selections of their files.
fn folders(named: &[PathBuf], writer: &IndexWriter) -> Result<Vec<(PathBuf, ScanOptions)>> {
    let roots = writer.index().roots()?;
    if named.is_empty() {
        return Ok(roots.into_iter().map(|root| (root.path.into(), root.options)).collect());
    }
    let options = |folder: &PathBuf| {
        let real = folder.canonicalize().ok();
        let root = roots.iter().find(|root| real.as_deref() == Some(Path::new(&root.path)));
        root.map(|root| root.options.clone()).unwrap_or_default()
    };
    Ok(named.iter().map(|folder| (folder.clone(), options(folder))).collect())
}

/// Watches folders as far as possible, and warns once of each that cannot be watched.
fn watch_all(
    context: &Context,
    watcher: &mut dyn Watcher,
    folders: &[(PathBuf, ScanOptions)],
    told: &mut HashSet<String>,
) {
    let mut tell = |text: String| {
        if !told.contains(&text) {
            context.warn(&text);
            told.insert(text);
        }
    };
    let mut unwatched = 0usize;
    for (folder, options) in folders.iter().filter(|(folder, _)| folder.is_dir()) {
        // Linux watches single folders: those that are read, and no others.
        let single = RecommendedWatcher::kind() == WatcherKind::Inotify;
        let mode = if single { RecursiveMode::NonRecursive } else { RecursiveMode::Recursive };
        let below = match Walk::new(folder, options).and_then(|walk| walk.run(&|_| Ok(()))) {
            Ok(listing) if single => listing.folders,
            _ => vec![folder.clone()],
        };
        for folder in below {
            match watcher.watch(&folder, mode) {
                Ok(()) => {}
                Err(error) if is_limit(&error) => unwatched += 1,
                Err(error) => tell(format!(
                    "changes in {} are not noticed: {error}; run the command again after them",
                    shown(&folder)
                )),
            }
        }
    }
    if unwatched > 0 {
        // The number of folders may differ each time.
        let advice = "the system's limit of watches is reached, so changes in some folders are not noticed; raise it, for example with `sudo sysctl fs.inotify.max_user_watches=1048576`, and run the command again";
        tell(advice.to_owned());
    }
}

/// Returns whether the system's limit of watches is reached.
fn is_limit(error: &notify::Error) -> bool {
    match &error.kind {
        ErrorKind::MaxFilesWatch => true,
        // ENOSPC, which is how Linux says it.
        ErrorKind::Io(error) => error.kind() == std::io::ErrorKind::StorageFull,
        _ => false,
    }
}
