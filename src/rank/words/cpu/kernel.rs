/*!
The pass over the codes, generic over the instruction set.

A step processes a few registers of codes and a few queries. It loads the bytes of the codes once
for all queries, and each table once for all registers; the sums of bytes stay in registers. Codes
whose sums are within a query's limit are rare after the first few thousand, and only then are
they scored.
*/

use std::ops::Range;

use super::blocks::{BLOCK, Blocks, Row};
use super::line::Line;
use super::sieve::{GROUP, wide};

/// Prefetch distance in rows: 8 KiB.
const AHEAD: usize = 128;

/// The bytes of a register, implemented for each instruction set.
///
/// # Safety
/// The processor must support the instruction set of the implementation. The methods are
/// inlined into a function that enables it.
pub trait Vector: Copy {
    /// Bytes per register: a divisor of 64.
    const CODES: usize;
    /// A sum of 16 bits for each byte, in the form that is fastest to add to.
    type Sum: Copy;
    /// Loads [`Vector::CODES`] bytes, aligned to their number.
    unsafe fn load(bytes: *const u8) -> Self;
    /// Prefetches a row that is needed soon. The pointer may be out of bounds.
    #[inline(always)]
    unsafe fn prefetch(_: *const Row) {}
    /// Loads a table of 16 bytes.
    unsafe fn table(entries: *const u8) -> Self;
    unsafe fn zero() -> Self;
    /// The lower half of each byte.
    unsafe fn lower(self) -> Self;
    /// The upper half of each byte.
    unsafe fn upper(self) -> Self;
    /// Replaces each half byte by its entry in a table.
    unsafe fn look_up(self, table: Self) -> Self;
    /// Adds byte by byte; sums saturate at 255.
    unsafe fn plus(self, other: Self) -> Self;
    /// Bitmask of the bytes that are at most `limit`; the first byte is bit 0.
    unsafe fn up_to(self, limit: u8) -> u64;
    unsafe fn no_sum() -> Self::Sum;
    /// Adds each byte to its sum. At most 256 times, so that the sums do not overflow.
    unsafe fn add_to(self, sum: Self::Sum) -> Self::Sum;
    /// Bitmask of the sums that are at most `limit`; that of the first byte is bit 0.
    unsafe fn sums_up_to(sum: Self::Sum, limit: u16) -> u64;
}

/// The sums of the bytes of some codes.
#[derive(Clone, Copy)]
struct Sums<V: Vector, const WIDE: bool> {
    /// The sum, or that of the present group of rows.
    bytes: V,
    /// The sum of the groups before, if sums are wide.
    groups: V::Sum,
}

impl<V: Vector, const WIDE: bool> Sums<V, WIDE> {
    #[inline(always)]
    unsafe fn zero() -> Self {
        // SAFETY: guaranteed by the caller.
        unsafe { Self { bytes: V::zero(), groups: V::no_sum() } }
    }

    #[inline(always)]
    unsafe fn plus(self, bytes: V) -> Self {
        // SAFETY: guaranteed by the caller.
        unsafe { Self { bytes: self.bytes.plus(bytes), ..self } }
    }

    /// Ends a group of rows.
    #[inline(always)]
    unsafe fn next_group(self) -> Self {
        // SAFETY: guaranteed by the caller.
        unsafe { Self { bytes: V::zero(), groups: self.bytes.add_to(self.groups) } }
    }

    /// Bitmask of the sums that are at most `limit`; that of the first code is bit 0.
    #[inline(always)]
    unsafe fn up_to(self, limit: u16) -> u64 {
        // SAFETY: guaranteed by the caller.
        unsafe {
            if WIDE { V::sums_up_to(self.groups, limit) } else { self.bytes.up_to(limit as u8) }
        }
    }
}

/// A run of consecutive blocks, and the filter on their codes.
#[derive(Clone)]
pub struct Tile<'a> {
    pub codes: &'a Blocks,
    pub blocks: Range<usize>,
    /// Bitmap of the codes to search; `None` for all.
    pub allowed: Option<&'a [u8]>,
}

impl Tile<'_> {
    /// Bitmask of the codes of a block to search.
    fn counts(&self, block: usize) -> u64 {
        let left = self.codes.len() - block * BLOCK;
        let real = if left >= BLOCK { u64::MAX } else { (1 << left) - 1 };
        let Some(allowed) = self.allowed else { return real };
        let bytes = allowed.iter().skip(block * 8).take(8).rev();
        bytes.fold(0, |mask, byte| mask << 8 | u64::from(*byte)) & real
    }
}

