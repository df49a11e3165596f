/*!
Ranking is exact: every path must equal a sort of all codes by (distance, id).
*/

use std::sync::Arc;

use barbule::code::{BinaryCodes, MAX_BITS};
use barbule::device::Device;
use barbule::rank::{GpuLimits, IdSet, Neighbour, RankError, Ranker, Search};
use proptest::prelude::*;
use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Codes per block of the GPU kernels.
const BLOCK: usize = 4096;

/// Distribution of a database's codes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Independent random bits.
    Random,
    /// One of three codes, so that nearly all distances are ties.
    Few,
    /// All codes equal.
    Equal,
}

fn codes(kind: Kind, bits: usize, count: usize, seed: u64) -> BinaryCodes {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let row = bits.div_ceil(64);
    let last = u64::MAX >> (row * 64 - bits);
    let fresh = |rng: &mut ChaCha8Rng| {
        let mut words: Vec<u64> = (0..row).map(|_| rng.next_u64()).collect();
        words[row - 1] &= last;
        words
    };
    let prototypes: Vec<_> = (0..3).map(|_| fresh(&mut rng)).collect();
    let mut words = Vec::with_capacity(count * row);
    for _ in 0..count {
        match kind {
            Kind::Random => words.extend(fresh(&mut rng)),
            Kind::Few => words.extend(&prototypes[rng.random_range(0..3)]),
            Kind::Equal => words.extend(&prototypes[0]),
        }
    }
    BinaryCodes::from_words(bits, words).unwrap()
}

/// Reference implementation: a plain sort.
fn naive(codes: &BinaryCodes, queries: &BinaryCodes, k: usize) -> Vec<Vec<Neighbour>> {
    let rank = |query: usize| {
        let distance = |id: usize| BinaryCodes::distance(codes.row(id), queries.row(query));
        let all = (0..codes.len()).map(|id| Neighbour { distance: distance(id), id: id as u32 });
        let mut hits: Vec<Neighbour> = all.collect();
        hits.sort_by_key(|hit| (hit.distance, hit.id));
        hits.truncate(k);
        hits
    };
    (0..queries.len()).map(rank).collect()
}

#[track_caller]
fn check(device: &Device, codes: BinaryCodes, queries: &BinaryCodes, k: usize, limit: u64) {
    let expected = naive(&codes, queries, k);
    let (bits, count) = (codes.bits(), codes.len());
    let codes = Arc::new(codes);
    let ranker = Ranker::with_limits(device, codes.clone(), limits(limit)).unwrap();
    let found = ranker.top_k(queries, k).unwrap();
    assert_eq!(ranker.failure(), None);
    // Not `assert_eq!`: the lists are too long to print.
    assert!(found == expected, "{count} codes of {bits} bits, k = {k}, on {device}");
    assert!(codes.iter().zip(0..).all(|(code, id)| ranker.code(id) == Some(code)), "on {device}");
    assert_eq!(ranker.code(count as u32), None);
}

/// Reference implementation of any search.
fn sought(codes: &BinaryCodes, queries: &BinaryCodes, search: &Search<'_>) -> Vec<Vec<Neighbour>> {
    let mut all = naive(codes, queries, codes.len());
    for hits in &mut all {
        hits.retain(|hit| search.allowed.is_none_or(|allowed| allowed.contains(hit.id)));
        hits.retain(|hit| search.radius.is_none_or(|radius| hit.distance <= radius));
        hits.truncate(search.k.unwrap_or(usize::MAX));
    }
    all
}

/// Checks searches with filters, removed codes and every kind of radius.
#[track_caller]
fn check_searches(device: &Device, codes: &BinaryCodes, queries: &BinaryCodes, limit: GpuLimits) {
    let len = codes.len();
    let allowed = IdSet::of(len, (0..len as u32).filter(|id| id % 3 == 1));
    let removed = |id: &u32| id % 7 == 1 || *id == 0;
    let left = IdSet::of(len, (0..len as u32).filter(|id| !removed(id)));
    let mut ranker = Ranker::with_limits(device, Arc::new(codes.clone()), limit).unwrap();
    let bits = codes.bits() as u32;
    let mut searches = Vec::new();
    for radius in [None, Some(0), Some(bits / 3), Some(bits / 2), Some(bits), Some(u32::MAX)] {
        for k in [None, Some(0), Some(1), Some(50), Some(len + 1)] {
            let mut search = Search::default();
            (search.k, search.radius) = (k, radius);
            searches.extend([search, search.among(&allowed)]);
        }
    }
    for with_removed in [false, true] {
        if with_removed {
            ranker.remove((0..len as u32 + 5).filter(removed));
        }
        for search in &searches {
            let both = search.allowed.map_or(left.clone(), |allowed| allowed.and(&left));
            let expected = if with_removed {
                sought(codes, queries, &search.among(&both))
            } else {
                sought(codes, queries, search)
            };
            let found = ranker.search(queries, search).unwrap();
            assert_eq!(ranker.failure(), None);
            let (k, radius) = (search.k, search.radius);
            assert!(found == expected, "{len} codes of {bits} bits, k {k:?}, radius {radius:?}");
        }
    }
    let other = IdSet::all(len + 1);
    let error = ranker.search(queries, &Search::nearest(1).among(&other)).unwrap_err();
    assert!(matches!(error, RankError::Allowed { .. }), "{error}");
}

