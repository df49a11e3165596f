/*!
The output of the frozen part of a network for all training images, computed once: the stem's maps,
or pooled features if refine is frozen too. An epoch then decodes no images, and a step does not run
frozen layers.

The cache is one file of numbers, `[views, images, channels, height, width]`. Its header records the
settings and the readable images. It is written to a temporary name and renamed when complete, so a
killed run leaves no partial cache. It can be deleted safely.
*/

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use ::image::RgbImage;
use burn::tensor::{Tensor, TensorData};
use half::f16;
use half::slice::HalfFloatSliceExt;
use memmap2::Mmap;
use rayon::prelude::*;

use super::error::device_failed;
use super::random_part::random_part;
use super::{TrainError, Unreadable};
use crate::cause::in_detail;
use crate::dataset::Sample;
use crate::device::Device;
use crate::encoder::EncodeError;
use crate::file;
use crate::image::{self, Limits, Preprocess};
use crate::method::draw::{Purpose, generator};
use crate::task::Task;
use crate::trunk::{Refine, Stem, TrunkKind};

/// Magic bytes with the version.
const MAGIC: &[u8; 8] = b"BRBSTEM1";
/// Bytes before the list of images: magic, key and number of images.
const HEADER: usize = 8 + 32 + 8;
/// Images per pass.
const BATCH: usize = 32;

/// The views of an image.
#[derive(Debug, Clone, PartialEq)]
pub struct Views {
    /// Number of views; the first is the plain one, as in evaluation.
    pub count: usize,
    /// Seed of the other views.
    pub seed: u64,
    /// Minimum share of the image's area that a view shows.
    pub least_area: f32,
}

/// The precision of stored numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Precision {
    /// Half precision, which suffices for training.
    Half,
    /// Single precision, as computed, so that measured figures do not change.
    Single,
}

impl Precision {
    fn bytes(self) -> usize {
        match self {
            Self::Half => 2,
            Self::Single => 4,
        }
    }
}

/// A cache of the maps or features of all views of all readable images.
#[derive(Debug)]
pub struct FeatureCache {
    map: Mmap,
    precision: Precision,
    /// Whether the cache already existed.
    pub reused: bool,
    /// Positions of the readable images among the samples, ascending.
    pub kept: Vec<usize>,
    /// Channels, height and width.
    dims: [usize; 3],
    /// Whether it holds pooled features instead of maps.
    pub features: bool,
}

impl FeatureCache {
    /// Returns the number of images.
    pub fn images(&self) -> usize {
        self.kept.len()
    }

    /// Returns channels, height and width of a map; features are maps with one position.
    pub fn dims(&self) -> [usize; 3] {
        self.dims
    }

    /// Appends a view of an image, `[channels, height, width]`, to `out`.
    pub fn read_into(&self, view: usize, image: usize, out: &mut Vec<f32>) {
        let len = self.dims.iter().product::<usize>() * self.precision.bytes();
        let before = HEADER + self.images() * 4;
        let at = before + (view * self.images() + image) * len;
        let bytes = self.map.get(at..at + len).unwrap_or_default();
        match self.precision {
            Precision::Half => {
                let halves = bytes.chunks_exact(2).map(|b| f16::from_le_bytes([b[0], b[1]]));
                out.extend(halves.map(f16::to_f32));
            }
            Precision::Single => {
                let numbers = bytes.as_chunks::<4>().0;
                out.extend(numbers.iter().copied().map(f32::from_le_bytes));
            }
        }
    }
}

/// The inputs of the cache.
pub struct Source<'a> {
    /// The trunk of the stem.
    pub trunk: TrunkKind,
    /// The stem with folded norms, on `device`.
    pub stem: &'a Stem,
    /// The refine part with folded norms, to store features instead of maps.
    pub refine: Option<&'a Refine>,
    /// Fingerprint of the stem's weights.
    pub weights: blake3::Hash,
    /// Preprocessing of images.
    pub preprocess: &'a Preprocess,
    /// The views.
    pub views: &'a Views,
    /// Precision of stored numbers.
    pub precision: Precision,
    /// The images.
    pub samples: &'a [Sample],
    /// Limits on the size of images.
    pub limits: &'a Limits,
    /// The device for computing.
    pub device: &'a Device,
}

