/*!
Squared distances between vectors and sums of words, as integers, so that word codes can be ranked
alike on every device.
*/

use std::sync::Arc;

use super::codebooks::WORDS;
use super::{Codebooks, FeatureError, HashError};
use crate::code::{BinaryCodes, Code, CodeError};
use crate::rank::WordTable;

/// Vectors are compared as they are up to this many times the length of the longest possible sum.
const REACH: f64 = 2.0;

/// Codebooks and the size of an integer step, chosen so that no score overflows.
///
/// The score of a code with the sum x, for a vector u, is `2u·x − ‖x‖²` in steps: the entries of
/// its words in [`WordScale::table`] minus its entry in [`WordScale::lengths`]. Since it equals
/// `‖u‖² − ‖u − x‖²`, a greater score means a smaller squared distance. The step depends on the
/// codebooks alone, so the order of two codes never depends on others.
///
/// ```
/// use barbule::hash::{Codebooks, WordScale};
///
/// // One codebook for single numbers: its words are 0 to 15.
/// let books = Codebooks::new(1, (0..16).map(|word| word as f32).collect())?;
/// let scale = WordScale::new(books);
/// let codes = scale.codebooks().encode(&[3.0, 9.0])?;
/// let table = scale.table(&[4.0])?;
///
/// let score = table.entries()[3] - scale.lengths(&codes)[0];
/// assert!((scale.squared_distance(&[4.0], score) - 1.0).abs() < 1e-4);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct WordScale {
    codebooks: Codebooks,
    /// Steps per unit of a squared distance.
    steps: f64,
    /// The length up to which vectors are compared as they are.
    reach: f64,
}

impl WordScale {
    /// Chooses the step for codebooks.
    pub fn new(codebooks: Codebooks) -> Self {
        let norm = |word: &[f32]| dot(word, word).sqrt();
        let longest: Vec<f64> = codebooks
            .words()
            .chunks_exact(codebooks.dim() * WORDS)
            .map(|book| book.chunks_exact(codebooks.dim()).map(norm).fold(0.0, f64::max))
            .collect();
        // No sum of words is longer.
        let most = longest.iter().sum::<f64>();
        let reach = REACH * most;
        let word = longest.iter().copied().fold(0.0, f64::max);
        let greatest = (2.0 * reach * word).max(most * most);
        // One step less, for the rounding of a single entry.
        let room = f64::from(WordTable::most(codebooks.count()) - 1);
        // Words of zeros alone have no distances that a step could divide.
        let steps = if greatest > 0.0 { room / greatest } else { 1.0 };
        Self { codebooks, steps, reach }
    }

    /// The codebooks.
    pub fn codebooks(&self) -> &Codebooks {
        &self.codebooks
    }

    /// Returns the sum of the words of a code: the vector that it stands for.
    ///
    /// # Errors
    /// [`CodeError::Mixed`] if the code has another length.
    pub fn sum(&self, code: &Code) -> Result<Vec<f32>, CodeError> {
        if code.bits() != self.codebooks.bits() {
            return Err(CodeError::Mixed(code.bits(), self.codebooks.bits()));
        }
        Ok(self.codebooks.sum(&self.codebooks.words_of(code.words())))
    }

    /// Computes the squared length of the sum of each code, in steps.
    pub fn lengths(&self, codes: &BinaryCodes) -> Arc<[i32]> {
        let lengths = self.codebooks.lengths(codes);
        lengths.iter().map(|length| self.in_steps(f64::from(*length))).collect()
    }

    /// Computes the table of a vector: `2u·w` for every word w, in steps. A vector of more than
    /// twice the length of the longest possible sum is shortened to that length.
    ///
    /// # Errors
    /// If the vector has another dimension, or a number is not finite.
    pub fn table(&self, vector: &[f32]) -> Result<WordTable, HashError> {
        let (dim, found) = (self.codebooks.dim(), vector.len());
        if found != dim {
            return Err(FeatureError::Dim { expected: dim, found }.into());
        }
        if vector.iter().any(|value| !value.is_finite()) {
            return Err(FeatureError::NotFinite(0).into());
        }
        let length = dot(vector, vector).sqrt();
        let scale = if length > self.reach { self.reach / length } else { 1.0 };
        let words = self.codebooks.words().chunks_exact(dim);
        let entries = words.map(|word| self.in_steps(2.0 * scale * dot(vector, word)));
        // Codebooks are few enough for a table, and entries within its limits.
        let numbers = self.codebooks.words().len();
        WordTable::new(entries.collect()).map_err(|_| HashError::Codebooks { dim, numbers })
    }

