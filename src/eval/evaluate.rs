/*!
Rankings of a database for a set of queries, by Hamming distance or by scores, and the means of
their metrics.
*/

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};

use rayon::prelude::*;

use super::EvalError;
use super::metrics::{self, CURVE_POINTS, Level};
use super::report::{CurvePoint, Metrics, RECALL_DEPTHS, RecallAt};
use crate::code::{BinaryCodes, CodeError};
use crate::hash::Features;
use crate::task::{Stopped, Task};

/// The Hamming radius of [`Metrics::p_radius_2`].
const RADIUS: usize = 2;

/// Ranks the whole database by Hamming distance for every query.
///
/// `query_labels` and `database_labels` contain the labels of each image; an image without labels
/// is relevant to nothing. Runs on all of rayon's threads; the result does not depend on their
/// number. One step of `task` is one query.
///
/// # Errors
/// If a side is empty or has different numbers of codes and label lists, if the bit lengths
/// differ, if no query has a relevant image, or if the work is stopped.
pub fn evaluate(
    queries: &BinaryCodes,
    query_labels: &[Vec<u32>],
    database: &BinaryCodes,
    database_labels: &[Vec<u32>],
    task: &Task<'_>,
) -> Result<Metrics, EvalError> {
    check_side("query", queries.len(), query_labels)?;
    check_side("database", database.len(), database_labels)?;
    if queries.bits() != database.bits() {
        return Err(CodeError::Mixed(queries.bits(), database.bits()).into());
    }
    let relevance = Relevance::new(database_labels);
    let ranked = Ranked::new(queries.len(), task);
    let figures = (0..queries.len()).into_par_iter().map_init(Vec::new, |marks, q| {
        relevance.mark(&query_labels[q], marks);
        let levels = hamming_levels(queries.row(q), database, marks);
        let ball = &levels[..levels.len().min(RADIUS + 1)];
        ranked.more(1)?;
        Ok(Figures::of(&levels, Some(ball)))
    });
    mean(figures.collect::<Result<_, EvalError>>()?, database.len())
}

/// Ranks the whole database by cosine similarity of float features for every query.
///
/// Similarities are computed in single precision from rows scaled to unit length. Images of
/// exactly equal similarity are ties; a row of zeros has similarity 0 to everything. Otherwise the
/// same as [`evaluate`], without `p_radius_2`.
///
/// # Errors
/// If a side is empty or has different numbers of rows and label lists, if the dimensions differ,
/// a value is NaN or infinite, no query has a relevant image, or the work is stopped.
pub fn evaluate_scores(
    queries: Features<'_>,
    query_labels: &[Vec<u32>],
    database: Features<'_>,
    database_labels: &[Vec<u32>],
    task: &Task<'_>,
) -> Result<Metrics, EvalError> {
    queries.check()?;
    database.check()?;
    queries.check_dim(database.dim)?;
    check_side("query", queries.len(), query_labels)?;
    check_side("database", database.len(), database_labels)?;
    let relevance = Relevance::new(database_labels);
    let (left, right) = (unit_rows(queries), unit_rows(database));
    // Several queries share each pass over the database, which does not fit into the caches.
    let groups = left.par_chunks(8 * queries.dim).zip(query_labels.par_chunks(8));
    let ranked = Ranked::new(queries.len(), task);
    let figures = groups.map(|(rows, labels)| {
        let scores = cosines(rows, &right, database.dim);
        let mut marks = Vec::new();
        let rank = |(scores, labels): (Vec<f32>, &Vec<u32>)| {
            relevance.mark(labels, &mut marks);
            Figures::of(&score_levels(&scores, &marks), None)
        };
        let figures: Vec<_> = scores.into_iter().zip(labels).map(rank).collect();
        ranked.more(figures.len())?;
        Ok(figures)
    });
    let figures = figures.collect::<Result<Vec<_>, EvalError>>()?;
    mean(figures.into_iter().flatten().collect(), database.len())
}

/// Ranks the whole database by given scores for every query. `scores` returns the scores of all
/// database images for the query with the given index; higher scores rank first.
///
/// Images of exactly equal score are ties. Otherwise the same as [`evaluate`], without
/// `p_radius_2`.
///
/// # Errors
/// If a side is empty, the number of scores differs from the number of database images, no query
/// has a relevant image, or the work is stopped.
pub fn evaluate_by(
    scores: impl Fn(usize) -> Vec<f32> + Sync,
    query_labels: &[Vec<u32>],
    database_labels: &[Vec<u32>],
    task: &Task<'_>,
) -> Result<Metrics, EvalError> {
    check_side("query", query_labels.len(), query_labels)?;
    check_side("database", database_labels.len(), database_labels)?;
    let relevance = Relevance::new(database_labels);
    let ranked = Ranked::new(query_labels.len(), task);
    let figures = (0..query_labels.len()).into_par_iter().map_init(Vec::new, |marks, q| {
        let scores = scores(q);
        check_side("database", scores.len(), database_labels)?;
        relevance.mark(&query_labels[q], marks);
        ranked.more(1)?;
        Ok(Figures::of(&score_levels(&scores, marks), None))
    });
    mean(figures.collect::<Result<_, EvalError>>()?, database_labels.len())
}

