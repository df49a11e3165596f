/*!
State that all rankers of one device share: compiled kernels and measured workgroup sizes.

It is kept with the opened device, so it is freed together with it.
*/

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::device::Gpu;

/// Compiled kernels by name and constants. Compiling one takes as long as many searches.
type Kernels = HashMap<(&'static str, [usize; 3]), wgpu::ComputePipeline>;
/// The fastest measured number of invocations per workgroup, by the number of 32-bit words
/// per code.
type Widths = HashMap<usize, usize>;

/// The shared state of a device.
#[derive(Debug, Default)]
pub struct Cache {
    kernels: Mutex<Kernels>,
    widths: Mutex<Widths>,
}

impl Cache {
    /// Returns the cache of a device; the first call creates it.
    pub fn of(gpu: &Gpu) -> Arc<Self> {
        gpu.state()
    }

    /// Locks the compiled kernels.
    pub fn kernels(&self) -> MutexGuard<'_, Kernels> {
        // A poisoned lock still guards whole entries.
        self.kernels.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Locks the measured workgroup sizes.
    pub fn widths(&self) -> MutexGuard<'_, Widths> {
        self.widths.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
