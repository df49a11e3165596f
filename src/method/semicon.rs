/*!
SEMICON: three attention maps, found one after the other where the one before is damped; half of
the bits see the whole image, a sixth each of the parts.

After Shen, Sun, Wei, Jiang and Yang, "SEMICON: A Learning-to-hash Solution for Large-scale
Fine-grained Image Retrieval" (ECCV 2022). The loss is that of ADSH. The maps are in
[`chain`](crate::network::chain), with the exponent 0.15 of the authors' code (0.3 in print) and the
deviation of one image instead of a batch. The attention between channels (ICON), which follows the
second and the third block of ResNet-50's last layer, is left out: other trunks have no such blocks,
and it is most of the method's cost.
*/

use super::definition::{Additions, LearnedMethod, Method, Start};
use super::exchnet;
use super::laps::Laps;
use super::learner::{Learner, Shown};
use super::net::{Net, Output, joined};
use super::on_codes::{Looks, OnCodes};
use super::settings::MethodOption;
use super::split::Split;
use crate::encoder::EncodeError;
use crate::hash::{Hash, HashError, LinearHash};
use crate::network::{AttentionKind, Layers};

/// Number of maps.
const PARTS: usize = 3;

/// The method `semicon`.
pub static METHOD: Method = Method {
    options: &OPTIONS,
    ..Method::learned(
        "semicon",
        &[
            "like adsh, with attention to three parts, one found after the other;",
            "half of the bits belong to them",
        ],
        "Shen, Sun, Wei, Jiang and Yang, \"SEMICON: A Learning-to-hash Solution for Large-scale \
         Fine-grained Image Retrieval\", ECCV 2022",
        |settings, _| {
            let attention_gain = settings.single("attention-gain").unwrap_or(0.1);
            Ok(Box::new(Options { attention_gain }))
        },
    )
};

static OPTIONS: [MethodOption; 1] = [exchnet::ATTENTION_GAIN];

/// The options of SEMICON.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Options {
    /// Initial scale of the norm before each map.
    attention_gain: f32,
}

impl LearnedMethod for Options {
    fn additions(&self) -> Additions {
        let layers = Layers { parts: PARTS, attention: AttentionKind::Chain, ..Layers::default() };
        Additions {
            layers,
            attention_gain: self.attention_gain,
            unbiased: true,
            ..Additions::default()
        }
    }

    fn learner(&self, start: Start) -> Box<dyn Learner> {
        let split = Split { bits: start.bits, parts: PARTS };
        Box::new(OnCodes::new(start, Semicon { split }))
    }
}

/// The forward pass of SEMICON.
#[derive(Debug)]
struct Semicon {
    split: Split,
}

impl Looks for Semicon {
    fn look(&self, net: &Net, shown: Shown<'_>, laps: &mut Laps) -> Result<Output, EncodeError> {
        let e = net.maps(shown.values, laps)?;
        let (local, global) = net.in_parts(e, laps)?;
        let features = joined(local, global);
        let values = self.split.values(&net.linear, features.clone());
        Ok(Output { values, features, extra: None, twice: None })
    }

    fn hash(&self, linear: LinearHash) -> Result<Hash, HashError> {
        Ok(self.split.hash(&linear)?.into())
    }
}

#[cfg(test)]
mod tests {
    use crate::method::oracle::check_term;
    use crate::network::chain::damped;
    use burn::prelude::*;

    #[test]
    fn damping_is_the_plain_one() {
        let (batch, channels, side) = (2, 3, 3);
        let places = side * side;
        let plain = |inputs: &[Vec<Vec<f64>>]| {
            let mut sum = 0.0;
            for (x, map) in inputs[0].iter().zip(&inputs[1]) {
                let powers: Vec<f64> = map.iter().map(|v| v.exp()).collect();
                let all: f64 = powers.iter().sum();
                let p: Vec<f64> = powers.iter().map(|v| v / all).collect();
                let mean = p.iter().sum::<f64>() / places as f64;
                let off = p.iter().map(|p| (p - mean).powi(2)).sum::<f64>() / places as f64;
                for (k, x) in x.iter().enumerate() {
                    let m = (p[k % places] - mean) / off.sqrt().powf(0.15) + 1.0;
                    // Weights differ, so that a wrong place shows.
                    sum += (k + 1) as f64 * x * (2.0 - m.clamp(0.0, 2.0));
                }
            }
            sum
        };
        let of = |x: Tensor<2>, map: Tensor<2>| {
            let x = x.reshape([batch, channels, side, side]);
            let x = damped(x, map.reshape([batch, 1, side, side]));
            let count = channels * places;
            let factors = (1..=count).map(|k| k as f32).collect::<Vec<_>>();
            let factors = TensorData::new(factors, [1, channels, side, side]);
            (x.clone() * Tensor::from_data(factors, &x.device())).sum()
        };
        // The map itself has no gradient, so it is given.
        let map: Vec<Vec<f64>> = (0..batch)
            .map(|n| (0..places).map(|k| ((n * 7 + k * 5) % 9) as f64 / 4.0).collect())
            .collect();
        check_term(
            &[[batch, channels * places]],
            |inputs| {
                let flat = map.concat().into_iter().map(|v| v as f32).collect::<Vec<_>>();
                let flat = TensorData::new(flat, [batch, places]);
                of(inputs[0].clone(), Tensor::from_data(flat, &inputs[0].device()))
            },
            |inputs| plain(&[inputs[0].clone(), map.clone()]),
        );
    }

    #[test]
    fn a_constant_map_changes_nothing_and_a_peak_is_damped() {
        let device = Device::flex();
        let read = |x: Tensor<4>| x.into_data().try_into_vec::<f32>().unwrap();
        let ones = || Tensor::<4>::ones([1, 1, 2, 2], &device);
        assert!(read(damped(ones(), ones() * 3.0)).iter().all(|v| (v - 1.0).abs() < 1e-5));
        let peak = Tensor::<4>::from_data([[[[9.0, 0.0], [0.0, 0.0]]]], &device);
        let after = read(damped(ones(), peak));
        assert!(after[0] < 0.5 && after[1..].iter().all(|v| *v > 1.0), "{after:?}");
    }
}
