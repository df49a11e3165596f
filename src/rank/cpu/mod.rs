/*!
Ranking on the CPU. The database is split over the cores, so a single query uses them all,
and a batch of queries shares every block of codes that is loaded.

Each core claims chunks of the codes dynamically and processes them tile by tile, each tile
with all queries of the batch. Codes are thus loaded from memory once per batch and from
the L1 cache afterwards. The instruction set is selected at run time.
*/
// Vector intrinsics: each block states why it is sound, and every instruction set is tested
// against a plain sort.
#![allow(unsafe_code)]

pub mod ceiling;
mod kernel;
mod nearest;
mod portable;
mod search;

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
#[cfg(target_arch = "aarch64")]
mod neon;

pub use search::{Path, search};
