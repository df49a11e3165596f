/*!
Matrix products with packed weights, whose rows are gathered from anywhere: the one kernel behind
convolutions and linear layers at inference.

A row of the left matrix is the concatenation of one slice per *tap*. A linear layer has one tap, its
input; a k×k convolution of channels-last maps has k² taps, the channels at the positions under the
kernel. No patches are copied (the indirect convolution of Dukhan, arXiv 1907.02129). Up to fourteen
rows and two registers of columns stay in registers for the whole depth. Weights are packed once, in
the order in which the kernel reads them.
*/

use std::ops::Range;

use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

use super::activation::Activation;

/// Bytes of the left matrix that a thread processes with one panel of weights before it takes the
/// next panel; they stay in a core's L2 cache.
const TILE_BYTES: usize = 384 << 10;
/// Rows of a tile, at least and at most.
const TILE: [usize; 2] = [98, 490];
/// Rows in registers at the same time, on processors with 32 vector registers. The sides of most
/// maps are multiples of seven.
const ROWS: usize = 14;
/// The same on those with 16.
const FEWER_ROWS: usize = 6;
/// Registers of columns.
const REGISTERS: usize = 2;

/// Packed weights and biases of a matrix product.
#[derive(Debug, Clone)]
pub(in crate::trunk) struct Packed {
    /// For each panel of columns, row by row of the depth.
    panels: Vec<f32>,
    /// Of all panels.
    bias: Vec<f32>,
    depth: usize,
    width: usize,
    /// Columns of a panel.
    panel: usize,
}

impl Packed {
    /// Packs weights `[width, depth]` and biases, one for each column or none.
    pub fn new(weight: &[f32], depth: usize, bias: &[f32]) -> Self {
        let width = weight.len() / depth.max(1);
        Self::with(depth, width, bias, |k, column| weight[column * depth + k])
    }

    /// Packs weights that a function of depth and column gives.
    pub fn with(
        depth: usize,
        width: usize,
        bias: &[f32],
        weight: impl Fn(usize, usize) -> f32,
    ) -> Self {
        let panel = Arch::new().dispatch(Columns);
        let padded = width.next_multiple_of(panel);
        let mut panels = vec![0.0; padded * depth];
        for (number, values) in panels.chunks_exact_mut((panel * depth).max(1)).enumerate() {
            let first = number * panel;
            let columns = panel.min(width - first);
            for (k, values) in values.chunks_exact_mut(panel).enumerate() {
                for (within, value) in values[..columns].iter_mut().enumerate() {
                    *value = weight(k, first + within);
                }
            }
        }
        let mut all = vec![0.0; padded];
        all.iter_mut().zip(bias).for_each(|(to, from)| *to = *from);
        Self { panels, bias: all, depth, width, panel }
    }

    /// Columns of the result.
    pub fn width(&self) -> usize {
        self.width
    }

    fn panels_count(&self) -> usize {
        self.panels.len() / (self.depth * self.panel).max(1)
    }

    /// Length of a row of the left matrix.
    pub fn depth(&self) -> usize {
        self.depth
    }
}

/// Number of columns of a panel on this processor.
struct Columns;

impl WithSimd for Columns {
    type Output = usize;

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) -> usize {
        REGISTERS * S::F32_LANES
    }
}

/// What follows a product.
#[derive(Debug, Clone, Copy)]
pub(in crate::trunk) struct After<'a> {
    /// Added to the product, with rows of the product's width.
    pub residual: Option<&'a [f32]>,
    /// Applied last.
    pub activation: Activation,
}

impl After<'_> {
    /// What follows some rows of a product that has `width` columns.
    pub(super) fn rows(self, row: usize, count: usize, width: usize) -> Self {
        let residual = self.residual.map(|all| &all[row * width..(row + count) * width]);
        Self { residual, ..self }
    }
}

/// Returns the number of rows of a tile, so that `threads` threads get as many, for a left matrix of
/// `depth` columns.
pub(super) fn tile_of(rows: usize, depth: usize, threads: usize) -> usize {
    let most = (TILE_BYTES / 4 / depth.max(1)).clamp(TILE[0], TILE[1]);
    let tiles = rows.div_ceil(most * threads).max(1) * threads;
    rows.div_ceil(tiles).max(1)
}

/// Whether threads share out the columns of a product, because its weights are larger than its left
/// matrix: each thread then reads a part of the weights only.
pub(super) fn by_columns(rows: usize, width: usize, threads: usize) -> bool {
    rows < width && threads > 1
}

