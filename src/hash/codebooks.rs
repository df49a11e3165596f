/*!
Additive quantization: approximates a vector by the sum of one word from each codebook, and
computes the distances of such sums to a query.

After Babenko and Lempitsky, "Additive Quantization for Extreme Vector Compression" (CVPR
2014). A codebook has 16 words, so a word index takes 4 bits, and M codebooks give codes of 4·M
bits. Words have the full dimension of the vectors, so the words of all codebooks overlap. Product
quantization is the special case in which the words of different codebooks are orthogonal.
*/

use rayon::prelude::*;

use super::HashError;
use super::kernel::squared_distance;
use crate::code::BinaryCodes;

/// Words per codebook.
pub const WORDS: usize = 16;
/// Bits per word index.
pub const WORD_BITS: usize = 4;
/// Word indices in 64 bits.
const IN_64: usize = 64 / WORD_BITS;
/// Maximum rounds over the codebooks when words are chosen; usually converges after about five.
const ROUNDS: usize = 16;
/// Partial sums that are kept from codebook to codebook when words are chosen.
const BEAM: usize = 8;

/// Codebooks of [`WORDS`] words each, for vectors of one dimension.
#[derive(Debug, Clone, PartialEq)]
pub struct Codebooks {
    dim: usize,
    /// `[codebooks, 16, dim]`.
    words: Vec<f32>,
}

impl Codebooks {
    /// Creates codebooks for vectors of `dim` numbers from all their words, codebook by codebook.
    ///
    /// # Errors
    /// If `words` does not fill whole codebooks, their indices are too many for a code, or a
    /// number is not finite.
    pub fn new(dim: usize, words: Vec<f32>) -> Result<Self, HashError> {
        let numbers = words.len();
        if dim == 0 || numbers == 0 || !numbers.is_multiple_of(dim.saturating_mul(WORDS)) {
            return Err(HashError::Codebooks { dim, numbers });
        }
        BinaryCodes::new(numbers / dim / WORDS * WORD_BITS)?;
        if words.iter().any(|v| !v.is_finite()) {
            return Err(HashError::NotFinite);
        }
        Ok(Self { dim, words })
    }

    /// Number of codebooks, M.
    pub fn count(&self) -> usize {
        self.words.len() / self.dim / WORDS
    }

    /// Bits per code: 4 per codebook.
    pub fn bits(&self) -> usize {
        self.count() * WORD_BITS
    }

    /// Numbers per vector.
    pub fn dim(&self) -> usize {
        self.dim
    }

    /// All words, codebook by codebook.
    pub fn words(&self) -> &[f32] {
        &self.words
    }

    /// One word of a codebook.
    fn word(&self, codebook: usize, word: usize) -> &[f32] {
        let at = (codebook * WORDS + word) * self.dim;
        &self.words[at..at + self.dim]
    }

    /// Chooses words whose sum is near `vector`, and returns one index per codebook.
    ///
    /// Beam search: codebook by codebook, the [`BEAM`] partial sums that are nearest to the vector
    /// are each continued by all words. Then runs [`Codebooks::improve`].
    pub fn choose(&self, vector: &[f32]) -> Vec<u8> {
        let start = Partial { off: 0.0, left: vector.to_vec(), chosen: Vec::new() };
        let mut beam = vec![start];
        for codebook in 0..self.count() {
            let from = |(at, partial): (usize, &Partial)| {
                let off = |word| squared_distance(&partial.left, self.word(codebook, word));
                (0..WORDS).map(|word| (off(word), at, word)).collect::<Vec<_>>()
            };
            let mut next: Vec<_> = beam.iter().enumerate().flat_map(from).collect();
            // The sort is stable: the first of equals stays first.
            next.sort_by(|a, b| a.0.total_cmp(&b.0));
            next.truncate(BEAM);
            let more = |&(off, at, word): &(f32, usize, usize)| {
                let mut next = beam[at].clone();
                next.off = off;
                next.chosen.push(word as u8);
                add(&mut next.left, self.word(codebook, word), -1.0);
                next
            };
            beam = next.iter().map(more).collect();
        }
        let best = beam.into_iter().next();
        let mut chosen = best.map_or_else(Vec::new, |partial| partial.chosen);
        self.improve(vector, &mut chosen);
        chosen
    }

