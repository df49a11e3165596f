/*!
Memory layout of the codes for the CPU kernels.

Codes are stored in blocks of eight. A block holds word 0 of its eight codes, then word 1
of all eight, and so on. A vector register thus loads the same word of eight codes, and
their distances to a query accumulate lane by lane, without shuffles across lanes.
*/

use rayon::prelude::*;

use super::split::Split;
use crate::code::BinaryCodes;

/// Codes in a block.
pub const BLOCK: usize = 8;

/// One word of each of eight codes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(C, align(64))]
pub struct Lane(pub [u64; BLOCK]);

/// Codes in blocks of eight. The last block is padded with zero codes.
#[derive(Debug)]
pub struct Lanes {
    lanes: Vec<Lane>,
    words: usize,
    len: usize,
}

impl Lanes {
    /// Rearranges codes into blocks.
    pub fn new(codes: &BinaryCodes) -> Self {
        Self::from(codes, 0)
    }

    /// Rearranges the codes from `first` on into blocks.
    pub fn from(codes: &BinaryCodes, first: usize) -> Self {
        let (words, len) = (codes.row_words(), codes.len().saturating_sub(first));
        let mut lanes = vec![Lane([0; BLOCK]); len.div_ceil(BLOCK) * words];
        let blocks = lanes.par_chunks_exact_mut(words);
        let rows = &codes.words()[(codes.len() - len) * words..];
        blocks.zip(rows.par_chunks(BLOCK * words)).for_each(|(block, rows)| {
            for (i, row) in rows.chunks_exact(words).enumerate() {
                for (lane, word) in block.iter_mut().zip(row) {
                    lane.0[i] = *word;
                }
            }
        });
        Self { lanes, words, len }
    }

    /// All lanes, [`Lanes::words`] per block.
    pub fn lanes(&self) -> &[Lane] {
        &self.lanes
    }

    /// Returns the words of code `i`, or `None` if there is no such code.
    pub fn row(&self, i: usize) -> Option<Vec<u64>> {
        let block = i / BLOCK * self.words;
        let block = (i < self.len).then(|| &self.lanes[block..block + self.words])?;
        Some(block.iter().map(|lane| lane.0[i % BLOCK]).collect())
    }

    /// 64-bit words per code.
    pub fn words(&self) -> usize {
        self.words
    }

    /// Number of codes.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Returns the distribution of the codes to the cores.
    pub fn split(&self) -> Split {
        Split::new(self.len, BLOCK, self.words * size_of::<Lane>())
    }
}
