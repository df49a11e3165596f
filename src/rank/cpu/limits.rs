/*!
What no ranking on this processor can be faster than: measured, not looked up.

For one query that is reading the codes, for a batch counting the differing bits. Both
walk the codes as the search does, on as many threads.
*/

use super::super::lanes::{BLOCK, Lane, Lanes};
use super::kernel::AHEAD;
use super::{Path, Split};

/// Reads all codes once and adds up their words.
pub fn read(codes: &Lanes) -> u64 {
    let sum = |lanes: &[Lane]| {
        // As many sums as it takes to keep the processor's loads busy.
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
    let cores = Split::new(codes)
        .run(codes, |tiles| tiles.fold(0, |total: u64, tile| total.wrapping_add(sum(tile.lanes))));
    cores.into_iter().fold(0, u64::wrapping_add)
}

/// Asks for the memory that comes some steps later, as the search does.
fn ask_ahead(group: &[Lane]) {
    #[cfg(target_arch = "x86_64")]
    for lane in group {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        let ahead = std::ptr::from_ref(lane).wrapping_add(AHEAD);
        // SAFETY: every x86-64 processor has the instruction, and it reads nothing.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(ahead.cast()) };
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = group;
}

/// Counts the differing bits of all codes and `queries`, a multiple of four of them, tile
/// by tile as the search does.
pub fn count(path: Path, codes: &Lanes, queries: &[u64]) -> u64 {
    let cores = Split::new(codes).run(codes, |tiles| {
        tiles.fold(0, |total: u64, tile| total.wrapping_add(path.count(tile, queries)))
    });
    cores.into_iter().fold(0, u64::wrapping_add)
}
