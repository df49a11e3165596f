/*!
Multi-index hashing: sub-linear exact search in clustered codes.

A code is split into m chunks, and each chunk has a table from chunk values to codes. Two
codes at distance r have a chunk in which they differ in at most ⌊r/m⌋ bits (Norouzi,
Punjani and Fleet, "Fast search in Hamming space with multi-index hashing", CVPR 2012).
Near codes are therefore found by looking up the values near the query's chunks.

Learned codes cluster, so a search visits only a small share of them. Random codes of 48
bits have no near neighbours, and a linear scan is faster. The tables contain the number of
codes per value, so the faster alternative is known before any code is read.
*/

use std::hint::black_box;
use std::time::Instant;

use rayon::prelude::*;

use super::cpu;
use super::lanes::{BLOCK, Lanes};
use super::query::{Neighbour, Want};
use crate::code::BinaryCodes;

/// Maximum bits per chunk.
const CHUNK: u32 = 16;
/// Below this number of codes a linear scan is always faster.
const LEAST: usize = 1 << 20;
/// Trial queries that decide whether the tables are kept.
const TRIALS: usize = 64;
/// The `k` of each trial query.
const TRIED: usize = 10;

/// Nanoseconds to sort the hits, per visited code. Sorting takes about 25 ns per hit, and four
/// in ten visited codes were hits among 10 million learned codes of 48 bits with noise.
const ORDER: f64 = 10.0;

/// The codes grouped by the value of one chunk.
#[derive(Debug)]
struct Table {
    shift: u32,
    bits: u32,
    /// Start of each value's codes in `codes` and `ids`, and the end of the last.
    starts: Vec<u32>,
    codes: Vec<u64>,
    ids: Vec<u32>,
}

/// A table for each chunk, and the measured costs on this machine in nanoseconds.
#[derive(Debug)]
pub struct MultiIndex {
    tables: Vec<Table>,
    per_lookup: f64,
    per_code: f64,
    /// A linear scan for a single query.
    linear: f64,
    /// A linear scan, per query of a batch on all cores.
    linear_of_batch: f64,
}

impl Table {
    fn new(lanes: &Lanes, shift: u32, bits: u32) -> Self {
        let key = |code: u64| (code >> shift) as usize & ((1 << bits) - 1);
        let mut starts = vec![0u32; (1 << bits) + 1];
        let all = || lanes.lanes().iter().flat_map(|lane| lane.0).take(lanes.len());
        all().for_each(|code| starts[key(code) + 1] += 1);
        for value in 0..1 << bits {
            starts[value + 1] += starts[value];
        }
        let mut next = starts.clone();
        let (mut codes, mut ids) = (vec![0; lanes.len()], vec![0; lanes.len()]);
        for (id, code) in (0..).zip(all()) {
            let place = &mut next[key(code)];
            codes[*place as usize] = code;
            ids[*place as usize] = id;
            *place += 1;
        }
        Self { shift, bits, starts, codes, ids }
    }

    /// Extracts this table's chunk of a query.
    fn key(&self, query: u64) -> u64 {
        query >> self.shift & ((1 << self.bits) - 1)
    }

    fn range(&self, key: u64) -> std::ops::Range<usize> {
        self.starts[key as usize] as usize..self.starts[key as usize + 1] as usize
    }
}

/// Returns all numbers of `bits` bits with exactly `set` bits set, ascending.
fn patterns(bits: u32, set: u32) -> impl Iterator<Item = u64> {
    let first = (set <= bits).then(|| (1u64 << set) - 1);
    std::iter::successors(first, move |pattern| {
        if *pattern == 0 {
            return None;
        }
        // Gosper's hack: the next greater number with the same number of set bits.
        let lowest = pattern & pattern.wrapping_neg();
        let ripple = pattern + lowest;
        let next = (((pattern ^ ripple) / lowest) >> 2) | ripple;
        (next < 1 << bits).then_some(next)
    })
}

impl MultiIndex {
    /// Returns whether tables may pay off for `len` codes of `bits` bits.
    pub fn may_pay(bits: usize, len: usize) -> bool {
        (8..=64).contains(&bits) && len >= LEAST
    }

