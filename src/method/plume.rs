/*!
Plume, Barbule's own method: the parts of ExchNet, the class centres of OrthoHash, and codes
that keep what the features know of kinds without a centre.

Class centres win on kinds that were trained on, and lose on kinds that were not, because
nothing in their loss asks what two images have in common beside their class. Here the
inner products of codes also have to follow the cosines of the features that they are made
from (which no gradient of that term reaches), image by image of a batch. So the order of
the features, in which unseen kinds still lie together, goes into the bits that the
centres leave free.
*/

use std::sync::Arc;

use burn::prelude::*;

use super::asymmetric::{Asymmetric, Groups, LearnedCodes, OneKind};
use super::learner::{Batches, Learner, Moment, Seen};
use super::orthohash::{self, OrthoHash};
use super::{exchnet, pairs};

/// What Plume can be told.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Options {
    /// The parts.
    pub parts: exchnet::Options,
    /// The scale and margin of the cosine to class centres.
    pub centres: orthohash::Options,
    /// Weight of the likeness of codes and features.
    pub likeness: f32,
    /// Weight of the asymmetric loss.
    pub asymmetric: f32,
    /// Weight of the quantization.
    pub quantization: f32,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            parts: exchnet::Options::default(),
            centres: orthohash::Options::default(),
            likeness: 1.0,
            asymmetric: 0.0,
            quantization: 0.0,
        }
    }
}

/// Plume while it learns.
#[derive(Debug)]
pub struct Plume {
    options: Options,
    centres: OrthoHash,
    asymmetric: Option<Asymmetric>,
}

impl Plume {
    /// For training images in groups; `codes` are the learned codes of the asymmetric loss at
    /// first, where that has a weight.
    pub fn new(
        groups: Arc<Groups>,
        bits: usize,
        seed: u64,
        codes: LearnedCodes,
        options: Options,
    ) -> Self {
        let asymmetric =
            (options.asymmetric > 0.0).then(|| Asymmetric::new(groups.clone(), codes, 0.0));
        let centres = OrthoHash::new(groups, bits, seed, options.centres);
        Self { options, centres, asymmetric }
    }
}

/// The cosines of all pairs of rows, less the mean row, `[b, b]`.
fn cosines(rows: Tensor<2>) -> Tensor<2> {
    let rows = rows.clone() - rows.mean_dim(0);
    let length = ((rows.clone() * rows.clone()).sum_dim(1) + 1e-12).sqrt();
    let rows = rows / length;
    rows.clone().matmul(rows.transpose())
}

/// The mean square difference of the cosines of codes and of features, both less their
/// means, over all pairs of a batch.
fn likeness(codes: Tensor<2>, features: Tensor<2>) -> Tensor<1> {
    let off = cosines(codes) - cosines(features).detach();
    (off.clone() * off).mean()
}

impl Learner for Plume {
    fn batches(&self) -> Batches {
        Batches::Shuffled
    }

    fn begin(&mut self, sample: &[usize], fresh: bool) -> Result<(), OneKind> {
        self.asymmetric.as_mut().map_or(Ok(()), |learner| learner.begin(sample, fresh))
    }

    fn activate(&self, values: Tensor<2>, _: Moment) -> Tensor<2> {
        values.tanh()
    }

    fn loss(&self, seen: Seen<'_>) -> Tensor<1> {
        let Options { likeness: like, asymmetric: pair, quantization: off, .. } = self.options;
        let u = seen.codes.clone();
        let mut loss = self.centres.of(u.clone(), seen.images);
        if like > 0.0 {
            loss = loss + likeness(u.clone(), seen.features.clone()) * like;
        }
        if off > 0.0 {
            loss = loss + pairs::quantization(u).mean() * off;
        }
        if let Some(learner) = &self.asymmetric {
            loss = loss + learner.loss(seen) * pair;
        }
        loss
    }

    fn saw(&mut self, rows: &[usize], codes: &[f32]) {
        if let Some(learner) = &mut self.asymmetric {
            learner.saw(rows, codes);
        }
    }

    fn end(&mut self, sample: &[usize]) {
        if let Some(learner) = &mut self.asymmetric {
            learner.end(sample);
        }
    }

    fn state(&self) -> Vec<Vec<f32>> {
        self.asymmetric.as_ref().map(Learner::state).unwrap_or_default()
    }

    fn restore(&mut self, state: Vec<Vec<f32>>) -> bool {
        match &mut self.asymmetric {
            Some(learner) => learner.restore(state),
            None => state.is_empty(),
        }
    }
}