fn kinds() -> impl Strategy<Value = Kind> {
    prop_oneof![4 => Just(Kind::Random), 2 => Just(Kind::Few), 1 => Just(Kind::Equal)]
}

/// Any code length, often one next to a word boundary or a common length.
fn widths() -> impl Strategy<Value = usize> {
    let usual = [1, 12, 31, 32, 33, 48, 63, 64, 65, 96, 127, 128, 129, 256, 1023, 1024];
    prop_oneof![1usize..=MAX_BITS, prop::sample::select(usual.to_vec())]
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
    #![proptest_config(cases(200))]
    #[test]
    fn cpu_ranks_as_sorting_does(
        bits in widths(), kind in kinds(), count in 0usize..400, queries in 0usize..4,
        choice in 0usize..7, any in 0usize..1000, seed: u64,
    ) {
        let database = codes(kind, bits, count, seed);
        // With the same seed, queries of `Few` and `Equal` are codes of the database.
        let queries = codes(kind, bits, queries, if kind == Kind::Random { !seed } else { seed });
        check(&Device::Cpu, database, &queries, choose_k(count, choice, any), u64::MAX);
    }
}

#[test]
fn cpu_filters_within_a_radius() {
    for (kind, bits, count) in
        [(Kind::Random, 48, 1000), (Kind::Few, 200, 333), (Kind::Equal, 5, 64)]
    {
        let (database, queries) = (codes(kind, bits, count, 1), codes(kind, bits, 3, 1));
        check_searches(&Device::Cpu, &database, &queries, GpuLimits::default());
    }
}

#[test]
fn gpu_filters_within_a_radius() {
    let Some(gpu) = crate::common::gpu() else { return };
    for (kind, bits, count) in
        [(Kind::Random, 48, 5000), (Kind::Few, 200, 333), (Kind::Equal, 5, 64)]
    {
        let (database, queries) = (codes(kind, bits, count, 1), codes(kind, bits, 3, 1));
        check_searches(&gpu, &database, &queries, GpuLimits::default());
    }
    let (database, queries) = (codes(Kind::Random, 33, 9000, 1), codes(Kind::Random, 33, 2, 2));
    check_searches(&gpu, &database, &queries, limits(limit(33, BLOCK)));
}

#[test]
fn cpu_parts_are_joined_in_order() {
    // Parts have 16384 codes, so these databases have 1, 1, 2 and 4 parts.
    for count in [16_383, 16_384, 16_385, 50_000] {
        for (kind, bits) in [(Kind::Random, 12), (Kind::Few, 70), (Kind::Equal, 64)] {
            for k in [1, 100, 16_385, count] {
                let queries = codes(kind, bits, 2, 7);
                check(&Device::Cpu, codes(kind, bits, count, 8), &queries, k, u64::MAX);
            }
        }
    }
}

#[test]
fn one_thread_ranks_as_many_do() {
    let (database, queries) = (codes(Kind::Random, 48, 40_000, 1), codes(Kind::Random, 48, 3, 2));
    let one = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
    one.install(|| check(&Device::Cpu, database, &queries, 1000, u64::MAX));
}

#[test]
fn mixed_lengths_are_an_error() {
    let database = Arc::new(codes(Kind::Random, 64, 10, 1));
    let ranker = Ranker::new(&Device::Cpu, database).unwrap();
    // 63 and 64 bits fill the same words.
    let error = ranker.top_k(&codes(Kind::Random, 63, 1, 1), 3).unwrap_err();
    assert!(matches!(error, RankError::Bits { queries: 63, database: 64 }), "{error}");
}

/// Returns the size of a binding that holds exactly `codes` codes of `bits` bits.
fn limit(bits: usize, codes: usize) -> u64 {
    (codes * bits.div_ceil(32) * 4) as u64
}

fn limits(binding: u64) -> GpuLimits {
    GpuLimits::default().with_binding(binding)
}

