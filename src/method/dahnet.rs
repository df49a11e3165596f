/*!
DAHNet: three rounds in which strips of the map are boosted and suppressed, so that each round sees
something else; rounds exchange complementary positions, and classifiers help in training.

After Jiang, Tang and Li, "Global Meets Local: Dual Activation Hashing Network for Large-Scale
Fine-Grained Image Retrieval" (TKDE 2024). The loss is that of ADSH plus ½ of the cross entropy of a
linear classifier on the global features, and ⅙ of that of each round, whose classifier all rounds
share. Half of the bits see the whole image, a sixth each of the rounds. Rounds and exchange are in
[`strips`](crate::network::strips); the exchange follows the first of the trunk's last blocks, as in
ResNet-50. The attention of channels and positions that the paper adds between these blocks (CFM) is
left out.
*/

use burn::prelude::*;

use super::classes::Classes;
use super::definition::{Ablation, Additions, LearnedMethod, Method, Start};
use super::exchnet;
use super::laps::{Lap, Laps};
use super::learner::{Learner, Shown};
use super::net::{Net, Output, joined};
use super::on_codes::{Looks, OnCodes};
use super::settings::{MethodOption, Value};
use super::split::Split;
use crate::encoder::EncodeError;
use crate::hash::{Hash, HashError, LinearHash};
use crate::network::{AttentionKind, Layers};

/// Number of rounds.
const ROUNDS: usize = 3;

/// The method `dahnet`.
pub static METHOD: Method = Method {
    options: &OPTIONS,
    ablations: &ABLATIONS,
    ..Method::learned(
        "dahnet",
        &[
            "like semicon, with strips of the map instead of attention, and classifiers",
            "in training",
        ],
        "Jiang, Tang and Li, \"Global Meets Local: Dual Activation Hashing Network for \
         Large-Scale Fine-Grained Image Retrieval\", IEEE TKDE 2024",
        |settings, _| {
            let classifier = settings.single("classifier").unwrap_or(0.5);
            Ok(Box::new(Options { classifier }))
        },
    )
};

static OPTIONS: [MethodOption; 1] = [MethodOption { default: "0.5", ..exchnet::CLASSIFIER }];

static ABLATIONS: [Ablation; 1] =
    [Ablation { name: "without classifier", option: "classifier", value: Value::Number(0.0) }];

/// The options of DAHNet.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Options {
    /// Weight of the cross entropy of global features; that of a round has a third of it.
    classifier: f32,
}

impl LearnedMethod for Options {
    fn additions(&self) -> Additions {
        let layers =
            Layers { parts: ROUNDS, attention: AttentionKind::Strips, ..Layers::default() };
        let classifiers = if self.classifier > 0.0 { 2 } else { 0 };
        Additions { layers, classifiers, unbiased: true, ..Additions::default() }
    }

    fn learner(&self, start: Start) -> Box<dyn Learner> {
        let split = Split { bits: start.bits, parts: ROUNDS };
        let classes = Classes::new(start.groups.clone());
        Box::new(OnCodes::new(start, DahNet { split, classes, weight: self.classifier }))
    }
}

/// The forward pass of DAHNet.
#[derive(Debug)]
struct DahNet {
    split: Split,
    classes: Classes,
    /// Weight of the cross entropy of global features.
    weight: f32,
}

impl Looks for DahNet {
    fn look(&self, net: &Net, shown: Shown<'_>, laps: &mut Laps) -> Result<Output, EncodeError> {
        let e = net.maps(shown.values, laps)?;
        let (local, global) = net.in_parts(e, laps)?;
        let extra = match (&net.classifiers[..], &local) {
            ([of_image, of_rounds], Some(local)) => {
                let logits = of_image.forward(global.clone());
                let local = of_rounds.forward(local.clone());
                Some(cross_entropies(&self.classes, logits, local, shown.images) * self.weight)
            }
            _ => None,
        };
        laps.end(Lap::Loss)?;
        let features = joined(local, global);
        let values = self.split.values(&net.linear, features.clone());
        Ok(Output { values, features, extra, twice: None })
    }

    fn hash(&self, linear: LinearHash) -> Result<Hash, HashError> {
        Ok(self.split.hash(&linear)?.into())
    }
}

