/*!
Measuring a model on a labelled data set.
*/

use std::str::FromStr;
use std::time::Instant;

use super::TrainError;
use super::data_card::files_hash;
use super::split_features::{SplitFeatures, Unreadable, split_features};
use crate::code::BinaryCodes;
use crate::dataset::{Dataset, Sample, TellingParts};
use crate::encoder::EncodeError;
use crate::eval::pointing::{Pointing, look};
use crate::eval::{self, Metrics};
use crate::hash::{Codebooks, Features};
use crate::image::Limits;
use crate::model::{Model, ModelError};
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

/// The figures of a model.
#[derive(Debug)]
#[non_exhaustive]
pub struct Evaluation {
    /// With codes of the network on both sides. If classes were held out of training: only queries
    /// and images of the other classes.
    pub network: Metrics,
    /// With the learned codes of the training images as the database. `None` if the method has none
    /// or was trained on other images.
    pub learned: Option<Metrics>,
    /// Queries of held-out classes against the whole database, with codes of the network.
    pub unseen: Option<Metrics>,
    /// As `network`, but comparing floating-point features by cosine; `None` unless requested.
    pub float: Option<Metrics>,
    /// As `unseen`, by cosine.
    pub float_unseen: Option<Metrics>,
    /// Share of queries whose strongest attention falls on what distinguishes their class; `None`
    /// if the model has no attention or the data set lacks this information.
    pub pointing: Option<Pointing>,
    /// Unreadable images of either side.
    pub unreadable: Vec<Unreadable>,
    /// Seconds for the whole evaluation.
    pub seconds: f64,
}

/// One side of an evaluation.
struct Side {
    dim: usize,
    features: Vec<f32>,
    codes: BinaryCodes,
    /// Real values, if codes are word indices.
    values: Vec<f32>,
    labels: Vec<Vec<u32>>,
}

impl Side {
    /// Returns the codes of features. With `float`, it also returns the features, which can take a
    /// gigabyte for a large database and are therefore kept only on request.
    fn new(
        model: &Model,
        values: &[f32],
        labels: &[Vec<u32>],
        float: bool,
    ) -> Result<Self, TrainError> {
        let dim = model.card().features();
        let rows = Features { dim, values };
        let hash = model.hash();
        let values = hash.values(&rows).map_err(ModelError::from)?;
        let codes = hash.codes(&values).map_err(ModelError::from)?;
        let (dim, features) = if float { (dim, values.to_vec()) } else { (0, Vec::new()) };
        Ok(Self { dim, features, codes, values, labels: labels.to_vec() })
    }

    fn rows(&self, wanted: impl Fn(&[u32]) -> bool) -> Self {
        let rows = 0..self.labels.len();
        let rows: Vec<usize> = rows.filter(|row| wanted(&self.labels[*row])).collect();
        let feature = |row: &usize| &self.features[row * self.dim..(row + 1) * self.dim];
        let width = self.values.len() / self.labels.len().max(1);
        let value = |row: &usize| &self.values[row * width..(row + 1) * width];
        Self {
            dim: self.dim,
            features: rows.iter().flat_map(feature).copied().collect(),
            codes: self.codes.select(&rows),
            values: rows.iter().flat_map(value).copied().collect(),
            labels: rows.iter().map(|row| self.labels[*row].clone()).collect(),
        }
    }

    /// Ranks by Hamming distance, or by the distance from a query's values to the sums of words.
    fn against(
        &self,
        database: &Self,
        codebooks: Option<&Codebooks>,
        task: &Task<'_>,
    ) -> Result<Metrics, TrainError> {
        let Some(codebooks) = codebooks else {
            return Ok(eval::evaluate(
                &self.codes,
                &self.labels,
                &database.codes,
                &database.labels,
                task,
            )?);
        };
        let (codes, lengths) = (&database.codes, codebooks.lengths(&database.codes));
        let dim = codebooks.dim();
        let scores = |query: usize| {
            codebooks.scores(&self.values[query * dim..(query + 1) * dim], codes, &lengths)
        };
        Ok(eval::evaluate_by(scores, &self.labels, &database.labels, task)?)
    }

    fn by_cosine(&self, database: &Self, task: &Task<'_>) -> Result<Metrics, TrainError> {
        let queries = Features { dim: self.dim, values: &self.features };
        let images = Features { dim: database.dim, values: &database.features };
        Ok(eval::evaluate_scores(queries, &self.labels, images, &database.labels, task)?)
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
    let queries = Side::new(model, q, q_labels, float)?;
    let database = Side::new(model, d, d_labels, float)?;
    let held_out = held_out(model, dataset);
    let known = |labels: &[u32]| labels.iter().all(|label| !held_out.contains(label));
    let (known_queries, known_database) = (queries.rows(known), database.rows(known));
    let codebooks = model.hash().codebooks();
    let network = known_queries.against(&known_database, codebooks, task)?;
    let cosine = float.then(|| known_queries.by_cosine(&known_database, task)).transpose()?;
    let new = queries.rows(|labels| !known(labels));
    let (mut unseen, mut float_unseen) = (None, None);
    if !held_out.is_empty() && !new.labels.is_empty() {
        unseen = Some(new.against(&database, codebooks, task)?);
        float_unseen = float.then(|| new.by_cosine(&database, task)).transpose()?;
    }
    let used = found.kept[kept_queries..].iter().map(|position| &all[*position]);
    let trained_on: Vec<&Sample> = used.filter(|sample| known(&sample.labels)).collect();
    let learned = match learned_codes(model, dataset, &held_out, &trained_on) {
        Some(codes) => {
            let learned = Side { codes, ..known_database };
            Some(known_queries.against(&learned, codebooks, task)?)
        }
        None => None,
    };
    Ok(Evaluation {
        network,
        learned,
        unseen,
        float: cosine,
        float_unseen,
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
    if !model.card().attends() {
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
