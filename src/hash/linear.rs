/*!
The linear hash: the signs of one matrix product.

Every shallow method fits a [`LinearHash`]: a mean to subtract and one direction per bit. It
does not depend on how they were fitted.
*/

use rayon::prelude::*;

use super::{FeatureError, Features, HashError};
use crate::code::BinaryCodes;

/// The hash `sign((x − mean)·P + bias)` from d features to c bits.
#[derive(Debug, Clone, PartialEq)]
pub struct LinearHash {
    mean: Vec<f32>,
    projection: Vec<f32>,
    bias: Vec<f32>,
    bits: usize,
}

impl LinearHash {
    /// Creates a hash from `mean` (d numbers) and `projection` (d×c in row order, all weights of
    /// feature 0 first).
    ///
    /// # Errors
    /// If the sizes do not match, c is not a valid code length, or a number is not finite.
    pub fn new(mean: Vec<f32>, projection: Vec<f32>) -> Result<Self, HashError> {
        let (dim, weights) = (mean.len(), projection.len());
        if dim == 0 || !weights.is_multiple_of(dim) {
            return Err(HashError::Shape { dim, weights });
        }
        if mean.iter().chain(&projection).any(|v| !v.is_finite()) {
            return Err(HashError::NotFinite);
        }
        let bits = BinaryCodes::new(weights / dim)?.bits();
        Ok(Self { mean, projection, bias: vec![0.0; bits], bits })
    }

    /// Sets the `bias` (c numbers) that is added before the sign.
    ///
    /// # Errors
    /// If there are not c numbers, or one is not finite.
    pub fn with_bias(mut self, bias: Vec<f32>) -> Result<Self, HashError> {
        if bias.len() != self.bits {
            return Err(HashError::Shape { dim: 1, weights: bias.len() });
        }
        if bias.iter().any(|v| !v.is_finite()) {
            return Err(HashError::NotFinite);
        }
        self.bias = bias;
        Ok(self)
    }

    /// The bias that is added to the projection, c numbers.
    pub fn bias(&self) -> &[f32] {
        &self.bias
    }

    /// Bits per code, c.
    pub fn bits(&self) -> usize {
        self.bits
    }

    /// Features per image, d.
    pub fn dim(&self) -> usize {
        self.mean.len()
    }

    /// The mean that is subtracted from the features, d numbers.
    pub fn mean(&self) -> &[f32] {
        &self.mean
    }

    /// The projection with one direction per bit, d×c numbers in row order.
    pub fn projection(&self) -> &[f32] {
        &self.projection
    }

    /// Computes the real-valued codes `(x − mean)·P + bias`, n×c numbers in row order.
    ///
    /// Each image's code depends on that image alone: it is bit-identical for any batch size and
    /// any number of threads.
    ///
    /// # Errors
    /// If the features have another dimension, incomplete rows or values that are not finite.
    pub fn project(&self, features: &Features<'_>) -> Result<Vec<f32>, FeatureError> {
        features.check_dim(self.dim())?;
        features.check()?;
        let mut out = vec![0f32; features.len() * self.bits];
        let rows = features.values.par_chunks(self.dim());
        out.par_chunks_mut(self.bits).zip(rows).for_each(|(out, row)| self.project_row(row, out));
        Ok(out)
    }

    /// Computes the contribution of the features in `range` to an image's real-valued code:
    /// `(x − mean)·P` over these, c numbers. Indices past the end contribute 0.
    pub fn share(&self, row: &[f32], range: std::ops::Range<usize>) -> Vec<f32> {
        let mut out = vec![0f32; self.bits];
        let centred = row.iter().zip(&self.mean).map(|(x, mean)| x - mean);
        let rows = centred.zip(self.projection.chunks_exact(self.bits));
        for (x, weights) in rows.skip(range.start).take(range.len()) {
            out.iter_mut().zip(weights).for_each(|(sum, weight)| *sum += x * weight);
        }
        out
    }

    /// Computes the codes `sign((x − mean)·P + bias)`, with sign(0) = +1.
    ///
    /// # Errors
    /// See [`LinearHash::project`].
    pub fn encode(&self, features: &Features<'_>) -> Result<BinaryCodes, HashError> {
        Ok(BinaryCodes::from_signs(self.bits, &self.project(features)?)?)
    }

    /// Writes one image's real-valued code to `out`. Accumulates feature by feature.
    fn project_row(&self, row: &[f32], out: &mut [f32]) {
        out.copy_from_slice(&self.bias);
        let centred = row.iter().zip(&self.mean).map(|(x, mean)| x - mean);
        for (x, weights) in centred.zip(self.projection.chunks_exact(self.bits)) {
            for (sum, weight) in out.iter_mut().zip(weights) {
                *sum += x * weight;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hash() -> LinearHash {
        LinearHash::new(vec![1.0, 2.0], vec![1.0, 0.0, -1.0, 0.0, 1.0, 1.0]).unwrap()
    }

    #[test]
    fn subtracts_then_projects_then_takes_signs() {
        let features = Features { dim: 2, values: &[3.0, 1.0, 1.0, 2.0] };
        let real = hash().project(&features).unwrap();
        assert_eq!(real, [2.0, -1.0, -3.0, 0.0, 0.0, 0.0]);
        let codes = hash().encode(&features).unwrap();
        assert_eq!((codes.bit_string(0).as_str(), codes.bit_string(1).as_str()), ("100", "111"));
    }

    #[test]
    fn a_code_does_not_depend_on_its_batch() {
        let value = |i: usize| ((i * 2_654_435_761) % 1009) as f32 / 97.0 - 5.0;
        let mean: Vec<f32> = (0..37).map(value).collect();
        let projection: Vec<f32> = (0..37 * 21).map(value).collect();
        let hash = LinearHash::new(mean, projection).unwrap();
        let values: Vec<f32> = (5..5 + 37 * 50).map(value).collect();
        let all = hash.project(&Features { dim: 37, values: &values }).unwrap();
        for (row, code) in values.chunks(37).zip(all.chunks(21)) {
            assert_eq!(hash.project(&Features { dim: 37, values: row }).unwrap(), code);
        }
    }

    #[test]
    fn broken_input_is_an_error() {
        let wide = Features { dim: 3, values: &[1.0; 3] };
        assert_eq!(hash().project(&wide), Err(FeatureError::Dim { expected: 2, found: 3 }));
        let cut = Features { dim: 2, values: &[1.0; 3] };
        assert_eq!(hash().project(&cut), Err(FeatureError::Rows { dim: 2, values: 3 }));
        let broken = Features { dim: 2, values: &[1.0, 2.0, 3.0, f32::INFINITY] };
        assert_eq!(hash().project(&broken), Err(FeatureError::NotFinite(1)));
        assert!(Features { dim: 0, values: &[] }.check().is_err());
        assert_eq!(Features { dim: 0, values: &[1.0] }.len(), 0);
        assert!(hash().encode(&Features { dim: 2, values: &[] }).unwrap().is_empty());
        assert!(LinearHash::new(vec![], vec![]).is_err());
        assert!(LinearHash::new(vec![0.0; 2], vec![0.0; 3]).is_err());
        assert!(LinearHash::new(vec![0.0], vec![]).is_err());
        assert!(LinearHash::new(vec![0.0], vec![0.0; 1025]).is_err());
        assert_eq!(LinearHash::new(vec![f32::NAN], vec![0.0]), Err(HashError::NotFinite));
    }
}
