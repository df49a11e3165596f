/*!
A²-Net: ExchNet's network, whose codes have to rebuild the features and are kept uncorrelated, so
that bits come to stand for attributes.

After Wei, Shen, Sun, Ye and Yang, "A²-Net: Learning Attribute-Aware Hash Codes for Large-Scale
Fine-Grained Image Retrieval" (NeurIPS 2021). The loss is that of ADSH, with `f` the features of
parts and image, W without bias and `u = tanh(W f)`; from the middle of training on,
`mean (Wᵀu − f)² + mean (UᵀU − b·I)² / (b·c)` for a batch of b images is added. Exchange and
diversity of parts are ExchNet's and not here. The public re-run of the authors' group has as many
parts as bits; a part costs a pass of the last blocks, so there are 3 here. The generators of the
later A²-Net++ are left out.
*/

use burn::prelude::*;

use super::definition::{Ablation, Additions, LearnedMethod, Method, Start};
use super::exchnet;
use super::laps::{Lap, Laps};
use super::learner::{Learner, Shown};
use super::net::{Net, Output, joined};
use super::on_codes::{Looks, OnCodes};
use super::settings::{MethodOption, Settings, Value};
use crate::encoder::EncodeError;
use crate::network::Layers;

/// The method `a2net`.
pub static METHOD: Method = Method {
    options: &OPTIONS,
    ablations: &ABLATIONS,
    compares_images: true,
    ..Method::learned(
        "a2net",
        &["like exchnet, with codes that rebuild the features instead of an exchange"],
        "Wei, Shen, Sun, Ye and Yang, \"A²-Net: Learning Attribute-Aware Hash Codes for \
         Large-Scale Fine-Grained Image Retrieval\", NeurIPS 2021",
        |settings, _| Ok(Box::new(Options::new(settings))),
    )
};

static OPTIONS: [MethodOption; 3] = [
    exchnet::PARTS,
    exchnet::ATTENTION_GAIN,
    MethodOption::number(
        "attributes",
        "W",
        "1",
        "Weight of rebuilding the features and of uncorrelated bits, in the second half",
    ),
];

static ABLATIONS: [Ablation; 1] =
    [Ablation { name: "without reconstruction", option: "attributes", value: Value::Number(0.0) }];

/// The options of A²-Net.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Options {
    /// Number of parts.
    parts: usize,
    /// Initial scale of the attention's last norm.
    attention_gain: f32,
    /// Weight of the two terms of the second half.
    weight: f32,
}

impl Options {
    fn new(settings: &Settings) -> Self {
        Self {
            parts: settings.count("parts").unwrap_or(3),
            attention_gain: settings.single("attention-gain").unwrap_or(0.1),
            weight: settings.single("attributes").unwrap_or(1.0),
        }
    }
}

impl LearnedMethod for Options {
    fn additions(&self) -> Additions {
        let layers = Layers { parts: self.parts, ..Layers::default() };
        Additions {
            layers,
            attention_gain: self.attention_gain,
            unbiased: true,
            ..Additions::default()
        }
    }

    fn learner(&self, start: Start) -> Box<dyn Learner> {
        Box::new(OnCodes::new(start, *self))
    }
}

impl Looks for Options {
    fn look(&self, net: &Net, shown: Shown<'_>, laps: &mut Laps) -> Result<Output, EncodeError> {
        let e = net.maps(shown.values, laps)?;
        let (local, global) = net.in_parts(e, laps)?;
        let features = joined(local, global);
        let output = net.hash(features.clone());
        if 2 * shown.at.epoch < shown.at.epochs {
            return Ok(output);
        }
        let codes = output.values.clone().tanh();
        let extra = attributes(features, net.linear.weight.val(), codes) * self.weight;
        laps.end(Lap::Loss)?;
        Ok(Output { extra: Some(extra), ..output })
    }
}

/// Computes `mean (f̃ − f)² + mean (UᵀU − b·I)² / (b·c)` with `f̃ = Wᵀu` for features `[b, F]`, a
/// weight `[F, c]` and codes `[b, c]`.
pub fn attributes(features: Tensor<2>, weight: Tensor<2>, codes: Tensor<2>) -> Tensor<1> {
    let [batch, bits] = codes.dims();
    let apart = codes.clone().matmul(weight.transpose()) - features;
    let gram = codes.clone().transpose().matmul(codes.clone());
    let off = gram - Tensor::eye(bits, &codes.device()) * batch as f32;
    let uncorrelated = (off.clone() * off).mean() / (batch * bits) as f32;
    (apart.clone() * apart).mean() + uncorrelated
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::method::oracle::{Rows, check_term, dot};

    #[test]
    fn the_terms_are_the_plain_ones() {
        let (batch, features, bits) = (4, 7, 3);
        let column = |rows: &Rows, k: usize| rows.iter().map(|row| row[k]).collect::<Vec<f64>>();
        check_term(
            &[[batch, features], [features, bits]],
            |inputs| {
                let (f, w) = (inputs[0].clone(), inputs[1].clone());
                let codes = f.clone().matmul(w.clone()).tanh();
                attributes(f, w, codes)
            },
            |inputs| {
                let (f, w) = (&inputs[0], &inputs[1]);
                let code = |row: &Vec<f64>| -> Vec<f64> {
                    (0..bits).map(|k| dot(row, &column(w, k)).tanh()).collect()
                };
                let u: Rows = f.iter().map(code).collect();
                let mut rebuilt = 0.0;
                for (f, u) in f.iter().zip(&u) {
                    rebuilt += f.iter().zip(w).map(|(f, w)| (dot(w, u) - f).powi(2)).sum::<f64>();
                }
                let mut correlated = 0.0;
                for (a, b) in (0..bits).flat_map(|a| (0..bits).map(move |b| (a, b))) {
                    let wanted = if a == b { batch as f64 } else { 0.0 };
                    correlated += (dot(&column(&u, a), &column(&u, b)) - wanted).powi(2);
                }
                rebuilt / (batch * features) as f64
                    + correlated / (bits * bits) as f64 / (batch * bits) as f64
            },
        );
    }
}
