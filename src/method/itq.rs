/*!
ITQ, iterative quantization: PCA, then a rotation towards the corners of the cube.

Gong and Lazebnik, "Iterative quantization: a Procrustean approach to learning binary codes", CVPR
2011. A projection on principal directions keeps most of the variance, but the first few hold most
of it. A rotation R spreads it over all bits, so that taking signs loses little. It minimises ‖B −
V·R‖² over B ∈ {−1,+1}^{N×c} and orthogonal R, where V are the projected images (N×c).
*/

use faer::{Mat, MatRef};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;

use super::definition::{FitInput, FittedMethod, Method};
use super::fit::{self, check_fit, check_variance};
use super::{MethodError, linalg};
use crate::hash::{Features, Hash, LinearHash};
use crate::task::{Stopped, Task};

/// The method `itq`.
pub static METHOD: Method = Method {
    needs_labels: false,
    ..Method::fitted(
        "itq",
        &["PCA and a learned rotation, without labels"],
        "Gong and Lazebnik, \"Iterative quantization\", CVPR 2011",
        |_| Ok(Box::new(Itq)),
    )
};

/// The options of ITQ: none.
#[derive(Debug, Clone, Copy)]
struct Itq;

impl FittedMethod for Itq {
    fn fit(&self, input: FitInput<'_>, task: &Task<'_>) -> Result<Hash, MethodError> {
        let FitInput { features, bits, seed, .. } = input;
        Ok(fit(features, bits, seed, task)?.into())
    }
}

/// Number of alternations between B and R, as in the paper.
pub const ITERATIONS: usize = 50;

/// Fits PCA with `bits` directions, then the rotation that loses least by taking signs.
///
/// N images of d features have at most min(d, N − 1) principal directions. For more bits, several
/// rotations are stacked, each with a random start of its own: full rotations of all directions,
/// then one of the leading directions for the remaining bits. The paper does not treat this case.
/// `features` is N×d.
///
/// # Errors
/// If there are fewer than two images, all are equal, a feature is not finite, `bits` is out of
/// range, or the work is stopped. The steps of `task` are alternations.
pub fn fit(
    features: Features<'_>,
    bits: usize,
    seed: u64,
    task: &Task<'_>,
) -> Result<LinearHash, MethodError> {
    check_fit(features, bits, 2)?;
    check_variance(features.values.chunks_exact(features.dim))?;
    let mean = linalg::mean(features);
    let covariance = linalg::covariance(features, &mean, &vec![1.0; features.len()]);
    let directions = principal(covariance.as_ref(), bits, least_variance(covariance.as_ref()))?;
    rotated(features, &mean, directions.as_ref(), bits, seed, task)
}

/// Variance at or below which a direction counts as having none.
///
/// Rounding turns a variance of zero into about 1e-16 of the total.
pub(super) fn least_variance(covariance: MatRef<'_, f64>) -> f64 {
    1e-12 * linalg::trace(covariance)
}

/// Returns up to `limit` leading principal directions of `covariance` as columns of unit length,
/// largest variance first. Directions with a variance of `least` or less are left out.
///
/// # Errors
/// [`MethodError::NoConvergence`].
pub(super) fn principal(
    covariance: MatRef<'_, f64>,
    limit: usize,
    least: f64,
) -> Result<Mat<f64>, MethodError> {
    let (variances, vectors) = linalg::symmetric_eigen(covariance)?;
    let count = variances.iter().take(limit).take_while(|v| **v > least).count();
    Ok(vectors.as_ref().subcols(0, count).to_owned())
}

/// Returns the hash on `directions` (d×p, most important first), rotated by ITQ to `bits`.
///
/// With p = `bits` this is the paper's method. One rotation cannot give more bits than directions,
/// so several are stacked if p < `bits`: see [`fit`].
///
/// # Errors
/// [`MethodError::NoVariance`] if there are no directions, [`MethodError::NoConvergence`], or
/// [`MethodError::Stopped`].
pub(super) fn rotated(
    features: Features<'_>,
    mean: &[f64],
    directions: MatRef<'_, f64>,
    bits: usize,
    seed: u64,
    task: &Task<'_>,
) -> Result<LinearHash, MethodError> {
    if directions.ncols() == 0 {
        return Err(MethodError::NoVariance);
    }
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let v = linalg::coordinates(features, mean, directions);
    let mut projection = Mat::zeros(features.dim, bits);
    let total = bits.div_ceil(directions.ncols()) * ITERATIONS;
    for (round, start) in (0..bits).step_by(directions.ncols()).enumerate() {
        let cols = directions.ncols().min(bits - start);
        let initial = linalg::random_orthogonal(cols, cols, &mut rng);
        let step = |done| task.step(round * ITERATIONS + done, total);
        let (rotation, _) = rotation(v.as_ref().subcols(0, cols), initial, ITERATIONS, &step)?;
        let rotated = linalg::product(directions.subcols(0, cols), rotation.as_ref());
        projection.as_mut().subcols_mut(start, cols).copy_from(rotated);
    }
    fit::hash(mean, projection.as_ref())
}

