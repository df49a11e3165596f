/*!
The scan, generic over the instruction set.

A step processes a few blocks of codes and a few queries. It loads each word of the codes
once for all queries, and each word of a query once for all blocks; distances stay in
registers. The smallest distance of a step is compared with the query's current limit.
After the first few thousand codes it is rarely below, and only then are the lanes examined
one by one.
*/

use std::ops::Range;

use super::super::lanes::{BLOCK, Lane, Lanes};
use super::nearest::Nearest;

/// From this number of words per code on, the blocks of a single query are read one by one.
const IN_ORDER: usize = 2;
/// Prefetch distance in lanes: 8 KiB.
pub const AHEAD: usize = 128;

/// Eight 64-bit lanes, implemented for each instruction set.
///
/// # Safety
/// The processor must support the instruction set of the implementation. The methods are
/// inlined into a function that enables it.
pub trait Vector: Copy {
    /// The bit counts so far, in the form that is fastest to add to.
    type Sum: Copy;
    unsafe fn load(lane: &Lane) -> Self;
    /// Prefetches a lane that is needed soon. The pointer may be out of bounds.
    #[inline(always)]
    unsafe fn prefetch(_: *const Lane) {}
    /// Returns a vector with `word` in every lane.
    unsafe fn splat(word: u64) -> Self;
    unsafe fn zero() -> Self::Sum;
    /// Adds the set bits of `self ^ other` to `sum`. At most 16 words can be added.
    unsafe fn add_differing(self, other: Self, sum: Self::Sum) -> Self::Sum;
    /// Converts the counts to one number per lane, below 2³².
    unsafe fn distances(sum: Self::Sum) -> Self;
    /// Adds lane by lane.
    unsafe fn plus(self, other: Self) -> Self;
    /// The minimum of each lane, for numbers below 2³².
    unsafe fn least(self, other: Self) -> Self;
    /// Bitmask of the lanes in which `self < limit`, for numbers below 2³²; lane 0 is bit 0.
    unsafe fn below(self, limit: Self) -> u8;
    unsafe fn store(self) -> [u64; BLOCK];
}

/// A run of consecutive blocks, and the filter on their codes.
#[derive(Clone, Copy)]
pub struct Tile<'a> {
    /// `words` lanes per block.
    pub lanes: &'a [Lane],
    pub words: usize,
    pub first_id: u32,
    /// Bitmap of the codes of the whole database to search, eight bits per block; `None` for
    /// all.
    pub allowed: Option<&'a [u8]>,
    /// Number of codes in the database. The rest of the last block is padding.
    pub len: usize,
}

impl<'a> Tile<'a> {
    /// Returns a run of blocks, without a filter.
    pub fn of(codes: &'a Lanes, blocks: Range<usize>) -> Self {
        let words = codes.words();
        let lanes = &codes.lanes()[blocks.start * words..blocks.end * words];
        let first_id = (blocks.start * BLOCK) as u32;
        Self { lanes, words, first_id, allowed: None, len: codes.len() }
    }

    /// Bitmask of the codes to search in the block that begins with `first_id`.
    #[inline(always)]
    fn counts(&self, first_id: u32) -> u8 {
        let block = first_id as usize / BLOCK;
        let left = self.len - first_id as usize;
        let real = if left >= BLOCK { u8::MAX } else { (1 << left) - 1 };
        match self.allowed {
            Some(allowed) => allowed.get(block).copied().unwrap_or(0) & real,
            None => real,
        }
    }

    fn skip(&self, blocks: usize) -> Self {
        let first_id = self.first_id + (blocks * BLOCK) as u32;
        Self { lanes: &self.lanes[blocks * self.words..], first_id, ..*self }
    }
}

/// Offers every code of the tile to every query, `B` blocks and up to four queries per step.
///
/// `W` is the number of words per code if known at compile time, else 0. `queries` has
/// `tile.words` words for each of `nearest`.
///
/// # Safety
/// See [`Vector`].
#[inline(always)]
pub unsafe fn scan<V: Vector, const B: usize, const W: usize>(
    tile: Tile<'_>,
    queries: &[u64],
    nearest: &mut [Nearest],
) {
    let words = if W == 0 { tile.words } else { W };
    let mut queries = queries;
    let mut nearest = nearest;
    // SAFETY: guaranteed by the caller.
    unsafe {
        while nearest.len() >= 4 {
            let (group, rest) = nearest.split_at_mut(4);
            steps::<V, B, 4, W>(tile, &queries[..4 * words], group);
            (nearest, queries) = (rest, &queries[4 * words..]);
        }
        match nearest.len() {
            3 => {
                let (group, rest) = nearest.split_at_mut(2);
                steps::<V, B, 2, W>(tile, &queries[..2 * words], group);
                steps::<V, B, 1, W>(tile, &queries[2 * words..], rest);
            }
            2 => steps::<V, B, 2, W>(tile, queries, nearest),
            1 => steps::<V, B, 1, W>(tile, queries, nearest),
            _ => (),
        }
    }
}

