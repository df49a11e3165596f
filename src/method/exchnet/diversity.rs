/*!
Loss terms that keep parts apart, equations 4 to 7: parts attend to different positions and have
different features.
*/

use burn::prelude::*;
use burn::tensor::activation::{relu, softmax};

use super::options::{Options, Spatial};
use crate::network::PartFeatures;

/// Added inside every root, whose gradient is infinite at 0.
const EPSILON: f32 = 1e-12;

/// `L_sp + L_cp` with their weights; 0 for a single part.
pub fn diversity(features: &PartFeatures, options: &Options) -> Tensor<1> {
    let spatial = spatial_diversity(features, options.spatial);
    let channel = channel_diversity(features.local.clone(), options.channel_margin);
    spatial * options.spatial_weight + channel * options.channel_weight
}

/// `L_sp = 1 − (1/(√2·C(M,2)))·Σ ‖√âˡ − √âᵏ‖₂`, the mean over the batch.
///
/// `âʲ` is the softmax over positions of part j's refined map.
pub fn spatial_diversity(features: &PartFeatures, how: Spatial) -> Tensor<1> {
    let [batch, parts, _] = features.local.dims();
    let [_, _, height, width] = features.maps.dims();
    let map = match how {
        Spatial::Mean => features.maps.clone().mean_dim(1),
        Spatial::Sum => features.maps.clone().sum_dim(1),
    };
    let shares = softmax(map.reshape([batch, parts, height * width]), 2);
    match mean_distance(shares) {
        Some(distance) => (distance.neg() + 1.0).mean(),
        None => Tensor::zeros([1], &features.local.device()),
    }
}

/// `L_cp = [t − (1/(√2·C(M,2)))·Σ ‖√pˡ − √pᵏ‖₂]₊`, the mean over the batch.
///
/// `pʲ` is the softmax of part j's features; `local` is `[batch, M, C']`.
pub fn channel_diversity(local: Tensor<3>, margin: f32) -> Tensor<1> {
    let device = local.device();
    match mean_distance(softmax(local, 2)) {
        Some(distance) => relu(distance.neg() + margin).mean(),
        None => Tensor::zeros([1], &device),
    }
}

/// Computes the mean Hellinger distance between all pairs of an image's distributions, 0 to 1;
/// `[batch, M, K]` to `[batch]`. `None` for a single part.
///
/// Uses differences of each pair. With products, rounding could make the value under the root
/// negative for equal parts.
fn mean_distance(shares: Tensor<3>) -> Option<Tensor<1>> {
    let [batch, parts, values] = shares.dims();
    let roots = (shares + EPSILON).sqrt();
    let root = |part: usize| -> Tensor<2> {
        roots.clone().slice([0..batch, part..part + 1, 0..values]).squeeze_dim(1)
    };
    let pairs = (0..parts).flat_map(|l| (l + 1..parts).map(move |k| (l, k)));
    let distances = pairs.clone().map(|(l, k)| -> Tensor<1> {
        let difference = root(l) - root(k);
        ((difference.clone() * difference).sum_dim(1) + EPSILON).sqrt().squeeze_dim(1)
    });
    let sum = distances.reduce(|sum, distance| sum + distance)?;
    Some(sum / (2f32.sqrt() * pairs.count() as f32))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use burn::tensor::{Distribution, TensorData};

    pub fn features(maps: Tensor<4>, parts: usize) -> PartFeatures {
        let [n, channels, ..] = maps.dims();
        let local = crate::trunk::pool(maps.clone());
        let attention = Tensor::zeros([n / parts, parts, 2, 2], &maps.device());
        PartFeatures { attention, local: local.reshape([n / parts, parts, channels]), maps }
    }

    pub fn value(loss: Tensor<1>) -> f32 {
        loss.into_scalar::<f32>()
    }

    #[test]
    fn equal_parts_are_punished_most_and_disjoint_ones_least() {
        let device = Device::flex();
        let one = Tensor::<4>::random([1, 5, 3, 3], Distribution::Default, &device);
        let equal = features(Tensor::cat(vec![one.clone(), one.clone(), one], 0), 3);
        assert!((value(spatial_diversity(&equal, Spatial::Mean)) - 1.0).abs() < 1e-4);
        assert!((value(channel_diversity(equal.local.clone(), 0.4)) - 0.4).abs() < 1e-4);
        // Each part is concentrated at one position and in one channel of its own.
        let mut peaks = vec![0f32; 3 * 3 * 3];
        for part in 0..3 {
            peaks[part * 9 + part * 3 + part] = 900.0;
        }
        let data = TensorData::new(peaks, [3, 3, 1, 3]);
        let apart = features(Tensor::from_data(data, &device), 3);
        assert!(value(spatial_diversity(&apart, Spatial::Sum)).abs() < 1e-4);
        assert!(value(channel_diversity(apart.local, 0.4)).abs() < 1e-4);
    }

    #[test]
    fn a_case_worked_by_hand() {
        // The softmax of (ln 9, 0) is (0.9, 0.1), and of (0, 0) it is (0.5, 0.5).
        let device = Device::flex();
        let local = [[[9f32.ln(), 0.0], [0.0, 0.0]]];
        let local = Tensor::<3>::from_data(TensorData::from(local), &device);
        let difference = [0.9f32.sqrt() - 0.5f32.sqrt(), 0.1f32.sqrt() - 0.5f32.sqrt()];
        let distance = (difference[0].powi(2) + difference[1].powi(2)).sqrt() / 2f32.sqrt();
        assert!((value(channel_diversity(local.clone(), 0.4)) - (0.4 - distance)).abs() < 1e-5);
        // As maps of one channel and two positions the same numbers give L_sp.
        let maps = features(local.reshape([2, 1, 1, 2]), 2);
        let spatial = value(spatial_diversity(&maps, Spatial::Mean));
        assert!((spatial - (1.0 - distance)).abs() < 1e-5);
    }

    #[test]
    fn one_part_has_no_diversity() {
        let maps = Tensor::<4>::ones([2, 3, 2, 2], &Device::flex());
        let one = features(maps, 1);
        assert_eq!(value(spatial_diversity(&one, Spatial::Mean)), 0.0);
        assert_eq!(value(channel_diversity(one.local, 0.4)), 0.0);
    }

    #[test]
    fn gradients_stay_finite_when_parts_are_equal() {
        let device = Device::flex().autodiff();
        let maps = Tensor::<4>::ones([6, 4, 2, 2], &device).require_grad();
        let options = Options::default();
        let grads = diversity(&features(maps.clone(), 3), &options).backward();
        let grad: Vec<f32> = maps.grad(&grads).unwrap().into_data().try_into_vec().unwrap();
        assert!(grad.iter().all(|g| g.is_finite()));
    }
}
