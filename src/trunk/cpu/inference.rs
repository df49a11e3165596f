/*!
The fused inverted residual block on the CPU: first convolution, depthwise convolution and
projection are computed band by band (a band is a group of rows), so that the widened maps
stay in cache.

This module works on plain channels-last slices and does not depend on Burn.

Burn's own CPU convolutions iterate over channels-first planes. For a 5×5 depthwise
convolution of a 7×7 map, the rows are then too short for vector registers. In
channels-last layout, every tap is one multiply-add over whole registers, and a pointwise
convolution is a plain matrix product. Bands are independent of each other (a band
recomputes the few rows that it shares with its neighbours), so even a single large image
uses all cores.
*/

use pulp::{Arch, Simd};
use rayon::prelude::*;

use super::activation::Activation;
use super::buffers::{Buffer, Buffers};
use super::channels::{AllChannels, ByChannels, load};
use super::maps::{Layer, Maps, Shape};
use super::product::{After, Packed, rows_of};

/// Maximum size of a band's widened rows in bytes, chosen to fit a core's L2 cache.
const BAND_BYTES: usize = 640 << 10;
/// Positions that training processes at a time, so that they are still in cache for the next step.
#[cfg(feature = "train")]
pub(super) const TILE: usize = 128;

/// The first convolution of a block, which widens its input.
#[derive(Debug)]
pub(in crate::trunk) enum First {
    /// 1×1.
    Pointwise(Packed),
    /// k×k of stride 2 with "same" padding, weights `[wide, k, k, input]`: the entry of a trunk.
    Strided(Packed, usize),
}

/// One block with folded batch norms. ReLU6 follows the first two convolutions; the projection has
/// no activation.
#[derive(Debug)]
pub(in crate::trunk) struct Block {
    /// The first convolution.
    pub first: First,
    /// Depthwise weights `[kernel, kernel, wide]`, biases `[wide]`.
    pub depthwise: Vec<f32>,
    pub depthwise_bias: Vec<f32>,
    /// The projection.
    pub project: Packed,
    /// Side of the depthwise kernel.
    pub kernel: usize,
    /// Stride of the depthwise convolution.
    pub stride: usize,
    /// Whether the block's input is added to its output.
    pub skip: bool,
}

/// Computes TensorFlow's "same" padding: the output size is the input size over the stride,
/// rounded up, and an odd pixel of padding goes to the end. Returns (output size, padding
/// before).
pub(in crate::trunk) fn same_padding(size: usize, kernel: usize, stride: usize) -> (usize, usize) {
    let output = size.div_ceil(stride);
    let total = ((output - 1) * stride + kernel).saturating_sub(size);
    (output, total / 2)
}

/// `ReLU6(x)` of a product.
const RELU6: After<'static> = After { residual: None, activation: Activation::Relu6 };

impl Block {
    fn wide(&self) -> usize {
        self.depthwise_bias.len()
    }

    /// Shape after the first convolution.
    fn widened(&self, input: Shape) -> Shape {
        let stride = match self.first {
            First::Pointwise(_) => 1,
            First::Strided(..) => 2,
        };
        let (height, width) = (input.height.div_ceil(stride), input.width.div_ceil(stride));
        Shape { height, width, channels: self.wide() }
    }

    /// Shape of the block's output for an input of the given shape.
    pub fn output(&self, input: Shape) -> Shape {
        let wide = self.widened(input);
        Shape {
            height: wide.height.div_ceil(self.stride),
            width: wide.width.div_ceil(self.stride),
            channels: self.project.width(),
        }
    }

