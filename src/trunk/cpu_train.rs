/*!
Training's share of the CPU work: convolutions with their gradients.

As in `cpu.rs`, everything is channels-last slices. A map of `positions` rows and
`channels` columns is `[batch · height · width, channels]`. Every sum is taken over
parts whose borders depend on the shape alone, in a fixed order, so that results are
the same to the last bit from run to run and for any number of threads.
*/

use faer::linalg::matmul::matmul;
use faer::{Accum, MatMut, MatRef, Par};
use pulp::Arch;
use rayon::prelude::*;

use super::cpu::{Depthwise, Shape, TILE};
use super::cpu_channels::AllChannels;
use super::cpu_depthwise::{InputGrad, WeightGrad};

/// Into how many parts a sum over positions or images is split.
pub(super) const PARTS: usize = 16;

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
}

/// A depthwise convolution of whole images, weights `[kernel, kernel, channels]`.
pub(super) fn depthwise(x: &[f32], w: &[f32], g: Geometry) -> Vec<f32> {
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

/// The gradient of [`depthwise`] for `x`.
pub(super) fn depthwise_x_grad(dy: &[f32], w: &[f32], g: Geometry) -> Vec<f32> {
    let (image, output) = (g.input.len(), g.output().len());
    let mut dx = vec![0.0; dy.len() / output.max(1) * image];
    let images = dy.par_chunks_exact(output).zip(dx.par_chunks_exact_mut(image));
    images.for_each(|(dy, dx)| {
        Arch::new().dispatch(AllChannels(InputGrad { dy, weight: w, geometry: g, dx }));
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
                let work = WeightGrad { x, dy, geometry: g, dw: &mut dw };
                Arch::new().dispatch(AllChannels(work));
            }
            dw
        })
        .collect();
    sum_in_order(parts, g.kernel * g.kernel * channels)
}

/// The sum of vectors of `len` values, one after the other.
pub(super) fn sum_in_order(parts: Vec<Vec<f32>>, len: usize) -> Vec<f32> {
    let mut sum = vec![0.0; len];
    for part in parts {
        sum.iter_mut().zip(part).for_each(|(s, p)| *s += p);
    }
    sum
}
