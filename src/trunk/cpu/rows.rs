/*!
Layers of rows of channels: layer norm, and the two linear layers of a block, computed tile by tile so
that the widened rows stay in cache.
*/

use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

use super::activation::Activation;
use super::buffers::{Buffer, Buffers};
use super::product::{After, Packed, by_columns, product, rows_of, tile_of};

/// Weights of a layer norm.
#[derive(Debug, Clone)]
pub(in crate::trunk) struct Norm {
    pub weight: Vec<f32>,
    pub bias: Vec<f32>,
    pub epsilon: f32,
}

impl Norm {
    /// Normalises each row of `x`.
    pub fn apply(&self, x: &[f32], out: &mut [f32]) {
        Arch::new().dispatch(Apply { norm: self, x, out });
    }

    /// Normalises each row of `x`, on all threads.
    pub fn run(&self, x: &[f32], buffers: &Buffers) -> Buffer {
        let width = self.weight.len().max(1);
        let mut out = buffers.take(x.len());
        let tile = tile_of(x.len() / width, width, buffers.threads) * width;
        out.par_chunks_mut(tile).zip(x.par_chunks(tile)).for_each(|(out, x)| self.apply(x, out));
        out
    }
}

struct Apply<'a> {
    norm: &'a Norm,
    x: &'a [f32],
    out: &'a mut [f32],
}

impl WithSimd for Apply<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Norm { weight, bias, epsilon } = self.norm;
        let width = weight.len().max(1);
        for (x, out) in self.x.chunks_exact(width).zip(self.out.chunks_exact_mut(width)) {
            let mean = sum_of(simd, x, |_, x| x) / width as f32;
            let centre = simd.splat_f32s(mean);
            let square = |simd: S, x: S::f32s| {
                let off = simd.sub_f32s(x, centre);
                simd.mul_f32s(off, off)
            };
            // The padding of the last register is not in the sum.
            let variance = sum_of(simd, x, square) / width as f32;
            let scale = simd.splat_f32s(1.0 / (variance + epsilon).sqrt());
            let lanes = S::F32_LANES;
            let pieces = x.chunks(lanes).zip(out.chunks_mut(lanes));
            for ((x, out), (weight, bias)) in
                pieces.zip(weight.chunks(lanes).zip(bias.chunks(lanes)))
            {
                let off = simd.sub_f32s(simd.partial_load_f32s(x), centre);
                let weight = simd.mul_f32s(simd.partial_load_f32s(weight), scale);
                let value = simd.mul_add_e_f32s(off, weight, simd.partial_load_f32s(bias));
                simd.partial_store_f32s(out, value);
            }
        }
    }
}

/// Returns the sum of a function of all values.
#[inline(always)]
pub(super) fn sum_of<S: Simd>(simd: S, x: &[f32], of: impl Fn(S, S::f32s) -> S::f32s) -> f32 {
    let (whole, rest) = S::as_simd_f32s(x);
    let mut sum = simd.splat_f32s(0.0);
    for x in whole {
        sum = simd.add_f32s(sum, of(simd, *x));
    }
    let mut last = 0.0;
    for x in rest {
        // One lane of a register; all lanes are the same.
        last += simd.reduce_max_f32s(of(simd, simd.splat_f32s(*x)));
    }
    simd.reduce_sum_f32s(sum) + last
}

/// Norm, a wider linear layer with an activation, and a linear layer back.
#[derive(Debug, Clone)]
pub(in crate::trunk) struct Mlp {
    pub norm: Norm,
    pub widen: Packed,
    pub activation: Activation,
    pub narrow: Packed,
}

