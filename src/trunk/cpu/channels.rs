/*!
Loops over the channels of channels-last maps in blocks of vector registers.

Registers are explicit because closures are not enough: a closure that is not inlined is
compiled for the baseline instruction set, not for the wide one of the surrounding function.
*/

use pulp::{Simd, WithSimd};

/// An operation on a map that is independent for each channel.
pub(super) trait ByChannels {
    /// Number of channels.
    fn channels(&self) -> usize;

    /// Processes `N` registers of channels from `from` on.
    fn block<S: Simd, const N: usize>(&mut self, simd: S, from: usize);
}

/// Runs an operation on all channels: four registers at once, then one, then single values.
pub(super) struct AllChannels<W>(pub W);

impl<W: ByChannels> WithSimd for AllChannels<W> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let (mut work, mut from) = (self.0, 0);
        let channels = work.channels();
        while channels - from >= 4 * S::F32_LANES {
            work.block::<S, 4>(simd, from);
            from += 4 * S::F32_LANES;
        }
        while channels - from >= S::F32_LANES {
            work.block::<S, 1>(simd, from);
            from += S::F32_LANES;
        }
        for channel in from..channels {
            work.block::<pulp::Scalar, 1>(pulp::Scalar, channel);
        }
    }
}

/// Loads `N` registers from a slice of exactly that length.
#[inline(always)]
pub(super) fn load<S: Simd, const N: usize>(values: &[f32], zero: S::f32s) -> [S::f32s; N] {
    let (registers, _) = S::as_simd_f32s(values);
    let mut loaded = [zero; N];
    loaded.iter_mut().zip(registers).for_each(|(l, r)| *l = *r);
    loaded
}

/// Stores `N` registers to a slice of exactly that length.
#[inline(always)]
pub(super) fn store<S: Simd, const N: usize>(values: &mut [f32], registers: [S::f32s; N]) {
    let (out, _) = S::as_mut_simd_f32s(values);
    out.iter_mut().zip(registers).for_each(|(out, register)| *out = register);
}
