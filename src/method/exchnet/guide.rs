/*!
Guides of attention: for each class, a linear map of the stem's features that is high where images
of the class differ from those of the class that resembles it most.

Only training images and their labels are used; [`evidence`](super::evidence) has the formulas.
*/

use std::sync::Arc;

use burn::module::Module;
use burn::prelude::*;
use burn::tensor::activation::relu;

use super::evidence::{Places, guides, images_per_class, rivals};
use crate::method::groups::Groups;
use crate::method::learner::Survey;
use crate::method::net::Net;
use crate::trunk::{Refine, Stem};

/// The survey of the stem's maps and of the pooled features of all training images.
pub(super) struct Maps {
    stem: Option<Stem>,
    refine: Refine,
    groups: Arc<Groups>,
    classes: Vec<u32>,
    /// Channels of the stem's map.
    channels: usize,
    /// Pooled features.
    features: usize,
    places: Vec<Places>,
    /// Number, sums, and sums of squares of pooled features, for each class.
    pooled: Vec<(usize, Vec<f64>, Vec<f64>)>,
}

impl Maps {
    /// Begins a survey with the current network.
    pub fn new(net: &Net, groups: Arc<Groups>) -> Self {
        let net = net.valid();
        let classes = groups.classes();
        Self {
            channels: net.refine.input_channels(),
            features: net.refine.features(),
            stem: net.stem.map(Stem::fold),
            refine: net.refine.fold(),
            groups,
            places: classes.iter().map(|_| Places::default()).collect(),
            pooled: vec![(0, Vec::new(), Vec::new()); classes.len()],
            classes,
        }
    }
}

impl Survey for Maps {
    /// An image's features position by position, then its pooled features.
    fn rows(&self, values: Tensor<4>) -> Tensor<2> {
        let e = match &self.stem {
            Some(stem) => stem.forward(values),
            None => values,
        };
        let places = e.clone().permute([0, 2, 3, 1]).flatten::<2>(1, 3);
        Tensor::cat(vec![places, self.refine.pooled(e)], 1)
    }

    fn add(&mut self, images: &[usize], rows: &[f32]) {
        let width = rows.len() / images.len().max(1);
        for (image, row) in images.iter().zip(rows.chunks_exact(width.max(1))) {
            let (places, pooled) = row.split_at(width - self.features.min(width));
            for label in self.groups.labels_of(*image) {
                let Ok(class) = self.classes.binary_search(label) else { continue };
                let (count, sums, squares) = &mut self.pooled[class];
                *count += 1;
                sums.resize(pooled.len(), 0.0);
                squares.resize(pooled.len(), 0.0);
                for ((sum, square), value) in sums.iter_mut().zip(squares).zip(pooled) {
                    *sum += f64::from(*value);
                    *square += f64::from(*value) * f64::from(*value);
                }
                let kept = &mut self.places[class];
                if kept.images < images_per_class(self.classes.len(), places.len()) {
                    kept.images += 1;
                    kept.values.extend_from_slice(places);
                }
            }
        }
    }

    fn end(self: Box<Self>) -> Vec<f32> {
        guides(&self.places, &rivals(&self.pooled), self.channels)
    }
}

/// `1 − r`, the mean over images and parts, where r is the correlation over positions of an
/// attention map with the square of the image's guide where that is positive.
///
/// `e` is `[batch, C, H, W]`, `attention` `[batch, M, H, W]`, `guides` `[batch, C + 1]`.
pub fn guidance(e: Tensor<4>, attention: Tensor<4>, guides: Tensor<2>) -> Tensor<1> {
    let [batch, channels, height, width] = e.dims();
    let [_, parts, ..] = attention.dims();
    let places = height * width;
    let weights = guides.clone().narrow(1, 0, channels).unsqueeze_dim::<3>(1);
    let offsets = guides.narrow(1, channels, 1).unsqueeze_dim(1);
    let guide = relu(weights.matmul(e.reshape([batch, channels, places])) + offsets);
    let target = centred(guide.clone() * guide);
    let map = centred(attention.reshape([batch, parts, places]));
    let product = (map.clone() * target.clone()).sum_dim(2);
    let lengths = (map.clone() * map).sum_dim(2) * (target.clone() * target).sum_dim(2);
    ((product / (lengths + 1e-12).sqrt()).neg() + 1.0).mean()
}

/// Subtracts the mean over positions.
fn centred(maps: Tensor<3>) -> Tensor<3> {
    let mean = maps.clone().mean_dim(2);
    maps - mean
}

