/*!
The tables of bytes that decide which codes are scored.
*/

use super::super::query::{WORDS, WordTable};
use super::best::neighbour;
use super::blocks::{Blocks, Row};

/// The greatest limit for sums of 8 bits; 255 is saturated.
const FULL: u16 = 254;
/// From this number of rows on, sums have 16 bits. The more bytes are added, the more rounding
/// them down makes of a difference.
const WIDE: usize = 10;
/// Rows whose bytes are added, with saturation, before they are added to a sum of 16 bits.
pub const GROUP: usize = 4;
/// The part of a limit of 16 bits that a group of rows has on average, at most. The rest up to
/// 255 is room for codes with most of their deficit in one group.
const SHARE: f32 = 160.0;

/// Returns whether the sums of bytes of these codes have 16 bits, or 8.
pub fn wide(codes: &Blocks) -> bool {
    codes.height() >= WIDE
}

/// A query, laid out like the rows of a block: for each row a table of the lower and one of the
/// upper halves of its bytes.
#[derive(Debug)]
pub struct Query {
    /// The entries, `[bytes, 2, 16]`, zero where a code has no word.
    entries: Vec<[i32; 2 * WORDS]>,
    /// The deficits of the entries, and of the levels of length, `[rows, 2, 16]`.
    deficits: Vec<f32>,
    /// The greatest possible score.
    greatest: i64,
    /// The greatest possible sum of deficits.
    range: u64,
    /// The limit of sums of bytes for which tables are made.
    full: u16,
}

impl Query {
    pub fn new(table: &WordTable, blocks: &Blocks) -> Self {
        let mut entries = table.entries().to_vec();
        entries.resize(blocks.bytes() * 2 * WORDS, 0);
        let mut deficits: Vec<u32> = table.deficits().collect();
        deficits.resize(entries.len(), 0);
        if blocks.level() > 0 {
            let levels = (0..WORDS as u32).map(|level| level * blocks.level());
            deficits.extend(levels.clone());
            deficits.extend(levels.map(|level| level * WORDS as u32));
        }
        let most = |row: &[u32]| u64::from(row.iter().fold(0, |most, value| *value.max(&most)));
        let range = deficits.chunks(WORDS).map(most).sum();
        let deficits: Vec<f32> = deficits.iter().map(|deficit| *deficit as f32).collect();
        let full = if wide(blocks) { full(&deficits) } else { FULL };
        Self {
            entries: entries.as_chunks().0.to_vec(),
            range,
            full,
            deficits,
            greatest: i64::from(table.greatest()) - i64::from(blocks.least()),
        }
    }

    /// Returns the score of code `i` of a block, without its length.
    #[inline(always)]
    pub fn sum(&self, block: &[Row], i: usize) -> i32 {
        let sum = |sum: i32, (row, entries): (&Row, &[i32; 2 * WORDS])| {
            let byte = usize::from(row.0[i % row.0.len()]);
            sum + entries[byte % WORDS] + entries[WORDS + byte / WORDS]
        };
        block.iter().zip(&self.entries).fold(0, sum)
    }
}

/// Returns the greatest limit at which no group of rows exceeds [`SHARE`] for an average code.
fn full(deficits: &[f32]) -> u16 {
    let groups = deficits.chunks(GROUP * 2 * WORDS).map(|group| group.iter().sum::<f32>());
    let (most, all) = groups.fold((0f32, 0f32), |(most, all), sum| (most.max(sum), all + sum));
    // Without any deficits, every limit will do.
    if most > 0.0 { (all / most * SHARE).clamp(f32::from(FULL), 32_000.0) as u16 } else { FULL }
}

/// The tables of bytes of a query. A code whose bytes sum up to more than the limit is not among
/// the k best.
#[derive(Debug)]
pub struct Sieve {
    /// `[rows, 2, 16]`.
    tables: Vec<u8>,
    limit: u16,
    /// The deficit for which the tables are made: that of a sum of `Query::full`.
    range: u64,
    /// The bar that the limit stands for.
    bar: u64,
}

impl Sieve {
    /// Returns a sieve that lets all codes pass.
    pub fn new(query: &Query) -> Self {
        let tables = vec![0; query.deficits.len()];
        let mut sieve = Self { tables, limit: query.full, range: query.range.max(1), bar: 0 };
        sieve.fill(query);
        sieve
    }

    /// Lets only those codes pass whose key can be above `bar`, of those with ids of at least
    /// `first_id`.
    #[inline(always)]
    pub fn narrow(&mut self, query: &Query, bar: u64, first_id: u32) {
        if bar != self.bar {
            self.narrow_to(query, bar, first_id);
        }
    }

    #[inline(never)]
    fn narrow_to(&mut self, query: &Query, bar: u64, first_id: u32) {
        let last = neighbour(bar);
        // Codes with the same score and greater ids come after it.
        let score = i64::from(last.score) + i64::from(first_id >= last.id);
        // Codes with smaller ids are still to be expected otherwise, so look again.
        if first_id >= last.id {
            self.bar = bar;
        }
        let Ok(range) = u64::try_from(query.greatest - score) else {
            // No code can be above the bar.
            self.tables.fill(u8::MAX);
            (self.limit, self.range) = (0, 1);
            return;
        };
        if range < self.range {
            // A lower limit is less precise than tables for it.
            if range < self.range / 8 * 7 || range == 0 {
                self.range = range.max(1);
                self.fill(query);
            }
            self.limit = (range * u64::from(query.full) / self.range) as u16;
        }
    }

    fn fill(&mut self, query: &Query) {
        // Just below the exact quotient, so that rounding to single precision (the deficit, the
        // scale, and the product) never makes a byte greater than it may be.
        let slack = 1.0 - f64::from(f32::EPSILON) * 8.0;
        let scale = (f64::from(query.full) / self.range as f64 * slack) as f32;
        for (byte, deficit) in self.tables.iter_mut().zip(&query.deficits) {
            *byte = (deficit * scale).min(255.0) as u8;
        }
    }

    pub fn tables(&self) -> &[u8] {
        &self.tables
    }

    pub fn limit(&self) -> u16 {
        self.limit
    }
}
