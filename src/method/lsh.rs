/*!
LSH: random directions, without training.

Two vectors agree in the sign of their projection on a random direction with probability 1 − angle/π
(Charikar, "Similarity estimation techniques from rounding algorithms", STOC 2002). The directions
here are orthogonal. That keeps the probability for each bit and makes the bits of a code less
redundant (Ji and others, "Super-bit locality-sensitive hashing", NIPS 2012).
*/

use faer::Mat;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use super::definition::{FitInput, FittedMethod, Method};
use super::fit::{self, check_fit};
use super::{MethodError, linalg};
use crate::hash::{Features, Hash, LinearHash};
use crate::task::Task;

/// The method `lsh`.
pub static METHOD: Method = Method {
    needs_labels: false,
    ..Method::fitted(
        "lsh",
        &["random directions, without training: the baseline"],
        "Charikar, \"Similarity estimation techniques from rounding algorithms\", STOC 2002",
        |_| Ok(Box::new(Lsh)),
    )
};

/// The options of LSH: none.
#[derive(Debug, Clone, Copy)]
struct Lsh;

impl FittedMethod for Lsh {
    fn fit(&self, input: FitInput<'_>, _: &Task<'_>) -> Result<Hash, MethodError> {
        let FitInput { features, bits, seed, .. } = input;
        Ok(fit(features, bits, seed)?.into())
    }
}

/// Returns a hash whose bits are the signs of randomly rotated, centred features.
///
/// Up to the dimension d, the directions are the first columns of one random rotation. For more
/// bits, further independent rotations follow. Only the mean of `features` (N×d) is learned.
///
/// # Errors
/// If there is no image, a feature is not finite, or `bits` is out of range.
pub fn fit(features: Features<'_>, bits: usize, seed: u64) -> Result<LinearHash, MethodError> {
    check_fit(features, bits, 1)?;
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let directions = random_directions(features.dim, bits, &mut rng);
    fit::hash(&linalg::mean(features), directions.as_ref())
}

/// Draws `bits` unit directions in `dim` dimensions: d×c, orthogonal in runs of `dim`.
pub(super) fn random_directions(dim: usize, bits: usize, rng: &mut ChaCha8Rng) -> Mat<f64> {
    let mut directions = Mat::zeros(dim, bits);
    for start in (0..bits).step_by(dim) {
        let cols = dim.min(bits - start);
        let rotation = linalg::random_orthogonal(dim, cols, rng);
        directions.as_mut().subcols_mut(start, cols).copy_from(rotation);
    }
    directions
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directions_are_orthogonal_in_runs() {
        let mut rng = ChaCha8Rng::seed_from_u64(0);
        let directions = random_directions(6, 15, &mut rng);
        for (start, cols) in [(0, 6), (6, 6), (12, 3)] {
            let run = directions.as_ref().subcols(start, cols);
            let gram = linalg::product(run.transpose(), run);
            assert!((gram - Mat::<f64>::identity(cols, cols)).norm_max() < 1e-12);
        }
        // The runs are independent, so all directions differ.
        let first = directions.as_ref().subcols(0, 6);
        let cross = linalg::product(first.transpose(), directions.as_ref().subcols(6, 6));
        assert!(cross.norm_max() < 0.999);
    }

    #[test]
    fn one_image_is_enough_and_the_mean_is_removed() {
        let features = Features { dim: 2, values: &[1.0, 5.0, 3.0, 1.0] };
        assert_eq!(fit(features, 7, 1).unwrap().mean(), [2.0, 3.0]);
        assert!(fit(Features { dim: 2, values: &[1.0, 5.0] }, 7, 1).is_ok());
    }
}
