/*!
Convolutions of channels-last maps as matrix products with gathered rows, and max pooling.
*/

use pulp::{Arch, Simd};
use rayon::prelude::*;

use super::buffers::{Buffer, Buffers};
use super::channels::{AllChannels, ByChannels, load, store};
use super::maps::Shape;
use super::product::{After, Packed, gathered};

/// Up to this many channels, a tap is a whole row of the kernel.
const FEW: usize = 4;

/// A convolution with packed weights.
#[derive(Debug, Clone)]
pub(in crate::trunk) struct PackedConv {
    weights: Packed,
    kernel: usize,
    stride: usize,
    channels: usize,
}

/// The padding of a convolution on one axis: before the first value, and the length of the result.
#[derive(Debug, Clone, Copy)]
pub(in crate::trunk) struct Padding {
    pub before: usize,
    pub output: usize,
}

impl PackedConv {
    /// Packs weights `[output, kernel, kernel, channels]` and biases, one for each output or none.
    pub fn new(
        weight: &[f32],
        channels: usize,
        kernel: usize,
        stride: usize,
        bias: &[f32],
    ) -> Self {
        let weights = Packed::new(weight, kernel * kernel * channels, bias);
        Self { weights, kernel, stride, channels }
    }

    /// Channels of the result.
    pub fn output(&self) -> usize {
        self.weights.width()
    }

    /// Side of the kernel.
    pub fn kernel(&self) -> usize {
        self.kernel
    }

    /// Distance of the kernel's positions.
    pub fn stride(&self) -> usize {
        self.stride
    }

    /// Computes `activation(conv(x) + bias + residual)` for `batch` maps of shape `input`.
    pub fn run(
        &self,
        x: &[f32],
        batch: usize,
        input: Shape,
        [down, across]: [Padding; 2],
        after: After<'_>,
        buffers: &Buffers,
    ) -> Buffer {
        if self.channels <= FEW && self.kernel > 1 {
            let (x, input) = self.padded(x, batch, input, [down, across], buffers);
            let wide = Shape { channels: 1, width: input.width * input.channels, ..input };
            let taps = Gather {
                x: &x,
                input: wide,
                kernel: [self.kernel, 1],
                stride: [self.stride, self.stride * input.channels],
                before: [0, 0],
                output: [down.output, across.output],
                depth: self.kernel * input.channels,
            };
            let out = self.gathered(&taps, batch, after, buffers);
            buffers.give(x);
            return out;
        }
        let taps = Gather {
            x,
            input,
            kernel: [self.kernel; 2],
            stride: [self.stride; 2],
            before: [down.before, across.before],
            output: [down.output, across.output],
            depth: self.channels,
        };
        self.gathered(&taps, batch, after, buffers)
    }

    fn gathered(
        &self,
        gather: &Gather<'_>,
        batch: usize,
        after: After<'_>,
        buffers: &Buffers,
    ) -> Buffer {
        let width = self.output();
        let rows = batch * gather.output[0] * gather.output[1];
        let mut out = buffers.take(rows * width);
        let nothing = vec![0.0; gather.depth];
        let append = |first: usize, count: usize, slices: &mut Vec<_>| {
            gather.rows(first, count, &nothing, slices);
        };
        gathered(rows, gather.depth, append, &self.weights, after, &mut out, buffers.threads);
        out
    }

    /// Copies maps with zeros around them, as far as the kernel reaches.
    fn padded(
        &self,
        x: &[f32],
        batch: usize,
        input: Shape,
        [down, across]: [Padding; 2],
        buffers: &Buffers,
    ) -> (Buffer, Shape) {
        let reach = |of: Padding| (of.output.max(1) - 1) * self.stride + self.kernel;
        let larger = Shape {
            height: reach(down).max(down.before + input.height),
            width: reach(across).max(across.before + input.width),
            ..input
        };
        let mut all = buffers.take(batch * larger.len());
        all.fill(0.0);
        let row = input.width * input.channels;
        let (from, to) = (x.chunks_exact(input.len().max(1)), all.chunks_exact_mut(larger.len()));
        for (from, to) in from.zip(to) {
            for (y, from) in from.chunks_exact(row).enumerate() {
                let at = ((down.before + y) * larger.width + across.before) * input.channels;
                to[at..at + row].copy_from_slice(from);
            }
        }
        (all, larger)
    }
}

/// The slices that make up the rows of the left matrix.
struct Gather<'a> {
    x: &'a [f32],
    input: Shape,
    /// Taps down and across.
    kernel: [usize; 2],
    /// In positions of the input.
    stride: [usize; 2],
    before: [usize; 2],
    output: [usize; 2],
    /// Values of a tap.
    depth: usize,
}

impl<'a> Gather<'a> {
    /// Appends the slices of `count` rows from `first` on, tap by tap.
    fn rows<'b>(
        &'b self,
        first: usize,
        count: usize,
        nothing: &'b [f32],
        slices: &mut Vec<&'b [f32]>,
    ) {
        let [height, width] = self.output;
        let Shape { height: rows, width: columns, channels } = self.input;
        for ky in 0..self.kernel[0] {
            for kx in 0..self.kernel[1] {
                slices.extend((first..first + count).map(|row| {
                    let (image, place) = (row / (height * width), row % (height * width));
                    let at = |axis: usize, place: usize, tap: usize, limit: usize| {
                        (place * self.stride[axis] + tap)
                            .checked_sub(self.before[axis])
                            .filter(|at| *at < limit)
                    };
                    let y = at(0, place / width, ky, rows);
                    let x = at(1, place % width, kx, columns);
                    let (Some(y), Some(x)) = (y, x) else { return nothing };
                    let from = ((image * rows + y) * columns + x) * channels;
                    &self.x[from..from + self.depth]
                }));
            }
        }
    }
}

