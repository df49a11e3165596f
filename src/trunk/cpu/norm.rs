/*!
Batch norm with optional ReLU6 and its gradient, for training on the CPU.

Maps are slices of rows of `channels` values. Sums are split into parts whose boundaries
depend only on the shape, and added in a fixed order.
*/

use std::ops::Range;

use pulp::{Arch, Simd};
use rayon::prelude::*;

use super::channels::{AllChannels, ByChannels, load, store};
use super::gradients::{PARTS, sum_in_order};
use super::inference::TILE;

/// The result of a batch norm, and the statistics that its gradient needs.
#[derive(Debug, Clone)]
pub(in crate::trunk) struct Normed {
    /// `[positions, channels]`.
    pub out: Vec<f32>,
    /// Mean of each channel over the batch.
    pub mean: Vec<f32>,
    /// Biased variance of each channel over the batch.
    pub variance: Vec<f32>,
}

/// A batch norm with the statistics of its batch.
#[derive(Debug, Clone, Copy)]
pub(in crate::trunk) struct Seen<'a> {
    pub gamma: &'a [f32],
    pub beta: &'a [f32],
    pub mean: &'a [f32],
    pub variance: &'a [f32],
    pub epsilon: f32,
    /// Whether ReLU6 follows.
    pub relu6: bool,
}

/// The gradients of a norm.
pub(in crate::trunk) struct NormGrads {
    /// Gradient of the input.
    pub x: Vec<f32>,
    pub gamma: Vec<f32>,
    pub beta: Vec<f32>,
}

/// Computes batch norm with the batch's own statistics, followed by ReLU6 if `relu6`.
pub(in crate::trunk) fn norm(
    x: &[f32],
    gamma: &[f32],
    beta: &[f32],
    epsilon: f32,
    relu6: bool,
) -> Normed {
    let channels = gamma.len();
    let positions = (x.len() / channels) as f32;
    let per_part = part_rows(x.len() / channels) * channels;
    let reduce = |mean: &[f32]| -> Vec<f32> {
        let parts = x.par_chunks(per_part).map(|x| {
            let mut sums = vec![0.0; channels];
            let work = Squares { x, mean, first: mean.is_empty(), sums: &mut sums };
            Arch::new().dispatch(AllChannels(work));
            sums
        });
        let sums = sum_in_order(parts.collect(), channels);
        sums.into_iter().map(|sum| sum / positions).collect()
    };
    let mean = reduce(&[]);
    // Two passes, because E[x²] − E[x]² loses precision for small variances.
    let variance = reduce(&mean);
    let seen = Seen { gamma, beta, mean: &mean, variance: &variance, epsilon, relu6 };
    let (scale, shift) = seen.affine();
    let mut out = vec![0.0; x.len()];
    let rows = TILE * channels;
    out.par_chunks_mut(rows).zip(x.par_chunks(rows)).for_each(|(out, x)| {
        let work = Affine { x, scale: &scale, shift: &shift, range: seen.range(), out };
        Arch::new().dispatch(AllChannels(work));
    });
    Normed { out, mean, variance }
}

