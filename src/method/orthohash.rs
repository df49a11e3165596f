/*!
OrthoHash: a single loss, the cosine to a fixed code of each class.

After Hoe, Ng, Zhang, Chan, Song and Xiang, "One Loss for All: Deep Hashing with a Single
Cosine Similarity based Learning Objective" (NeurIPS 2021).
*/

use std::sync::Arc;

use burn::prelude::*;

use super::centres;
use super::classes::Classes;
use super::definition::{LearnedMethod, Method, Start};
use super::groups::Groups;
use super::learner::{Learner, Moment, Seen};
use super::proxies::Softmax;

/// The method `orthohash`.
pub static METHOD: Method = Method::learned(
    "orthohash",
    &["like csq, with a single loss: the cosine to the class's code"],
    "Hoe, Ng, Zhang, Chan, Song and Xiang, \"One Loss for All: Deep Hashing with a Single Cosine Similarity based Learning Objective\", NeurIPS 2021",
    |_, _| Ok(Box::new(Options::default())),
);

/// The constants of OrthoHash.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Options {
    /// Scale of the cosines.
    pub scale: f32,
    /// Margin that is subtracted from the cosine of an image's own class.
    pub margin: f32,
}

impl Default for Options {
    fn default() -> Self {
        Self { scale: 8.0, margin: 0.2 }
    }
}

impl LearnedMethod for Options {
    fn learner(&self, start: Start) -> Box<dyn Learner> {
        Box::new(OrthoHash::new(start.groups, start.bits, start.seed, *self))
    }
}

/// The training state of OrthoHash.
#[derive(Debug)]
pub struct OrthoHash {
    options: Options,
    bits: usize,
    classes: Classes,
    /// ±1/√c, `[classes, c]`.
    targets: Vec<f32>,
}

impl OrthoHash {
    /// Creates the learner for grouped training images. The classes' codes depend on the seed.
    pub fn new(groups: Arc<Groups>, bits: usize, seed: u64, options: Options) -> Self {
        let classes = Classes::new(groups);
        let targets = centres::centres(classes.count(), bits, seed);
        let length = (bits as f32).sqrt();
        let targets = targets.into_iter().map(|v| v / length).collect();
        Self { options, bits, classes, targets }
    }

    /// Computes the cross entropy of `scale · (cos(u, target) − margin if it is the own class)`,
    /// averaged over the labels of an image.
    pub(super) fn of(&self, u: Tensor<2>, images: &[usize]) -> Tensor<1> {
        let device = u.device();
        let data = TensorData::new(self.targets.clone(), [self.classes.count(), self.bits]);
        let targets = Tensor::<2>::from_data(data, &device);
        let shares = self.classes.shares(images, &device);
        let Options { scale, margin } = self.options;
        Softmax { scale, margin }.loss(u, targets, shares)
    }
}

impl Learner for OrthoHash {
    /// The identity: the cosine does not depend on the length of the values.
    fn activate(&self, values: Tensor<2>, _: Moment) -> Tensor<2> {
        values
    }

    fn loss(&self, seen: Seen<'_>) -> Tensor<1> {
        self.of(seen.codes, seen.images)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::method::oracle::{check, dot, images, mean};

    #[test]
    fn the_loss_is_that_of_plain_loops() {
        let (labels, groups) = images();
        let options = Options { scale: 5.0, margin: 0.3 };
        let learner = OrthoHash::new(groups, 6, 3, options);
        let at = Moment { progress: 0.0, epoch: 0, epochs: 1 };
        let targets = centres::centres(3, 6, 3);
        check(&learner, (&labels, &[0, 1, 3, 4, 8]), 6, at, false, |u, _, labels| {
            mean(u.iter().zip(labels).map(|(u, own)| {
                let logit = |class: usize| {
                    let target: Vec<f64> =
                        targets[class * 6..][..6].iter().map(|t| f64::from(*t)).collect();
                    let cosine = dot(u, &target) / (dot(u, u).sqrt() * 6f64.sqrt());
                    let mine = own.contains(&[0, 2, 5][class]);
                    5.0 * (cosine - if mine { 0.3 } else { 0.0 })
                };
                let all: f64 = (0..3).map(|class| logit(class).exp()).sum();
                let mine = (0..3).filter(|class| own.contains(&[0, 2, 5][*class]));
                mean(mine.map(|class| all.ln() - logit(class)))
            }))
        });
    }
}
