/*!
Features of images as plain numbers, and the hash that is one matrix product.

A [`LinearHash`] is what every shallow method fits: a point to subtract and one
direction for each bit. It does not know how they were found.
*/

use rayon::prelude::*;

use crate::code::{BinaryCodes, CodeError};

/// Why a block of features cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FeatureError {
    /// The values do not make whole rows.
    #[error("{values} values do not make whole rows of {dim} features")]
    Rows {
        /// Features of each image.
        dim: usize,
        /// Values given.
        values: usize,
    },
    /// The features come from another trunk than what they are used with.
    #[error(
        "features of {found} dimensions were given where {expected} are needed; use one trunk throughout"
    )]
    Dim {
        /// How many dimensions are needed.
        expected: usize,
        /// How many the features have.
        found: usize,
    },
    /// A feature is infinite or not a number.
    #[error("image number {0} (counted from 0) has a feature that is infinite or not a number")]
    NotFinite(usize),
}

/// Features of images: `values` holds one row of `dim` numbers for each image.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Features<'a> {
    /// Numbers for each image, at least 1.
    pub dim: usize,
    /// All rows, one after the other: N×dim.
    pub values: &'a [f32],
}

impl Features<'_> {
    /// Number of images; 0 when `dim` is 0.
    pub fn len(&self) -> usize {
        self.values.len().checked_div(self.dim).unwrap_or(0)
    }

    /// Whether there is no image at all.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Makes sure that the rows are whole and all values finite.
    ///
    /// # Errors
    /// [`FeatureError::Rows`] or [`FeatureError::NotFinite`].
    pub fn check(&self) -> Result<(), FeatureError> {
        if self.dim == 0 || !self.values.len().is_multiple_of(self.dim) {
            return Err(FeatureError::Rows { dim: self.dim, values: self.values.len() });
        }
        match self.values.par_iter().position_first(|v| !v.is_finite()) {
            Some(at) => Err(FeatureError::NotFinite(at / self.dim)),
            None => Ok(()),
        }
    }

    /// Makes sure that each image has `expected` features.
    ///
    /// # Errors
    /// [`FeatureError::Dim`].
    pub fn check_dim(&self, expected: usize) -> Result<(), FeatureError> {
        match self.dim == expected {
            true => Ok(()),
            false => Err(FeatureError::Dim { expected, found: self.dim }),
        }
    }
}

/// The hash `sign((x − mean)·P + bias)`: d features to c bits.
#[derive(Debug, Clone, PartialEq)]
pub struct LinearHash {
    mean: Vec<f32>,
    projection: Vec<f32>,
    bias: Vec<f32>,
    bits: usize,
}

impl LinearHash {
    /// A hash from `mean` (d numbers) and `projection` (d×c in row order, all the
    /// weights of feature 0 first).
    ///
    /// # Errors
    /// When the sizes do not fit, c is no possible bit length, or a number is not
    /// finite.
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

    /// The same hash with `bias` (c numbers) added before the sign.
    ///
    /// # Errors
    /// When there are not c numbers, or one is not finite.
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

    /// What is added to the projection, c numbers.
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

    /// What is subtracted from features, d numbers.
    pub fn mean(&self) -> &[f32] {
        &self.mean
    }

    /// One direction per bit, as d×c numbers in row order.
    pub fn projection(&self) -> &[f32] {
        &self.projection
    }

    /// The real-valued codes `(x − mean)·P + bias`, n×c numbers in row order.
    ///
    /// Each image's code depends on that image alone, to the last bit: it is the
    /// same in a batch of any size and on any number of threads.
    ///
    /// # Errors
    /// When the features have another dimension, broken rows or values that are not
    /// finite.
    pub fn project(&self, features: &Features<'_>) -> Result<Vec<f32>, FeatureError> {
        features.check_dim(self.dim())?;
        features.check()?;
        let mut out = vec![0f32; features.len() * self.bits];
        let rows = features.values.par_chunks(self.dim());
        out.par_chunks_mut(self.bits).zip(rows).for_each(|(out, row)| self.project_row(row, out));
        Ok(out)
    }

    /// What some of the features add to an image's real-valued code: `(x − mean)·P` over those
    /// in `range`, c numbers. Nothing of features that there are not.
    pub fn share(&self, row: &[f32], range: std::ops::Range<usize>) -> Vec<f32> {
        let mut out = vec![0f32; self.bits];
        let centred = row.iter().zip(&self.mean).map(|(x, mean)| x - mean);
        let rows = centred.zip(self.projection.chunks_exact(self.bits));
        for (x, weights) in rows.skip(range.start).take(range.len()) {
            out.iter_mut().zip(weights).for_each(|(sum, weight)| *sum += x * weight);
        }
        out
    }

    /// The codes `sign((x − mean)·P + bias)`, with sign(0) = +1.
    ///
    /// # Errors
    /// As [`LinearHash::project`].
    pub fn encode(&self, features: &Features<'_>) -> Result<BinaryCodes, HashError> {
        Ok(BinaryCodes::from_signs(self.bits, &self.project(features)?)?)
    }

    /// Puts one image's real-valued code into `out`, feature by feature.
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

/// Why a hash could not be made or used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HashError {
    /// The projection is not a whole number of directions.
    #[error("{weights} weights are no projection of {dim} features; the model's file is damaged")]
    Shape {
        /// Features per image.
        dim: usize,
        /// Weights given.
        weights: usize,
    },
    /// The anchors of a kernel are not as many rows as its hash takes values.
    #[error("{numbers} numbers are not {count} anchors; the model's file is damaged")]
    Anchors {
        /// How many there should be.
        count: usize,
        /// Numbers given.
        numbers: usize,
    },
    /// The kernel is no kernel.
    #[error(
        "the rate of the kernel must be a number above 0, not {0}; the model's file is damaged"
    )]
    Rate(String),
    /// The words of codebooks are too many or too few.
    #[error(
        "{numbers} numbers are no codebooks of 16 words for codes of {dim} bits; the model's file is damaged"
    )]
    Codebooks {
        /// Bits of a code.
        dim: usize,
        /// Numbers given.
        numbers: usize,
    },
    /// A weight is infinite or not a number.
    #[error("the hash has a weight that is infinite or not a number")]
    NotFinite,
    /// No code can have that many bits.
    #[error(transparent)]
    Code(#[from] CodeError),
    /// The features to be hashed are not usable.
    #[error(transparent)]
    Features(#[from] FeatureError),
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