/// Returns the guides of images, `[batch, C + 1]`: the mean over an image's labels.
pub(super) fn of_images(
    guides: &[f32],
    groups: &Groups,
    images: &[usize],
    device: &Device,
) -> Tensor<2> {
    let classes = groups.classes();
    let width = guides.len() / classes.len().max(1);
    let mut all = Vec::with_capacity(images.len() * width);
    for image in images {
        let labels = groups.labels_of(*image);
        let mut mean = vec![0.0; width];
        for label in labels {
            let Ok(class) = classes.binary_search(label) else { continue };
            let own = &guides[class * width..(class + 1) * width];
            mean.iter_mut().zip(own).for_each(|(m, v)| *m += v / labels.len() as f32);
        }
        all.extend(mean);
    }
    Tensor::from_data(TensorData::new(all, [images.len(), width]), device)
}

#[cfg(test)]
mod tests {
    use super::super::evidence::tests::{CHANNELS, SIDE, draw};
    use super::*;
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    #[test]
    fn guidance_is_one_minus_the_correlation_with_the_guide() {
        let mut rng = ChaCha8Rng::seed_from_u64(3);
        let (batch, parts) = (2, 2);
        let places = SIDE * SIDE;
        let e = draw(&mut rng, batch * CHANNELS * places);
        let maps = draw(&mut rng, batch * parts * places);
        let guides = draw(&mut rng, batch * (CHANNELS + 1));
        let plain = |maps: &[f64]| -> f64 {
            let mut sum = 0.0;
            for (image, part) in (0..batch).flat_map(|i| (0..parts).map(move |j| (i, j))) {
                let guide = &guides[image * (CHANNELS + 1)..][..=CHANNELS];
                let target: Vec<f64> = (0..places)
                    .map(|place| {
                        let of = |c: usize| f64::from(e[(image * CHANNELS + c) * places + place]);
                        let sum: f64 =
                            (0..CHANNELS).map(|c| of(c) * f64::from(guide[c])).sum::<f64>();
                        (sum + f64::from(guide[CHANNELS])).max(0.0).powi(2)
                    })
                    .collect();
                let map = &maps[(image * parts + part) * places..][..places];
                let mean = |v: &[f64]| v.iter().sum::<f64>() / places as f64;
                let (a, b) = (mean(map), mean(&target));
                let dot = |x: &[f64], y: &[f64], a: f64, b: f64| -> f64 {
                    x.iter().zip(y).map(|(x, y)| (x - a) * (y - b)).sum()
                };
                let lengths = dot(map, map, a, a) * dot(&target, &target, b, b);
                sum += 1.0 - dot(map, &target, a, b) / (lengths + 1e-12).sqrt();
            }
            sum / (batch * parts) as f64
        };
        let device = Device::flex().autodiff();
        let tensor = |values: &[f32], shape: [usize; 4]| -> Tensor<4> {
            Tensor::from_data(TensorData::new(values.to_vec(), shape), &device)
        };
        let attention = tensor(&maps, [batch, parts, SIDE, SIDE]).require_grad();
        let data = TensorData::new(guides.clone(), [batch, CHANNELS + 1]);
        let given = Tensor::<2>::from_data(data, &device);
        let loss = guidance(tensor(&e, [batch, CHANNELS, SIDE, SIDE]), attention.clone(), given);
        let wide: Vec<f64> = maps.iter().map(|v| f64::from(*v)).collect();
        let value = loss.clone().inner().into_scalar::<f32>();
        assert!((f64::from(value) - plain(&wide)).abs() < 1e-4);
        let gradients = loss.backward();
        let slopes = attention.grad(&gradients).unwrap().into_data().try_into_vec::<f32>().unwrap();
        for (k, slope) in slopes.iter().enumerate() {
            let shifted = |by: f64| {
                let mut maps = wide.clone();
                maps[k] += by;
                plain(&maps)
            };
            let expected = (shifted(1e-6) - shifted(-1e-6)) / 2e-6;
            assert!((f64::from(*slope) - expected).abs() < 1e-3, "{k}: {slope} {expected}");
        }
    }

    #[test]
    fn an_image_has_the_mean_guide_of_its_labels() {
        let groups = Groups::new(&[vec![3], vec![5], vec![3, 5]]);
        let guides = [1.0, 2.0, 3.0, 4.0];
        let found = of_images(&guides, &groups, &[2, 1], &Device::flex());
        assert_eq!(found.into_data().try_into_vec::<f32>().unwrap(), [2.0, 3.0, 3.0, 4.0]);
    }
}