    /// Builds the tables and tries them with stored codes as queries. `None` if a linear
    /// scan is faster for at least half of these.
    pub fn new(lanes: &Lanes, bits: usize) -> Option<Self> {
        let mut buckets = Self::build(lanes, bits);
        buckets.measure(lanes, bits);
        let queries = sample(lanes);
        let want = Want { k: TRIED.min(lanes.len()), radius: bits as u32, allowed: None };
        let quicker =
            queries.iter().filter(|query| buckets.search(**query, &want, false).is_some());
        (quicker.count() * 2 > queries.len()).then_some(buckets)
    }

    fn build(lanes: &Lanes, bits: usize) -> Self {
        let bits = bits as u32;
        let chunks = bits.div_ceil(CHUNK);
        let starts: Vec<u32> = (0..=chunks).map(|chunk| bits * chunk / chunks).collect();
        let table = |edge: &[u32]| Table::new(lanes, edge[0], edge[1] - edge[0]);
        let tables = starts.par_windows(2).map(table).collect();
        let free = f64::INFINITY;
        Self { tables, per_lookup: 0.0, per_code: 0.0, linear: free, linear_of_batch: free }
    }

    /// Measures the time per lookup, per code and per linear scan.
    fn measure(&mut self, lanes: &Lanes, bits: usize) {
        let queries = sample(lanes);
        let want = Want { k: TRIED.min(lanes.len()), radius: bits as u32, allowed: None };
        let time = |work: &mut dyn FnMut()| {
            let run = |_| {
                let begun = Instant::now();
                work();
                begun.elapsed().as_secs_f64() * 1e9
            };
            (0..3).map(run).fold(f64::INFINITY, f64::min)
        };
        let of = |count: usize| BinaryCodes::from_words(bits, queries[..count].to_vec());
        let Ok((one, many)) = of(1).and_then(|one| Ok((one, of(queries.len())?))) else { return };
        let path = cpu::Path::best();
        self.linear = time(&mut || drop(black_box(cpu::search(path, lanes, &one, &want))));
        self.linear_of_batch =
            time(&mut || drop(black_box(cpu::search(path, lanes, &many, &want))))
                / queries.len() as f64;
        let table = &self.tables[0];
        let values = 1u64 << table.bits;
        self.per_lookup = time(&mut || {
            let keys = (0..4096u64).map(|i| i.wrapping_mul(0x9e37_79b9_7f4a_7c15) % values);
            black_box(keys.map(|key| table.range(key).len()).sum::<usize>());
        }) / 4096.0;
        let some = &table.codes[..table.codes.len().min(1 << 18)];
        self.per_code = time(&mut || {
            let steps = some.iter().map(|code| self.step(code ^ queries[0]));
            black_box(steps.sum::<u32>());
        }) / some.len() as f64;
    }

    /// Returns the search step that first visits a code, given its xor with the query.
    ///
    /// Step s visits the codes that differ from the query in ⌊s/m⌋ bits of chunk s mod m.
    #[inline]
    fn step(&self, differing: u64) -> u32 {
        let chunks = self.tables.len() as u32;
        let steps = self.tables.iter().zip(0..);
        let step =
            |(table, chunk): (&Table, u32)| table.key(differing).count_ones() * chunks + chunk;
        steps.map(step).min().unwrap_or(0)
    }

    /// Searches for one query. `None` if a linear scan is faster.
    pub fn search(&self, query: u64, want: &Want<'_>, of_batch: bool) -> Option<Vec<Neighbour>> {
        let chunks = self.tables.len() as u32;
        let mut left = if of_batch {
            // Here each core takes one query of the batch; in a scan all cores share each query.
            self.linear_of_batch * rayon::current_num_threads() as f64
        } else {
            self.linear
        };
        let mut counts = vec![0usize; want.radius as usize + 1];
        let mut found: Vec<Neighbour> = Vec::new();
        // After step s all codes up to distance s are found.
        for step in 0..=want.radius {
            let (table, set) = (&self.tables[(step % chunks) as usize], step / chunks);
            let keys = || patterns(table.bits, set).map(|pattern| pattern ^ table.key(query));
            // The time budget `left` runs out long before the number of patterns gets too large.
            for key in keys() {
                let codes = table.range(key).len();
                let order = codes.min(want.k) as f64 * ORDER;
                left -= self.per_lookup + codes as f64 * self.per_code + order;
                if left < 0.0 {
                    return None;
                }
            }
            for range in keys().map(|key| table.range(key)) {
                for (code, id) in table.codes[range.clone()].iter().zip(&table.ids[range]) {
                    let differing = code ^ query;
                    let distance = differing.count_ones();
                    // A code can be visited in several steps; only the first one counts it.
                    if distance <= want.radius && self.step(differing) == step && want.allows(*id) {
                        counts[distance as usize] += 1;
                        found.push(Neighbour { distance, id: *id });
                    }
                }
            }
            let within: usize = counts[..=step as usize].iter().sum();
            if within >= want.k {
                break;
            }
        }
        // The distance of the k-th hit: hits beyond it need not be sorted.
        let mut sum = 0;
        let farthest = counts.iter().position(|count| {
            sum += count;
            sum >= want.k
        });
        found.retain(|hit| farthest.is_none_or(|farthest| hit.distance as usize <= farthest));
        found.sort_unstable();
        found.truncate(want.k);
        Some(found)
    }
}

