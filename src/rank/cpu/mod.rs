/*!
Ranking on the CPU. The database is split over the cores, so a single query uses them all,
and a batch of queries shares every block of codes that is loaded.

Each core claims chunks of the codes dynamically and processes them tile by tile, each tile
with all queries of the batch. Codes are thus loaded from memory once per batch and from
the L1 cache afterwards. The instruction set is selected at run time.
*/
// Vector intrinsics: each block states why it is sound, and every instruction set is tested
// against a plain sort.
#![allow(unsafe_code)]

pub mod ceiling;
mod kernel;
mod nearest;
mod portable;

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
#[cfg(target_arch = "aarch64")]
mod neon;

use std::fmt;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};

use rayon::prelude::*;

use super::lanes::{BLOCK, Lane, Lanes};
use super::{Neighbour, Want};
use crate::code::BinaryCodes;
use kernel::Tile;
use nearest::Nearest;

/// Bytes of codes in a tile: half of a small L1 cache.
const TILE: usize = 16 << 10;
/// Memory budget for the hits of one batch of queries on each core, in bytes.
const FOUND: usize = 1 << 20;
/// Minimum number of codes per core.
const LEAST_PART: usize = 1 << 14;
/// Chunks per core.
const CHUNKS: usize = 8;

/// An instruction set with a kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Path {
    /// AVX-512 with VPOPCNTDQ.
    #[cfg(target_arch = "x86_64")]
    Avx512,
    /// AVX2.
    #[cfg(target_arch = "x86_64")]
    Avx2,
    /// NEON.
    #[cfg(target_arch = "aarch64")]
    Neon,
    /// No special instructions: runs on any processor.
    Portable,
}

impl Path {
    /// Returns the fastest path that this processor supports.
    pub fn best() -> Self {
        Self::available().next().unwrap_or(Self::Portable)
    }

    /// Returns the paths that this processor supports, fastest first.
    pub fn available() -> impl Iterator<Item = Self> {
        let paths: &[Self] = &[
            #[cfg(target_arch = "x86_64")]
            Self::Avx512,
            #[cfg(target_arch = "x86_64")]
            Self::Avx2,
            #[cfg(target_arch = "aarch64")]
            Self::Neon,
            Self::Portable,
        ];
        paths.iter().copied().filter(|path| path.runs_here())
    }

    fn runs_here(self) -> bool {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => {
                is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512vpopcntdq")
            }
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => is_x86_feature_detected!("avx2"),
            #[cfg(target_arch = "aarch64")]
            Self::Neon => std::arch::is_aarch64_feature_detected!("neon"),
            Self::Portable => true,
        }
    }

    fn scan(self, tile: Tile<'_>, queries: &[u64], nearest: &mut [Nearest]) {
        // SAFETY: every `Path` comes from `available`, so the processor supports it.
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => unsafe { avx512::scan_avx512(tile, queries, nearest) },
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => unsafe { avx2::scan_avx2(tile, queries, nearest) },
            #[cfg(target_arch = "aarch64")]
            Self::Neon => unsafe { neon::scan_neon(tile, queries, nearest) },
            Self::Portable => portable::scan_portable(tile, queries, nearest),
        }
    }
}

impl Path {
    fn count(self, tile: Tile<'_>, queries: &[u64]) -> u64 {
        // SAFETY: every `Path` comes from `available`, so the processor supports it.
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => unsafe { avx512::count_avx512(tile, queries) },
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => unsafe { avx2::count_avx2(tile, queries) },
            #[cfg(target_arch = "aarch64")]
            Self::Neon => unsafe { neon::count_neon(tile, queries) },
            Self::Portable => portable::count_portable(tile, queries),
        }
    }
}

/// Distribution of the codes to the cores: in chunks, which are processed in tiles.
#[derive(Debug, Clone, Copy)]
struct Split {
    /// Number of cores that share the work.
    cores: usize,
    chunk_blocks: usize,
    tile_blocks: usize,
}

