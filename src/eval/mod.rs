/*!
Retrieval quality: metrics of the ranking of a database for a set of queries.

The input is codes or features with labels. A database image is relevant to a query if the two
share at least one label.
*/

mod error;
mod evaluate;
pub mod metrics;
pub mod pointing;
mod report;

pub use error::EvalError;
pub use evaluate::{evaluate, evaluate_by, evaluate_scores};
pub use report::{CurvePoint, Metrics, RECALL_DEPTHS, RecallAt};
