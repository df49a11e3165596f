/*!
Indexing in the background: one update at a time, which clients watch and stop.
*/

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Instant;

use serde::Serialize;

use super::problem::Problem;
use crate::image::Limits;
use crate::index::{Collection, Fitter, HashState, IndexError, IndexWriter, Update, UpdateOptions};
use crate::task::Task;

/// The folders to index.
#[derive(Debug, Clone)]
pub struct Job {
    /// The folder as it was asked for; `None` for all indexed folders.
    pub folder: Option<String>,
    /// The folders to update; none for all indexed folders.
    pub update: Vec<PathBuf>,
    /// Whether the folder is indexed already.
    pub known: bool,
    /// Larger images are skipped.
    pub limits: Limits,
}

/// The phase of the work.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Phase {
    /// There was no work yet.
    #[default]
    Idle,
    Running,
    /// It ends after the batch that it is at.
    Stopping,
    Finished,
    Stopped,
    Failed,
}

/// The work that is running, or was last.
#[derive(Debug, Clone, Default, Serialize)]
pub struct State {
    state: Phase,
    /// The folder; `None` for all indexed folders.
    folder: Option<String>,
    /// Whether the folder was indexed already.
    known: bool,
    /// Number of files that are done; while the total is 0, number of images found so far.
    done: usize,
    /// Number of new and changed files; 0 while folders are listed.
    total: usize,
    /// The result, once it is finished.
    counts: Option<Counts>,
    /// The outcome in one sentence, once it has ended.
    sentence: Option<String>,
}

/// Numbers of images of a finished update.
#[derive(Debug, Clone, Serialize)]
struct Counts {
    found: usize,
    added: usize,
    changed: usize,
    moved: usize,
    unchanged: usize,
    removed: usize,
    failed: usize,
}

/// Does one job at a time in a thread of its own.
#[derive(Debug, Clone, Default)]
pub struct Worker(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    /// Signalled when work has ended.
    ended: Condvar,
    stop: AtomicBool,
    /// Set when the server stops: no work begins any more.
    closed: AtomicBool,
    /// Fits the hash to the images of the index when that is due.
    fitter: Option<Arc<dyn Fitter>>,
}

impl State {
    fn is_running(&self) -> bool {
        matches!(self.state, Phase::Running | Phase::Stopping)
    }

    fn end(&mut self, outcome: Result<Update, IndexError>) {
        let (state, sentence) = match &outcome {
            Ok(report) => (Phase::Finished, told(report)),
            Err(IndexError::Stopped(_)) if self.total == 0 => {
                (Phase::Stopped, "stopped before any file was read".to_owned())
            }
            Err(IndexError::Stopped(_)) => {
                let (done, total) = (self.done, self.total);
                (Phase::Stopped, format!("stopped: {done} of {total} files are done, and stay"))
            }
            Err(error) => (Phase::Failed, error.to_string()),
        };
        self.state = state;
        self.sentence = Some(sentence);
        self.counts = outcome.ok().map(|report| Counts {
            found: report.found,
            added: report.added,
            changed: report.changed,
            moved: report.moved,
            unchanged: report.unchanged,
            removed: report.removed,
            failed: report.skipped.len() + report.skipped_before,
        });
    }
}

impl Worker {
    /// A worker that fits the hash to the images of the index when that is due, if there is a
    /// `fitter`.
    pub fn new(fitter: Option<Arc<dyn Fitter>>) -> Self {
        Self(Arc::new(Shared { fitter, ..Shared::default() }))
    }

    /// The work that is running, or was last.
    pub fn state(&self) -> State {
        self.0.state().clone()
    }

    /// Returns whether work is running.
    pub fn is_running(&self) -> bool {
        self.0.state().is_running()
    }

    /// Begins a job. Fails if one is running, or another program writes to the index.
    pub fn begin(&self, collection: &Arc<Collection>, job: Job) -> Result<State, Problem> {
        let mut state = self.0.state();
        if state.is_running() {
            let sentence = "folders are being indexed; wait until that is done, or stop it";
            return Err(Problem::new(409, sentence));
        }
        if self.0.closed.load(Ordering::Relaxed) {
            return Err(Problem::new(503, "the server is stopping"));
        }
        // Opened here, so that whoever asks is told if another program has it. Not created: the
        // index was there when the server started.
        let writer = IndexWriter::open_existing(collection.path())?;
        self.0.stop.store(false, Ordering::Relaxed);
        let begun = State {
            state: Phase::Running,
            folder: job.folder.clone(),
            known: job.known,
            ..State::default()
        };
        let (shared, collection) = (self.0.clone(), collection.clone());
        let work = move || shared.run(writer, &collection, &job);
        let thread = thread::Builder::new().name("index".to_owned()).spawn(work);
        thread.map_err(|error| Problem::internal(format!("no thread can be started: {error}")))?;
        *state = begun.clone();
        Ok(begun)
    }

    /// Stops the work after the batch that it is at, if any is running.
    pub fn stop(&self) -> State {
        let mut state = self.0.state();
        if state.state == Phase::Running {
            self.0.stop.store(true, Ordering::Relaxed);
            state.state = Phase::Stopping;
        }
        state.clone()
    }

