/*!
The instruction sets, and a search that shares the codes out among the cores.
*/

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

use super::super::query::{ScoredNeighbour, WordTable};
use super::best::neighbour;
use super::blocks::{BLOCK, Blocks};
use super::kernel::Tile;
use super::line::Line;
#[cfg(target_arch = "aarch64")]
use super::neon;
use super::portable;
use super::sieve::Query;
#[cfg(target_arch = "x86_64")]
use super::{avx2, avx512};
use crate::rank::instruction_set::InstructionSet;

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
        let has_avx512 = is_x86_feature_detected!("avx512bw");
        #[cfg(not(target_arch = "x86_64"))]
        let has_avx512 = false;
        InstructionSet::available(has_avx512).map(Self)
    }

    fn scan(self, tile: &Tile<'_>, lines: &mut [Line<'_>]) {
        // SAFETY: every `Path` comes from `available`, so the processor supports it.
        match self.0 {
            #[cfg(target_arch = "x86_64")]
            InstructionSet::Avx512 => unsafe { avx512::scan_avx512(tile, lines) },
            #[cfg(target_arch = "x86_64")]
            InstructionSet::Avx2 => unsafe { avx2::scan_avx2(tile, lines) },
            #[cfg(target_arch = "aarch64")]
            InstructionSet::Neon => unsafe { neon::scan_neon(tile, lines) },
            InstructionSet::Portable => portable::scan_portable(tile, lines),
        }
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Returns the `k` best codes of each query, best first; `k` is at least 1. Tables and codes must
/// have equal numbers of words. `allowed` is a bitmap of the codes to search, the first eight in
/// the first byte.
pub fn search(
    path: Path,
    codes: &Blocks,
    tables: &[WordTable],
    k: usize,
    allowed: Option<&[u8]>,
) -> Vec<Vec<ScoredNeighbour>> {
    let per_query = k.saturating_mul(16).saturating_add(codes.height() * 32 + 512);
    let batch = (FOUND / per_query).clamp(4, 256);
    let batches = tables.chunks(batch);
    batches.flat_map(|tables| search_batch(path, codes, tables, k, allowed)).collect()
}

fn search_batch(
    path: Path,
    codes: &Blocks,
    tables: &[WordTable],
    k: usize,
    allowed: Option<&[u8]>,
) -> Vec<Vec<ScoredNeighbour>> {
    let queries: Vec<Query> = tables.iter().map(|table| Query::new(table, codes)).collect();
    // For each query, the greatest key of which some core has found k codes at least as good.
    let known: Vec<AtomicU64> = tables.iter().map(|_| AtomicU64::new(0)).collect();
    let found = codes.split().run(|tiles| {
        let mut lines: Vec<_> = queries.iter().map(|query| Line::new(query, k)).collect();
        for blocks in tiles {
            let first_id = (blocks.start * BLOCK) as u32;
            for (line, known) in lines.iter_mut().zip(&known) {
                line.best.heed(known.load(Ordering::Relaxed));
                line.sieve.narrow(line.query, line.best.bar(), first_id);
            }
            path.scan(&Tile { codes, blocks, allowed }, &mut lines);
            for (line, known) in lines.iter().zip(&known) {
                if line.best.bar() > known.load(Ordering::Relaxed) {
                    known.fetch_max(line.best.bar(), Ordering::Relaxed);
                }
            }
        }
        lines
    });
    let hits = |query: usize| {
        let mut keys: Vec<u64> = Vec::new();
        found.iter().for_each(|core| keys.extend(core[query].best.keys()));
        if keys.len() > k {
            keys.select_nth_unstable_by(k - 1, |a, b| b.cmp(a));
            keys.truncate(k);
        }
        keys.sort_unstable_by(|a, b| b.cmp(a));
        keys.into_iter().map(neighbour).collect()
    };
    (0..tables.len()).map(hits).collect()
}

#[cfg(test)]
mod tests;