#[test]
fn what_finds_no_room_on_the_gpu_is_searched_all_the_same() {
    let Some(gpu) = crate::common::gpu() else { return };
    let (database, queries) = (codes(Kind::Random, 40, 9000, 1), codes(Kind::Random, 40, 3, 2));
    // The first 4096 or 8192 codes are on the device, in one or two bindings.
    for blocks in [1, 2] {
        let memory = limit(40, blocks * BLOCK) + 3;
        let limits = GpuLimits::default().with_binding(limit(40, BLOCK)).with_memory(memory);
        check_searches(&gpu, &database, &queries, limits);
        let ranker = Ranker::with_limits(&gpu, Arc::new(database.clone()), limits).unwrap();
        assert!(ranker.runs_on().contains("and CPU"), "{}", ranker.runs_on());
    }
    let none = GpuLimits::default().with_memory(100);
    let ranker = Ranker::with_limits(&gpu, Arc::new(database.clone()), none).unwrap();
    assert!(ranker.failure().is_some_and(|reason| reason.contains("too little memory")));
    assert_eq!(ranker.top_k(&queries, 20).unwrap(), naive(&database, &queries, 20));
}

#[test]
fn gpu_ranks_as_sorting_does() {
    let Some(gpu) = crate::common::gpu() else { return };
    // Not a `proptest!` block: each case would open the adapter again.
    let mut runner = proptest::test_runner::TestRunner::new(cases(24));
    let input = (widths(), kinds(), 0usize..9000, 0usize..4, 0usize..7, 0usize..9000, any::<u64>());
    let run = runner.run(&input, |(bits, kind, count, queries, choice, any, seed)| {
        let database = codes(kind, bits, count, seed);
        let queries = codes(kind, bits, queries, if kind == Kind::Random { !seed } else { seed });
        check(&gpu, database, &queries, choose_k(count, choice, any), u64::MAX);
        Ok(())
    });
    run.unwrap();
}

#[test]
fn gpu_blocks_and_bindings_are_joined_in_order() {
    let Some(gpu) = crate::common::gpu() else { return };
    for count in [BLOCK - 1, BLOCK, BLOCK + 1, 3 * BLOCK + 5] {
        for (kind, bits) in [(Kind::Random, 33), (Kind::Few, 64), (Kind::Equal, 12)] {
            let queries = codes(kind, bits, 3, 5);
            // All codes in one binding, two blocks per binding, one block per binding.
            for limit in [u64::MAX, limit(bits, 2 * BLOCK), limit(bits, BLOCK)] {
                for k in [1, 10, BLOCK / 8] {
                    check(&gpu, codes(kind, bits, count, 6), &queries, k, limit);
                }
            }
            // The CPU takes over if the hits do not fit in a binding; the results are the same.
            check(&gpu, codes(kind, bits, count, 6), &queries, count, limit(bits, BLOCK));
            check(&gpu, codes(kind, bits, count, 6), &queries, count, u64::MAX);
        }
    }
}

#[test]
fn gpu_ranks_many() {
    let Some(gpu) = crate::common::gpu() else { return };
    let (database, queries) = (codes(Kind::Random, 48, 200_000, 3), codes(Kind::Random, 48, 7, 4));
    check(&gpu, database.clone(), &queries, 100, u64::MAX);
    check(&gpu, database, &queries, 5000, limit(48, 40_000));
}

#[test]
fn gpu_refuses_mixed_lengths_and_takes_no_codes() {
    let Some(gpu) = crate::common::gpu() else { return };
    let ranker = Ranker::new(&gpu, Arc::new(codes(Kind::Random, 64, 10, 1))).unwrap();
    assert!(matches!(
        ranker.top_k(&codes(Kind::Random, 128, 1, 1), 3),
        Err(RankError::Bits { queries: 128, database: 64 })
    ));
    assert_eq!(
        ranker.top_k(&codes(Kind::Random, 64, 0, 1), 3).unwrap(),
        Vec::<Vec<Neighbour>>::new()
    );
    let empty = Ranker::new(&gpu, Arc::new(codes(Kind::Random, 64, 0, 1))).unwrap();
    assert_eq!(empty.top_k(&codes(Kind::Random, 64, 2, 1), 3).unwrap(), vec![Vec::new(); 2]);
}

