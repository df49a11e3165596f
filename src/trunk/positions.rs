/*!
The positions of a transformer's patches: embeddings resampled to other grids, and rotations.
*/

use std::f64::consts::TAU;

use burn::prelude::*;

/// The cubic's parameter, as in Pillow.
const CUBIC: f64 = -0.5;
/// The greatest period of rotations.
const GREATEST_PERIOD: f64 = 100.0;

/// Resamples embeddings of a square grid, `[from², C]`, to `[to², C]`: bicubic, antialiased when the
/// grid shrinks. This is the rule of the library timm, and of DINOv2's networks with registers.
pub(super) fn resampled(grid: Tensor<2>, from: usize, to: usize) -> Tensor<2> {
    if from == to {
        return grid;
    }
    let [_, channels] = grid.dims();
    let device = grid.device();
    let weights = Tensor::<2>::from_data(TensorData::new(shares(from, to), [to, from]), &device);
    let rows = weights.clone().matmul(grid.reshape([from, from * channels]));
    let columns = rows.reshape([to, from, channels]).swap_dims(0, 1);
    let both = weights.matmul(columns.reshape([from, to * channels]));
    both.reshape([to, to, channels]).swap_dims(0, 1).reshape([to * to, channels])
}

/// Returns the weights `[to, from]` of a resampling from `from` to `to` values.
fn shares(from: usize, to: usize) -> Vec<f32> {
    let scale = from as f64 / to as f64;
    let stretch = scale.max(1.0);
    let mut shares = Vec::with_capacity(to * from);
    for i in 0..to {
        let centre = (i as f64 + 0.5) * scale;
        let reached = |j: usize| {
            let low = (centre - 2.0 * stretch + 0.5).floor().max(0.0) as usize;
            let high = ((centre + 2.0 * stretch + 0.5).floor() as usize).min(from);
            (low..high).contains(&j)
        };
        let weight = |j: usize| match reached(j) {
            true => cubic((j as f64 + 0.5 - centre) / stretch),
            false => 0.0,
        };
        let row: Vec<f64> = (0..from).map(weight).collect();
        let sum: f64 = row.iter().sum();
        shares.extend(row.iter().map(|weight| (weight / sum) as f32));
    }
    shares
}

/// Cubic convolution (Keys 1981).
fn cubic(x: f64) -> f64 {
    let (a, x) = (CUBIC, x.abs());
    match x {
        ..1.0 => ((a + 2.0) * x - (a + 3.0)) * x * x + 1.0,
        ..2.0 => (((x - 5.0) * x + 8.0) * x - 4.0) * a,
        _ => 0.0,
    }
}

/// Rotates queries or keys `[batch, heads, tokens, d]` by the positions of the last `side²` tokens.
///
/// Rotary positions on two axes as in DINOv3: the centres of patches have coordinates y and x from
/// −1 to 1. With d/4 periods from 1 towards 100, the angles are 2π·coordinate/period, first those of
/// y and then those of x, for the first half of the d values and again for the second. The value
/// pairs (a, b) of both halves become `(a·cos − b·sin, b·cos + a·sin)`.
pub(super) fn rotated(x: Tensor<4>, side: usize) -> Tensor<4> {
    let [_, _, tokens, d] = x.dims();
    let places = side * side;
    let still = tokens - places;
    let device = x.device();
    let table = |of: fn(f64) -> f64| {
        let values: Vec<f32> = angles(side, d).into_iter().map(|angle| of(angle) as f32).collect();
        Tensor::<4>::from_data(TensorData::new(values, [1, 1, places, d / 2]), &device)
    };
    let (cos, sin) = (table(f64::cos), table(f64::sin));
    let turning = x.clone().narrow(2, still, places);
    let (a, b) = (turning.clone().narrow(3, 0, d / 2), turning.narrow(3, d / 2, d / 2));
    let first = a.clone() * cos.clone() - b.clone() * sin.clone();
    let second = b * cos + a * sin;
    let turned = Tensor::cat(vec![first, second], 3);
    match still {
        0 => turned,
        _ => Tensor::cat(vec![x.narrow(2, 0, still), turned], 2),
    }
}

/// Returns the angles of all patches in order, d/2 for each.
pub(super) fn angles(side: usize, d: usize) -> Vec<f64> {
    let periods = d / 4;
    let centre = |i: usize| 2.0 * (i as f64 + 0.5) / side as f64 - 1.0;
    let mut angles = Vec::with_capacity(side * side * 2 * periods);
    for place in 0..side * side {
        for coordinate in [centre(place / side), centre(place % side)] {
            let period = |k: usize| GREATEST_PERIOD.powf(k as f64 / periods as f64);
            angles.extend((0..periods).map(|k| TAU * coordinate / period(k)));
        }
    }
    angles
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resampling_keeps_constants_and_the_middle() {
        for (from, to) in [(7, 7), (37, 16), (14, 9), (5, 12)] {
            let shares = shares(from, to);
            for row in shares.chunks(from) {
                assert!((row.iter().sum::<f32>() - 1.0).abs() < 1e-5);
            }
            // A ramp stays a ramp where no border is near.
            let mean = |row: &[f32]| row.iter().zip(0..).map(|(w, i)| w * i as f32).sum::<f32>();
            let middle = to / 2;
            let expected = (middle as f32 + 0.5) * from as f32 / to as f32 - 0.5;
            assert!(
                (mean(&shares[middle * from..][..from]) - expected).abs() < 1e-2,
                "{from} {to}"
            );
        }
    }

    #[test]
    fn rotations_keep_lengths_and_depend_on_distances_alone() {
        let (side, d) = (4, 16);
        let device = Device::flex();
        let x = Tensor::<4>::ones([1, 1, 2 + side * side, d], &device);
        let rows = rotated(x, side).into_data().try_into_vec::<f32>().unwrap();
        let row = |place: usize| &rows[(2 + place) * d..(3 + place) * d];
        assert!(rows[..2 * d].iter().all(|value| *value == 1.0));
        let dot = |a: usize, b: usize| row(a).iter().zip(row(b)).map(|(a, b)| a * b).sum::<f32>();
        assert!((dot(3, 3) - d as f32).abs() < 1e-4);
        // From (0, 0) to (1, 2), and from (2, 1) to (3, 3).
        assert!((dot(0, 6) - dot(9, 15)).abs() < 1e-4);
        assert!((dot(0, 6) - dot(0, 2)).abs() > 1e-2);
    }
}
