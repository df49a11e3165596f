/*!
One binary code.
*/

use std::fmt;

use super::{CodeError, packing};

/// One binary code of 1 to 1024 bits.
///
/// Bit `k` is bit `k % 64` of word `k / 64`; a set bit stands for +1, a clear one for −1. It is
/// printed ([`Display`](fmt::Display)) in hexadecimal, as the program prints and reads codes.
/// There is no `FromStr`: digits alone do not tell 12 bits from 16, see [`Code::from_hex`].
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Code {
    bits: usize,
    words: Box<[u64]>,
}

impl Code {
    /// Creates a code from the signs of `values`, one value per bit.
    ///
    /// sign(0) = +1, and NaN counts as −1.
    ///
    /// # Errors
    /// [`CodeError::Bits`] unless there are 1 to 1024 values.
    pub fn from_signs(values: &[f32]) -> Result<Self, CodeError> {
        packing::check_bits(values.len())?;
        Ok(Self { bits: values.len(), words: packing::words_of_signs(values).collect() })
    }

    /// Creates a code from `ceil(bits / 64)` packed words.
    ///
    /// # Errors
    /// If `bits` is out of range, the number of words is wrong, or a padding bit is set.
    pub fn from_words(bits: usize, words: impl Into<Box<[u64]>>) -> Result<Self, CodeError> {
        packing::check_bits(bits)?;
        let (words, expected) = (words.into(), bits.div_ceil(64));
        if words.len() != expected {
            let found = words.len();
            return Err(CodeError::Length { bits, expected, found, unit: "words" });
        }
        if words.last().is_some_and(|last| last & packing::padding(bits) != 0) {
            return Err(CodeError::Padding(bits));
        }
        Ok(Self { bits, words })
    }

    /// Reads the output of [`Code::to_bytes`].
    ///
    /// # Errors
    /// If `bits` is out of range, the number of bytes is wrong, or a padding bit is set.
    pub fn from_bytes(bits: usize, bytes: &[u8]) -> Result<Self, CodeError> {
        packing::check_bits(bits)?;
        Ok(Self { bits, words: packing::words_of_bytes(bits, bytes)?.into() })
    }

    /// Reads the output of [`Code::hex`].
    ///
    /// # Errors
    /// If the text has the wrong length, contains anything but hexadecimal digits, or has a
    /// padding bit set, or if `bits` is out of range.
    pub fn from_hex(bits: usize, text: &str) -> Result<Self, CodeError> {
        packing::check_bits(bits)?;
        let expected = bits.div_ceil(8) * 2;
        let mut digits = Vec::with_capacity(expected);
        for c in text.chars() {
            digits.push(c.to_digit(16).ok_or(CodeError::Hex(c))? as u8);
        }
        if digits.len() != expected {
            let (found, unit) = (digits.len(), "hexadecimal digits");
            return Err(CodeError::Length { bits, expected, found, unit });
        }
        let bytes: Vec<u8> = digits.chunks_exact(2).map(|d| d[0] << 4 | d[1]).collect();
        Self::from_bytes(bits, &bytes)
    }

    /// Reads the output of [`Code::bit_string`]: one character `0` or `1` per bit, bit 0 first.
    ///
    /// # Errors
    /// If the text contains another character, or has not 1 to 1024 characters.
    pub fn from_bit_string(text: &str) -> Result<Self, CodeError> {
        let value = |c| match c {
            '0' => Ok(-1.0),
            '1' => Ok(1.0),
            other => Err(CodeError::Bit(other)),
        };
        Self::from_signs(&text.chars().map(value).collect::<Result<Vec<f32>, _>>()?)
    }

    /// Takes words that are known to fit.
    pub(super) fn of_row(bits: usize, words: &[u64]) -> Self {
        Self { bits, words: words.into() }
    }

    /// Number of bits.
    pub fn bits(&self) -> usize {
        self.bits
    }

    /// The packed words; the padding bits after the code are clear.
    pub fn words(&self) -> &[u64] {
        &self.words
    }

    /// Returns the code as `ceil(bits / 8)` bytes: bit `k` is bit `k % 8` of byte `k / 8`.
    pub fn to_bytes(&self) -> Vec<u8> {
        packing::bytes(self.bits, &self.words)
    }

