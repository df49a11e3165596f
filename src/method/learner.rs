/*!
What a method that trains a network does beside it: how its mini-batches are drawn, its
loss, and what it keeps of its own between them.

The loop in [`crate::train`] knows this trait alone, so that a method adds nothing to it.
*/

use burn::prelude::*;

use super::MethodError;
use super::OneKind;
use super::asymmetric::LearnedCodes;
use crate::hash::Codebooks;
use crate::hash::{Features, LinearHash};

/// How the images of a sample become mini-batches. Every epoch shows each once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Batches {
    /// In random order.
    Shuffled,
    /// By so many images of one class, as pairs and triplets need them: a batch of 32 has
    /// then about eight classes.
    Grouped(usize),
}

/// How far a run has come.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Moment {
    /// Images shown over those of the whole run, 0 to 1.
    pub progress: f32,
    /// The epoch, from 0, counted over the whole run.
    pub epoch: usize,
    /// Epochs of the whole run.
    pub epochs: usize,
}

/// What a network that looks twice gives besides the codes: DSaH's.
#[derive(Debug, Clone)]
pub struct Twice {
    /// Codes of the whole images, `[batch, c]`; those in [`Seen::codes`] are of what is
    /// salient in them.
    pub whole: Tensor<2>,
    /// The saliency of each position, 0 to 1, `[batch, H·W]`.
    pub saliency: Tensor<2>,
}

/// What the network made of a pass of images.
#[derive(Debug, Clone)]
pub struct Seen<'a> {
    /// Numbers of the images.
    pub images: &'a [usize],
    /// Their codes before the signs, activated, `[batch, c]`.
    pub codes: Tensor<2>,
    /// The features that the hash sees, `[batch, F]`.
    pub features: Tensor<2>,
    /// What a network that looks twice gives besides.
    pub twice: Option<Twice>,
    /// How far the run has come.
    pub at: Moment,
}

/// A method while it learns. Several devices ask for losses at the same time.
pub trait Learner: Send + Sync {
    /// How mini-batches are drawn.
    fn batches(&self) -> Batches {
        Batches::Shuffled
    }

    /// Before the epochs over a sample of images; not `fresh` when a stopped run goes on
    /// within them.
    ///
    /// # Errors
    /// [`OneKind`] when there is nothing to contrast.
    fn begin(&mut self, sample: &[usize], fresh: bool) -> Result<(), OneKind> {
        let _ = (sample, fresh);
        Ok(())
    }

    /// What becomes of the hash's values `[batch, c]` before the loss: tanh, unless the
    /// method says otherwise. Signs are taken of them either way.
    fn activate(&self, values: Tensor<2>, at: Moment) -> Tensor<2> {
        let _ = at;
        values.tanh()
    }

    /// The mean loss of a pass.
    fn loss(&self, seen: Seen<'_>) -> Tensor<1>;

    /// The codes of an update, row by row of the sample: what [`Seen::codes`] was.
    fn saw(&mut self, rows: &[usize], codes: &[f32]) {
        let _ = (rows, codes);
    }

    /// After the epochs over a sample.
    fn end(&mut self, sample: &[usize]) {
        let _ = sample;
    }

    /// Whether the hash is fitted anew when the network is finished: [`Learner::refit`].
    fn refits(&self) -> bool {
        false
    }

    /// The hash of the finished network, fitted to what it makes of all training images and
    /// to their labels; `None` for the one that was trained.
    ///
    /// # Errors
    /// When it cannot be fitted.
    fn refit(
        &self,
        features: Features<'_>,
        labels: &[Vec<u32>],
    ) -> Result<Option<LinearHash>, MethodError> {
        let _ = (features, labels);
        Ok(None)
    }

    /// The learned codes of all training images, where the method has them.
    fn learned(&self) -> Option<&LearnedCodes> {
        None
    }

    /// The codebooks that codes are words of, where they are not signs.
    fn codebooks(&self) -> Option<&Codebooks> {
        None
    }

    /// What a checkpoint has to keep.
    fn state(&self) -> Vec<Vec<f32>> {
        Vec::new()
    }

    /// Takes up what [`Learner::state`] gave; `false` when it does not fit.
    fn restore(&mut self, state: Vec<Vec<f32>>) -> bool {
        state.is_empty()
    }
}
