/*!
Training images: cached maps of the stem, or the image files themselves if the stem is trained.
*/

use ::image::RgbImage;
use burn::tensor::{Device as BurnDevice, Tensor, TensorData};
use rand::RngExt;
use rayon::prelude::*;

use super::TrainError;
use super::cache::FeatureCache;
use super::plan::LearnPlan;
use super::random_part::random_part;
use crate::dataset::Sample;
use crate::image::{ImageError, Preprocess};
use crate::method::draw::{Purpose, generator};

/// The layer of the network that takes the [`Images`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Begins {
    /// Before the stem.
    Pixels,
    /// After the stem.
    Maps,
    /// After refine.
    Features,
}

/// Training images as input of the network.
pub(super) enum Images<'a> {
    /// The stem's maps, or pooled features.
    Cached(FeatureCache),
    /// Pixels, decoded each time an image is shown.
    Files {
        /// The readable images.
        samples: Vec<&'a Sample>,
        /// Their preprocessing.
        preprocess: &'a Preprocess,
    },
}

impl Images<'_> {
    /// Returns the number of images.
    pub fn len(&self) -> usize {
        match self {
            Self::Cached(cache) => cache.images(),
            Self::Files { samples, .. } => samples.len(),
        }
    }

    /// Returns the layer that takes the images.
    pub fn begins(&self) -> Begins {
        match self {
            Self::Cached(cache) if cache.features => Begins::Features,
            Self::Cached(_) => Begins::Maps,
            Self::Files { .. } => Begins::Pixels,
        }
    }

    /// Returns the dimensions of `count` inputs.
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

    /// Returns training views of some images. The view depends only on the seed, the epoch (counted
    /// over the whole run) and the image.
    ///
    /// # Errors
    /// If a file has become unreadable.
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
                cropped(file, plan, preprocess, epoch + 1, image)
            }),
        }
    }

    /// Returns evaluation views of some images.
    ///
    /// # Errors
    /// If a file has become unreadable.
    pub fn plain(&self, plan: &LearnPlan, images: &[usize]) -> Result<Vec<f32>, TrainError> {
        self.view(plan, images, 0)
    }

    /// Returns a view of each of some images, by its number: the evaluation view is 0, and the
    /// others, up to the plan's number of views, are random crops.
    ///
    /// # Errors
    /// If a file has become unreadable.
    pub fn view(
        &self,
        plan: &LearnPlan,
        images: &[usize],
        number: usize,
    ) -> Result<Vec<f32>, TrainError> {
        match self {
            Self::Cached(cache) => {
                let mut values = Vec::with_capacity(self.dims(images.len()).iter().product());
                images.iter().for_each(|image| cache.read_into(number, *image, &mut values));
                Ok(values)
            }
            Self::Files { samples, preprocess } => {
                decoded(samples, images, plan, |file, image| match number {
                    0 => preprocess.apply(file),
                    number => cropped(file, plan, preprocess, number, image),
                })
            }
        }
    }

    /// Moves values of some images to a device.
    pub fn tensor(&self, values: Vec<f32>, count: usize, device: &BurnDevice) -> Tensor<4> {
        Tensor::from_data(TensorData::new(values, self.dims(count)), device)
    }
}

/// Returns a random crop of an image, which depends only on the seed and the two numbers.
fn cropped(
    file: &RgbImage,
    plan: &LearnPlan,
    preprocess: &Preprocess,
    number: usize,
    image: usize,
) -> Vec<f32> {
    let mut rng = generator(plan.seed, Purpose::Crop, number, image);
    preprocess.stretch(&random_part(file, plan.least_area, &mut rng))
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
