/*!
Training images: cached maps of the stem, or the image files themselves if the stem is trained
too.
*/

use ::image::RgbImage;
use ::image::imageops;
use burn::tensor::{Device as BurnDevice, Tensor, TensorData};
use rand::{Rng, RngExt};
use rayon::prelude::*;

use super::TrainError;
use super::cache::FeatureCache;
use super::plan::LearnPlan;
use crate::dataset::Sample;
use crate::image::{ImageError, Preprocess};
use crate::method::draw::{Purpose, generator};

/// The place in the network where [`Images`] enter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Begins {
    /// Before the stem.
    Pixels,
    /// Behind the stem.
    Maps,
    /// Behind refine.
    Features,
}

/// The training images as the network takes them.
pub(super) enum Images<'a> {
    /// The stem's maps, or pooled features.
    Cached(FeatureCache),
    /// Pixels, decoded whenever an image is shown.
    Files {
        /// The readable images.
        samples: Vec<&'a Sample>,
        /// Their preprocessing.
        preprocess: &'a Preprocess,
    },
}

impl Images<'_> {
    /// The number of images.
    pub fn len(&self) -> usize {
        match self {
            Self::Cached(cache) => cache.images(),
            Self::Files { samples, .. } => samples.len(),
        }
    }

    /// The place in the network where they enter.
    pub fn begins(&self) -> Begins {
        match self {
            Self::Cached(cache) if cache.features => Begins::Features,
            Self::Cached(_) => Begins::Maps,
            Self::Files { .. } => Begins::Pixels,
        }
    }

    /// Dimensions of `count` inputs.
    pub fn dims(&self, count: usize) -> [usize; 4] {
        match self {
            Self::Cached(cache) => {
                let [channels, height, width] = cache.dims();
                [count, channels, height, width]
            }
            Self::Files { preprocess, .. } => {
                let side = preprocess.size() as usize;
                [count, 3, side, side]
            }
        }
    }

    /// Some images as they are shown in training: one of their views, which depends on
    /// the seed, the epoch (counted over the whole run) and the image alone.
    ///
    /// # Errors
    /// When a file cannot be read any more.
    pub fn shown(
        &self,
        plan: &LearnPlan,
        images: &[usize],
        epoch: usize,
    ) -> Result<Vec<f32>, TrainError> {
        match self {
            Self::Cached(cache) => {
                let mut values = Vec::with_capacity(self.dims(images.len()).iter().product());
                for image in images {
                    let mut rng = generator(plan.seed, Purpose::View, epoch, *image);
                    let view = rng.random_range(0..plan.views.max(1));
                    cache.read_into(view, *image, &mut values);
                }
                Ok(values)
            }
            Self::Files { samples, preprocess } => decoded(samples, images, plan, |file, image| {
                let mut rng = generator(plan.seed, Purpose::Crop, epoch + 1, image);
                preprocess.stretch(&random_part(file, plan.least_area, &mut rng))
            }),
        }
    }

    /// Some images as they are evaluated.
    ///
    /// # Errors
    /// When a file cannot be read any more.
    pub fn plain(&self, plan: &LearnPlan, images: &[usize]) -> Result<Vec<f32>, TrainError> {
        match self {
            Self::Cached(cache) => {
                let mut values = Vec::with_capacity(self.dims(images.len()).iter().product());
                images.iter().for_each(|image| cache.read_into(0, *image, &mut values));
                Ok(values)
            }
            Self::Files { samples, preprocess } => {
                decoded(samples, images, plan, |file, _| preprocess.apply(file))
            }
        }
    }

    /// Values of some images on a device.
    pub fn tensor(&self, values: Vec<f32>, count: usize, device: &BurnDevice) -> Tensor<4> {
        Tensor::from_data(TensorData::new(values, self.dims(count)), device)
    }
}

fn decoded(
    samples: &[&Sample],
    images: &[usize],
    plan: &LearnPlan,
    prepare: impl Fn(&RgbImage, usize) -> Vec<f32> + Sync,
) -> Result<Vec<f32>, TrainError> {
    let one = |image: &usize| -> Result<Vec<f32>, ImageError> {
        let file = samples[*image].open(&plan.limits)?;
        Ok(prepare(&file, *image))
    };
    let all: Result<Vec<_>, _> = images.par_iter().map(one).collect();
    Ok(all.map_err(|source| TrainError::Vanished { source })?.concat())
}

/// A random part of an image, mirrored in half of all cases: at least `least_area` of
/// it, with an aspect ratio of 3:4 to 4:3 (both as far as the image allows).
pub(super) fn random_part(image: &RgbImage, least_area: f32, rng: &mut impl Rng) -> RgbImage {
    let (width, height) = (image.width() as f32, image.height() as f32);
    let area = width * height * rng.random_range(least_area..=1.0);
    let ratio = rng.random_range(0.75f32.ln()..=(4.0f32 / 3.0).ln()).exp();
    let w = (area * ratio).sqrt().clamp(1.0, width.max(1.0));
    let h = (area / ratio).sqrt().clamp(1.0, height.max(1.0));
    let x = rng.random_range(0.0..=(width - w).max(0.0));
    let y = rng.random_range(0.0..=(height - h).max(0.0));
    let part = imageops::crop_imm(image, x as u32, y as u32, w as u32, h as u32).to_image();
    if rng.random_bool(0.5) { imageops::flip_horizontal(&part) } else { part }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    #[test]
    fn parts_are_inside_and_large_enough() {
        for (width, height) in [(40, 30), (1, 1), (3, 200), (200, 3)] {
            let image =
                RgbImage::from_fn(width, height, |x, y| ::image::Rgb([x as u8, y as u8, 0]));
            let mut rng = ChaCha8Rng::seed_from_u64(1);
            for _ in 0..50 {
                let part = random_part(&image, 0.5, &mut rng);
                assert!(part.width() <= width && part.height() <= height);
                assert!(part.width() > 0 && part.height() > 0);
                if (width, height) == (40, 30) {
                    // Sides are cut to whole pixels.
                    let area = (part.width() + 1) * (part.height() + 1);
                    assert!(area >= width * height / 2, "{:?}", part.dimensions());
                }
            }
        }
    }
}
