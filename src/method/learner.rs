/*!
The part of a method that takes part in training: mini-batches, forward pass, loss, and the state
that it keeps between them.

The training loop in [`crate::train`] knows methods by this trait alone.
*/

use burn::prelude::*;

use super::MethodError;
use super::OneKind;
use super::laps::Laps;
use super::learned_codes::LearnedCodes;
use super::net::{Net, Output, Twice};
use crate::encoder::EncodeError;
use crate::hash::{Features, Hash, HashError, LinearHash};

/// The division of a sample into mini-batches. Every epoch shows each image once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Batches {
    /// In random order.
    Shuffled,
    /// This many images of a class at a time, for losses of pairs and triplets: with 4, a batch of
    /// 32 has about eight classes.
    Grouped(usize),
}

/// The progress of a run.
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

/// A computation over all training images before an outer iteration.
pub trait Survey {
    /// Computes a row of numbers per image, `[batch, n]`, with the network in evaluation mode.
    /// `values` are as in [`Shown::values`].
    fn rows(&self, values: Tensor<4>) -> Tensor<2>;

    /// Adds the rows of some images.
    fn add(&mut self, images: &[usize], rows: &[f32]);

    /// Returns the result.
    fn end(self: Box<Self>) -> Vec<f32>;
}

/// The output of the network for a pass of images, as the loss sees it.
#[derive(Debug, Clone)]
pub struct Seen<'a> {
    /// Numbers of the images.
    pub images: &'a [usize],
    /// Their codes before the signs, activated, `[batch, c]`.
    pub codes: Tensor<2>,
    /// The features that the hash sees, `[batch, F]`.
    pub features: Tensor<2>,
    /// The second look, if there is one.
    pub twice: Option<Twice>,
    /// How far the run has come.
    pub at: Moment,
}

/// A method while it learns. Several devices ask for losses at the same time.
pub trait Learner: Send + Sync {
    /// The division into mini-batches.
    fn batches(&self) -> Batches {
        Batches::Shuffled
    }

    /// Begins the epochs over a sample of images; not `fresh` if a stopped run is resumed within
    /// them.
    ///
    /// # Errors
    /// [`OneKind`] if no images are dissimilar.
    fn begin(&mut self, sample: &[usize], fresh: bool) -> Result<(), OneKind> {
        let _ = (sample, fresh);
        Ok(())
    }

    /// Returns the survey of all training images that the method needs before outer iteration
    /// `outer`, from 0, of `of`.
    fn survey(&self, net: &Net, outer: usize, of: usize) -> Option<Box<dyn Survey>> {
        let _ = (net, outer, of);
        None
    }

    /// Takes the result of the survey before an outer iteration, if there was one.
    fn surveyed(&mut self, found: Option<Vec<f32>>) {
        let _ = found;
    }

    /// Returns whether parts of images are exchanged in the present outer iteration.
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

    /// Applies the activation to the hash's values `[batch, c]` before the loss: tanh by default.
    /// It keeps their signs, which are the codes.
    fn activate(&self, values: Tensor<2>, at: Moment) -> Tensor<2> {
        let _ = at;
        values.tanh()
    }

    /// Computes the mean loss of a pass.
    fn loss(&self, seen: Seen<'_>) -> Tensor<1>;

    /// Takes the codes of an update, [`Seen::codes`], with the rows of the sample that they belong
    /// to.
    fn saw(&mut self, rows: &[usize], codes: &[f32]) {
        let _ = (rows, codes);
    }

    /// Ends the epochs over a sample.
    fn end(&mut self, sample: &[usize]) {
        let _ = sample;
    }

    /// Returns whether the hash is fitted again when the network is finished: [`Learner::refit`].
    fn refits(&self) -> bool {
        false
    }

    /// Fits a hash to the finished network's features of all training images and to their labels.
    /// `None` keeps the trained hash.
    ///
    /// # Errors
    /// If it cannot be fitted.
    fn refit(
        &self,
        features: Features<'_>,
        labels: &[Vec<u32>],
    ) -> Result<Option<LinearHash>, MethodError> {
        let _ = (features, labels);
        Ok(None)
    }

    /// The learned codes of all training images, for methods that have them.
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

    /// Returns the state that a checkpoint has to keep.
    fn state(&self) -> Vec<Vec<f32>> {
        Vec::new()
    }

    /// Restores a [`Learner::state`]; returns `false` if it does not fit.
    fn restore(&mut self, state: Vec<Vec<f32>>) -> bool {
        state.is_empty()
    }
}
