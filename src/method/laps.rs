/*!
A stopwatch for the parts of a training step.
*/

use std::time::{Duration, Instant};

use crate::cause::in_detail;
use crate::device::Device;
use crate::encoder::EncodeError;

/// The timed parts of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lap {
    /// Waiting for a mini-batch, and moving it to the device.
    Data,
    /// The stem forward.
    Stem,
    /// The attention forward.
    Attention,
    /// All refine passes forward.
    Refine,
    /// The loss forward, including the linear layer.
    Loss,
    /// All backward passes.
    Backward,
    /// The optimiser.
    Update,
}

/// The stopwatch.
#[derive(Debug, Clone)]
pub struct Laps {
    /// The device that computes.
    pub device: Device,
    /// Whether it is running. If so, it waits for the device after each part.
    running: bool,
    last: Instant,
    /// The time of each [`Lap`].
    pub times: [Duration; 7],
}

impl Laps {
    /// Creates a stopwatch that is off and costs nothing.
    pub fn off(device: &Device) -> Self {
        Self {
            device: device.clone(),
            running: false,
            last: Instant::now(),
            times: [Duration::ZERO; 7],
        }
    }

    /// Creates a running stopwatch.
    pub fn on(device: &Device) -> Self {
        Self { running: true, ..Self::off(device) }
    }

    /// Adds the time since the last call to `lap`.
    ///
    /// # Errors
    /// If the device fails.
    pub fn end(&mut self, lap: Lap) -> Result<(), EncodeError> {
        if self.running {
            let synced = self.device.burn().sync();
            synced.map_err(|error| EncodeError::Device {
                device: self.device.to_string(),
                reason: in_detail(error),
            })?;
            let now = Instant::now();
            self.times[lap as usize] += now - self.last;
            self.last = now;
        }
        Ok(())
    }
}
