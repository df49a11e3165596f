/*!
The nearest codes that one query has met so far.

No heap: distances are small whole numbers, so codes are counted by distance, and the
counts say at once how near a code has to be to matter. That limit only ever falls.
*/

use std::sync::atomic::{AtomicU32, Ordering};

use super::super::Hit;
use super::super::lanes::BLOCK;

/// The up to k nearest codes of a query among codes offered in the order of their ids.
#[derive(Debug)]
pub struct Nearest {
    /// Only codes nearer than this still matter.
    limit: u32,
    /// How many of those kept are nearer than `limit`: fewer than k.
    within: usize,
    k: usize,
    /// How many codes at each distance were kept.
    counts: Vec<u32>,
    /// Distance and id of what was kept, in the order of ids: everything nearer than
    /// `limit`, enough at `limit`, and what mattered earlier.
    kept: Vec<u64>,
    room: usize,
}

impl Nearest {
    /// For the `k` nearest, at least 1, at distances below `limit`.
    pub fn new(k: usize, limit: u32) -> Self {
        // Several times k, so that tidying up costs a constant per code.
        let room = k.saturating_mul(4).max(256);
        let counts = vec![0; limit as usize];
        Self { limit, within: 0, k, counts, kept: Vec::with_capacity(room.min(1 << 16)), room }
    }

    /// Codes at this distance or more no longer matter.
    #[inline(always)]
    pub fn limit(&self) -> u64 {
        u64::from(self.limit)
    }

    /// Takes note that `known` holds a distance up to which k codes were found, elsewhere
    /// too: what is farther does not matter.
    pub fn heed(&mut self, known: &AtomicU32) {
        let limit = known.load(Ordering::Relaxed).saturating_add(1);
        while self.limit > limit {
            self.limit -= 1;
            self.within -= self.counts[self.limit as usize] as usize;
        }
    }

    /// Tells the others up to which distance k codes were found here.
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

    /// Drops what no longer matters; what stays is at most k.
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

    /// What was kept, in the order of ids; not all of it need matter.
    pub fn kept(&self) -> impl Iterator<Item = Hit> + Clone + '_ {
        self.kept.iter().map(|entry| Hit { distance: (entry >> 32) as u32, id: *entry as u32 })
    }
}