/// Alternates `B = sign(V·R)` and `R = argmin ‖B − V·R‖²` from `initial`; `v` is N×c.
///
/// Returns R (c×c) and the error ‖B − V·R‖² of each alternation, measured with the R at its start.
/// No step can raise the error: each is optimal for one factor given the other.
fn rotation(
    v: MatRef<'_, f64>,
    initial: Mat<f64>,
    iterations: usize,
    step: &dyn Fn(usize) -> Result<(), Stopped>,
) -> Result<(Mat<f64>, Vec<f64>), MethodError> {
    let mut r = initial;
    let mut errors = Vec::with_capacity(iterations);
    for done in 0..iterations {
        step(done)?;
        let (vtb, error) = quantized(v, r.as_ref());
        errors.push(error);
        r = linalg::procrustes(vtb.as_ref())?;
    }
    Ok((r, errors))
}

/// Returns VᵀB and ‖B − V·R‖² for `B = sign(V·R)`, sign(0) = +1.
pub(super) fn quantized(v: MatRef<'_, f64>, r: MatRef<'_, f64>) -> (Mat<f64>, f64) {
    let parts: Vec<(Mat<f64>, f64)> = linalg::blocks(v.nrows())
        .into_par_iter()
        .map(|range| {
            let v = v.subrows(range.start, range.len());
            let mut b = linalg::product(v, r);
            let mut error = 0.0;
            for value in b.col_iter_mut().flat_map(|col| col.iter_mut()) {
                let sign = if *value >= 0.0 { 1.0 } else { -1.0 };
                error += (sign - *value).powi(2);
                *value = sign;
            }
            (linalg::product(v.transpose(), b.as_ref()), error)
        })
        .collect();
    let zero = (Mat::zeros(v.ncols(), r.ncols()), 0.0);
    parts.into_iter().fold(zero, |(sum, error), (part, more)| (sum + part, error + more))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::method::planted::planted;

    #[test]
    fn the_error_never_rises() {
        let set = planted(12, 30, 20, 1.0, 7);
        let mean = linalg::mean(set.features());
        let covariance = linalg::covariance(set.features(), &mean, &vec![1.0; set.labels.len()]);
        for (bits, seed) in [(1, 0), (8, 1), (16, 2), (20, 3)] {
            let directions = principal(covariance.as_ref(), bits, 0.0).unwrap();
            let v = linalg::coordinates(set.features(), &mean, directions.as_ref());
            let mut rng = ChaCha8Rng::seed_from_u64(seed);
            let initial = linalg::random_orthogonal(bits, bits, &mut rng);
            let (r, errors) = rotation(v.as_ref(), initial, ITERATIONS, &|_| Ok(())).unwrap();
            assert!(errors.windows(2).all(|pair| pair[1] <= pair[0] * (1.0 + 1e-12)), "{errors:?}");
            let gram = linalg::product(r.transpose(), r.as_ref());
            assert!((gram - Mat::<f64>::identity(bits, bits)).norm_max() < 1e-10);
        }
    }

    #[test]
    fn constant_features_get_no_weight() {
        // Feature 1 never varies; images 0 and 1 differ in feature 0 only.
        let features = Features { dim: 2, values: &[0.0, 9.0, 4.0, 9.0] };
        let hash = fit(features, 3, 5, &Task::unwatched()).unwrap();
        assert!(hash.projection()[3..].iter().all(|w| *w == 0.0));
        assert!(hash.projection()[..3].iter().all(|w| w.abs() == 1.0));
        let equal = Features { dim: 2, values: &[3.0; 8] };
        assert_eq!(fit(equal, 3, 5, &Task::unwatched()), Err(MethodError::NoVariance));
    }
}
