/*!
Files of published networks with weights by a formula, and what PyTorch computes with them.

Real weights are too large for the repository. `golden/make_resnet.py`, `golden/make_trunks.py` and
the tests compute weights by the same formula.
*/

use std::path::Path;

use barbule::device::Device;
use burn::tensor::{Tensor, TensorData};
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};

/// Tensors by name, with their shapes and values.
pub type Tensors = Vec<(String, Vec<usize>, Vec<f32>)>;

/// Returns pseudo-random numbers from `low` to `high`, determined by the name and the index.
pub fn values(name: &str, count: usize, [low, high]: [f64; 2]) -> Vec<f32> {
    let step = |seed: u32, byte: u8| (seed ^ u32::from(byte)).wrapping_mul(0x0100_0193);
    let seed = name.bytes().fold(0x811c_9dc5, step);
    let value = |i: usize| {
        let mut x = (i as u32).wrapping_mul(0x9e37_79b1) ^ seed;
        for (shift, factor) in [(16, 0x85eb_ca6b), (13, 0xc2b2_ae35)] {
            x = (x ^ (x >> shift)).wrapping_mul(factor);
        }
        x ^= x >> 16;
        (low + (high - low) * (f64::from(x) / 4_294_967_296.0)) as f32
    };
    (0..count).map(value).collect()
}

/// Draws a tensor.
pub fn drawn(name: &str, shape: &[usize], range: [f64; 2]) -> (String, Vec<usize>, Vec<f32>) {
    (name.to_owned(), shape.to_vec(), values(name, shape.iter().product(), range))
}

/// Writes tensors to a safetensors file.
pub fn write(path: &Path, tensors: &Tensors) {
    let bytes: Vec<(String, Vec<usize>, Vec<u8>)> = tensors
        .iter()
        .map(|(name, shape, values)| {
            let bytes = values.iter().flat_map(|value| value.to_le_bytes()).collect();
            (name.clone(), shape.clone(), bytes)
        })
        .collect();
    let views = bytes.iter().map(|(name, shape, bytes)| {
        (name, TensorView::new(Dtype::F32, shape.clone(), bytes).unwrap())
    });
    safetensors::serialize_to_file(views, None, path).unwrap();
}

/// Returns the shape and the values of a tensor in a golden file.
pub fn golden(file: &[u8], name: &str) -> (Vec<usize>, Vec<f32>) {
    let file = SafeTensors::deserialize(file).unwrap();
    let view = file.tensor(name).unwrap();
    let values = view.data().as_chunks::<4>().0.iter().copied().map(f32::from_le_bytes);
    (view.shape().to_vec(), values.collect())
}

/// Returns the values of a tensor.
pub fn read<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data().try_into_vec().unwrap()
}

/// Returns max |a − b| / max |b|.
pub fn error(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    assert!(a.iter().all(|v| v.is_finite()), "not all values are finite");
    let difference = a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    difference / b.iter().map(|b| b.abs()).fold(0.0, f32::max)
}

/// Returns images by the formula, `[batch, 3, size, size]`.
pub fn input(batch: usize, size: usize, device: &Device) -> Tensor<4> {
    let values = values("input", batch * 3 * size * size, [-2.0, 2.0]);
    Tensor::from_data(TensorData::new(values, [batch, 3, size, size]), &device.burn())
}
