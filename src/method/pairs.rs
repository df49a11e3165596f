/*!
Pairs of images of a mini-batch, similar and dissimilar, and functions of pairs for several methods.
*/

use burn::prelude::*;

use super::groups::Groups;

/// The similar and the dissimilar pairs of a batch of b images, without pairs of an image with
/// itself.
#[derive(Debug, Clone)]
pub struct Pairs {
    /// `[b, b]`: 1 for similar pairs, else 0.
    pub similar: Tensor<2>,
    /// `[b, b]`: 1 for dissimilar pairs, else 0.
    pub dissimilar: Tensor<2>,
    /// The number of similar pairs, each counted both ways.
    pub n_similar: usize,
    /// The number of dissimilar pairs.
    pub n_dissimilar: usize,
}

impl Pairs {
    /// Creates the pairs of the given training images.
    pub fn new(groups: &Groups, images: &[usize], device: &Device) -> Self {
        let b = images.len();
        let mut similar = vec![0.0f32; b * b];
        let mut dissimilar = similar.clone();
        for (i, image) in images.iter().enumerate() {
            for (j, other) in images.iter().enumerate().filter(|(j, _)| *j != i) {
                let mask =
                    if groups.are_similar(*image, *other) { &mut similar } else { &mut dissimilar };
                mask[i * b + j] = 1.0;
            }
        }
        let count = |mask: &[f32]| mask.iter().filter(|v| **v > 0.0).count();
        let (n_similar, n_dissimilar) = (count(&similar), count(&dissimilar));
        let tensor = |mask| Tensor::from_data(TensorData::new(mask, [b, b]), device);
        Self { similar: tensor(similar), dissimilar: tensor(dissimilar), n_similar, n_dissimilar }
    }

    /// Returns the mean of `values` `[b, b]` over similar pairs; 0 if there are none.
    pub fn mean_similar(&self, values: Tensor<2>) -> Tensor<1> {
        (values * self.similar.clone()).sum() / self.n_similar.max(1) as f32
    }

    /// Returns the mean over dissimilar pairs; 0 if there are none.
    pub fn mean_dissimilar(&self, values: Tensor<2>) -> Tensor<1> {
        (values * self.dissimilar.clone()).sum() / self.n_dissimilar.max(1) as f32
    }
}

/// Returns `‖u_i − u_j‖²` of all pairs of rows of `u` `[b, c]`: `[b, b]`.
pub fn squared_distances(u: Tensor<2>) -> Tensor<2> {
    let squares = (u.clone() * u.clone()).sum_dim(1);
    let products = u.clone().matmul(u.transpose());
    squares.clone() + squares.transpose() - products * 2.0
}

/// `log(1 + eˣ)`, finite for every finite x.
pub fn softplus<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    let positive = burn::tensor::activation::relu(x.clone());
    positive + (x.abs().neg().exp() + 1.0).log()
}

/// Returns `‖sign(u) − u‖²` of each value, `[b, c]`, with sign(0) = +1.
///
/// Computed as `(|u| − 1)²`, which is equal and avoids sign, whose gradient is 0.
pub fn quantization(u: Tensor<2>) -> Tensor<2> {
    let off = u.abs() - 1.0;
    off.clone() * off
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_are_those_that_share_a_label() {
        let labels = [vec![0], vec![1], vec![0, 1], vec![0]];
        let groups = Groups::new(&labels);
        let pairs = Pairs::new(&groups, &[3, 1, 2], &Device::flex());
        let similar = pairs.similar.clone().into_data().try_into_vec::<f32>().unwrap();
        assert_eq!(similar, [0., 0., 1., 0., 0., 1., 1., 1., 0.]);
        let other = pairs.dissimilar.clone().into_data().try_into_vec::<f32>().unwrap();
        assert_eq!(other, [0., 1., 0., 1., 0., 0., 0., 0., 0.]);
        assert_eq!((pairs.n_similar, pairs.n_dissimilar), (4, 2));
        let values =
            Tensor::<2>::from_data([[9., 2., 3.], [4., 9., 6.], [7., 8., 9.]], &Device::flex());
        assert_eq!(pairs.mean_similar(values.clone()).into_scalar::<f32>(), 6.0);
        assert_eq!(pairs.mean_dissimilar(values).into_scalar::<f32>(), 3.0);
    }

    #[test]
    fn softplus_stays_finite() {
        let x = Tensor::<1>::from_data([-1000.0, -1.0, 0.0, 1.0, 1000.0], &Device::flex());
        let found = softplus(x).into_data().try_into_vec::<f32>().unwrap();
        let expected = [0.0, 0.313_261_7, 2f32.ln(), 1.313_261_7, 1000.0];
        found.iter().zip(expected).for_each(|(a, b)| assert!((a - b).abs() < 1e-5, "{a} {b}"));
    }
}
