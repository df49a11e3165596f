/*!
The scan, written once for every instruction set.

A step takes a few blocks of codes and a few queries: each word of the codes is loaded
once for all queries of the step, each word of a query once for all blocks, and distances
stay in registers. The nearest of a step is compared with what still matters; that it
does is rare after the first few thousand codes, and only then are lanes looked at.
*/

use super::super::lanes::{BLOCK, Lane};
use super::nearest::Nearest;

/// Words of a code from which on one query's blocks are read one by one.
const IN_ORDER: usize = 2;
/// How many lanes ahead memory is asked for: 8 KiB.
pub const AHEAD: usize = 128;

/// Eight 64-bit lanes as an instruction set has them.
///
/// # Safety
/// All methods need the processor to have the instruction set of the implementation, and
/// get inlined into a function for which it is switched on.
pub trait Vector: Copy {
    /// Bits counted so far, in whatever form is quick to add to.
    type Sum: Copy;
    unsafe fn load(lane: &Lane) -> Self;
    /// Asks for a lane that is needed soon, and need not exist.
    #[inline(always)]
    unsafe fn prefetch(_: *const Lane) {}
    /// The same word in every lane.
    unsafe fn splat(word: u64) -> Self;
    unsafe fn zero() -> Self::Sum;
    /// `sum` and the set bits of `self ^ other`, for up to 16 words in all.
    unsafe fn add_differing(self, other: Self, sum: Self::Sum) -> Self::Sum;
    /// The sums as a number per lane, below 2³².
    unsafe fn distances(sum: Self::Sum) -> Self;
    /// The sum of each lane.
    unsafe fn plus(self, other: Self) -> Self;
    /// The lesser of each lane, of numbers below 2³².
    unsafe fn least(self, other: Self) -> Self;
    /// The lanes in which `self` is less, of numbers below 2³²; lane 0 is bit 0.
    unsafe fn below(self, limit: Self) -> u8;
    unsafe fn store(self) -> [u64; BLOCK];
}

/// A run of blocks, and which of their codes count.
#[derive(Clone, Copy)]
pub struct Tile<'a> {
    /// `words` lanes for each block.
    pub lanes: &'a [Lane],
    pub words: usize,
    pub first_id: u32,
    /// The codes of all blocks of the database that count, eight bits a block; `None`
    /// for all.
    pub allowed: Option<&'a [u8]>,
    /// Codes in the database: what is behind them does not count.
    pub len: usize,
}

impl Tile<'_> {
    /// Which codes of the block that begins with `first_id` count.
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

/// Offers every code of the tile to every query, `B` blocks and up to four queries a step.
///
/// `W` is the number of words of a code if it is known to the compiler, else 0. `queries`
/// has `tile.words` words for each of `nearest`.
///
/// # Safety
/// As [`Vector`].
#[inline(always)]
pub unsafe fn scan<V: Vector, const B: usize, const W: usize>(
    tile: Tile<'_>,
    queries: &[u64],
    nearest: &mut [Nearest],
) {
    let words = if W == 0 { tile.words } else { W };
    let mut queries = queries;
    let mut nearest = nearest;
    // SAFETY: as the caller promises.
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

/// The sum of all distances of the tile's codes to `queries`, in the steps of [`scan`] but
/// without looking for the nearest: what a scan cannot be faster than.
///
/// # Safety
/// As [`Vector`].
#[inline(always)]
pub unsafe fn count<V: Vector, const B: usize, const W: usize>(
    tile: Tile<'_>,
    queries: &[u64],
) -> u64 {
    let words = if W == 0 { tile.words } else { W };
    let step = B * words;
    let mut total = [0u64; BLOCK];
    // SAFETY: as the caller promises.
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

/// As [`scan`], for exactly `Q` queries.
#[inline(always)]
unsafe fn steps<V: Vector, const B: usize, const Q: usize, const W: usize>(
    tile: Tile<'_>,
    queries: &[u64],
    nearest: &mut [Nearest],
) {
    let words = if W == 0 { tile.words } else { W };
    let blocks = tile.lanes.len() / words;
    // One query waits for memory, and memory is quickest read in order: block by block
    // where a block is more than a lane.
    let whole = if Q == 1 && words >= IN_ORDER { 0 } else { blocks / B * B };
    // SAFETY: as the caller promises.
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
    // SAFETY: as the caller promises.
    unsafe {
        let mut limits: [V; Q] = std::array::from_fn(|q| V::splat(nearest[q].limit()));
        for (step, lanes) in lanes.chunks_exact(B * words).enumerate() {
            // One query waits for memory more than it computes.
            if Q == 1 {
                for lane in 0..lanes.len() {
                    V::prefetch(lanes.as_ptr().wrapping_add(AHEAD + lane));
                }
            }
            let sums = differing::<V, B, Q>(lanes, queries, words);
            // Loops, not `map`: of arrays of this size it becomes a call, and its results
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

/// Offers the codes of some blocks, those that `masks` name. Never part of the loop that
/// finds them, so that the loop keeps its distances in registers.
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

/// The differing bits of `B` blocks and `Q` queries.
///
/// # Safety
/// As [`Vector`]; `lanes` holds `B * words` lanes and `queries` `Q * words` words.
#[inline(always)]
pub unsafe fn differing<V: Vector, const B: usize, const Q: usize>(
    lanes: &[Lane],
    queries: &[u64],
    words: usize,
) -> [[V::Sum; B]; Q] {
    // SAFETY: as the caller promises; the indices are below the lengths named above.
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
