/*!
Reports of a training run to whoever watches it.
*/

use serde::Serialize;

/// The report of an epoch: a line of the log.
#[derive(Debug, Clone, Serialize)]
pub struct EpochReport {
    /// Outer iteration, from 1.
    pub outer: usize,
    /// Outer iterations of the whole run.
    pub of: usize,
    /// Epoch within it, from 1.
    pub epoch: usize,
    /// Mean loss.
    pub loss: f32,
    /// Images shown since the start.
    pub images: usize,
    /// Seconds since training began, the cache not included.
    pub seconds: f64,
    /// Learning rate of new layers at the end.
    pub rate: f64,
    /// Whether parts were exchanged.
    pub exchange: bool,
}

/// The outlook before the first step.
#[derive(Debug, Clone, PartialEq)]
pub struct Outlook {
    /// Images that will be shown.
    pub images: usize,
    /// Outer iterations.
    pub outer: usize,
    /// Epochs in each.
    pub epochs: usize,
    /// About how much memory training takes, in bytes.
    pub memory: u64,
    /// Seconds per image of the steps that were timed, where minutes were asked for.
    pub seconds_per_image: Option<f64>,
}

/// A watcher of a training run. A closure gets the epochs only.
pub trait Watcher {
    /// Before the first step.
    fn begins(&mut self, _: &Outlook) {}
    /// After each epoch.
    fn epoch(&mut self, report: &EpochReport);
}

impl<F: FnMut(&EpochReport)> Watcher for F {
    fn epoch(&mut self, report: &EpochReport) {
        self(report);
    }
}
