//! Each SIMD path must equal a plain sort, for any table.

use std::sync::Arc;

use proptest::prelude::*;
use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::super::super::query::WORDS;
use super::super::best::key;
use super::super::blocks::Row;
use super::super::sieve::{GROUP, Sieve, wide};
use super::*;
use crate::code::BinaryCodes;

/// Distribution of the codes, the entries of tables, and the lengths.
#[derive(Debug, Clone, Copy)]
struct Kind {
    /// Number of different codes; 0 for no limit.
    codes: usize,
    /// Number of values around zero that an entry has; 0 for only the extreme ones.
    entries: i32,
    /// The same for lengths; 1 makes all equal.
    lengths: i32,
}

fn kinds() -> impl Strategy<Value = Kind> {
    let codes = prop_oneof![Just(0usize), Just(1), Just(3)];
    let values =
        || prop_oneof![Just(0), Just(1), Just(2), Just(100), Just(30_000), Just(4_000_000)];
    (codes, values(), values()).prop_map(|(codes, entries, lengths)| Kind {
        codes,
        entries,
        lengths,
    })
}

fn codes(words: usize, count: usize, different: usize, rng: &mut ChaCha8Rng) -> BinaryCodes {
    let bits = words * 4;
    let row = bits.div_ceil(64);
    let last = u64::MAX >> (row * 64 - bits);
    let mut fresh = || {
        let mut words: Vec<u64> = (0..row).map(|_| rng.next_u64()).collect();
        words[row - 1] &= last;
        words
    };
    let prototypes: Vec<Vec<u64>> = (0..different).map(|_| fresh()).collect();
    let all = (0..count).flat_map(|i| match different {
        0 => fresh(),
        _ => prototypes[i * i % different].clone(),
    });
    BinaryCodes::from_words(bits, all.collect()).unwrap()
}

fn values(count: usize, words: usize, kind: i32, rng: &mut ChaCha8Rng) -> Vec<i32> {
    let most = WordTable::most(words);
    let value = |_| match kind {
        0 => [-most, most][rng.random_range(0..2)],
        1 => most / 3,
        _ => rng.random_range(-kind / 2..kind - kind / 2).clamp(-most, most),
    };
    (0..count).map(value).collect()
}

fn tables(words: usize, count: usize, kind: i32, rng: &mut ChaCha8Rng) -> Vec<WordTable> {
    let entries = (0..count).map(|_| values(words * WORDS, words, kind, rng));
    entries.map(|entries| WordTable::new(entries).unwrap()).collect()
}

fn sorted(
    codes: &BinaryCodes,
    lengths: &[i32],
    table: &WordTable,
    k: usize,
    allowed: Option<&[u8]>,
) -> Vec<ScoredNeighbour> {
    let word = |id: usize, m: usize| (codes.row(id)[m / 16] >> (m % 16 * 4) & 15) as usize;
    let sum = |id: usize| (0..table.words()).map(move |m| (m, word(id, m)));
    let score = |id: usize| {
        sum(id).map(|(m, word)| i64::from(table.entries()[m * WORDS + word])).sum::<i64>()
            - i64::from(lengths[id])
    };
    let counts = |id: &usize| allowed.is_none_or(|bytes| bytes[id / 8] >> (id % 8) & 1 == 1);
    let hit = |id| ScoredNeighbour { score: i32::try_from(score(id)).unwrap(), id: id as u32 };
    let mut hits: Vec<ScoredNeighbour> = (0..codes.len()).filter(counts).map(hit).collect();
    hits.sort_by_key(|hit| (-i64::from(hit.score), hit.id));
    hits.truncate(k);
    hits
}

fn words() -> impl Strategy<Value = usize> {
    prop_oneof![prop::sample::select(vec![1usize, 2, 3, 12, 16, 17, 32, 256]), 1usize..=40]
}

/// Disables the file of failed cases: a failure prints its seed.
fn cases() -> ProptestConfig {
    ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() }
}

