/*!
DSaH: attention learns to make pairs of images easier to separate than whole images.

Jin, Yao, Sun, Zhou, Zhang and Hua, "Deep Saliency Hashing for Fine-Grained Retrieval" (IEEE TIP
2020). Only the abstract was available: an attention and a hashing network in two steps, and a
semantic, a saliency and a quantization loss. **The formulas here are Barbule's reconstruction**,
not the paper's.
*/

use std::sync::Arc;

use burn::module::Module;
use burn::prelude::*;
use burn::tensor::activation::relu;

use super::MethodError;
use super::definition::{Additions, LearnedMethod, Method, Start};
use super::groups::Groups;
use super::laps::{Lap, Laps};
use super::learner::{Batches, Learner, Moment, Seen, Shown};
use super::net::{Net, Output, Twice};
use super::pairs::{Pairs, quantization, softplus, squared_distances};
use super::settings::{MethodOption, Settings};
use super::setup::Trained;
use crate::encoder::EncodeError;
use crate::network::{Layers, Level, salient};
use crate::trunk::{Stem, pool};

/// The method `dsah`.
pub static METHOD: Method = Method {
    options: &OPTIONS,
    compares_images: true,
    ..Method::learned(
        "dsah",
        &[
            "a network with attention to salient positions; a reconstruction,",
            "because only the abstract of the publication was available",
        ],
        "Jin, Yao, Sun, Zhou, Zhang and Hua, \"Deep Saliency Hashing for Fine-Grained Retrieval\", IEEE TIP 2020",
        |settings, trained| Ok(Box::new(Options::new(settings, trained)?)),
    )
};

static OPTIONS: [MethodOption; 2] = [
    MethodOption::choice(
        "saliency",
        "SALIENCY",
        "feature; image if the whole network is trained",
        &[("image", "The image; the stem runs a second time"), ("feature", "The stem's map")],
        "Input to which saliency is applied",
    ),
    MethodOption::number("density", "SHARE", "0.3", "Target mean of a saliency map"),
];

/// The options and constants of DSaH.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Options {
    /// Input to which saliency is applied.
    pub level: Level,
    /// Target mean ρ of a saliency map.
    pub density: f32,
    /// Weight μ of the squared difference from ρ.
    pub density_weight: f32,
    /// Margins m₁ and m₂ by which saliency has to bring similar pairs together and move others
    /// apart.
    pub margins: [f32; 2],
    /// Weight η of the quantization loss.
    pub quantization: f32,
}

impl Options {
    /// Checks `settings`.
    ///
    /// # Errors
    /// [`MethodError::FrozenStem`] if saliency applies to the image, but not the whole network is
    /// trained. Pixels are available only if the stem is trained.
    fn new(settings: &Settings, trained: Trained) -> Result<Self, MethodError> {
        let usual = Self::default();
        let level = match settings.word("saliency").map(str::parse) {
            Some(Ok(level)) => level,
            _ if trained == Trained::Full => Level::Image,
            _ => Level::Feature,
        };
        if level == Level::Image && trained != Trained::Full {
            return Err(MethodError::FrozenStem);
        }
        Ok(Self { level, density: settings.single("density").unwrap_or(usual.density), ..usual })
    }
}

impl LearnedMethod for Options {
    fn additions(&self) -> Additions {
        let layers = Layers { saliency: Some(self.level), ..Layers::default() };
        Additions { layers, ..Additions::default() }
    }

    fn learner(&self, start: Start) -> Box<dyn Learner> {
        Box::new(Dsah::new(start.groups, *self))
    }
}

impl Default for Options {
    fn default() -> Self {
        Self {
            level: Level::Feature,
            density: 0.3,
            density_weight: 1.0,
            margins: [0.05; 2],
            quantization: 0.1,
        }
    }
}

/// The network that an epoch trains.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// The hashing network on whole images, in the first tenth of the epochs.
    Whole,
    /// The attention network alone.
    Attention,
    /// The hashing network alone, on whole and on salient images.
    Hashing,
}