    /// Returns the bytes of [`Code::to_bytes`] in lower-case hexadecimal.
    pub fn hex(&self) -> String {
        packing::hex(&self.to_bytes())
    }

    /// Returns the code as `bits` characters `0` and `1`, bit 0 first.
    pub fn bit_string(&self) -> String {
        packing::each_bit(self.bits, &self.words).map(|bit| if bit { '1' } else { '0' }).collect()
    }

    /// Returns the code as `bits` numbers +1 and −1.
    pub fn signs(&self) -> Vec<f32> {
        packing::each_bit(self.bits, &self.words).map(|bit| if bit { 1.0 } else { -1.0 }).collect()
    }

    /// Returns the Hamming distance to another code, in bits.
    ///
    /// # Errors
    /// [`CodeError::Mixed`] if the lengths differ.
    pub fn distance(&self, other: &Self) -> Result<u32, CodeError> {
        if self.bits != other.bits {
            return Err(CodeError::Mixed(self.bits, other.bits));
        }
        Ok(packing::distance(&self.words, &other.words))
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.hex())
    }
}

impl fmt::Debug for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Code({} bits, {})", self.bits, self.hex())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::code::{BinaryCodes, MAX_BITS};
    use proptest::prelude::*;

    #[test]
    fn wrong_lengths_and_characters_are_errors() {
        assert_eq!(Code::from_signs(&[]), Err(CodeError::Bits(0)));
        assert_eq!(Code::from_signs(&[1.0; 1025]), Err(CodeError::Bits(1025)));
        assert!(
            Code::from_words(65, vec![0]).is_err() && Code::from_words(64, vec![0, 0]).is_err()
        );
        assert_eq!(Code::from_words(3, vec![8]), Err(CodeError::Padding(3)));
        assert_eq!(Code::from_bytes(12, &[0, 0x10]), Err(CodeError::Padding(12)));
        assert!(Code::from_bytes(12, &[0]).is_err() && Code::from_bytes(8, &[0, 0]).is_err());
        assert!(Code::from_hex(12, "00").is_err());
        assert_eq!(Code::from_hex(8, "0g"), Err(CodeError::Hex('g')));
        assert_eq!(Code::from_bit_string("012"), Err(CodeError::Bit('2')));
        assert_eq!(Code::from_bit_string(""), Err(CodeError::Bits(0)));
        let (eight, nine) = (Code::from_signs(&[1.0; 8]), Code::from_signs(&[1.0; 9]));
        assert_eq!(eight.unwrap().distance(&nine.unwrap()), Err(CodeError::Mixed(8, 9)));
    }

    proptest! {
        #[test]
        fn every_form_reads_back(set in prop::collection::vec(any::<bool>(), 1..=MAX_BITS)) {
            let values: Vec<f32> = set.iter().map(|bit| if *bit { 0.0 } else { -0.5 }).collect();
            let (bits, code) = (set.len(), Code::from_signs(&values).unwrap());
            prop_assert_eq!(code.bits(), bits);
            prop_assert_eq!(&Code::from_hex(bits, &code.to_string()).unwrap(), &code);
            prop_assert_eq!(&Code::from_bytes(bits, &code.to_bytes()).unwrap(), &code);
            prop_assert_eq!(&Code::from_bit_string(&code.bit_string()).unwrap(), &code);
            prop_assert_eq!(&Code::from_signs(&code.signs()).unwrap(), &code);
            prop_assert_eq!(&Code::from_words(bits, code.words()).unwrap(), &code);
            let one = BinaryCodes::from(&code);
            prop_assert_eq!((one.len(), one.get(0), one.get(1)), (1, Some(code), None));
        }

        #[test]
        fn the_distance_counts_the_bits_that_differ(
            pairs in prop::collection::vec(any::<(bool, bool)>(), 1..=MAX_BITS),
        ) {
            let text = |bit: bool| if bit { '1' } else { '0' };
            let of = |text: String| Code::from_bit_string(&text).unwrap();
            let a = of(pairs.iter().map(|(a, _)| text(*a)).collect());
            let b = of(pairs.iter().map(|(_, b)| text(*b)).collect());
            let expected = pairs.iter().filter(|(a, b)| a != b).count() as u32;
            prop_assert_eq!(a.distance(&b), Ok(expected));
            prop_assert_eq!(b.distance(&a), Ok(expected));
        }
    }
}
