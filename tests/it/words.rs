/*!
Ranking of word codes is exact: every path must equal a sort of all codes by (score, id).
*/

use std::sync::Arc;

use barbule::code::BinaryCodes;
use barbule::device::Device;
use barbule::rank::{GpuLimits, IdSet, RankError, ScoredNeighbour, WordRanker, WordTable};
use proptest::prelude::*;
use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Codes per block of the GPU kernels.
const BLOCK: usize = 4096;

/// A database with its lengths, and some queries.
struct Case {
    codes: Arc<BinaryCodes>,
    lengths: Arc<[i32]>,
    tables: Vec<WordTable>,
}

impl Case {
    /// `spread` is the number of values that an entry or a length can have, 0 for only the
    /// extreme ones. With `alike`, there are only three different codes.
    fn new(
        words: usize,
        count: usize,
        queries: usize,
        spread: i32,
        alike: bool,
        seed: u64,
    ) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let row = (words * 4).div_ceil(64);
        let last = u64::MAX >> (row * 64 - words * 4);
        let mut packed: Vec<u64> = (0..count * row).map(|_| rng.next_u64()).collect();
        packed.chunks_exact_mut(row).for_each(|code| code[row - 1] &= last);
        if alike {
            for i in 3 * row..packed.len() {
                packed[i] = packed[i - 3 * row];
            }
        }
        let most = WordTable::most(words);
        let mut values = |count: usize| -> Vec<i32> {
            let value = |_| match spread {
                0 => [-most, most][rng.random_range(0..2)],
                _ => rng.random_range(-spread..=spread).clamp(-most, most),
            };
            (0..count).map(value).collect()
        };
        let lengths = values(count).into();
        let table = |_| WordTable::new(values(words * 16)).unwrap();
        let tables = (0..queries).map(table).collect();
        let codes = Arc::new(BinaryCodes::from_words(words * 4, packed).unwrap());
        Self { codes, lengths, tables }
    }

    fn ranker(&self, device: &Device, limits: GpuLimits) -> WordRanker {
        WordRanker::with_limits(device, self.codes.clone(), self.lengths.clone(), limits).unwrap()
    }

    /// Reference implementation: a plain sort.
    fn sorted(&self, k: usize, allowed: Option<&IdSet>) -> Vec<Vec<ScoredNeighbour>> {
        let score = |table: &WordTable, id: usize| {
            let bytes = self.codes.row_bytes(id);
            let sum = table
                .entries()
                .chunks(16)
                .enumerate()
                .map(|(m, row)| row[usize::from(bytes[m / 2] >> (m % 2 * 4) & 15)]);
            sum.sum::<i32>() - self.lengths[id]
        };
        let rank = |table| {
            let ids = 0..self.codes.len() as u32;
            let ids = ids.filter(|id| allowed.is_none_or(|allowed| allowed.contains(*id)));
            let hit = |id| ScoredNeighbour { score: score(table, id as usize), id };
            let mut hits: Vec<ScoredNeighbour> = ids.map(hit).collect();
            hits.sort_by_key(|hit| (-hit.score, hit.id));
            hits.truncate(k);
            hits
        };
        self.tables.iter().map(rank).collect()
    }

    #[track_caller]
    fn check(&self, device: &Device, k: usize, limits: GpuLimits) {
        let (words, len) = (self.codes.bits() / 4, self.codes.len());
        let ranker = self.ranker(device, limits);
        let some = IdSet::of(len, (0..len as u32).filter(|id| id % 3 == 1 || id / 64 % 5 == 0));
        for allowed in [None, Some(&some)] {
            let found = ranker.search_many(&self.tables, k, allowed).unwrap();
            assert_eq!(ranker.failure(), None);
            // Not `assert_eq!`: the lists are too long to print.
            let right = found == self.sorted(k, allowed);
            assert!(right, "{len} codes of {words} words, k = {k}, filter: {}", allowed.is_some());
        }
    }
}

fn words() -> impl Strategy<Value = usize> {
    prop_oneof![prop::sample::select(vec![1, 3, 8, 12, 32, 256]), 1usize..=256]
}

fn spreads() -> impl Strategy<Value = i32> {
    prop::sample::select(vec![0, 1, 3, 1000, 1_000_000, i32::MAX])
}

/// Chooses k: 0, 1, N − 1, N, more than N, or any value up to N.
fn choose_k(count: usize, choice: usize, any: usize) -> usize {
    match choice {
        0 => 0,
        1 => 1,
        2 => count.saturating_sub(1),
        3 => count,
        4 => count + 1 + any,
        _ => any % (count + 1),
    }
}

/// Disables the file of failed cases: a failure prints its seed.
fn cases(cases: u32) -> ProptestConfig {
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(cases(100))]
    #[test]
    fn cpu_ranks_words_as_sorting_does(
        words in words(), count in 0usize..400, queries in 0usize..4, spread in spreads(),
        alike: bool, choice in 0usize..7, any in 0usize..1000, seed: u64,
    ) {
        let case = Case::new(words, count, queries, spread, alike, seed);
        case.check(&Device::Cpu, choose_k(count, choice, any), GpuLimits::default());
    }
}

