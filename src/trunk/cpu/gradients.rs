/*!
Convolutions and their gradients for training on the CPU.

As in `inference.rs`, all maps are channels-last slices: a matrix `[positions, channels]` with
`positions` = batch · height · width. Every sum is split into parts whose boundaries depend
only on the shape, and the parts are added in a fixed order. Results are therefore
bit-identical from run to run and for any number of threads.
*/

use faer::linalg::matmul::matmul;
use faer::{Accum, MatMut, MatRef, Par};
use pulp::Arch;
use rayon::prelude::*;

use super::channels::AllChannels;
use super::depthwise::{InputGrad, WeightGrad};
use super::geometry::Geometry;
use super::inference::{Depthwise, TILE};

/// Number of parts of a sum over positions or images.
pub(super) const PARTS: usize = 16;

/// Computes `y = x · wᵀ`. `x` has rows of `input` values, `w` is `[output, input]`.
pub(in crate::trunk) fn pointwise(x: &[f32], w: &[f32], input: usize) -> Vec<f32> {
    let output = w.len() / input;
    let w = MatRef::from_column_major_slice(w, input, output);
    rows_times(x, input, w)
}

/// Computes the gradient of [`pointwise`] with respect to `x`: `dy · w`.
pub(in crate::trunk) fn pointwise_x_grad(dy: &[f32], w: &[f32], input: usize) -> Vec<f32> {
    let output = w.len() / input;
    rows_times(dy, output, MatRef::from_row_major_slice(w, output, input))
}

/// Computes the gradient of [`pointwise`] with respect to `w`: `dyᵀ · x`, `[output, input]`.
pub(in crate::trunk) fn pointwise_w_grad(
    x: &[f32],
    dy: &[f32],
    input: usize,
    output: usize,
) -> Vec<f32> {
    let positions = x.len() / input;
    let mut dw = vec![0.0; output * input];
    // The parts split the result, not the sum: every thread writes its own rows.
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

/// Computes `x · m` in tiles of rows.
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

/// Computes a depthwise convolution of whole images, weights `[kernel, kernel, channels]`.
pub(in crate::trunk) fn depthwise(x: &[f32], w: &[f32], g: Geometry) -> Vec<f32> {
    let (image, output) = (g.input.len(), g.output());
    let mut out = vec![0.0; x.len() / image.max(1) * output.len()];
    let bias = vec![0.0; g.input.channels];
    let images = x.par_chunks_exact(image).zip(out.par_chunks_exact_mut(output.len()));
    images.for_each(|(x, out)| {
        Arch::new().dispatch(AllChannels(Depthwise {
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
        }));
    });
    out
}

/// Computes the gradient of [`depthwise`] with respect to `x`.
pub(in crate::trunk) fn depthwise_x_grad(dy: &[f32], w: &[f32], g: Geometry) -> Vec<f32> {
    let (image, output) = (g.input.len(), g.output().len());
    let mut dx = vec![0.0; dy.len() / output.max(1) * image];
    let images = dy.par_chunks_exact(output).zip(dx.par_chunks_exact_mut(image));
    images.for_each(|(dy, dx)| {
        Arch::new().dispatch(AllChannels(InputGrad { dy, weight: w, geometry: g, dx }));
    });
    dx
}

/// Computes the gradient of [`depthwise`] with respect to the weights, `[kernel, kernel,
/// channels]`.
pub(in crate::trunk) fn depthwise_w_grad(x: &[f32], dy: &[f32], g: Geometry) -> Vec<f32> {
    let (image, output, channels) = (g.input.len(), g.output().len(), g.input.channels);
    let images = x.len() / image.max(1);
    let per_part = images.div_ceil(PARTS).max(1);
    let parts = x.par_chunks(per_part * image).zip(dy.par_chunks(per_part * output));
    let parts: Vec<Vec<f32>> = parts
        .map(|(x, dy)| {
            let mut dw = vec![0.0; g.kernel * g.kernel * channels];
            for (x, dy) in x.chunks_exact(image).zip(dy.chunks_exact(output)) {
                let work = WeightGrad { x, dy, geometry: g, dw: &mut dw };
                Arch::new().dispatch(AllChannels(work));
            }
            dw
        })
        .collect();
    sum_in_order(parts, g.kernel * g.kernel * channels)
}

/// Adds vectors of `len` values in order.
pub(super) fn sum_in_order(parts: Vec<Vec<f32>>, len: usize) -> Vec<f32> {
    let mut sum = vec![0.0; len];
    for part in parts {
        sum.iter_mut().zip(part).for_each(|(s, p)| *s += p);
    }
    sum
}
