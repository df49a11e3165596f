/*!
The evidence that a position tells a class from a rival, and the guide that is fitted to it.

The evidence of a position is how much farther its feature is from the nearest ones of the rival
class than from those of other images of its own class, the per-descriptor term of Boiman, Shechtman
and Irani, "In Defense of Nearest-Neighbor Based Image Classification" (CVPR 2008). A ridge
regression of the evidence on the features removes most of its noise, and applies to any view of an
image.
*/

use faer::linalg::matmul::matmul;
use faer::{Accum, Mat, MatRef, Par};
use rayon::prelude::*;

use crate::hash::Features;
use crate::method::linalg::{self, Cholesky};

/// Images per class that guides are fitted to, at least (if there are as many) and at most.
const IMAGES: [usize; 2] = [2, 24];
/// Bytes of the features of all classes, at most, unless that leaves too few images per class.
const BYTES: usize = 512 << 20;
/// Neighbours whose mean squared distance counts.
const NEIGHBOURS: usize = 5;
/// Ridge, as a multiple of the mean variance of a feature.
const RIDGE: f64 = 1.0;

/// Features at the positions of the images of a class, `[images · positions, C]`.
#[derive(Debug, Default)]
pub struct Places {
    /// The features.
    pub values: Vec<f32>,
    /// Number of images.
    pub images: usize,
}

/// Returns the number of images per class that guides are fitted to, at most, from the features of
/// an image.
pub fn images_per_class(classes: usize, features: usize) -> usize {
    let bytes = (classes * features * size_of::<f32>()).max(1);
    (BYTES / bytes).clamp(IMAGES[0], IMAGES[1])
}

/// Returns the guides, `[classes, C + 1]`: weights of the features, and an offset, from the positions
/// of each class and its rival; zeros for a class without one.
pub fn guides(places: &[Places], rivals: &[Option<usize>], channels: usize) -> Vec<f32> {
    let of_class = |(own, rival): (&Places, &Option<usize>)| {
        let Some(rival) = rival else { return vec![0.0; channels + 1] };
        let near = distances(own, own, channels, true);
        let far = distances(own, &places[*rival], channels, false);
        let evidence = far.iter().zip(&near).map(|(far, near)| far - near).collect();
        Regression::new(own, channels).fit(evidence)
    };
    places.par_iter().zip(rivals).map(of_class).collect::<Vec<_>>().concat()
}

/// Returns the rival of each class, the nearest other one: by the distance of mean features in units
/// of the deviation within classes. `None` for a class without images, or without others.
pub fn rivals(pooled: &[(usize, Vec<f64>, Vec<f64>)]) -> Vec<Option<usize>> {
    let width = pooled.iter().map(|(_, sums, _)| sums.len()).max().unwrap_or(0);
    let mut within = vec![1e-12; width];
    for (n, sums, squares) in pooled.iter().filter(|(n, ..)| *n > 0) {
        for ((within, sum), square) in within.iter_mut().zip(sums).zip(squares) {
            *within += square - sum * sum / *n as f64;
        }
    }
    let distance = |a: usize, b: usize| -> f64 {
        let ((n, a, _), (m, b, _)) = (&pooled[a], &pooled[b]);
        let both = a.iter().zip(b).zip(&within);
        both.map(|((a, b), w)| (a / *n as f64 - b / *m as f64).powi(2) / w).sum()
    };
    let known: Vec<usize> = (0..pooled.len()).filter(|class| pooled[*class].0 > 0).collect();
    let nearest = |class: usize| {
        let others = known.iter().filter(|other| pooled[class].0 > 0 && **other != class);
        let others = others.map(|other| (distance(class, *other), *other));
        others.min_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, other)| other)
    };
    (0..pooled.len()).map(nearest).collect()
}

/// Returns the mean squared distance of each position of `own` to its nearest positions in `other`,
/// without those of the same image if the two are `same`.
///
/// Distances are `‖a‖² + ‖b‖² − 2·a·b`, in single precision: the rounding is far below the
/// differences between images.
fn distances(own: &Places, other: &Places, channels: usize, same: bool) -> Vec<f32> {
    let per_image = own.values.len() / channels.max(1) / own.images.max(1);
    let count = other.values.len() / channels.max(1);
    let others = MatRef::from_row_major_slice(&other.values, count, channels);
    let length = |row: &[f32]| row.iter().map(|v| v * v).sum::<f32>();
    let lengths: Vec<f32> = other.values.chunks_exact(channels).map(length).collect();
    let mut found = Vec::with_capacity(own.values.len() / channels.max(1));
    let mut row = Vec::with_capacity(count);
    for (image, values) in own.values.chunks_exact((per_image * channels).max(1)).enumerate() {
        let places = MatRef::from_row_major_slice(values, per_image, channels);
        // Column-major, so that the products of a position lie together.
        let mut products = Mat::<f32>::zeros(count, per_image);
        matmul(&mut products, Accum::Replace, others, places.transpose(), -2.0, Par::Seq);
        for (place, own) in values.chunks_exact(channels).enumerate() {
            row.clear();
            let products = products.col(place);
            for (j, (product, length)) in products.iter().zip(&lengths).enumerate() {
                if !same || image != j / per_image {
                    row.push(product + length);
                }
            }
            let nearest = NEIGHBOURS.min(row.len());
            if nearest == 0 {
                found.push(0.0);
                continue;
            }
            row.select_nth_unstable_by(nearest - 1, f32::total_cmp);
            let mean = row[..nearest].iter().sum::<f32>() / nearest as f32;
            found.push((mean + length(own)).max(0.0));
        }
    }
    found
}