    /// Stops the work, and lets none begin from now on.
    pub fn close(&self) {
        self.0.closed.store(true, Ordering::Relaxed);
        self.stop();
    }

    /// Waits until no work is running, or `deadline` is reached.
    pub fn wait(&self, deadline: Instant) {
        let left = deadline.saturating_duration_since(Instant::now());
        let running = |state: &mut State| state.is_running();
        // Whether it has ended makes no difference: what is written stays.
        drop(self.0.ended.wait_timeout_while(self.0.state(), left, running));
    }
}

impl Shared {
    /// No panic leaves a state half changed.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn run(&self, writer: IndexWriter, collection: &Collection, job: &Job) {
        let progress = |done, total| {
            let mut state = self.state();
            (state.done, state.total) = (done, total);
        };
        let task = Task::new(&progress, &self.stop);
        // A panic must cost one job, and not leave it running for ever.
        let done = catch_unwind(AssertUnwindSafe(|| {
            update(writer, collection, job, self.fitter.as_deref(), &task)
        }));
        let mut state = self.state();
        match done {
            Ok(outcome) => state.end(outcome),
            Err(_) => {
                state.state = Phase::Failed;
                state.sentence = Some("the server failed on this work".to_owned());
            }
        }
        drop(state);
        self.ended.notify_all();
    }
}

fn update(
    mut writer: IndexWriter,
    collection: &Collection,
    job: &Job,
    fitter: Option<&dyn Fitter>,
    task: &Task<'_>,
) -> Result<Update, IndexError> {
    let options = UpdateOptions::default().with_limits(job.limits);
    let options = if fitter.is_some() { options.with_fitting() } else { options };
    let updated = collection.model().and_then(|model| {
        let report = writer.update(&model, &job.update, &options, task)?;
        let due = writer.index().hash_state()? == HashState::Due;
        if let Some(fitter) = fitter.filter(|_| due) {
            match writer.refit(&model, fitter, task) {
                // The present hash goes on.
                Ok(_) | Err(IndexError::Fit(_)) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(report)
    });
    // Others may write again before the codes are read.
    drop(writer);
    let reloaded = collection.reload();
    let report = updated?;
    reloaded?;
    Ok(report)
}

/// The result of an update in one sentence, without the numbers that are 0.
fn told(report: &Update) -> String {
    let failed = report.skipped.len() + report.skipped_before;
    let counts = [
        (report.added, "added"),
        (report.changed, "changed"),
        (report.moved, "moved"),
        (report.removed, "removed"),
        (report.unchanged, "unchanged"),
    ];
    let mut parts: Vec<String> = Vec::new();
    for (count, what) in counts.into_iter().filter(|(count, _)| *count > 0) {
        // The noun once.
        let noun = match (parts.is_empty(), count) {
            (false, _) => "",
            (true, 1) => " image",
            (true, _) => " images",
        };
        parts.push(format!("{count}{noun} {what}"));
    }
    if failed > 0 {
        let noun = if failed == 1 { "file" } else { "files" };
        parts.push(format!("{failed} {noun} could not be used"));
    }
    let photos = report.left_out.unread_photos();
    let nothing = parts.is_empty() && report.absent.is_empty();
    let mut sentence = if nothing { "no images are there".to_owned() } else { parts.join(", ") };
    let absent = report.absent.iter().map(|folder| {
        format!("{} is missing or empty, so its images stay in the index", folder.display())
    });
    for more in photos.into_iter().chain(absent) {
        sentence = if sentence.is_empty() { more } else { format!("{sentence}; {more}") };
    }
    sentence
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_result_is_told_without_zeros() {
        let mut report = Update::default();
        assert_eq!(told(&report), "no images are there");
        report.added = 1;
        report.unchanged = 20;
        assert_eq!(told(&report), "1 image added, 20 unchanged");
        report.skipped_before = 1;
        report.absent.push("/p".into());
        assert_eq!(
            told(&report),
            "1 image added, 20 unchanged, 1 file could not be used; /p is missing or empty, so its images stay in the index"
        );
        let only = Update { absent: vec!["/p".into()], ..Update::default() };
        assert!(told(&only).starts_with("/p is missing"));
    }

    #[test]
    fn work_that_ended_says_how() {
        let running = State { state: Phase::Running, done: 3, total: 9, ..State::default() };
        let ended = |outcome| {
            let mut state = running.clone();
            state.end(outcome);
            assert!(!state.is_running());
            (state.state, state.sentence.unwrap())
        };
        let stopped = ended(Err(IndexError::Stopped(crate::task::Stopped)));
        let sentence = "stopped: 3 of 9 files are done, and stay".to_owned();
        assert_eq!(stopped, (Phase::Stopped, sentence));
        let failed = ended(Err(IndexError::NoModel("i.db".into())));
        assert!(failed.0 == Phase::Failed && failed.1.contains("i.db"), "{failed:?}");
        assert_eq!(ended(Ok(Update::default())).0, Phase::Finished);
    }
}
