/*!
Measuring a model on a labelled data set.
*/

use std::str::FromStr;
use std::time::Instant;

use super::{TrainError, Unreadable, split_features};
use crate::dataset::{Dataset, Sample};
use crate::eval::{self, Metrics};
use crate::image::Limits;
use crate::method::Features;
use crate::model::Model;
use crate::task::Task;

/// Which images are queries; the database is always the training split.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Split {
    /// The official test split.
    Test,
    /// The validation split, on which choices are made.
    Val,
}

impl Split {
    /// The name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Test => "test",
            Self::Val => "val",
        }
    }

    /// Its images.
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
pub struct Evaluation {
    /// With the codes that the network gives to both sides.
    pub network: Metrics,
    /// With the floating-point features instead of codes, by cosine, if asked for.
    pub float: Option<Metrics>,
    /// Images of either side that could not be read.
    pub unreadable: Vec<Unreadable>,
    /// Seconds for all of it.
    pub seconds: f64,
}

/// Measures `model`: queries of `split` against the training images.
///
/// # Errors
/// When the split is empty, nothing can be read, the device fails or the work is stopped.
pub fn evaluate(
    model: &Model,
    dataset: &Dataset,
    split: Split,
    float: bool,
    limits: &Limits,
    task: &Task<'_>,
) -> Result<Evaluation, TrainError> {
    let begun = Instant::now();
    let samples = split.of(dataset);
    if samples.is_empty() {
        return Err(TrainError::NoSplit(split.name()));
    }
    let encoder = model.encoder();
    // One run over both, so that there is one progress and one estimate.
    let all: Vec<Sample> = samples.iter().chain(&dataset.train).cloned().collect();
    let total = split_features(encoder, "listed", &all, limits, task)?;
    let lost = |samples: &[Sample]| {
        let paths: std::collections::HashSet<_> = samples.iter().map(|s| &s.path).collect();
        total.unreadable.iter().filter(|u| paths.contains(&u.path)).count()
    };
    let queries = samples.len() - lost(samples);
    let dim = model.card().features();
    let (q, d) = total.values.split_at(queries * dim);
    let (q_labels, d_labels) = total.labels.split_at(queries);
    let network = eval::evaluate(&model.codes(q)?, q_labels, &model.codes(d)?, d_labels)?;
    let float = float.then(|| {
        let (q, d) = (Features { dim, values: q }, Features { dim, values: d });
        eval::evaluate_scores(q, q_labels, d, d_labels)
    });
    let (float, seconds) = (float.transpose()?, begun.elapsed().as_secs_f64());
    Ok(Evaluation { network, float, unreadable: total.unreadable, seconds })
}
