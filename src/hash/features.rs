/*!
Image features as a row-major matrix.
*/

use std::borrow::Cow;
use std::ops::Range;

use rayon::prelude::*;

use super::FeatureError;

/// Features of N images: `values` contains one row of `dim` numbers per image.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Features<'a> {
    /// Numbers per image, at least 1.
    pub dim: usize,
    /// All rows: N×dim.
    pub values: &'a [f32],
}

impl Features<'_> {
    /// Number of images; 0 if `dim` is 0.
    pub fn len(&self) -> usize {
        self.values.len().checked_div(self.dim).unwrap_or(0)
    }

    /// Whether there are no images.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns some of the columns: N×|columns| numbers in row order.
    pub fn columns(&self, columns: Range<usize>) -> Cow<'_, [f32]> {
        if columns == (0..self.dim) {
            return Cow::Borrowed(self.values);
        }
        let rows = self.values.chunks_exact(self.dim.max(1));
        rows.flat_map(|row| row.get(columns.clone()).unwrap_or_default()).copied().collect()
    }

    /// Checks that all rows are complete and all values finite.
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

    /// Checks that each image has `expected` features.
    ///
    /// # Errors
    /// [`FeatureError::Dim`].
    pub fn check_dim(&self, expected: usize) -> Result<(), FeatureError> {
        if self.dim == expected {
            Ok(())
        } else {
            Err(FeatureError::Dim { expected, found: self.dim })
        }
    }
}
