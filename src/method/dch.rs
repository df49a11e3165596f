/*!
DCH: a likelihood loss over pairs of images, in which similarity falls with the Hamming distance as
a Cauchy distribution does.

After Cao, Long, Liu and Wang, "Deep Cauchy Hashing for Hamming Space Retrieval" (CVPR 2018). A
sigmoid of the inner product hardly falls until half of the bits differ; a Cauchy distribution falls
at once, so that similar images are pulled into a small radius.
*/

use std::sync::Arc;

use burn::prelude::*;

use super::MethodError;
use super::definition::{LearnedMethod, Method, Start};
use super::groups::Groups;
use super::learner::{Batches, Learner, Moment, Seen};
use super::pairs::Pairs;
use super::settings::{MethodOption, Settings};

/// The method `dch`.
pub static METHOD: Method = Method {
    options: &OPTIONS,
    compares_images: true,
    ..Method::learned(
        "dch",
        &["a network, trained with a pairwise Cauchy likelihood"],
        "Cao, Long, Liu and Wang, \"Deep Cauchy Hashing for Hamming Space Retrieval\", CVPR 2018",
        |settings, _| Ok(Box::new(Options::new(settings)?)),
    )
};

static OPTIONS: [MethodOption; 2] = [
    MethodOption::number(
        "cauchy-scale",
        "SHARE",
        "0.25",
        "Distance at which images are as likely similar as not, as a share of the bits",
    ),
    MethodOption::number(
        "cauchy-quantization",
        "W",
        "0.1",
        "Weight of the loss that moves values to -1 and 1",
    ),
];

/// Keeps the logarithm of a distance of 0, and its gradient, finite. A share of the bits.
const LEAST: f32 = 1e-4;

/// The options of DCH.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Options {
    /// Scale γ of the distribution, as a share of the bits. The paper chooses γ by
    /// cross-validation.
    pub scale: f32,
    /// Weight λ of the quantization loss.
    pub quantization: f32,
}

impl Default for Options {
    fn default() -> Self {
        Self { scale: 0.25, quantization: 0.1 }
    }
}

impl Options {
    fn new(settings: &Settings) -> Result<Self, MethodError> {
        let usual = Self::default();
        let options = Self {
            scale: settings.single("cauchy-scale").unwrap_or(usual.scale),
            quantization: settings.single("cauchy-quantization").unwrap_or(usual.quantization),
        };
        if options.scale.is_finite() && options.scale > 0.0 {
            return Ok(options);
        }
        Err(MethodError::Option { name: "cauchy-scale", value: options.scale.to_string() })
    }
}

impl LearnedMethod for Options {
    fn learner(&self, start: Start) -> Box<dyn Learner> {
        Box::new(Dch::new(start.groups, *self))
    }
}

/// The training state of DCH.
#[derive(Debug)]
pub struct Dch {
    groups: Arc<Groups>,
    options: Options,
}

impl Dch {
    /// Creates the learner for grouped training images.
    pub fn new(groups: Arc<Groups>, options: Options) -> Self {
        Self { groups, options }
    }
}

/// Scales rows to length 1.
fn unit(rows: Tensor<2>) -> Tensor<2> {
    let length = ((rows.clone() * rows.clone()).sum_dim(1) + 1e-12).sqrt();
    rows / length
}

impl Learner for Dch {
    fn batches(&self, _: Moment) -> Batches {
        Batches::Grouped(4)
    }

    fn activate(&self, values: Tensor<2>, _: Moment) -> Tensor<2> {
        values.tanh()
    }

    /// The mean over similar pairs plus the mean over dissimilar pairs of
    /// `s·log(d/γ) + log(1 + γ/d)`, plus λ times the mean over images of `log(1 + d(|u|, 1)/γ)`.
    /// `d(u, v) = ½(1 − cos(u, v))` is the distance as a share of the bits. The two means equal the
    /// published weights |S|/|S₁| and |S|/|S₀|, divided by the number of pairs.
    fn loss(&self, seen: Seen<'_>) -> Tensor<1> {
        let (u, scale) = (seen.codes, self.options.scale);
        let [_, bits] = u.dims();
        let pairs = Pairs::new(&self.groups, seen.images, &u.device());
        let rows = unit(u.clone());
        let cosines = rows.clone().matmul(rows.transpose());
        // Rounding may give a cosine above 1.
        let distance = (cosines.neg() + 1.0).clamp_min(0.0) * 0.5 + LEAST;
        let apart = (distance.clone().recip() * scale + 1.0).log();
        let together = apart.clone() + (distance / scale).log();
        let likelihood = pairs.mean_similar(together) + pairs.mean_dissimilar(apart);
        let root = 1.0 / (bits as f32).sqrt();
        let corner = ((unit(u.abs()).sum_dim(1) * root).neg() + 1.0) * 0.5;
        let off = (corner / scale + 1.0).log().mean();
        likelihood + off * self.options.quantization
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::method::oracle::{check, dot, images, mean, pairs};

    #[test]
    fn the_loss_is_that_of_plain_loops() {
        let (labels, groups) = images();
        let learner = Dch::new(groups, Options { scale: 0.2, quantization: 0.3 });
        let at = Moment { progress: 0.0, epoch: 0, epochs: 1 };
        let distance =
            |a: &[f64], b: &[f64]| (1.0 - dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()) / 2.0;
        for batch in [&[0, 1, 2, 4, 8][..], &[5, 7, 3, 1]] {
            check(&learner, (&labels, batch), 6, at, false, |u, _, labels| {
                let of = |kind: bool| {
                    mean(pairs(u, labels).filter(|(same, ..)| *same == kind).map(|(same, a, b)| {
                        let d = distance(a, b) + f64::from(LEAST);
                        let near = if same { (d / 0.2).ln() } else { 0.0 };
                        near + (1.0 + 0.2 / d).ln()
                    }))
                };
                let off = mean(u.iter().map(|row| {
                    let size: Vec<f64> = row.iter().map(|v| v.abs()).collect();
                    (1.0 + distance(&size, &[1.0; 6]) / 0.2).ln()
                }));
                of(true) + of(false) + 0.3 * off
            });
        }
    }

    #[test]
    fn equal_images_have_a_finite_gradient() {
        let (_, groups) = images();
        let learner = Dch::new(groups, Options::default());
        let device = Device::flex().autodiff();
        let at = Moment { progress: 0.0, epoch: 0, epochs: 1 };
        for rows in [[[0.5f32; 4]; 3], [[0.0; 4]; 3]] {
            let codes = Tensor::<2>::from_data(rows, &device).require_grad();
            let features = Tensor::zeros([3, 1], &device);
            let seen = Seen { images: &[0, 2, 1], codes: codes.clone(), features, twice: None, at };
            let gradients = learner.loss(seen).backward();
            let found = codes.grad(&gradients).unwrap().into_data().try_into_vec::<f32>().unwrap();
            assert!(found.iter().all(|v| v.is_finite()), "{found:?}");
        }
    }

    #[test]
    fn a_scale_that_is_none_is_an_error() {
        for text in ["0", "-1", "NaN"] {
            let settings = METHOD.settings(&[("cauchy-scale", text)]).unwrap();
            let error = Options::new(&settings).unwrap_err().to_string();
            assert!(error.contains("cauchy-scale must be a number above 0"), "{error}");
        }
    }
}
