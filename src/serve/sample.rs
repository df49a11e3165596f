/*!
The images that the page shows before the first search.
*/

/// Returns `k` of the ids: a random one from each of `k` equal ranges. `random` is the seed.
pub fn spread(ids: &[i64], k: usize, random: u64) -> Vec<i64> {
    let k = k.min(ids.len());
    let from = |i: usize| i * ids.len() / k;
    let mut number = random;
    let mut next = || {
        // A Weyl sequence with a mixing step; any sequence would do.
        number = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (number ^ (number >> 31)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        (mixed ^ (mixed >> 29)) as usize
    };
    (0..k).map(|i| ids[from(i) + next() % (from(i + 1) - from(i))]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_stretch_gives_one() {
        let ids = [1, 2, 5, 6, 9];
        for random in 0..20 {
            assert_eq!(spread(&ids, 9, random), ids);
            let two = spread(&ids, 2, random);
            assert!([1, 2].contains(&two[0]) && [5, 6, 9].contains(&two[1]), "{two:?}");
            assert!(spread(&[], 3, random).is_empty() && spread(&ids, 0, random).is_empty());
        }
    }
}
