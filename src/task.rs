/*!
Long work seen from outside: how far it is, and how to stop it.

The library never prints and installs no signal handler; whoever calls it passes a
[`Task`] and decides what to show.
*/

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};

/// Follows one piece of long work.
#[derive(Clone, Copy)]
pub struct Task<'a> {
    progress: &'a (dyn Fn(usize, usize) + Sync),
    stop: &'a AtomicBool,
}

/// The work was stopped because [`Task`]'s flag was raised.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("stopped on request; what was finished before is kept")]
pub struct Stopped;

static NEVER: AtomicBool = AtomicBool::new(false);

impl<'a> Task<'a> {
    /// `progress` is told (done, total) after each step, with a total of 0 as long as nobody
    /// knows how many there will be; raising `stop` ends the work before its next step.
    pub fn new(progress: &'a (dyn Fn(usize, usize) + Sync), stop: &'a AtomicBool) -> Self {
        Self { progress, stop }
    }

    /// Nobody looks, nobody stops it.
    pub fn unwatched() -> Task<'static> {
        Task { progress: &|_, _| (), stop: &NEVER }
    }

    /// Reports `done` of `total` steps.
    ///
    /// # Errors
    /// [`Stopped`] when the work is to end here.
    pub fn step(&self, done: usize, total: usize) -> Result<(), Stopped> {
        (self.progress)(done, total);
        if self.stop.load(Ordering::Relaxed) { Err(Stopped) } else { Ok(()) }
    }

    /// Reports `done` steps of a number that is not known yet: a total of 0.
    ///
    /// # Errors
    /// [`Stopped`] when the work is to end here.
    pub fn count(&self, done: usize) -> Result<(), Stopped> {
        self.step(done, 0)
    }
}

impl fmt::Debug for Task<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Task").field("stop", self.stop).finish_non_exhaustive()
    }
}
