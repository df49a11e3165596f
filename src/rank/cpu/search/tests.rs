//! Each SIMD path must equal a plain sort, for any query.

use proptest::prelude::*;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::*;

fn codes(bits: usize, count: usize, alike: bool, seed: u64) -> BinaryCodes {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let words = bits.div_ceil(64);
    let last = u64::MAX >> (words * 64 - bits);
    // Similar codes have few set bits, so most distances are ties.
    let fresh = |rng: &mut ChaCha8Rng| {
        if alike {
            rng.next_u64() & rng.next_u64() & rng.next_u64() & rng.next_u64()
        } else {
            rng.next_u64()
        }
    };
    let word = |i: usize| fresh(&mut rng) & if i % words == words - 1 { last } else { u64::MAX };
    BinaryCodes::from_words(bits, (0..count * words).map(word).collect()).unwrap()
}

fn sorted(codes: &BinaryCodes, query: &[u64], want: &Want<'_>) -> Vec<Neighbour> {
    let allowed = |id: u32| match want.allowed {
        Some(bytes) => bytes[id as usize / 8] >> (id % 8) & 1 == 1,
        None => true,
    };
    let hit =
        |id: u32| Neighbour { distance: BinaryCodes::distance(codes.row(id as usize), query), id };
    let counts = |hit: &Neighbour| allowed(hit.id) && hit.distance <= want.radius;
    let mut hits: Vec<Neighbour> = (0..codes.len() as u32).map(hit).filter(counts).collect();
    hits.sort_unstable();
    hits.truncate(want.k);
    hits
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn every_path_finds_what_sorting_finds(
        bits in prop_oneof![Just(64usize), 1usize..=130, 1usize..=1024], count in 1usize..700,
        queries in 1usize..10, k in 1usize..800, radius in prop_oneof![Just(1024u32), 0u32..600],
        alike: bool, filtered in prop_oneof![Just(None), any::<u8>().prop_map(Some)], seed: u64,
    ) {
        let (database, queries) = (codes(bits, count, alike, seed), codes(bits, queries, alike, !seed));
        let allowed: Option<Vec<u8>> =
            filtered.map(|step| (0..count.div_ceil(8)).map(|i| step.wrapping_mul(i as u8 | 1)).collect());
        let want = Want { k: k.min(count), radius: radius.min(bits as u32), allowed: allowed.as_deref() };
        let lanes = Lanes::new(&database);
        for path in Path::available() {
            let found = search(path, &lanes, &queries, &want);
            for (query, found) in found.iter().enumerate() {
                prop_assert_eq!(found, &sorted(&database, queries.row(query), &want), "{}", path);
            }
        }
    }
}

#[test]
fn parts_and_tiles_are_joined_on_every_path() {
    // Enough codes for several threads, and far more than a tile.
    for (bits, alike) in [(48, false), (64, true), (300, false)] {
        let (database, queries) = (codes(bits, 70_001, alike, 1), codes(bits, 5, alike, 2));
        let lanes = Lanes::new(&database);
        for k in [1, 100, 5000] {
            let want = Want { k, radius: bits as u32, allowed: None };
            for threads in [1, 3] {
                let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
                for path in Path::available() {
                    let found = pool.install(|| search(path, &lanes, &queries, &want));
                    for (query, found) in found.iter().enumerate() {
                        let expected = sorted(&database, queries.row(query), &want);
                        assert!(
                            *found == expected,
                            "{path} {bits} bits, k = {k}, {threads} threads"
                        );
                    }
                }
            }
        }
    }
}

#[test]
fn limits_do_the_work_that_they_stand_for() {
    for bits in [64, 200] {
        let (database, queries) = (codes(bits, 20_000, false, 1), codes(bits, 8, false, 2));
        let lanes = Lanes::new(&database);
        let words = database.words().iter().fold(0u64, |sum, word| sum.wrapping_add(*word));
        assert_eq!(crate::rank::cpu::ceiling::read(&lanes), words);
        let distances = (0..8).flat_map(|query| {
            let query = queries.row(query);
            database
                .words()
                .chunks(query.len())
                .map(|row| u64::from(BinaryCodes::distance(row, query)))
        });
        let total: u64 = distances.sum();
        for path in Path::available() {
            assert_eq!(
                crate::rank::cpu::ceiling::count(path, &lanes, queries.words()),
                total,
                "{path}"
            );
        }
    }
}