/// Computes `activation(x · weightsᵀ + bias + residual)` on all threads, for rows that `gather`
/// appends to a list: those from a first row on, this many, tap by tap.
pub(super) fn gathered<'a>(
    rows: usize,
    depth: usize,
    gather: impl Fn(usize, usize, &mut Vec<&'a [f32]>) + Sync,
    weights: &Packed,
    after: After<'_>,
    out: &mut [f32],
    threads: usize,
) {
    let width = weights.width;
    if rows == 0 || width == 0 {
        return;
    }
    if by_columns(rows, width, threads) {
        let each = weights.panels_count().div_ceil(threads).max(1);
        let groups = weights.panels_count().div_ceil(each);
        let mut parts: Vec<Vec<&mut [f32]>> = (0..groups).map(|_| Vec::new()).collect();
        for row in out.chunks_exact_mut(width) {
            for (part, columns) in parts.iter_mut().zip(row.chunks_mut(each * weights.panel)) {
                part.push(columns);
            }
        }
        let size = tile_of(rows, weights.depth, threads);
        parts.into_par_iter().enumerate().for_each(|(number, mut part)| {
            let panels = number * each..((number + 1) * each).min(weights.panels_count());
            let mut slices = Vec::new();
            for (tile_number, out) in part.chunks_mut(size).enumerate() {
                let first = tile_number * size;
                slices.clear();
                gather(first, out.len(), &mut slices);
                let taps = Taps { rows: &slices, count: out.len(), depth };
                let after = after.rows(first, out.len(), width);
                tile(&taps, weights, panels.clone(), after, out);
            }
        });
        return;
    }
    let size = tile_of(rows, weights.depth, threads);
    out.par_chunks_mut(size * width).enumerate().for_each_init(
        Vec::new,
        |slices, (number, out)| {
            let (first, count) = (number * size, out.len() / width);
            slices.clear();
            gather(first, count, slices);
            let taps = Taps { rows: slices, count, depth };
            let mut rows: Vec<&mut [f32]> = out.chunks_exact_mut(width).collect();
            let after = after.rows(first, count, width);
            tile(&taps, weights, 0..weights.panels_count(), after, &mut rows);
        },
    );
}

/// Computes `activation(x · weightsᵀ + bias + residual)` for contiguous rows of `x`.
pub(super) fn product<'a>(
    x: &'a [f32],
    weights: &Packed,
    after: After<'_>,
    out: &mut [f32],
    threads: usize,
) {
    let depth = weights.depth;
    let rows = x.len() / depth.max(1);
    let gather = |first: usize, count: usize, slices: &mut Vec<&'a [f32]>| {
        slices.extend(x[first * depth..(first + count) * depth].chunks_exact(depth));
    };
    gathered(rows, depth, gather, weights, after, out, threads);
}

/// Computes contiguous rows on this thread.
pub(super) fn rows_of(x: &[f32], weights: &Packed, after: After<'_>, out: &mut [f32]) {
    let taps: Vec<&[f32]> = x.chunks_exact(weights.depth.max(1)).collect();
    rows_at(&taps, weights, after, out);
}

/// Computes rows at any place on this thread.
pub(super) fn rows_at(x: &[&[f32]], weights: &Packed, after: After<'_>, out: &mut [f32]) {
    let mut out: Vec<&mut [f32]> = out.chunks_exact_mut(weights.width.max(1)).collect();
    let taps = Taps { rows: x, count: out.len(), depth: weights.depth };
    tile(&taps, weights, 0..weights.panels_count(), after, &mut out);
}

/// The rows of a tile: `taps · count` slices of `depth` values, tap by tap.
#[derive(Debug, Clone, Copy)]
pub(super) struct Taps<'a> {
    pub rows: &'a [&'a [f32]],
    pub count: usize,
    pub depth: usize,
}

/// Computes some panels of the rows of a tile on this thread; `out` has the columns of these panels.
fn tile(
    taps: &Taps<'_>,
    weights: &Packed,
    panels: Range<usize>,
    after: After<'_>,
    out: &mut [&mut [f32]],
) {
    Arch::new().dispatch(Tile { taps, weights, panels, after, out });
}

struct Tile<'a, 'o> {
    taps: &'a Taps<'a>,
    weights: &'a Packed,
    panels: Range<usize>,
    after: After<'a>,
    out: &'a mut [&'o mut [f32]],
}

impl WithSimd for Tile<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { taps, weights, panels, after, out } = self;
        let (panel, many) = (REGISTERS * S::F32_LANES, S::REGISTER_COUNT >= 32);
        let size = panel * weights.depth;
        for number in panels.clone() {
            let first = number * panel;
            let columns = Column {
                weights: &weights.panels[number * size..(number + 1) * size],
                bias: &weights.bias[first..first + panel],
                first,
                within: (number - panels.start) * panel,
                width: weights.width,
            };
            let mut row = 0;
            while row < taps.count {
                let left = taps.count - row;
                let done = match left {
                    ROWS.. if many => block::<S, ROWS>(simd, taps, row, &columns, after, out),
                    7.. if many => block::<S, 7>(simd, taps, row, &columns, after, out),
                    FEWER_ROWS.. => block::<S, FEWER_ROWS>(simd, taps, row, &columns, after, out),
                    4.. => block::<S, 4>(simd, taps, row, &columns, after, out),
                    2.. => block::<S, 2>(simd, taps, row, &columns, after, out),
                    _ => block::<S, 1>(simd, taps, row, &columns, after, out),
                };
                row += done;
            }
        }
    }
}