/// Returns an error if a side is empty or its numbers of images and label lists differ.
fn check_side(side: &'static str, images: usize, labels: &[Vec<u32>]) -> Result<(), EvalError> {
    if images == 0 {
        return Err(EvalError::Empty(side));
    }
    if images != labels.len() {
        return Err(EvalError::Labels { side, images, labels: labels.len() });
    }
    Ok(())
}

/// Counts the ranked queries across all threads, for progress.
struct Ranked<'a> {
    done: AtomicUsize,
    of: usize,
    task: &'a Task<'a>,
}

impl<'a> Ranked<'a> {
    fn new(of: usize, task: &'a Task<'a>) -> Self {
        Self { done: AtomicUsize::new(0), of, task }
    }

    fn more(&self, queries: usize) -> Result<(), Stopped> {
        let done = self.done.fetch_add(queries, Ordering::Relaxed) + queries;
        self.task.step(done, self.of)
    }
}

/// The database images of each label.
struct Relevance {
    images: usize,
    by_label: HashMap<u32, Vec<usize>>,
}

impl Relevance {
    fn new(labels: &[Vec<u32>]) -> Self {
        let mut by_label: HashMap<u32, Vec<usize>> = HashMap::new();
        for (image, labels) in labels.iter().enumerate() {
            for label in labels {
                by_label.entry(*label).or_default().push(image);
            }
        }
        Self { images: labels.len(), by_label }
    }

    /// Sets `marks` to whether each database image shares a label with `labels`.
    fn mark(&self, labels: &[u32], marks: &mut Vec<bool>) {
        marks.clear();
        marks.resize(self.images, false);
        for image in labels.iter().filter_map(|label| self.by_label.get(label)).flatten() {
            marks[*image] = true;
        }
    }
}

/// Returns the levels of one query's ranking by Hamming distance, one for each of 0..=bits.
fn hamming_levels(query: &[u64], database: &BinaryCodes, relevant: &[bool]) -> Vec<Level> {
    let mut levels = vec![Level::default(); database.bits() + 1];
    for (row, relevant) in database.words().chunks_exact(query.len()).zip(relevant) {
        let level = &mut levels[BinaryCodes::distance(query, row) as usize];
        level.items += 1;
        level.relevant += u32::from(*relevant);
    }
    levels
}

/// Returns the levels of one query's ranking by descending score, one for each distinct score.
fn score_levels(scores: &[f32], relevant: &[bool]) -> Vec<Level> {
    let mut ranked: Vec<(f32, bool)> =
        scores.iter().copied().zip(relevant.iter().copied()).collect();
    ranked.sort_unstable_by(|a, b| b.0.total_cmp(&a.0));
    let level = |tied: &[(f32, bool)]| Level {
        items: tied.len() as u32,
        relevant: tied.iter().filter(|(_, relevant)| *relevant).count() as u32,
    };
    ranked.chunk_by(|a, b| a.0 == b.0).map(level).collect()
}

/// Scales the rows of `features` to unit length; rows of zeros stay zero.
fn unit_rows(features: Features<'_>) -> Vec<f32> {
    let scale = |row: &[f32]| {
        let norm = row.iter().map(|v| f64::from(*v).powi(2)).sum::<f64>().sqrt();
        let factor = if norm > 0.0 { norm.recip() } else { 0.0 };
        row.iter().map(|v| (f64::from(*v) * factor) as f32).collect::<Vec<_>>()
    };
    features.values.par_chunks(features.dim).flat_map_iter(scale).collect()
}

/// Computes, for each row of `queries`, the dot products with all rows of `database`.
fn cosines(queries: &[f32], database: &[f32], dim: usize) -> Vec<Vec<f32>> {
    let images = database.len() / dim;
    let mut scores = vec![Vec::with_capacity(images); queries.len() / dim];
    for row in database.chunks_exact(dim) {
        for (scores, query) in scores.iter_mut().zip(queries.chunks_exact(dim)) {
            scores.push(dot(query, row));
        }
    }
    scores
}

