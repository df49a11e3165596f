/*!
The quantizer: a hash whose codes are indices of codebook words instead of signs.
*/

use super::{Codebooks, Features, HashError, Values};
use crate::code::BinaryCodes;

/// A map from features to real values, and the codebooks that quantize these to codes.
///
/// These codes are compared with the real values of a query ([`Codebooks::scores`]), never with
/// each other by Hamming distance.
#[derive(Debug, Clone, PartialEq)]
pub struct Quantizer {
    values: Values,
    unit: bool,
    codebooks: Codebooks,
}

impl Quantizer {
    /// Creates a hash in which `codebooks` quantize the output of `values`.
    ///
    /// # Errors
    /// If the dimensions of the two differ.
    pub fn new(values: impl Into<Values>, codebooks: Codebooks) -> Result<Self, HashError> {
        let values = values.into();
        let (dim, numbers) = (values.linear().bits(), codebooks.words().len());
        if codebooks.dim() == dim {
            Ok(Self { values, unit: false, codebooks })
        } else {
            Err(HashError::Codebooks { dim, numbers })
        }
    }

    /// Scales the values of every image to unit length before anything else, so that distances
    /// order images by the cosines of their values.
    pub fn at_unit_length(self) -> Self {
        Self { unit: true, ..self }
    }

    /// The map to the real values.
    pub fn map(&self) -> &Values {
        &self.values
    }

    /// Returns whether values are scaled to unit length.
    pub fn is_unit(&self) -> bool {
        self.unit
    }

    /// The codebooks.
    pub fn codebooks(&self) -> &Codebooks {
        &self.codebooks
    }

    /// Computes the real values, n rows in row order. Values of 0 alone have no direction and
    /// stay 0.
    ///
    /// # Errors
    /// See [`Values::project`].
    pub fn project(&self, features: &Features<'_>) -> Result<Vec<f32>, HashError> {
        let mut values = self.values.project(features)?;
        if self.unit {
            values.chunks_exact_mut(self.codebooks.dim()).for_each(to_unit);
        }
        Ok(values)
    }

    /// Computes the codes.
    ///
    /// # Errors
    /// See [`Quantizer::project`].
    pub fn encode(&self, features: &Features<'_>) -> Result<BinaryCodes, HashError> {
        self.codebooks.encode(&self.project(features)?)
    }
}

/// Scales a row to unit length; a row of zeros stays as it is.
pub(crate) fn to_unit(row: &mut [f32]) {
    let length = row.iter().map(|v| f64::from(*v).powi(2)).sum::<f64>().sqrt();
    if length > 0.0 {
        row.iter_mut().for_each(|v| *v = (f64::from(*v) / length) as f32);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hash::LinearHash;
    use crate::hash::codebooks::tests::{codebooks, values};

    #[test]
    fn codes_are_those_of_the_real_values() {
        let linear = LinearHash::new(values(5, 1), values(5 * 8, 2)).unwrap();
        let images = values(5 * 6, 4);
        let features = Features { dim: 5, values: &images };
        let real = linear.project(&features).unwrap();
        for unit in [false, true] {
            let hash = Quantizer::new(linear.clone(), codebooks(8, 3)).unwrap();
            let hash = if unit { hash.at_unit_length() } else { hash };
            let codes = hash.encode(&features).unwrap();
            for (row, vector) in real.chunks(8).enumerate() {
                let mut vector = vector.to_vec();
                if unit {
                    let length = vector.iter().map(|v| v * v).sum::<f32>().sqrt();
                    vector.iter_mut().for_each(|v| *v /= length);
                }
                let chosen = hash.codebooks().choose(&vector);
                assert_eq!(codes.row_bytes(row), [chosen[0] | chosen[1] << 4]);
            }
            assert!(hash.encode(&Features { dim: 4, values: &images[..4] }).is_err());
        }
        let error = Quantizer::new(linear, codebooks(12, 3)).unwrap_err();
        assert_eq!(error, HashError::Codebooks { dim: 8, numbers: 576 });
    }

    #[test]
    fn values_of_zero_have_a_code() {
        let linear = LinearHash::new(vec![1.0; 5], values(5 * 8, 2)).unwrap();
        let hash = Quantizer::new(linear, codebooks(8, 3)).unwrap().at_unit_length();
        let features = Features { dim: 5, values: &[1.0; 5] };
        assert_eq!(hash.project(&features).unwrap(), [0.0; 8]);
        assert_eq!(hash.encode(&features).unwrap().len(), 1);
    }
}