/// A panel of columns.
struct Column<'a> {
    weights: &'a [f32],
    bias: &'a [f32],
    /// The first column of the result.
    first: usize,
    /// The first column within the columns that are computed.
    within: usize,
    /// All columns of the result.
    width: usize,
}

/// Computes `M` rows of a panel. Returns their number.
#[inline(always)]
fn block<S: Simd, const M: usize>(
    simd: S,
    taps: &Taps<'_>,
    row: usize,
    columns: &Column<'_>,
    after: After<'_>,
    out: &mut [&mut [f32]],
) -> usize {
    let (lanes, panel) = (S::F32_LANES, REGISTERS * S::F32_LANES);
    let (bias, _) = S::as_simd_f32s(columns.bias);
    let mut sums = [[bias[0], bias[1]]; M];
    let tapped = taps.rows.chunks_exact(taps.count);
    for (tap, weights) in tapped.zip(columns.weights.chunks_exact(panel * taps.depth)) {
        let rows: [&[f32]; M] = std::array::from_fn(|m| &tap[row + m][..taps.depth]);
        let (weights, _) = S::as_simd_f32s(weights);
        let (weights, _) = weights.as_chunks::<REGISTERS>();
        for (k, weights) in weights.iter().enumerate().take(taps.depth) {
            for m in 0..M {
                let x = simd.splat_f32s(rows[m][k]);
                sums[m][0] = simd.mul_add_e_f32s(x, weights[0], sums[m][0]);
                sums[m][1] = simd.mul_add_e_f32s(x, weights[1], sums[m][1]);
            }
        }
    }
    let here = panel.min(columns.width - columns.first);
    for (m, sums) in sums.into_iter().enumerate() {
        let out = &mut out[row + m][columns.within..columns.within + here];
        let at = (row + m) * columns.width + columns.first;
        let residual = after.residual.map(|all| &all[at..at + here]);
        if here == panel {
            let (out, _) = S::as_mut_simd_f32s(out);
            let residual = residual.map(|residual| S::as_simd_f32s(residual).0);
            for (n, sum) in sums.into_iter().enumerate() {
                let sum = match residual {
                    Some(residual) => simd.add_f32s(sum, residual[n]),
                    None => sum,
                };
                out[n] = after.activation.apply(simd, sum);
            }
        } else {
            for (n, sum) in sums.into_iter().enumerate() {
                let (from, to) = ((n * lanes).min(here), ((n + 1) * lanes).min(here));
                let sum = match residual {
                    Some(all) => simd.add_f32s(sum, simd.partial_load_f32s(&all[from..to])),
                    None => sum,
                };
                let value = after.activation.apply(simd, sum);
                simd.partial_store_f32s(&mut out[from..to], value);
            }
        }
    }
    M
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn numbers(seed: usize, count: usize) -> Vec<f32> {
        (0..count).map(|i| ((i * 7919 + seed * 104_729) % 1009) as f32 / 504.0 - 1.0).collect()
    }

    proptest! {
        #[test]
        fn products_are_the_plain_ones(
            rows in 0usize..130, depth in 1usize..40, width in 1usize..80, seed in 0usize..9,
            added: bool, relu: bool,
        ) {
            let (x, w) = (numbers(seed, rows * depth), numbers(seed + 1, width * depth));
            let (bias, residual) = (numbers(seed + 2, width), numbers(seed + 3, rows * width));
            let packed = Packed::new(&w, depth, &bias);
            let activation = if relu { Activation::Relu } else { Activation::None };
            let after = After { residual: added.then_some(&residual[..]), activation };
            let mut out = vec![f32::NAN; rows * width];
            product(&x, &packed, after, &mut out, 1 + seed % 3);
            for (k, value) in out.into_iter().enumerate() {
                let (row, column) = (k / width, k % width);
                let pairs = x[row * depth..][..depth].iter().zip(&w[column * depth..][..depth]);
                let mut sum = pairs.map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>();
                sum += f64::from(bias[column]) + if added { f64::from(residual[k]) } else { 0.0 };
                let expected = if relu { sum.max(0.0) } else { sum };
                prop_assert!((f64::from(value) - expected).abs() < 1e-4, "{k}: {value} {expected}");
            }
        }
    }
}