/// Returns the sum of all distances of the tile's codes to `queries`. Uses the steps of
/// [`scan`] without searching for the nearest: a lower bound on the time of a scan.
///
/// # Safety
/// See [`Vector`].
#[inline(always)]
pub unsafe fn count<V: Vector, const B: usize, const W: usize>(
    tile: Tile<'_>,
    queries: &[u64],
) -> u64 {
    let words = if W == 0 { tile.words } else { W };
    let step = B * words;
    let mut total = [0u64; BLOCK];
    // SAFETY: guaranteed by the caller.
    unsafe {
        for queries in queries.chunks_exact(4 * words) {
            let mut sums = [[V::splat(0); B]; 4];
            let mut steps = tile.lanes.chunks_exact(step);
            for lanes in &mut steps {
                let differing = differing::<V, B, 4>(lanes, queries, words);
                for (sums, differing) in sums.iter_mut().zip(differing) {
                    for (sum, differing) in sums.iter_mut().zip(differing) {
                        *sum = sum.plus(V::distances(differing));
                    }
                }
            }
            for lanes in steps.remainder().chunks_exact(words) {
                let differing = differing::<V, 1, 4>(lanes, queries, words);
                for (sums, differing) in sums.iter_mut().zip(differing) {
                    sums[0] = sums[0].plus(V::distances(differing[0]));
                }
            }
            for sum in sums.iter().flatten() {
                total.iter_mut().zip(sum.store()).for_each(|(total, sum)| *total += sum);
            }
        }
    }
    total.iter().sum()
}

/// Like [`scan`], for exactly `Q` queries.
#[inline(always)]
unsafe fn steps<V: Vector, const B: usize, const Q: usize, const W: usize>(
    tile: Tile<'_>,
    queries: &[u64],
    nearest: &mut [Nearest],
) {
    let words = if W == 0 { tile.words } else { W };
    let blocks = tile.lanes.len() / words;
    // A single query is memory-bound, and memory is fastest when read in order: block by
    // block if a block has several lanes.
    let whole = if Q == 1 && words >= IN_ORDER { 0 } else { blocks / B * B };
    // SAFETY: guaranteed by the caller.
    unsafe {
        some_steps::<V, B, Q, W>(tile, whole, queries, nearest);
        if whole < blocks {
            some_steps::<V, 1, Q, W>(tile.skip(whole), blocks - whole, queries, nearest);
        }
    }
}

#[inline(always)]
unsafe fn some_steps<V: Vector, const B: usize, const Q: usize, const W: usize>(
    tile: Tile<'_>,
    blocks: usize,
    queries: &[u64],
    nearest: &mut [Nearest],
) {
    let words = if W == 0 { tile.words } else { W };
    assert!(nearest.len() == Q && queries.len() == Q * words);
    let lanes = &tile.lanes[..blocks * words];
    // SAFETY: guaranteed by the caller.
    unsafe {
        let mut limits: [V; Q] = std::array::from_fn(|q| V::splat(nearest[q].limit()));
        for (step, lanes) in lanes.chunks_exact(B * words).enumerate() {
            // A single query is memory-bound.
            if Q == 1 {
                for lane in 0..lanes.len() {
                    V::prefetch(lanes.as_ptr().wrapping_add(AHEAD + lane));
                }
            }
            let sums = differing::<V, B, Q>(lanes, queries, words);
            // Loops, not `map`: for arrays of this size `map` is not inlined, and its results
            // go through memory.
            let mut distances = [[V::splat(0); B]; Q];
            for q in 0..Q {
                for b in 0..B {
                    distances[q][b] = V::distances(sums[q][b]);
                }
            }
            let mut near = [0u8; Q];
            for q in 0..Q {
                let mut least = distances[q][0];
                for other in &distances[q][1..] {
                    least = least.least(*other);
                }
                near[q] = least.below(limits[q]);
            }
            if near.iter().fold(0, |all, near| all | near) == 0 {
                continue;
            }
            for q in 0..Q {
                if near[q] == 0 {
                    continue;
                }
                let mut masks = [0; B];
                let mut stored = [[0; BLOCK]; B];
                for b in 0..B {
                    masks[b] = distances[q][b].below(limits[q]);
                    stored[b] = distances[q][b].store();
                }
                let first_id = tile.first_id + (step * B * BLOCK) as u32;
                offer(&tile, first_id, &stored, &masks, &mut nearest[q]);
                limits[q] = V::splat(nearest[q].limit());
            }
        }
    }
}

/// Offers the codes of some blocks whose bits in `masks` are set. Never inlined into the
/// scanning loop, so that the loop keeps its distances in registers.
#[cold]
#[inline(never)]
fn offer(
    tile: &Tile<'_>,
    mut first_id: u32,
    distances: &[[u64; BLOCK]],
    masks: &[u8],
    nearest: &mut Nearest,
) {
    for (distances, mask) in distances.iter().zip(masks) {
        if *mask != 0 {
            nearest.offer(distances, mask & tile.counts(first_id), first_id);
        }
        first_id += BLOCK as u32;
    }
}

/// Counts the differing bits between `B` blocks and `Q` queries.
///
/// # Safety
/// See [`Vector`]; `lanes` holds `B * words` lanes and `queries` `Q * words` words.
#[inline(always)]
pub unsafe fn differing<V: Vector, const B: usize, const Q: usize>(
    lanes: &[Lane],
    queries: &[u64],
    words: usize,
) -> [[V::Sum; B]; Q] {
    // SAFETY: guaranteed by the caller; the indices are below the lengths named above.
    unsafe {
        let mut sums = [[V::zero(); B]; Q];
        for word in 0..words {
            let codes: [V; B] =
                std::array::from_fn(|b| V::load(lanes.get_unchecked(b * words + word)));
            for (q, sums) in sums.iter_mut().enumerate() {
                let query = V::splat(*queries.get_unchecked(q * words + word));
                for (code, sum) in codes.iter().zip(sums) {
                    *sum = code.add_differing(query, *sum);
                }
            }
        }
        sums
    }
}
