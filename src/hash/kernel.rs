/*!
The kernel hash: a Gaussian kernel between an image and each of some anchors, then a linear
hash of these values. Some features may reach the linear hash without a kernel.
*/

use half::f16;
use rayon::prelude::*;

use super::{FeatureError, Features, HashError, LinearHash};
use crate::code::BinaryCodes;

/// The hash `sign((φ(x) − mean)·P + bias)` with `φ_a(x) = exp(−rate·‖x − anchor_a‖²)`: from d
/// features to A kernel values in 0..=1, and from these to c bits.
///
/// The first features may be plain: the kernel does not see them, and φ(x) begins with them.
#[derive(Debug, Clone, PartialEq)]
pub struct KernelHash {
    anchors: Vec<f32>,
    dim: usize,
    plain: usize,
    rate: f32,
    linear: LinearHash,
}

impl KernelHash {
    /// Creates a hash from `anchors` (A×d in row order), `rate` and a linear hash of A values.
    ///
    /// For a Gaussian of width σ, `rate` is 1/(2σ²).
    ///
    /// # Errors
    /// If the number of anchors is not the input dimension of `linear`, a number is not finite,
    /// or `rate` is not above 0.
    pub fn new(anchors: Vec<f32>, rate: f32, linear: LinearHash) -> Result<Self, HashError> {
        Self::behind(0, anchors, rate, linear)
    }

    /// Creates a hash whose first `plain` features reach the linear hash without the kernel.
    ///
    /// # Errors
    /// As [`KernelHash::new`]; the linear hash takes `plain` features more.
    pub fn behind(
        plain: usize,
        anchors: Vec<f32>,
        rate: f32,
        linear: LinearHash,
    ) -> Result<Self, HashError> {
        let (count, numbers) = (linear.dim().saturating_sub(plain), anchors.len());
        if numbers == 0 || count == 0 || !numbers.is_multiple_of(count) {
            return Err(HashError::Anchors { count, numbers });
        }
        if anchors.iter().any(|v| !v.is_finite()) {
            return Err(HashError::NotFinite);
        }
        if !(rate.is_finite() && rate > 0.0) {
            return Err(HashError::Rate(rate.to_string()));
        }
        Ok(Self { anchors, dim: plain + numbers / count, plain, rate, linear })
    }

    /// Number of first features that the kernel does not see.
    pub fn plain(&self) -> usize {
        self.plain
    }

    /// Number of anchors, A.
    pub fn count(&self) -> usize {
        self.linear.dim() - self.plain
    }

    /// Features per image, d.
    pub fn dim(&self) -> usize {
        self.dim
    }

    /// Bits per code, c.
    pub fn bits(&self) -> usize {
        self.linear.bits()
    }

    /// The anchors, A×d numbers in row order, without plain features.
    pub fn anchors(&self) -> &[f32] {
        &self.anchors
    }

    /// The kernel's decay rate with the squared distance: 1/(2σ²).
    pub fn rate(&self) -> f32 {
        self.rate
    }

    /// Returns whether all anchors and the rate are numbers of half precision.
    pub fn is_half_precision(&self) -> bool {
        self.anchors.iter().chain([&self.rate]).all(|v| f16::from_f32(*v).to_f32() == *v)
    }

    /// The linear hash of plain features and kernel values.
    pub fn linear(&self) -> &LinearHash {
        &self.linear
    }

    /// Computes the real-valued codes, n×c numbers in row order.
    ///
    /// Each image's code depends on that image alone, to the last bit.
    ///
    /// # Errors
    /// If the features have another dimension, incomplete rows or values that are not finite.
    pub fn project(&self, features: &Features<'_>) -> Result<Vec<f32>, FeatureError> {
        features.check_dim(self.dim)?;
        features.check()?;
        let own = features.columns(self.plain..self.dim);
        let seen = Features { dim: self.dim - self.plain, values: &own };
        let mut kernel = squared_distances(&seen, &self.anchors);
        exponentiate(&mut kernel, self.rate);
        let values = if self.plain == 0 { kernel } else { self.joined(features, &kernel) };
        self.linear.project(&Features { dim: self.linear.dim(), values: &values })
    }

    /// Puts the plain features of each image in front of its kernel values.
    fn joined(&self, features: &Features<'_>, kernel: &[f32]) -> Vec<f32> {
        let rows = features.values.chunks_exact(self.dim);
        let joined = rows.zip(kernel.chunks_exact(self.count()));
        joined.flat_map(|(row, kernel)| [&row[..self.plain], kernel].concat()).collect()
    }

    /// Computes the codes, with sign(0) = +1.
    ///
    /// # Errors
    /// See [`KernelHash::project`].
    pub fn encode(&self, features: &Features<'_>) -> Result<BinaryCodes, HashError> {
        Ok(BinaryCodes::from_signs(self.bits(), &self.project(features)?)?)
    }
}

/// Computes ‖x − anchor‖² for each image and each anchor (rows of equal dimension): N×A.
///
/// Sums the squared differences directly, because the usual `‖x‖² + ‖a‖² − 2x·a` loses most
/// digits for images near an anchor.
pub(crate) fn squared_distances(features: &Features<'_>, anchors: &[f32]) -> Vec<f32> {
    let dim = features.dim;
    let count = anchors.len().checked_div(dim).unwrap_or(0);
    let mut out = vec![0f32; features.len() * count];
    if count == 0 {
        return out;
    }
    let rows = features.values.par_chunks_exact(dim);
    out.par_chunks_exact_mut(count).zip(rows).for_each(|(out, row)| {
        for (value, anchor) in out.iter_mut().zip(anchors.chunks_exact(dim)) {
            *value = squared_distance(row, anchor);
        }
    });
    out
}