impl Step {
    /// Returns the step of the current epoch. The last epoch is a hashing step.
    pub fn at(at: Moment) -> Self {
        match at.epoch {
            epoch if epoch < at.epochs.div_ceil(10) => Self::Whole,
            epoch if (at.epochs - 1).saturating_sub(epoch) % 2 == 1 => Self::Attention,
            _ => Self::Hashing,
        }
    }
}

/// The training state of DSaH.
#[derive(Debug)]
pub struct Dsah {
    groups: Arc<Groups>,
    options: Options,
}

impl Dsah {
    /// Creates the learner for grouped training images.
    pub fn new(groups: Arc<Groups>, options: Options) -> Self {
        Self { groups, options }
    }

    /// `L_sal`: similar pairs closer and others farther apart than for whole images, and maps of
    /// the target density.
    fn saliency(&self, salient: Tensor<2>, twice: Twice, pairs: &Pairs) -> Tensor<1> {
        let [closer, farther] = self.options.margins;
        // Positive where saliency moves a pair apart.
        let moved = distances(salient) - distances(twice.whole);
        let similar = pairs.mean_similar(relu(moved.clone() + closer));
        let others = pairs.mean_dissimilar(relu(moved.neg() + farther));
        let off = twice.saliency.mean_dim(1) - self.options.density;
        similar + others + (off.clone() * off).mean() * self.options.density_weight
    }
}

/// `‖u_i − u_j‖² / (4c)` of all pairs, `[b, b]`: for codes, the share of bits that differ.
fn distances(u: Tensor<2>) -> Tensor<2> {
    let [_, bits] = u.dims();
    squared_distances(u) / (4.0 * bits as f32)
}

/// `L_sem`: the likelihood of similar and dissimilar pairs, `θ = ½ u_i·u_j`.
fn semantic(u: Tensor<2>, pairs: &Pairs) -> Tensor<1> {
    let theta = u.clone().matmul(u.transpose()) * 0.5;
    let apart = softplus(theta.clone());
    pairs.mean_similar(apart.clone() - theta) + pairs.mean_dissimilar(apart)
}

impl Learner for Dsah {
    fn batches(&self) -> Batches {
        Batches::Grouped(4)
    }

    /// Computes two views of the images, a salient and a whole one; in the first epochs only the
    /// whole one. The network that a step does not train stays unchanged, including its running
    /// statistics.
    fn look(&self, net: &Net, shown: Shown<'_>, laps: &mut Laps) -> Result<Output, EncodeError> {
        let e = net.maps(shown.values.clone(), laps)?;
        let (Some(saliency), step) = (&net.saliency, Step::at(shown.at)) else {
            return net.whole(e, laps);
        };
        if step == Step::Whole {
            return net.whole(e, laps);
        }
        let hashing = step == Step::Hashing;
        let alpha = if hashing {
            standing_still(saliency).forward(e.clone()).detach()
        } else {
            saliency.forward(e.clone())
        };
        laps.end(Lap::Attention)?;
        let still = |stem: &Stem| if hashing { stem.clone() } else { standing_still(stem) };
        let attended = match (saliency.level(), &net.stem) {
            (Level::Image, Some(stem)) => still(stem).forward(salient(shown.values, alpha.clone())),
            _ => salient(e.clone(), alpha.clone()),
        };
        laps.end(Lap::Stem)?;
        let [batch, _, height, width] = alpha.dims();
        // Both views go through in one pass, so that norms see them together.
        let both = Tensor::cat(vec![attended, e], 0);
        let (refine, linear) = if hashing {
            (net.refine.clone(), net.linear.clone())
        } else {
            (standing_still(&net.refine), net.linear.clone().freeze())
        };
        let features = pool(refine.forward(both));
        laps.end(Lap::Refine)?;
        let values = linear.forward(features.clone());
        let rows = |of: &Tensor<2>, first: usize| of.clone().slice(first..first + batch);
        let saliency = alpha.reshape([batch, height * width]);
        Ok(Output {
            values: rows(&values, 0),
            features: rows(&features, 0),
            extra: None,
            twice: Some(Twice { whole: rows(&values, batch), saliency }),
        })
    }