    /// Runs the block on `batch` channels-last images of shape `input`.
    pub fn run(&self, x: &[f32], batch: usize, input: Shape, buffers: &Buffers) -> Buffer {
        let (wide, output) = (self.widened(input), self.output(input));
        let mut out = buffers.take(batch * output.len());
        if out.is_empty() {
            return out;
        }
        let fitting = BAND_BYTES / (wide.width * wide.channels * 4) / self.stride;
        let shared = (batch * output.height).div_ceil(buffers.threads);
        let rows = fitting.min(shared).clamp(1, output.height);
        let bands = output.height.div_ceil(rows);
        // Bands of an image have nearly the same height.
        let rows = output.height.div_ceil(bands);
        let row_len = output.width * output.channels;
        // Bands end at image boundaries, so the chunks are listed image by image.
        let chunks: Vec<_> = out
            .chunks_exact_mut(output.len())
            .enumerate()
            .flat_map(|(image, out)| {
                out.chunks_mut(rows * row_len).enumerate().map(move |(b, o)| (image, b * rows, o))
            })
            .collect();
        chunks.into_par_iter().for_each(|(image, row, out)| {
            let x = &x[image * input.len()..(image + 1) * input.len()];
            self.band(x, input, row, out, buffers);
        });
        out
    }

    /// Computes output rows from `row` on until `out` is full.
    fn band(&self, x: &[f32], input: Shape, row: usize, out: &mut [f32], buffers: &Buffers) {
        let (wide, output) = (self.widened(input), self.output(input));
        let rows = out.len() / (output.width * output.channels);
        let (_, pad) = same_padding(wide.height, self.kernel, self.stride);
        let from = (row * self.stride).saturating_sub(pad);
        let to = ((row + rows - 1) * self.stride + self.kernel).saturating_sub(pad);
        let to = to.min(wide.height);
        let mut first = buffers.take((to - from) * wide.width * wide.channels);
        match &self.first {
            First::Pointwise(weights) => {
                let x = &x[from * input.width * input.channels..to * input.width * input.channels];
                rows_of(x, weights, RELU6, &mut first);
            }
            First::Strided(weights, kernel) => {
                let depth = kernel * kernel * input.channels;
                let mut patches = buffers.take(wide.width * depth);
                for (y, out) in (from..to).zip(first.chunks_exact_mut(wide.width * wide.channels)) {
                    gather_patches(x, input, *kernel, y, wide.width, &mut patches);
                    rows_of(&patches, weights, RELU6, out);
                }
                buffers.give(patches);
            }
        }
        let mut second = buffers.take(rows * output.width * wide.channels);
        Arch::new().dispatch(AllChannels(Depthwise {
            x: &first,
            first_row: from,
            input: wide,
            weight: &self.depthwise,
            bias: &self.depthwise_bias,
            kernel: self.kernel,
            stride: self.stride,
            range: (0.0, 6.0),
            out: &mut second,
            row,
            out_width: output.width,
        }));
        let at = row * output.width * output.channels;
        let residual = self.skip.then(|| &x[at..at + out.len()]);
        let after = After { residual, activation: Activation::None };
        rows_of(&second, &self.project, after, out);
        buffers.give(first);
        buffers.give(second);
    }
}

impl Layer for Block {
    fn run(&self, x: Maps<'_>, buffers: &Buffers) -> (Buffer, Shape) {
        (Block::run(self, x.values, x.batch, x.shape, buffers), self.output(x.shape))
    }
}

/// Gathers the k×k patches for output row `y` of a stride-2 convolution, one row per position.
fn gather_patches(
    x: &[f32],
    input: Shape,
    kernel: usize,
    y: usize,
    width: usize,
    patches: &mut [f32],
) {
    let (_, pad_y) = same_padding(input.height, kernel, 2);
    let (_, pad_x) = same_padding(input.width, kernel, 2);
    let c = input.channels;
    patches.fill(0.0);
    for (position, patch) in patches.chunks_exact_mut(kernel * kernel * c).take(width).enumerate() {
        for (ky, taps) in patch.chunks_exact_mut(kernel * c).enumerate() {
            let Some(iy) = (y * 2 + ky).checked_sub(pad_y).filter(|iy| *iy < input.height) else {
                continue;
            };
            for (kx, tap) in taps.chunks_exact_mut(c).enumerate() {
                let ix = (position * 2 + kx).checked_sub(pad_x).filter(|ix| *ix < input.width);
                if let Some(ix) = ix {
                    let at = (iy * input.width + ix) * c;
                    tap.copy_from_slice(&x[at..at + c]);
                }
            }
        }
    }
}