/// Replaces squared distances by kernel values.
pub(crate) fn exponentiate(distances: &mut [f32], rate: f32) {
    distances.par_iter_mut().for_each(|value| *value = (-rate * *value).exp());
}

/// Computes the squared distance, always summed in the same order.
pub(crate) fn squared_distance(a: &[f32], b: &[f32]) -> f32 {
    // Independent sums, which the compiler can keep in vector registers.
    const LANES: usize = 16;
    let ((a, a_rest), (b, b_rest)) = (a.as_chunks::<LANES>(), b.as_chunks::<LANES>());
    let mut sums = [0f32; LANES];
    for (a, b) in a.iter().zip(b) {
        for lane in 0..LANES {
            let difference = a[lane] - b[lane];
            sums[lane] += difference * difference;
        }
    }
    let rest: f32 = a_rest.iter().zip(b_rest).map(|(x, y)| (x - y) * (x - y)).sum();
    sums.iter().sum::<f32>() + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two anchors, (0, 0) and (3, 4), with one bit each: kernel value at least e⁻¹.
    fn hash() -> KernelHash {
        let level = (-1f32).exp();
        let linear = LinearHash::new(vec![level; 2], vec![1.0, 0.0, 0.0, 1.0]).unwrap();
        KernelHash::new(vec![0.0, 0.0, 3.0, 4.0], 0.25, linear).unwrap()
    }

    #[test]
    fn bits_say_which_anchors_are_near() {
        let features = Features { dim: 2, values: &[0.0, 1.9, 3.0, 2.1, 9.0, 9.0, 1.5, 2.0] };
        let codes = hash().encode(&features).unwrap();
        let strings: Vec<String> = (0..4).map(|row| codes.bit_string(row)).collect();
        assert_eq!(strings, ["10", "01", "00", "00"]);
        let real = hash().project(&Features { dim: 2, values: &[3.0, 4.0] }).unwrap();
        let level = (-1f32).exp();
        assert_eq!(real, [(-25f32 * 0.25).exp() - level, 1.0 - level]);
    }

    #[test]
    fn plain_features_pass_by_the_kernel() {
        let linear = LinearHash::new(vec![1.0, 0.0], vec![2.0, 0.0, 0.0, 3.0]).unwrap();
        let hash = KernelHash::behind(1, vec![0.5, 4.0], 0.25, linear.clone()).unwrap();
        assert_eq!((hash.dim(), hash.plain(), hash.count(), hash.bits()), (3, 1, 1, 2));
        let features = Features { dim: 3, values: &[5.0, 0.5, 2.0, 1.0, 0.5, 4.0] };
        let real = hash.project(&features).unwrap();
        assert_eq!(real, [8.0, 3.0 * (-1f32).exp(), 0.0, 3.0]);
        let none = KernelHash::behind(2, vec![0.5], 0.25, linear);
        assert_eq!(none, Err(HashError::Anchors { count: 0, numbers: 1 }));
    }

    #[test]
    fn a_code_does_not_depend_on_its_batch() {
        let value = |i: usize| ((i * 2_654_435_761) % 1009) as f32 / 97.0 - 5.0;
        let anchors: Vec<f32> = (0..37 * 11).map(value).collect();
        let linear = LinearHash::new(vec![0.1; 11], (0..11 * 21).map(value).collect()).unwrap();
        let hash = KernelHash::new(anchors, 1e-3, linear).unwrap();
        let values: Vec<f32> = (5..5 + 37 * 50).map(value).collect();
        let all = hash.project(&Features { dim: 37, values: &values }).unwrap();
        for (row, code) in values.chunks(37).zip(all.chunks(21)) {
            assert_eq!(hash.project(&Features { dim: 37, values: row }).unwrap(), code);
        }
    }

    #[test]
    fn numbers_of_any_size_give_a_code() {
        // The squared distance overflows to infinity; its exponential is still 0.
        let far = Features { dim: 2, values: &[f32::MAX, f32::MIN, 1e-40, 0.0] };
        let real = hash().project(&far).unwrap();
        assert!(real.iter().all(|v| v.is_finite()), "{real:?}");
    }

    #[test]
    fn broken_input_is_an_error() {
        let linear = || LinearHash::new(vec![0.0; 2], vec![1.0, 1.0]).unwrap();
        let new = |anchors: Vec<f32>, rate| KernelHash::new(anchors, rate, linear());
        assert_eq!(new(vec![0.0; 3], 1.0), Err(HashError::Anchors { count: 2, numbers: 3 }));
        assert_eq!(new(vec![], 1.0), Err(HashError::Anchors { count: 2, numbers: 0 }));
        assert_eq!(new(vec![f32::NAN; 2], 1.0), Err(HashError::NotFinite));
        for rate in [0.0, -1.0, f32::NAN, f32::INFINITY] {
            assert_eq!(new(vec![0.0; 2], rate), Err(HashError::Rate(rate.to_string())));
        }
        let wide = Features { dim: 3, values: &[1.0; 3] };
        assert_eq!(hash().project(&wide), Err(FeatureError::Dim { expected: 2, found: 3 }));
        let broken = Features { dim: 2, values: &[1.0, f32::NAN] };
        assert_eq!(hash().project(&broken), Err(FeatureError::NotFinite(0)));
        assert!(hash().encode(&Features { dim: 2, values: &[] }).unwrap().is_empty());
    }
}