    /// Re-chooses each word with all others fixed, codebook by codebook, until nothing changes:
    /// iterated conditional modes (Besag, 1986). Never increases the distance of the sum to
    /// `vector`.
    pub fn improve(&self, vector: &[f32], chosen: &mut [u8]) {
        let mut left = vector.to_vec();
        self.sum(chosen).iter().zip(&mut left).for_each(|(sum, left)| *left -= sum);
        for _ in 0..ROUNDS {
            let mut changed = false;
            for (codebook, word) in chosen.iter_mut().enumerate() {
                let present = self.word(codebook, usize::from(*word));
                add(&mut left, present, 1.0);
                let (nearest, distance) = self.nearest(codebook, &left);
                if distance < squared_distance(&left, present) {
                    *word = nearest as u8;
                    changed = true;
                }
                add(&mut left, self.word(codebook, usize::from(*word)), -1.0);
            }
            if !changed {
                break;
            }
        }
    }

    /// Returns the word of a codebook that is nearest to a vector (the first on ties), and its
    /// squared distance.
    fn nearest(&self, codebook: usize, vector: &[f32]) -> (usize, f32) {
        let distance = |word| squared_distance(vector, self.word(codebook, word));
        let first = (0, distance(0));
        (1..WORDS).fold(first, |best, word| {
            let distance = distance(word);
            if distance < best.1 { (word, distance) } else { best }
        })
    }

    /// Returns the sum of the chosen words, one per codebook.
    pub fn sum(&self, chosen: &[u8]) -> Vec<f32> {
        let mut sum = vec![0.0; self.dim];
        for (codebook, word) in chosen.iter().enumerate() {
            add(&mut sum, self.word(codebook, usize::from(*word)), 1.0);
        }
        sum
    }

    /// Returns the concatenated word indices of all vectors.
    pub fn choose_all(&self, vectors: &[f32]) -> Vec<u8> {
        vectors.par_chunks_exact(self.dim).flat_map_iter(|vector| self.choose(vector)).collect()
    }

    /// Computes the codes of vectors. The word index of codebook m is bits 4m to 4m + 3.
    ///
    /// # Errors
    /// If the values do not fill whole vectors.
    pub fn encode(&self, vectors: &[f32]) -> Result<BinaryCodes, HashError> {
        if !vectors.len().is_multiple_of(self.dim) {
            return Err(HashError::Shape { dim: self.dim, weights: vectors.len() });
        }
        let chosen = self.choose_all(vectors);
        let pack = |word: u64, (k, number): (usize, &u8)| word | u64::from(*number) << (4 * k);
        let packed = chosen
            .chunks_exact(self.count())
            .flat_map(|code| code.chunks(IN_64).map(|some| some.iter().enumerate().fold(0, pack)));
        Ok(BinaryCodes::from_words(self.bits(), packed.collect())?)
    }

    /// Returns the word indices of a packed code, codebook by codebook.
    pub(super) fn words_of(&self, code: &[u64]) -> Vec<u8> {
        self.numbers_of(code).map(|word| word as u8).collect()
    }

