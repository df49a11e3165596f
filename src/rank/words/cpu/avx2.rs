/*!
[`Vector`] for x86-64 with AVX2: two registers are a row of a block.
*/

use std::arch::x86_64::*;

use super::blocks::Row;
use super::kernel::{Tile, Vector, scan};
use super::line::Line;

#[derive(Clone, Copy)]
pub struct Half(__m256i);

// SAFETY of every block below: the trait's caller guarantees AVX2, and pointers to as many bytes
// as are read.
impl Vector for Half {
    const CODES: usize = 32;
    /// Sums of the even bytes plus 256 times those of the odd ones, and sums of the odd bytes.
    type Sum = (__m256i, __m256i);

    #[inline(always)]
    unsafe fn load(bytes: *const u8) -> Self {
        unsafe { Self(_mm256_load_si256(bytes.cast())) }
    }

    #[inline(always)]
    unsafe fn prefetch(row: *const Row) {
        unsafe { _mm_prefetch::<_MM_HINT_T0>(row.cast()) };
    }

    #[inline(always)]
    unsafe fn table(entries: *const u8) -> Self {
        unsafe { Self(_mm256_broadcastsi128_si256(_mm_loadu_si128(entries.cast()))) }
    }

    #[inline(always)]
    unsafe fn zero() -> Self {
        unsafe { Self(_mm256_setzero_si256()) }
    }

    #[inline(always)]
    unsafe fn lower(self) -> Self {
        unsafe { Self(_mm256_and_si256(self.0, _mm256_set1_epi8(15))) }
    }

    #[inline(always)]
    unsafe fn upper(self) -> Self {
        unsafe { Self(_mm256_srli_epi16::<4>(self.0)).lower() }
    }

    #[inline(always)]
    unsafe fn look_up(self, table: Self) -> Self {
        unsafe { Self(_mm256_shuffle_epi8(table.0, self.0)) }
    }

    #[inline(always)]
    unsafe fn plus(self, other: Self) -> Self {
        unsafe { Self(_mm256_adds_epu8(self.0, other.0)) }
    }

    #[inline(always)]
    unsafe fn up_to(self, limit: u8) -> u64 {
        unsafe {
            // There is no unsigned comparison, but a minimum.
            let least = _mm256_min_epu8(self.0, _mm256_set1_epi8(limit as i8));
            u64::from(_mm256_movemask_epi8(_mm256_cmpeq_epi8(least, self.0)) as u32)
        }
    }

    #[inline(always)]
    unsafe fn no_sum() -> Self::Sum {
        unsafe { (_mm256_setzero_si256(), _mm256_setzero_si256()) }
    }

    #[inline(always)]
    unsafe fn add_to(self, (both, odd): Self::Sum) -> Self::Sum {
        unsafe {
            let high = _mm256_srli_epi16::<8>(self.0);
            (_mm256_add_epi16(both, self.0), _mm256_add_epi16(odd, high))
        }
    }

    #[inline(always)]
    unsafe fn sums_up_to((both, odd): Self::Sum, limit: u16) -> u64 {
        unsafe {
            let limit = _mm256_set1_epi16(limit as i16);
            let even = _mm256_sub_epi16(both, _mm256_slli_epi16::<8>(odd));
            let even = _mm256_cmpeq_epi16(_mm256_min_epu16(even, limit), even);
            let odd = _mm256_cmpeq_epi16(_mm256_min_epu16(odd, limit), odd);
            let upper = _mm256_set1_epi16(-256);
            let bytes = _mm256_blendv_epi8(even, odd, upper);
            u64::from(_mm256_movemask_epi8(bytes) as u32)
        }
    }
}

/// [`scan`] with AVX2.
///
/// # Safety
/// The processor must support AVX2.
#[target_feature(enable = "avx2")]
pub unsafe fn scan_avx2(tile: &Tile<'_>, lines: &mut [Line<'_>]) {
    // SAFETY: guaranteed by the caller.
    unsafe { scan::<Half, 2, 2>(tile, lines) }
}
