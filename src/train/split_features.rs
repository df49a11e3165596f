/*!
Features of a split of a data set, by a pretrained trunk.
*/

use std::path::{Path, PathBuf};

use super::TrainError;
use crate::dataset::Sample;
use crate::device::Device;
use crate::encoder::{Encoder, FileFeatures};
use crate::image::{ImageError, Limits};
use crate::task::Task;
use crate::trunk::{Trunk, TrunkKind, WeightsError, weights};

/// An unreadable image of a data set.
#[derive(Debug)]
#[non_exhaustive]
pub struct Unreadable {
    /// The file.
    pub path: PathBuf,
    /// The error.
    pub error: ImageError,
}

/// Opens a trunk file or the shipped trunk in half precision, as model files store it, so that
/// hashes are fitted to the weights that will be read back.
pub(super) fn open_trunk(
    kind: TrunkKind,
    file: Option<&Path>,
    device: &Device,
) -> Result<Trunk, TrainError> {
    let burn = device.burn();
    let trunk = match file {
        Some(path) => weights::load(path, kind, &burn)?,
        None if kind.ships() => weights::shipped(&burn)?,
        None => return Err(WeightsError::NotShipped(kind).into()),
    };
    Ok(weights::rounded(trunk, &burn)?)
}

/// Features and labels of the readable images of a split.
pub(super) struct SplitFeatures {
    pub values: Vec<f32>,
    /// Positions of these images among the samples.
    pub kept: Vec<usize>,
    pub labels: Vec<Vec<u32>>,
    pub unreadable: Vec<Unreadable>,
}

pub(super) fn split_features(
    encoder: &Encoder,
    split: &'static str,
    samples: &[Sample],
    limits: &Limits,
    task: &Task<'_>,
) -> Result<SplitFeatures, TrainError> {
    let FileFeatures { values, kept, failures } =
        encoder.features_of(samples, |sample: &Sample| sample.open(limits), task)?;
    let labels = kept.iter().map(|i| samples[*i].labels.clone()).collect();
    let name =
        |(i, error): (usize, ImageError)| Unreadable { path: samples[i].path.clone(), error };
    let mut unreadable = failures.into_iter().map(name);
    if kept.is_empty()
        && let Some(Unreadable { error: first, .. }) = unreadable.next()
    {
        return Err(TrainError::NoImages { split, count: samples.len(), first });
    }
    let unreadable = unreadable.collect();
    Ok(SplitFeatures { values, kept, labels, unreadable })
}
