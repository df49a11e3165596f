/*!
Attention between tokens. The table of all pairs is never in memory: the queries of a head are
processed in tiles, whose scores stay in cache.
*/

use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

use super::activation::{self, Activation};
use super::buffers::{Buffer, Buffers};
use super::product::{After, Packed, by_columns, product, rows_at, rows_of, tile_of};
use super::rows::{Norm, sum_of};
use crate::trunk::positions::angles;

/// Queries of a tile.
const QUERIES: usize = 56;

/// Norm, queries, keys and values, attention, and a linear layer.
#[derive(Debug, Clone)]
pub(in crate::trunk) struct Attention {
    pub norm: Norm,
    /// To queries, keys and values.
    pub qkv: Packed,
    pub project: Packed,
    pub heads: usize,
}

/// The cosines and sines of rotary positions, `[places, d/2]`; earlier tokens are not rotated.
#[derive(Debug)]
pub(in crate::trunk) struct Rotation {
    pub cos: Vec<f32>,
    pub sin: Vec<f32>,
}

impl Rotation {
    /// Computes the rotation of `side²` places for heads of `d` channels.
    pub fn new(side: usize, d: usize) -> Self {
        let angles = angles(side, d);
        let table = |of: fn(f64) -> f64| angles.iter().map(|angle| of(*angle) as f32).collect();
        Self { cos: table(f64::cos), sin: table(f64::sin) }
    }
}

impl Attention {
    /// Computes `x + project(attention(norm(x)))` of `batch` images, `[batch, tokens, C]`.
    pub fn run(
        &self,
        x: &[f32],
        batch: usize,
        rotation: Option<&Rotation>,
        buffers: &Buffers,
    ) -> Buffer {
        let width = self.qkv.depth();
        let tokens = x.len() / (batch * width).max(1);
        let mut qkv = self.heads_of(x, buffers);
        if let Some(rotation) = rotation {
            qkv.par_chunks_mut((tokens * 3 * width).max(1)).for_each(|image| {
                rotate(image, width, width / self.heads, rotation);
            });
        }
        let each: Vec<Buffer> = (0..batch * self.heads)
            .into_par_iter()
            .map(|task| {
                let (image, head) = (task / self.heads, task % self.heads);
                let image = &qkv[image * tokens * 3 * width..(image + 1) * tokens * 3 * width];
                attend(image, width, width / self.heads, head, buffers)
            })
            .collect();
        let d = width / self.heads;
        buffers.give(qkv);
        let mut mixed = buffers.take(x.len());
        for (row, mixed) in mixed.chunks_exact_mut(width).enumerate() {
            let (image, token) = (row / tokens, row % tokens);
            for (head, mixed) in mixed.chunks_exact_mut(d).enumerate() {
                let from = &each[image * self.heads + head][token * d..(token + 1) * d];
                mixed.copy_from_slice(from);
            }
        }
        each.into_iter().for_each(|head| buffers.give(head));
        let after = After { residual: Some(x), activation: Activation::None };
        let mut out = buffers.take(x.len());
        product(&mixed, &self.project, after, &mut out, buffers.threads);
        buffers.give(mixed);
        out
    }

    /// Computes queries, keys and values of all rows, `[rows, 3·C]`.
    fn heads_of(&self, x: &[f32], buffers: &Buffers) -> Buffer {
        let (input, output) = (self.qkv.depth(), self.qkv.width());
        let rows = x.len() / input.max(1);
        let mut out = buffers.take(rows * output);
        let threads = buffers.threads;
        let after = After { residual: None, activation: Activation::None };
        if by_columns(rows, output, threads) {
            let normed = self.norm.run(x, buffers);
            product(&normed, &self.qkv, after, &mut out, threads);
            buffers.give(normed);
            return out;
        }
        let tile = tile_of(rows, input, threads);
        let chunks = out.par_chunks_mut((tile * output).max(1)).zip(x.par_chunks(tile * input));
        chunks.for_each_init(Vec::new, |normed, (out, x)| {
            normed.resize(x.len(), 0.0);
            self.norm.apply(x, normed);
            rows_of(normed, &self.qkv, after, out);
        });
        out
    }
}

