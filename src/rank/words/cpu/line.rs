/*!
The exact scores of the codes that pass the sieve of a query.
*/

use super::best::{Best, key};
use super::blocks::{BLOCK, Blocks};
use super::sieve::{Query, Sieve};

/// Codes that wait for their lengths.
const WAITING: usize = 16;

/// A query, and what one core has found for it.
#[derive(Debug)]
pub struct Line<'a> {
    pub query: &'a Query,
    pub sieve: Sieve,
    pub best: Best,
    /// Sums without lengths and ids of codes whose lengths were asked for: those are rarely in
    /// the cache, and on their way while the next codes are read.
    waiting: Vec<(i32, u32)>,
}

impl<'a> Line<'a> {
    /// Collects the `k` best codes for a query; `k` is at least 1.
    pub fn new(query: &'a Query, k: usize) -> Self {
        let waiting = Vec::with_capacity(WAITING);
        Self { query, sieve: Sieve::new(query), best: Best::new(k), waiting }
    }

    /// Scores the codes of a block whose bits in `mask` are set, and keeps the best. Those are
    /// complete after [`Line::settle`].
    pub fn score(&mut self, codes: &Blocks, block: usize, mut mask: u64) {
        let rows = &codes.rows()[block * codes.height()..][..codes.bytes()];
        let first = block * BLOCK;
        let mut risen = false;
        while mask != 0 {
            let i = mask.trailing_zeros() as usize;
            mask &= mask - 1;
            let id = (first + i) as u32;
            let sum = self.query.sum(rows, i);
            let most = key(sum - codes.least_length(block, i), id);
            if codes.level() == 0 {
                risen |= self.best.offer(most);
            } else if most > self.best.bar() {
                ask_for(&codes.lengths()[first + i]);
                self.waiting.push((sum, id));
                if self.waiting.len() == WAITING {
                    risen |= self.take_waiting(codes);
                }
            }
        }
        if risen {
            self.sieve.narrow(self.query, self.best.bar(), first as u32);
        }
    }

    /// Scores the codes that still wait for their lengths.
    pub fn settle(&mut self, codes: &Blocks) {
        self.take_waiting(codes);
    }

    /// Returns whether the bar has risen.
    fn take_waiting(&mut self, codes: &Blocks) -> bool {
        let mut risen = false;
        for (sum, id) in self.waiting.drain(..) {
            risen |= self.best.offer(key(sum - codes.lengths()[id as usize], id));
        }
        risen
    }
}

/// Prefetches a length.
fn ask_for(length: &i32) {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: every x86-64 processor has the instruction, and a prefetch never faults.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(std::ptr::from_ref(length).cast()) };
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = length;
}
