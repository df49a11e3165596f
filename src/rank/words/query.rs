/*!
The table of a query, and a hit.
*/

use std::cmp::Ordering;

use super::super::RankError;

/// Words per codebook, and entries per row of a table.
pub const WORDS: usize = 16;
/// Maximum number of word indices per code.
const MOST: usize = 256;

/// One search result. Neighbours are ordered by score, the greatest first, then by id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ScoredNeighbour {
    /// The sum of the table's entries for the code's words, minus the code's length.
    pub score: i32,
    /// The code's position in the database.
    pub id: u32,
}

impl Ord for ScoredNeighbour {
    fn cmp(&self, other: &Self) -> Ordering {
        other.score.cmp(&self.score).then(self.id.cmp(&other.id))
    }
}

impl PartialOrd for ScoredNeighbour {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// A query: one number for each of the 16 words of each codebook.
///
/// ```
/// use barbule::rank::WordTable;
///
/// // A codebook whose words are worth their numbers.
/// let table = WordTable::new((0..16).collect())?;
/// assert_eq!(table.words(), 1);
/// assert!(WordTable::new(vec![0; 17]).is_err());
/// # Ok::<(), barbule::RankError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WordTable {
    /// `[codebooks, 16]`.
    entries: Vec<i32>,
}

impl WordTable {
    /// Creates a table from its entries, `[codebooks, 16]` in row order.
    ///
    /// # Errors
    /// If there are not 1 to 256 whole rows, or an entry is outside ±[`WordTable::most`], beyond
    /// which a score could overflow.
    pub fn new(entries: Vec<i32>) -> Result<Self, RankError> {
        let words = entries.len() / WORDS;
        if !entries.len().is_multiple_of(WORDS) || !(1..=MOST).contains(&words) {
            return Err(RankError::Table { entries: entries.len() });
        }
        check(words, &entries)?;
        Ok(Self { entries })
    }

    /// The greatest absolute value of an entry of a table for `words` codebooks, and of the
    /// length of a code: 2³⁰/(`words` + 1), rounded down.
    pub fn most(words: usize) -> i32 {
        (1 << 30) / (words.min(MOST) as i32 + 1)
    }

    /// Number of codebooks.
    pub fn words(&self) -> usize {
        self.entries.len() / WORDS
    }

    /// The entries, `[codebooks, 16]`.
    pub fn entries(&self) -> &[i32] {
        &self.entries
    }

    /// Returns the greatest sum of one entry per row.
    pub(super) fn greatest(&self) -> i32 {
        self.rows().map(greatest).sum()
    }

    /// Returns the greatest sum of one deficit per row.
    pub(super) fn range(&self) -> u32 {
        let range = |row| greatest(row).abs_diff(least(row));
        self.rows().map(range).sum()
    }

    /// Returns by how much each entry falls short of the greatest one of its row, `[codebooks,
    /// 16]`.
    pub(super) fn deficits(&self) -> impl Iterator<Item = u32> + '_ {
        self.rows().flat_map(|row| {
            let greatest = greatest(row);
            row.iter().map(move |entry| greatest.abs_diff(*entry))
        })
    }

    fn rows(&self) -> impl Iterator<Item = &[i32; WORDS]> {
        self.entries.as_chunks().0.iter()
    }
}

fn greatest(row: &[i32; WORDS]) -> i32 {
    row.iter().fold(i32::MIN, |most, entry| most.max(*entry))
}

fn least(row: &[i32; WORDS]) -> i32 {
    row.iter().fold(i32::MAX, |least, entry| least.min(*entry))
}

/// # Errors
/// If a value is outside ±[`WordTable::most`].
pub(super) fn check(words: usize, values: &[i32]) -> Result<(), RankError> {
    let most = WordTable::most(words);
    match values.iter().find(|value| value.unsigned_abs() > most.unsigned_abs()) {
        Some(&value) => Err(RankError::Large { value, words, most }),
        None => Ok(()),
    }
}
