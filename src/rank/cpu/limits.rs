/*!
What no ranking on this processor can be faster than: measured, not looked up.

For one query that is reading the codes, for a batch counting the differing bits. Both
walk the codes as the search does, on as many threads.
*/

use super::super::lanes::{BLOCK, Lane, Lanes};
use super::{Path, Split};

/// Reads all codes once and adds up their words.
pub fn read(codes: &Lanes) -> u64 {
    let sum = |lanes: &[Lane]| {
        // As many sums as it takes to keep the processor's loads busy.
        let mut sums = [[0u64; BLOCK]; 4];
        let mut groups = lanes.chunks_exact(4);
        for group in &mut groups {
            for (sum, lane) in sums.iter_mut().zip(group) {
                sum.iter_mut().zip(lane.0).for_each(|(sum, word)| *sum = sum.wrapping_add(word));
            }
        }
        let rest = groups.remainder().iter().flat_map(|lane| lane.0);
        sums.into_iter().flatten().chain(rest).fold(0, u64::wrapping_add)
    };
    let cores = Split::new(codes)
        .run(codes, |tiles| tiles.fold(0, |total: u64, tile| total.wrapping_add(sum(tile.lanes))));
    cores.into_iter().fold(0, u64::wrapping_add)
}

/// Counts the differing bits of all codes and `queries`, a multiple of four of them, tile
/// by tile as the search does.
pub fn count(path: Path, codes: &Lanes, queries: &[u64]) -> u64 {
    let cores = Split::new(codes).run(codes, |tiles| {
        tiles.fold(0, |total: u64, tile| total.wrapping_add(path.count(tile, queries)))
    });
    cores.into_iter().fold(0, u64::wrapping_add)
}
