/*!
AGMH: six projections of the last map, each pooled, that look at different positions. An attention
that exists in training only makes them differ.

After Lu, Chen, Cao, Zhou and Lu, "Attributes Grouping and Mining Hashing for Fine-Grained Image
Retrieval" (ACM MM 2023). The loss is that of ADSH plus half of L_ADL ([`mining`](super::mining)).
The paper's last map has 14×14 positions (the stride of ResNet-50's last layer is 1), ours 7×7 at
224² and 5×5 at 160², as all methods here share their trunk. A projection has a quarter of the map's
channels, as in the paper.
*/

use burn::prelude::*;

use super::definition::{Ablation, Additions, LearnedMethod, Method, Start};
use super::laps::{Lap, Laps};
use super::learner::{Learner, Shown};
use super::mining::dispersion;
use super::net::{Net, Output};
use super::on_codes::{Looks, OnCodes};
use super::settings::{MethodOption, Value};
use crate::encoder::EncodeError;
use crate::network::Layers;
use crate::trunk::pool;

/// Number of projections.
const GROUPS: usize = 6;

/// The method `agmh`.
pub static METHOD: Method = Method {
    options: &OPTIONS,
    ablations: &ABLATIONS,
    ..Method::learned(
        "agmh",
        &["like adsh, on six projections of the last map that look at different positions"],
        "Lu, Chen, Cao, Zhou and Lu, \"Attributes Grouping and Mining Hashing for Fine-Grained \
         Image Retrieval\", ACM MM 2023",
        |settings, _| {
            let dispersion = settings.single("dispersion").unwrap_or(0.5);
            Ok(Box::new(Options { dispersion }))
        },
    )
};

static OPTIONS: [MethodOption; 1] = [MethodOption::number(
    "dispersion",
    "W",
    "0.5",
    "Weight of the overlap of the positions that projections attend to",
)];

static ABLATIONS: [Ablation; 1] =
    [Ablation { name: "without L_ADL", option: "dispersion", value: Value::Number(0.0) }];

/// The options of AGMH.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Options {
    /// Weight of L_ADL.
    dispersion: f32,
}

impl LearnedMethod for Options {
    fn additions(&self) -> Additions {
        let layers = Layers { projections: GROUPS, ..Layers::default() };
        let mining = self.dispersion > 0.0;
        Additions { layers, mining, unbiased: true, ..Additions::default() }
    }

    fn learner(&self, start: Start) -> Box<dyn Learner> {
        Box::new(OnCodes::new(start, *self))
    }
}

impl Looks for Options {
    fn look(&self, net: &Net, shown: Shown<'_>, laps: &mut Laps) -> Result<Output, EncodeError> {
        let e = net.maps(shown.values, laps)?;
        let last = net.refine.forward(e);
        let Some(projections) = &net.projections else {
            return Ok(net.hash(net.refine.pool(last)));
        };
        let maps = projections.maps(last);
        laps.end(Lap::Refine)?;
        let extra =
            net.mining.as_ref().map(|mining| dispersion(&mining.forward(&maps)) * self.dispersion);
        laps.end(Lap::Attention)?;
        let features = Tensor::cat(maps.into_iter().map(pool).collect(), 1);
        Ok(Output { extra, ..net.hash(features) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::method::mining::attention;
    use crate::method::oracle::{check_term, dot};

    fn softmax(values: &[f64]) -> Vec<f64> {
        let sum: f64 = values.iter().map(|v| v.exp()).sum();
        values.iter().map(|v| v.exp() / sum).collect()
    }

    #[test]
    fn the_dispersion_is_the_plain_one() {
        let (batch, channels, places) = (2, 3, 4);
        check_term(
            &[[batch, channels * places]; 3],
            |inputs| {
                let maps: Vec<Tensor<4>> =
                    inputs.iter().map(|map| map.clone().reshape([batch, channels, 2, 2])).collect();
                dispersion(&maps)
            },
            |inputs| {
                let strength = |map: &[f64]| {
                    let most = (0..places).map(|place| {
                        (0..channels).map(|c| map[c * places + place]).fold(f64::MIN, f64::max)
                    });
                    softmax(&most.collect::<Vec<f64>>())
                };
                let mut sum = 0.0;
                for (i, j) in [(0, 1), (0, 2), (1, 2)] {
                    let images = inputs[i].iter().zip(&inputs[j]);
                    sum += images.map(|(a, b)| dot(&strength(a), &strength(b))).sum::<f64>();
                }
                sum / (3 * batch) as f64
            },
        );
    }

    #[test]
    fn the_attention_is_the_plain_one() {
        let (batch, places, slots) = (2, 4, 3);
        check_term(
            &[[batch, places * slots]],
            |inputs| {
                let found = attention(inputs[0].clone().reshape([batch, places, slots]));
                let factors = (1..=places * slots).map(|k| k as f32).collect::<Vec<_>>();
                let factors = TensorData::new(factors, [1, places, slots]);
                (found * Tensor::from_data(factors, &inputs[0].device())).sum()
            },
            |inputs| {
                let mut sum = 0.0;
                for image in &inputs[0] {
                    let of_slot = |slot: usize| -> Vec<f64> {
                        softmax(&(0..places).map(|p| image[p * slots + slot]).collect::<Vec<_>>())
                    };
                    let all: Vec<Vec<f64>> = (0..slots).map(of_slot).collect();
                    for place in 0..places {
                        let total: f64 = all.iter().map(|slot| slot[place]).sum();
                        for (slot, of) in all.iter().enumerate() {
                            sum += (place * slots + slot + 1) as f64 * of[place] / total;
                        }
                    }
                }
                sum
            },
        );
    }
}
