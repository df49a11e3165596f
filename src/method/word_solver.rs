/*!
Learning codebooks from vectors.

The first codebooks come from k-means, each on the residuals of the previous ones. Then two steps
alternate: choosing words for every vector, and computing the words of all codebooks jointly in
closed form from these choices. No step raises the error.
*/

use faer::Mat;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;

use super::{MethodError, linalg};
use crate::code::BinaryCodes;
use crate::hash::HashError;
use crate::hash::codebooks::{Codebooks, WORD_BITS, WORDS};
use crate::hash::kernel::squared_distance;

/// Iterations of k-means per codebook.
const LLOYD: usize = 10;
/// Weight, in vectors, that pulls a word to its previous value. It only decides what the choices
/// leave undetermined: words that no vector chose, and offsets between codebooks (adding a vector
/// to all words of one codebook and subtracting it from all of another changes no sum).
const RIDGE: f64 = 0.01;

/// Returns initial codebooks. The words of the first are means of clusters of vectors, those of
/// each later one are means of clusters of residuals.
///
/// # Errors
/// If there are no vectors, or the indices of `count` words are too many for a code.
pub fn first(vectors: &[f32], dim: usize, count: usize, seed: u64) -> Result<Codebooks, HashError> {
    if vectors.is_empty() || dim == 0 || !vectors.len().is_multiple_of(dim) {
        return Err(HashError::Shape { dim, weights: vectors.len() });
    }
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut left = vectors.to_vec();
    BinaryCodes::new(count * WORD_BITS)?;
    let mut words = Vec::with_capacity(count * WORDS * dim);
    for _ in 0..count {
        let means = means(&left, dim, &mut rng);
        left.par_chunks_exact_mut(dim).for_each(|vector| {
            let nearest = nearest(&means, vector);
            vector.iter_mut().zip(&means[nearest * dim..]).for_each(|(v, mean)| *v -= mean);
        });
        words.extend(means);
    }
    Codebooks::new(dim, words)
}

/// Computes 16 means by k-means, with initial vectors drawn by their distance to earlier ones
/// (Arthur and Vassilvitskii, "k-means++", SODA 2007).
pub(super) fn means(vectors: &[f32], dim: usize, rng: &mut ChaCha8Rng) -> Vec<f32> {
    let row = |at: usize| &vectors[at * dim..(at + 1) * dim];
    let count = vectors.len() / dim;
    let mut means = row(rng.random_range(0..count)).to_vec();
    let mut far: Vec<f64> = vec![f64::INFINITY; count];
    for drawn in 1..WORDS {
        let last = &means[(drawn - 1) * dim..];
        let nearer = |(at, far): (usize, &mut f64)| {
            *far = far.min(f64::from(squared_distance(row(at), last)));
        };
        far.iter_mut().enumerate().for_each(nearer);
        let mut place = rng.random::<f64>() * far.iter().sum::<f64>();
        let passed = |far: &f64| {
            place -= far;
            place < 0.0
        };
        // If every vector coincides with a word, any vector will do; this takes the last one.
        let next = far.iter().position(passed).unwrap_or(count - 1);
        means.extend_from_slice(row(next));
    }
    for _ in 0..LLOYD {
        let chosen: Vec<usize> =
            vectors.par_chunks_exact(dim).map(|vector| nearest(&means, vector)).collect();
        let (mut sums, mut counts) = (vec![0.0f64; WORDS * dim], [0usize; WORDS]);
        for (word, vector) in chosen.iter().zip(vectors.chunks_exact(dim)) {
            counts[*word] += 1;
            let sum = &mut sums[word * dim..(word + 1) * dim];
            sum.iter_mut().zip(vector).for_each(|(s, v)| *s += f64::from(*v));
        }
        for (word, n) in counts.iter().enumerate().filter(|(_, n)| **n > 0) {
            let (at, n) = (word * dim..(word + 1) * dim, *n as f64);
            means[at.clone()].iter_mut().zip(&sums[at]).for_each(|(m, s)| *m = (s / n) as f32);
        }
    }
    means
}

/// Returns the index of the nearest mean.
pub(super) fn nearest(means: &[f32], vector: &[f32]) -> usize {
    let distances = means.chunks_exact(vector.len()).map(|mean| squared_distance(vector, mean));
    let best = distances.enumerate().min_by(|a, b| a.1.total_cmp(&b.1));
    best.map_or(0, |(word, _)| word)
}

/// Improves codebooks for `vectors` in `rounds` rounds.
///
/// # Errors
/// If the values of the vectors are too large.
pub fn learn(
    mut books: Codebooks,
    vectors: &[f32],
    rounds: usize,
) -> Result<Codebooks, MethodError> {
    let mut chosen = books.choose_all(vectors);
    for round in 0..rounds {
        if round > 0 {
            improve(&books, vectors, &mut chosen);
        }
        books = solve(&books, vectors, &chosen)?;
    }
    Ok(books)
}

/// Chooses words for each vector again and keeps the previous choice where it is better.
fn improve(books: &Codebooks, vectors: &[f32], chosen: &mut [u8]) {
    let rows = vectors.par_chunks_exact(books.dim());
    rows.zip(chosen.par_chunks_exact_mut(books.count())).for_each(|(vector, chosen)| {
        books.improve(vector, chosen);
        let anew = books.choose(vector);
        let off = |words: &[u8]| squared_distance(vector, &books.sum(words));
        if off(&anew) < off(chosen) {
            chosen.copy_from_slice(&anew);
        }
    });
}

