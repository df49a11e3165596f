/*!
Measuring a model on a labelled data set.
*/

use std::str::FromStr;
use std::time::Instant;

use serde::{Deserialize, Serialize};

use super::TrainError;
use super::data_card::files_hash;
use super::sides::{Order, Side};
use super::split_features::{SplitFeatures, Unreadable, split_features};
use crate::code::BinaryCodes;
use crate::dataset::{Dataset, Sample, TellingParts};
use crate::encoder::EncodeError;
use crate::eval::Metrics;
use crate::eval::pointing::{Pointing, look};
use crate::image::Limits;
use crate::model::Model;
use crate::task::Task;

/// The split with the queries; the database is always the one of the data set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Split {
    /// The official test split.
    Test,
    /// The validation split, for choosing options.
    Val,
}

impl Split {
    /// Returns the name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Test => "test",
            Self::Val => "val",
        }
    }

    /// Returns its images.
    pub fn of(self, dataset: &Dataset) -> &[Sample] {
        match self {
            Self::Test => &dataset.test,
            Self::Val => &dataset.val,
        }
    }
}

impl FromStr for Split {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "test" => Ok(Self::Test),
            "val" => Ok(Self::Val),
            _ => Err(format!("'{text}' is not a split; choose test or val")),
        }
    }
}

/// The figures of one order of the database.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Ranking {
    /// If classes were held out of training: only queries and images of the other classes.
    #[serde(flatten)]
    pub known: Metrics,
    /// Queries of held-out classes against the whole database. The method was fitted to its images
    /// of known classes; pulling these together makes this figure better by itself.
    pub unseen: Option<Metrics>,
    /// The same queries, with the known classes of the database given by the query split's own
    /// images, to which nothing was fitted: the case of a collection that is searched.
    pub unseen_fresh: Option<Metrics>,
    /// The same queries against the database images of held-out classes alone.
    pub unseen_alone: Option<Metrics>,
}

/// The figures of a model.
#[derive(Debug)]
#[non_exhaustive]
pub struct Evaluation {
    /// With codes of the network on both sides: by Hamming distance, or by words if codes are
    /// words.
    pub network: Ranking,
    /// With the real values of queries against the signs of the database; `None` if codes are
    /// words, which are always ranked by real values.
    pub asymmetric: Option<Ranking>,
    /// With the learned codes of the training images as the database. `None` if the method has none
    /// or was trained on other images.
    pub learned: Option<Metrics>,
    /// By the cosine of floating-point features; `None` unless requested.
    pub float: Option<Ranking>,
    /// Number of classes that were held out of training.
    pub held_out: usize,
    /// Share of queries whose strongest attention falls on what distinguishes their class; `None`
    /// if the model has no attention or the data set lacks this information.
    pub pointing: Option<Pointing>,
    /// Unreadable images of either side.
    pub unreadable: Vec<Unreadable>,
    /// Seconds for the whole evaluation.
    pub seconds: f64,
}

/// The images of both sides, of known and of held-out classes.
struct Sides {
    known_queries: Side,
    known: Side,
    /// The queries of held-out classes, the whole database, and that of [`Ranking::unseen_fresh`]
    /// and of [`Ranking::unseen_alone`].
    unseen: Option<[Side; 4]>,
}

impl Sides {
    fn new(queries: &Side, database: Side, held_out: &[u32]) -> Result<Self, TrainError> {
        let known = |labels: &[u32]| labels.iter().all(|label| !held_out.contains(label));
        let new = queries.with(|labels| !known(labels));
        let known_queries = queries.with(known);
        if new.is_empty() {
            return Ok(Self { known_queries, known: database.with(known), unseen: None });
        }
        let alone = database.with(|labels| !known(labels));
        let fresh = known_queries.and(&alone)?;
        let known = database.with(known);
        Ok(Self { known_queries, known, unseen: Some([new, database, fresh, alone]) })
    }

    fn ranking(&self, order: Order<'_>, task: &Task<'_>) -> Result<Ranking, TrainError> {
        let known = self.known_queries.ranking(&self.known, order, task)?;
        let mut ranking = Ranking { known, unseen: None, unseen_fresh: None, unseen_alone: None };
        if let Some([queries, whole, fresh, alone]) = &self.unseen {
            ranking.unseen = Some(queries.ranking(whole, order, task)?);
            // A database that is a set of its own may have no image of the held-out classes.
            if !alone.is_empty() {
                ranking.unseen_fresh = Some(queries.ranking(fresh, order, task)?);
                ranking.unseen_alone = Some(queries.ranking(alone, order, task)?);
            }
        }
        Ok(ranking)
    }
}

