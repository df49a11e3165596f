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

use super::classes::Classes;
use super::definition::{Additions, LearnedMethod, Method, Start};
use super::groups::Groups;
use super::laps::{Lap, Laps};
use super::learner::{Batches, Learner, Moment, Seen, Shown};
use super::net::{Net, Output, Twice};
use super::pairs::{Pairs, quantization, squared_distances};
use super::proxies::{ClassMeans, Softmax};
use super::settings::{MethodOption, Settings};
use super::setup::Trained;
use super::{MethodError, OneKind};
use crate::encoder::EncodeError;
use crate::network::{Layers, Level, salient};
use crate::trunk::Stem;

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

/// Images of a class that are shown together in attention steps.
const TOGETHER: usize = 4;
/// Epochs of which one is an attention step. The hashing network learns nothing in it.
const CYCLE: usize = 4;

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
    /// Scale and margin of the semantic loss.
    pub softmax: Softmax,
    /// Weight of a new code in the mean code of its class.
    pub rate: f32,
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
        Box::new(Dsah::new(start.groups, start.bits, *self))
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
            softmax: Softmax { scale: 8.0, margin: 0.4 },
            rate: 0.2,
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
    /// Returns the step of the current epoch. The last epoch is a hashing step, and the one before it
    /// an attention step.
    pub fn at(at: Moment) -> Self {
        match at.epoch {
            epoch if epoch < at.epochs.div_ceil(10) => Self::Whole,
            epoch if (at.epochs - 1).saturating_sub(epoch) % CYCLE == 1 => Self::Attention,
            _ => Self::Hashing,
        }
    }
}

/// The training state of DSaH.
#[derive(Debug)]
pub struct Dsah {
    groups: Arc<Groups>,
    classes: Classes,
    options: Options,
    /// Mean codes of the classes.
    means: ClassMeans,
    /// Images of the current sample.
    sample: Vec<usize>,
}

impl Dsah {
    /// Creates the learner for grouped training images.
    pub fn new(groups: Arc<Groups>, bits: usize, options: Options) -> Self {
        let means = ClassMeans::new(groups.classes(), bits, options.rate);
        let classes = Classes::new(groups.clone());
        Self { groups, classes, options, means, sample: Vec::new() }
    }

    /// `L_sem`: the cross entropy of the cosines with the mean codes of all classes.
    fn semantic(&self, u: Tensor<2>, images: &[usize]) -> Tensor<1> {
        let device = u.device();
        let shares = self.classes.shares(images, &device);
        self.options.softmax.loss(u, self.means.units(&device), shares)
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

impl Learner for Dsah {
    /// The saliency loss needs similar pairs. Batches of few classes are a poor measure of the norms'
    /// statistics, so that other epochs draw at random.
    fn batches(&self, at: Moment) -> Batches {
        match Step::at(at) {
            Step::Attention => Batches::Grouped(TOGETHER),
            Step::Whole | Step::Hashing => Batches::Shuffled,
        }
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
        let features = refine.pooled(both);
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
        let images = seen.images;
        let hashing = |codes: Tensor<2>| {
            let off = quantization(codes.clone()).mean() * self.options.quantization;
            self.semantic(codes, images) + off
        };
        match seen.twice {
            Some(twice) if Step::at(seen.at) == Step::Attention => {
                let pairs = Pairs::new(&self.groups, images, &seen.codes.device());
                self.saliency(seen.codes, twice, &pairs)
            }
            Some(twice) => self.semantic(twice.whole, images) + hashing(seen.codes),
            None => hashing(seen.codes),
        }
    }

    fn begin(&mut self, sample: &[usize], _: bool) -> Result<(), OneKind> {
        self.sample = sample.to_vec();
        Ok(())
    }

    /// Adds the codes to the means of their classes.
    fn saw(&mut self, rows: &[usize], codes: &[f32]) {
        for (row, code) in rows.iter().zip(codes.chunks_exact(self.means.bits())) {
            self.means.add(self.groups.labels_of(self.sample[*row]), code);
        }
    }

    fn state(&self) -> Vec<Vec<f32>> {
        vec![self.means.state()]
    }

    fn restore(&mut self, state: Vec<Vec<f32>>) -> bool {
        <[Vec<f32>; 1]>::try_from(state).is_ok_and(|[means]| self.means.restore(means))
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
    fn every_fourth_epoch_trains_attention_and_the_last_hashing() {
        for epochs in [1, 2, 7, 32] {
            let step = |epoch| Step::at(Moment { progress: 0.0, epoch, epochs });
            assert_eq!(step(0), Step::Whole);
            assert!(epochs == 1 || step(epochs - 1) == Step::Hashing);
            let of = |kind| (0..epochs).filter(|epoch| step(*epoch) == kind).collect::<Vec<_>>();
            assert_eq!(of(Step::Whole).len(), epochs.div_ceil(10));
            let attention = of(Step::Attention);
            assert!(epochs < 3 || attention.last() == Some(&(epochs - 2)), "{attention:?}");
            assert!(attention.windows(2).all(|two| two[1] - two[0] == 4), "{attention:?}");
        }
    }

    #[test]
    fn the_losses_of_both_steps_are_those_of_plain_loops() {
        let (labels, groups) = images();
        let options = Options { margins: [0.1, 0.2], density_weight: 3.0, ..Options::default() };
        let mut learner = Dsah::new(groups, 6, options);
        // Means of the classes 0 and 2; class 5 has none yet.
        let means: Vec<f32> =
            (0..18).map(|i| if i < 12 { (i * i % 7) as f32 - 2.5 } else { 0.0 }).collect();
        assert!(learner.restore(vec![means.clone()]));
        let batch = [0, 1, 2, 4, 8];
        // Of ten epochs, the last but one is an attention step.
        let at = |epoch| Moment { progress: 0.5, epoch, epochs: 10 };
        assert_eq!([8, 9].map(|epoch| Step::at(at(epoch))), [Step::Attention, Step::Hashing]);
        let semantic = |u: &Vec<Vec<f64>>, labels: &[Vec<u32>]| {
            mean(u.iter().zip(labels).map(|(u, own)| {
                let logit = |class: usize| {
                    let of = means[class * 6..][..6].iter().map(|m| f64::from(*m));
                    let of: Vec<f64> = of.collect();
                    let length = (dot(u, u) * dot(&of, &of)).sqrt().max(1e-6);
                    let margin = if own.contains(&[0, 2, 5][class]) { 0.4 } else { 0.0 };
                    8.0 * (dot(u, &of) / length - margin)
                };
                let all: f64 = (0..3).map(|class| logit(class).exp()).sum();
                let mine = (0..3).filter(|class| own.contains(&[0, 2, 5][*class]));
                mean(mine.map(|class| all.ln() - logit(class)))
            }))
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
