/*!
DPSH: a likelihood loss over pairs of images.

After Li, Wang and Kang, "Feature Learning based Deep Supervised Hashing with Pairwise
Labels" (IJCAI 2016).
*/

use std::sync::Arc;

use burn::prelude::*;

use super::definition::{LearnedMethod, Method, Start};
use super::groups::Groups;
use super::learner::{Batches, Learner, Moment, Seen};
use super::pairs::{Pairs, quantization, softplus};

/// The method `dpsh`.
pub static METHOD: Method = Method {
    compares_images: true,
    ..Method::learned(
        "dpsh",
        &["a network, trained with a pairwise likelihood loss"],
        "Li, Wang and Kang, \"Feature Learning based Deep Supervised Hashing with Pairwise Labels\", IJCAI 2016",
        |_, _| Ok(Box::new(Options::default())),
    )
};

/// The constants of DPSH.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Options {
    /// Weight η of the quantization loss.
    pub quantization: f32,
}

impl Default for Options {
    fn default() -> Self {
        Self { quantization: 0.1 }
    }
}

impl LearnedMethod for Options {
    fn learner(&self, start: Start) -> Box<dyn Learner> {
        Box::new(Dpsh::new(start.groups, *self))
    }
}

/// The training state of DPSH.
#[derive(Debug)]
pub struct Dpsh {
    groups: Arc<Groups>,
    options: Options,
}

impl Dpsh {
    /// Creates the learner for grouped training images.
    pub fn new(groups: Arc<Groups>, options: Options) -> Self {
        Self { groups, options }
    }
}

impl Learner for Dpsh {
    fn batches(&self, _: Moment) -> Batches {
        Batches::Grouped(4)
    }

    /// The identity: the likelihood needs inner products of any magnitude.
    fn activate(&self, values: Tensor<2>, _: Moment) -> Tensor<2> {
        values
    }

    /// `mean over pairs of log(1 + e^θ) − s θ, plus η · mean over images of ‖b − u‖²`,
    /// `θ = ½ u_i·u_j`.
    fn loss(&self, seen: Seen<'_>) -> Tensor<1> {
        let u = seen.codes;
        let pairs = Pairs::new(&self.groups, seen.images, &u.device());
        let theta = u.clone().matmul(u.clone().transpose()) * 0.5;
        let all = (pairs.n_similar + pairs.n_dissimilar).max(1) as f32;
        let either = pairs.similar.clone() + pairs.dissimilar.clone();
        let likelihood = softplus(theta.clone()) * either - theta * pairs.similar;
        let off = quantization(u).sum_dim(1).mean();
        likelihood.sum() / all + off * self.options.quantization
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::method::oracle::{check, dot, images, mean, off, pairs};

    #[test]
    fn the_loss_is_that_of_plain_loops() {
        let (labels, groups) = images();
        let learner = Dpsh::new(groups, Options { quantization: 0.3 });
        let at = Moment { progress: 0.0, epoch: 0, epochs: 1 };
        for batch in [&[0, 1, 2, 4, 8][..], &[5, 7, 3, 1]] {
            check(&learner, (&labels, batch), 6, at, false, |u, _, labels| {
                let likelihood = pairs(u, labels).map(|(same, a, b)| {
                    let theta = dot(a, b) / 2.0;
                    theta.exp().ln_1p() - if same { theta } else { 0.0 }
                });
                mean(likelihood) + 0.3 * mean(u.iter().map(|u| off(u)))
            });
        }
    }
}