    /// Returns the word indices of a code, codebook by codebook.
    fn numbers_of<'a>(&self, code: &'a [u64]) -> impl Iterator<Item = usize> + 'a {
        let nibbles = |word: &u64| {
            let word = *word;
            (0..IN_64).map(move |k| (word >> (WORD_BITS * k)) as usize % WORDS)
        };
        code.iter().flat_map(nibbles).take(self.count())
    }

    /// Computes ‖x‖² of the sum x of each code. [`Codebooks::scores`] needs it in addition to
    /// the codes.
    pub fn lengths(&self, codes: &BinaryCodes) -> Vec<f32> {
        let length =
            |code: &[u64]| self.sum(&self.words_of(code)).iter().map(|v| v * v).sum::<f32>();
        codes.words().par_chunks_exact(codes.row_words()).map(length).collect()
    }

    /// Computes the score `2u·x − ‖x‖²` between the query vector u and the sum x of each code.
    /// It equals `‖u‖² − ‖u − x‖²`, so a greater score means a smaller squared distance.
    ///
    /// The query is not quantized. Its products with all words form a table, and a score adds
    /// one entry per codebook. Equal codes have bit-identical scores.
    pub fn scores(&self, vector: &[f32], codes: &BinaryCodes, lengths: &[f32]) -> Vec<f32> {
        let product = |word: &[f32]| 2.0 * word.iter().zip(vector).map(|(a, b)| a * b).sum::<f32>();
        let table: Vec<f32> = self.words.chunks_exact(self.dim).map(product).collect();
        let rows = codes.words().chunks_exact(codes.row_words());
        rows.zip(lengths)
            .map(|(code, length)| {
                let entries = table.chunks_exact(WORDS).zip(self.numbers_of(code));
                entries.map(|(entries, word)| entries[word]).sum::<f32>() - length
            })
            .collect()
    }
}

/// A sum of words of the first codebooks.
#[derive(Debug, Clone)]
struct Partial {
    /// Its squared distance to the vector.
    off: f32,
    /// The vector minus the sum.
    left: Vec<f32>,
    /// The words.
    chosen: Vec<u8>,
}