/// Offers every code of the tile to every query: `N` registers and up to four queries per step,
/// or `ONE` registers and one query. Memory is fastest when it is read in order, block by block.
///
/// # Safety
/// See [`Vector`]. The registers of a step are whole blocks.
#[inline(always)]
pub unsafe fn scan<V: Vector, const N: usize, const ONE: usize>(
    tile: &Tile<'_>,
    lines: &mut [Line<'_>],
) {
    // SAFETY: guaranteed by the caller.
    unsafe {
        match wide(tile.codes) {
            true => scan_sums::<V, N, ONE, true>(tile, lines),
            false => scan_sums::<V, N, ONE, false>(tile, lines),
        }
    }
}

/// Like [`scan`], for sums of 16 bits or of 8.
#[inline(always)]
unsafe fn scan_sums<V: Vector, const N: usize, const ONE: usize, const WIDE: bool>(
    tile: &Tile<'_>,
    lines: &mut [Line<'_>],
) {
    let mut lines = lines;
    // SAFETY: guaranteed by the caller.
    unsafe {
        while lines.len() >= 4 {
            let (group, rest) = lines.split_at_mut(4);
            steps::<V, N, 4, WIDE>(tile, group);
            lines = rest;
        }
        if lines.len() >= 2 {
            let (group, rest) = lines.split_at_mut(2);
            steps::<V, N, 2, WIDE>(tile, group);
            lines = rest;
        }
        if !lines.is_empty() {
            steps::<V, ONE, 1, WIDE>(tile, lines);
        }
    }
}

/// Like [`scan_sums`], for exactly `Q` queries.
#[inline(always)]
unsafe fn steps<V: Vector, const N: usize, const Q: usize, const WIDE: bool>(
    tile: &Tile<'_>,
    lines: &mut [Line<'_>],
) {
    let (each, height) = (N * V::CODES / BLOCK, tile.codes.height());
    let registers = BLOCK / V::CODES;
    let whole = tile.blocks.start + tile.blocks.len() / each * each;
    let mut block = tile.blocks.start;
    // SAFETY: guaranteed by the caller.
    unsafe {
        while block < whole {
            let rows = &tile.codes.rows()[block * height..(block + each) * height];
            let sums = sums::<V, N, Q, WIDE>(rows, height, lines);
            let mut near = [0u64; Q];
            for q in 0..Q {
                for sum in sums[q] {
                    near[q] |= sum.up_to(lines[q].sieve.limit());
                }
            }
            if near.iter().fold(0, |all, near| all | near) != 0 {
                for q in 0..Q {
                    for b in 0..each {
                        let mut mask = 0;
                        for r in 0..registers {
                            let sum = sums[q][b * registers + r];
                            mask |= sum.up_to(lines[q].sieve.limit()) << (r * V::CODES % BLOCK);
                        }
                        if mask != 0 {
                            offer(tile, block + b, mask, &mut lines[q]);
                        }
                    }
                }
            }
            block += each;
        }
    }
    // The last blocks are fewer than a step.
    while block < tile.blocks.end {
        for line in &mut *lines {
            offer(tile, block, u64::MAX, line);
        }
        block += 1;
    }
    lines.iter_mut().for_each(|line| line.settle(tile.codes));
}

/// Scores the codes of a block whose bits in `mask` are set. Never inlined into the scanning
/// loop, so that the loop keeps its sums in registers.
#[cold]
#[inline(never)]
fn offer(tile: &Tile<'_>, block: usize, mask: u64, line: &mut Line<'_>) {
    let mask = mask & tile.counts(block);
    if mask != 0 {
        line.score(tile.codes, block, mask);
    }
}

/// Sums up the bytes of `N` registers for `Q` queries.
///
/// # Safety
/// See [`Vector`]; `rows` holds the blocks of the registers, and the tables of each line have 32
/// bytes for each of `height` rows.
#[inline(always)]
unsafe fn sums<V: Vector, const N: usize, const Q: usize, const WIDE: bool>(
    rows: &[Row],
    height: usize,
    lines: &[Line<'_>],
) -> [[Sums<V, WIDE>; N]; Q] {
    // SAFETY: guaranteed by the caller.
    unsafe {
        let mut sums = [[Sums::<V, WIDE>::zero(); N]; Q];
        let tables: [*const u8; Q] = std::array::from_fn(|q| lines[q].sieve.tables().as_ptr());
        // Rows within a group in a loop of their own, so that sums of 16 bits need not stay in
        // registers.
        let group = if WIDE { GROUP } else { height };
        for first in (0..height).step_by(group) {
            for row in first..(first + group).min(height) {
                let (mut lower, mut upper) = ([V::zero(); N], [V::zero(); N]);
                for n in 0..N {
                    let at = n * V::CODES;
                    let row = rows.as_ptr().add(at / BLOCK * height + row);
                    // One query is memory-bound.
                    if Q == 1 && at % BLOCK == 0 {
                        V::prefetch(row.wrapping_add(AHEAD));
                    }
                    let bytes = V::load(row.cast::<u8>().add(at % BLOCK));
                    (lower[n], upper[n]) = (bytes.lower(), bytes.upper());
                }
                for q in 0..Q {
                    let table = V::table(tables[q].add(row * 32));
                    for n in 0..N {
                        sums[q][n] = sums[q][n].plus(lower[n].look_up(table));
                    }
                    let table = V::table(tables[q].add(row * 32 + 16));
                    for n in 0..N {
                        sums[q][n] = sums[q][n].plus(upper[n].look_up(table));
                    }
                }
            }
            if WIDE {
                // Not flattened, which is not unrolled.
                for sums in &mut sums {
                    for sum in sums {
                        *sum = sum.next_group();
                    }
                }
            }
        }
        sums
    }
}
