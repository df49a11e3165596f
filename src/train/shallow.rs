/*!
Fitting methods in closed form to features of a frozen trunk.
*/

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Instant;

use super::TrainError;
use super::data_card::data_card;
use super::split_features::{SplitFeatures, Unreadable, open_trunk, split_features};
use crate::dataset::Dataset;
use crate::device::Device;
use crate::encoder::Encoder;
use crate::hash::Features;
use crate::image::Limits;
use crate::method::{FitInput, FittedMethod, Method, MethodError, Settings};
use crate::model::{self, Card};
use crate::network::AttentionKind;
use crate::task::Task;
use crate::trunk::{Trunk, TrunkKind};

/// The plan of a fit.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ShallowPlan {
    /// The method.
    pub method: &'static Method,
    /// Its options.
    pub settings: Settings,
    /// Bits per code.
    pub bits: usize,
    /// Seed of all draws.
    pub seed: u64,
    /// Width and height of the trunk's input, in pixels.
    pub size: u32,
    /// The trunk.
    pub trunk: TrunkKind,
    /// A trunk file that replaces the shipped weights; required for trunks whose weights do not
    /// ship.
    pub weights: Option<PathBuf>,
    /// Whether to leave the trunk, which must be the shipped one, out of the file.
    pub share_trunk: bool,
    /// Licence of the hash, for the card; `None` for that of the training data.
    pub licence: Option<String>,
    /// Limits on the size of images.
    pub limits: Limits,
}

impl ShallowPlan {
    /// Creates a plan for `method` at `bits` with seed 1, default options, the shipped trunk at
    /// 224² and the usual limits.
    pub fn new(method: &'static Method, bits: usize) -> Self {
        Self {
            method,
            settings: Settings::default(),
            bits,
            seed: 1,
            size: 224,
            trunk: TrunkKind::EfficientNetLite0,
            weights: None,
            share_trunk: false,
            licence: None,
            limits: Limits::default(),
        }
    }

    /// Changes fields.
    pub fn with(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }
}

/// The result of a fit.
#[derive(Debug)]
#[non_exhaustive]
pub struct Fitted {
    /// The card in the written file.
    pub card: Card,
    /// Unreadable training images.
    pub unreadable: Vec<Unreadable>,
}

/// Fits a method in closed form to the training split and writes the model to `out`.
///
/// # Errors
/// If the images, the weights, the fit or the file fail. `out` is unchanged then.
pub fn fit_shallow(
    plan: &ShallowPlan,
    dataset: &Dataset,
    out: &Path,
    device: &Device,
    task: &Task<'_>,
) -> Result<Fitted, TrainError> {
    model::check_writable(out)?;
    check(plan, dataset)?;
    let trunk = open_trunk(plan.trunk, plan.weights.as_deref(), device)?;
    let preprocess = trunk.preprocess(plan.size)?;
    let encoder = Encoder::new(trunk.clone().into(), preprocess, device.clone());
    let begun = Instant::now();
    let split = split_features(&encoder, "training", &dataset.train, &plan.limits, task)?;
    let seconds_features = begun.elapsed().as_secs_f64();
    let fitted = fit_features(plan, dataset, (trunk, split), out, device, task)?;
    let mut card = fitted.card;
    card.figures.insert("seconds_features".to_owned(), seconds_features);
    Ok(Fitted { card, ..fitted })
}

/// Creates the method of a plan if it suits the data set.
fn check(plan: &ShallowPlan, dataset: &Dataset) -> Result<Box<dyn FittedMethod>, TrainError> {
    let method = plan.method.make_fitted(&plan.settings)?;
    plan.method.check_bits(plan.bits)?;
    if plan.method.needs_labels && dataset.classes.len() < 2 {
        return Err(MethodError::Classes(dataset.classes.len()).into());
    }
    Ok(method)
}

/// The same with given features of the training split, from the plan's `trunk`.
///
/// # Errors
/// If the fit or the file fails. `out` is unchanged then.
pub(super) fn fit_features(
    plan: &ShallowPlan,
    dataset: &Dataset,
    (trunk, split): (Trunk, SplitFeatures),
    out: &Path,
    device: &Device,
    task: &Task<'_>,
) -> Result<Fitted, TrainError> {
    let method = check(plan, dataset)?;
    let kind = plan.trunk;
    let preprocess = trunk.preprocess(plan.size)?;
    let begun = Instant::now();
    let features = Features { dim: kind.pooled(), values: &split.values };
    let input = FitInput { features, labels: &split.labels, bits: plan.bits, seed: plan.seed };
    let hash = method.fit(input, task)?;
    let seconds_fit = begun.elapsed().as_secs_f64();
    let mut figures = vec![("seconds_fit", seconds_fit)];
    figures.extend(method.figures());
    let classes = if plan.method.needs_labels { dataset.classes.clone() } else { Vec::new() };
    let card = Card {
        format: model::FORMAT,
        program: env!("CARGO_PKG_VERSION").to_owned(),
        method: plan.method.to_string(),
        bits: plan.bits,
        trunk: kind,
        parts: 0,
        attention: AttentionKind::Together,
        saliency: None,
        original: false,
        projections: 0,
        anchors: None,
        plain: 0,
        codebooks: None,
        values: None,
        unit: false,
        preprocess,
        classes,
        data: data_card(dataset, &split.kept),
        seed: plan.seed,
        figures: figures
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value))
            .collect::<BTreeMap<_, _>>(),
        licence: format!(
            "trunk: {}; hash: {}",
            trunk.licence(),
            plan.licence.as_deref().unwrap_or("as its training data")
        ),
        shared_trunk: None,
        learned: None,
    }
    .with_hash(&hash);
    if plan.share_trunk {
        model::write_sharing_trunk(out, &card, &hash, device)?;
    } else {
        model::write(out, &card, trunk.into(), &hash)?;
    }
    Ok(Fitted { card, unreadable: split.unreadable })
}
