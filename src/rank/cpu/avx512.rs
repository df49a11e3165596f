/*!
[`Vector`] for x86-64 with AVX-512 and VPOPCNTDQ (Ice Lake, Zen 4 and later): eight lanes
are one register, and one instruction counts their bits.
*/

use std::arch::x86_64::*;

use super::super::lanes::{BLOCK, Lane};
use super::kernel::{Tile, Vector, count, scan};
use super::nearest::Nearest;

#[derive(Clone, Copy)]
pub struct Wide(__m512i);

// SAFETY of every block below: the trait's caller guarantees AVX-512 F and VPOPCNTDQ, and a
// `Lane` is 64 bytes, aligned to 64.
impl Vector for Wide {
    type Sum = __m512i;

    #[inline(always)]
    unsafe fn load(lane: &Lane) -> Self {
        unsafe { Self(_mm512_load_si512(lane.0.as_ptr().cast())) }
    }

    #[inline(always)]
    unsafe fn prefetch(lane: *const Lane) {
        unsafe { _mm_prefetch::<_MM_HINT_T0>(lane.cast()) };
    }

    #[inline(always)]
    unsafe fn splat(word: u64) -> Self {
        unsafe { Self(_mm512_set1_epi64(word as i64)) }
    }

    #[inline(always)]
    unsafe fn zero() -> __m512i {
        unsafe { _mm512_setzero_si512() }
    }

    #[inline(always)]
    unsafe fn add_differing(self, other: Self, sum: __m512i) -> __m512i {
        unsafe { _mm512_add_epi64(sum, _mm512_popcnt_epi64(_mm512_xor_si512(self.0, other.0))) }
    }

    #[inline(always)]
    unsafe fn distances(sum: __m512i) -> Self {
        Self(sum)
    }

    #[inline(always)]
    unsafe fn plus(self, other: Self) -> Self {
        unsafe { Self(_mm512_add_epi64(self.0, other.0)) }
    }

    #[inline(always)]
    unsafe fn least(self, other: Self) -> Self {
        // The 64-bit minimum is slower on some processors. The 32-bit one gives the same
        // result because the upper halves are zero.
        unsafe { Self(_mm512_min_epu32(self.0, other.0)) }
    }

    #[inline(always)]
    unsafe fn below(self, limit: Self) -> u8 {
        unsafe { _mm512_cmplt_epu64_mask(self.0, limit.0) }
    }

    #[inline(always)]
    unsafe fn store(self) -> [u64; BLOCK] {
        let mut lane = Lane([0; BLOCK]);
        unsafe { _mm512_store_si512(lane.0.as_mut_ptr().cast(), self.0) };
        lane.0
    }
}

/// [`scan`] with AVX-512.
///
/// # Safety
/// The processor must support AVX-512 F and VPOPCNTDQ.
#[target_feature(enable = "avx512f,avx512vpopcntdq")]
pub unsafe fn scan_avx512(tile: Tile<'_>, queries: &[u64], nearest: &mut [Nearest]) {
    // SAFETY: guaranteed by the caller.
    unsafe {
        match tile.words {
            1 => scan::<Wide, 4, 1>(tile, queries, nearest),
            2 => scan::<Wide, 4, 2>(tile, queries, nearest),
            3 => scan::<Wide, 4, 3>(tile, queries, nearest),
            4 => scan::<Wide, 4, 4>(tile, queries, nearest),
            8 => scan::<Wide, 4, 8>(tile, queries, nearest),
            16 => scan::<Wide, 4, 16>(tile, queries, nearest),
            _ => scan::<Wide, 4, 0>(tile, queries, nearest),
        }
    }
}

/// [`count`] with AVX-512.
///
/// # Safety
/// See [`scan_avx512`].
#[target_feature(enable = "avx512f,avx512vpopcntdq")]
pub unsafe fn count_avx512(tile: Tile<'_>, queries: &[u64]) -> u64 {
    // SAFETY: guaranteed by the caller.
    unsafe {
        match tile.words {
            1 => count::<Wide, 4, 1>(tile, queries),
            2 => count::<Wide, 4, 2>(tile, queries),
            4 => count::<Wide, 4, 4>(tile, queries),
            8 => count::<Wide, 4, 8>(tile, queries),
            16 => count::<Wide, 4, 16>(tile, queries),
            _ => count::<Wide, 4, 0>(tile, queries),
        }
    }
}
