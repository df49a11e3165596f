/*!
Features of image files: decoding, preprocessing and the forward pass of the trunk.

An unreadable file does not stop the others; it is reported with the reason.
*/

use std::path::PathBuf;

use ::image::RgbImage;
use burn::tensor::{Tensor, TensorData};
use rayon::prelude::*;

use crate::cause::{Cause, in_detail};
use crate::device::Device;
use crate::image::{self, ImageError, Limits, Preprocess, Rect};
use crate::network::{Extractor, windows};
use crate::task::{Stopped, Task};

/// Images per forward pass: enough to keep all cores busy, but few enough that the memory of
/// their widest maps (5 MiB per image at 224²) does not matter.
pub const BATCH: usize = 32;

/// An error of the computation of features.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EncodeError {
    /// The device failed.
    #[error("{device} failed while encoding: {reason}; use the CPU")]
    Device {
        /// The device.
        device: String,
        /// The error message of the device.
        #[source]
        reason: Cause,
    },
    /// The work was stopped.
    #[error(transparent)]
    Stopped(#[from] Stopped),
}

/// A network that computes features.
#[derive(Debug)]
pub struct Encoder {
    extractor: Extractor,
    preprocess: Preprocess,
    device: Device,
}

/// Features of the files that were readable.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct FileFeatures {
    /// One row per file of `kept`, in the same order.
    pub values: Vec<f32>,
    /// Positions of the files that were read, ascending.
    pub kept: Vec<usize>,
    /// Position and error of each file that was not read.
    pub failures: Vec<(usize, ImageError)>,
}

impl Encoder {
    /// Creates an encoder from a network whose weights are on `device`; folds its norms.
    pub fn new(extractor: Extractor, preprocess: Preprocess, device: Device) -> Self {
        Self { extractor: extractor.fold(), preprocess, device }
    }

    /// Returns the preprocessing of images.
    pub fn preprocess(&self) -> &Preprocess {
        &self.preprocess
    }

    /// Returns the device that runs the network.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// Computes the features of preprocessed images: `[n, 3, S, S]` to n rows.
    ///
    /// # Errors
    /// If the device fails.
    pub fn features(&self, inputs: Vec<f32>) -> Result<Vec<f32>, EncodeError> {
        if inputs.len() < self.preprocess.values() {
            return Ok(Vec::new());
        }
        self.read(self.extractor.features(self.tensor(inputs)))
    }

    /// Computes features from feature maps of the stem, `[n, C, H, W]` in row-major order, with the
    /// shape `[C, H, W]` of one. The result equals that of [`Encoder::features`] for the same
    /// images.
    ///
    /// # Errors
    /// If the device fails.
    pub fn features_of_maps(
        &self,
        maps: Vec<f32>,
        [channels, height, width]: [usize; 3],
    ) -> Result<Vec<f32>, EncodeError> {
        let count = maps.len() / (channels * height * width);
        let data = TensorData::new(maps, [count, channels, height, width]);
        let maps = Tensor::from_data(data, &self.device.burn());
        self.read(self.extractor.features_of_map(maps))
    }

    /// Computes attention maps of preprocessed images, `[n, M, H, W]` in row-major order; `None`
    /// for a network without any.
    ///
    /// # Errors
    /// If the device fails.
    pub fn attention(&self, inputs: Vec<f32>) -> Result<Option<Vec<f32>>, EncodeError> {
        let maps = self.extractor.attention(self.tensor(inputs));
        maps.map(|maps| self.read(maps)).transpose()
    }

    /// Chooses up to `count` regions of a picture that stand out to the trunk, the most salient
    /// first. The picture is seen whole, without a crop.
    ///
    /// # Errors
    /// If the device fails.
    pub fn regions(&self, picture: &RgbImage, count: usize) -> Result<Vec<Rect>, EncodeError> {
        let salience = self.extractor.salience(self.tensor(self.preprocess.stretch(picture)));
        let [_, _, side, _] = salience.dims();
        let (width, height) = picture.dimensions();
        Ok(windows(&self.read(salience)?, side, width, height, count))
    }

    /// Returns the input of the network for a part of a picture: see [`Rect::around`].
    pub fn input_of(&self, picture: &RgbImage, rect: &Rect) -> Vec<f32> {
        let (width, height) = picture.dimensions();
        self.preprocess.apply(&rect.around(&self.preprocess, width, height).cut(picture))
    }

    /// Moves preprocessed images to the device as `[n, 3, S, S]`.
    fn tensor(&self, inputs: Vec<f32>) -> Tensor<4> {
        let size = self.preprocess.size() as usize;
        let count = inputs.len() / self.preprocess.values();
        let data = TensorData::new(inputs, [count, 3, size, size]);
        Tensor::from_data(data, &self.device.burn())
    }

    fn read<const D: usize>(&self, tensor: Tensor<D>) -> Result<Vec<f32>, EncodeError> {
        let failed = |reason| EncodeError::Device { device: self.device.to_string(), reason };
        let data = tensor.try_into_data().map_err(|error| failed(in_detail(error)))?;
        data.try_into_vec::<f32>().map_err(|error| failed(in_detail(error)))
    }

    /// Computes the pooled features of image files, [`BATCH`] at a time.
    ///
    /// # Errors
    /// If the device fails or the work is stopped; unreadable files are not an error.
    pub fn features_of_files(
        &self,
        files: &[PathBuf],
        limits: &Limits,
        task: &Task<'_>,
    ) -> Result<FileFeatures, EncodeError> {
        self.features_of(files, |path| image::open(path, limits), task)
    }

    /// Computes the pooled features of images from any source; `open` decodes each of them.
    ///
    /// # Errors
    /// If the device fails or the work is stopped; unreadable images are not an error.
    pub fn features_of<T: Sync>(
        &self,
        images: &[T],
        open: impl Fn(&T) -> Result<RgbImage, ImageError> + Sync,
        task: &Task<'_>,
    ) -> Result<FileFeatures, EncodeError> {
        let mut all = FileFeatures::default();
        task.step(0, images.len())?;
        for (batch, some) in images.chunks(BATCH).enumerate() {
            let open = |image: &T| open(image).map(|image| self.preprocess.apply(&image));
            let opened: Vec<_> = some.par_iter().map(open).collect();
            let mut inputs = Vec::with_capacity(opened.len() * self.preprocess.values());
            for (position, opened) in (batch * BATCH..).zip(opened) {
                match opened {
                    Ok(input) => {
                        inputs.extend(input);
                        all.kept.push(position);
                    }
                    Err(error) => all.failures.push((position, error)),
                }
            }
            all.values.extend(self.features(inputs)?);
            task.step(batch * BATCH + some.len(), images.len())?;
        }
        Ok(all)
    }
}
