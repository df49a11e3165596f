/*!
The pretrained trunk of a plan, and its training images.
*/

use super::TrainError;
use super::cache::{Precision, Source, Views};
use super::images::Images;
use super::plan::LearnPlan;
use super::split_features::{Unreadable, open_trunk};
use crate::dataset::Dataset;
use crate::device::Device;
use crate::image::Preprocess;
use crate::method::Trained;
use crate::task::Task;
use crate::trunk::{Refine, Stem, Trunk, weights};

/// The pretrained trunk and the preprocessing of a plan.
pub(super) struct Prepared {
    /// The pretrained trunk.
    pub trunk: Trunk,
    /// The stem with folded norms.
    stem: Stem,
    /// The refine part with folded norms, if training never runs it.
    refine: Option<Refine>,
    weights: blake3::Hash,
    /// Preprocessing of images.
    pub preprocess: Preprocess,
    views: Views,
}

impl Prepared {
    /// Opens the plan's trunk.
    ///
    /// # Errors
    /// If the weights or the input size are unusable.
    pub fn new(plan: &LearnPlan, device: &Device) -> Result<Self, TrainError> {
        let trunk = open_trunk(plan.trunk, plan.weights.as_deref(), device)?;
        let preprocess = trunk.preprocess(plan.size)?;
        Ok(Self {
            stem: trunk.stem.clone().fold(),
            refine: plan.learns_from_features()?.then(|| trunk.refine.clone().fold()),
            weights: weights::fingerprint(&trunk)?,
            trunk,
            preprocess,
            views: Views { count: plan.views, seed: plan.seed, least_area: plan.least_area },
        })
    }

    /// Returns the inputs of the feature cache for a data set.
    pub fn source<'a>(
        &'a self,
        plan: &'a LearnPlan,
        dataset: &'a Dataset,
        device: &'a Device,
    ) -> Source<'a> {
        Source {
            trunk: self.trunk.kind(),
            stem: &self.stem,
            refine: self.refine.as_ref(),
            weights: self.weights,
            preprocess: &self.preprocess,
            views: &self.views,
            precision: Precision::Half,
            samples: &dataset.train,
            limits: &plan.limits,
            device,
        }
    }
}

/// Returns the images in the form that the plan needs, their positions in the training split, and
/// the unreadable images.
pub(super) fn open_images<'a>(
    plan: &LearnPlan,
    dataset: &'a Dataset,
    source: &'a Source<'_>,
    task: &Task<'_>,
) -> Result<(Images<'a>, Vec<usize>, Vec<Unreadable>), TrainError> {
    if plan.trained != Trained::Full {
        let (cache, unreadable) = source.open(&plan.cache, task)?;
        let kept = cache.kept.clone();
        return Ok((Images::Cached(cache), kept, unreadable));
    }
    let (kept, unreadable) = source.readable()?;
    let samples = kept.iter().map(|position| &dataset.train[*position]).collect();
    Ok((Images::Files { samples, preprocess: source.preprocess }, kept, unreadable))
}