/// Computes the cross entropy of an image's logits, `[batch, classes]`, plus a third of that of
/// each round, `[batch, rounds, classes]`.
fn cross_entropies(
    classes: &Classes,
    global: Tensor<2>,
    local: Tensor<3>,
    images: &[usize],
) -> Tensor<1> {
    let [_, rounds, _] = local.dims();
    let each: Vec<usize> =
        images.iter().flat_map(|image| std::iter::repeat_n(*image, rounds)).collect();
    let mean = classes.cross_entropy(local.flatten(0, 1), &each);
    classes.cross_entropy(global, images) + mean * (rounds as f32 / 3.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::method::oracle::{Rows, check_term, dot, images};
    use crate::network::strips::{complemented, halves, suppression};

    fn softmax(values: &[f64]) -> Vec<f64> {
        let sum: f64 = values.iter().map(|v| v.exp()).sum();
        values.iter().map(|v| v.exp() / sum).collect()
    }

    /// Sums with a factor of its own for each number, so that a wrong place shows.
    fn weighted(values: Tensor<2>) -> Tensor<1> {
        let [rows, columns] = values.dims();
        let factors = (0..rows * columns).map(|k| (k % 11) as f32 - 4.0).collect::<Vec<_>>();
        let factors = TensorData::new(factors, [rows, columns]);
        (values.clone() * Tensor::from_data(factors, &values.device())).sum()
    }

    fn weighted_plain(rows: &Rows) -> f64 {
        let all = rows.iter().flatten().enumerate();
        all.map(|(k, v)| ((k % 11) as f64 - 4.0) * v).sum()
    }

    #[test]
    fn halves_are_weighed_as_by_hand() {
        for lines in [1usize, 2, 3, 4, 5] {
            check_term(
                &[[2, lines]],
                |inputs| weighted(halves(inputs[0].clone())),
                |inputs| {
                    let first = lines.div_ceil(2);
                    let row = |scores: &Vec<f64>| -> Vec<f64> {
                        let mean = |half: &[f64]| half.iter().sum::<f64>() / half.len() as f64;
                        let means = [mean(&scores[..first]), mean(&scores[lines - first..])];
                        let weights = softmax(&means);
                        let of = |line: usize| match (line < first, line >= lines - first) {
                            (true, true) => (weights[0] + weights[1]) / 2.0,
                            (true, false) => weights[0],
                            (false, _) => weights[1],
                        };
                        (0..lines).map(of).collect()
                    };
                    weighted_plain(&inputs[0].iter().map(row).collect())
                },
            );
        }
    }

    #[test]
    fn the_strongest_positions_of_each_image_are_suppressed() {
        let weights = [[[[0.4f32, 0.39], [0.1, 0.37]]], [[[0.02, 0.01], [0.0, 0.0]]]];
        let factors = suppression(Tensor::from_data(weights, &Device::flex()));
        let factors = factors.into_data().try_into_vec::<f32>().unwrap();
        assert_eq!(factors, [0.5, 0.5, 1.0, 1.0, 0.5, 1.0, 1.0, 1.0]);
    }

    #[test]
    fn rounds_exchange_as_by_hand() {
        let (batch, channels, places) = (2, 3, 4);
        for rounds in [1usize, 2, 3] {
            check_term(
                &[[batch * rounds, channels * places]],
                |inputs| {
                    let maps = inputs[0].clone().reshape([batch * rounds, channels, 2, 2]);
                    weighted(
                        complemented(maps, rounds).reshape([batch * rounds, channels * places]),
                    )
                },
                |inputs| {
                    let at = |map: &[f64], place: usize| -> Vec<f64> {
                        (0..channels).map(|c| map[c * places + place]).collect()
                    };
                    let mut out = Rows::new();
                    for image in inputs[0].chunks(rounds) {
                        let mut given = vec![Vec::new(); rounds];
                        for t in 1..rounds {
                            let (earlier, later) = (&image[t - 1], &image[t]);
                            let cosine = |place: usize| {
                                let (a, b) = (at(earlier, place), at(later, place));
                                dot(&a, &b) / (dot(&a, &a) * dot(&b, &b)).sqrt()
                            };
                            let s = softmax(&(0..places).map(cosine).collect::<Vec<_>>());
                            let unlike: Vec<f64> = s.iter().map(|s| 1.0 - s).collect();
                            let other = softmax(&unlike);
                            let times = |map: &[f64], s: &[f64]| -> Vec<f64> {
                                map.iter().enumerate().map(|(k, v)| v * s[k % places]).collect()
                            };
                            given[t].push(times(earlier, &s));
                            given[t - 1].push(times(later, &other));
                        }
                        for (map, given) in image.iter().zip(given) {
                            let of = |k: usize| {
                                let sum: f64 = given.iter().map(|given| given[k]).sum();
                                map[k] + sum / given.len().max(1) as f64
                            };
                            out.push((0..map.len()).map(of).collect());
                        }
                    }
                    weighted_plain(&out)
                },
            );
        }
    }

    #[test]
    fn the_cross_entropies_are_the_plain_ones() {
        let (labels, groups) = images();
        let (classes, batch) = (Classes::new(groups), [3, 8, 1]);
        let plain = |row: &[f64], image: usize| {
            let shares = softmax(row);
            let of = |label: &u32| {
                -shares[[0, 2, 5].iter().position(|known| known == label).unwrap()].ln()
            };
            labels[image].iter().map(of).sum::<f64>() / labels[image].len() as f64
        };
        check_term(
            &[[batch.len(), 3], [batch.len(), ROUNDS * 3]],
            |inputs| {
                let local = inputs[1].clone().reshape([batch.len(), ROUNDS, 3]);
                cross_entropies(&classes, inputs[0].clone(), local, &batch)
            },
            |inputs| {
                let each = batch.iter().enumerate().map(|(n, image)| {
                    let local: f64 = inputs[1][n].chunks(3).map(|row| plain(row, *image)).sum();
                    plain(&inputs[0][n], *image) + local / 3.0
                });
                each.sum::<f64>() / batch.len() as f64
            },
        );
    }
}
