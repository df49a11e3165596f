/*!
The share of each core in the codes.
*/

use std::sync::atomic::{AtomicUsize, Ordering};

use rayon::prelude::*;

use super::super::lanes::{BLOCK, Lane, Lanes};
use super::kernel::Tile;

/// Bytes of codes in a tile: half of a small L1 cache.
const TILE: usize = 16 << 10;
/// Minimum number of codes per core.
const LEAST_PART: usize = 1 << 14;
/// Chunks per core.
const CHUNKS: usize = 8;

/// Distribution of the codes to the cores: in chunks, which are processed in tiles.
#[derive(Debug, Clone, Copy)]
pub struct Split {
    /// Number of cores that share the work.
    cores: usize,
    chunk_blocks: usize,
    tile_blocks: usize,
}

impl Split {
    pub fn new(codes: &Lanes) -> Self {
        let threads = rayon::current_num_threads();
        let cores = threads.min(codes.len().div_ceil(LEAST_PART)).max(1);
        // Several chunks per core, so that a core that is slowed down claims fewer of them.
        let chunk_blocks = codes.blocks().div_ceil(cores * CHUNKS).max(1).next_multiple_of(4);
        let tile_blocks = (TILE / (codes.words() * size_of::<Lane>())).max(4) / 4 * 4;
        Self { cores, chunk_blocks, tile_blocks }
    }

    /// Runs `work` on each core with an iterator over its tiles, in the order of ids.
    /// Returns the result of each core.
    pub fn run<T: Send>(
        self,
        codes: &Lanes,
        work: impl Fn(&mut dyn Iterator<Item = Tile<'_>>) -> T + Sync,
    ) -> Vec<T> {
        let words = codes.words();
        let chunks = codes.blocks().div_ceil(self.chunk_blocks);
        let next = AtomicUsize::new(0);
        let core = |_| {
            let claimed = std::iter::from_fn(|| {
                let chunk = next.fetch_add(1, Ordering::Relaxed);
                (chunk < chunks).then_some(chunk)
            });
            let mut tiles = claimed.flat_map(|chunk| {
                let first = chunk * self.chunk_blocks;
                let last = (first + self.chunk_blocks).min(codes.blocks());
                (first..last).step_by(self.tile_blocks).map(move |block| {
                    let end = (block + self.tile_blocks).min(last);
                    let lanes = &codes.lanes()[block * words..end * words];
                    let first_id = (block * BLOCK) as u32;
                    Tile { lanes, words, first_id, allowed: None, len: codes.len() }
                })
            });
            work(&mut tiles)
        };
        match self.cores {
            1 => vec![core(0)],
            cores => (0..cores).into_par_iter().map(core).collect(),
        }
    }
}