/// Rotates the queries and keys of an image's last tokens.
fn rotate(qkv: &mut [f32], width: usize, d: usize, rotation: &Rotation) {
    let half = d / 2;
    let tokens = qkv.len() / (3 * width);
    let places = rotation.cos.len() / half.max(1);
    let rows = qkv.chunks_exact_mut(3 * width).skip(tokens - places.min(tokens));
    let tables = rotation.cos.chunks_exact(half).zip(rotation.sin.chunks_exact(half));
    for (row, (cos, sin)) in rows.zip(tables) {
        for head in row[..2 * width].chunks_exact_mut(d) {
            let (first, second) = head.split_at_mut(half);
            for (k, (a, b)) in first.iter_mut().zip(second).enumerate() {
                (*a, *b) = (*a * cos[k] - *b * sin[k], *b * cos[k] + *a * sin[k]);
            }
        }
    }
}

/// Computes what a head returns for all tokens of an image, `[tokens, d]`.
fn attend(qkv: &[f32], width: usize, d: usize, head: usize, buffers: &Buffers) -> Buffer {
    let row = 3 * width;
    let tokens = qkv.len() / row;
    let part = |token: usize, part: usize| {
        let from = token * row + part * width + head * d;
        &qkv[from..from + d]
    };
    let keys = Packed::with(d, tokens, &[], |k, token| qkv[token * row + width + head * d + k]);
    let values = Packed::with(tokens, d, &[], |token, k| part(token, 2)[k]);
    let scale = 1.0 / (d as f32).sqrt();
    let plain = After { residual: None, activation: Activation::None };
    let mut scores = vec![0.0; QUERIES.min(tokens) * tokens];
    let mut out = buffers.take(tokens * d);
    for (number, out) in out.chunks_mut(QUERIES * d).enumerate() {
        let count = out.len() / d;
        let queries: Vec<&[f32]> = (0..count).map(|q| part(number * QUERIES + q, 0)).collect();
        let scores = &mut scores[..count * tokens];
        rows_at(&queries, &keys, plain, scores);
        Arch::new().dispatch(Softmax { rows: scores, width: tokens, scale });
        rows_of(scores, &values, plain, out);
    }
    out
}

/// The softmax of each row times a scale.
struct Softmax<'a> {
    rows: &'a mut [f32],
    width: usize,
    scale: f32,
}

impl WithSimd for Softmax<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let scale = simd.splat_f32s(self.scale);
        for row in self.rows.chunks_exact_mut(self.width.max(1)) {
            let (whole, rest) = S::as_simd_f32s(row);
            let mut most = simd.splat_f32s(f32::NEG_INFINITY);
            for x in whole {
                most = simd.max_f32s(most, *x);
            }
            let most = rest.iter().fold(simd.reduce_max_f32s(most), |most, x| most.max(*x));
            let most = simd.splat_f32s(most);
            for piece in row.chunks_mut(S::F32_LANES) {
                let x = simd.sub_f32s(simd.partial_load_f32s(piece), most);
                let e = activation::exp(simd, simd.mul_f32s(x, scale));
                simd.partial_store_f32s(piece, e);
            }
            let share = simd.splat_f32s(1.0 / sum_of(simd, row, |_, x| x));
            for piece in row.chunks_mut(S::F32_LANES) {
                let x = simd.mul_f32s(simd.partial_load_f32s(piece), share);
                simd.partial_store_f32s(piece, x);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(seed: usize, count: usize) -> Vec<f32> {
        (0..count).map(|i| ((i * 7919 + seed * 104_729) % 1009) as f32 / 504.0 - 1.0).collect()
    }

    #[test]
    fn heads_attend_as_the_formula_says() {
        for (tokens, d, heads) in [(1, 8, 1), (50, 16, 3), (99, 64, 2)] {
            let width = d * heads;
            let qkv: Vec<f32> = numbers(1, tokens * 3 * width).iter().map(|v| v * 2.0).collect();
            for head in 0..heads {
                let part = |token: usize, part: usize, k: usize| {
                    f64::from(qkv[token * 3 * width + part * width + head * d + k])
                };
                let found = attend(&qkv, width, d, head, &Buffers::new(1));
                for token in 0..tokens {
                    let score = |other: usize| {
                        let dot: f64 = (0..d).map(|k| part(token, 0, k) * part(other, 1, k)).sum();
                        (dot / (d as f64).sqrt()).exp()
                    };
                    let scores: Vec<f64> = (0..tokens).map(score).collect();
                    let all: f64 = scores.iter().sum();
                    for k in 0..d {
                        let sum: f64 = (0..tokens).map(|o| scores[o] * part(o, 2, k)).sum();
                        let error = (f64::from(found[token * d + k]) - sum / all).abs();
                        assert!(error < 1e-5, "{tokens} {token} {k}: {error}");
                    }
                }
            }
        }
    }
}
