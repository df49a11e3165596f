/*!
Many binary codes of one length.
*/

use super::{Code, CodeError, packing};

/// A set of binary codes, all of one length, as packed rows of 64-bit words.
///
/// Bit `k` of a code is bit `k % 64` of word `k / 64`; a set bit stands for +1, a clear one
/// for −1. The padding bits after the code are always clear, so the Hamming distance of two
/// codes is the popcount of the xor of their words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BinaryCodes {
    bits: usize,
    words: Vec<u64>,
}

impl BinaryCodes {
    /// Creates an empty set of codes of `bits` bits.
    ///
    /// # Errors
    /// [`CodeError::Bits`] unless `1 <= bits <= 1024`.
    pub fn new(bits: usize) -> Result<Self, CodeError> {
        packing::check_bits(bits)?;
        Ok(Self { bits, words: Vec::new() })
    }

    /// Creates codes from the signs of `values`, `rows × bits` numbers in row order.
    ///
    /// sign(0) = +1, and NaN counts as −1.
    ///
    /// # Errors
    /// If `bits` is out of range or the values do not fill whole rows.
    pub fn from_signs(bits: usize, values: &[f32]) -> Result<Self, CodeError> {
        let mut codes = Self::new(bits)?;
        if !values.len().is_multiple_of(bits) {
            let expected = values.len().div_ceil(bits) * bits;
            return Err(codes.length(expected, values.len(), "values"));
        }
        codes.words.reserve(values.len() / bits * codes.row_words());
        for row in values.chunks_exact(bits) {
            codes.words.extend(packing::words_of_signs(row));
        }
        Ok(codes)
    }

    /// Creates codes from packed words, `row_words()` per code.
    ///
    /// # Errors
    /// If `bits` is out of range, the words do not fill whole rows, or a padding bit is set.
    pub fn from_words(bits: usize, words: Vec<u64>) -> Result<Self, CodeError> {
        let mut codes = Self::new(bits)?;
        let row = codes.row_words();
        if !words.len().is_multiple_of(row) {
            let expected = words.len().div_ceil(row) * row;
            return Err(codes.length(expected, words.len(), "words"));
        }
        let mask = packing::padding(bits);
        if words.iter().skip(row - 1).step_by(row).any(|w| w & mask != 0) {
            return Err(CodeError::Padding(bits));
        }
        codes.words = words;
        Ok(codes)
    }

    /// Reads concatenated codes in the format of [`BinaryCodes::row_bytes`].
    ///
    /// # Errors
    /// If `bits` is out of range, the bytes do not fill whole rows, or a padding bit is set.
    pub fn from_bytes(bits: usize, bytes: &[u8]) -> Result<Self, CodeError> {
        let mut codes = Self::new(bits)?;
        let row = bits.div_ceil(8);
        if !bytes.len().is_multiple_of(row) {
            let expected = bytes.len().div_ceil(row) * row;
            return Err(codes.length(expected, bytes.len(), "bytes"));
        }
        codes.words.reserve(bytes.len() / row * codes.row_words());
        for code in bytes.chunks_exact(row) {
            codes.push_bytes(code)?;
        }
        Ok(codes)
    }

    /// Appends one code.
    ///
    /// # Errors
    /// [`CodeError::Mixed`] if it has another length.
    pub fn push(&mut self, code: &Code) -> Result<(), CodeError> {
        if self.bits != code.bits() {
            return Err(CodeError::Mixed(self.bits, code.bits()));
        }
        self.words.extend_from_slice(code.words());
        Ok(())
    }

    /// Appends one code, given as `ceil(bits / 8)` bytes.
    ///
    /// # Errors
    /// If the length is wrong or a padding bit is set. Nothing is appended then.
    pub fn push_bytes(&mut self, bytes: &[u8]) -> Result<(), CodeError> {
        self.words.extend(packing::words_of_bytes(self.bits, bytes)?);
        Ok(())
    }

    /// Appends all codes of `other`.
    ///
    /// # Errors
    /// [`CodeError::Mixed`] if the code lengths differ.
    pub fn extend(&mut self, other: &Self) -> Result<(), CodeError> {
        if self.bits != other.bits {
            return Err(CodeError::Mixed(self.bits, other.bits));
        }
        self.words.extend_from_slice(&other.words);
        Ok(())
    }

    /// Returns the codes at `rows`, in that order.
    ///
    /// # Panics
    /// If a row is out of range.
    pub fn select(&self, rows: &[usize]) -> Self {
        let words = rows.iter().flat_map(|row| self.row(*row)).copied().collect();
        Self { bits: self.bits, words }
    }

    /// Returns code `i`, or `None` if there is no such code.
    pub fn get(&self, i: usize) -> Option<Code> {
        (i < self.len()).then(|| Code::of_row(self.bits, self.row(i)))
    }