/// Adds `scale · what` to `to`.
fn add(to: &mut [f32], what: &[f32], scale: f32) {
    to.iter_mut().zip(what).for_each(|(to, what)| *to += scale * what);
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Pseudo-random numbers from −1 to 1.
    pub fn values(count: usize, seed: usize) -> Vec<f32> {
        let mix = |i: usize| (i + 7919 * seed).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 40;
        (0..count).map(|i| (mix(i) % 20_011) as f32 / 10_005.0 - 1.0).collect()
    }

    pub fn codebooks(dim: usize, seed: usize) -> Codebooks {
        Codebooks::new(dim, values(dim / WORD_BITS * WORDS * dim, seed)).unwrap()
    }

    /// The squared distance of a vector to the sum of the chosen words, in double precision.
    pub fn error(books: &Codebooks, vector: &[f32], chosen: &[u8]) -> f64 {
        let off = |k: usize| {
            let word = |(m, w): (usize, &u8)| f64::from(books.word(m, usize::from(*w))[k]);
            f64::from(vector[k]) - chosen.iter().enumerate().map(word).sum::<f64>()
        };
        (0..books.dim()).map(|k| off(k).powi(2)).sum()
    }

    proptest! {
        #[test]
        fn improving_never_moves_a_sum_away(seed in 0usize..1000, quarter in 1usize..9) {
            let dim = quarter * 4;
            let (books, vector) = (codebooks(dim, seed), values(dim, seed + 1));
            let mut chosen: Vec<u8> = (0..books.count()).map(|m| ((m * 7 + seed) % 16) as u8).collect();
            let before = error(&books, &vector, &chosen);
            books.improve(&vector, &mut chosen);
            let after = error(&books, &vector, &chosen);
            prop_assert!(after <= before + 1e-6, "{after} after {before}");
            // No single change of a word improves the sum.
            for m in 0..books.count() {
                for word in 0..16 {
                    let mut other = chosen.clone();
                    other[m] = word;
                    prop_assert!(error(&books, &vector, &other) >= after - 1e-5);
                }
            }
        }

        #[test]
        fn scores_are_plain_squared_distances(seed in 0usize..1000, quarter in 1usize..40) {
            let dim = quarter * 4;
            let books = codebooks(dim, seed);
            let images = values(dim * 9, seed + 1);
            let query = values(dim, seed + 2);
            let codes = books.encode(&images).unwrap();
            prop_assert_eq!((codes.len(), codes.bits()), (9, dim));
            let found = books.scores(&query, &codes, &books.lengths(&codes));
            let own: f64 = query.iter().map(|v| f64::from(*v).powi(2)).sum();
            for (score, image) in found.iter().zip(images.chunks(dim)) {
                let expected = own - error(&books, &query, &books.choose(image));
                prop_assert!((f64::from(*score) - expected).abs() < 1e-4 * (1.0 + expected.abs()));
            }
        }
    }

    #[test]
    fn words_are_the_best_ones_where_all_can_be_tried() {
        // One codebook: the nearest word.
        let books = codebooks(4, 3);
        for seed in 0..50 {
            let vector = values(4, seed);
            let best = (0..16).min_by(|a, b| {
                error(&books, &vector, &[*a]).total_cmp(&error(&books, &vector, &[*b]))
            });
            assert_eq!(books.choose(&vector), [best.unwrap()]);
        }
        // Two codebooks with disjoint non-zero dimensions.
        let mut words = values(2 * WORDS * 8, 5);
        for (at, word) in words.chunks_mut(8).enumerate() {
            let zero = if at < 16 { 4..8 } else { 0..4 };
            word[zero].fill(0.0);
        }
        let books = Codebooks::new(8, words).unwrap();
        for seed in 0..20 {
            let vector = values(8, seed);
            let all = (0..16u8).flat_map(|a| (0..16u8).map(move |b| [a, b]));
            let best =
                all.min_by(|a, b| error(&books, &vector, a).total_cmp(&error(&books, &vector, b)));
            assert_eq!(books.choose(&vector), best.unwrap());
        }
    }

    #[test]
    fn codebooks_may_be_fewer_or_more_than_a_quarter_of_the_numbers() {
        for (dim, count) in [(5, 1), (40, 3), (2, 9)] {
            let books = Codebooks::new(dim, values(count * WORDS * dim, 4)).unwrap();
            assert_eq!((books.count(), books.bits(), books.dim()), (count, 4 * count, dim));
            let (images, query) = (values(dim * 7, 1), values(dim, 2));
            let codes = books.encode(&images).unwrap();
            assert_eq!((codes.len(), codes.bits()), (7, 4 * count));
            let scores = books.scores(&query, &codes, &books.lengths(&codes));
            let own: f32 = query.iter().map(|v| v * v).sum();
            for (score, image) in scores.iter().zip(images.chunks(dim)) {
                let expected = own - squared_distance(&query, &books.sum(&books.choose(image)));
                assert!((score - expected).abs() < 1e-4, "{score} {expected}");
            }
        }
    }

    #[test]
    fn a_code_is_the_numbers_of_its_words() {
        // More word indices than fit into 64 bits.
        let books = codebooks(72, 1);
        let vectors = values(72 * 3, 2);
        let codes = books.encode(&vectors).unwrap();
        for (row, vector) in vectors.chunks(72).enumerate() {
            let chosen = books.choose(vector);
            let bytes = codes.row_bytes(row);
            let expected: Vec<u8> = chosen.chunks(2).map(|pair| pair[0] | pair[1] << 4).collect();
            assert_eq!(bytes, expected);
            let numbers: Vec<u8> = books.numbers_of(codes.row(row)).map(|n| n as u8).collect();
            assert_eq!(numbers, chosen);
        }
        assert_eq!(codes.row_bytes(0).len(), 9);
    }

    #[test]
    fn what_are_no_codebooks_is_an_error() {
        for (dim, numbers) in [(0, 16), (0, 0), (8, 255), (8, 0), (12, 256), (usize::MAX, 16)] {
            let error = Codebooks::new(dim, vec![0.0; numbers]);
            assert_eq!(error, Err(HashError::Codebooks { dim, numbers }));
        }
        // 257 codebooks would need 1028 bits.
        assert!(matches!(Codebooks::new(1, vec![0.0; 257 * WORDS]), Err(HashError::Code(_))));
        let mut words = vec![0.0; 256];
        words[200] = f32::NAN;
        assert_eq!(Codebooks::new(8, words), Err(HashError::NotFinite));
        assert!(codebooks(8, 1).encode(&[0.0; 9]).is_err());
        // An infinite vector has no nearest word, but still gets a code.
        assert_eq!(codebooks(8, 1).encode(&[f32::INFINITY; 8]).unwrap().len(), 1);
    }
}
