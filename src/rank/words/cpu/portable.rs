/*!
[`Vector`] without SIMD intrinsics, for all other processors.
*/

use super::kernel::{Tile, Vector, scan};
use super::line::Line;

/// Sixteen bytes in an array.
#[derive(Clone, Copy)]
struct Plain([u8; 16]);

// SAFETY of every block below: the trait's caller guarantees pointers to 16 bytes.
impl Vector for Plain {
    const CODES: usize = 16;
    type Sum = [u16; 16];

    #[inline(always)]
    unsafe fn load(bytes: *const u8) -> Self {
        unsafe { Self(bytes.cast::<[u8; 16]>().read()) }
    }

    #[inline(always)]
    unsafe fn table(entries: *const u8) -> Self {
        unsafe { Self(entries.cast::<[u8; 16]>().read()) }
    }

    #[inline(always)]
    unsafe fn zero() -> Self {
        Self([0; 16])
    }

    #[inline(always)]
    unsafe fn lower(self) -> Self {
        Self(self.0.map(|byte| byte & 15))
    }

    #[inline(always)]
    unsafe fn upper(self) -> Self {
        Self(self.0.map(|byte| byte >> 4))
    }

    #[inline(always)]
    unsafe fn look_up(self, table: Self) -> Self {
        Self(self.0.map(|half| table.0[usize::from(half) % 16]))
    }

    #[inline(always)]
    unsafe fn plus(self, other: Self) -> Self {
        Self(std::array::from_fn(|i| self.0[i].saturating_add(other.0[i])))
    }

    #[inline(always)]
    unsafe fn up_to(self, limit: u8) -> u64 {
        (0..16).fold(0, |mask, i| mask | u64::from(self.0[i] <= limit) << i)
    }

    #[inline(always)]
    unsafe fn no_sum() -> Self::Sum {
        [0; 16]
    }

    #[inline(always)]
    unsafe fn add_to(self, sum: Self::Sum) -> Self::Sum {
        std::array::from_fn(|i| sum[i] + u16::from(self.0[i]))
    }

    #[inline(always)]
    unsafe fn sums_up_to(sum: Self::Sum, limit: u16) -> u64 {
        (0..16).fold(0, |mask, i| mask | u64::from(sum[i] <= limit) << i)
    }
}

/// [`scan`] on any processor.
pub fn scan_portable(tile: &Tile<'_>, lines: &mut [Line<'_>]) {
    // SAFETY: `Plain` uses no special instructions.
    unsafe { scan::<Plain, 4, 4>(tile, lines) }
}
