/*!
Measured lower bounds on the time of a ranking on this processor.

For one query the bound is the time to read the codes, for a batch the time to count the
differing bits. Both traverse the codes like the search, on the same number of threads.
*/

use super::super::lanes::{BLOCK, Lane, Lanes};
use super::kernel::{AHEAD, Tile};
use super::search::Path;

/// Reads all codes once and returns the wrapping sum of their words.
pub fn read(codes: &Lanes) -> u64 {
    let sum = |lanes: &[Lane]| {
        // Enough independent sums to saturate the load units.
        let mut sums = [[0u64; BLOCK]; 4];
        let mut groups = lanes.chunks_exact(4);
        for group in &mut groups {
            ask_ahead(group);
            for (sum, lane) in sums.iter_mut().zip(group) {
                sum.iter_mut().zip(lane.0).for_each(|(sum, word)| *sum = sum.wrapping_add(word));
            }
        }
        let rest = groups.remainder().iter().flat_map(|lane| lane.0);
        sums.into_iter().flatten().chain(rest).fold(0, u64::wrapping_add)
    };
    let cores = codes.split().run(|tiles| {
        tiles.fold(0, |total: u64, tile| total.wrapping_add(sum(Tile::of(codes, tile).lanes)))
    });
    cores.into_iter().fold(0, u64::wrapping_add)
}

/// Prefetches like the search.
fn ask_ahead(group: &[Lane]) {
    #[cfg(target_arch = "x86_64")]
    for lane in group {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        let ahead = std::ptr::from_ref(lane).wrapping_add(AHEAD);
        // SAFETY: every x86-64 processor has the instruction, and a prefetch never faults.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(ahead.cast()) };
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = group;
}

/// Returns the sum of the distances of all codes to all `queries`, tile by tile like the
/// search. The number of queries must be a multiple of four.
pub fn count(path: Path, codes: &Lanes, queries: &[u64]) -> u64 {
    let cores = codes.split().run(|tiles| {
        let count = |tile| path.count(Tile::of(codes, tile), queries);
        tiles.fold(0, |total: u64, tile| total.wrapping_add(count(tile)))
    });
    cores.into_iter().fold(0, u64::wrapping_add)
}
