/*!
Training's share of the CPU work: convolutions and batch norms with their gradients.

As in `cpu.rs`, everything is channels-last slices. A map of `positions` rows and
`channels` columns is `[batch · height · width, channels]`. Every sum is taken over
parts whose borders depend on the shape alone, in a fixed order, so that results are
the same to the last bit from run to run and for any number of threads.
*/

use faer::linalg::matmul::matmul;
use faer::{Accum, MatMut, MatRef, Par};
use pulp::Arch;
use rayon::prelude::*;

use super::cpu::{Depthwise, Shape, TILE, same_padding};

/// Into how many parts a sum over positions or images is split.
const PARTS: usize = 16;
/// Channels that a depthwise gradient works on at a time, so that a map's share of
/// them stays in the first-level cache.
const LANES: usize = 64;

/// `y = x · wᵀ`: `x` has rows of `input` values, `w` is `[output, input]`.
pub(super) fn pointwise(x: &[f32], w: &[f32], input: usize) -> Vec<f32> {
    let output = w.len() / input;
    let w = MatRef::from_column_major_slice(w, input, output);
    rows_times(x, input, w)
}

/// The gradient of [`pointwise`] for `x`: `dy · w`.
pub(super) fn pointwise_x_grad(dy: &[f32], w: &[f32], input: usize) -> Vec<f32> {
    let output = w.len() / input;
    rows_times(dy, output, MatRef::from_row_major_slice(w, output, input))
}

/// The gradient of [`pointwise`] for `w`: `dyᵀ · x`, `[output, input]`.
pub(super) fn pointwise_w_grad(x: &[f32], dy: &[f32], input: usize, output: usize) -> Vec<f32> {
    let positions = x.len() / input;
    let mut dw = vec![0.0; output * input];
    // Parts of the result, not of the sum: every thread writes its own rows.
    let rows = output.div_ceil(PARTS);
    dw.par_chunks_mut(rows * input).enumerate().for_each(|(part, dw)| {
        let count = dw.len() / input;
        let dy = MatRef::from_row_major_slice(dy, positions, output);
        let dy = dy.subcols(part * rows, count).transpose();
        let x = MatRef::from_row_major_slice(x, positions, input);
        let dw = MatMut::from_row_major_slice_mut(dw, count, input);
        matmul(dw, Accum::Replace, dy, x, 1.0, Par::Seq);
    });
    dw
}

/// `x · m`, tile of rows by tile of rows.
fn rows_times(x: &[f32], depth: usize, m: MatRef<'_, f32>) -> Vec<f32> {
    let (positions, width) = (x.len() / depth, m.ncols());
    let mut out = vec![0.0; positions * width];
    out.par_chunks_mut(TILE * width).zip(x.par_chunks(TILE * depth)).for_each(|(out, x)| {
        let rows = x.len() / depth;
        let x = MatRef::from_row_major_slice(x, rows, depth);
        let out = MatMut::from_row_major_slice_mut(out, rows, width);
        matmul(out, Accum::Replace, x, m, 1.0, Par::Seq);
    });
    out
}

/// A depthwise convolution: kernel side and stride.
#[derive(Debug, Clone, Copy)]
pub(super) struct Geometry {
    pub kernel: usize,
    pub stride: usize,
    /// Of the input.
    pub input: Shape,
}

impl Geometry {
    /// Of the output.
    pub fn output(&self) -> Shape {
        Shape {
            height: self.input.height.div_ceil(self.stride),
            width: self.input.width.div_ceil(self.stride),
            ..self.input
        }
    }

    /// Calls `tap(input position, output position, tap)` for every product in the
    /// convolution of one image, in a fixed order.
    #[inline(always)]
    fn for_taps(&self, mut tap: impl FnMut(usize, usize, usize)) {
        let (input, output) = (self.input, self.output());
        let (_, pad_y) = same_padding(input.height, self.kernel, self.stride);
        let (_, pad_x) = same_padding(input.width, self.kernel, self.stride);
        for oy in 0..output.height {
            for ky in 0..self.kernel {
                let iy = (oy * self.stride + ky).wrapping_sub(pad_y);
                if iy >= input.height {
                    continue;
                }
                for ox in 0..output.width {
                    for kx in 0..self.kernel {
                        let ix = (ox * self.stride + kx).wrapping_sub(pad_x);
                        if ix < input.width {
                            let position = oy * output.width + ox;
                            tap(iy * input.width + ix, position, ky * self.kernel + kx);
                        }
                    }
                }
            }
        }
    }
}