/// A depthwise convolution of some rows with bias, its results clamped to a range.
pub(super) struct Depthwise<'a> {
    /// The rows of the input from `first_row` on.
    pub x: &'a [f32],
    pub first_row: usize,
    /// Shape of the whole input, of which `x` contains some rows.
    pub input: Shape,
    pub weight: &'a [f32],
    pub bias: &'a [f32],
    pub kernel: usize,
    pub stride: usize,
    /// Minimum and maximum of the result: 0 and 6 for ReLU6.
    pub range: (f32, f32),
    /// Output rows from `row` on.
    pub out: &'a mut [f32],
    pub row: usize,
    pub out_width: usize,
}

impl ByChannels for Depthwise<'_> {
    fn channels(&self) -> usize {
        self.input.channels
    }

    /// Processes all positions of one block of channels, whose weights stay in the L1 cache.
    #[inline(always)]
    fn block<S: Simd, const N: usize>(&mut self, simd: S, from: usize) {
        let (channels, width) = (self.input.channels, self.input.width);
        let block = N * S::F32_LANES;
        let (_, pad_y) = same_padding(self.input.height, self.kernel, self.stride);
        let (_, pad_x) = same_padding(width, self.kernel, self.stride);
        let zero = simd.splat_f32s(0.0);
        let least = simd.splat_f32s(self.range.0);
        let most = simd.splat_f32s(self.range.1);
        let bias = load::<S, N>(&self.bias[from..from + block], zero);
        let out_rows = self.out.chunks_exact_mut(self.out_width * channels);
        for (y, out) in (self.row..).zip(out_rows) {
            let top = (y * self.stride).saturating_sub(pad_y);
            let skipped_y = pad_y.saturating_sub(y * self.stride);
            let taps_y = (self.kernel - skipped_y).min(self.input.height - top);
            for (position, out) in out.chunks_exact_mut(channels).enumerate() {
                let left = (position * self.stride).saturating_sub(pad_x);
                let skipped_x = pad_x.saturating_sub(position * self.stride);
                let taps_x = (self.kernel - skipped_x).min(width - left);
                let mut sum = bias;
                for ky in 0..taps_y {
                    let x = ((top + ky - self.first_row) * width + left) * channels + from;
                    let w = ((skipped_y + ky) * self.kernel + skipped_x) * channels + from;
                    for kx in 0..taps_x {
                        let at = x + kx * channels;
                        let x = load::<S, N>(&self.x[at..at + block], zero);
                        let at = w + kx * channels;
                        let w = load::<S, N>(&self.weight[at..at + block], zero);
                        for i in 0..N {
                            sum[i] = simd.mul_add_e_f32s(x[i], w[i], sum[i]);
                        }
                    }
                }
                let (out, _) = S::as_mut_simd_f32s(&mut out[from..from + block]);
                for (out, sum) in out.iter_mut().zip(sum) {
                    *out = simd.max_f32s(least, simd.min_f32s(most, sum));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A direct convolution by definition, channels-last, "same" padding. Weights are
    /// `[output][ky][kx][input / groups]`.
    fn naive(
        (x, s): (&[f32], Shape),
        (w, b): (&[f32], &[f32]),
        [k, stride]: [usize; 2],
        depthwise: bool,
        relu6: bool,
    ) -> (Vec<f32>, Shape) {
        let (height, pad_y) = same_padding(s.height, k, stride);
        let (width, pad_x) = same_padding(s.width, k, stride);
        let group = if depthwise { 1 } else { s.channels };
        let mut out = Vec::new();
        for (y, xo, o) in (0..height)
            .flat_map(|y| (0..width).map(move |x| (y, x)))
            .flat_map(|(y, x)| (0..b.len()).map(move |o| (y, x, o)))
        {
            let mut sum = b[o];
            for (ky, kx) in (0..k).flat_map(|y| (0..k).map(move |x| (y, x))) {
                let (iy, ix) = (
                    (y * stride + ky) as isize - pad_y as isize,
                    (xo * stride + kx) as isize - pad_x as isize,
                );
                if iy < 0 || ix < 0 || iy >= s.height as isize || ix >= s.width as isize {
                    continue;
                }
                for i in 0..group {
                    let channel = if depthwise { o } else { i };
                    let x = x[(iy as usize * s.width + ix as usize) * s.channels + channel];
                    sum += x * w[((o * k + ky) * k + kx) * group + i];
                }
            }
            out.push(if relu6 { sum.clamp(0.0, 6.0) } else { sum });
        }
        (out, Shape { height, width, channels: b.len() })
    }

    fn noise(seed: u64, n: usize, scale: f32) -> Vec<f32> {
        let mut state = seed.wrapping_mul(2).wrapping_add(1);
        let mut next = || {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            ((state >> 40) as f32 / (1u64 << 23) as f32 - 1.0) * scale
        };
        (0..n).map(|_| next()).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]
        #[test]
        fn a_block_equals_three_plain_convolutions(
            batch in 1usize..4, height in 1usize..20, width in 1usize..20, input in 1usize..20,
            wide in 1usize..75, output in 1usize..12, five: bool, stride in 1usize..3,
            strided: bool, skip: bool, seed: u64,
        ) {
            let kernel = if five { 5 } else { 3 };
            let skip = skip && !strided && stride == 1;
            let output = if skip { input } else { output };
            let first_kernel = if strided { 3 } else { 1 };
            let s = Shape { height, width, channels: input };
            let x = noise(seed, batch * s.len(), 2.0);
            let w1 = noise(seed ^ 1, wide * first_kernel * first_kernel * input, 0.8);
            let (b1, b2) = (noise(seed ^ 2, wide, 1.0), noise(seed ^ 3, wide, 1.0));
            let w2 = noise(seed ^ 4, wide * kernel * kernel, 0.5);
            let (w3, b3) = (noise(seed ^ 5, output * wide, 0.3), noise(seed ^ 6, output, 1.0));
            let mut taps = vec![0.0; w2.len()];
            for c in 0..wide { for t in 0..kernel * kernel {
                taps[t * wide + c] = w2[c * kernel * kernel + t];
            } }
            let packed = Packed::new(&w1, first_kernel * first_kernel * input, &b1);
            let first = if strided { First::Strided(packed, 3) } else { First::Pointwise(packed) };
            let block = Block {
                first, depthwise: taps, depthwise_bias: b2.clone(),
                project: Packed::new(&w3, wide, &b3), kernel, stride, skip,
            };
            let ours = block.run(&x, batch, s, &Buffers::new(1)).into_vec();
            let mut plain = Vec::new();
            for x in x.chunks_exact(s.len()) {
                let first_stride = if strided { 2 } else { 1 };
                let (a, sa) = naive((x, s), (&w1, &b1), [first_kernel, first_stride], false, true);
                let (b, sb) = naive((&a, sa), (&w2, &b2), [kernel, stride], true, true);
                let (mut c, sc) = naive((&b, sb), (&w3, &b3), [1, 1], false, false);
                prop_assert_eq!(sc, block.output(s));
                if skip { c.iter_mut().zip(x).for_each(|(c, x)| *c += x); }
                plain.extend(c);
            }
            for (a, b) in ours.iter().zip(&plain) {
                prop_assert!((a - b).abs() <= 1e-4 * (1.0 + b.abs()), "{a} against {b}");
            }
            prop_assert_eq!(ours.len(), plain.len());
        }
    }

    #[test]
    fn padding_is_tensorflows() {
        assert_eq!(same_padding(224, 3, 2), (112, 0));
        assert_eq!(same_padding(112, 5, 2), (56, 1));
        assert_eq!(same_padding(7, 5, 1), (7, 2));
        assert_eq!(same_padding(7, 3, 2), (4, 1));
        assert_eq!(same_padding(1, 5, 2), (1, 2));
    }
}