/// Computes the dot product. The order of summation is fixed, so that equal rows tie.
fn dot(a: &[f32], b: &[f32]) -> f32 {
    // Independent sums, which the compiler can keep in vector registers.
    const LANES: usize = 16;
    let ((a, a_rest), (b, b_rest)) = (a.as_chunks::<LANES>(), b.as_chunks::<LANES>());
    let mut sums = [0f32; LANES];
    for (a, b) in a.iter().zip(b) {
        for lane in 0..LANES {
            sums[lane] += a[lane] * b[lane];
        }
    }
    let rest: f32 = a_rest.iter().zip(b_rest).map(|(x, y)| x * y).sum();
    sums.iter().sum::<f32>() + rest
}

/// The metrics of one query.
struct Figures {
    ap: f64,
    precision: [f64; 3],
    recall: [f64; RECALL_DEPTHS.len()],
    radius: Option<f64>,
    curve: [f64; CURVE_POINTS],
}

impl Figures {
    const ZERO: Self = Self {
        ap: 0.0,
        precision: [0.0; 3],
        recall: [0.0; RECALL_DEPTHS.len()],
        radius: None,
        curve: [0.0; CURVE_POINTS],
    };

    /// Computes the metrics of one ranking; `None` if nothing in it is relevant.
    fn of(levels: &[Level], ball: Option<&[Level]>) -> Option<Self> {
        Some(Self {
            ap: metrics::average_precision(levels)?,
            precision: [1, 10, 100].map(|k| metrics::precision_at(levels, k)),
            recall: RECALL_DEPTHS.map(|k| metrics::recall_at(levels, k).unwrap_or(0.0)),
            radius: ball.map(metrics::precision_within),
            curve: metrics::precision_recall(levels)?,
        })
    }

    /// Adds `weight` times the metrics of `other`.
    fn add(&mut self, other: &Self, weight: f64) {
        let add = |sum: &mut f64, value: &f64| *sum += value * weight;
        add(&mut self.ap, &other.ap);
        self.precision.iter_mut().zip(&other.precision).for_each(|(s, v)| add(s, v));
        self.recall.iter_mut().zip(&other.recall).for_each(|(s, v)| add(s, v));
        self.curve.iter_mut().zip(&other.curve).for_each(|(s, v)| add(s, v));
        if let Some(value) = &other.radius {
            add(self.radius.get_or_insert(0.0), value);
        }
    }
}