/// A depthwise convolution of whole images, weights `[kernel, kernel, channels]`.
pub(super) fn depthwise(x: &[f32], w: &[f32], g: Geometry) -> Vec<f32> {
    let (image, output) = (g.input.len(), g.output());
    let mut out = vec![0.0; x.len() / image.max(1) * output.len()];
    let bias = vec![0.0; g.input.channels];
    let images = x.par_chunks_exact(image).zip(out.par_chunks_exact_mut(output.len()));
    images.for_each(|(x, out)| {
        Arch::new().dispatch(Depthwise {
            x,
            first_row: 0,
            input: g.input,
            weight: w,
            bias: &bias,
            kernel: g.kernel,
            stride: g.stride,
            range: (f32::NEG_INFINITY, f32::INFINITY),
            out,
            row: 0,
            out_width: output.width,
        });
    });
    out
}

/// The gradient of [`depthwise`] for `x`.
pub(super) fn depthwise_x_grad(dy: &[f32], w: &[f32], g: Geometry) -> Vec<f32> {
    let (image, output, channels) = (g.input.len(), g.output().len(), g.input.channels);
    let mut dx = vec![0.0; dy.len() / output.max(1) * image];
    let images = dy.par_chunks_exact(output).zip(dx.par_chunks_exact_mut(image));
    images.for_each(|(dy, dx)| {
        Arch::new().dispatch(|| {
            for from in (0..channels).step_by(LANES) {
                let lanes = LANES.min(channels - from);
                g.for_taps(|i, o, t| {
                    let dx = &mut dx[i * channels + from..][..lanes];
                    let dy = &dy[o * channels + from..][..lanes];
                    let w = &w[t * channels + from..][..lanes];
                    for ((dx, dy), w) in dx.iter_mut().zip(dy).zip(w) {
                        *dx += dy * w;
                    }
                });
            }
        });
    });
    dx
}

/// The gradient of [`depthwise`] for the weights, `[kernel, kernel, channels]`.
pub(super) fn depthwise_w_grad(x: &[f32], dy: &[f32], g: Geometry) -> Vec<f32> {
    let (image, output, channels) = (g.input.len(), g.output().len(), g.input.channels);
    let images = x.len() / image.max(1);
    let per_part = images.div_ceil(PARTS).max(1);
    let parts = x.par_chunks(per_part * image).zip(dy.par_chunks(per_part * output));
    let parts: Vec<Vec<f32>> = parts
        .map(|(x, dy)| {
            let mut dw = vec![0.0; g.kernel * g.kernel * channels];
            for (x, dy) in x.chunks_exact(image).zip(dy.chunks_exact(output)) {
                Arch::new().dispatch(|| {
                    for from in (0..channels).step_by(LANES) {
                        let lanes = LANES.min(channels - from);
                        g.for_taps(|i, o, t| {
                            let dw = &mut dw[t * channels + from..][..lanes];
                            let dy = &dy[o * channels + from..][..lanes];
                            let x = &x[i * channels + from..][..lanes];
                            for ((dw, dy), x) in dw.iter_mut().zip(dy).zip(x) {
                                *dw += dy * x;
                            }
                        });
                    }
                });
            }
            dw
        })
        .collect();
    sum_in_order(parts, g.kernel * g.kernel * channels)
}

/// What batch norm computed and its gradient needs again.
#[derive(Debug, Clone)]
pub(super) struct Normed {
    /// `[positions, channels]`.
    pub out: Vec<f32>,
    /// Of each channel over the batch.
    pub mean: Vec<f32>,
    /// Biased, of each channel over the batch.
    pub variance: Vec<f32>,
}

/// Batch norm with the batch's own statistics and, if asked for, ReLU6 behind it.
pub(super) fn norm(x: &[f32], gamma: &[f32], beta: &[f32], epsilon: f32, relu6: bool) -> Normed {
    let channels = gamma.len();
    let positions = (x.len() / channels) as f32;
    let [sum] = reduce(x, channels, |[sum], row| {
        sum.iter_mut().zip(row).for_each(|(s, x)| *s += x);
    });
    let mean: Vec<f32> = sum.iter().map(|s| s / positions).collect();
    // A second pass: the difference of two large sums would lose small variances.
    let [squares] = reduce(x, channels, |[sum], row| {
        for ((s, x), m) in sum.iter_mut().zip(row).zip(&mean) {
            *s += (x - m) * (x - m);
        }
    });
    let variance: Vec<f32> = squares.iter().map(|s| s / positions).collect();
    let (scale, shift) = affine(gamma, beta, &mean, &variance, epsilon);
    let mut out = vec![0.0; x.len()];
    out.par_chunks_mut(TILE * channels).zip(x.par_chunks(TILE * channels)).for_each(|(out, x)| {
        Arch::new().dispatch(|| {
            for (out, x) in out.chunks_exact_mut(channels).zip(x.chunks_exact(channels)) {
                for (((o, x), a), b) in out.iter_mut().zip(x).zip(&scale).zip(&shift) {
                    let value = x * a + b;
                    *o = if relu6 { value.clamp(0.0, 6.0) } else { value };
                }
            }
        });
    });
    Normed { out, mean, variance }
}

