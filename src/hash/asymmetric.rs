/*!
Asymmetric scores: the real values of a query against the codes of images.

After Gordo, Perronnin, Gong and Lazebnik, "Asymmetric distances for binary embeddings" (TPAMI
2014). Only the stored side is reduced to signs; a bit counts as much as the query is sure of it.
*/

use super::{FeatureError, HashError};
use crate::code::{BinaryCodes, Code, CodeError};

/// Entries of a table: one for each value of a byte.
const ENTRIES: usize = 256;

/// The values of a query, or of several together, as tables that give codes their scores.
///
/// The score of a code is the cosine of a query's values v and the code b, a vector of +1 and −1:
/// `Σ v_k·b_k / (‖v‖·√c)`, from −1 to 1. It is 0 if all values are 0. The score of several queries
/// is the sum of theirs.
///
/// There is a table for every byte of a code, and a score adds one entry of each, in the order of
/// the bytes. It is therefore the same on every machine, and equal codes have equal scores.
#[derive(Debug, Clone, PartialEq)]
pub struct Asymmetric {
    bits: usize,
    tables: Vec<[f32; ENTRIES]>,
}

impl Asymmetric {
    /// Makes the tables of `values`, q×c numbers in row order: one row for each query, one number
    /// for each of the c = `bits` bits.
    ///
    /// # Errors
    /// If `bits` is out of range, the values do not fill whole rows, or one is not finite.
    pub fn new(bits: usize, values: &[f32]) -> Result<Self, HashError> {
        BinaryCodes::new(bits)?;
        if !values.len().is_multiple_of(bits) {
            let (found, unit) = (values.len(), "values");
            let expected = found.div_ceil(bits) * bits;
            return Err(CodeError::Length { bits, expected, found, unit }.into());
        }
        if let Some(at) = values.iter().position(|value| !value.is_finite()) {
            return Err(FeatureError::NotFinite(at / bits).into());
        }
        let mut weights = vec![0f64; bits];
        for row in values.chunks_exact(bits) {
            let norm = row.iter().map(|value| f64::from(*value).powi(2)).sum::<f64>().sqrt();
            let scale = if norm > 0.0 { 1.0 / (norm * (bits as f64).sqrt()) } else { 0.0 };
            let scaled = row.iter().map(|value| f64::from(*value) * scale);
            weights.iter_mut().zip(scaled).for_each(|(sum, weight)| *sum += weight);
        }
        let table = |weights: &[f64]| {
            std::array::from_fn(|byte| {
                let is_set = |k: usize| byte >> k & 1 == 1;
                let signed = weights.iter().enumerate();
                let signed = signed.map(|(k, weight)| if is_set(k) { *weight } else { -weight });
                signed.sum::<f64>() as f32
            })
        };
        Ok(Self { bits, tables: weights.chunks(8).map(table).collect() })
    }

    /// Bits per code, c.
    pub fn bits(&self) -> usize {
        self.bits
    }

    /// Computes the score of a code.
    ///
    /// # Errors
    /// [`CodeError::Mixed`] if the code has another length.
    pub fn score(&self, code: &Code) -> Result<f32, CodeError> {
        self.fits(code.bits())?;
        Ok(self.score_of(code.words()))
    }

    /// Computes the scores of codes, in their order.
    ///
    /// # Errors
    /// [`CodeError::Mixed`] if the codes have another length.
    pub fn scores(&self, codes: &BinaryCodes) -> Result<Vec<f32>, CodeError> {
        self.fits(codes.bits())?;
        Ok(codes.words().chunks_exact(codes.row_words()).map(|row| self.score_of(row)).collect())
    }

    fn fits(&self, bits: usize) -> Result<(), CodeError> {
        if bits == self.bits { Ok(()) } else { Err(CodeError::Mixed(bits, self.bits)) }
    }

