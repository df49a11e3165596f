/*!
The exchange of parts: class anchors of a network with parts, and which parts of an image
they replace.
*/

use burn::module::Module;
use burn::tensor::{Tensor, TensorData};
use rand::RngExt;

use super::TrainError;
use super::draw::{Purpose, generator};
use super::images::Images;
use super::net::{Net, read};
use super::plan::LearnPlan;
use crate::device::Device;
use crate::method::exchnet::Exchange;
use crate::network::Parts;
use crate::trunk::Stem;

/// Images per pass when class anchors are computed.
const ANCHOR_BATCH: usize = 64;

/// Whether parts are exchanged in an outer iteration (from 0) of `of`.
pub(super) fn happens(plan: &LearnPlan, outer: usize, of: usize) -> bool {
    let Some(options) = plan.method.exchnet() else { return false };
    let late = (of as f32 * options.exchange_share).ceil() as usize;
    late > 0 && outer + late >= of
}

/// The mean local features of each class, `[classes, M·C']`, in evaluation mode.
///
/// # Errors
/// When an image or the device fails.
pub(super) fn anchors(
    net: &Net,
    plan: &LearnPlan,
    images: &Images<'_>,
    labels: &[Vec<u32>],
    device: &Device,
) -> Result<Vec<f32>, TrainError> {
    let net = net.valid();
    let Some(parts) = net.parts.map(Parts::fold) else { return Ok(Vec::new()) };
    let stem = net.stem.map(Stem::fold);
    let width = plan.method.parts() * plan.trunk.pooled();
    let classes = labels.iter().flatten().max().map_or(0, |label| *label as usize + 1);
    let (mut sums, mut counts) = (vec![0.0f64; classes * width], vec![0usize; classes]);
    let all: Vec<usize> = (0..labels.len()).collect();
    for some in all.chunks(ANCHOR_BATCH) {
        let input = images.tensor(images.plain(plan, some)?, some.len(), &device.burn());
        let e = stem.as_ref().map_or(input.clone(), |stem| stem.forward(input));
        let local = read(device, parts.forward(e).local)?;
        for (image, row) in some.iter().zip(local.chunks_exact(width)) {
            for label in &labels[*image] {
                let label = *label as usize;
                counts[label] += 1;
                let sum = &mut sums[label * width..(label + 1) * width];
                sum.iter_mut().zip(row).for_each(|(s, v)| *s += f64::from(*v));
            }
        }
    }
    let means = sums.chunks_exact(width).zip(&counts);
    Ok(means
        .flat_map(|(sum, n)| sum.iter().map(move |s| (s / (*n).max(1) as f64) as f32))
        .collect())
}

/// Which parts of some images are kept in an epoch, and what replaces the others.
pub(super) fn draw(
    plan: &LearnPlan,
    anchors: &[f32],
    labels: &[Vec<u32>],
    images: &[usize],
    epoch: usize,
    device: &Device,
) -> Exchange {
    let (parts, count, pooled) = (plan.method.parts(), images.len(), plan.trunk.pooled());
    let mut keep = Vec::with_capacity(count * parts);
    let mut own = Vec::with_capacity(count * parts * pooled);
    for image in images {
        keep.extend(kept_parts(plan.seed, epoch, *image, parts));
        own.extend(mean_of_rows(anchors, parts * pooled, &labels[*image]));
    }
    let device = device.burn().autodiff();
    let keep = TensorData::new(keep, [count, parts, 1]);
    let own = TensorData::new(own, [count, parts, pooled]);
    Exchange { keep: Tensor::from_data(keep, &device), anchors: Tensor::from_data(own, &device) }
}

/// ξ of equation 8 for each part of an image: 1 keeps it, 0 replaces it.
fn kept_parts(seed: u64, epoch: usize, image: usize, parts: usize) -> impl Iterator<Item = f32> {
    let mut rng = generator(seed, Purpose::Exchange, epoch, image);
    (0..parts).map(move |_| if rng.random_bool(0.5) { 1.0 } else { 0.0 })
}

/// The mean of some rows of a table.
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
