/*!
HashNet: similar and dissimilar pairs with equal total weight, and a tanh that becomes steeper.

After Cao, Long, Wang and Yu, "HashNet: Deep Learning to Hash by Continuation" (ICCV
2017).
*/

use std::sync::Arc;

use burn::prelude::*;

use super::definition::{LearnedMethod, Method, Start};
use super::groups::Groups;
use super::learner::{Batches, Learner, Moment, Seen};
use super::pairs::{Pairs, softplus};

/// The method `hashnet`.
pub static METHOD: Method = Method {
    compares_images: true,
    ..Method::learned(
        "hashnet",
        &["like dpsh, with balanced pairs and a tanh that becomes steeper"],
        "Cao, Long, Wang and Yu, \"HashNet: Deep Learning to Hash by Continuation\", ICCV 2017",
        |_, _| Ok(Box::new(Options::default())),
    )
};

/// The constants of HashNet.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Options {
    /// α·c: the scale of inner products, times the number of bits.
    pub scale: f32,
    /// Number of stages of the continuation; β is 1, 2, … in them.
    pub stages: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self { scale: 10.0, stages: 10 }
    }
}

impl LearnedMethod for Options {
    fn learner(&self, start: Start) -> Box<dyn Learner> {
        Box::new(HashNet::new(start.groups, *self))
    }
}

/// The training state of HashNet.
#[derive(Debug)]
pub struct HashNet {
    groups: Arc<Groups>,
    options: Options,
}

impl HashNet {
    /// Creates the learner for grouped training images.
    pub fn new(groups: Arc<Groups>, options: Options) -> Self {
        Self { groups, options }
    }

    /// Returns β: the number of the current stage, from 1. All stages are equally long.
    fn steepness(&self, progress: f32) -> f32 {
        let stages = self.options.stages.max(1);
        ((progress * stages as f32) as usize).min(stages - 1) as f32 + 1.0
    }
}

impl Learner for HashNet {
    fn batches(&self, _: Moment) -> Batches {
        Batches::Grouped(4)
    }

    /// `tanh(β z)`.
    fn activate(&self, values: Tensor<2>, at: Moment) -> Tensor<2> {
        (values * self.steepness(at.progress)).tanh()
    }

    /// The mean over similar pairs plus the mean over dissimilar pairs of
    /// `log(1 + e^{αθ}) − α s θ`, `θ = u_i·u_j`. This equals the published weights |S|/|S₁| and
    /// |S|/|S₀|, divided by the number of pairs.
    fn loss(&self, seen: Seen<'_>) -> Tensor<1> {
        let u = seen.codes;
        let [_, bits] = u.dims();
        let pairs = Pairs::new(&self.groups, seen.images, &u.device());
        let theta = u.clone().matmul(u.transpose()) * (self.options.scale / bits as f32);
        let apart = softplus(theta.clone());
        pairs.mean_similar(apart.clone() - theta) + pairs.mean_dissimilar(apart)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::method::oracle::{check, dot, images, mean, pairs};

    #[test]
    fn tanh_grows_steeper_in_stages() {
        let groups = Arc::new(Groups::new(&[vec![0], vec![1]]));
        let net = HashNet::new(groups, Options { stages: 4, ..Options::default() });
        let betas: Vec<f32> = [0.0, 0.24, 0.25, 0.6, 0.99, 1.0].map(|p| net.steepness(p)).to_vec();
        assert_eq!(betas, [1., 1., 2., 3., 4., 4.]);
    }

    #[test]
    fn the_loss_is_that_of_plain_loops() {
        let (labels, groups) = images();
        let learner = HashNet::new(groups, Options::default());
        let at = Moment { progress: 0.0, epoch: 0, epochs: 1 };
        for batch in [&[0, 1, 2, 4, 8][..], &[5, 7, 3, 1]] {
            check(&learner, (&labels, batch), 6, at, false, |u, _, labels| {
                let of = |kind: bool| {
                    mean(pairs(u, labels).filter(|(same, ..)| *same == kind).map(|(same, a, b)| {
                        let theta = dot(a, b) * 10.0 / 6.0;
                        theta.exp().ln_1p() - if same { theta } else { 0.0 }
                    }))
                };
                of(true) + of(false)
            });
        }
    }
}
