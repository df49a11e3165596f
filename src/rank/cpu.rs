/*!
Ranking on the CPU, portable: the database is split over the cores, so that a
single query uses them all.

Within a part the distances are counted per level first; that gives the part's
exact cut, and only codes up to it become candidates. The parts' candidates are
then merged.
*/

use rayon::prelude::*;

use super::Hit;
use crate::code::BinaryCodes;

/// Codes per part: small enough that a part's distances stay in cache.
const PART: usize = 1 << 14;

/// The `k` nearest codes of each query, `1 <= k <= codes.len()`, lengths equal.
pub(super) fn top_k(codes: &BinaryCodes, queries: &BinaryCodes, k: usize) -> Vec<Vec<Hit>> {
    (0..queries.len()).map(|query| nearest(codes, queries.row(query), k)).collect()
}

fn nearest(codes: &BinaryCodes, query: &[u64], k: usize) -> Vec<Hit> {
    let row = codes.row_words();
    let parts = codes.words().par_chunks(PART * row).enumerate();
    let candidates: Vec<Vec<Hit>> = parts
        .map_init(Vec::new, |distances, (part, words)| {
            measure(words, query, distances);
            select(distances, (part * PART) as u32, codes.bits(), k)
        })
        .collect();
    merge(&candidates, codes.bits(), k)
}

/// The distance of every row of `words` to `query`.
fn measure(words: &[u64], query: &[u64], distances: &mut Vec<u16>) {
    distances.clear();
    match query {
        // One word is by far the most frequent case, and needs no inner loop.
        [query] => distances.extend(words.iter().map(|w| (w ^ query).count_ones() as u16)),
        _ => {
            let rows = words.chunks_exact(query.len());
            distances.extend(rows.map(|row| BinaryCodes::distance(row, query) as u16));
        }
    }
}

/// The `k` best of a part, in the order of ids.
fn select(distances: &[u16], first_id: u32, bits: usize, k: usize) -> Vec<Hit> {
    let mut levels = vec![0usize; bits + 1];
    distances.iter().for_each(|d| levels[usize::from(*d)] += 1);
    let (cut, mut at_cut) = cut(&levels, k);
    let mut hits = Vec::with_capacity(k.min(distances.len()));
    for (distance, id) in distances.iter().zip(first_id..) {
        let distance = u32::from(*distance);
        if distance < cut {
            hits.push(Hit { distance, id });
        } else if distance == cut && at_cut > 0 {
            at_cut -= 1;
            hits.push(Hit { distance, id });
        }
    }
    hits
}

/// The distance of the `k`-th nearest, and how many at that distance are still wanted.
fn cut(levels: &[usize], k: usize) -> (u32, usize) {
    let mut wanted = k;
    for (level, count) in levels.iter().enumerate() {
        if *count >= wanted {
            return (level as u32, wanted);
        }
        wanted -= count;
    }
    (levels.len() as u32, 0)
}

/// The `k` best of all parts by counting: linear in the candidates, and stable, so
/// that equal distances stay in the order of ids.
fn merge(parts: &[Vec<Hit>], bits: usize, k: usize) -> Vec<Hit> {
    let all = || parts.iter().flatten();
    let mut places = vec![0usize; bits + 2];
    all().for_each(|hit| places[hit.distance as usize + 1] += 1);
    for level in 1..places.len() {
        places[level] += places[level - 1];
    }
    let total = all().count().min(k);
    let mut hits = vec![Hit { distance: 0, id: 0 }; total];
    for hit in all() {
        let place = &mut places[hit.distance as usize];
        if let Some(slot) = hits.get_mut(*place) {
            *slot = *hit;
        }
        *place += 1;
    }
    hits
}
