/*!
[`Vector`] for AArch64 with NEON: four registers are a row of a block.
*/

use std::arch::aarch64::*;

use super::kernel::{Tile, Vector, scan};
use super::line::Line;

#[derive(Clone, Copy)]
pub struct Quarter(uint8x16_t);

// SAFETY of every block below: the trait's caller guarantees NEON, and pointers to as many bytes
// as are read.
impl Vector for Quarter {
    const CODES: usize = 16;
    /// Sums of the lower and of the upper eight bytes.
    type Sum = (uint16x8_t, uint16x8_t);

    #[inline(always)]
    unsafe fn load(bytes: *const u8) -> Self {
        unsafe { Self(vld1q_u8(bytes)) }
    }

    #[inline(always)]
    unsafe fn table(entries: *const u8) -> Self {
        unsafe { Self(vld1q_u8(entries)) }
    }

    #[inline(always)]
    unsafe fn zero() -> Self {
        unsafe { Self(vdupq_n_u8(0)) }
    }

    #[inline(always)]
    unsafe fn lower(self) -> Self {
        unsafe { Self(vandq_u8(self.0, vdupq_n_u8(15))) }
    }

    #[inline(always)]
    unsafe fn upper(self) -> Self {
        unsafe { Self(vshrq_n_u8::<4>(self.0)) }
    }

    #[inline(always)]
    unsafe fn look_up(self, table: Self) -> Self {
        unsafe { Self(vqtbl1q_u8(table.0, self.0)) }
    }

    #[inline(always)]
    unsafe fn plus(self, other: Self) -> Self {
        unsafe { Self(vqaddq_u8(self.0, other.0)) }
    }

    #[inline(always)]
    unsafe fn up_to(self, limit: u8) -> u64 {
        unsafe { mask(vcleq_u8(self.0, vdupq_n_u8(limit))) }
    }

    #[inline(always)]
    unsafe fn no_sum() -> Self::Sum {
        unsafe { (vdupq_n_u16(0), vdupq_n_u16(0)) }
    }

    #[inline(always)]
    unsafe fn add_to(self, (low, high): Self::Sum) -> Self::Sum {
        unsafe { (vaddw_u8(low, vget_low_u8(self.0)), vaddw_high_u8(high, self.0)) }
    }

    #[inline(always)]
    unsafe fn sums_up_to((low, high): Self::Sum, limit: u16) -> u64 {
        unsafe {
            let limit = vdupq_n_u16(limit);
            let (low, high) = (vcleq_u16(low, limit), vcleq_u16(high, limit));
            mask(vmovn_high_u16(vmovn_u16(low), high))
        }
    }
}

/// Bitmask of the bytes that are set.
///
/// # Safety
/// The processor must support NEON.
#[inline(always)]
unsafe fn mask(bytes: uint8x16_t) -> u64 {
    const BITS: [u8; 16] = [1, 2, 4, 8, 16, 32, 64, 128, 1, 2, 4, 8, 16, 32, 64, 128];
    // SAFETY: guaranteed by the caller.
    unsafe {
        // There is no mask instruction: each half adds up the bits of its bytes.
        let bits = vandq_u8(bytes, vld1q_u8(BITS.as_ptr()));
        let (low, high) = (vaddv_u8(vget_low_u8(bits)), vaddv_u8(vget_high_u8(bits)));
        u64::from(low) | u64::from(high) << 8
    }
}

/// [`scan`] with NEON.
///
/// # Safety
/// The processor must support NEON.
#[target_feature(enable = "neon")]
pub unsafe fn scan_neon(tile: &Tile<'_>, lines: &mut [Line<'_>]) {
    // SAFETY: guaranteed by the caller.
    unsafe { scan::<Quarter, 4, 4>(tile, lines) }
}
