/*!
Buffers that the layers of one forward pass share, so that maps stay in cache and no memory is zeroed
or mapped again for each layer.
*/

use std::ops::{Deref, DerefMut};
use std::sync::{Mutex, PoisonError};

/// Buffers that are not in use.
#[derive(Debug)]
pub(in crate::trunk) struct Buffers {
    free: Mutex<Vec<Vec<f32>>>,
    /// Threads that share out the work on one image.
    pub threads: usize,
}

/// A slice of numbers in a buffer.
#[derive(Debug)]
pub(in crate::trunk) struct Buffer {
    values: Vec<f32>,
    len: usize,
}

impl Buffers {
    /// Begins without buffers, for this many images that are processed at the same time.
    pub fn new(images: usize) -> Self {
        let threads = rayon::current_num_threads() / images.max(1);
        Self { free: Mutex::default(), threads: threads.max(1) }
    }

    /// Takes a buffer of `len` numbers, which may have any values.
    pub fn take(&self, len: usize) -> Buffer {
        let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        let fits = |buffer: &&(usize, usize)| buffer.1 >= len;
        let sizes: Vec<(usize, usize)> =
            free.iter().enumerate().map(|(at, buffer)| (at, buffer.len())).collect();
        let least = sizes.iter().filter(fits).min_by_key(|(_, size)| *size);
        let best = least.or(sizes.iter().max_by_key(|(_, size)| *size)).map(|(at, _)| *at);
        let mut values = best.map(|at| free.swap_remove(at)).unwrap_or_default();
        drop(free);
        if values.len() < len {
            values.resize(len, 0.0);
        }
        Buffer { values, len }
    }

    /// Gives a buffer back.
    pub fn give(&self, buffer: Buffer) {
        self.free.lock().unwrap_or_else(PoisonError::into_inner).push(buffer.values);
    }
}

impl Buffer {
    /// Returns the numbers.
    pub fn into_vec(self) -> Vec<f32> {
        let mut values = self.values;
        values.truncate(self.len);
        values
    }
}

impl Deref for Buffer {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        &self.values[..self.len]
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [f32] {
        &mut self.values[..self.len]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_smallest_buffer_that_fits_is_taken() {
        let buffers = Buffers::new(1);
        let (large, small) = (buffers.take(100), buffers.take(10));
        buffers.give(large);
        buffers.give(small);
        let taken = buffers.take(8);
        assert_eq!((taken.len(), taken.values.len()), (8, 10));
        let other = buffers.take(200);
        assert_eq!((other.len(), other.values.len()), (200, 200));
        assert_eq!(taken.into_vec().len(), 8);
    }
}