    /// Computes the score of a code, in steps.
    ///
    /// # Errors
    /// [`CodeError::Mixed`] if the table or the code belongs to another number of codebooks.
    pub fn score(&self, table: &WordTable, code: &Code) -> Result<i32, CodeError> {
        let bits = self.codebooks.bits();
        if code.bits() != bits || table.words() != self.codebooks.count() {
            return Err(CodeError::Mixed(code.bits(), bits));
        }
        let words = self.codebooks.words_of(code.words());
        let rows = table.entries().chunks_exact(WORDS).zip(words);
        let entries = rows.map(|(row, word)| row[usize::from(word)]).sum::<i32>();
        let length = self.lengths(&BinaryCodes::from(code)).first().copied();
        Ok(entries - length.unwrap_or_default())
    }

    /// Returns the squared length that is this many steps.
    pub fn squared(&self, steps: i32) -> f64 {
        f64::from(steps) / self.steps
    }

    /// Returns the squared distance between `vector` and the sum of a code with this score; at
    /// least 0.
    pub fn squared_distance(&self, vector: &[f32], score: i32) -> f64 {
        let length = dot(vector, vector);
        (length - self.squared(score)).max(0.0)
    }

    /// Rounds to steps, within the limits of an entry.
    fn in_steps(&self, value: f64) -> i32 {
        let most = f64::from(WordTable::most(self.codebooks.count()));
        (value * self.steps).round().clamp(-most, most) as i32
    }
}

/// The scalar product, summed in double precision and in order.
fn dot(a: &[f32], b: &[f32]) -> f64 {
    a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
}

#[cfg(test)]
mod tests {
    use super::super::codebooks::tests::{codebooks, error, values};
    use super::*;
    use crate::device::Device;
    use crate::rank::WordRanker;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn ranked_distances_are_plain_ones(seed in 0usize..1000, quarter in 1usize..40) {
            let dim = quarter * 4;
            let scale = WordScale::new(codebooks(dim, seed));
            let books = scale.codebooks();
            let codes = Arc::new(books.encode(&values(dim * 30, seed + 1)).unwrap());
            let query = values(dim, seed + 2);
            let lengths = scale.lengths(&codes);
            let ranker = WordRanker::new(&Device::Cpu, codes.clone(), lengths).unwrap();
            let table = scale.table(&query).unwrap();
            let hits = ranker.search(&table, 30, None).unwrap();
            let plain = |id: u32| error(books, &query, &books.words_of(codes.row(id as usize)));
            let mut before = 0.0f64;
            for hit in hits {
                let (found, expected) = (scale.squared_distance(&query, hit.score), plain(hit.id));
                prop_assert!((found - expected).abs() < 1e-4 * (1.0 + expected), "{} {}", found, expected);
                prop_assert!(found >= before);
                let code = codes.get(hit.id as usize).unwrap();
                prop_assert_eq!(scale.score(&table, &code).unwrap(), hit.score);
                before = found;
            }
        }

        #[test]
        fn no_vector_overflows(seed in 0usize..100, quarter in 1usize..65, power in 0i32..38) {
            let dim = quarter * 4;
            let scale = WordScale::new(codebooks(dim, seed));
            let long: Vec<f32> = values(dim, seed).iter().map(|v| v * 10f32.powi(power)).collect();
            let table = scale.table(&long).unwrap();
            prop_assert!(table.entries().iter().any(|entry| *entry != 0));
        }
    }

    #[test]
    fn a_code_stands_for_the_sum_of_its_words() {
        let scale = WordScale::new(codebooks(8, 4));
        let codes = scale.codebooks().encode(&values(8, 5)).unwrap();
        let code = codes.get(0).unwrap();
        let sum = scale.sum(&code).unwrap();
        assert_eq!(sum, scale.codebooks().sum(&scale.codebooks().choose(&values(8, 5))));
        // Its distance to itself.
        let table = scale.table(&sum).unwrap();
        let score = scale.score(&table, &code).unwrap();
        assert!(scale.squared_distance(&sum, score) < 1e-4);
        let other = Code::from_signs(&[1.0; 12]).unwrap();
        assert_eq!(scale.sum(&other), Err(CodeError::Mixed(12, 8)));
        assert_eq!(scale.score(&table, &other), Err(CodeError::Mixed(12, 8)));
    }

    #[test]
    fn odd_vectors_and_words_are_handled() {
        let scale = WordScale::new(codebooks(8, 4));
        assert!(scale.table(&[0.0; 7]).is_err());
        let mut broken = [0.0; 8];
        broken[3] = f32::INFINITY;
        assert!(scale.table(&broken).is_err());
        let zeros = WordScale::new(Codebooks::new(2, vec![0.0; 32]).unwrap());
        assert_eq!(zeros.table(&[5.0, 1.0]).unwrap().entries(), [0; 16]);
        assert_eq!(zeros.squared_distance(&[3.0, 4.0], 0), 25.0);
    }
}
