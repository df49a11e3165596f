/*!
Bits in 64-bit words and back. Bit `k` of a code is bit `k % 64` of word `k / 64`.
*/

use std::fmt::Write as _;

use super::{CodeError, MAX_BITS};

/// # Errors
/// [`CodeError::Bits`] unless `1 <= bits <= 1024`.
pub(super) fn check_bits(bits: usize) -> Result<(), CodeError> {
    if (1..=MAX_BITS).contains(&bits) { Ok(()) } else { Err(CodeError::Bits(bits)) }
}

/// The mask of the padding bits in a code's last word.
pub(super) fn padding(bits: usize) -> u64 {
    match bits % 64 {
        0 => 0,
        used => u64::MAX << used,
    }
}

/// Returns the words of one code, given by the signs of its values.
pub(super) fn words_of_signs(values: &[f32]) -> impl Iterator<Item = u64> + '_ {
    values.chunks(64).map(|chunk| {
        let bits = chunk.iter().enumerate();
        bits.fold(0u64, |word, (k, value)| word | u64::from(*value >= 0.0) << k)
    })
}

/// Returns the words of one code of `bits` bits, given as `ceil(bits / 8)` bytes.
///
/// # Errors
/// If the length is wrong or a padding bit is set.
pub(super) fn words_of_bytes(bits: usize, bytes: &[u8]) -> Result<Vec<u64>, CodeError> {
    let expected = bits.div_ceil(8);
    if bytes.len() != expected {
        return Err(CodeError::Length { bits, expected, found: bytes.len(), unit: "bytes" });
    }
    let spare = expected * 8 - bits;
    let last = bytes.last().copied().unwrap_or(0);
    if spare > 0 && last >> (8 - spare) != 0 {
        return Err(CodeError::Padding(bits));
    }
    let word = |chunk: &[u8]| {
        let mut word = [0u8; 8];
        word[..chunk.len()].copy_from_slice(chunk);
        u64::from_le_bytes(word)
    };
    Ok(bytes.chunks(8).map(word).collect())
}

/// Returns one code of `bits` bits as `ceil(bits / 8)` bytes.
pub(super) fn bytes(bits: usize, words: &[u64]) -> Vec<u8> {
    let mut bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
    bytes.truncate(bits.div_ceil(8));
    bytes
}

/// Returns bytes in lower-case hexadecimal.
pub(super) fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

/// Returns the bits of one code, the first bit first.
pub(super) fn each_bit(bits: usize, words: &[u64]) -> impl Iterator<Item = bool> + '_ {
    (0..bits).map(|k| words[k / 64] >> (k % 64) & 1 == 1)
}

/// Returns the Hamming distance of two packed codes of equal length.
pub(super) fn distance(a: &[u64], b: &[u64]) -> u32 {
    a.iter().zip(b).map(|(x, y)| (x ^ y).count_ones()).sum()
}