impl Split {
    fn new(codes: &Lanes) -> Self {
        let threads = rayon::current_num_threads();
        let cores = threads.min(codes.len().div_ceil(LEAST_PART)).max(1);
        // Several chunks per core, so that a core that is slowed down claims fewer of them.
        let chunk_blocks = codes.blocks().div_ceil(cores * CHUNKS).max(1).next_multiple_of(4);
        let tile_blocks = (TILE / (codes.words() * size_of::<Lane>())).max(4) / 4 * 4;
        Self { cores, chunk_blocks, tile_blocks }
    }

    /// Runs `work` on each core with an iterator over its tiles, in the order of ids.
    /// Returns the result of each core.
    fn run<T: Send>(
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

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => "AVX-512",
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => "AVX2",
            #[cfg(target_arch = "aarch64")]
            Self::Neon => "NEON",
            Self::Portable => "portable",
        })
    }
}

/// Returns the hits of each query. Queries and codes must have equal lengths.
pub fn search(
    path: Path,
    codes: &Lanes,
    queries: &BinaryCodes,
    want: &Want<'_>,
) -> Vec<Vec<Neighbour>> {
    let limit = want.radius + 1;
    let per_query = want.k.saturating_mul(16).saturating_add(limit as usize * 4 + 2048);
    let batch = (FOUND / per_query).clamp(4, 256);
    let mut hits = Vec::with_capacity(queries.len());
    for words in queries.words().chunks(batch * codes.words()) {
        search_batch(path, codes, words, want, limit, &mut hits);
    }
    hits
}

fn search_batch(
    path: Path,
    codes: &Lanes,
    queries: &[u64],
    want: &Want<'_>,
    limit: u32,
    hits: &mut Vec<Vec<Neighbour>>,
) {
    let count = queries.len() / codes.words();
    // For each query, the smallest distance within which some core has found k codes.
    let known: Vec<AtomicU32> = (0..count).map(|_| AtomicU32::new(u32::MAX - 1)).collect();
    let found = Split::new(codes).run(codes, |tiles| {
        let mut nearest: Vec<_> = (0..count).map(|_| Nearest::new(want.k, limit)).collect();
        for tile in tiles {
            nearest.iter_mut().zip(&known).for_each(|(nearest, known)| nearest.heed(known));
            path.scan(Tile { allowed: want.allowed, ..tile }, queries, &mut nearest);
            nearest.iter().zip(&known).for_each(|(nearest, known)| nearest.tell(known));
        }
        nearest
    });
    let mut places = Vec::new();
    hits.extend((0..count).map(|query| {
        let cores = || found.iter().map(|core| &core[query]);
        merge(cores, limit, want.k, &mut places)
    }));
}

/// Merges the codes that the cores kept into the `k` nearest. A counting sort by distance,
/// then each distance sorted by id (each core's codes already are).
fn merge<'a, I: ExactSizeIterator<Item = &'a Nearest>>(
    cores: impl Fn() -> I,
    limit: u32,
    k: usize,
    places: &mut Vec<usize>,
) -> Vec<Neighbour> {
    let kept = || cores().flat_map(Nearest::kept);
    places.clear();
    places.resize(limit as usize + 1, 0);
    kept().for_each(|hit| places[hit.distance as usize + 1] += 1);
    // Distances beyond that of the k-th hit are not needed.
    let mut levels = limit as usize;
    for level in 1..places.len() {
        places[level] += places[level - 1];
        if places[level] >= k {
            levels = level;
            break;
        }
    }
    let mut hits = vec![Neighbour { distance: 0, id: 0 }; places[levels]];
    for hit in kept().filter(|hit| (hit.distance as usize) < levels) {
        let place = &mut places[hit.distance as usize];
        hits[*place] = hit;
        *place += 1;
    }
    if cores().len() > 1 {
        hits.chunk_by_mut(|a, b| a.distance == b.distance).for_each(<[Neighbour]>::sort_unstable);
    }
    hits.truncate(k);
    hits
}

#[cfg(test)]
mod tests;
