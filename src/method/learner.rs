/*!
A method during training: mini-batches, forward pass, loss, and state between batches.

The training loop in [`crate::train`] uses methods only through this trait.
*/

use burn::prelude::*;

use super::MethodError;
use super::OneKind;
use super::laps::Laps;
use super::learned_codes::LearnedCodes;
use super::net::{Net, Output, Twice};
use crate::encoder::EncodeError;
use crate::hash::{Features, Hash, HashError, LinearHash};

/// Drawing mini-batches from a sample. Every epoch shows each image once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Batches {
    /// In random order.
    Shuffled,
    /// This many images of a class together, for pair and triplet losses. With 4, a batch of 32
    /// contains about eight classes.
    Grouped(usize),
}

/// The progress of a run.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Moment {
    /// Images shown as a fraction of the whole run, 0 to 1.
    pub progress: f32,
    /// The epoch, from 0, counted over the whole run.
    pub epoch: usize,
    /// Epochs of the whole run.
    pub epochs: usize,
}

/// The input of a forward pass.
#[derive(Debug)]
pub struct Shown<'a> {
    /// Indices of the images.
    pub images: &'a [usize],
    /// Pixels `[batch, 3, S, S]` if the stem is trained, otherwise the stem's maps
    /// `[batch, C, ⌈S/16⌉, ⌈S/16⌉]`.
    pub values: Tensor<4>,
    /// The progress of the run.
    pub at: Moment,
}

/// A computation over all training images that precedes an outer iteration.
pub trait Survey {
    /// Computes `n` numbers per image, `[batch, n]`, with the network in evaluation mode. `values`
    /// are as in [`Shown::values`].
    fn rows(&self, values: Tensor<4>) -> Tensor<2>;

    /// Adds the rows of `images`.
    fn add(&mut self, images: &[usize], rows: &[f32]);

    /// Returns the result.
    fn end(self: Box<Self>) -> Vec<f32>;
}

/// The output of a forward pass, as input of the loss.
#[derive(Debug, Clone)]
pub struct Seen<'a> {
    /// Indices of the images.
    pub images: &'a [usize],
    /// Activated values of the hash, whose signs are the codes, `[batch, c]`.
    pub codes: Tensor<2>,
    /// Features that the hash takes, `[batch, F]`.
    pub features: Tensor<2>,
    /// The second view, if the method uses one.
    pub twice: Option<Twice>,
    /// The progress of the run.
    pub at: Moment,
}

/// The training state of a method. Several devices compute losses concurrently.
pub trait Learner: Send + Sync {
    /// Returns how the mini-batches of an epoch are drawn.
    fn batches(&self, at: Moment) -> Batches {
        let _ = at;
        Batches::Shuffled
    }

    /// Begins the epochs over a sample. `fresh` is false if a stopped run resumes within them.
    ///
    /// # Errors
    /// [`OneKind`] if no two images are dissimilar.
    fn begin(&mut self, sample: &[usize], fresh: bool) -> Result<(), OneKind> {
        let _ = (sample, fresh);
        Ok(())
    }

    /// Returns the survey that the method needs before outer iteration `outer` (from 0) of `of`.
    fn survey(&self, net: &Net, outer: usize, of: usize) -> Option<Box<dyn Survey>> {
        let _ = (net, outer, of);
        None
    }

    /// Stores the result of the survey before outer iteration `outer` of `of`; `None` without a
    /// survey.
    fn surveyed(&mut self, found: Option<Vec<f32>>, outer: usize, of: usize) {
        let _ = (found, outer, of);
    }

    /// Returns whether the current outer iteration exchanges parts of images.
    fn exchanges(&self) -> bool {
        false
    }

    /// Computes the network's output.
    ///
    /// Not called if the frozen part of the network already yields the features.
    ///
    /// # Errors
    /// If the device fails.
    fn look(&self, net: &Net, shown: Shown<'_>, laps: &mut Laps) -> Result<Output, EncodeError> {
        let e = net.maps(shown.values, laps)?;
        net.whole(e, laps)
    }

    /// Applies the activation to the hash's values `[batch, c]` before the loss; tanh by default.
    /// It must keep their signs, which are the codes.
    fn activate(&self, values: Tensor<2>, at: Moment) -> Tensor<2> {
        let _ = at;
        values.tanh()
    }

    /// Computes the mean loss of a forward pass.
    fn loss(&self, seen: Seen<'_>) -> Tensor<1>;

    /// Stores the codes of an update, [`Seen::codes`]; `rows` are the sample's rows that they
    /// belong to.
    fn saw(&mut self, rows: &[usize], codes: &[f32]) {
        let _ = (rows, codes);
    }

    /// Ends the epochs over a sample.
    fn end(&mut self, sample: &[usize]) {
        let _ = sample;
    }

    /// Returns whether [`Learner::refit`] replaces the hash after training.
    fn refits(&self) -> bool {
        false
    }

    /// Fits a hash to the finished network's features of all training images and to their labels;
    /// images that were shown in several views are there once for each. `None` keeps the trained
    /// hash.
    ///
    /// # Errors
    /// If it cannot be fitted.
    fn refit(
        &self,
        features: Features<'_>,
        labels: &[Vec<u32>],
    ) -> Result<Option<Hash>, MethodError> {
        let _ = (features, labels);
        Ok(None)
    }

    /// Returns the learned codes of all training images, for methods that have them.
    fn learned(&self) -> Option<&LearnedCodes> {
        None
    }

    /// Creates the hash of the finished network from its linear layer.
    ///
    /// # Errors
    /// If the method's additions to the hash are unusable.
    fn hash(&self, linear: LinearHash) -> Result<Hash, HashError> {
        Ok(linear.into())
    }

    /// Returns the state for a checkpoint.
    fn state(&self) -> Vec<Vec<f32>> {
        Vec::new()
    }

    /// Restores a [`Learner::state`]; returns `false` if it does not match.
    fn restore(&mut self, state: Vec<Vec<f32>>) -> bool {
        state.is_empty()
    }
}