impl Seen<'_> {
    /// Returns (scale, shift) of batch norm as `scale · x + shift`.
    fn affine(&self) -> (Vec<f32>, Vec<f32>) {
        let scale = self.gamma.iter().zip(self.variance);
        let scale: Vec<f32> = scale.map(|(g, v)| g / (v + self.epsilon).sqrt()).collect();
        let shift = self.beta.iter().zip(self.mean).zip(&scale);
        let shift = shift.map(|((b, m), s)| b - m * s).collect();
        (scale, shift)
    }

    /// Returns the minimum and maximum of the result.
    fn range(&self) -> (f32, f32) {
        if self.relu6 { (0.0, 6.0) } else { (f32::NEG_INFINITY, f32::INFINITY) }
    }

    /// Computes the gradients of [`norm`] from the gradient `dy` of its result.
    ///
    /// With x̂ = (x − μ)/√(σ²+ε) and d = `dy` where ReLU6 passes the gradient (including the
    /// boundaries, like Burn's clamp), else 0: `dβ = Σd`, `dγ = Σd·x̂`,
    /// `dx = γ/√(σ²+ε) · (d − (dβ + x̂·dγ)/n)`.
    pub fn grads(&self, dy: &[f32], x: &[f32]) -> NormGrads {
        let channels = self.gamma.len();
        let positions = (x.len() / channels) as f32;
        let (scale, shift) = self.affine();
        let passed = Passed { scale: &scale, shift: &shift, mean: self.mean, range: self.range() };
        let per_part = part_rows(x.len() / channels) * channels;
        let parts = dy.par_chunks(per_part).zip(x.par_chunks(per_part)).map(|(dy, x)| {
            let (mut sums, mut products) = (vec![0.0; channels], vec![0.0; channels]);
            let (s, p) = (&mut sums[..], &mut products[..]);
            Arch::new().dispatch(AllChannels(GradSums { dy, x, passed, sums: s, products: p }));
            (sums, products)
        });
        let (sums, products): (Vec<_>, Vec<_>) = parts.collect::<Vec<_>>().into_iter().unzip();
        let beta = sum_in_order(sums, channels);
        let inverse = |v: &f32| 1.0 / (v + self.epsilon).sqrt();
        let gamma = sum_in_order(products, channels).into_iter().zip(self.variance);
        let gamma: Vec<f32> = gamma.map(|(product, v)| product * inverse(v)).collect();
        let of_beta: Vec<f32> = beta.iter().map(|d| d / positions).collect();
        // (x − μ) times this is x̂·dγ/n.
        let of_gamma = gamma.iter().zip(self.variance).map(|(d, v)| d * inverse(v) / positions);
        let of_gamma: Vec<f32> = of_gamma.collect();
        let mut dx = vec![0.0; x.len()];
        let rows = TILE * channels;
        let chunks = dx.par_chunks_mut(rows).zip(dy.par_chunks(rows)).zip(x.par_chunks(rows));
        chunks.for_each(|((dx, dy), x)| {
            let (of_beta, of_gamma) = (&of_beta[..], &of_gamma[..]);
            Arch::new().dispatch(AllChannels(GradInput { dy, x, passed, of_beta, of_gamma, dx }));
        });
        NormGrads { x: dx, gamma, beta }
    }
}

/// Rows per part of a sum over `positions`.
fn part_rows(positions: usize) -> usize {
    positions.div_ceil(PARTS).max(1)
}

/// Sums of the values (if `first`), or of their squared deviations from a mean.
struct Squares<'a> {
    x: &'a [f32],
    mean: &'a [f32],
    first: bool,
    sums: &'a mut [f32],
}

impl ByChannels for Squares<'_> {
    fn channels(&self) -> usize {
        self.sums.len()
    }

    #[inline(always)]
    fn block<S: Simd, const N: usize>(&mut self, simd: S, from: usize) {
        let (channels, block) = (self.sums.len(), from..from + N * S::F32_LANES);
        let zero = simd.splat_f32s(0.0);
        let mut sum = [zero; N];
        if self.first {
            for row in self.x.chunks_exact(channels) {
                let x = load::<S, N>(&row[block.clone()], zero);
                for i in 0..N {
                    sum[i] = simd.add_f32s(sum[i], x[i]);
                }
            }
        } else {
            let mean = load::<S, N>(&self.mean[block.clone()], zero);
            for row in self.x.chunks_exact(channels) {
                let x = load::<S, N>(&row[block.clone()], zero);
                for i in 0..N {
                    let apart = simd.sub_f32s(x[i], mean[i]);
                    sum[i] = simd.mul_add_e_f32s(apart, apart, sum[i]);
                }
            }
        }
        store::<S, N>(&mut self.sums[block], sum);
    }
}

/// `scale · x + shift`, clamped to a range.
struct Affine<'a> {
    x: &'a [f32],
    scale: &'a [f32],
    shift: &'a [f32],
    range: (f32, f32),
    out: &'a mut [f32],
}

impl ByChannels for Affine<'_> {
    fn channels(&self) -> usize {
        self.scale.len()
    }

    #[inline(always)]
    fn block<S: Simd, const N: usize>(&mut self, simd: S, from: usize) {
        let (channels, block) = (self.scale.len(), from..from + N * S::F32_LANES);
        let zero = simd.splat_f32s(0.0);
        let (least, most) = (simd.splat_f32s(self.range.0), simd.splat_f32s(self.range.1));
        let scale = load::<S, N>(&self.scale[block.clone()], zero);
        let shift = load::<S, N>(&self.shift[block.clone()], zero);
        let rows = self.out.chunks_exact_mut(channels).zip(self.x.chunks_exact(channels));
        for (out, x) in rows {
            let mut x = load::<S, N>(&x[block.clone()], zero);
            for i in 0..N {
                let value = simd.mul_add_e_f32s(x[i], scale[i], shift[i]);
                x[i] = simd.max_f32s(least, simd.min_f32s(most, value));
            }
            store::<S, N>(&mut out[block.clone()], x);
        }
    }
}