/// Measures `model`: queries of `split` against the database.
///
/// # Errors
/// If the split is empty, nothing can be read, the device fails or the work is stopped.
pub fn evaluate(
    model: &Model,
    dataset: &Dataset,
    split: Split,
    float: bool,
    limits: &Limits,
    task: &Task<'_>,
) -> Result<Evaluation, TrainError> {
    let features = |all: &[Sample]| split_features(model.encoder(), "listed", all, limits, task);
    evaluate_from(model, dataset, split, float, limits, task, &features)
}

/// The same with given features of queries and database, for measuring many models.
///
/// # Errors
/// As [`evaluate`].
pub(super) fn evaluate_from(
    model: &Model,
    dataset: &Dataset,
    split: Split,
    float: bool,
    limits: &Limits,
    task: &Task<'_>,
    features: &dyn Fn(&[Sample]) -> Result<SplitFeatures, TrainError>,
) -> Result<Evaluation, TrainError> {
    let begun = Instant::now();
    let samples = split.of(dataset);
    if samples.is_empty() {
        return Err(TrainError::NoSplit(split.name()));
    }
    // One call for both sides, so that there is a single progress and time estimate.
    let all: Vec<Sample> = samples.iter().chain(dataset.database()).cloned().collect();
    let found = features(&all)?;
    let kept_queries = found.kept.iter().filter(|position| **position < samples.len()).count();
    let (q, d) = found.values.split_at(kept_queries * model.card().features());
    let (q_labels, d_labels) = found.labels.split_at(kept_queries);
    let queries = Side::queries(model, q, q_labels, float)?;
    let database = Side::database(model, d, d_labels, float)?;
    let held_out = held_out(model, dataset);
    let known = |labels: &[u32]| labels.iter().all(|label| !held_out.contains(label));
    let sides = Sides::new(&queries, database, &held_out)?;
    let order = Order::of(model.hash());
    let network = sides.ranking(order, task)?;
    let hamming = matches!(order, Order::Hamming);
    let asymmetric = hamming.then(|| sides.ranking(Order::Asymmetric, task)).transpose()?;
    let cosine = float.then(|| sides.ranking(Order::Cosine, task)).transpose()?;
    let used = found.kept[kept_queries..].iter().map(|position| &all[*position]);
    let trained_on: Vec<&Sample> = used.filter(|sample| known(&sample.labels)).collect();
    let learned = match learned_codes(model, dataset, &held_out, &trained_on) {
        Some(codes) => {
            let learned = sides.known.coded(codes);
            Some(sides.known_queries.ranking(&learned, order, task)?)
        }
        None => None,
    };
    Ok(Evaluation {
        network,
        asymmetric,
        learned,
        float: cosine,
        held_out: held_out.len(),
        pointing: pointing(model, dataset, samples, limits, task)?,
        unreadable: found.unreadable,
        seconds: begun.elapsed().as_secs_f64(),
    })
}

/// Returns the model's learned codes of the database if the model was trained on that database.
///
/// If classes were held out or the database differs, the training images are not the whole database
/// and the papers' protocol does not apply.
fn learned_codes(
    model: &Model,
    dataset: &Dataset,
    held_out: &[u32],
    trained_on: &[&Sample],
) -> Option<BinaryCodes> {
    let codes = model.card().learned_codes()?;
    let same = held_out.is_empty()
        && dataset.database.is_none()
        && model.card().data.files == files_hash(dataset, trained_on.iter().copied());
    same.then_some(codes)
}

/// Computes the pointing score of the queries.
fn pointing(
    model: &Model,
    dataset: &Dataset,
    queries: &[Sample],
    limits: &Limits,
    task: &Task<'_>,
) -> Result<Option<Pointing>, TrainError> {
    if model.card().attention_maps() == 0 {
        return Ok(None);
    }
    let Some(telling) = TellingParts::read(dataset)? else { return Ok(None) };
    let preprocess = model.encoder().preprocess();
    let known: Vec<&Sample> =
        queries.iter().filter(|sample| !telling.of(&sample.path).is_empty()).collect();
    let mut looks = Vec::with_capacity(known.len());
    for (done, sample) in known.iter().enumerate() {
        task.step(done, known.len()).map_err(EncodeError::from)?;
        // Computing the features already reported unreadable images.
        let Ok(picture) = sample.open(limits) else { continue };
        let attention = model.attention(&picture)?;
        let (width, height) = picture.dimensions();
        looks.push(look(&attention.maps, attention.side, |x, y| {
            let (x, y) = preprocess.origin(x, y, width, height);
            telling.of(&sample.path).iter().any(|area| area.holds(x, y))
        }));
    }
    Ok(Pointing::of(&looks))
}

/// Returns the labels in `dataset` of the classes that were held out of the model's training.
fn held_out(model: &Model, dataset: &Dataset) -> Vec<u32> {
    let names = &model.card().data.held_out;
    let labels = dataset.classes.iter().zip(0..);
    labels.filter(|(class, _)| names.contains(class)).map(|(_, label)| label).collect()
}
