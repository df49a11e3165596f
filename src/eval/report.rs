/*!
The result of an evaluation.
*/

use serde::{Deserialize, Serialize};

/// The depths of [`Metrics::recall_at`].
pub const RECALL_DEPTHS: [usize; 4] = [1, 10, 100, 1000];

/// Retrieval metrics, each the mean over the queries that have a relevant image.
///
/// All metrics are shares in 0..=1 and expectations over random orders of images at equal
/// distance; see [`metrics`](super::metrics) for the formulas.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Metrics {
    /// Number of queries, including skipped ones.
    pub queries: usize,
    /// Number of database images.
    pub database: usize,
    /// Number of queries excluded from all means, because no database image is relevant to them.
    pub skipped_queries: usize,
    /// Mean average precision over the full ranking.
    pub map: f64,
    /// Precision of the first image.
    pub p_at_1: f64,
    /// Precision of the first 10 images, or of all images if there are fewer.
    pub p_at_10: f64,
    /// Precision of the first 100 images, or of all images if there are fewer.
    pub p_at_100: f64,
    /// Recall at each depth of [`RECALL_DEPTHS`] that does not exceed the size of the database.
    pub recall_at: Vec<RecallAt>,
    /// Precision within Hamming radius 2, where an empty ball counts as 0; `None` for rankings that
    /// do not use the Hamming distance.
    pub p_radius_2: Option<f64>,
    /// Precision at recall 0, 0.01, …, 1, as [`metrics::precision_recall`](super::metrics::precision_recall) defines it.
    pub curve: Vec<CurvePoint>,
}

/// The recall at one depth.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct RecallAt {
    /// Depth: the number of images considered.
    pub k: usize,
    /// Share of the relevant images that are among the first `k`.
    pub recall: f64,
}

/// One point of a precision–recall curve.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct CurvePoint {
    /// Share of the relevant images found.
    pub recall: f64,
    /// Share of relevant images among those found, at the depth that reaches this recall.
    pub precision: f64,
}
