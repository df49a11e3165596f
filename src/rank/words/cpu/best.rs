/*!
The best codes found so far for one query.
*/

use super::super::query::ScoredNeighbour;

/// Returns a number that is the greater the better the code: score, then id.
#[inline(always)]
pub fn key(score: i32, id: u32) -> u64 {
    u64::from(score as u32 ^ 1 << 31) << 32 | u64::from(!id)
}

/// Returns the code of a key.
pub fn neighbour(key: u64) -> ScoredNeighbour {
    ScoredNeighbour { score: ((key >> 32) as u32 ^ 1 << 31) as i32, id: !(key as u32) }
}

/// The up to k best codes of a query.
#[derive(Debug)]
pub struct Best {
    k: usize,
    /// Only codes with greater keys can still enter the top k.
    bar: u64,
    /// The best codes, and some outdated ones.
    keys: Vec<u64>,
    /// Length of `keys` at which outdated codes are dropped.
    room: usize,
}

impl Best {
    /// Collects the `k` best codes; `k` is at least 1.
    pub fn new(k: usize) -> Self {
        // A fraction of k more, so that dropping the outdated has constant amortised cost per code.
        let room = k.saturating_add((k / 2).max(32));
        Self { k, bar: 0, keys: Vec::with_capacity(room.min(1 << 14)), room }
    }

    /// Codes with smaller keys cannot enter the top k.
    pub fn bar(&self) -> u64 {
        self.bar
    }

    /// Takes over a bar that another core found.
    pub fn heed(&mut self, bar: u64) {
        self.bar = self.bar.max(bar);
    }

    /// Adds a code if it can enter the top k. Returns whether the bar has risen.
    #[inline(always)]
    pub fn offer(&mut self, key: u64) -> bool {
        if key <= self.bar {
            return false;
        }
        self.keys.push(key);
        self.keys.len() == self.room && self.drop_outdated()
    }

    #[cold]
    fn drop_outdated(&mut self) -> bool {
        let (_, last, _) = self.keys.select_nth_unstable_by(self.k - 1, |a, b| b.cmp(a));
        self.bar = self.bar.max(*last);
        self.keys.truncate(self.k);
        true
    }

    /// The keys of the kept codes, in no order: the best of those offered, up to k, and outdated
    /// ones.
    pub fn keys(&self) -> &[u64] {
        &self.keys
    }
}