/// Averages over the queries that have metrics, summing in the order of the queries.
fn mean(figures: Vec<Option<Figures>>, database: usize) -> Result<Metrics, EvalError> {
    let queries = figures.len();
    let known: Vec<&Figures> = figures.iter().flatten().collect();
    if known.is_empty() {
        return Err(EvalError::NothingRelevant(queries));
    }
    let mut sum = Figures::ZERO;
    known.iter().for_each(|figures| sum.add(figures, 1.0));
    let mut mean = Figures::ZERO;
    mean.add(&sum, 1.0 / known.len() as f64);
    let depths = RECALL_DEPTHS.into_iter().zip(mean.recall);
    let recall_at =
        depths.filter(|(k, _)| *k <= database).map(|(k, recall)| RecallAt { k, recall });
    let recall_of = |t: usize| t as f64 / (CURVE_POINTS - 1) as f64;
    let curve = mean.curve.iter().enumerate();
    let curve =
        curve.map(|(t, precision)| CurvePoint { recall: recall_of(t), precision: *precision });
    Ok(Metrics {
        queries,
        database,
        skipped_queries: queries - known.len(),
        map: mean.ap,
        p_at_1: mean.precision[0],
        p_at_10: mean.precision[1],
        p_at_100: mean.precision[2],
        recall_at: recall_at.collect(),
        p_radius_2: mean.radius,
        curve: curve.collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hash::FeatureError;
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;
    use std::sync::atomic::AtomicBool;

    fn codes(rows: &[&str]) -> BinaryCodes {
        let bits = rows[0].len();
        let sign = |c: char| if c == '1' { 1.0 } else { -1.0 };
        let values: Vec<f32> = rows.iter().flat_map(|row| row.chars().map(sign)).collect();
        BinaryCodes::from_signs(bits, &values).unwrap()
    }

    fn one_each(labels: &[u32]) -> Vec<Vec<u32>> {
        labels.iter().map(|label| vec![*label]).collect()
    }

    fn features(dim: usize, values: &[f32]) -> Features<'_> {
        Features { dim, values }
    }

    #[test]
    fn worked_by_hand() {
        let database = codes(&["0000", "0001", "0010", "1111"]);
        // Query 0: class 5 at distances 0 and 1, where it ties with class 6. Query 1: class 9 is
        // not in the database. Query 2: with both labels, all images except the last are relevant.
        let queries = codes(&["0000", "0000", "1111"]);
        let labels = vec![vec![5], vec![9], vec![5, 6]];
        let metrics = evaluate(
            &queries,
            &labels,
            &database,
            &[vec![5], vec![5, 8], vec![6], vec![7]],
            &Task::unwatched(),
        )
        .unwrap();
        assert_eq!((metrics.queries, metrics.database, metrics.skipped_queries), (3, 4, 1));
        let first = (1.0 + (1.0 + 2.0 / 3.0) / 2.0) / 2.0;
        let third = (0.5 + 2.0 / 3.0 + 0.75) / 3.0;
        assert!((metrics.map - (first + third) / 2.0).abs() < 1e-15);
        assert_eq!(metrics.p_at_1, 0.5);
        assert_eq!(metrics.p_at_10, (2.0 / 4.0 + 3.0 / 4.0) / 2.0);
        assert_eq!(metrics.p_radius_2, Some((2.0 / 3.0 + 0.0) / 2.0));
        assert_eq!(metrics.recall_at, [RecallAt { k: 1, recall: 0.25 }]);
        assert_eq!(metrics.curve.len(), 101);
        assert_eq!(
            metrics.curve[100],
            CurvePoint { recall: 1.0, precision: (2.0 / 3.0 + 0.75) / 2.0 }
        );
    }

    #[test]
    fn json_has_the_published_fields() {
        let some = codes(&["01"]);
        let metrics =
            evaluate(&some, &one_each(&[1]), &some, &one_each(&[1]), &Task::unwatched()).unwrap();
        let json = serde_json::to_value(&metrics).unwrap();
        for field in
            ["queries", "database", "skipped_queries", "map", "p_at_1", "p_at_10", "p_at_100"]
        {
            assert!(json[field].is_number(), "{field}");
        }
        assert_eq!(json["p_radius_2"], 1.0);
        assert_eq!(json["recall_at"], serde_json::json!([{"k": 1, "recall": 1.0}]));
        assert_eq!(json["curve"][3], serde_json::json!({"recall": 0.03, "precision": 1.0}));
    }

    #[test]
    fn scores_and_distances_agree_on_the_same_ranking() {
        // For codes of ±1, the cosine is 1 − 2·distance/bits, which gives the same levels. If the
        // number of bits is a power of 4, unit rows contain powers of 2 and no sum is rounded.
        let mut rng = ChaCha8Rng::seed_from_u64(3);
        for bits in [1, 4, 16, 64, 256] {
            let mut random = |rows: usize| -> (Vec<f32>, Vec<Vec<u32>>) {
                let values =
                    (0..rows * bits).map(|_| if rng.random() { 1.0 } else { -1.0 }).collect();
                let labels = (0..rows).map(|_| vec![rng.random_range(0..4u32)]).collect();
                (values, labels)
            };
            let ((q, q_labels), (d, d_labels)) = (random(37), random(211));
            let of = |v: &[f32]| BinaryCodes::from_signs(bits, v).unwrap();
            let hamming =
                evaluate(&of(&q), &q_labels, &of(&d), &d_labels, &Task::unwatched()).unwrap();
            let (q, d) = (features(bits, &q), features(bits, &d));
            let cosine = evaluate_scores(q, &q_labels, d, &d_labels, &Task::unwatched()).unwrap();
            assert_eq!(cosine.p_radius_2, None);
            assert!(hamming.p_radius_2.is_some());
            assert!((cosine.map - hamming.map).abs() < 1e-12, "{bits}");
            assert!((cosine.p_at_10 - hamming.p_at_10).abs() < 1e-12, "{bits}");
            assert!((cosine.curve[40].precision - hamming.curve[40].precision).abs() < 1e-12);
        }
    }

    #[test]
    fn given_scores_rank_as_the_distances_that_they_are_of() {
        let mut rng = ChaCha8Rng::seed_from_u64(4);
        let mut random = |rows: usize| -> (BinaryCodes, Vec<Vec<u32>>) {
            let signs: Vec<f32> =
                (0..rows * 12).map(|_| if rng.random() { 1.0 } else { -1.0 }).collect();
            let labels = (0..rows).map(|_| vec![rng.random_range(0..4u32)]).collect();
            (BinaryCodes::from_signs(12, &signs).unwrap(), labels)
        };
        let ((q, q_labels), (d, d_labels)) = (random(19), random(150));
        let scores = |query: usize| -> Vec<f32> {
            let distance = |row| BinaryCodes::distance(q.row(query), d.row(row)) as f32;
            (0..d.len()).map(|row| 3.0 - 2.0 * distance(row)).collect()
        };
        let by_scores = evaluate_by(scores, &q_labels, &d_labels, &Task::unwatched()).unwrap();
        let hamming = evaluate(&q, &q_labels, &d, &d_labels, &Task::unwatched()).unwrap();
        assert_eq!(by_scores, Metrics { p_radius_2: None, ..hamming });
        let few =
            evaluate_by(|_| vec![1.0; 3], &q_labels, &d_labels, &Task::unwatched()).unwrap_err();
        assert_eq!(few, EvalError::Labels { side: "database", images: 3, labels: 150 });
        let none = evaluate_by(scores, &[], &d_labels, &Task::unwatched()).unwrap_err();
        assert_eq!(none, EvalError::Empty("query"));
    }

    #[test]
    fn ranking_counts_queries_and_can_be_stopped() {
        let some = codes(&["01", "10", "11"]);
        let labels = one_each(&[1, 2, 1]);
        let rows = features(1, &[1.0, 2.0, 3.0]);
        let all = |task: &Task<'_>| {
            [
                evaluate(&some, &labels, &some, &labels, task),
                evaluate_scores(rows, &labels, rows, &labels, task),
                evaluate_by(|_| vec![0.0; 3], &labels, &labels, task),
            ]
        };
        let (most, stop) = (AtomicUsize::new(0), AtomicBool::new(false));
        let progress = |done: usize, total: usize| {
            assert_eq!(total, 3);
            most.fetch_max(done, Ordering::Relaxed);
        };
        let task = Task::new(&progress, &stop);
        assert!(all(&task).iter().all(Result::is_ok));
        assert_eq!(most.load(Ordering::Relaxed), 3);
        stop.store(true, Ordering::Relaxed);
        assert!(all(&task).iter().all(|result| *result == Err(EvalError::Stopped(Stopped))));
    }

    #[test]
    fn equal_scores_are_ties_and_zero_rows_are_harmless() {
        // Two equal rows, one of them relevant: the expectation is 3/4, not 1 or 1/2.
        let database = [0.6, 0.8, 0.6, 0.8];
        let map = |labels: &[u32]| {
            let (query, database) = (features(2, &[1.0, 0.0]), features(2, &database));
            evaluate_scores(query, &one_each(&[1]), database, &one_each(labels), &Task::unwatched())
                .unwrap()
                .map
        };
        assert_eq!((map(&[1, 2]), map(&[2, 1])), (0.75, 0.75));
        let zeros = features(2, &[0.0; 4]);
        let metrics = evaluate_scores(
            zeros,
            &one_each(&[1, 2]),
            zeros,
            &one_each(&[1, 2]),
            &Task::unwatched(),
        )
        .unwrap();
        assert_eq!(metrics.map, 0.75);
    }

    #[test]
    fn what_cannot_be_evaluated_is_an_error() {
        let (some, none) = (codes(&["01", "10"]), BinaryCodes::new(2).unwrap());
        let labels = one_each(&[1, 2]);
        assert_eq!(
            evaluate(&none, &[], &some, &labels, &Task::unwatched()),
            Err(EvalError::Empty("query"))
        );
        assert_eq!(
            evaluate(&some, &labels, &none, &[], &Task::unwatched()),
            Err(EvalError::Empty("database"))
        );
        let short = EvalError::Labels { side: "database", images: 2, labels: 1 };
        assert_eq!(evaluate(&some, &labels, &some, &labels[..1], &Task::unwatched()), Err(short));
        let longer = codes(&["011", "100"]);
        assert_eq!(
            evaluate(&longer, &labels, &some, &labels, &Task::unwatched()),
            Err(CodeError::Mixed(3, 2).into())
        );
        let others = one_each(&[3, 4]);
        assert_eq!(
            evaluate(&some, &others, &some, &labels, &Task::unwatched()),
            Err(EvalError::NothingRelevant(2))
        );
        let rows = features(1, &[1.0, 2.0]);
        let wrong = features(2, &[1.0, 2.0, 3.0, f32::NAN]);
        assert!(evaluate_scores(rows, &labels, wrong, &labels, &Task::unwatched()).is_err());
        let wider = features(2, &[1.0; 4]);
        let error = evaluate_scores(rows, &labels, wider, &labels, &Task::unwatched()).unwrap_err();
        assert_eq!(error, EvalError::Features(FeatureError::Dim { expected: 2, found: 1 }));
    }
}
