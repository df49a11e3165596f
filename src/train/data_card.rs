/*!
What a model's card says about its training data.
*/

use crate::dataset::{Dataset, Sample};
use crate::model::DataCard;

/// Describes the training data for a model's card. `kept` are the positions of the readable
/// training images.
pub(super) fn data_card(dataset: &Dataset, kept: &[usize]) -> DataCard {
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
pub(super) fn files_hash<'a>(
    dataset: &Dataset,
    samples: impl Iterator<Item = &'a Sample>,
) -> String {
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