/// Returns evenly spaced stored codes.
fn sample(lanes: &Lanes) -> Vec<u64> {
    let count = TRIALS.min(lanes.len());
    let at = |i: usize| i * (lanes.len() / count.max(1));
    let code = |id: usize| lanes.lanes()[id / BLOCK].0[id % BLOCK];
    (0..count).map(|i| code(at(i))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rand::{Rng, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    #[test]
    fn patterns_are_all_of_them() {
        for bits in 1..=12u32 {
            for set in 0..=bits + 1 {
                let naive: Vec<u64> =
                    (0..1u64 << bits).filter(|pattern| pattern.count_ones() == set).collect();
                assert_eq!(patterns(bits, set).collect::<Vec<_>>(), naive, "{set} of {bits}");
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() })]
        #[test]
        fn lookups_find_what_reading_everything_finds(
            bits in 8usize..=64, count in 1usize..600, clusters in 1usize..20, k in 1usize..700,
            radius in prop_oneof![Just(64u32), 0u32..12], filtered: bool, seed: u64,
        ) {
            let mut rng = ChaCha8Rng::seed_from_u64(seed);
            let mask = u64::MAX >> (64 - bits);
            let centres: Vec<u64> = (0..clusters).map(|_| rng.next_u64() & mask).collect();
            // Flips one bit in sixteen on average.
            let noise = |rng: &mut ChaCha8Rng| (0..4).fold(mask, |n, _| n & rng.next_u64());
            let words = (0..count).map(|i| centres[i % clusters] ^ noise(&mut rng)).collect();
            let database = BinaryCodes::from_words(bits, words).unwrap();
            let query = centres[0] ^ noise(&mut rng);
            let allowed: Vec<u8> = (0..count.div_ceil(8)).map(|i| 0b0110_1101 ^ i as u8).collect();
            let want = Want {
                k: k.min(count),
                radius: radius.min(bits as u32),
                allowed: filtered.then_some(&allowed[..]),
            };
            let lanes = Lanes::new(&database);
            let queries = BinaryCodes::from_words(bits, vec![query]).unwrap();
            let portable = cpu::Path::available().last().unwrap();
            let expected = cpu::search(portable, &lanes, &queries, &want);
            // `build` leaves the costs unmeasured, so the search never gives up.
            let buckets = MultiIndex::build(&lanes, bits);
            prop_assert_eq!(buckets.search(query, &want, false), Some(expected[0].clone()));
        }
    }

    #[test]
    fn what_costs_more_than_reading_is_given_up() {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let words: Vec<u64> = (0..5000).map(|_| rng.next_u64() >> 16).collect();
        let lanes = Lanes::new(&BinaryCodes::from_words(48, words.clone()).unwrap());
        let (per_lookup, per_code) = (20.0, 1.0);
        let costs = |linear| MultiIndex {
            per_lookup,
            per_code,
            linear,
            linear_of_batch: linear,
            ..MultiIndex::build(&lanes, 48)
        };
        let want = Want { k: 10, radius: 48, allowed: None };
        assert!(costs(1e9).search(words[7], &want, false).is_some());
        // Random codes are far apart: the tenth hit needs thousands of lookups.
        assert!(costs(20_000.0).search(words[7], &want, false).is_none());
        let near = Want { radius: 2, ..want };
        assert!(costs(50_000.0).search(words[7], &near, false).is_some());
        assert!(!MultiIndex::may_pay(48, LEAST - 1) && !MultiIndex::may_pay(128, LEAST));
    }
}