/// Returns the sum of the bytes of a code, as a scan computes it.
fn sum_of_bytes(blocks: &Blocks, sieve: &Sieve, id: usize) -> u16 {
    let rows = &blocks.rows()[id / BLOCK * blocks.height()..][..blocks.height()];
    let tables = sieve.tables().chunks_exact(2 * WORDS);
    let byte = |(row, table): (&Row, &[u8])| {
        let byte = usize::from(row.0[id % BLOCK]);
        u16::from(table[byte % WORDS]) + u16::from(table[WORDS + byte / WORDS])
    };
    let bytes: Vec<u16> = rows.iter().zip(tables).map(byte).collect();
    let group = if wide(blocks) { GROUP } else { rows.len() };
    bytes.chunks(group).map(|group| group.iter().sum::<u16>().min(255)).sum()
}

proptest! {
    #![proptest_config(cases())]
    #[test]
    fn every_path_finds_what_sorting_finds(
        words in words(), kind in kinds(), count in 1usize..900, queries in 1usize..8,
        k in 1usize..1000, step in prop::option::of(any::<u8>()), seed: u64,
    ) {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let database = codes(words, count, kind.codes, &mut rng);
        let lengths: Arc<[i32]> = values(count, words, kind.lengths, &mut rng).into();
        let tables = tables(words, queries, kind.entries, &mut rng);
        let bytes = 0..count.div_ceil(8);
        let allowed: Option<Vec<u8>> =
            step.map(|step| bytes.map(|i| step.wrapping_mul(i as u8 | 1)).collect());
        let blocks = Blocks::from(&database, lengths.clone(), 0);
        for path in Path::available() {
            let found = search(path, &blocks, &tables, k, allowed.as_deref());
            for (table, found) in tables.iter().zip(&found) {
                let expected = sorted(&database, &lengths, table, k, allowed.as_deref());
                prop_assert!(*found == expected, "{}, {:?}", path, kind);
            }
        }
    }

    #[test]
    fn sums_of_bytes_never_hide_a_code(
        words in words(), kind in kinds(), seed: u64, first_id in 0u32..200,
    ) {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let database = codes(words, 130, kind.codes, &mut rng);
        let lengths: Arc<[i32]> = values(130, words, kind.lengths, &mut rng).into();
        let table = tables(words, 1, kind.entries, &mut rng).remove(0);
        let blocks = Blocks::from(&database, lengths.clone(), 0);
        let query = Query::new(&table, &blocks);
        let mut sieve = Sieve::new(&query);
        let mut all = sorted(&database, &lengths, &table, 130, None);
        // The bar rises, as in a search.
        all.reverse();
        for bar in &all {
            sieve.narrow(&query, key(bar.score, bar.id), first_id);
            for hit in all.iter().filter(|hit| *hit < bar && hit.id >= first_id) {
                let sum = sum_of_bytes(&blocks, &sieve, hit.id as usize);
                prop_assert!(sum <= sieve.limit(), "{sum} above {}", sieve.limit());
            }
        }
    }
}

#[test]
fn parts_and_tiles_are_joined_on_every_path() {
    // Enough codes for several threads, and far more than a tile.
    for (words, different, lengths) in [(12, 0, 1), (3, 0, 2), (32, 3, 1000), (17, 1, 1)] {
        let mut rng = ChaCha8Rng::seed_from_u64(words as u64);
        let database = codes(words, 70_001, different, &mut rng);
        let lengths: Arc<[i32]> = values(70_001, words, lengths, &mut rng).into();
        let tables = tables(words, 5, 5000, &mut rng);
        let blocks = Blocks::from(&database, lengths.clone(), 0);
        for k in [1, 100, 5000] {
            for threads in [1, 3] {
                let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
                for path in Path::available() {
                    let found = pool.install(|| search(path, &blocks, &tables, k, None));
                    for (table, found) in tables.iter().zip(&found) {
                        let expected = sorted(&database, &lengths, table, k, None);
                        assert!(*found == expected, "{path} {words} words, k = {k}, {threads}");
                    }
                }
            }
        }
    }
}