    /// Returns all codes, in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = Code> + '_ {
        self.words.chunks_exact(self.row_words()).map(|row| Code::of_row(self.bits, row))
    }

    /// Bits per code.
    pub fn bits(&self) -> usize {
        self.bits
    }

    /// Number of codes.
    pub fn len(&self) -> usize {
        self.words.len() / self.row_words()
    }

    /// Whether the set is empty.
    pub fn is_empty(&self) -> bool {
        self.words.is_empty()
    }

    /// 64-bit words per code.
    pub fn row_words(&self) -> usize {
        self.bits.div_ceil(64)
    }

    /// The packed words of all codes, row by row.
    pub fn words(&self) -> &[u64] {
        &self.words
    }

    /// The packed words of code `i`.
    ///
    /// # Panics
    /// If `i >= len()`.
    pub fn row(&self, i: usize) -> &[u64] {
        let n = self.row_words();
        &self.words[i * n..(i + 1) * n]
    }

    /// Returns code `i` as `ceil(bits / 8)` bytes: bit `k` is bit `k % 8` of byte `k / 8`.
    pub fn row_bytes(&self, i: usize) -> Vec<u8> {
        packing::bytes(self.bits, self.row(i))
    }

    /// Returns the bytes of [`BinaryCodes::row_bytes`] in lower-case hexadecimal.
    pub fn hex(&self, i: usize) -> String {
        packing::hex(&self.row_bytes(i))
    }

    /// Returns code `i` as `bits` characters `0` and `1`, bit 0 first.
    pub fn bit_string(&self, i: usize) -> String {
        let bits = packing::each_bit(self.bits, self.row(i));
        bits.map(|bit| if bit { '1' } else { '0' }).collect()
    }

    /// Returns code `i` as `bits` numbers +1 and −1.
    pub fn signs(&self, i: usize) -> Vec<f32> {
        let bits = packing::each_bit(self.bits, self.row(i));
        bits.map(|bit| if bit { 1.0 } else { -1.0 }).collect()
    }

    /// Returns the Hamming distance of two packed rows of equal length.
    pub fn distance(a: &[u64], b: &[u64]) -> u32 {
        packing::distance(a, b)
    }

    fn length(&self, expected: usize, found: usize, unit: &'static str) -> CodeError {
        CodeError::Length { bits: self.bits, expected, found, unit }
    }
}

impl From<&Code> for BinaryCodes {
    /// A set of this one code.
    fn from(code: &Code) -> Self {
        Self { bits: code.bits(), words: code.words().to_vec() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::code::MAX_BITS;
    use proptest::prelude::*;

    #[test]
    fn sign_of_zero_is_plus_one() {
        let codes = BinaryCodes::from_signs(4, &[0.0, -0.0, -1.0, f32::NAN]).unwrap();
        assert_eq!(codes.bit_string(0), "1100");
        assert_eq!(codes.signs(0), [1.0, 1.0, -1.0, -1.0]);
    }

    fn a_code(bits: usize) -> Result<Code, CodeError> {
        Code::from_signs(&vec![1.0; bits])
    }

    #[test]
    fn wrong_lengths_are_errors() {
        assert_eq!(BinaryCodes::new(0), Err(CodeError::Bits(0)));
        assert_eq!(BinaryCodes::new(1025), Err(CodeError::Bits(1025)));
        assert!(BinaryCodes::from_signs(3, &[1.0; 4]).is_err());
        assert!(BinaryCodes::from_words(65, vec![0; 3]).is_err());
        assert_eq!(BinaryCodes::from_words(3, vec![8]), Err(CodeError::Padding(3)));
        assert_eq!(BinaryCodes::from_bytes(12, &[0, 0x10]), Err(CodeError::Padding(12)));
        assert_eq!(
            a_code(8).map(|code| BinaryCodes::new(9).unwrap().push(&code)),
            Ok(Err(CodeError::Mixed(9, 8)))
        );
        let (mut a, b) = (BinaryCodes::new(8).unwrap(), BinaryCodes::new(9).unwrap());
        assert_eq!(a.extend(&b), Err(CodeError::Mixed(8, 9)));
    }

    proptest! {
        #[test]
        fn every_form_reads_back(bits in 1usize..=MAX_BITS, rows in 0usize..5, seed: u64) {
            let mut state = seed;
            let values: Vec<f32> = (0..rows * bits).map(|_| {
                state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
                (state >> 40) as f32 - 8_388_608.0
            }).collect();
            let codes = BinaryCodes::from_signs(bits, &values).unwrap();
            prop_assert_eq!(codes.len(), rows);
            let mut bytes = Vec::new();
            for i in 0..rows {
                bytes.extend(codes.row_bytes(i));
                let code = codes.get(i).unwrap();
                prop_assert_eq!((code.words(), code.hex()), (codes.row(i), codes.hex(i)));
                prop_assert_eq!((code.bit_string(), code.signs()), (codes.bit_string(i), codes.signs(i)));
                let back = BinaryCodes::from_signs(bits, &codes.signs(i)).unwrap();
                prop_assert_eq!(back.row(0), codes.row(i));
            }
            let mut pushed = BinaryCodes::new(bits).unwrap();
            codes.iter().for_each(|code| pushed.push(&code).unwrap());
            prop_assert_eq!(&pushed, &codes);
            prop_assert_eq!(&BinaryCodes::from_bytes(bits, &bytes).unwrap(), &codes);
            let words = codes.words().to_vec();
            prop_assert_eq!(&BinaryCodes::from_words(bits, words).unwrap(), &codes);
        }
    }
}
