/*!
Metrics of one query, computed from its ranking.

A ranking is a list of levels, nearest first. A level holds the number of database items at one
distance, and how many of them are relevant. Short codes put hundreds of items at the same
distance, where any order would be arbitrary. Every metric here is therefore the expectation
over all orders of the items within each level.
*/

/// Database items at the same distance from the query, which are therefore tied.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Level {
    /// Number of items at this distance; may be 0.
    pub items: u32,
    /// Number of relevant items among them, at most `items`.
    pub relevant: u32,
}

/// A level together with the totals of all nearer levels, as floating-point numbers.
#[derive(Debug, Clone, Copy)]
struct Step {
    /// Items and relevant items of the level.
    n: f64,
    r: f64,
    /// Items and relevant items of all nearer levels.
    n0: f64,
    r0: f64,
}

/// Iterates over the non-empty levels, with the running totals before each.
fn steps(levels: &[Level]) -> impl Iterator<Item = Step> + '_ {
    let (mut n0, mut r0) = (0.0, 0.0);
    levels.iter().filter(|level| level.items > 0).map(move |level| {
        let step = Step { n: f64::from(level.items), r: f64::from(level.relevant), n0, r0 };
        n0 += step.n;
        r0 += step.r;
        step
    })
}

/// Returns the number of items in all levels.
fn items(levels: &[Level]) -> f64 {
    levels.iter().map(|level| f64::from(level.items)).sum()
}

/// Returns the number of relevant items in all levels.
fn relevant(levels: &[Level]) -> f64 {
    levels.iter().map(|level| f64::from(level.relevant)).sum()
}

/// Computes the average precision of the full ranking, in 0..=1, as expectation over tie orders.
///
/// A level of n items, r of them relevant, that follows N₀ items, R₀ of them relevant, contributes
/// `(r/n)·Σ_{i=1..n} (R₀ + 1 + (i−1)(r−1)/(n−1)) / (N₀ + i)`: position i is relevant with
/// probability r/n. Given that, an expected (i−1)(r−1)/(n−1) of the i−1 preceding positions in the
/// level are relevant too. The sum is divided by the number of relevant items in the whole ranking
/// (McSherry and Najork, "Computing information retrieval performance measures efficiently in the
/// presence of tied scores", ECIR 2008). Returns `None` if nothing is relevant.
pub fn average_precision(levels: &[Level]) -> Option<f64> {
    let total = relevant(levels);
    let gain: f64 = steps(levels).filter(|step| step.r > 0.0).map(level_gain).sum();
    (total > 0.0).then(|| gain / total)
}

/// Computes the contribution of one level to the sum in [`average_precision`].
fn level_gain(step: Step) -> f64 {
    let Step { n, r, n0, r0 } = step;
    // Avoids a division by zero: a single item has no predecessor in its level.
    let others = if n > 1.0 { (r - 1.0) / (n - 1.0) } else { 0.0 };
    let place = |i: u32| (r0 + 1.0 + f64::from(i) * others) / (n0 + 1.0 + f64::from(i));
    (0..n as u32).map(place).sum::<f64>() * r / n
}

/// Computes the expected number of relevant items among the first `k`, over tie orders.
///
/// The level that `k` splits contributes `r·(k − N₀)/n`.
fn relevant_in_first(levels: &[Level], k: usize) -> f64 {
    let share = |step: Step| step.r * ((k as f64 - step.n0) / step.n).clamp(0.0, 1.0);
    steps(levels).map(share).sum()
}

/// Computes the precision of the first `k` items, in 0..=1, as expectation over tie orders.
///
/// For a ranking shorter than `k`, the divisor is its length. Returns 0 if `k` is 0 or the ranking
/// is empty.
pub fn precision_at(levels: &[Level], k: usize) -> f64 {
    let shown = items(levels).min(k as f64);
    if shown > 0.0 { relevant_in_first(levels, k) / shown } else { 0.0 }
}

/// Computes the share of all relevant items that are among the first `k`, in 0..=1, as expectation
/// over tie orders.
///
/// This is recall in the sense of information retrieval. Metric learning uses recall@k for a
/// different quantity: whether any of the first k items is relevant. Returns `None` if nothing is
/// relevant.
pub fn recall_at(levels: &[Level], k: usize) -> Option<f64> {
    let total = relevant(levels);
    (total > 0.0).then(|| relevant_in_first(levels, k) / total)
}