/// Here the CPU kernels, which are tested against sorting above, are the reference, so that more
/// and larger databases can be tested.
#[test]
fn gpu_finds_what_the_cpu_finds() {
    let Some(gpu) = crate::common::gpu() else { return };
    let mut rng = ChaCha8Rng::seed_from_u64(50);
    for configuration in 0..50 {
        let whole = configuration == 0;
        let bits = match rng.random_range(0..4) {
            _ if whole => 48,
            0 => rng.random_range(1..=MAX_BITS),
            _ => [12, 32, 64, 128, 256][rng.random_range(0..5)],
        };
        let count = if whole { 10_000_000 } else { rng.random_range(1..300_000) };
        let queries = if whole { 2 } else { rng.random_range(1..40) };
        let kind = if rng.random_range(0..4) == 0 { Kind::Few } else { Kind::Random };
        let database = Arc::new(codes(kind, bits, count, rng.random()));
        let queries = codes(Kind::Random, bits, queries, rng.random());
        let allowed = IdSet::of(count, (0..count as u32).filter(|_| rng.random_range(0..3) > 0));
        let (k, radius) = (rng.random_range(1..300), rng.random_range(0..=bits as u32));
        let mut search = Search::nearest(k);
        search.radius = rng.random_bool(0.3).then_some(radius);
        search.allowed = rng.random_bool(0.3).then_some(&allowed);
        // A fifth of the database in each binding.
        let limits = limits(limit(bits, count / 5 + BLOCK));
        let ranker = Ranker::with_limits(&gpu, database.clone(), limits).unwrap();
        let found = ranker.search(&queries, &search).unwrap();
        assert_eq!(ranker.failure(), None);
        let expected = Ranker::new(&Device::Cpu, database).unwrap().search(&queries, &search);
        assert!(
            found == expected.unwrap(),
            "configuration {configuration}: {count} codes of {bits} bits, {} queries, k = {k}",
            queries.len()
        );
    }
}

#[test]
fn what_measures_the_limit_does_the_work() {
    let mut devices = vec![Device::Cpu];
    devices.extend(crate::common::gpu());
    for device in devices {
        // A multiple of 8 codes: the CPU also counts the padding of the last block.
        let (database, queries) =
            (codes(Kind::Random, 72, 9000, 1), codes(Kind::Random, 72, 32, 2));
        let ranker = Ranker::new(&device, Arc::new(database.clone())).unwrap();
        for count in [4, 16, 32] {
            let queries = queries.select(&(0..count).collect::<Vec<_>>());
            let distance = |id: usize, query: usize| {
                u64::from(BinaryCodes::distance(database.row(id), queries.row(query)))
            };
            let all = (0..9000).flat_map(|id| (0..count).map(move |query| (id, query)));
            let total: u64 = all.map(|(id, query)| distance(id, query)).sum();
            assert_eq!(ranker.only_count(&queries), Some(total), "{count} queries on {device}");
        }
        let words = database.words().iter();
        let sum = if device.is_cpu() {
            words.fold(0u64, |sum, word| sum.wrapping_add(*word))
        } else {
            words
                .fold(0u32, |sum, word| {
                    sum.wrapping_add(*word as u32).wrapping_add((*word >> 32) as u32)
                })
                .into()
        };
        assert_eq!(ranker.only_read(), Some(sum), "on {device}");
    }
}

#[test]
fn tables_change_no_answer() {
    // 2²⁰ codes around 300 centres, and queries near and far.
    let centres = codes(Kind::Random, 48, 300, 1);
    let noise = codes(Kind::Random, 48, 5 * (1 << 20), 2);
    let word = |i: usize| {
        let noise = (0..4).fold(u64::MAX, |n, j| n & noise.words()[5 * i + j]);
        centres.words()[i % 300] ^ noise
    };
    let database = BinaryCodes::from_words(48, (0..1 << 20).map(word).collect()).unwrap();
    let mut queries = database.select(&[5, 70_000, 1_000_000]);
    queries.extend(&codes(Kind::Random, 48, 3, 3)).unwrap();
    let reader = Ranker::new(&Device::Cpu, Arc::new(database.clone())).unwrap();
    let mut ranker = Ranker::new(&Device::Cpu, Arc::new(database)).unwrap();
    // The decision for tables is based on a measurement and made only once.
    assert_eq!(ranker.expect_many(), ranker.expect_many());
    let allowed = IdSet::of(1 << 20, (0..1 << 20).filter(|id| id % 3 == 0));
    let searches = [
        Search::nearest(10),
        Search::nearest(1000),
        Search::within(2),
        Search::nearest(50).among(&allowed),
    ];
    for search in &searches {
        assert!(
            ranker.search(&queries, search).unwrap() == reader.search(&queries, search).unwrap()
        );
        let one = queries.select(&[1]);
        assert!(ranker.search(&one, search).unwrap() == reader.search(&one, search).unwrap());
    }
    let nearest = ranker.top_k(&queries.select(&[0]), 1).unwrap()[0][0];
    ranker.remove([nearest.id]);
    assert_ne!(ranker.top_k(&queries.select(&[0]), 1).unwrap()[0][0].id, nearest.id);
}
