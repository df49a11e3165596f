/*!
Exact ranking of word codes: codes that consist of word indices of 4 bits.

A query gives every word of every codebook a number. The score of a code is the sum of the
numbers of its words minus the length of the code, in integers, so it is the same on every
device. Hits are ordered by score, the greatest first, then by id. Codes made of words of
codebooks, as by additive quantization, are compared by such sums.
*/

mod cpu;
mod gpu;
mod query;
mod ranker;

pub use query::{ScoredNeighbour, WordTable};
pub use ranker::WordRanker;
