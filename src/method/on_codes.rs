/*!
Methods that differ from ADSH in the forward pass alone: the network, and terms of the loss that
depend on it.
*/

use burn::prelude::*;

use super::OneKind;
use super::asymmetric::{Asymmetric, GAMMA};
use super::definition::Start;
use super::laps::Laps;
use super::learned_codes::LearnedCodes;
use super::learner::{Learner, Seen, Shown};
use super::net::{Net, Output};
use crate::encoder::EncodeError;
use crate::hash::{Hash, HashError, LinearHash};

/// A forward pass and the hash that belongs to it.
pub trait Looks: Send + Sync {
    /// As [`Learner::look`].
    ///
    /// # Errors
    /// If the device fails.
    fn look(&self, net: &Net, shown: Shown<'_>, laps: &mut Laps) -> Result<Output, EncodeError>;

    /// As [`Learner::hash`].
    ///
    /// # Errors
    /// If the hash is unusable.
    fn hash(&self, linear: LinearHash) -> Result<Hash, HashError> {
        Ok(linear.into())
    }
}

/// The asymmetric skeleton with the pull of ADSH, and a forward pass.
#[derive(Debug)]
pub struct OnCodes<L> {
    codes: Asymmetric,
    looks: L,
}

impl<L: Looks> OnCodes<L> {
    /// Creates the learner of a run.
    pub fn new(Start { groups, bits, seed, init }: Start, looks: L) -> Self {
        let codes = LearnedCodes::first(init, &groups, bits, seed);
        Self { codes: Asymmetric::new(groups, codes, GAMMA), looks }
    }
}

impl<L: Looks> Learner for OnCodes<L> {
    fn begin(&mut self, sample: &[usize], fresh: bool) -> Result<(), OneKind> {
        self.codes.begin(sample, fresh)
    }

    fn look(&self, net: &Net, shown: Shown<'_>, laps: &mut Laps) -> Result<Output, EncodeError> {
        self.looks.look(net, shown, laps)
    }

    fn loss(&self, seen: Seen<'_>) -> Tensor<1> {
        self.codes.loss(seen)
    }

    fn saw(&mut self, rows: &[usize], codes: &[f32]) {
        self.codes.saw(rows, codes);
    }

    fn end(&mut self, sample: &[usize]) {
        self.codes.end(sample);
    }

    fn learned(&self) -> Option<&LearnedCodes> {
        self.codes.learned()
    }

    fn hash(&self, linear: LinearHash) -> Result<Hash, HashError> {
        self.looks.hash(linear)
    }

    fn state(&self) -> Vec<Vec<f32>> {
        self.codes.state()
    }

    fn restore(&mut self, state: Vec<Vec<f32>>) -> bool {
        self.codes.restore(state)
    }
}