/// Returns the words whose sums are nearest to the vectors, given the choices: the minimum of
/// `Σ ‖u − Σ_m C_m[b_m]‖² + ρ·‖C − C'‖²` is `(BᵀB + ρI)⁻¹(BᵀU + ρC')`. C' are the previous words;
/// row i of B has a 1 for each word that vector i chose and 0 elsewhere.
fn solve(books: &Codebooks, vectors: &[f32], chosen: &[u8]) -> Result<Codebooks, MethodError> {
    let (dim, count) = (books.dim(), books.count());
    let size = count * WORDS;
    let mut gram = Mat::<f64>::zeros(size, size);
    let at = |row: usize, column: usize| f64::from(books.words()[row * dim + column]);
    let mut right = Mat::from_fn(size, dim, |row, column| RIDGE * at(row, column));
    for (vector, words) in vectors.chunks_exact(dim).zip(chosen.chunks_exact(count)) {
        let place = |(m, word): (usize, &u8)| m * WORDS + usize::from(*word);
        let places: Vec<usize> = words.iter().enumerate().map(place).collect();
        for row in &places {
            places.iter().for_each(|column| gram[(*row, *column)] += 1.0);
            vector.iter().enumerate().for_each(|(k, v)| right[(*row, k)] += f64::from(*v));
        }
    }
    (0..size).for_each(|row| gram[(row, row)] += RIDGE);
    let words = linalg::Cholesky::new(gram.as_ref())?.solve(right);
    let rows = (0..size).flat_map(|row| (0..dim).map(move |column| (row, column)));
    Ok(Codebooks::new(dim, rows.map(|place| words[place] as f32).collect())?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hash::codebooks::tests::{codebooks, error, values};

    /// Returns the mean squared distance of vectors to the sums of newly chosen words.
    fn off(books: &Codebooks, vectors: &[f32]) -> f64 {
        let rows = vectors.chunks(books.dim());
        let count = rows.len() as f64;
        rows.map(|vector| error(books, vector, &books.choose(vector))).sum::<f64>() / count
    }

    #[test]
    fn the_closed_form_solves_plain_normal_equations() {
        let (dim, n) = (8, 90);
        let (books, vectors) = (codebooks(dim, 1), values(dim * n, 2));
        let chosen = books.choose_all(&vectors);
        let found = solve(&books, &vectors, &chosen).unwrap();
        // The gradient is 0 in every component of every word.
        for m in 0..2 {
            for word in 0..16usize {
                for k in 0..dim {
                    let at = (m * 16 + word) * dim + k;
                    let mut slope = RIDGE * f64::from(found.words()[at] - books.words()[at]);
                    for (vector, own) in vectors.chunks(dim).zip(chosen.chunks(2)) {
                        if usize::from(own[m]) == word {
                            let sum: f64 = (0..2)
                                .map(|m| (m * 16 + usize::from(own[m])) * dim + k)
                                .map(|at| f64::from(found.words()[at]))
                                .sum();
                            slope += sum - f64::from(vector[k]);
                        }
                    }
                    assert!(slope.abs() < 1e-4, "{slope} at {at}");
                }
            }
        }
        // A word that no vector chose keeps its value.
        let unused = (0..16).find(|word| chosen.chunks(2).all(|own| own[0] != *word));
        let chosen: Vec<u8> = chosen.iter().map(|word| word % 4).collect();
        let found = solve(&books, &vectors, &chosen).unwrap();
        let at = usize::from(unused.unwrap_or(9).max(4)) * dim;
        let moved = squared_distance(&found.words()[at..at + dim], &books.words()[at..at + dim]);
        assert!(moved < 1e-10, "{moved}");
    }

    #[test]
    fn no_turn_raises_the_error() {
        let vectors = values(12 * 200, 4);
        let mut books = first(&vectors, 12, 3, 1).unwrap();
        let mut chosen = books.choose_all(&vectors);
        let total = |books: &Codebooks, chosen: &[u8]| -> f64 {
            vectors.chunks(12).zip(chosen.chunks(3)).map(|(v, c)| error(books, v, c)).sum()
        };
        let mut last = total(&books, &chosen);
        for _ in 0..6 {
            books = solve(&books, &vectors, &chosen).unwrap();
            let solved = total(&books, &chosen);
            assert!(solved <= last + 1e-6, "{solved} after {last}");
            improve(&books, &vectors, &mut chosen);
            last = total(&books, &chosen);
            assert!(last <= solved + 1e-6, "{last} after {solved}");
        }
    }

    #[test]
    fn learned_words_are_better_than_first_ones_and_than_random_ones() {
        let vectors = values(16 * 400, 3);
        let begun = first(&vectors, 16, 4, 7).unwrap();
        let better = learn(begun.clone(), &vectors, 4).unwrap();
        let [random, begun_off, learned] =
            [&codebooks(16, 5), &begun, &better].map(|books| off(books, &vectors));
        assert!(begun_off < 0.5 * random, "{begun_off} {random}");
        assert!(learned < 0.9 * begun_off, "{learned} {begun_off}");
        assert_eq!(first(&vectors, 16, 4, 7).unwrap(), begun);
        assert!(first(&vectors, 16, 4, 8).unwrap() != begun, "the seed draws");
    }

    #[test]
    fn few_and_equal_vectors_are_enough() {
        for vectors in [values(8, 1), vec![0.25; 8 * 5], vec![0.0; 8 * 40]] {
            let books = learn(first(&vectors, 8, 2, 1).unwrap(), &vectors, 3).unwrap();
            assert!(off(&books, &vectors) < 1e-6);
        }
        assert!(first(&[], 8, 2, 1).is_err());
        assert!(first(&[0.0; 12], 5, 2, 1).is_err());
        assert!(first(&[0.0; 12], 6, 257, 1).is_err());
    }
}
