/*!
Errors of creating codes.
*/

use super::MAX_BITS;

/// An error of creating a set of codes.
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
    /// A character that is not a binary digit.
    #[error("'{0}' is not a binary digit; a bit string is written with 0 and 1")]
    Bit(char),
    /// Two sets of codes have different lengths and cannot be joined or compared.
    #[error("codes of {0} bits cannot be compared with codes of {1} bits")]
    Mixed(usize, usize),
}
