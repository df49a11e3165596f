/*!
Class centres: fixed codes, far apart from each other, one for each class.
*/

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::groups::Groups;

/// Number of random draws; the best one is used.
const DRAWS: u64 = 100;

/// Returns a centre of ±1 for each class, `[classes, c]`: from `hadamard` if possible, else from
/// `random`.
pub fn centres(classes: usize, bits: usize, seed: u64) -> Vec<f32> {
    hadamard(classes, bits).unwrap_or_else(|| random(classes, bits, seed))
}

/// Returns rows of the Hadamard matrix of order c and their negatives; any two differ in c/2 or c
/// bits. `None` unless c is a power of two and `classes` is at most 2c.
///
/// The matrix is Sylvester's: entry (i, j) is (−1)ⁿ with n the number of common 1 bits of i and j.
fn hadamard(classes: usize, bits: usize) -> Option<Vec<f32>> {
    if !bits.is_power_of_two() || classes > 2 * bits {
        return None;
    }
    let entry = |row: usize, j: usize| -> f32 {
        let odd = ((row % bits) & j).count_ones() % 2 == 1;
        if odd == (row < bits) { -1.0 } else { 1.0 }
    };
    Some((0..classes).flat_map(|row| (0..bits).map(move |j| entry(row, j))).collect())
}

/// Returns the draw with the greatest minimum distance between two centres, out of 100 random
/// draws; the first one wins a tie.
fn random(classes: usize, bits: usize, seed: u64) -> Vec<f32> {
    let draw = |number: u64| -> Vec<f32> {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        rng.set_stream(number);
        (0..classes * bits).map(|_| if rng.random_bool(0.5) { 1.0 } else { -1.0 }).collect()
    };
    let least = |centres: &[f32]| -> usize {
        let rows: Vec<&[f32]> = centres.chunks_exact(bits).collect();
        let apart = |a: &[f32], b: &[f32]| a.iter().zip(b).filter(|(a, b)| a != b).count();
        let pairs = (0..classes).flat_map(|i| (0..i).map(move |j| (i, j)));
        pairs.map(|(i, j)| apart(rows[i], rows[j])).min().unwrap_or(bits)
    };
    let mut best = (draw(0), 0);
    best.1 = least(&best.0);
    for number in 1..DRAWS {
        let drawn = draw(number);
        let apart = least(&drawn);
        if apart > best.1 {
            best = (drawn, apart);
        }
    }
    best.0
}

/// Returns the targets of all groups, `[groups, c]`. `centres` belong to the labels that occur,
/// ascending. The target of an image with several labels is the bitwise majority of their centres;
/// its first label breaks ties.
pub fn of_groups(groups: &Groups, centres: &[f32], bits: usize) -> Vec<f32> {
    let classes = groups.classes();
    let mut targets = Vec::with_capacity(groups.len() * bits);
    for labels in groups.label_sets() {
        let places = labels.iter().filter_map(|label| classes.binary_search(label).ok());
        let own: Vec<&[f32]> = places.map(|class| &centres[class * bits..][..bits]).collect();
        for bit in 0..bits {
            let sum: f32 = own.iter().map(|centre| centre[bit]).sum();
            let first = own.first().map_or(1.0, |centre| centre[bit]);
            targets.push(if sum == 0.0 { first } else { sum.signum() });
        }
    }
    targets
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn distance(a: &[f32], b: &[f32]) -> usize {
        a.iter().zip(b).filter(|(a, b)| a != b).count()
    }

    proptest! {
        #[test]
        fn centres_are_signs_and_far_apart(classes in 2usize..40, bits in 4usize..80, seed: u64) {
            let centres = centres(classes, bits, seed);
            prop_assert_eq!(centres.len(), classes * bits);
            prop_assert!(centres.iter().all(|v| v.abs() == 1.0));
            let rows: Vec<&[f32]> = centres.chunks_exact(bits).collect();
            let pairs = || (0..classes).flat_map(|i| (0..i).map(move |j| (i, j)));
            if bits.is_power_of_two() && classes <= 2 * bits {
                let apart = |(i, j): (usize, usize)| distance(rows[i], rows[j]);
                prop_assert!(pairs().all(|pair| [bits / 2, bits].contains(&apart(pair))));
            } else if bits > 30 {
                prop_assert!(pairs().all(|(i, j)| distance(rows[i], rows[j]) > bits / 8));
            }
        }
    }

    #[test]
    fn several_labels_are_drawn_to_their_majority() {
        // Label 3 does not occur.
        let groups = Groups::new(&[vec![0, 1, 4], vec![0, 4]]);
        let centres = [1., 1., -1., 1., -1., -1., -1., -1., 1.];
        assert_eq!(of_groups(&groups, &centres, 3), [1., -1., -1., 1., 1., -1.]);
    }
}
