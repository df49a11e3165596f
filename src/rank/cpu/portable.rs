/*!
[`Vector`] without SIMD intrinsics, for all other processors.
*/

use super::super::lanes::{BLOCK, Lane};
use super::kernel::{Tile, Vector, count, scan};
use super::nearest::Nearest;

/// Eight numbers in an array.
#[derive(Clone, Copy)]
struct Plain([u64; BLOCK]);

impl Vector for Plain {
    type Sum = [u64; BLOCK];

    #[inline(always)]
    unsafe fn load(lane: &Lane) -> Self {
        Self(lane.0)
    }

    #[inline(always)]
    unsafe fn splat(word: u64) -> Self {
        Self([word; BLOCK])
    }

    #[inline(always)]
    unsafe fn zero() -> [u64; BLOCK] {
        [0; BLOCK]
    }

    #[inline(always)]
    unsafe fn add_differing(self, other: Self, mut sum: [u64; BLOCK]) -> [u64; BLOCK] {
        for (i, sum) in sum.iter_mut().enumerate() {
            *sum += u64::from((self.0[i] ^ other.0[i]).count_ones());
        }
        sum
    }

    #[inline(always)]
    unsafe fn distances(sum: [u64; BLOCK]) -> Self {
        Self(sum)
    }

    #[inline(always)]
    unsafe fn plus(self, other: Self) -> Self {
        Self(std::array::from_fn(|i| self.0[i] + other.0[i]))
    }

    #[inline(always)]
    unsafe fn least(self, other: Self) -> Self {
        Self(std::array::from_fn(|i| self.0[i].min(other.0[i])))
    }

    #[inline(always)]
    unsafe fn below(self, limit: Self) -> u8 {
        (0..BLOCK).fold(0, |mask, i| mask | u8::from(self.0[i] < limit.0[i]) << i)
    }

    #[inline(always)]
    unsafe fn store(self) -> [u64; BLOCK] {
        self.0
    }
}

/// [`scan`] on any processor.
pub fn scan_portable(tile: Tile<'_>, queries: &[u64], nearest: &mut [Nearest]) {
    // SAFETY: `Plain` uses no special instructions.
    unsafe {
        match tile.words {
            1 => scan::<Plain, 1, 1>(tile, queries, nearest),
            _ => scan::<Plain, 1, 0>(tile, queries, nearest),
        }
    }
}

/// [`count`] on any processor.
pub fn count_portable(tile: Tile<'_>, queries: &[u64]) -> u64 {
    // SAFETY: `Plain` uses no special instructions.
    unsafe {
        match tile.words {
            1 => count::<Plain, 1, 1>(tile, queries),
            _ => count::<Plain, 1, 0>(tile, queries),
        }
    }
}
