/*!
Gradients of depthwise convolutions on the CPU, on channels-last maps.

Both gradients accumulate a block of channels in vector registers: over kernel taps for the
gradient of the input, over positions for the gradient of the weights.
*/

use std::ops::Range;

use pulp::Simd;

use super::channels::{ByChannels, load, store};
use super::geometry::Geometry;
use super::inference::same_padding;

impl Geometry {
    /// Along one axis: the output positions whose tap `tap` lies inside the input.
    fn outputs(&self, tap: usize, input: usize, output: usize) -> Range<usize> {
        let (_, pad) = same_padding(input, self.kernel, self.stride);
        let first = pad.saturating_sub(tap).div_ceil(self.stride);
        let behind = (input + pad).saturating_sub(tap).div_ceil(self.stride);
        first..behind.min(output).max(first)
    }

    /// Along one axis: the output position that reads input position `at` with tap `tap`, if
    /// any.
    fn seen_by(&self, at: usize, tap: usize, input: usize, output: usize) -> Option<usize> {
        let (_, pad) = same_padding(input, self.kernel, self.stride);
        let shifted = (at + pad).checked_sub(tap)?;
        let seen = shifted.is_multiple_of(self.stride).then(|| shifted / self.stride)?;
        (seen < output).then_some(seen)
    }
}

/// The gradient with respect to the input of one image: each value is the sum over the taps
/// with which outputs read it.
pub(super) struct InputGrad<'a> {
    /// Gradient of the output.
    pub dy: &'a [f32],
    /// Weights, `[kernel, kernel, channels]`.
    pub weight: &'a [f32],
    pub geometry: Geometry,
    /// Gradient of the input, overwritten.
    pub dx: &'a mut [f32],
}

/// The gradient with respect to the weights for one image, added to `dw`.
pub(super) struct WeightGrad<'a> {
    pub x: &'a [f32],
    /// Gradient of the output.
    pub dy: &'a [f32],
    pub geometry: Geometry,
    /// `[kernel, kernel, channels]`.
    pub dw: &'a mut [f32],
}

impl ByChannels for InputGrad<'_> {
    fn channels(&self) -> usize {
        self.geometry.input.channels
    }

    #[inline(always)]
    fn block<S: Simd, const N: usize>(&mut self, simd: S, from: usize) {
        let (g, input, output) = (self.geometry, self.geometry.input, self.geometry.output());
        let (channels, size) = (input.channels, N * S::F32_LANES);
        let zero = simd.splat_f32s(0.0);
        for iy in 0..input.height {
            for ix in 0..input.width {
                let mut sum = [zero; N];
                for ky in 0..g.kernel {
                    let Some(oy) = g.seen_by(iy, ky, input.height, output.height) else { continue };
                    for kx in 0..g.kernel {
                        let seen = g.seen_by(ix, kx, input.width, output.width);
                        let Some(ox) = seen else { continue };
                        let at = (oy * output.width + ox) * channels + from;
                        let dy = load::<S, N>(&self.dy[at..at + size], zero);
                        let at = (ky * g.kernel + kx) * channels + from;
                        let w = load::<S, N>(&self.weight[at..at + size], zero);
                        for i in 0..N {
                            sum[i] = simd.mul_add_e_f32s(dy[i], w[i], sum[i]);
                        }
                    }
                }
                let at = (iy * input.width + ix) * channels + from;
                store::<S, N>(&mut self.dx[at..at + size], sum);
            }
        }
    }
}

impl ByChannels for WeightGrad<'_> {
    fn channels(&self) -> usize {
        self.geometry.input.channels
    }

    #[inline(always)]
    fn block<S: Simd, const N: usize>(&mut self, simd: S, from: usize) {
        let (g, input, output) = (self.geometry, self.geometry.input, self.geometry.output());
        let (channels, size) = (input.channels, N * S::F32_LANES);
        let (_, pad_y) = same_padding(input.height, g.kernel, g.stride);
        let (_, pad_x) = same_padding(input.width, g.kernel, g.stride);
        let zero = simd.splat_f32s(0.0);
        for ky in 0..g.kernel {
            for kx in 0..g.kernel {
                let at = (ky * g.kernel + kx) * channels + from;
                let dw = &mut self.dw[at..at + size];
                let mut sum = load::<S, N>(dw, zero);
                for oy in g.outputs(ky, input.height, output.height) {
                    let iy = oy * g.stride + ky - pad_y;
                    for ox in g.outputs(kx, input.width, output.width) {
                        let ix = ox * g.stride + kx - pad_x;
                        let at = (iy * input.width + ix) * channels + from;
                        let x = load::<S, N>(&self.x[at..at + size], zero);
                        let at = (oy * output.width + ox) * channels + from;
                        let dy = load::<S, N>(&self.dy[at..at + size], zero);
                        for i in 0..N {
                            sum[i] = simd.mul_add_e_f32s(x[i], dy[i], sum[i]);
                        }
                    }
                }
                store::<S, N>(dw, sum);
            }
        }
    }
}