impl Source<'_> {
    /// Opens the cache in `folder`, or creates it. Also returns the unreadable images if it was
    /// created.
    ///
    /// # Errors
    /// If the folder cannot be written, the device fails or the work is stopped.
    pub fn open(
        &self,
        folder: &Path,
        task: &Task<'_>,
    ) -> Result<(FeatureCache, Vec<Unreadable>), TrainError> {
        let key = self.key();
        let path = folder.join(format!("{}.stem", &key.to_hex()[..32]));
        if let Some(cache) = self.existing(&path, &key) {
            return Ok((cache, Vec::new()));
        }
        let (kept, unreadable) = self.readable()?;
        let failed = |source: io::Error| TrainError::Cache { path: path.clone(), source };
        std::fs::create_dir_all(folder).map_err(failed)?;
        let mut error = None;
        let written = file::write_whole(&path, |out| {
            self.fill(out, &key, &kept, task).map_err(|problem| match problem {
                TrainError::Cache { source, .. } => source,
                other => {
                    error = Some(other);
                    io::Error::other("stopped")
                }
            })
        });
        match (error, written) {
            (Some(error), _) => return Err(error),
            (None, written) => written.map_err(failed)?,
        }
        let mut cache = self
            .existing(&path, &key)
            .ok_or_else(|| failed(io::Error::other("it was written but cannot be read back")))?;
        cache.reused = false;
        Ok((cache, unreadable))
    }

    fn dims(&self) -> [usize; 3] {
        match self.refine {
            Some(_) => [self.trunk.pooled(), 1, 1],
            None => self.trunk.map(self.preprocess.size() as usize),
        }
    }

    /// Returns the positions of readable images, and the unreadable images.
    ///
    /// # Errors
    /// If no image is readable.
    pub fn readable(&self) -> Result<(Vec<usize>, Vec<Unreadable>), TrainError> {
        let tried: Vec<_> =
            self.samples.par_iter().map(|sample| sample.open(self.limits).map(drop)).collect();
        let (mut kept, mut unreadable) = (Vec::new(), Vec::new());
        for (position, result) in tried.into_iter().enumerate() {
            match result {
                Ok(()) => kept.push(position),
                Err(error) => {
                    let path = self.samples[position].path.clone();
                    unreadable.push(Unreadable { path, error });
                }
            }
        }
        if !kept.is_empty() {
            return Ok((kept, unreadable));
        }
        let count = self.samples.len();
        match unreadable.into_iter().next() {
            Some(Unreadable { error: first, .. }) => {
                Err(TrainError::NoImages { split: "training", count, first })
            }
            None => Ok((kept, Vec::new())),
        }
    }

    /// Returns a key of everything that the numbers depend on.
    pub fn key(&self) -> blake3::Hash {
        let mut hasher = blake3::Hasher::new();
        hasher.update(self.weights.as_bytes());
        let Views { count, seed, least_area } = self.views;
        let kind = if self.refine.is_some() { " features" } else { "" };
        let exact = if self.precision == Precision::Single { " exact" } else { "" };
        let settings = format!("{:?} {count} {seed} {least_area}{kind}{exact}", self.preprocess);
        hasher.update(settings.as_bytes());
        for Sample { path, record, .. } in self.samples {
            hasher.update(path.to_string_lossy().as_bytes());
            if let Some(record) = record {
                hasher.update(&record.to_le_bytes());
            }
            if let Ok(meta) = std::fs::metadata(path) {
                hasher.update(&meta.len().to_le_bytes());
                hasher.update(format!("{:?}", meta.modified().ok()).as_bytes());
            }
        }
        hasher.finalize()
    }

    fn existing(&self, path: &Path, key: &blake3::Hash) -> Option<FeatureCache> {
        let file = File::open(path).ok()?;
        // SAFETY: this program only replaces the file by renaming and never changes it in place.
        // Truncating it from outside can break only the run of whoever does so.
        #[allow(unsafe_code)]
        let map = unsafe { Mmap::map(&file) }.ok()?;
        if map.get(..8) != Some(MAGIC) || map.get(8..40) != Some(key.as_bytes()) {
            return None;
        }
        let images = u64::from_le_bytes(map.get(40..48)?.try_into().ok()?);
        let images = usize::try_from(images).ok().filter(|n| *n <= self.samples.len())?;
        let list = map.get(HEADER..HEADER + images * 4)?.chunks_exact(4);
        let kept = list.map(|b| u32::from_le_bytes([b[0], b[1], b[2], b[3]]) as usize);
        let kept: Vec<usize> = kept.collect();
        let (dims, features) = (self.dims(), self.refine.is_some());
        let numbers = self.views.count * images * dims.iter().product::<usize>();
        let precision = self.precision;
        let whole = map.len() == HEADER + images * 4 + numbers * precision.bytes();
        let listed = kept.iter().all(|position| *position < self.samples.len());
        (whole && listed).then_some(FeatureCache {
            map,
            precision,
            reused: true,
            kept,
            dims,
            features,
        })
    }

    fn fill(
        &self,
        out: &mut dyn Write,
        key: &blake3::Hash,
        kept: &[usize],
        task: &Task<'_>,
    ) -> Result<(), TrainError> {
        let failed = |source| TrainError::Cache { path: PathBuf::new(), source };
        out.write_all(MAGIC).map_err(failed)?;
        out.write_all(key.as_bytes()).map_err(failed)?;
        out.write_all(&(kept.len() as u64).to_le_bytes()).map_err(failed)?;
        for position in kept {
            out.write_all(&(*position as u32).to_le_bytes()).map_err(failed)?;
        }
        let total = self.views.count * kept.len();
        let mut done = 0;
        for view in 0..self.views.count {
            for batch in kept.chunks(BATCH) {
                task.step(done, total).map_err(EncodeError::from)?;
                let values = self.maps(view, batch)?;
                let bytes: Vec<u8> = match self.precision {
                    Precision::Half => {
                        let mut halves = vec![f16::ZERO; values.len()];
                        halves.convert_from_f32_slice(&values);
                        halves.iter().flat_map(|h| h.to_le_bytes()).collect()
                    }
                    Precision::Single => values.iter().flat_map(|v| v.to_le_bytes()).collect(),
                };
                out.write_all(&bytes).map_err(failed)?;
                done += batch.len();
            }
        }
        task.step(done, total).map_err(EncodeError::from)?;
        Ok(())
    }

    /// Computes the maps or features of one view of some images.
    fn maps(&self, view: usize, batch: &[usize]) -> Result<Vec<f32>, TrainError> {
        let inputs: Vec<Vec<f32>> = batch
            .par_iter()
            .map(|position| {
                let image = self.samples[*position].open(self.limits)?;
                Ok(self.preprocess.apply(&self.view(&image, view, *position)))
            })
            .collect::<Result<_, image::ImageError>>()
            .map_err(|source| TrainError::Vanished { source })?;
        let size = self.preprocess.size() as usize;
        let data = TensorData::new(inputs.concat(), [batch.len(), 3, size, size]);
        let maps = self.stem.forward(Tensor::from_data(data, &self.device.burn()));
        let maps = match self.refine {
            Some(refine) => refine.pooled(maps).reshape([batch.len() as i32, -1, 1, 1]),
            None => maps,
        };
        let data =
            maps.try_into_data().map_err(|error| device_failed(self.device, in_detail(error)))?;
        data.try_into_vec::<f32>().map_err(|error| device_failed(self.device, in_detail(error)))
    }

    /// Returns a view: the first is the image itself, the others are random crops, half of them
    /// mirrored.
    fn view(&self, image: &RgbImage, view: usize, position: usize) -> RgbImage {
        if view == 0 {
            return image.clone();
        }
        let mut rng = generator(self.views.seed, Purpose::Crop, view, position);
        random_part(image, self.views.least_area, &mut rng)
    }
}
