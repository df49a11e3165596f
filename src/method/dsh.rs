/*!
DSH: a contrastive loss. Similar pairs of images move together, dissimilar ones a margin apart.

After Liu, Wang, Shan and Chen, "Deep Supervised Hashing for Fast Image Retrieval" (CVPR 2016).
*/

use std::sync::Arc;

use burn::prelude::*;
use burn::tensor::activation::relu;

use super::definition::{LearnedMethod, Method, Start};
use super::groups::Groups;
use super::learner::{Batches, Learner, Moment, Seen};
use super::pairs::{Pairs, squared_distances};

/// The method `dsh`.
pub static METHOD: Method = Method {
    compares_images: true,
    ..Method::learned(
        "dsh",
        &["a network, trained with a contrastive loss over pairs"],
        "Liu, Wang, Shan and Chen, \"Deep Supervised Hashing for Fast Image Retrieval\", CVPR 2016",
        |_, _| Ok(Box::new(Options::default())),
    )
};

/// The constants of the loss.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Options {
    /// Margin per bit, m/c. Dissimilar pairs with a squared distance of at least m add no loss.
    pub margin: f32,
    /// Weight of the regulariser, α in the paper.
    pub regulariser: f32,
}

impl Default for Options {
    /// As published: m = 2c, α = 0.01.
    fn default() -> Self {
        Self { margin: 2.0, regulariser: 0.01 }
    }
}

impl LearnedMethod for Options {
    fn learner(&self, start: Start) -> Box<dyn Learner> {
        Box::new(Dsh::new(start.groups, *self))
    }
}

/// The training state of DSH.
#[derive(Debug)]
pub struct Dsh {
    groups: Arc<Groups>,
    options: Options,
}

impl Dsh {
    /// Creates the learner for grouped training images.
    pub fn new(groups: Arc<Groups>, options: Options) -> Self {
        Self { groups, options }
    }
}

impl Learner for Dsh {
    fn batches(&self, _: Moment) -> Batches {
        Batches::Grouped(4)
    }

    /// The identity: the regulariser keeps values near ±1 instead of a tanh.
    fn activate(&self, values: Tensor<2>, _: Moment) -> Tensor<2> {
        values
    }

    /// The mean over pairs of `½·D` for similar and `½·[m − D]₊` for dissimilar ones, plus
    /// `α·(‖|u_i| − 1‖₁ + ‖|u_j| − 1‖₁)`, with `D = ‖u_i − u_j‖²`.
    fn loss(&self, seen: Seen<'_>) -> Tensor<1> {
        let u = seen.codes;
        let [_, bits] = u.dims();
        let pairs = Pairs::new(&self.groups, seen.images, &u.device());
        let distances = squared_distances(u.clone());
        let missing = relu(distances.clone().neg() + self.options.margin * bits as f32);
        let all = (pairs.n_similar + pairs.n_dissimilar).max(1) as f32;
        let contrast = (distances * pairs.similar + missing * pairs.dissimilar).sum() * (0.5 / all);
        // Every image is in equally many pairs, so the mean over pairs is twice the mean over
        // images.
        let off = (u.abs() - 1.0).abs().sum_dim(1).mean();
        contrast + off * (2.0 * self.options.regulariser)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::method::oracle::{check, images, mean, pairs};

    #[test]
    fn the_loss_is_that_of_plain_loops() {
        let (labels, groups) = images();
        let at = Moment { progress: 0.0, epoch: 0, epochs: 1 };
        let published = Options::default();
        for options in [published, Options { margin: 1.0, regulariser: 0.3 }] {
            let learner = Dsh::new(groups.clone(), options);
            let (margin, weight) = (f64::from(options.margin), f64::from(options.regulariser));
            for batch in [&[0, 1, 2, 4, 8][..], &[5, 7, 3, 1]] {
                check(&learner, (&labels, batch), 6, at, false, |u, _, labels| {
                    let off = |u: &[f64]| u.iter().map(|v| (v.abs() - 1.0).abs()).sum::<f64>();
                    mean(pairs(u, labels).map(|(same, a, b)| {
                        let far: f64 = a.iter().zip(b).map(|(a, b)| (a - b).powi(2)).sum();
                        let contrast = if same { far } else { (6.0 * margin - far).max(0.0) };
                        contrast / 2.0 + weight * (off(a) + off(b))
                    }))
                });
            }
        }
    }
}
