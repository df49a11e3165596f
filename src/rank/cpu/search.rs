/*!
The instruction sets, and a search that shares the codes out among the cores.
*/

use std::fmt;
use std::sync::atomic::AtomicU32;

use super::super::instruction_set::InstructionSet;
use super::super::lanes::Lanes;
use super::super::query::{Neighbour, Want};
use super::kernel::Tile;
use super::nearest::Nearest;
#[cfg(target_arch = "aarch64")]
use super::neon;
use super::portable;
#[cfg(target_arch = "x86_64")]
use super::{avx2, avx512};
use crate::code::BinaryCodes;

/// Memory budget for the hits of one batch of queries on each core, in bytes.
const FOUND: usize = 1 << 20;

/// An instruction set of this processor that has a kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Path(InstructionSet);

impl Path {
    /// Returns the fastest path that this processor supports.
    pub fn best() -> Self {
        Self::available().next().unwrap_or(Self(InstructionSet::Portable))
    }

    /// Returns the paths that this processor supports, fastest first.
    pub fn available() -> impl Iterator<Item = Self> {
        #[cfg(target_arch = "x86_64")]
        let has_avx512 = is_x86_feature_detected!("avx512vpopcntdq");
        #[cfg(not(target_arch = "x86_64"))]
        let has_avx512 = false;
        InstructionSet::available(has_avx512).map(Self)
    }

    fn scan(self, tile: Tile<'_>, queries: &[u64], nearest: &mut [Nearest]) {
        // SAFETY: every `Path` comes from `available`, so the processor supports it.
        match self.0 {
            #[cfg(target_arch = "x86_64")]
            InstructionSet::Avx512 => unsafe { avx512::scan_avx512(tile, queries, nearest) },
            #[cfg(target_arch = "x86_64")]
            InstructionSet::Avx2 => unsafe { avx2::scan_avx2(tile, queries, nearest) },
            #[cfg(target_arch = "aarch64")]
            InstructionSet::Neon => unsafe { neon::scan_neon(tile, queries, nearest) },
            InstructionSet::Portable => portable::scan_portable(tile, queries, nearest),
        }
    }
}

impl Path {
    pub fn count(self, tile: Tile<'_>, queries: &[u64]) -> u64 {
        // SAFETY: every `Path` comes from `available`, so the processor supports it.
        match self.0 {
            #[cfg(target_arch = "x86_64")]
            InstructionSet::Avx512 => unsafe { avx512::count_avx512(tile, queries) },
            #[cfg(target_arch = "x86_64")]
            InstructionSet::Avx2 => unsafe { avx2::count_avx2(tile, queries) },
            #[cfg(target_arch = "aarch64")]
            InstructionSet::Neon => unsafe { neon::count_neon(tile, queries) },
            InstructionSet::Portable => portable::count_portable(tile, queries),
        }
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
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
    let found = codes.split().run(|tiles| {
        let mut nearest: Vec<_> = (0..count).map(|_| Nearest::new(want.k, limit)).collect();
        for tile in tiles {
            nearest.iter_mut().zip(&known).for_each(|(nearest, known)| nearest.heed(known));
            let tile = Tile { allowed: want.allowed, ..Tile::of(codes, tile) };
            path.scan(tile, queries, &mut nearest);
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
