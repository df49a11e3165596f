/*!
Loops over the channels of channels-last maps in blocks of vector registers.

Explicit registers, because the compiler leaves closures that it does not inline into a
function for the wide instruction sets with the narrow ones.
*/

use pulp::{Simd, WithSimd};

/// Work on a map that treats every channel alike.
pub(super) trait ByChannels {
    /// How many there are.
    fn channels(&self) -> usize;

    /// Does the work for `N` registers of channels from `from` on.
    fn block<S: Simd, const N: usize>(&mut self, simd: S, from: usize);
}

/// All channels of some work: four registers at once, then one, then single values.
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

/// `N` registers from a slice that holds just as many values.
#[inline(always)]
pub(super) fn load<S: Simd, const N: usize>(values: &[f32], zero: S::f32s) -> [S::f32s; N] {
    let (registers, _) = S::as_simd_f32s(values);
    let mut loaded = [zero; N];
    loaded.iter_mut().zip(registers).for_each(|(l, r)| *l = *r);
    loaded
}

/// Writes `N` registers to a slice that holds just as many values.
#[inline(always)]
pub(super) fn store<S: Simd, const N: usize>(values: &mut [f32], registers: [S::f32s; N]) {
    let (out, _) = S::as_mut_simd_f32s(values);
    out.iter_mut().zip(registers).for_each(|(out, register)| *out = register);
}
