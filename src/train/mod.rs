/*!
Fitting models to labelled photos, and measuring them.

This module contains what methods share: features of a data set, the training loop, the model card,
the evaluation. The methods are in [`method`](crate::method).
*/

mod build;
mod cache;
mod checkpoint;
mod compare;
mod devices;
mod error;
mod evaluate;
mod features;
mod images;
mod learn;
mod memory;
mod optimiser;
#[cfg(test)]
mod oracle;
mod plan;
mod prepared;
mod random_part;
mod run;
mod shallow;
mod step;
mod survey;
mod timing;
mod watch;

use std::path::{Path, PathBuf};

use crate::dataset::{Dataset, Sample};
use crate::device::Device;
use crate::encoder::{Encoder, FileFeatures};
use crate::image::{ImageError, Limits};
use crate::model::DataCard;
use crate::task::Task;
use crate::trunk::{Trunk, TrunkKind, WeightsError, weights};

pub use crate::method::{Init, Recipe, Trained};
pub use compare::{Comparison, Contender, Measured, Setting};
pub use error::{Smaller, TrainError};
pub use evaluate::{Evaluation, Split, evaluate};
pub use learn::{Learned, checkpoint_path, learn};
pub use plan::{LearnPlan, Optimiser, Schedule};
pub use shallow::{Fitted, ShallowPlan, fit_shallow};
pub use timing::{StepTimes, time_training};
pub use watch::{EpochReport, Outlook, Watcher};

/// An unreadable image of a data set.
#[derive(Debug)]
pub struct Unreadable {
    /// The file.
    pub path: PathBuf,
    /// The error.
    pub error: ImageError,
}

/// Opens a trunk file or the shipped trunk in half precision, as model files store it, so that
/// hashes are fitted to the weights that will be read back.
fn open_trunk(kind: TrunkKind, file: Option<&Path>, device: &Device) -> Result<Trunk, TrainError> {
    let burn = device.burn();
    let trunk = match file {
        Some(path) => weights::load(path, kind, &burn)?,
        None if kind.ships() => weights::shipped(&burn)?.into(),
        None => return Err(WeightsError::NotShipped(kind).into()),
    };
    Ok(weights::rounded(trunk, &burn)?)
}

/// Features and labels of the readable images of a split.
struct SplitFeatures {
    values: Vec<f32>,
    /// Positions of these images among the samples.
    kept: Vec<usize>,
    labels: Vec<Vec<u32>>,
    unreadable: Vec<Unreadable>,
}

fn split_features(
    encoder: &Encoder,
    split: &'static str,
    samples: &[Sample],
    limits: &Limits,
    task: &Task<'_>,
) -> Result<SplitFeatures, TrainError> {
    let FileFeatures { values, kept, failures } =
        encoder.features_of(samples, |sample: &Sample| sample.open(limits), task)?;
    if let (true, Some((_, first))) = (kept.is_empty(), failures.first()) {
        let (count, first) = (samples.len(), first.to_string());
        return Err(TrainError::NoImages { split, count, first });
    }
    let labels = kept.iter().map(|i| samples[*i].labels.clone()).collect();
    let name =
        |(i, error): (usize, ImageError)| Unreadable { path: samples[i].path.clone(), error };
    let unreadable = failures.into_iter().map(name).collect();
    Ok(SplitFeatures { values, kept, labels, unreadable })
}

/// Describes the training data for a model's card. `kept` are the positions of the readable
/// training images.
fn data_card(dataset: &Dataset, kept: &[usize]) -> DataCard {
    let name = dataset.root.file_name().map(|name| name.to_string_lossy().into_owned());
    let held_out = dataset.held_out.iter().filter_map(|l| dataset.classes.get(*l as usize));
    DataCard {
        name: name.unwrap_or_default(),
        layout: dataset.layout.to_string(),
        images: kept.len(),
        files: files_hash(dataset, kept.iter().map(|i| &dataset.train[*i])),
        held_out: held_out.cloned().collect(),
        split_seed: dataset.split_seed,
    }
}

/// BLAKE3 of the image paths relative to the data set's root (and record numbers), in order.
fn files_hash<'a>(dataset: &Dataset, samples: impl Iterator<Item = &'a Sample>) -> String {
    let mut hasher = blake3::Hasher::new();
    for sample in samples {
        let path = sample.path.strip_prefix(&dataset.root).unwrap_or(&sample.path);
        hasher.update(path.to_string_lossy().as_bytes());
        hasher.update(&[0]);
        if let Some(record) = sample.record {
            hasher.update(&record.to_le_bytes());
        }
    }
    hasher.finalize().to_hex().to_string()
}
