/*!
From image files to features: decoding, preparing and the trunk's forward pass.

This module knows no labels and no codes. A file that cannot be read does not stop
the others; it comes back with its reason.
*/

use std::path::PathBuf;

use ::image::RgbImage;
use burn::tensor::{Tensor, TensorData};
use rayon::prelude::*;

use crate::device::Device;
use crate::image::{self, ImageError, Limits, Preprocess};
use crate::method::parts::Extractor;
use crate::task::{Stopped, Task};

/// Images per forward pass: enough to keep all cores busy, little enough that the
/// widest maps of all of them (5 MiB each at 224²) do not matter.
pub const BATCH: usize = 32;

/// Why features could not be computed.
#[derive(Debug, thiserror::Error)]
pub enum EncodeError {
    /// The device failed.
    #[error("{device} failed while encoding: {reason}; use --device cpu")]
    Device {
        /// The device.
        device: String,
        /// What it said.
        reason: String,
    },
    /// The work was stopped.
    #[error(transparent)]
    Stopped(#[from] Stopped),
}

/// A network, ready to give features.
#[derive(Debug)]
pub struct Encoder {
    extractor: Extractor,
    preprocess: Preprocess,
    device: Device,
}

/// Features of the files that could be read.
#[derive(Debug, Default)]
pub struct FileFeatures {
    /// One row for each file of `kept`, in its order.
    pub values: Vec<f32>,
    /// Positions of the files that were read, ascending.
    pub kept: Vec<usize>,
    /// Position and reason of each file that was not.
    pub failures: Vec<(usize, ImageError)>,
}

impl Encoder {
    /// An encoder for a network whose weights are on `device`; its norms are folded here.
    pub fn new(extractor: Extractor, preprocess: Preprocess, device: Device) -> Self {
        Self { extractor: extractor.fold(), preprocess, device }
    }

    /// How images are prepared.
    pub fn preprocess(&self) -> &Preprocess {
        &self.preprocess
    }

    /// Where it computes.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// Features of prepared images: `[n, 3, S, S]` to n rows.
    ///
    /// # Errors
    /// When the device fails.
    pub fn features(&self, inputs: Vec<f32>) -> Result<Vec<f32>, EncodeError> {
        if inputs.len() < self.preprocess.values() {
            return Ok(Vec::new());
        }
        self.read(self.extractor.features(self.tensor(inputs)))
    }

    /// Features of images whose stem's maps are known, `[n, C, H, W]` in row order: what
    /// [`Encoder::features`] gives from their pixels.
    ///
    /// # Errors
    /// When the device fails.
    pub fn features_of_maps(&self, maps: Vec<f32>) -> Result<Vec<f32>, EncodeError> {
        let side = self.preprocess.size().div_ceil(16) as usize;
        let channels = self.extractor.refine.input_channels();
        let count = maps.len() / (channels * side * side);
        let data = TensorData::new(maps, [count, channels, side, side]);
        let maps = Tensor::from_data(data, &self.device.burn());
        self.read(self.extractor.features_of_map(maps))
    }

    /// Attention maps of prepared images, `[n, M, H, W]` in row order; `None` for a
    /// network without parts.
    ///
    /// # Errors
    /// When the device fails.
    pub fn attention(&self, inputs: Vec<f32>) -> Result<Option<Vec<f32>>, EncodeError> {
        let maps = self.extractor.attention(self.tensor(inputs));
        maps.map(|maps| self.read(maps)).transpose()
    }

    /// Prepared images as `[n, 3, S, S]`.
    fn tensor(&self, inputs: Vec<f32>) -> Tensor<4> {
        let size = self.preprocess.size() as usize;
        let count = inputs.len() / self.preprocess.values();
        let data = TensorData::new(inputs, [count, 3, size, size]);
        Tensor::from_data(data, &self.device.burn())
    }

    fn read<const D: usize>(&self, tensor: Tensor<D>) -> Result<Vec<f32>, EncodeError> {
        let failed = |reason| EncodeError::Device { device: self.device.to_string(), reason };
        let data = tensor.try_into_data().map_err(|error| failed(format!("{error:?}")))?;
        data.try_into_vec::<f32>().map_err(|error| failed(format!("{error:?}")))
    }

    /// Pooled features of image files, [`BATCH`] at a time.
    ///
    /// # Errors
    /// When the device fails or the work is stopped; unreadable files are no error.
    pub fn features_of_files(
        &self,
        files: &[PathBuf],
        limits: &Limits,
        task: &Task<'_>,
    ) -> Result<FileFeatures, EncodeError> {
        self.features_of(files, |path| image::open(path, limits), task)
    }

    /// The same of images that lie in other ways; `open` gives each of them.
    ///
    /// # Errors
    /// When the device fails or the work is stopped; unreadable images are no error.
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
