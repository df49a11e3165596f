/*!
[`Vector`] for x86-64 with AVX2: eight lanes are two registers. Bits are counted by a table
lookup of half bytes (Muła, Kurz and Lemire, "Faster population counts using AVX2
instructions", 2018). Counts stay in bytes until all words of a code are added.
*/

use std::arch::x86_64::*;

use super::super::lanes::{BLOCK, Lane};
use super::kernel::{Tile, Vector, count, scan};
use super::nearest::Nearest;

#[derive(Clone, Copy)]
pub struct Pair(__m256i, __m256i);

/// Counts the set bits of each byte.
#[inline(always)]
unsafe fn bits_of_bytes(value: __m256i) -> __m256i {
    // SAFETY: the callers guarantee AVX2.
    unsafe {
        let table = _mm256_setr_epi8(
            0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4, 0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2,
            3, 3, 4,
        );
        let half = _mm256_set1_epi8(15);
        let low = _mm256_shuffle_epi8(table, _mm256_and_si256(value, half));
        let high = _mm256_and_si256(_mm256_srli_epi16::<4>(value), half);
        _mm256_add_epi8(low, _mm256_shuffle_epi8(table, high))
    }
}

// SAFETY of every block below: the trait's caller guarantees AVX2, and a `Lane` is 64 bytes,
// aligned to 64.
impl Vector for Pair {
    /// Counts per byte: 16 words give at most 128.
    type Sum = Pair;

    #[inline(always)]
    unsafe fn load(lane: &Lane) -> Self {
        let at = lane.0.as_ptr().cast::<__m256i>();
        unsafe { Self(_mm256_load_si256(at), _mm256_load_si256(at.add(1))) }
    }

    #[inline(always)]
    unsafe fn splat(word: u64) -> Self {
        let word = unsafe { _mm256_set1_epi64x(word as i64) };
        Self(word, word)
    }

    #[inline(always)]
    unsafe fn zero() -> Pair {
        unsafe { Self(_mm256_setzero_si256(), _mm256_setzero_si256()) }
    }

    #[inline(always)]
    unsafe fn add_differing(self, other: Self, sum: Pair) -> Pair {
        unsafe {
            let one = bits_of_bytes(_mm256_xor_si256(self.0, other.0));
            let two = bits_of_bytes(_mm256_xor_si256(self.1, other.1));
            Self(_mm256_add_epi8(sum.0, one), _mm256_add_epi8(sum.1, two))
        }
    }

    #[inline(always)]
    unsafe fn distances(sum: Pair) -> Self {
        unsafe {
            let zero = _mm256_setzero_si256();
            Self(_mm256_sad_epu8(sum.0, zero), _mm256_sad_epu8(sum.1, zero))
        }
    }

    #[inline(always)]
    unsafe fn plus(self, other: Self) -> Self {
        unsafe { Self(_mm256_add_epi64(self.0, other.0), _mm256_add_epi64(self.1, other.1)) }
    }

    #[inline(always)]
    unsafe fn least(self, other: Self) -> Self {
        unsafe { Self(_mm256_min_epu32(self.0, other.0), _mm256_min_epu32(self.1, other.1)) }
    }

    #[inline(always)]
    unsafe fn below(self, limit: Self) -> u8 {
        unsafe {
            // A signed comparison suffices because all numbers are small.
            let one = _mm256_castsi256_pd(_mm256_cmpgt_epi64(limit.0, self.0));
            let two = _mm256_castsi256_pd(_mm256_cmpgt_epi64(limit.1, self.1));
            (_mm256_movemask_pd(one) | _mm256_movemask_pd(two) << 4) as u8
        }
    }

    #[inline(always)]
    unsafe fn store(self) -> [u64; BLOCK] {
        let mut lane = Lane([0; BLOCK]);
        let at = lane.0.as_mut_ptr().cast::<__m256i>();
        unsafe {
            _mm256_store_si256(at, self.0);
            _mm256_store_si256(at.add(1), self.1);
        }
        lane.0
    }
}

/// [`scan`] with AVX2.
///
/// # Safety
/// The processor must support AVX2.
#[target_feature(enable = "avx2")]
pub unsafe fn scan_avx2(tile: Tile<'_>, queries: &[u64], nearest: &mut [Nearest]) {
    // SAFETY: guaranteed by the caller.
    unsafe {
        match tile.words {
            1 => scan::<Pair, 1, 1>(tile, queries, nearest),
            2 => scan::<Pair, 1, 2>(tile, queries, nearest),
            4 => scan::<Pair, 1, 4>(tile, queries, nearest),
            _ => scan::<Pair, 1, 0>(tile, queries, nearest),
        }
    }
}

/// [`count`] with AVX2.
///
/// # Safety
/// See [`scan_avx2`].
#[target_feature(enable = "avx2")]
pub unsafe fn count_avx2(tile: Tile<'_>, queries: &[u64]) -> u64 {
    // SAFETY: guaranteed by the caller.
    unsafe {
        match tile.words {
            1 => count::<Pair, 1, 1>(tile, queries),
            2 => count::<Pair, 1, 2>(tile, queries),
            4 => count::<Pair, 1, 4>(tile, queries),
            _ => count::<Pair, 1, 0>(tile, queries),
        }
    }
}
