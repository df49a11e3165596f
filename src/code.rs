/*!
Binary codes: the output of a model for an image, and the input of ranking.

This module only handles bits and words. It does not depend on hashing, ranking or storage.
*/

use std::fmt::Write as _;

/// Maximum code length in bits.
pub const MAX_BITS: usize = 1024;

/// Why a set of codes could not be created.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CodeError {
    /// The code length is outside 1..=1024.
    #[error("a code has 1 to {MAX_BITS} bits, not {0}; choose a length in that range")]
    Bits(usize),
    /// The number of values, words or bytes does not match the code length.
    #[error("a code of {bits} bits needs {expected} {unit}, but {found} were given")]
    Length {
        /// The code length in bits.
        bits: usize,
        /// The number of units that a code (or a set of codes) needs.
        expected: usize,
        /// The number of units given.
        found: usize,
        /// The unit: "values", "words", "bytes" or "hexadecimal digits".
        unit: &'static str,
    },
    /// A padding bit is set, so the code was made for another length.
    #[error("a bit beyond the code's {0} bits is set; the code was made for another length")]
    Padding(usize),
    /// A character that is not a hexadecimal digit.
    #[error("'{0}' is not a hexadecimal digit; a code is written with 0-9 and a-f")]
    Hex(char),
    /// Two sets of codes have different lengths and cannot be joined or compared.
    #[error("codes of {0} bits cannot be compared with codes of {1} bits")]
    Mixed(usize, usize),
}

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
        if !(1..=MAX_BITS).contains(&bits) {
            return Err(CodeError::Bits(bits));
        }
        let words = Vec::new();
        Ok(Self { bits, words })
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
            for chunk in row.chunks(64) {
                let word = chunk.iter().enumerate();
                let word = word.fold(0u64, |w, (k, v)| w | u64::from(*v >= 0.0) << k);
                codes.words.push(word);
            }
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
        let mask = codes.padding();
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

    /// Reads one code in the format of [`BinaryCodes::hex`].
    ///
    /// # Errors
    /// If the text has the wrong length, contains anything but hexadecimal digits, or has a
    /// padding bit set, or if `bits` is out of range.
    pub fn from_hex(bits: usize, text: &str) -> Result<Self, CodeError> {
        let mut codes = Self::new(bits)?;
        let expected = bits.div_ceil(8) * 2;
        let mut digits = Vec::with_capacity(expected);
        for c in text.chars() {
            digits.push(c.to_digit(16).ok_or(CodeError::Hex(c))? as u8);
        }
        if digits.len() != expected {
            return Err(codes.length(expected, digits.len(), "hexadecimal digits"));
        }
        let bytes: Vec<u8> = digits.chunks_exact(2).map(|d| d[0] << 4 | d[1]).collect();
        codes.push_bytes(&bytes)?;
        Ok(codes)
    }

    /// Appends one code, given as `ceil(bits / 8)` bytes.
    ///
    /// # Errors
    /// If the length is wrong or a padding bit is set. Nothing is appended then.
    pub fn push_bytes(&mut self, bytes: &[u8]) -> Result<(), CodeError> {
        if bytes.len() != self.bits.div_ceil(8) {
            return Err(self.length(self.bits.div_ceil(8), bytes.len(), "bytes"));
        }
        let spare = bytes.len() * 8 - self.bits;
        let last = bytes.last().copied().unwrap_or(0);
        if spare > 0 && last >> (8 - spare) != 0 {
            return Err(CodeError::Padding(self.bits));
        }
        for chunk in bytes.chunks(8) {
            let mut word = [0u8; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.words.push(u64::from_le_bytes(word));
        }
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
        let mut bytes: Vec<u8> = self.row(i).iter().flat_map(|w| w.to_le_bytes()).collect();
        bytes.truncate(self.bits.div_ceil(8));
        bytes
    }

    /// Returns the bytes of [`BinaryCodes::row_bytes`] in lower-case hexadecimal.
    pub fn hex(&self, i: usize) -> String {
        let mut text = String::with_capacity(self.bits.div_ceil(8) * 2);
        for byte in self.row_bytes(i) {
            // Writing to a String cannot fail.
            let _ = write!(text, "{byte:02x}");
        }
        text
    }

    /// Returns code `i` as `bits` characters `0` and `1`, bit 0 first.
    pub fn bit_string(&self, i: usize) -> String {
        let row = self.row(i);
        let bit = |k: usize| if row[k / 64] >> (k % 64) & 1 == 1 { '1' } else { '0' };
        (0..self.bits).map(bit).collect()
    }

    /// Returns code `i` as `bits` numbers +1 and −1.
    pub fn signs(&self, i: usize) -> Vec<f32> {
        let row = self.row(i);
        let sign = |k: usize| if row[k / 64] >> (k % 64) & 1 == 1 { 1.0 } else { -1.0 };
        (0..self.bits).map(sign).collect()
    }

    /// Returns the Hamming distance of two packed rows of equal length.
    pub fn distance(a: &[u64], b: &[u64]) -> u32 {
        a.iter().zip(b).map(|(x, y)| (x ^ y).count_ones()).sum()
    }

    /// The mask of the padding bits in a code's last word.
    fn padding(&self) -> u64 {
        match self.bits % 64 {
            0 => 0,
            used => u64::MAX << used,
        }
    }

    fn length(&self, expected: usize, found: usize, unit: &'static str) -> CodeError {
        CodeError::Length { bits: self.bits, expected, found, unit }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn sign_of_zero_is_plus_one() {
        let codes = BinaryCodes::from_signs(4, &[0.0, -0.0, -1.0, f32::NAN]).unwrap();
        assert_eq!(codes.bit_string(0), "1100");
        assert_eq!(codes.signs(0), [1.0, 1.0, -1.0, -1.0]);
    }

    #[test]
    fn wrong_lengths_are_errors() {
        assert_eq!(BinaryCodes::new(0), Err(CodeError::Bits(0)));
        assert_eq!(BinaryCodes::new(1025), Err(CodeError::Bits(1025)));
        assert!(BinaryCodes::from_signs(3, &[1.0; 4]).is_err());
        assert!(BinaryCodes::from_words(65, vec![0; 3]).is_err());
        assert_eq!(BinaryCodes::from_words(3, vec![8]), Err(CodeError::Padding(3)));
        assert_eq!(BinaryCodes::from_bytes(12, &[0, 0x10]), Err(CodeError::Padding(12)));
        assert!(BinaryCodes::from_hex(12, "00").is_err());
        assert_eq!(BinaryCodes::from_hex(8, "0g"), Err(CodeError::Hex('g')));
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
                let back = BinaryCodes::from_hex(bits, &codes.hex(i)).unwrap();
                prop_assert_eq!(back.row(0), codes.row(i));
                let back = BinaryCodes::from_signs(bits, &codes.signs(i)).unwrap();
                prop_assert_eq!(back.row(0), codes.row(i));
            }
            prop_assert_eq!(&BinaryCodes::from_bytes(bits, &bytes).unwrap(), &codes);
            let words = codes.words().to_vec();
            prop_assert_eq!(&BinaryCodes::from_words(bits, words).unwrap(), &codes);
        }
    }
}