/// The mask of ReLU6 for gradients.
#[derive(Clone, Copy)]
struct Passed<'a> {
    scale: &'a [f32],
    shift: &'a [f32],
    mean: &'a [f32],
    range: (f32, f32),
}

impl Passed<'_> {
    /// Loads scale, shift and mean of a block of channels.
    #[inline(always)]
    fn load<S: Simd, const N: usize>(&self, block: Range<usize>, zero: S::f32s) -> Block<S, N> {
        [self.scale, self.shift, self.mean].map(|values| load::<S, N>(&values[block.clone()], zero))
    }

    /// Returns `dy` where the norm's result `x · scale + shift` lies in the range, else 0.
    #[inline(always)]
    fn gradient<S: Simd>(
        &self,
        simd: S,
        dy: S::f32s,
        x: S::f32s,
        [scale, shift]: [S::f32s; 2],
    ) -> S::f32s {
        let (least, most) = (simd.splat_f32s(self.range.0), simd.splat_f32s(self.range.1));
        let value = simd.mul_add_e_f32s(x, scale, shift);
        let inside = simd.and_m32s(
            simd.greater_than_or_equal_f32s(value, least),
            simd.less_than_or_equal_f32s(value, most),
        );
        simd.select_f32s(inside, dy, simd.splat_f32s(0.0))
    }
}

/// Three vectors over `N` registers of channels.
type Block<S, const N: usize> = [[<S as Simd>::f32s; N]; 3];

/// Σd and Σd·(x − μ).
struct GradSums<'a> {
    dy: &'a [f32],
    x: &'a [f32],
    passed: Passed<'a>,
    sums: &'a mut [f32],
    products: &'a mut [f32],
}

impl ByChannels for GradSums<'_> {
    fn channels(&self) -> usize {
        self.sums.len()
    }

    #[inline(always)]
    fn block<S: Simd, const N: usize>(&mut self, simd: S, from: usize) {
        let (channels, block) = (self.sums.len(), from..from + N * S::F32_LANES);
        let zero = simd.splat_f32s(0.0);
        let [scale, shift, mean] = self.passed.load::<S, N>(block.clone(), zero);
        let (mut sum, mut product) = ([zero; N], [zero; N]);
        let rows = self.dy.chunks_exact(channels).zip(self.x.chunks_exact(channels));
        for (dy, x) in rows {
            let dy = load::<S, N>(&dy[block.clone()], zero);
            let x = load::<S, N>(&x[block.clone()], zero);
            for i in 0..N {
                let d = self.passed.gradient(simd, dy[i], x[i], [scale[i], shift[i]]);
                sum[i] = simd.add_f32s(sum[i], d);
                product[i] = simd.mul_add_e_f32s(d, simd.sub_f32s(x[i], mean[i]), product[i]);
            }
        }
        store::<S, N>(&mut self.sums[block.clone()], sum);
        store::<S, N>(&mut self.products[block], product);
    }
}

/// The gradient of the input, after the sums are known.
struct GradInput<'a> {
    dy: &'a [f32],
    x: &'a [f32],
    passed: Passed<'a>,
    of_beta: &'a [f32],
    of_gamma: &'a [f32],
    dx: &'a mut [f32],
}

impl ByChannels for GradInput<'_> {
    fn channels(&self) -> usize {
        self.of_beta.len()
    }

    #[inline(always)]
    fn block<S: Simd, const N: usize>(&mut self, simd: S, from: usize) {
        let (channels, block) = (self.of_beta.len(), from..from + N * S::F32_LANES);
        let zero = simd.splat_f32s(0.0);
        let [scale, shift, mean] = self.passed.load::<S, N>(block.clone(), zero);
        let [of_beta, of_gamma] =
            [self.of_beta, self.of_gamma].map(|values| load::<S, N>(&values[block.clone()], zero));
        let rows = self.dy.chunks_exact(channels).zip(self.x.chunks_exact(channels));
        for (dx, (dy, x)) in self.dx.chunks_exact_mut(channels).zip(rows) {
            let dy = load::<S, N>(&dy[block.clone()], zero);
            let mut x = load::<S, N>(&x[block.clone()], zero);
            for i in 0..N {
                let d = self.passed.gradient(simd, dy[i], x[i], [scale[i], shift[i]]);
                let d = simd.sub_f32s(d, of_beta[i]);
                let apart = simd.sub_f32s(x[i], mean[i]);
                let d = simd.sub_f32s(d, simd.mul_f32s(apart, of_gamma[i]));
                x[i] = simd.mul_f32s(scale[i], d);
            }
            store::<S, N>(&mut dx[block.clone()], x);
        }
    }
}
