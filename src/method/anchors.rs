/*!
The Gaussian kernel between images and anchors, which are some of the training images.
*/

use half::f16;
use rand::seq::index;
use rand_chacha::ChaCha8Rng;

use super::MethodError;
use crate::hash::Features;
use crate::hash::kernel::{exponentiate, squared_distances};

/// A kernel, and its values for the training images.
#[derive(Debug)]
pub(super) struct Kernel {
    /// A×d numbers in row order.
    pub anchors: Vec<f32>,
    /// Decay with the squared distance.
    pub rate: f32,
    /// The number of anchors, A.
    pub count: usize,
    /// The kernel between images and anchors, N×A.
    pub values: Vec<f32>,
}

/// The precision of anchors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Precision {
    /// As the features.
    Single,
    /// Rounded to half precision, in which a model file then stores them.
    Half,
}

impl Kernel {
    /// Draws up to `count` images as anchors. `width` is σ² as a share of the mean squared distance
    /// between images and anchors.
    ///
    /// # Errors
    /// [`MethodError::NoConvergence`] if the distances are too large or too small.
    pub fn new(
        features: Features<'_>,
        count: usize,
        width: f64,
        precision: Precision,
        rng: &mut ChaCha8Rng,
    ) -> Result<Self, MethodError> {
        let round = |value: f32| match precision {
            Precision::Single => value,
            Precision::Half => f16::from_f32(value).to_f32(),
        };
        let anchors: Vec<f32> = draw(features, count, rng).into_iter().map(round).collect();
        let mut values = squared_distances(&features, &anchors);
        let mean = values.iter().map(|v| f64::from(*v)).sum::<f64>() / values.len() as f64;
        let rate = round((0.5 / (width * mean)) as f32);
        if !(rate.is_finite() && rate > 0.0) {
            return Err(MethodError::NoConvergence);
        }
        exponentiate(&mut values, rate);
        let count = anchors.len() / features.dim;
        Ok(Self { anchors, rate, count, values })
    }
}

/// Returns the features of up to `count` images, drawn without replacement, in the order of the
/// images.
pub(super) fn draw(features: Features<'_>, count: usize, rng: &mut ChaCha8Rng) -> Vec<f32> {
    let mut drawn = index::sample(rng, features.len(), count.min(features.len())).into_vec();
    drawn.sort_unstable();
    let row = |image: usize| &features.values[image * features.dim..][..features.dim];
    drawn.into_iter().flat_map(row).copied().collect()
}