/// Computes the precision of all items in `ball`, the levels within some radius, in 0..=1.
///
/// The result is exact, as it does not depend on the order. An empty ball counts as 0, because a
/// lookup that finds nothing has failed.
pub fn precision_within(ball: &[Level]) -> f64 {
    let found = items(ball);
    if found > 0.0 { relevant(ball) / found } else { 0.0 }
}

/// Number of points of [`precision_recall`]: recall 0, 0.01, …, 1.
pub const CURVE_POINTS: usize = 101;

/// Computes the precision–recall curve: entry t is the precision at recall t/100.
///
/// At the end of a level, precision and recall do not depend on tie orders: R₀ + r of N₀ + n items
/// are relevant. Within a level, the expected number of relevant items grows linearly with the
/// depth. Recall ρ of R relevant items is therefore reached at depth `x = N₀ + n·(ρR − R₀)/r`,
/// where the precision is `ρR/x`. This is the interpolation of Davis and Goadrich ("The
/// relationship between precision-recall and ROC curves", ICML 2006), linear in counts. No value
/// is replaced by the maximum to its right. The result is the precision at the depth where the
/// *expected* recall is ρ, not the expected precision at recall ρ. Recall 0 is the limit from
/// above, the precision of the first level. Returns `None` if nothing is relevant.
pub fn precision_recall(levels: &[Level]) -> Option<[f64; CURVE_POINTS]> {
    let total = relevant(levels);
    let mut rising = steps(levels).filter(|step| step.r > 0.0);
    let mut step = rising.next()?;
    let mut curve = [0.0; CURVE_POINTS];
    for (t, precision) in curve.iter_mut().enumerate() {
        let wanted = t as f64 * total / (CURVE_POINTS - 1) as f64;
        while wanted > step.r0 + step.r {
            match rising.next() {
                Some(next) => step = next,
                None => break,
            }
        }
        let depth = step.n0 + step.n * (wanted - step.r0) / step.r;
        *precision = match step.n0 {
            // The first level has constant precision, also at recall 0.
            0.0 => step.r / step.n,
            _ => wanted / depth,
        };
    }
    Some(curve)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::seq::SliceRandom;
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    fn levels(pairs: &[(u32, u32)]) -> Vec<Level> {
        pairs.iter().map(|&(items, relevant)| Level { items, relevant }).collect()
    }

    /// Computes the average precision of one order by definition.
    fn ap_of(order: &[bool]) -> f64 {
        let mut hits = 0.0;
        let mut sum = 0.0;
        for (i, _) in order.iter().enumerate().filter(|(_, relevant)| **relevant) {
            hits += 1.0;
            sum += hits / (i + 1) as f64;
        }
        sum / hits
    }

    fn hits_in_first(order: &[bool], k: usize) -> f64 {
        order.iter().take(k).filter(|relevant| **relevant).count() as f64
    }

    /// Returns one order of the items, with ties broken at random.
    fn random_order(levels: &[Level], rng: &mut ChaCha8Rng) -> Vec<bool> {
        let mut order = Vec::new();
        for level in levels {
            let start = order.len();
            order.extend((0..level.items).map(|i| i < level.relevant));
            order[start..].shuffle(rng);
        }
        order
    }

    /// Returns the mean of `samples` and the standard error of that mean.
    fn mean_and_error(samples: &[f64]) -> (f64, f64) {
        let n = samples.len() as f64;
        let mean = samples.iter().sum::<f64>() / n;
        let variance = samples.iter().map(|s| (s - mean).powi(2)).sum::<f64>() / (n - 1.0);
        (mean, (variance / n).sqrt())
    }

    /// Allows five standard errors: with random seeds, one of the few hundred comparisons below
    /// would fail by chance once in several thousand runs.
    fn assert_expected(closed: f64, samples: &[f64], what: &str) {
        let (mean, error) = mean_and_error(samples);
        assert!((closed - mean).abs() <= 5.0 * error + 1e-12, "{what}: {closed} {mean} ± {error}");
    }

    #[test]
    fn closed_forms_are_the_means_over_random_tie_orders() {
        for seed in 0..12 {
            let mut rng = ChaCha8Rng::seed_from_u64(seed);
            let mut ranking: Vec<Level> = Vec::new();
            for _ in 0..rng.random_range(1..12) {
                let items = rng.random_range(0..15u32);
                ranking.push(Level { items, relevant: rng.random_range(0..=items) });
            }
            ranking.push(Level { items: 3, relevant: 1 });
            let orders: Vec<_> = (0..2000).map(|_| random_order(&ranking, &mut rng)).collect();
            let aps: Vec<f64> = orders.iter().map(|o| ap_of(o)).collect();
            assert_expected(average_precision(&ranking).unwrap(), &aps, "AP");
            let n = orders[0].len();
            let total = hits_in_first(&orders[0], n);
            for k in [1, 2, 5, 10, n / 2 + 1, n, n + 7] {
                let hits: Vec<f64> = orders.iter().map(|o| hits_in_first(o, k)).collect();
                let precisions: Vec<f64> = hits.iter().map(|h| h / k.min(n) as f64).collect();
                let recalls: Vec<f64> = hits.iter().map(|h| h / total).collect();
                assert_expected(precision_at(&ranking, k), &precisions, "P@k");
                assert_expected(recall_at(&ranking, k).unwrap(), &recalls, "recall@k");
            }
        }
    }

    #[test]
    fn without_ties_it_is_the_textbook_value() {
        // Relevant at positions 1, 3 and 4: (1 + 2/3 + 3/4) / 3.
        let ranking = levels(&[(1, 1), (0, 0), (1, 0), (1, 1), (1, 1), (1, 0)]);
        let ap = average_precision(&ranking).unwrap();
        assert!((ap - (1.0 + 2.0 / 3.0 + 0.75) / 3.0).abs() < 1e-15);
        assert_eq!(precision_at(&ranking, 2), 0.5);
        assert_eq!(recall_at(&ranking, 3), Some(2.0 / 3.0));
    }

    #[test]
    fn one_level_worked_by_hand() {
        // One relevant item of two, first or second: (1 + 1/2) / 2.
        assert_eq!(average_precision(&levels(&[(2, 1)])), Some(0.75));
        // All relevant: 1, whatever the order.
        assert_eq!(average_precision(&levels(&[(7, 7)])), Some(1.0));
        // After one irrelevant item, at position 2 or 3: (1/2 + 1/3) / 2.
        let ap = average_precision(&levels(&[(1, 0), (2, 1)])).unwrap();
        assert!((ap - 5.0 / 12.0).abs() < 1e-15);
        assert_eq!(precision_at(&levels(&[(4, 1), (4, 3)]), 6), (1.0 + 1.5) / 6.0);
    }

    #[test]
    fn nothing_relevant_or_nothing_at_all() {
        for ranking in [levels(&[]), levels(&[(0, 0)]), levels(&[(3, 0), (2, 0)])] {
            assert_eq!(average_precision(&ranking), None);
            assert_eq!(recall_at(&ranking, 1), None);
            assert_eq!(precision_recall(&ranking), None);
            assert_eq!(precision_at(&ranking, 10), 0.0);
            assert_eq!(precision_within(&ranking), 0.0);
        }
        assert_eq!(precision_at(&levels(&[(2, 2)]), 0), 0.0);
    }

    #[test]
    fn the_curve_passes_through_the_ends_of_levels() {
        let curve = precision_recall(&levels(&[(2, 1), (3, 0), (4, 1), (5, 2), (9, 0)])).unwrap();
        // The first level holds a quarter of the relevant items at precision 1/2.
        assert!(curve[..=25].iter().all(|p| *p == 0.5));
        assert!((curve[50] - 2.0 / 9.0).abs() < 1e-15);
        // Half of the last rising level: three relevant items at depth 9 + 2.5.
        assert!((curve[75] - 3.0 / 11.5).abs() < 1e-15);
        assert!((curve[100] - 4.0 / 14.0).abs() < 1e-15);
        let late = precision_recall(&levels(&[(1, 0), (1, 1)])).unwrap();
        assert_eq!((late[0], late[100]), (0.0, 0.5));
    }
}