/// Max pooling of 3×3 positions with stride 2 and one position of padding at every border.
pub(super) fn max_pool(
    x: &[f32],
    batch: usize,
    input: Shape,
    buffers: &Buffers,
) -> (Buffer, Shape) {
    let (height, width) = (input.height.div_ceil(2), input.width.div_ceil(2));
    let output = Shape { height, width, ..input };
    let mut out = buffers.take(batch * output.len());
    let row = (width * input.channels).max(1);
    out.par_chunks_mut(row).enumerate().for_each(|(number, out)| {
        let (image, y) = (number / height, number % height);
        let x = &x[image * input.len()..(image + 1) * input.len()];
        Arch::new().dispatch(AllChannels(MaxPool { x, input, y, out }));
    });
    (out, output)
}

struct MaxPool<'a> {
    x: &'a [f32],
    input: Shape,
    /// The row of the result.
    y: usize,
    out: &'a mut [f32],
}

impl ByChannels for MaxPool<'_> {
    fn channels(&self) -> usize {
        self.input.channels
    }

    #[inline(always)]
    fn block<S: Simd, const N: usize>(&mut self, simd: S, from: usize) {
        let Shape { height, width, channels } = self.input;
        let block = N * S::F32_LANES;
        let around = |at: usize, limit: usize| (2 * at).saturating_sub(1)..(2 * at + 2).min(limit);
        for (x, out) in self.out.chunks_exact_mut(channels).enumerate() {
            let mut most = [simd.splat_f32s(f32::NEG_INFINITY); N];
            for iy in around(self.y, height) {
                for ix in around(x, width) {
                    let at = (iy * width + ix) * channels + from;
                    let values = load::<S, N>(&self.x[at..at + block], most[0]);
                    for n in 0..N {
                        most[n] = simd.max_f32s(most[n], values[n]);
                    }
                }
            }
            store::<S, N>(&mut out[from..from + block], most);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trunk::cpu::activation::Activation;
    use proptest::prelude::*;

    fn numbers(seed: usize, count: usize) -> Vec<f32> {
        (0..count).map(|i| ((i * 7919 + seed * 104_729) % 1009) as f32 / 504.0 - 1.0).collect()
    }

    proptest! {
        #[test]
        fn convolutions_are_the_plain_ones(
            height in 1usize..12, width in 1usize..12, channels in 1usize..9,
            outputs in 1usize..40, kernel in 1usize..5, stride in 1usize..4, before in 0usize..3,
            batch in 1usize..3,
        ) {
            let input = Shape { height, width, channels };
            let before = before.min(kernel - 1);
            prop_assume!(height + 2 * before >= kernel && width + 2 * before >= kernel);
            let pad = |size: usize| Padding {
                before,
                output: (size + 2 * before - kernel) / stride + 1,
            };
            let (down, across) = (pad(height), pad(width));
            let x = numbers(1, batch * input.len());
            let w = numbers(2, outputs * kernel * kernel * channels);
            let bias = numbers(3, outputs);
            let conv = PackedConv::new(&w, channels, kernel, stride, &bias);
            let after = After { residual: None, activation: Activation::Relu };
            let out = conv.run(&x, batch, input, [down, across], after, &Buffers::new(1)).into_vec();
            prop_assert_eq!(out.len(), batch * down.output * across.output * outputs);
            for (k, value) in out.into_iter().enumerate() {
                let (place, output) = (k / outputs, k % outputs);
                let (image, place) =
                    (place / (down.output * across.output), place % (down.output * across.output));
                let (y, column) = (place / across.output, place % across.output);
                let mut sum = f64::from(bias[output]);
                for (ky, kx) in (0..kernel).flat_map(|ky| (0..kernel).map(move |kx| (ky, kx))) {
                    let (iy, ix) = (y * stride + ky, column * stride + kx);
                    if iy < before || ix < before || iy - before >= height || ix - before >= width {
                        continue;
                    }
                    for c in 0..channels {
                        let at = ((iy - before) * width + ix - before) * channels + c;
                        let weight = w[((output * kernel + ky) * kernel + kx) * channels + c];
                        sum += f64::from(x[image * input.len() + at]) * f64::from(weight);
                    }
                }
                prop_assert!((f64::from(value) - sum.max(0.0)).abs() < 1e-4, "{k}: {value} {sum}");
            }
        }

        #[test]
        fn pooling_takes_the_greatest_around(
            height in 1usize..9, width in 1usize..9, channels in 1usize..40,
        ) {
            let input = Shape { height, width, channels };
            let x = numbers(4, input.len());
            let (out, output) = max_pool(&x, 1, input, &Buffers::new(1));
            for (k, value) in out.into_vec().into_iter().enumerate() {
                let (place, c) = (k / channels, k % channels);
                let (y, column) = (place / output.width, place % output.width);
                let near = |at: usize, to: usize| at + 1 >= 2 * to && at <= 2 * to + 1;
                let most = (0..height * width)
                    .filter(|at| near(at / width, y) && near(at % width, column))
                    .map(|at| x[at * channels + c])
                    .fold(f32::NEG_INFINITY, f32::max);
                prop_assert_eq!(value, most);
            }
        }
    }
}
