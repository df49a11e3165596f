/*!
[`Vector`] for x86-64 with AVX-512 BW: one register is a row of a block.
*/

use std::arch::x86_64::*;

use super::blocks::Row;
use super::kernel::{Tile, Vector, scan};
use super::line::Line;

#[derive(Clone, Copy)]
pub struct Wide(__m512i);

// SAFETY of every block below: the trait's caller guarantees AVX-512 F and BW, and pointers to
// as many bytes as are read.
impl Vector for Wide {
    const CODES: usize = 64;
    /// Sums of the even bytes plus 256 times those of the odd ones, and sums of the odd bytes.
    type Sum = (__m512i, __m512i);

    #[inline(always)]
    unsafe fn load(bytes: *const u8) -> Self {
        unsafe { Self(_mm512_load_si512(bytes.cast())) }
    }

    #[inline(always)]
    unsafe fn prefetch(row: *const Row) {
        unsafe { _mm_prefetch::<_MM_HINT_T0>(row.cast()) };
    }

    #[inline(always)]
    unsafe fn table(entries: *const u8) -> Self {
        unsafe { Self(_mm512_broadcast_i32x4(_mm_loadu_si128(entries.cast()))) }
    }

    #[inline(always)]
    unsafe fn zero() -> Self {
        unsafe { Self(_mm512_setzero_si512()) }
    }

    #[inline(always)]
    unsafe fn lower(self) -> Self {
        unsafe { Self(_mm512_and_si512(self.0, _mm512_set1_epi8(15))) }
    }

    #[inline(always)]
    unsafe fn upper(self) -> Self {
        unsafe { Self(_mm512_srli_epi16::<4>(self.0)).lower() }
    }

    #[inline(always)]
    unsafe fn look_up(self, table: Self) -> Self {
        unsafe { Self(_mm512_shuffle_epi8(table.0, self.0)) }
    }

    #[inline(always)]
    unsafe fn plus(self, other: Self) -> Self {
        unsafe { Self(_mm512_adds_epu8(self.0, other.0)) }
    }

    #[inline(always)]
    unsafe fn up_to(self, limit: u8) -> u64 {
        unsafe { _mm512_cmple_epu8_mask(self.0, _mm512_set1_epi8(limit as i8)) }
    }

    #[inline(always)]
    unsafe fn no_sum() -> Self::Sum {
        unsafe { (_mm512_setzero_si512(), _mm512_setzero_si512()) }
    }

    #[inline(always)]
    unsafe fn add_to(self, (both, odd): Self::Sum) -> Self::Sum {
        unsafe {
            let high = _mm512_srli_epi16::<8>(self.0);
            (_mm512_add_epi16(both, self.0), _mm512_add_epi16(odd, high))
        }
    }

    #[inline(always)]
    unsafe fn sums_up_to((both, odd): Self::Sum, limit: u16) -> u64 {
        unsafe {
            let limit = _mm512_set1_epi16(limit as i16);
            let even = _mm512_sub_epi16(both, _mm512_slli_epi16::<8>(odd));
            let even = _mm512_cmple_epu16_mask(even, limit);
            let odd = _mm512_cmple_epu16_mask(odd, limit);
            // Bytes of whole pairs, of which the masks select one each.
            let even = _mm512_maskz_set1_epi16(even, 0xff);
            _mm512_movepi8_mask(_mm512_mask_add_epi16(even, odd, even, _mm512_set1_epi16(-256)))
        }
    }
}

/// [`scan`] with AVX-512.
///
/// # Safety
/// The processor must support AVX-512 F and BW.
#[target_feature(enable = "avx512f,avx512bw")]
pub unsafe fn scan_avx512(tile: &Tile<'_>, lines: &mut [Line<'_>]) {
    // SAFETY: guaranteed by the caller.
    unsafe { scan::<Wide, 2, 1>(tile, lines) }
}
