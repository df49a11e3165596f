/*!
[`Vector`] for 64-bit ARM: eight lanes are four NEON registers. Bits are counted per byte,
and the counts are widened only after all words of a code.
*/

use std::arch::aarch64::*;

use super::super::lanes::{BLOCK, Lane};
use super::kernel::{Tile, Vector, count, scan};
use super::nearest::Nearest;

#[derive(Clone, Copy)]
pub struct Four([uint64x2_t; 4]);

// SAFETY of every block below: the trait's caller guarantees NEON, and every pointer refers
// to two whole words of a `Lane`.
impl Vector for Four {
    /// Counts per byte: 16 words give at most 128.
    type Sum = [uint8x16_t; 4];

    #[inline(always)]
    unsafe fn load(lane: &Lane) -> Self {
        let at = lane.0.as_ptr();
        Self(std::array::from_fn(|i| unsafe { vld1q_u64(at.add(2 * i)) }))
    }

    #[inline(always)]
    unsafe fn splat(word: u64) -> Self {
        Self([unsafe { vdupq_n_u64(word) }; 4])
    }

    #[inline(always)]
    unsafe fn zero() -> [uint8x16_t; 4] {
        [unsafe { vdupq_n_u8(0) }; 4]
    }

    #[inline(always)]
    unsafe fn add_differing(self, other: Self, sum: [uint8x16_t; 4]) -> [uint8x16_t; 4] {
        std::array::from_fn(|i| unsafe {
            let differing = vreinterpretq_u8_u64(veorq_u64(self.0[i], other.0[i]));
            vaddq_u8(sum[i], vcntq_u8(differing))
        })
    }

    #[inline(always)]
    unsafe fn distances(sum: [uint8x16_t; 4]) -> Self {
        Self(sum.map(|sum| unsafe { vpaddlq_u32(vpaddlq_u16(vpaddlq_u8(sum))) }))
    }

    #[inline(always)]
    unsafe fn plus(self, other: Self) -> Self {
        Self(std::array::from_fn(|i| unsafe { vaddq_u64(self.0[i], other.0[i]) }))
    }

    #[inline(always)]
    unsafe fn least(self, other: Self) -> Self {
        Self(std::array::from_fn(|i| unsafe {
            let (a, b) = (vreinterpretq_u32_u64(self.0[i]), vreinterpretq_u32_u64(other.0[i]));
            vreinterpretq_u64_u32(vminq_u32(a, b))
        }))
    }

    #[inline(always)]
    unsafe fn below(self, limit: Self) -> u8 {
        let mut mask = 0;
        for i in 0..4 {
            unsafe {
                let below = vcltq_u64(self.0[i], limit.0[i]);
                mask |= (vgetq_lane_u64::<0>(below) as u8 & 1) << (2 * i);
                mask |= (vgetq_lane_u64::<1>(below) as u8 & 1) << (2 * i + 1);
            }
        }
        mask
    }

    #[inline(always)]
    unsafe fn store(self) -> [u64; BLOCK] {
        let mut lane = [0; BLOCK];
        for i in 0..4 {
            unsafe { vst1q_u64(lane.as_mut_ptr().add(2 * i), self.0[i]) };
        }
        lane
    }
}

/// [`scan`] with NEON.
///
/// # Safety
/// The processor must support NEON.
#[target_feature(enable = "neon")]
pub unsafe fn scan_neon(tile: Tile<'_>, queries: &[u64], nearest: &mut [Nearest]) {
    // SAFETY: guaranteed by the caller.
    unsafe {
        match tile.words {
            1 => scan::<Four, 1, 1>(tile, queries, nearest),
            2 => scan::<Four, 1, 2>(tile, queries, nearest),
            4 => scan::<Four, 1, 4>(tile, queries, nearest),
            _ => scan::<Four, 1, 0>(tile, queries, nearest),
        }
    }
}

/// [`count`] with NEON.
///
/// # Safety
/// See [`scan_neon`].
#[target_feature(enable = "neon")]
pub unsafe fn count_neon(tile: Tile<'_>, queries: &[u64]) -> u64 {
    // SAFETY: guaranteed by the caller.
    unsafe {
        match tile.words {
            1 => count::<Four, 1, 1>(tile, queries),
            2 => count::<Four, 1, 2>(tile, queries),
            4 => count::<Four, 1, 4>(tile, queries),
            _ => count::<Four, 1, 0>(tile, queries),
        }
    }
}