/// A ridge regression on the features at the positions of a class.
struct Regression<'a> {
    features: Features<'a>,
    images: usize,
    mean: Vec<f64>,
    cholesky: Option<Cholesky>,
}

impl<'a> Regression<'a> {
    fn new(own: &'a Places, channels: usize) -> Self {
        let (features, images) = (Features { dim: channels, values: &own.values }, own.images);
        if features.is_empty() {
            return Self { features, images, mean: Vec::new(), cholesky: None };
        }
        let mean = linalg::mean(features);
        let mut scatter = linalg::covariance(features, &mean, &vec![1.0; features.len()]);
        let trace = linalg::trace(scatter.as_ref());
        let ridge = RIDGE * trace / channels as f64;
        scatter.diagonal_mut().column_vector_mut().iter_mut().for_each(|value| *value += ridge);
        let cholesky = (trace > 0.0).then(|| Cholesky::new(scatter.as_ref()).ok()).flatten();
        Self { features, images, mean, cholesky }
    }

    /// Returns weights and offset for `evidence`, which is first scaled to unit deviation in each
    /// image. All are 0 if the features do not vary.
    fn fit(&self, mut evidence: Vec<f32>) -> Vec<f32> {
        let Self { features, images, mean, cholesky } = self;
        let Some(cholesky) = cholesky else { return vec![0.0; features.dim + 1] };
        let count = evidence.len();
        for image in evidence.chunks_mut(count / images) {
            let mean = image.iter().sum::<f32>() / image.len() as f32;
            let spread = image.iter().map(|v| (v - mean).powi(2)).sum::<f32>() / image.len() as f32;
            image.iter_mut().for_each(|v| *v /= (spread + 1e-12).sqrt());
        }
        let target = evidence.iter().map(|v| f64::from(*v)).sum::<f64>() / count as f64;
        let apart = Mat::from_fn(count, 1, |i, _| f64::from(evidence[i]) - target);
        let cross = linalg::cross_covariance(*features, mean, apart.as_ref());
        let weights = cholesky.solve(cross);
        let weights = || (0..features.dim).map(|i| weights[(i, 0)]);
        let offset = target - weights().zip(mean).map(|(w, m)| w * m).sum::<f64>();
        weights().chain([offset]).map(|value| value as f32).collect()
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    pub const CHANNELS: usize = 6;
    pub const SIDE: usize = 4;

    /// Random numbers from −1 to 1.
    pub fn draw(rng: &mut ChaCha8Rng, count: usize) -> Vec<f32> {
        (0..count).map(|_| rng.random_range(-1.0..1.0f32)).collect()
    }

    /// Returns positions of images on a common ground, with `mark` added at one position each, and
    /// these positions.
    fn planted(rng: &mut ChaCha8Rng, images: usize, mark: [f32; 2]) -> (Places, Vec<usize>) {
        let mut values = draw(rng, images * SIDE * SIDE * CHANNELS);
        values.iter_mut().for_each(|value| *value *= 0.5);
        let at: Vec<usize> = (0..images).map(|_| rng.random_range(0..SIDE * SIDE)).collect();
        for (image, place) in at.iter().enumerate() {
            let first = (image * SIDE * SIDE + place) * CHANNELS;
            values[first..first + 2].copy_from_slice(&mark);
        }
        (Places { values, images }, at)
    }

    #[test]
    fn a_guide_is_highest_at_the_planted_part() {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        // Both classes have the mark (3, 0) or (0, 3) somewhere, and are equal otherwise.
        let (own, _) = planted(&mut rng, 20, [3.0, 0.0]);
        let (other, _) = planted(&mut rng, 20, [0.0, 3.0]);
        let found = guides(&[own, other], &[Some(1), Some(0)], CHANNELS);
        assert_eq!(found.len(), 2 * (CHANNELS + 1));
        // Images that the guides have not seen.
        for (class, mark) in [[3.0, 0.0], [0.0, 3.0]].into_iter().enumerate() {
            let (new, at) = planted(&mut rng, 50, mark);
            let guide = &found[class * (CHANNELS + 1)..(class + 1) * (CHANNELS + 1)];
            for (image, at) in new.values.chunks(SIDE * SIDE * CHANNELS).zip(at) {
                let height = |row: &[f32]| {
                    row.iter().zip(guide).map(|(a, b)| a * b).sum::<f32>() + guide[CHANNELS]
                };
                let heights: Vec<f32> = image.chunks(CHANNELS).map(height).collect();
                let most = (0..heights.len()).max_by(|a, b| heights[*a].total_cmp(&heights[*b]));
                assert_eq!(most, Some(at), "class {class}: {heights:?}");
            }
        }
    }

    #[test]
    fn distances_and_regression_are_those_of_plain_loops() {
        let mut rng = ChaCha8Rng::seed_from_u64(2);
        let (own, _) = planted(&mut rng, 3, [1.0, 0.0]);
        let (other, _) = planted(&mut rng, 2, [0.0, 1.0]);
        let rows = |places: &Places| -> Vec<Vec<f64>> {
            let rows = places.values.chunks(CHANNELS);
            rows.map(|row| row.iter().map(|v| f64::from(*v)).collect()).collect()
        };
        let plain = |same: bool| -> Vec<f64> {
            let (a, b) = (rows(&own), rows(if same { &own } else { &other }));
            let of = |i: usize| {
                let all = (0..b.len()).filter(|j| !same || i / 16 != j / 16);
                let mut all: Vec<f64> = all
                    .map(|j| a[i].iter().zip(&b[j]).map(|(a, b)| (a - b).powi(2)).sum())
                    .collect();
                all.sort_by(f64::total_cmp);
                all[..NEIGHBOURS].iter().sum::<f64>() / NEIGHBOURS as f64
            };
            (0..a.len()).map(of).collect()
        };
        for (same, found) in [
            (true, distances(&own, &own, CHANNELS, true)),
            (false, distances(&own, &other, CHANNELS, false)),
        ] {
            for (a, b) in found.iter().zip(plain(same)) {
                assert!((f64::from(*a) - b).abs() < 1e-4, "{a} {b}");
            }
        }
        // At the minimum of a ridge regression, the gradient of the squared error is 0.
        let evidence = draw(&mut rng, 48);
        let fitted = Regression::new(&own, CHANNELS).fit(evidence.clone());
        let spread = |image: &[f32]| {
            let mean = image.iter().sum::<f32>() / 16.0;
            (image.iter().map(|v| (v - mean).powi(2)).sum::<f32>() / 16.0).sqrt()
        };
        let scaled = evidence.chunks(16).flat_map(|image| image.iter().map(|v| v / spread(image)));
        let errors: Vec<f64> = rows(&own)
            .iter()
            .zip(scaled)
            .map(|(row, value)| {
                let sum: f64 = row.iter().zip(&fitted).map(|(r, w)| r * f64::from(*w)).sum();
                sum + f64::from(fitted[CHANNELS]) - f64::from(value)
            })
            .collect();
        assert!(errors.iter().sum::<f64>().abs() < 1e-4);
        let variance = |channel: usize| {
            let rows = rows(&own);
            let mean = rows.iter().map(|row| row[channel]).sum::<f64>() / 48.0;
            rows.iter().map(|row| (row[channel] - mean).powi(2)).sum::<f64>() / 48.0
        };
        let ridge = (0..CHANNELS).map(variance).sum::<f64>() / CHANNELS as f64 * RIDGE;
        for channel in 0..CHANNELS {
            let rows = rows(&own);
            let slope = rows.iter().zip(&errors).map(|(row, e)| row[channel] * e).sum::<f64>();
            let slope = slope / 48.0 + ridge * f64::from(fitted[channel]);
            assert!(slope.abs() < 1e-4, "{channel}: {slope}");
        }
    }

    #[test]
    fn a_rival_is_the_nearest_class() {
        let class = |mean: [f64; 2]| {
            let sums = mean.map(|m| 4.0 * m).to_vec();
            // Variances of 1 and 100 in every class.
            let squares =
                mean.iter().zip([1.0, 100.0]).map(|(m, v)| 4.0 * (m * m + v)).collect::<Vec<_>>();
            (4, sums, squares)
        };
        let pooled = [class([0.0, 0.0]), class([3.0, 0.0]), class([0.0, 20.0]), class([9.0, 9.0])];
        assert_eq!(rivals(&pooled), [2, 0, 0, 1].map(Some));
        let none = (0, Vec::new(), Vec::new());
        assert_eq!(rivals(&[pooled[0].clone(), none]), [None, None]);
    }
}
