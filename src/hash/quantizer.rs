/*!
The quantizer: a hash whose codes are indices of codebook words instead of signs.
*/

use super::{Codebooks, FeatureError, Features, HashError, LinearHash};
use crate::code::BinaryCodes;

/// A linear map `u = (x − mean)·P + bias`, and the codebooks that quantize `u` to codes.
///
/// These codes are compared with the real values of a query ([`Codebooks::scores`]), never with
/// each other by Hamming distance.
#[derive(Debug, Clone, PartialEq)]
pub struct Quantizer {
    linear: LinearHash,
    codebooks: Codebooks,
}

impl Quantizer {
    /// Creates a hash in which `codebooks` quantize the output of `linear`.
    ///
    /// # Errors
    /// If the dimensions of the two differ.
    pub fn new(linear: LinearHash, codebooks: Codebooks) -> Result<Self, HashError> {
        let (dim, numbers) = (linear.bits(), codebooks.words().len());
        if codebooks.dim() == dim {
            Ok(Self { linear, codebooks })
        } else {
            Err(HashError::Codebooks { dim, numbers })
        }
    }

    /// The linear map to the real values.
    pub fn linear(&self) -> &LinearHash {
        &self.linear
    }

    /// The codebooks.
    pub fn codebooks(&self) -> &Codebooks {
        &self.codebooks
    }

    /// Features per image, d.
    pub fn dim(&self) -> usize {
        self.linear.dim()
    }

    /// Bits per code, c: 4 per codebook.
    pub fn bits(&self) -> usize {
        self.linear.bits()
    }

    /// Computes the real values, n×c numbers in row order.
    ///
    /// # Errors
    /// See [`LinearHash::project`].
    pub fn project(&self, features: &Features<'_>) -> Result<Vec<f32>, FeatureError> {
        self.linear.project(features)
    }

    /// Computes the codes.
    ///
    /// # Errors
    /// See [`Quantizer::project`].
    pub fn encode(&self, features: &Features<'_>) -> Result<BinaryCodes, HashError> {
        self.codebooks.encode(&self.project(features)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hash::codebooks::tests::{codebooks, values};

    #[test]
    fn codes_are_those_of_the_real_values() {
        let linear = LinearHash::new(values(5, 1), values(5 * 8, 2)).unwrap();
        let hash = Quantizer::new(linear.clone(), codebooks(8, 3)).unwrap();
        assert_eq!((hash.dim(), hash.bits()), (5, 8));
        let images = values(5 * 6, 4);
        let features = Features { dim: 5, values: &images };
        let real = linear.project(&features).unwrap();
        let codes = hash.encode(&features).unwrap();
        for (row, vector) in real.chunks(8).enumerate() {
            let chosen = hash.codebooks().choose(vector);
            assert_eq!(codes.row_bytes(row), [chosen[0] | chosen[1] << 4]);
        }
        assert!(hash.encode(&Features { dim: 4, values: &images[..4] }).is_err());
        let error = Quantizer::new(linear, codebooks(12, 3)).unwrap_err();
        assert_eq!(error, HashError::Codebooks { dim: 8, numbers: 576 });
    }
}
