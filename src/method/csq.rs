/*!
CSQ: the images of a class are drawn to a fixed code, the class centre, by a loss per bit.

After Yuan, Wang, Zhang, Tay, Jie, Liu and Feng, "Central Similarity Quantization for
Efficient Image and Video Retrieval" (CVPR 2020).
*/

use std::sync::Arc;

use burn::prelude::*;

use super::centres;
use super::definition::{LearnedMethod, Method, Start};
use super::groups::Groups;
use super::learner::{Learner, Seen};
use super::pairs::quantization;

/// The method `csq`.
pub static METHOD: Method = Method::learned(
    "csq",
    &["a network, trained to map each class to a fixed code of its own"],
    "Yuan, Wang, Zhang, Tay, Jie, Liu and Feng, \"Central Similarity Quantization for Efficient Image and Video Retrieval\", CVPR 2020",
    |_, _| Ok(Box::new(Options::default())),
);

/// The constants of CSQ.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Options {
    /// Weight of the quantization loss.
    pub quantization: f32,
}

impl Default for Options {
    fn default() -> Self {
        Self { quantization: 1e-4 }
    }
}

impl LearnedMethod for Options {
    fn learner(&self, start: Start) -> Box<dyn Learner> {
        Box::new(Csq::new(start.groups, start.bits, start.seed, *self))
    }
}

/// The training state of CSQ.
#[derive(Debug)]
pub struct Csq {
    groups: Arc<Groups>,
    options: Options,
    bits: usize,
    /// Target codes, ±1, `[groups, c]`.
    targets: Vec<f32>,
}

impl Csq {
    /// Creates the learner for grouped training images. Random centres depend on the seed.
    pub fn new(groups: Arc<Groups>, bits: usize, seed: u64, options: Options) -> Self {
        let centres = centres::centres(groups.classes().len(), bits, seed);
        let targets = centres::of_groups(&groups, &centres, bits);
        Self { groups, options, bits, targets }
    }
}

impl Learner for Csq {
    /// The mean binary cross entropy of (u + 1)/2 to the centre over images and bits, plus the
    /// weighted mean of (|u| − 1)².
    fn loss(&self, seen: Seen<'_>) -> Tensor<1> {
        let u = seen.codes;
        let rows = seen.images.iter().flat_map(|image| {
            let group = self.groups.of(*image);
            self.targets[group * self.bits..(group + 1) * self.bits].iter().copied()
        });
        let data = TensorData::new(rows.collect::<Vec<f32>>(), [seen.images.len(), self.bits]);
        let target = Tensor::<2>::from_data(data, &u.device());
        // The probability of the centre's bit. The clamp avoids log 0, which has no gradient.
        let probability = ((u.clone() * target + 1.0) * 0.5).clamp_min(1e-6);
        probability.log().mean().neg() + quantization(u).mean() * self.options.quantization
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::method::learner::Moment;
    use crate::method::oracle::{check, images, mean, off};

    #[test]
    fn the_loss_is_that_of_plain_loops() {
        let (labels, groups) = images();
        let learner = Csq::new(groups.clone(), 8, 3, Options { quantization: 0.2 });
        let at = Moment { progress: 0.0, epoch: 0, epochs: 1 };
        let centres = centres::of_groups(&groups, &centres::centres(3, 8, 3), 8);
        let sets: Vec<&[u32]> = groups.label_sets().collect();
        check(&learner, (&labels, &[0, 1, 3, 4, 8]), 8, at, false, |u, _, labels| {
            let bits = u.iter().zip(labels).flat_map(|(u, own)| {
                let group = sets.iter().position(|set| set == own).unwrap();
                let centre = &centres[group * 8..][..8];
                u.iter().zip(centre).map(|(u, centre)| {
                    let (p, t) = ((u + 1.0) / 2.0, (f64::from(*centre) + 1.0) / 2.0);
                    -(t * p.max(1e-6).ln() + (1.0 - t) * (1.0 - p).max(1e-6).ln())
                })
            });
            let off = u.iter().map(|u| off(u) / 8.0);
            mean(bits.collect::<Vec<_>>().into_iter()) + 0.2 * mean(off)
        });
    }
}
