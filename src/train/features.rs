/*!
The output of the frozen part of a trunk for the images of a data set, computed once for all models
that are measured and all methods that are fitted on it.

Numbers are stored in full precision, so that figures from this store equal those from the image
files.
*/

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::TrainError;
use super::cache::{FeatureCache, Precision, Source, Views};
use super::split_features::{SplitFeatures, Unreadable};
use crate::dataset::Sample;
use crate::device::Device;
use crate::encoder::{BATCH, EncodeError, Encoder};
use crate::image::{Limits, Preprocess};
use crate::task::Task;
use crate::trunk::{Trunk, weights};

/// An image: its file, and its record number in the file.
type Place = (PathBuf, Option<u32>);

/// The plain views of some images, after the stem and after refine.
#[derive(Debug)]
pub(super) struct Store {
    trunk: Trunk,
    weights: blake3::Hash,
    preprocess: Preprocess,
    samples: Vec<Sample>,
    /// The index of each image among the samples.
    places: BTreeMap<Place, usize>,
    cache: PathBuf,
    limits: Limits,
    device: Device,
    features: Option<FeatureCache>,
    maps: Option<FeatureCache>,
}

impl Store {
    /// Creates a store of `samples` without duplicates; nothing is computed yet.
    ///
    /// # Errors
    /// If the trunk's weights cannot be read from the device.
    pub fn new<'a>(
        trunk: Trunk,
        preprocess: Preprocess,
        samples: impl Iterator<Item = &'a Sample>,
        cache: &Path,
        limits: Limits,
        device: &Device,
    ) -> Result<Self, TrainError> {
        let places: BTreeSet<Place> = samples.map(place).collect();
        let unlabelled = |(path, record): &Place| Sample {
            path: path.clone(),
            record: *record,
            labels: Vec::new(),
        };
        Ok(Self {
            weights: weights::fingerprint(&trunk)?,
            trunk,
            preprocess,
            samples: places.iter().map(unlabelled).collect(),
            places: places.into_iter().zip(0..).collect(),
            cache: cache.to_owned(),
            limits,
            device: device.clone(),
            features: None,
            maps: None,
        })
    }

    /// Returns the fingerprint of the trunk's weights.
    pub fn weights(&self) -> &blake3::Hash {
        &self.weights
    }

    /// Returns the trunk.
    pub fn trunk(&self) -> &Trunk {
        &self.trunk
    }

    /// Returns the preprocessing of images.
    pub fn preprocess(&self) -> &Preprocess {
        &self.preprocess
    }

    /// Computes the pooled features of all images unless they exist.
    ///
    /// # Errors
    /// If the cache cannot be written, the device fails or the work is stopped.
    pub fn need_features(&mut self, task: &Task<'_>) -> Result<(), TrainError> {
        if self.features.is_none() {
            self.features = Some(self.open(true, task)?);
        }
        Ok(())
    }

    /// Computes the stem's maps of all images unless they exist.
    ///
    /// # Errors
    /// As [`Store::need_features`].
    pub fn need_maps(&mut self, task: &Task<'_>) -> Result<(), TrainError> {
        if self.maps.is_none() {
            self.maps = Some(self.open(false, task)?);
        }
        Ok(())
    }

    fn open(&self, features: bool, task: &Task<'_>) -> Result<FeatureCache, TrainError> {
        let stem = self.trunk.stem.clone().fold();
        let refine = features.then(|| self.trunk.refine.clone().fold());
        let source = Source {
            trunk: self.trunk.kind(),
            stem: &stem,
            refine: refine.as_ref(),
            weights: self.weights,
            preprocess: &self.preprocess,
            // Only the plain view.
            views: &Views { count: 1, seed: 0, least_area: 1.0 },
            precision: Precision::Single,
            samples: &self.samples,
            limits: &self.limits,
            device: &self.device,
        };
        Ok(source.open(&self.cache, task)?.0)
    }

    /// Returns the trunk's features of some images; `None` before [`Store::need_features`].
    pub fn features(&self, samples: &[Sample]) -> Option<SplitFeatures> {
        let cache = self.features.as_ref()?;
        let (rows, mut found) = self.rows(cache, samples);
        rows.iter().for_each(|row| cache.read_into(0, *row, &mut found.values));
        Some(found)
    }

    /// Returns the features of `encoder`, whose stem is the trunk's, for some images; `None` before
    /// [`Store::need_maps`].
    ///
    /// # Errors
    /// If the device fails or the work is stopped.
    pub fn behind_stem(
        &self,
        encoder: &Encoder,
        samples: &[Sample],
        task: &Task<'_>,
    ) -> Result<Option<SplitFeatures>, TrainError> {
        let Some(cache) = &self.maps else { return Ok(None) };
        let (rows, mut found) = self.rows(cache, samples);
        for (batch, some) in rows.chunks(BATCH).enumerate() {
            task.step(batch * BATCH, rows.len()).map_err(EncodeError::from)?;
            let mut maps = Vec::with_capacity(some.len() * cache.dims().iter().product::<usize>());
            some.iter().for_each(|row| cache.read_into(0, *row, &mut maps));
            found.values.extend(encoder.features_of_maps(maps, cache.dims())?);
        }
        task.step(rows.len(), rows.len()).map_err(EncodeError::from)?;
        Ok(Some(found))
    }

    /// Returns the cache rows of those `samples` that it contains, and an answer without values.
    fn rows(&self, cache: &FeatureCache, samples: &[Sample]) -> (Vec<usize>, SplitFeatures) {
        let mut rows = Vec::with_capacity(samples.len());
        let (mut kept, mut labels) = (Vec::new(), Vec::new());
        let mut unreadable = Vec::new();
        for (position, sample) in samples.iter().enumerate() {
            let place = self.places.get(&place(sample));
            match place.and_then(|place| cache.kept.binary_search(place).ok()) {
                Some(row) => {
                    rows.push(row);
                    kept.push(position);
                    labels.push(sample.labels.clone());
                }
                None => {
                    if let Err(error) = sample.open(&self.limits) {
                        unreadable.push(Unreadable { path: sample.path.clone(), error });
                    }
                }
            }
        }
        (rows, SplitFeatures { values: Vec::new(), kept, labels, unreadable })
    }
}

fn place(sample: &Sample) -> Place {
    (sample.path.clone(), sample.record)
}