    /// `L_sal` in an attention step; else `L_sem(ĥ) + L_sem(h) + η·L_q(ĥ)`.
    fn loss(&self, seen: Seen<'_>) -> Tensor<1> {
        let pairs = Pairs::new(&self.groups, seen.images, &seen.codes.device());
        let rest = |whole: Tensor<2>, codes: Tensor<2>| {
            let off = quantization(codes.clone()).mean() * self.options.quantization;
            semantic(codes, &pairs) + semantic(whole, &pairs) + off
        };
        match seen.twice {
            Some(twice) if Step::at(seen.at) == Step::Attention => {
                self.saliency(seen.codes, twice, &pairs)
            }
            Some(twice) => rest(twice.whole, seen.codes),
            None => rest(seen.codes.clone(), seen.codes),
        }
    }
}

/// Returns a module unchanged, for a step that does not train it.
///
/// A norm in use reads its running statistics without the pending update of the last step. The
/// validation copy applies that update first, as a checkpoint does.
fn standing_still<M: Module>(module: &M) -> M {
    drop(module.valid());
    module.clone().freeze()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::method::oracle::{check, dot, images, mean, off, pairs};

    #[test]
    fn epochs_alternate_and_end_with_hashing() {
        for epochs in [1, 2, 7, 32] {
            let step = |epoch| Step::at(Moment { progress: 0.0, epoch, epochs });
            assert_eq!(step(0), Step::Whole);
            assert!(epochs == 1 || step(epochs - 1) == Step::Hashing);
            let rest: Vec<Step> = (0..epochs).map(step).filter(|s| *s != Step::Whole).collect();
            assert!(rest.windows(2).all(|two| two[0] != two[1]), "{rest:?}");
            assert_eq!(epochs - rest.len(), epochs.div_ceil(10));
        }
    }

    #[test]
    fn the_losses_of_both_steps_are_those_of_plain_loops() {
        let (labels, groups) = images();
        let options = Options { margins: [0.1, 0.2], density_weight: 3.0, ..Options::default() };
        let learner = Dsah::new(groups, options);
        let batch = [0, 1, 2, 4, 8];
        // Of ten epochs, the last but one is an attention step.
        let at = |epoch| Moment { progress: 0.5, epoch, epochs: 10 };
        assert_eq!([8, 9].map(|epoch| Step::at(at(epoch))), [Step::Attention, Step::Hashing]);
        let semantic = |u: &Vec<Vec<f64>>, labels: &[Vec<u32>]| {
            let of = |kind: bool| {
                mean(pairs(u, labels).filter(|(same, ..)| *same == kind).map(|(same, a, b)| {
                    let theta = dot(a, b) / 2.0;
                    theta.exp().ln_1p() - if same { theta } else { 0.0 }
                }))
            };
            of(true) + of(false)
        };
        check(&learner, (&labels, &batch), 6, at(9), true, |u, whole, labels| {
            let off = mean(u.iter().map(|u| off(u) / 6.0));
            semantic(u, labels) + semantic(whole, labels) + 0.1 * off
        });
        check(&learner, (&labels, &batch), 6, at(8), true, |u, whole, labels| {
            let far = |a: &[f64], b: &[f64]| -> f64 {
                a.iter().zip(b).map(|(a, b)| (a - b).powi(2)).sum::<f64>() / 24.0
            };
            let of = |kind: bool| {
                let both = pairs(u, labels).zip(pairs(whole, labels));
                mean(both.filter(|((same, ..), _)| *same == kind).map(|((_, a, b), (_, c, d))| {
                    let moved = far(a, b) - far(c, d);
                    if kind { (moved + 0.1).max(0.0) } else { (0.2 - moved).max(0.0) }
                }))
            };
            // Maps of 0.5 everywhere, with a target of 0.3.
            of(true) + of(false) + 3.0 * 0.2f64.powi(2)
        });
    }
}
