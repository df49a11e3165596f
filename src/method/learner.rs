/*!
What a method that trains a network does beside it: how its mini-batches are drawn, its
loss, and what it keeps of its own between them.

The loop in [`crate::train`] knows this trait alone, so that a method adds nothing to it.
*/

use burn::prelude::*;

use super::MethodError;
use super::OneKind;
use super::laps::Laps;
use super::learned_codes::LearnedCodes;
use super::net::{Net, Output, Twice};
use crate::encoder::EncodeError;
use crate::hash::{Features, Hash, HashError, LinearHash};

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

/// Images on their way into the network.
#[derive(Debug)]
pub struct Shown<'a> {
    /// Numbers of the images.
    pub images: &'a [usize],
    /// Pixels `[batch, 3, S, S]` if the stem is trained, otherwise the stem's maps
    /// `[batch, C, ⌈S/16⌉, ⌈S/16⌉]`.
    pub values: Tensor<4>,
    /// How far the run has come.
    pub at: Moment,
}

/// Something that a method computes from all training images before an outer iteration.
pub trait Survey {
    /// Computes a row of numbers per image, `[batch, n]`, with the network in evaluation mode.
    /// `values` are as in [`Shown::values`].
    fn rows(&self, values: Tensor<4>) -> Tensor<2>;

    /// Adds the rows of some images.
    fn add(&mut self, images: &[usize], rows: &[f32]);

    /// Returns the result.
    fn end(self: Box<Self>) -> Vec<f32>;
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

    /// What the method wants to know of all training images before outer iteration `outer`, from 0,
    /// of `of`.
    fn survey(&self, net: &Net, outer: usize, of: usize) -> Option<Box<dyn Survey>> {
        let _ = (net, outer, of);
        None
    }

    /// Takes the result of the survey before an outer iteration, if there was one.
    fn surveyed(&mut self, found: Option<Vec<f32>>) {
        let _ = found;
    }

    /// Whether parts of images are exchanged at present.
    fn exchanges(&self) -> bool {
        false
    }

    /// Passes images through the network.
    ///
    /// Not called if the frozen part of the network gives finished features.
    ///
    /// # Errors
    /// If the device fails.
    fn look(&self, net: &Net, shown: Shown<'_>, laps: &mut Laps) -> Result<Output, EncodeError> {
        let e = net.maps(shown.values, laps)?;
        net.whole(e, laps)
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

    /// Makes the hash of the finished network from its linear layer.
    ///
    /// # Errors
    /// If what the method adds to it is unusable.
    fn hash(&self, linear: LinearHash) -> Result<Hash, HashError> {
        Ok(linear.into())
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