impl Mlp {
    /// Computes `residual + narrow(activation(widen(norm(x))))` for rows of channels.
    pub fn run(&self, x: &[f32], residual: &[f32], buffers: &Buffers) -> Buffer {
        let (input, output) = (self.widen.depth(), self.narrow.width());
        let rows = x.len() / input.max(1);
        let mut out = buffers.take(rows * output);
        let threads = buffers.threads;
        let after = After { residual: None, activation: self.activation };
        let last = After { residual: Some(residual), activation: Activation::None };
        if by_columns(rows, output, threads) {
            let normed = self.norm.run(x, buffers);
            let mut wide = buffers.take(rows * self.widen.width());
            product(&normed, &self.widen, after, &mut wide, threads);
            product(&wide, &self.narrow, last, &mut out, threads);
            buffers.give(normed);
            buffers.give(wide);
            return out;
        }
        let tile = tile_of(rows, self.widen.width(), threads);
        out.par_chunks_mut((tile * output).max(1)).enumerate().for_each_init(
            || (Vec::new(), Vec::new()),
            |(normed, wide), (number, out)| {
                let (first, count) = (number * tile, out.len() / output);
                normed.resize(count * input, 0.0);
                wide.resize(count * self.widen.width(), 0.0);
                self.norm.apply(&x[first * input..(first + count) * input], normed);
                rows_of(normed, &self.widen, after, wide);
                rows_of(wide, &self.narrow, last.rows(first, count, output), out);
            },
        );
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(seed: usize, count: usize) -> Vec<f32> {
        (0..count).map(|i| ((i * 7919 + seed * 104_729) % 1009) as f32 / 504.0 - 1.0).collect()
    }

    fn normed(norm: &Norm, x: &[f32]) -> Vec<f64> {
        let width = norm.weight.len();
        let row = |x: &[f32]| -> Vec<f64> {
            let x: Vec<f64> = x.iter().map(|v| f64::from(*v)).collect();
            let mean = x.iter().sum::<f64>() / width as f64;
            let variance = x.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / width as f64;
            let scale = (variance + f64::from(norm.epsilon)).sqrt();
            let of = |c: usize| f64::from(norm.weight[c]) * (x[c] - mean) / scale;
            (0..width).map(|c| of(c) + f64::from(norm.bias[c])).collect()
        };
        x.chunks_exact(width).flat_map(row).collect()
    }

    #[test]
    fn norms_and_blocks_are_the_plain_ones() {
        for (rows, width) in [(1, 1), (3, 7), (130, 33), (17, 64)] {
            let norm = Norm { weight: numbers(1, width), bias: numbers(2, width), epsilon: 1e-6 };
            let x: Vec<f32> = numbers(3, rows * width).iter().map(|v| v * 3.0 + 5.0).collect();
            let expected = normed(&norm, &x);
            for (ours, plain) in norm.run(&x, &Buffers::new(1)).iter().zip(&expected) {
                assert!((f64::from(*ours) - plain).abs() < 2e-4, "{ours} {plain}");
            }
            let wide = 4 * width;
            let (w1, w2) = (numbers(4, wide * width), numbers(5, wide * width));
            let (b1, b2) = (numbers(6, wide), numbers(7, width));
            let residual = numbers(8, rows * width);
            let mlp = Mlp {
                norm,
                widen: Packed::new(&w1, width, &b1),
                activation: Activation::Relu,
                narrow: Packed::new(&w2, wide, &b2),
            };
            let out = mlp.run(&x, &residual, &Buffers::new(1));
            for (k, ours) in out.into_vec().into_iter().enumerate() {
                let (row, column) = (k / width, k % width);
                let normed = &expected[row * width..(row + 1) * width];
                let hidden = |h: usize| {
                    let sum: f64 =
                        (0..width).map(|c| normed[c] * f64::from(w1[h * width + c])).sum();
                    (sum + f64::from(b1[h])).max(0.0)
                };
                let sum: f64 =
                    (0..wide).map(|h| hidden(h) * f64::from(w2[column * wide + h])).sum();
                let plain = sum + f64::from(b2[column]) + f64::from(residual[k]);
                assert!(
                    (f64::from(ours) - plain).abs() < 2e-3 * plain.abs().max(1.0),
                    "{ours} {plain}"
                );
            }
        }
    }
}
