/*!
Errors of evaluating a ranking.
*/

use crate::code::CodeError;
use crate::hash::FeatureError;
use crate::task::Stopped;

/// An error of evaluating a ranking.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EvalError {
    /// There are no queries, or the database is empty.
    #[error("there is nothing to evaluate: no {0} images were given")]
    Empty(&'static str),
    /// The numbers of images and label lists differ.
    #[error("{images} {side} images have {labels} lists of labels; each image needs its own list")]
    Labels {
        /// "query" or "database".
        side: &'static str,
        /// The number of images.
        images: usize,
        /// The number of label lists.
        labels: usize,
    },
    /// No query shares a label with a database image, so the mean is undefined.
    #[error(
        "none of the {0} queries shares a label with a database image; check that both use the same classes"
    )]
    NothingRelevant(usize),
    /// The codes of queries and database cannot be compared.
    #[error(transparent)]
    Codes(#[from] CodeError),
    /// The features cannot be ranked.
    #[error(transparent)]
    Features(#[from] FeatureError),
    /// The work was stopped.
    #[error(transparent)]
    Stopped(#[from] Stopped),
}
