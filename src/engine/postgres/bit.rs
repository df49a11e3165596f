/*!
Codes as PostgreSQL's `bit(n)`.
*/

use pgvector::Bit;

use crate::code::{BinaryCodes, Code, CodeError};

/// Converts code `row` to PostgreSQL's `bit(n)`.
pub(super) fn to_bit(codes: &BinaryCodes, row: usize) -> Bit {
    let words = codes.row(row);
    let bits: Vec<bool> = (0..codes.bits()).map(|k| words[k / 64] >> (k % 64) & 1 == 1).collect();
    Bit::new(&bits)
}

/// Converts a server's `bit(n)` to a code.
pub(super) fn of_bit(bit: &Bit, bits: usize) -> Result<Code, CodeError> {
    let bytes: Vec<u8> = bit.as_bytes().iter().map(|byte| byte.reverse_bits()).collect();
    if bit.len() != bits {
        return Err(CodeError::Mixed(bit.len(), bits));
    }
    Code::from_bytes(bits, &bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_code_comes_back_from_bits(bits in 1usize..200, values in prop::collection::vec(-1f32..1.0, 200)) {
            let codes = BinaryCodes::from_signs(bits, &values[..bits]).unwrap();
            let bit = to_bit(&codes, 0);
            prop_assert_eq!(bit.len(), bits);
            prop_assert_eq!(of_bit(&bit, bits).ok(), codes.get(0));
            prop_assert!(of_bit(&bit, bits + 1).is_err());
        }
    }

    #[test]
    fn the_first_bit_stands_first() {
        let codes = BinaryCodes::from(&Code::from_hex(12, "0108").unwrap());
        // Bits 0 and 11.
        assert_eq!(to_bit(&codes, 0).as_bytes(), [0b1000_0000, 0b0001_0000]);
    }
}
