/*!
Memory layout of word codes for the CPU kernels.

Codes are stored in blocks of 64. A block holds byte 0 of its 64 codes, then byte 1 of all 64,
and so on: two word indices in a byte, as in the packed codes. If the lengths of the codes differ,
one more byte holds the length in levels, rounded down. Its two halves are word indices like the
others, with tables in which the lower one counts levels and the upper one sixteens of levels.
*/

use std::sync::Arc;

use rayon::prelude::*;

use crate::code::BinaryCodes;
use crate::rank::split::Split;

/// Codes in a block.
pub const BLOCK: usize = 64;
/// Lengths that are looked at to choose the size of a level.
const SAMPLE: usize = 1 << 12;

/// One byte of each of 64 codes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(C, align(64))]
pub struct Row(pub [u8; BLOCK]);

/// Codes in blocks of 64, and their lengths. The last block is padded with zero codes.
#[derive(Debug)]
pub struct Blocks {
    rows: Vec<Row>,
    /// Bytes per code.
    bytes: usize,
    len: usize,
    first: usize,
    /// The lengths of all codes of the database.
    lengths: Arc<[i32]>,
    /// The least length of these codes.
    least: i32,
    /// Size of a level of length; 0 if all lengths are equal, which need no levels.
    level: u32,
}

impl Blocks {
    /// Rearranges the codes from `first` on. There must be a length for every code of the
    /// database.
    pub fn from(codes: &BinaryCodes, lengths: Arc<[i32]>, first: usize) -> Self {
        let (bytes, len) = (codes.bits().div_ceil(8), codes.len().saturating_sub(first));
        let own = &lengths[codes.len() - len..];
        let least = own.par_iter().copied().min().unwrap_or(0);
        let level = level(own, least);
        let rows = bytes + usize::from(level > 0);
        let mut all = vec![Row([0; BLOCK]); len.div_ceil(BLOCK) * rows];
        let words = codes.row_words();
        let packed = &codes.words()[(codes.len() - len) * words..];
        let blocks = all.par_chunks_exact_mut(rows).zip(packed.par_chunks(BLOCK * words));
        blocks.zip(own.par_chunks(BLOCK)).for_each(|((block, packed), lengths)| {
            let (block, levels) = block.split_at_mut(bytes);
            for (i, code) in packed.chunks_exact(words).enumerate() {
                let code = code.iter().flat_map(|word| word.to_le_bytes());
                block.iter_mut().zip(code).for_each(|(row, byte)| row.0[i] = byte);
            }
            for row in levels {
                for (byte, length) in row.0.iter_mut().zip(lengths) {
                    *byte = (length.abs_diff(least) / level).min(255) as u8;
                }
            }
        });
        Self { rows: all, bytes, len, first, lengths, least, level }
    }

    /// All rows, [`Blocks::height`] per block.
    pub fn rows(&self) -> &[Row] {
        &self.rows
    }

    /// Rows per block: [`Blocks::bytes`], and one if there are levels.
    pub fn height(&self) -> usize {
        self.bytes + usize::from(self.level > 0)
    }

    /// Bytes per code.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Number of codes.
    pub fn len(&self) -> usize {
        self.len
    }

    /// The lengths of the codes.
    pub fn lengths(&self) -> &[i32] {
        &self.lengths[self.first.min(self.lengths.len())..]
    }

    /// The least length.
    pub fn least(&self) -> i32 {
        self.least
    }

    /// Returns a lower bound on the length of code `i` of a block.
    #[inline(always)]
    pub fn least_length(&self, block: usize, i: usize) -> i32 {
        match self.level {
            0 => self.least,
            level => {
                let levels = self.rows[block * self.height() + self.bytes].0[i];
                self.least.saturating_add_unsigned(level * u32::from(levels))
            }
        }
    }

    /// Size of a level of length; 0 if there are no levels.
    pub fn level(&self) -> u32 {
        self.level
    }

    /// Returns the distribution of the codes to the cores.
    pub fn split(&self) -> Split {
        Split::new(self.len, BLOCK, self.height() * size_of::<Row>())
    }
}

/// Returns the size of a level, so that 255 levels reach from the least length to nearly all
/// others. 0 if all lengths are equal.
fn level(lengths: &[i32], least: i32) -> u32 {
    if lengths.par_iter().all(|length| *length == least) {
        return 0;
    }
    let apart = (lengths.len() / SAMPLE).max(1);
    let mut above: Vec<u32> =
        lengths.iter().step_by(apart).map(|length| length.abs_diff(least)).collect();
    // A few long codes would make the levels of all others coarse.
    let rank = (above.len() - 1) * 99 / 100;
    let (_, most, _) = above.select_nth_unstable(rank);
    most.div_ceil(255).max(1)
}
