/*!
Exact ranking: of binary codes by Hamming distance, and of word codes by tables of scores.

Every implementation returns the same result: the `k` nearest codes, sorted by
(distance, id), or the `k` best, sorted by (score, id). A code's id is its position in the
database. This module does not depend on images or files.
*/

mod cpu;
mod error;
mod gpu;
mod id_set;
mod instruction_set;
mod lanes;
mod multi_index;
mod query;
mod ranker;
mod split;
mod words;

pub use error::RankError;
pub use gpu::GpuLimits;
#[doc(hidden)]
pub use gpu::kernels;
pub use id_set::IdSet;
pub use query::{Neighbour, Search};
pub use ranker::Ranker;
pub use words::{ScoredNeighbour, WordRanker, WordTable};