    /// Computes the score of the packed words of a code.
    fn score_of(&self, words: &[u64]) -> f32 {
        // The last word may have more bytes than the code.
        let bytes = words.iter().flat_map(|word| word.to_le_bytes());
        let entries = self.tables.iter().zip(bytes).map(|(table, byte)| table[usize::from(byte)]);
        // Of the two zeros the positive one, so that scores of 0 are equal in every order.
        entries.sum::<f32>() + 0.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::code::MAX_BITS;
    use proptest::prelude::*;

    /// The score by its definition.
    fn plain(bits: usize, values: &[f32], signs: &[f32]) -> f64 {
        let dot = |a: &[f32], b: &[f32]| -> f64 {
            a.iter().zip(b).map(|(x, y)| f64::from(*x) * f64::from(*y)).sum()
        };
        let length = |row| (dot(row, row) * bits as f64).sqrt();
        values.chunks(bits).map(|row| dot(row, signs) / length(row)).sum()
    }

    #[test]
    fn a_score_is_the_cosine_of_values_and_signs() {
        let tables = Asymmetric::new(2, &[3.0, -4.0]).unwrap();
        let score = |code| tables.score(&Code::from_bit_string(code).unwrap()).unwrap();
        let root = 2f32.sqrt();
        for (code, expected) in [("10", 7.0), ("01", -7.0), ("11", -1.0), ("00", 1.0)] {
            assert!((score(code) - expected / (5.0 * root)).abs() < 1e-6, "{code}");
        }
        // The code of equal values is at the end of the scale.
        let even = Asymmetric::new(9, &[0.25; 9]).unwrap();
        let code = Code::from_signs(&[1.0; 9]).unwrap();
        assert!((even.score(&code).unwrap() - 1.0).abs() < 1e-6);
        // Values of nothing give no order, and any length of the values is as good.
        let none = Asymmetric::new(2, &[0.0; 2]).unwrap();
        let codes = BinaryCodes::from_words(2, vec![0, 1, 2, 3]).unwrap();
        assert!(none.scores(&codes).unwrap().iter().all(|score| score.to_bits() == 0));
        let huge = Asymmetric::new(2, &[3e38, -3e38]).unwrap();
        assert!(huge.tables[0].iter().all(|entry| entry.is_finite()));
    }

    #[test]
    fn wrong_values_and_codes_are_errors() {
        assert_eq!(Asymmetric::new(0, &[]), Err(CodeError::Bits(0).into()));
        assert!(Asymmetric::new(1025, &[0.0; 1025]).is_err());
        let length = CodeError::Length { bits: 3, expected: 6, found: 4, unit: "values" };
        assert_eq!(Asymmetric::new(3, &[0.0; 4]), Err(length.into()));
        let broken = Asymmetric::new(2, &[1.0, 1.0, f32::NAN, 1.0]);
        assert_eq!(broken, Err(FeatureError::NotFinite(1).into()));
        let tables = Asymmetric::new(8, &[1.0; 8]).unwrap();
        let nine = Code::from_signs(&[1.0; 9]).unwrap();
        assert_eq!(tables.score(&nine), Err(CodeError::Mixed(9, 8)));
        assert_eq!(tables.scores(&BinaryCodes::from(&nine)), Err(CodeError::Mixed(9, 8)));
    }

    proptest! {
        #[test]
        fn tables_give_the_scores_of_a_plain_loop(
            bits in 1usize..=MAX_BITS, queries in 1usize..4, images in 0usize..6, seed: u64,
        ) {
            let mut state = seed;
            let mut draw = |count: usize| -> Vec<f32> {
                (0..count).map(|_| {
                    state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
                    (state >> 40) as f32 / 8_388_608.0 - 1.0
                }).collect()
            };
            let values = draw(queries * bits);
            let codes = BinaryCodes::from_signs(bits, &draw(images * bits)).unwrap();
            let tables = Asymmetric::new(bits, &values).unwrap();
            let scores = tables.scores(&codes).unwrap();
            prop_assert_eq!((tables.bits(), scores.len()), (bits, images));
            for (image, score) in scores.iter().enumerate() {
                let expected = plain(bits, &values, &codes.signs(image));
                prop_assert!((f64::from(*score) - expected).abs() < 1e-5, "{} {}", score, expected);
                prop_assert!(score.abs() < queries as f32 + 1e-5);
                prop_assert_eq!(tables.score(&codes.get(image).unwrap()), Ok(*score));
            }
            // No code has a greater score than the query's own.
            let own = BinaryCodes::from_signs(bits, &values[..bits]).unwrap();
            let one = Asymmetric::new(bits, &values[..bits]).unwrap();
            let best = one.scores(&own).unwrap()[0];
            prop_assert!(one.scores(&codes).unwrap().iter().all(|score| *score <= best + 1e-6));
        }
    }
}
