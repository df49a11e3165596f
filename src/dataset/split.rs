/*!
Images with a class each, and their division into a training and a test split by a seed.
*/

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::{Dataset, Layout, Sample};

/// An image and its class.
pub(super) struct Image {
    pub class: String,
    pub path: PathBuf,
    /// Path relative to the folder of the data set or split, joined by `/` on every system, so
    /// that order and split are the same everywhere.
    pub key: Vec<u8>,
}

impl Image {
    /// Creates an image of a file below `top`.
    pub fn new(top: &Path, class: &str, path: PathBuf) -> Self {
        let place = path.strip_prefix(top).unwrap_or(&path);
        let parts: Vec<_> = place.iter().map(|part| part.as_encoded_bytes()).collect();
        Self { class: class.into(), key: parts.join(&b'/'), path }
    }

    /// Returns the image as a sample. `classes` contain its class and are in byte order.
    pub fn sample(&self, classes: &[String]) -> Sample {
        // Always found: the classes were collected from the images.
        let at = classes.partition_point(|class| class < &self.class);
        Sample::file(self.path.clone(), vec![at as u32])
    }
}

/// Divides the images of each class: a fifth of them, chosen by `seed`, becomes the test split.
pub(super) fn by_class(layout: Layout, root: &Path, mut images: Vec<Image>, seed: u64) -> Dataset {
    let classes = sorted(images.iter().map(|image| image.class.as_str()));
    let mut dataset = Dataset::new(layout, root, classes);
    dataset.split_seed = Some(seed);
    // Keeps the images of a class together, in the same order within each split.
    images.sort_by(|a, b| (&a.class, &a.key).cmp(&(&b.class, &b.key)));
    for class in images.chunk_by(|a, b| a.class == b.class) {
        let test = held_out(class, seed);
        for (image, test) in class.iter().zip(test) {
            let split = if test { &mut dataset.test } else { &mut dataset.train };
            split.push(image.sample(&dataset.classes));
        }
    }
    dataset
}

/// Returns, for each image of one class, whether it belongs to the test split. The test split is
/// a fifth of the class, rounded, at least one image; the only image of a class stays in training.
///
/// Images are ranked by a hash of seed and path, so adding a file moves at most one other file
/// from one split to the other.
fn held_out(class: &[Image], seed: u64) -> Vec<bool> {
    let wanted = if class.len() < 2 { 0 } else { ((class.len() + 2) / 5).max(1) };
    let mut ranked: Vec<_> = (0..class.len()).collect();
    ranked.sort_by_cached_key(|i| {
        let text = [&seed.to_le_bytes(), class[*i].key.as_slice()].concat();
        *blake3::hash(&text).as_bytes()
    });
    let mut test = vec![false; class.len()];
    ranked.into_iter().take(wanted).for_each(|i| test[i] = true);
    test
}

/// Returns names in byte order, each once.
pub(super) fn sorted<'a>(names: impl Iterator<Item = &'a str>) -> Vec<String> {
    let names: BTreeSet<&str> = names.collect();
    names.into_iter().map(str::to_string).collect()
}
