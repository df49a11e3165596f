/*!
Why a ranking could not be measured.
*/

use crate::code::CodeError;
use crate::hash::FeatureError;
use crate::task::Stopped;

/// Why a ranking could not be evaluated.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EvalError {
    /// There are no queries, or the database is empty.
    #[error("there is nothing to evaluate: no {0} images were given")]
    Empty(&'static str),
    /// Some images lack their labels, or the other way round.
    #[error(
        "{images} {side} images came with the labels of {labels} images; each image needs its own list"
    )]
    Labels {
        /// "query" or "database".
        side: &'static str,
        /// How many images there are.
        images: usize,
        /// For how many images labels were given.
        labels: usize,
    },
    /// No query shares a label with any database image, so no mean exists.
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