/// The gradients of [`norm`]: for `x`, γ and β.
///
/// With x̂ = (x − μ)/√(σ²+ε) and d the incoming gradient where ReLU6 lets it through:
/// `dβ = Σd`, `dγ = Σd·x̂`, `dx = γ/√(σ²+ε) · (d − (dβ + x̂·dγ)/n)`.
#[allow(clippy::too_many_arguments)]
pub(super) fn norm_grad(
    dy: &[f32],
    x: &[f32],
    gamma: &[f32],
    beta: &[f32],
    mean: &[f32],
    variance: &[f32],
    epsilon: f32,
    relu6: bool,
) -> (Vec<f32>, Vec<f32>, Vec<f32>) {
    let channels = gamma.len();
    let positions = (x.len() / channels) as f32;
    let (scale, shift) = affine(gamma, beta, mean, variance, epsilon);
    let inverse: Vec<f32> = variance.iter().map(|v| 1.0 / (v + epsilon).sqrt()).collect();
    let passed = |dy: f32, x: f32, c: usize| {
        let value = x * scale[c] + shift[c];
        // As Burn's clamp: the borders themselves still pass a gradient.
        if relu6 && !(0.0..=6.0).contains(&value) { 0.0 } else { dy }
    };
    let rows = TILE * channels;
    let parts: Vec<[Vec<f32>; 2]> = dy
        .par_chunks(part_rows(x.len() / channels) * channels)
        .zip(x.par_chunks(part_rows(x.len() / channels) * channels))
        .map(|(dy, x)| {
            let (mut sum, mut product) = (vec![0.0f32; channels], vec![0.0f32; channels]);
            Arch::new().dispatch(|| {
                for (dy, x) in dy.chunks_exact(channels).zip(x.chunks_exact(channels)) {
                    for c in 0..channels {
                        let d = passed(dy[c], x[c], c);
                        sum[c] += d;
                        product[c] += d * (x[c] - mean[c]) * inverse[c];
                    }
                }
            });
            [sum, product]
        })
        .collect();
    let (sums, products) = parts.into_iter().map(|[s, p]| (s, p)).unzip();
    let (d_beta, d_gamma) = (sum_in_order(sums, channels), sum_in_order(products, channels));
    let mut dx = vec![0.0; x.len()];
    let chunks = dx.par_chunks_mut(rows).zip(dy.par_chunks(rows)).zip(x.par_chunks(rows));
    chunks.for_each(|((dx, dy), x)| {
        Arch::new().dispatch(|| {
            let rows = dy.chunks_exact(channels).zip(x.chunks_exact(channels));
            for (dx, (dy, x)) in dx.chunks_exact_mut(channels).zip(rows) {
                for c in 0..channels {
                    let d = passed(dy[c], x[c], c);
                    let normed = (x[c] - mean[c]) * inverse[c];
                    dx[c] = scale[c] * (d - (d_beta[c] + normed * d_gamma[c]) / positions);
                }
            }
        });
    });
    (dx, d_gamma, d_beta)
}

/// Batch norm as `scale · x + shift`.
fn affine(
    gamma: &[f32],
    beta: &[f32],
    mean: &[f32],
    variance: &[f32],
    epsilon: f32,
) -> (Vec<f32>, Vec<f32>) {
    let scale = gamma.iter().zip(variance).map(|(g, v)| g / (v + epsilon).sqrt());
    let scale: Vec<f32> = scale.collect();
    let shift = beta.iter().zip(mean).zip(&scale).map(|((b, m), s)| b - m * s).collect();
    (scale, shift)
}

/// Rows of each part of a sum over `positions`.
fn part_rows(positions: usize) -> usize {
    positions.div_ceil(PARTS).max(1)
}

/// Sums of something over all rows, one per channel.
fn reduce<const N: usize>(
    x: &[f32],
    channels: usize,
    add: impl Fn(&mut [Vec<f32>; N], &[f32]) + Sync,
) -> [Vec<f32>; N] {
    let parts: Vec<[Vec<f32>; N]> = x
        .par_chunks(part_rows(x.len() / channels) * channels)
        .map(|x| {
            let mut sums = std::array::from_fn(|_| vec![0.0; channels]);
            Arch::new().dispatch(|| x.chunks_exact(channels).for_each(|row| add(&mut sums, row)));
            sums
        })
        .collect();
    std::array::from_fn(|i| {
        sum_in_order(parts.iter().map(|part| part[i].clone()).collect(), channels)
    })
}

fn sum_in_order(parts: Vec<Vec<f32>>, len: usize) -> Vec<f32> {
    let mut sum = vec![0.0; len];
    for part in parts {
        sum.iter_mut().zip(part).for_each(|(s, p)| *s += p);
    }
    sum
}
