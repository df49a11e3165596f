/*!
Test support for losses: a reference in double precision with plain loops, and gradients by finite
differences.
*/

use std::sync::Arc;

use burn::tensor::{Device, Tensor, TensorData};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::groups::Groups;
use super::learner::{Learner, Moment, Seen};
use super::net::Twice;

/// A matrix as rows of numbers.
pub type Rows = Vec<Vec<f64>>;

/// Returns labels of test images, one of them with two labels, and their groups.
pub fn images() -> (Vec<Vec<u32>>, Arc<Groups>) {
    let labels = [0, 2, 0, 5, 2, 0, 5, 0].map(|label| vec![label]);
    let labels: Vec<Vec<u32>> = labels.into_iter().chain([vec![0, 5]]).collect();
    let groups = Arc::new(Groups::new(&labels));
    (labels, groups)
}

/// Returns whether two images share a label.
pub fn similar(a: &[u32], b: &[u32]) -> bool {
    a.iter().any(|label| b.contains(label))
}

pub fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// Returns all ordered pairs of different rows of a batch: whether they are similar, and both rows.
pub fn pairs<'a>(
    u: &'a Rows,
    labels: &'a [Vec<u32>],
) -> impl Iterator<Item = (bool, &'a [f64], &'a [f64])> {
    let all = (0..u.len()).flat_map(move |i| (0..u.len()).map(move |j| (i, j)));
    all.filter(|(i, j)| i != j)
        .map(move |(i, j)| (similar(&labels[i], &labels[j]), &u[i][..], &u[j][..]))
}

/// Returns the mean; 0 for an empty input.
pub fn mean(values: impl Iterator<Item = f64>) -> f64 {
    let (sum, count) = values.fold((0.0, 0usize), |(sum, n), v| (sum + v, n + 1));
    if count > 0 { sum / count as f64 } else { 0.0 }
}

/// Returns `‖|u| − 1‖²` of a row.
pub fn off(u: &[f64]) -> f64 {
    u.iter().map(|v| (v.abs() - 1.0).powi(2)).sum()
}

/// Compares a method's loss and its gradient with `plain`. `plain` gets the activated codes, those
/// of the second view if `twice`, and the images' labels.
pub fn check(
    learner: &dyn Learner,
    (labels, batch): (&[Vec<u32>], &[usize]),
    bits: usize,
    at: Moment,
    twice: bool,
    plain: impl Fn(&Rows, &Rows, &[Vec<u32>]) -> f64,
) {
    for seed in 0..4 {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut draw = || -> Vec<f32> {
            (0..batch.len() * bits).map(|_| rng.random_range(-1.5..1.5f32)).collect()
        };
        let (codes, whole) = (draw(), draw());
        let device = Device::flex().autodiff();
        let tensor = |values: &[f32]| -> Tensor<2> {
            let data = TensorData::new(values.to_vec(), [batch.len(), bits]);
            Tensor::from_data(data, &device).require_grad()
        };
        let (u, h) = (tensor(&codes), tensor(&whole));
        let saliency = Tensor::full([batch.len(), 4], 0.5, &device);
        let twice = twice.then(|| Twice { whole: h.clone(), saliency });
        let (features, images) = (Tensor::zeros([batch.len(), 1], &device), batch);
        let loss = learner.loss(Seen { images, codes: u.clone(), features, twice, at });
        let value = loss.clone().inner().into_scalar::<f32>();
        let gradients = loss.backward();
        let rows = |values: &[f32]| -> Rows {
            values.chunks(bits).map(|row| row.iter().map(|v| f64::from(*v)).collect()).collect()
        };
        let own: Vec<Vec<u32>> = batch.iter().map(|image| labels[*image].clone()).collect();
        let (a, b) = (rows(&codes), rows(&whole));
        let expected = plain(&a, &b, &own);
        let near = |a: f64, b: f64| (a - b).abs() <= 1e-4 * (1.0 + b.abs());
        assert!(near(f64::from(value), expected), "{value} instead of {expected}");
        let gradient = u.grad(&gradients).unwrap().into_data().try_into_vec::<f32>().unwrap();
        for (k, ours) in gradient.iter().enumerate() {
            let shifted = |by: f64| {
                let mut a = a.clone();
                a[k / bits][k % bits] += by;
                plain(&a, &b, &own)
            };
            let slope = (shifted(1e-6) - shifted(-1e-6)) / 2e-6;
            assert!(near(f64::from(*ours), slope), "value {k}: {ours} instead of {slope}");
        }
    }
}

/// Compares a term of a loss and its gradients with `plain`. Both get inputs of the given shapes.
pub fn check_term<const N: usize>(
    shapes: &[[usize; 2]; N],
    term: impl Fn(&[Tensor<2>]) -> Tensor<1>,
    plain: impl Fn(&[Rows]) -> f64,
) {
    for seed in 0..3 {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut draw = |[rows, columns]: [usize; 2]| -> Vec<f32> {
            (0..rows * columns).map(|_| rng.random_range(-1.5..1.5f32)).collect()
        };
        let drawn: Vec<Vec<f32>> = shapes.iter().map(|shape| draw(*shape)).collect();
        let device = Device::flex().autodiff();
        let inputs: Vec<Tensor<2>> = drawn
            .iter()
            .zip(shapes)
            .map(|(values, shape)| {
                Tensor::from_data(TensorData::new(values.clone(), *shape), &device).require_grad()
            })
            .collect();
        let mut rows: Vec<Rows> = drawn
            .iter()
            .zip(shapes)
            .map(|(values, [_, columns])| {
                let row = |row: &[f32]| row.iter().map(|v| f64::from(*v)).collect();
                values.chunks(*columns).map(row).collect()
            })
            .collect();
        let near = |a: f64, b: f64| (a - b).abs() <= 2e-4 * (1.0 + b.abs());
        let found = term(&inputs);
        let (value, expected) = (found.clone().inner().into_scalar::<f32>(), plain(&rows));
        assert!(near(f64::from(value), expected), "{value} instead of {expected}");
        let gradients = found.backward();
        for (number, input) in inputs.iter().enumerate() {
            let gradient = input.grad(&gradients).unwrap().into_data();
            let [_, columns] = shapes[number];
            for (k, ours) in gradient.try_into_vec::<f32>().unwrap().into_iter().enumerate() {
                let mut shifted = |by: f64| {
                    rows[number][k / columns][k % columns] += by;
                    let value = plain(&rows);
                    rows[number][k / columns][k % columns] -= by;
                    value
                };
                let slope = (shifted(1e-6) - shifted(-1e-6)) / 2e-6;
                assert!(near(f64::from(ours), slope), "input {number}, {k}: {ours}, not {slope}");
            }
        }
    }
}
