/*!
Ranking of word codes on the CPU, by sums of bytes that bound the scores.

The first pass does not compute scores. A query's table becomes a table of bytes, and one
instruction looks up the bytes of 16 to 64 codes (after André, Kermarrec and Le Scouarnec, "Cache
locality is not enough: high-performance nearest neighbor search with product quantization fast
scan", VLDB 2015). A byte says by how much an entry falls short of the greatest one of its row,
rounded down, in units in which the deficit of the k-th best code found so far is just below 255.
So the sum of a code's bytes, with saturation, is small if the code can enter the top k, for
certain, and all bits of a byte serve to tell codes near that limit apart. The rare codes that
pass are scored exactly. The tables are made again while the limit falls.
*/
// Vector intrinsics: each block states why it is sound, and every instruction set is tested
// against a plain sort.
#![allow(unsafe_code)]

mod best;
mod blocks;
mod kernel;
mod line;
mod portable;
mod search;
mod sieve;

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
#[cfg(target_arch = "aarch64")]
mod neon;

pub use blocks::Blocks;
pub use search::{Path, search};
