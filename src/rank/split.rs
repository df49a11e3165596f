/*!
The share of each core in the codes.
*/

use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};

use rayon::prelude::*;

/// Bytes of codes in a tile: half of a small L1 cache.
const TILE: usize = 16 << 10;
/// Minimum number of codes per core.
const LEAST_PART: usize = 1 << 14;
/// Chunks per core.
const CHUNKS: usize = 8;

/// Distribution of blocks of codes to the cores: in chunks, which are processed in tiles.
#[derive(Debug, Clone, Copy)]
pub struct Split {
    /// Number of cores that share the work.
    cores: usize,
    blocks: usize,
    chunk_blocks: usize,
    tile_blocks: usize,
}

impl Split {
    /// Distributes `len` codes in blocks of `block` codes, `bytes` bytes each.
    pub fn new(len: usize, block: usize, bytes: usize) -> Self {
        let threads = rayon::current_num_threads();
        let cores = threads.min(len.div_ceil(LEAST_PART)).max(1);
        let blocks = len.div_ceil(block);
        // Several chunks per core, so that a core that is slowed down claims fewer of them.
        let chunk_blocks = blocks.div_ceil(cores * CHUNKS).max(1).next_multiple_of(4);
        let tile_blocks = (TILE / bytes).max(4) / 4 * 4;
        Self { cores, blocks, chunk_blocks, tile_blocks }
    }

    /// Runs `work` on each core with an iterator over the blocks of its tiles, in ascending
    /// order. Returns the result of each core.
    pub fn run<T: Send>(
        self,
        work: impl Fn(&mut dyn Iterator<Item = Range<usize>>) -> T + Sync,
    ) -> Vec<T> {
        let chunks = self.blocks.div_ceil(self.chunk_blocks);
        let next = AtomicUsize::new(0);
        let core = |_| {
            let claimed = std::iter::from_fn(|| {
                let chunk = next.fetch_add(1, Ordering::Relaxed);
                (chunk < chunks).then_some(chunk)
            });
            let mut tiles = claimed.flat_map(|chunk| {
                let first = chunk * self.chunk_blocks;
                let last = (first + self.chunk_blocks).min(self.blocks);
                let tiles = (first..last).step_by(self.tile_blocks);
                tiles.map(move |block| block..(block + self.tile_blocks).min(last))
            });
            work(&mut tiles)
        };
        match self.cores {
            1 => vec![core(0)],
            cores => (0..cores).into_par_iter().map(core).collect(),
        }
    }
}
