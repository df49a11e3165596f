/*!
Progress and cancellation of long work.

The library never prints and installs no signal handler. The caller passes a [`Task`] and decides
what to display.
*/

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};

/// Callbacks of one long operation: a progress function and a stop flag.
#[derive(Clone, Copy)]
pub struct Task<'a> {
    progress: &'a (dyn Fn(usize, usize) + Sync),
    stop: &'a AtomicBool,
}

/// The work was stopped because the stop flag of its [`Task`] was set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("stopped on request; finished work is kept")]
pub struct Stopped;

static NEVER: AtomicBool = AtomicBool::new(false);

impl<'a> Task<'a> {
    /// Creates a task that calls `progress` with (done, total) after each step; a total of 0 means
    /// that it is not known yet. Setting `stop` ends the work before its next step.
    pub fn new(progress: &'a (dyn Fn(usize, usize) + Sync), stop: &'a AtomicBool) -> Self {
        Self { progress, stop }
    }

    /// Returns a task that ignores progress and is never stopped.
    pub fn unwatched() -> Task<'static> {
        Task { progress: &|_, _| (), stop: &NEVER }
    }

    /// Reports `done` of `total` steps.
    ///
    /// # Errors
    /// [`Stopped`] if the stop flag is set.
    pub fn step(&self, done: usize, total: usize) -> Result<(), Stopped> {
        (self.progress)(done, total);
        if self.stop.load(Ordering::Relaxed) { Err(Stopped) } else { Ok(()) }
    }

    /// Reports `done` steps of an unknown total, passed as 0.
    ///
    /// # Errors
    /// [`Stopped`] if the stop flag is set.
    pub fn count(&self, done: usize) -> Result<(), Stopped> {
        self.step(done, 0)
    }
}

impl fmt::Debug for Task<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Task").field("stop", self.stop).finish_non_exhaustive()
    }
}