#[test]
fn gpu_ranks_words_as_sorting_does() {
    let Some(gpu) = crate::common::gpu() else { return };
    // Not a `proptest!` block: each case would open the adapter again.
    let mut runner = proptest::test_runner::TestRunner::new(cases(24));
    let input =
        (words(), 0usize..9000, 0usize..4, spreads(), any::<bool>(), 0usize..7, 0usize..9000);
    let run = runner.run(&(input, any::<u64>()), |(input, seed)| {
        let (words, count, queries, spread, alike, choice, any) = input;
        let case = Case::new(words, count, queries, spread, alike, seed);
        case.check(&gpu, choose_k(count, choice, any), GpuLimits::default());
        Ok(())
    });
    run.unwrap();
}

#[test]
fn gpu_ranks_words_in_several_bindings() {
    let Some(gpu) = crate::common::gpu() else { return };
    for count in [BLOCK - 1, BLOCK, BLOCK + 1, 3 * BLOCK + 5] {
        for (words, spread, alike) in [(12, 1000, false), (8, 1, true), (33, 0, false)] {
            let case = Case::new(words, count, 3, spread, alike, 1);
            // All codes in one binding, two blocks per binding, one block per binding.
            let binding = |blocks: usize| (blocks * BLOCK * words.div_ceil(8) * 4) as u64;
            for binding in [u64::MAX, binding(2), binding(1)] {
                for k in [1, 100, BLOCK / 8, count] {
                    case.check(&gpu, k, GpuLimits::default().with_binding(binding));
                }
            }
        }
    }
}

#[test]
fn word_codes_that_find_no_room_on_the_gpu_are_searched_all_the_same() {
    let Some(gpu) = crate::common::gpu() else { return };
    let case = Case::new(12, 9000, 3, 5000, false, 1);
    let limits = |memory: usize| GpuLimits::default().with_memory(memory as u64);
    // Two words of codes and one of lengths; the first 4096 or 8192 codes are on the device.
    for blocks in [1, 2] {
        let limits = limits(blocks * BLOCK * 12 + 3);
        case.check(&gpu, 50, limits);
        let runs_on = case.ranker(&gpu, limits).runs_on();
        assert!(runs_on.contains("and CPU"), "{runs_on}");
    }
    let ranker = case.ranker(&gpu, limits(100));
    assert!(ranker.failure().is_some_and(|reason| reason.contains("too little memory")));
    assert_eq!(ranker.search_many(&case.tables, 20, None).unwrap(), case.sorted(20, None));
}

/// Here the CPU kernels, which are tested against sorting above, are the reference, so that the
/// database can be larger.
#[test]
fn gpu_finds_the_words_that_the_cpu_finds() {
    let Some(gpu) = crate::common::gpu() else { return };
    for (words, count, spread) in [(12, 200_000, 100_000), (32, 50_000, 10), (7, 300_000, 1)] {
        let case = Case::new(words, count, 9, spread, false, 2);
        let on_cpu = case.ranker(&Device::Cpu, GpuLimits::default());
        let on_gpu = case.ranker(&gpu, GpuLimits::default());
        for k in [1, 100, 5000] {
            let found = on_gpu.search_many(&case.tables, k, None).unwrap();
            assert_eq!(on_gpu.failure(), None);
            assert!(
                found == on_cpu.search_many(&case.tables, k, None).unwrap(),
                "{words}, k = {k}"
            );
        }
    }
}

#[test]
fn one_table_gives_what_several_do() {
    let case = Case::new(12, 500, 3, 100, false, 1);
    let ranker = case.ranker(&Device::Cpu, GpuLimits::default());
    let all = ranker.search_many(&case.tables, 7, None).unwrap();
    for (table, hits) in case.tables.iter().zip(all) {
        assert_eq!(ranker.search(table, 7, None).unwrap(), hits);
    }
    assert_eq!((ranker.len(), ranker.words(), ranker.is_empty()), (500, 12, false));
}

#[test]
fn what_does_not_fit_together_is_an_error() {
    let case = Case::new(12, 10, 1, 100, false, 1);
    let ranker = case.ranker(&Device::Cpu, GpuLimits::default());
    let other = WordTable::new(vec![0; 11 * 16]).unwrap();
    let error = ranker.search(&other, 1, None).unwrap_err();
    assert!(matches!(error, RankError::Mixed { table: 11, database: 12 }), "{error}");
    let error = ranker.search(&case.tables[0], 1, Some(&IdSet::all(11))).unwrap_err();
    assert!(matches!(error, RankError::Allowed { allowed: 11, codes: 10 }), "{error}");

    let new = |codes: &BinaryCodes, lengths: Vec<i32>| {
        WordRanker::new(&Device::Cpu, Arc::new(codes.clone()), lengths.into()).unwrap_err()
    };
    let error = new(&case.codes, vec![0; 9]);
    assert!(matches!(error, RankError::Lengths { lengths: 9, codes: 10 }), "{error}");
    let error = new(&BinaryCodes::new(13).unwrap(), vec![]);
    assert!(matches!(error, RankError::Words(13)), "{error}");
    let most = WordTable::most(12);
    let mut lengths = vec![most; 10];
    lengths[3] = -most - 1;
    let error = new(&case.codes, lengths);
    assert!(matches!(error, RankError::Large { words: 12, .. }), "{error}");

    for entries in [0, 15, 17, 257 * 16] {
        let error = WordTable::new(vec![0; entries]).unwrap_err();
        assert!(matches!(error, RankError::Table { .. }), "{error}");
    }
    let error = WordTable::new(vec![i32::MIN; 16]).unwrap_err();
    assert!(matches!(error, RankError::Large { value: i32::MIN, words: 1, .. }), "{error}");
}
