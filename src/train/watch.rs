/*!
Progress reports of a training run.
*/

use serde::Serialize;

/// The report of an epoch: a line of the log.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct EpochReport {
    /// Outer iteration, from 1.
    pub outer: usize,
    /// Outer iterations of the whole run.
    pub of: usize,
    /// Epoch within the outer iteration, from 1.
    pub epoch: usize,
    /// Mean loss.
    pub loss: f32,
    /// Images shown since the start.
    pub images: usize,
    /// Seconds since training began, without computing the cache.
    pub seconds: f64,
    /// Learning rate of new layers at the end of the epoch.
    pub rate: f64,
    /// Whether parts were exchanged.
    pub exchange: bool,
}

/// The report before the first step.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Outlook {
    /// Images that will be shown.
    pub images: usize,
    /// Outer iterations.
    pub outer: usize,
    /// Epochs in each outer iteration.
    pub epochs: usize,
    /// Estimated memory for training, in bytes.
    pub memory: u64,
    /// Seconds per image of the timed steps, if the budget is in minutes.
    pub seconds_per_image: Option<f64>,
}

/// A receiver of reports. A closure receives only those of epochs.
pub trait Watcher {
    /// Called before the first step.
    fn begins(&mut self, _: &Outlook) {}
    /// Called after each epoch.
    fn epoch(&mut self, report: &EpochReport);
}

impl<F: FnMut(&EpochReport)> Watcher for F {
    fn epoch(&mut self, report: &EpochReport) {
        self(report);
    }
}
