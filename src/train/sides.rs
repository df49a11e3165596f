/*!
The two sides of an evaluation, and the rankings of one for the other.
*/

use super::TrainError;
use crate::code::BinaryCodes;
use crate::eval::{self, Metrics};
use crate::hash::{Asymmetric, Codebooks, Features, Hash, HashError};
use crate::model::{Model, ModelError};
use crate::task::Task;

/// Queries or database images, as a model sees them.
#[derive(Debug, Clone)]
pub(super) struct Side {
    codes: BinaryCodes,
    /// Real values, a row for each image; only queries have them.
    values: Vec<f32>,
    /// Floating-point features, only on request: those of a large database take gigabytes.
    features: Vec<f32>,
    labels: Vec<Vec<u32>>,
}

/// The order in which a database is ranked.
#[derive(Debug, Clone, Copy)]
pub(super) enum Order<'a> {
    /// By Hamming distance.
    Hamming,
    /// By the real values of the query and the signs of the database.
    Asymmetric,
    /// By the distance from the values of the query to the sums of words.
    Words(&'a Codebooks),
    /// By the cosine of features.
    Cosine,
}

impl<'a> Order<'a> {
    /// Returns the order of the codes of `hash`.
    pub fn of(hash: &'a Hash) -> Self {
        hash.codebooks().map_or(Self::Hamming, Self::Words)
    }
}

impl Side {
    /// Returns the database side of features, `[n, d]`.
    pub fn database(
        model: &Model,
        features: &[f32],
        labels: &[Vec<u32>],
        float: bool,
    ) -> Result<Self, TrainError> {
        let side = Self::queries(model, features, labels, float)?;
        Ok(Self { values: Vec::new(), ..side })
    }

    /// Returns the query side of features, `[n, d]`.
    pub fn queries(
        model: &Model,
        features: &[f32],
        labels: &[Vec<u32>],
        float: bool,
    ) -> Result<Self, TrainError> {
        let hash = model.hash();
        let rows = Features { dim: model.card().features(), values: features };
        let values = hash.values(&rows).map_err(ModelError::from)?;
        let codes = hash.codes(&values).map_err(ModelError::from)?;
        let features = if float { features.to_vec() } else { Vec::new() };
        Ok(Self { codes, values, features, labels: labels.to_vec() })
    }

    /// Returns the same images with other codes.
    pub fn coded(self, codes: BinaryCodes) -> Self {
        Self { codes, ..self }
    }

    /// Returns whether there are no images.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// Returns the images whose labels are `wanted`.
    pub fn with(&self, wanted: impl Fn(&[u32]) -> bool) -> Self {
        let rows = 0..self.labels.len();
        let rows: Vec<usize> = rows.filter(|row| wanted(&self.labels[*row])).collect();
        Self {
            codes: self.codes.select(&rows),
            values: self.chosen(&self.values, &rows),
            features: self.chosen(&self.features, &rows),
            labels: rows.iter().map(|row| self.labels[*row].clone()).collect(),
        }
    }

    /// Returns the images of both sides as one database.
    pub fn and(&self, other: &Self) -> Result<Self, TrainError> {
        let mut words = self.codes.words().to_vec();
        words.extend_from_slice(other.codes.words());
        let codes = BinaryCodes::from_words(self.codes.bits(), words);
        let mut side = Self {
            codes: codes.map_err(HashError::from).map_err(ModelError::from)?,
            values: Vec::new(),
            features: self.features.clone(),
            labels: self.labels.clone(),
        };
        side.features.extend_from_slice(&other.features);
        side.labels.extend_from_slice(&other.labels);
        Ok(side)
    }

    /// Ranks a database for every image of this side.
    pub fn ranking(
        &self,
        database: &Self,
        order: Order<'_>,
        task: &Task<'_>,
    ) -> Result<Metrics, TrainError> {
        let (labels, codes) = (&database.labels, &database.codes);
        match order {
            Order::Hamming => Ok(eval::evaluate(&self.codes, &self.labels, codes, labels, task)?),
            Order::Asymmetric => {
                let row = self.width(&self.values);
                let tables = self.values.chunks_exact(row.max(1));
                let tables: Result<Vec<_>, HashError> =
                    tables.map(|values| Asymmetric::new(codes.bits(), values)).collect();
                let tables = tables.map_err(ModelError::from)?;
                // The lengths of codes were found equal when the tables were made.
                let scores = |query: usize| tables[query].scores(codes).unwrap_or_default();
                Ok(eval::evaluate_by(scores, &self.labels, labels, task)?)
            }
            Order::Words(books) => {
                let lengths = books.lengths(codes);
                let values = |query| &self.values[query * books.dim()..(query + 1) * books.dim()];
                let scores = |query: usize| books.scores(values(query), codes, &lengths);
                Ok(eval::evaluate_by(scores, &self.labels, labels, task)?)
            }
            Order::Cosine => {
                let rows = |side: &Self| side.width(&side.features);
                let queries = Features { dim: rows(self), values: &self.features };
                let images = Features { dim: rows(database), values: &database.features };
                Ok(eval::evaluate_scores(queries, &self.labels, images, labels, task)?)
            }
        }
    }

    /// Returns the chosen rows of numbers with a row for each image.
    fn chosen(&self, numbers: &[f32], rows: &[usize]) -> Vec<f32> {
        let width = self.width(numbers);
        rows.iter().flat_map(|row| &numbers[row * width..(row + 1) * width]).copied().collect()
    }

    /// Returns how many numbers each image has.
    fn width(&self, numbers: &[f32]) -> usize {
        numbers.len() / self.labels.len().max(1)
    }
}
