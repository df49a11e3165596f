/*!
The exchange of parts, equation 8: some parts of an image are replaced by the anchors of its class,
which are the class means of the features of each part.
*/

use std::sync::Arc;

use burn::module::Module;
use burn::prelude::*;
use rand::RngExt;

use crate::method::draw::{Purpose, generator};
use crate::method::groups::Groups;
use crate::method::learner::{Shown, Survey};
use crate::method::net::Net;
use crate::network::Parts;
use crate::trunk::{Refine, Stem};

/// The parts of a batch to replace, and their replacements.
#[derive(Debug, Clone)]
pub struct Exchange {
    /// `[batch, M, 1]`: 1 keeps an image's own part, 0 replaces it.
    pub keep: Tensor<3>,
    /// The anchors of each image's class, `[batch, M, C']`.
    pub anchors: Tensor<3>,
}

/// Replaces parts by the anchors of their class, equation 8; `local` is `[batch, M, C']`.
pub fn exchange(local: Tensor<3>, Exchange { keep, anchors }: Exchange) -> Tensor<3> {
    let replaced = keep.clone().neg() + 1.0;
    local * keep + anchors * replaced
}

/// The survey of class anchors: the mean local features of each class, `[classes, M·C']`, with the
/// network in evaluation mode.
pub(super) struct Anchors {
    stem: Option<Stem>,
    refine: Refine,
    parts: Parts,
    groups: Arc<Groups>,
    /// Sums of features, `[classes, M·C']`; empty before the first image.
    sums: Vec<f64>,
    /// Images of each class.
    counts: Vec<usize>,
}

impl Anchors {
    /// Begins a survey with the current network; `None` if it has no parts.
    pub fn new(net: &Net, groups: Arc<Groups>) -> Option<Self> {
        let net = net.valid();
        let parts = net.parts.map(Parts::fold)?;
        let counts = vec![0; classes(&groups)];
        let (stem, refine) = (net.stem.map(Stem::fold), net.refine.fold());
        Some(Self { stem, refine, parts, groups, sums: Vec::new(), counts })
    }
}

impl Survey for Anchors {
    fn rows(&self, values: Tensor<4>) -> Tensor<2> {
        let e = match &self.stem {
            Some(stem) => stem.forward(values),
            None => values,
        };
        let whole = self.refine.pooled(e.clone());
        self.parts.forward(e, &whole).local.flatten(1, 2)
    }

    fn add(&mut self, images: &[usize], rows: &[f32]) {
        let width = rows.len() / images.len().max(1);
        self.sums.resize(self.counts.len() * width, 0.0);
        for (image, row) in images.iter().zip(rows.chunks_exact(width.max(1))) {
            for label in self.groups.labels_of(*image) {
                let label = *label as usize;
                self.counts[label] += 1;
                let sum = &mut self.sums[label * width..(label + 1) * width];
                sum.iter_mut().zip(row).for_each(|(s, v)| *s += f64::from(*v));
            }
        }
    }

    fn end(self: Box<Self>) -> Vec<f32> {
        let width = self.sums.len() / self.counts.len().max(1);
        let means = self.sums.chunks_exact(width.max(1)).zip(&self.counts);
        means
            .flat_map(|(sum, n)| sum.iter().map(move |s| (s / (*n).max(1) as f64) as f32))
            .collect()
    }
}

/// Returns one more than the greatest label.
fn classes(groups: &Groups) -> usize {
    groups.classes().last().map_or(0, |label| *label as usize + 1)
}

/// Draws the parts to exchange for the shown images, and looks up their anchors.
pub(super) fn draw(
    anchors: &[f32],
    groups: &Groups,
    shown: &Shown<'_>,
    parts: usize,
    seed: u64,
) -> Exchange {
    let (images, epoch) = (shown.images, shown.at.epoch);
    let width = anchors.len() / classes(groups).max(1);
    let mut keep = Vec::with_capacity(images.len() * parts);
    let mut own = Vec::with_capacity(images.len() * width);
    for image in images {
        keep.extend(kept_parts(seed, epoch, *image, parts));
        own.extend(mean_of_rows(anchors, width, groups.labels_of(*image)));
    }
    let device = shown.values.device();
    let keep = TensorData::new(keep, [images.len(), parts, 1]);
    let own = TensorData::new(own, [images.len(), parts, width / parts.max(1)]);
    Exchange { keep: Tensor::from_data(keep, &device), anchors: Tensor::from_data(own, &device) }
}

/// Draws ξ of equation 8 for each part of an image: 1 keeps it, 0 replaces it.
fn kept_parts(seed: u64, epoch: usize, image: usize, parts: usize) -> impl Iterator<Item = f32> {
    let mut rng = generator(seed, Purpose::Exchange, epoch, image);
    (0..parts).map(move |_| if rng.random_bool(0.5) { 1.0 } else { 0.0 })
}

/// Returns the mean of the given rows of a table.
fn mean_of_rows(table: &[f32], width: usize, rows: &[u32]) -> Vec<f32> {
    let mut mean = vec![0.0; width];
    for row in rows {
        let at = *row as usize * width;
        mean.iter_mut().zip(&table[at..at + width]).for_each(|(m, v)| *m += v);
    }
    mean.iter_mut().for_each(|m| *m /= rows.len().max(1) as f32);
    mean
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exchange_replaces_what_is_not_kept() {
        let device = Device::flex();
        let (local, anchors) =
            (Tensor::ones([2, 2, 3], &device), Tensor::zeros([2, 2, 3], &device));
        let keep = Tensor::from_data(TensorData::from([[[1f32], [0.0]], [[0.0], [1.0]]]), &device);
        let mixed =
            exchange(local, Exchange { keep, anchors }).into_data().try_into_vec::<f32>().unwrap();
        assert_eq!(mixed, [1., 1., 1., 0., 0., 0., 0., 0., 0., 1., 1., 1.]);
    }

    #[test]
    fn about_half_of_all_parts_are_exchanged() {
        let kept = |epoch| -> Vec<f32> {
            (0..2000).flat_map(|image| kept_parts(7, epoch, image, 3)).collect()
        };
        let share = kept(4).iter().sum::<f32>() / 6000.0;
        assert!((share - 0.5).abs() < 0.03, "{share}");
        assert!(kept(4) != kept(5), "other ones in each epoch");
    }

    #[test]
    fn the_mean_of_rows_is_that_of_an_images_labels() {
        let table = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0];
        assert_eq!(mean_of_rows(&table, 2, &[0, 2]), [3.0, 4.0]);
        assert_eq!(mean_of_rows(&table, 2, &[1]), [3.0, 4.0]);
    }
}
