/*!
The nearest codes found so far for one query.

No heap is needed. Distances are small integers, so codes are counted per distance, and the
counts give the largest distance that can still enter the top k. This limit only decreases.
*/

use std::sync::atomic::{AtomicU32, Ordering};

use super::super::Neighbour;
use super::super::lanes::BLOCK;

/// The up to k nearest codes of a query. Codes must be offered in the order of their ids.
#[derive(Debug)]
pub struct Nearest {
    /// Only codes nearer than this can still enter the top k.
    limit: u32,
    /// Number of kept codes nearer than `limit`; always less than k.
    within: usize,
    k: usize,
    /// Number of codes kept at each distance.
    counts: Vec<u32>,
    /// Distance (upper half) and id of the kept codes, in the order of ids: all codes nearer
    /// than `limit`, enough codes at `limit`, and outdated ones.
    kept: Vec<u64>,
    /// Length of `kept` at which outdated codes are dropped.
    room: usize,
}

impl Nearest {
    /// Collects the `k` nearest codes (`k` at least 1) at distances below `limit`.
    pub fn new(k: usize, limit: u32) -> Self {
        // Several times k, so that `tidy` has constant amortised cost per code.
        let room = k.saturating_mul(4).max(256);
        let counts = vec![0; limit as usize];
        Self { limit, within: 0, k, counts, kept: Vec::with_capacity(room.min(1 << 16)), room }
    }

    /// Codes at this distance or beyond cannot enter the top k.
    #[inline(always)]
    pub fn limit(&self) -> u64 {
        u64::from(self.limit)
    }

    /// Lowers the limit to the distance in `known`, within which some core has found k codes.
    pub fn heed(&mut self, known: &AtomicU32) {
        let limit = known.load(Ordering::Relaxed).saturating_add(1);
        while self.limit > limit {
            self.limit -= 1;
            self.within -= self.counts[self.limit as usize] as usize;
        }
    }

    /// Publishes the distance within which this core has found k codes.
    pub fn tell(&self, known: &AtomicU32) {
        if self.kept.len() >= self.k {
            known.fetch_min(self.limit, Ordering::Relaxed);
        }
    }

    /// Offers the codes of a block whose bit in `mask` is set.
    #[inline]
    pub fn offer(&mut self, distances: &[u64; BLOCK], mut mask: u8, first_id: u32) {
        while mask != 0 {
            let lane = mask.trailing_zeros();
            mask &= mask - 1;
            let distance = distances[lane as usize] as u32;
            if distance < self.limit {
                self.keep(distance, first_id + lane);
            }
        }
    }

    fn keep(&mut self, distance: u32, id: u32) {
        if self.kept.len() == self.room {
            self.tidy();
        }
        self.kept.push(u64::from(distance) << 32 | u64::from(id));
        self.counts[distance as usize] += 1;
        self.within += 1;
        while self.within >= self.k {
            self.limit -= 1;
            self.within -= self.counts[self.limit as usize] as usize;
        }
    }

    /// Drops outdated codes; at most k remain.
    #[cold]
    fn tidy(&mut self) {
        let limit = self.limit;
        let mut at_limit = self.k - self.within;
        self.kept.retain(|entry| {
            let distance = (entry >> 32) as u32;
            let stays = distance < limit || (distance == limit && at_limit > 0);
            at_limit -= usize::from(stays && distance == limit);
            stays
        });
    }

    /// The kept codes in the order of ids, possibly including outdated ones.
    pub fn kept(&self) -> impl Iterator<Item = Neighbour> + Clone + '_ {
        self.kept
            .iter()
            .map(|entry| Neighbour { distance: (entry >> 32) as u32, id: *entry as u32 })
    }
}
