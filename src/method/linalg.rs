/*!
Linear algebra of the closed-form methods: thin wrappers around faer.

Everything is in double precision. Sums over images run in blocks whose size does not depend on the
number of threads, and each block and each factorisation is computed on one thread. A fit therefore
gives the same numbers on any number of cores.
*/

use std::ops::Range;

use faer::diag::Diag;
use faer::dyn_stack::{MemBuffer, MemStack};
use faer::linalg::{cholesky::llt, evd, householder, matmul, qr, svd};
use faer::{Accum, Auto, Conj, Mat, MatRef, Par, Spec};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;

use super::MethodError;
use crate::hash::Features;

/// Divides rows 0..n into at most 16 blocks, each of at least 512 rows except the last.
///
/// The partial sums of all blocks are in memory together, so their number is limited.
pub fn blocks(n: usize) -> Vec<Range<usize>> {
    let size = n.div_ceil(16).max(512);
    (0..n).step_by(size).map(|start| start..n.min(start + size)).collect()
}

/// Returns the product `a·b`, computed on one thread.
pub fn product(a: MatRef<'_, f64>, b: MatRef<'_, f64>) -> Mat<f64> {
    let mut out = Mat::zeros(a.nrows(), b.ncols());
    matmul::matmul(&mut out, Accum::Replace, a, b, 1.0, Par::Seq);
    out
}

/// Returns the trace of a square matrix.
pub fn trace(a: MatRef<'_, f64>) -> f64 {
    a.diagonal().column_vector().iter().sum()
}

/// Returns the mean of the rows of `features`, d numbers.
pub fn mean(features: Features<'_>) -> Vec<f64> {
    weighted_mean(features, &vec![1.0; features.len()])
}

/// Returns the weighted mean of the rows of `features`, d numbers.
///
/// The weights must not sum to 0.
pub fn weighted_mean(features: Features<'_>, weights: &[f64]) -> Vec<f64> {
    let total: f64 = weights.iter().sum();
    let mut mean = vec![0.0; features.dim];
    for (row, weight) in features.values.chunks_exact(features.dim).zip(weights) {
        mean.iter_mut().zip(row).for_each(|(sum, v)| *sum += weight * f64::from(*v));
    }
    mean.iter_mut().for_each(|sum| *sum /= total);
    mean
}

/// Returns the centred images of `range` as columns: d×len.
fn centred(features: Features<'_>, mean: &[f64], range: Range<usize>) -> Mat<f64> {
    let (dim, start) = (features.dim, range.start);
    let value = |j: usize, i: usize| f64::from(features.values[(start + i) * dim + j]) - mean[j];
    Mat::from_fn(dim, range.len(), value)
}

/// Returns the weighted covariance `Σ w_i·(x_i − mean)(x_i − mean)ᵀ / Σ w_i`, d×d.
///
/// The weights, one for each image, must not sum to 0.
pub fn covariance(features: Features<'_>, mean: &[f64], weights: &[f64]) -> Mat<f64> {
    let total: f64 = weights.iter().sum();
    let part = |range: Range<usize>| {
        let x = centred(features, mean, range.clone());
        let weights = &weights[range];
        let weighted = Mat::from_fn(x.nrows(), x.ncols(), |j, i| x[(j, i)] * weights[i] / total);
        product(weighted.as_ref(), x.transpose())
    };
    let parts: Vec<Mat<f64>> = blocks(features.len()).into_par_iter().map(part).collect();
    let zero = Mat::zeros(features.dim, features.dim);
    parts.into_iter().fold(zero, |sum, part| sum + part)
}

/// Returns the projected centred images: `(x − mean)·directions`, N×p.
pub fn coordinates(features: Features<'_>, mean: &[f64], directions: MatRef<'_, f64>) -> Mat<f64> {
    let part =
        |range: Range<usize>| product(centred(features, mean, range).transpose(), directions);
    let ranges = blocks(features.len());
    let parts: Vec<Mat<f64>> = ranges.clone().into_par_iter().map(part).collect();
    let mut all = Mat::zeros(features.len(), directions.ncols());
    for (range, part) in ranges.into_iter().zip(parts) {
        all.as_mut().subrows_mut(range.start, range.len()).copy_from(part);
    }
    all
}

/// Returns `Σ (x_i − mean)·b_i / N`: the covariance of the images and the rows of `b` (N×c),
/// provided that one of them has mean 0: d×c.
pub fn cross_covariance(features: Features<'_>, mean: &[f64], b: MatRef<'_, f64>) -> Mat<f64> {
    let part = |range: Range<usize>| {
        let b = b.subrows(range.start, range.len());
        product(centred(features, mean, range).as_ref(), b)
    };
    let parts: Vec<Mat<f64>> = blocks(features.len()).into_par_iter().map(part).collect();
    let zero = Mat::zeros(features.dim, b.ncols());
    let sum = parts.into_iter().fold(zero, |sum, part| sum + part);
    faer::Scale(1.0 / features.len() as f64) * sum
}

/// The Cholesky factorisation `L·Lᵀ` of a positive definite matrix, for solving equations.
pub struct Cholesky(Mat<f64>);

impl Cholesky {
    /// Factorises `a`; only its lower half is read.
    ///
    /// # Errors
    /// [`MethodError::NoConvergence`] if the matrix is not positive definite.
    pub fn new(a: MatRef<'_, f64>) -> Result<Self, MethodError> {
        let (mut factor, spec) = (a.to_owned(), Spec::default());
        let need = llt::factor::cholesky_in_place_scratch::<f64>(a.nrows(), Par::Seq, spec);
        let mut memory = MemBuffer::new(need);
        let (stack, exact) =
            (MemStack::new(&mut memory), llt::factor::LltRegularization::default());
        llt::factor::cholesky_in_place(factor.as_mut(), exact, Par::Seq, stack, spec)
            .map_err(|_| MethodError::NoConvergence)?;
        Ok(Self(factor))
    }

    /// Returns the solution X of `a·X = rhs`.
    pub fn solve(&self, mut rhs: Mat<f64>) -> Mat<f64> {
        let (rows, cols) = rhs.shape();
        let need = llt::solve::solve_in_place_scratch::<f64>(rows, cols, Par::Seq);
        let mut memory = MemBuffer::new(need);
        let stack = MemStack::new(&mut memory);
        llt::solve::solve_in_place(self.0.as_ref(), rhs.as_mut(), Par::Seq, stack);
        rhs
    }
}

/// Returns the eigenvalues, largest first, and the eigenvectors, as columns, of a symmetric matrix.
///
/// # Errors
/// [`MethodError::NoConvergence`].
pub fn symmetric_eigen(a: MatRef<'_, f64>) -> Result<(Vec<f64>, Mat<f64>), MethodError> {
    // The divide-and-conquer algorithm can fail on a matrix of nearly all zeros (few images, most
    // features zero). Plain QR iteration is slower and does not fail there.
    let mut plain = <evd::SelfAdjointEvdParams as Auto<f64>>::auto();
    plain.recursion_threshold = a.nrows() + 1;
    eigen(a, Spec::default()).or_else(|_| eigen(a, Spec::new(plain)))
}

fn eigen(
    a: MatRef<'_, f64>,
    spec: Spec<evd::SelfAdjointEvdParams, f64>,
) -> Result<(Vec<f64>, Mat<f64>), MethodError> {
    let n = a.nrows();
    let (mut values, mut vectors) = (Diag::zeros(n), Mat::zeros(n, n));
    let vectors_too = evd::ComputeEigenvectors::Yes;
    let need = evd::self_adjoint_evd_scratch::<f64>(n, vectors_too, Par::Seq, spec);
    let mut memory = MemBuffer::new(need);
    let stack = MemStack::new(&mut memory);
    let (into, out) = (values.as_mut(), Some(vectors.as_mut()));
    evd::self_adjoint_evd(a, into, out, Par::Seq, stack, spec)
        .map_err(|_| MethodError::NoConvergence)?;
    // The library returns them in ascending order.
    let values = values.column_vector().iter().rev().copied().collect();
    Ok((values, vectors.as_ref().reverse_cols().to_owned()))
}

/// A thin singular value decomposition `U·diag(s)·Vᵀ`.
pub struct ThinSvd {
    /// Left singular vectors as columns, m×min(m, n).
    pub u: Mat<f64>,
    /// Singular values, largest first.
    #[cfg(test)]
    pub s: Vec<f64>,
    /// Right singular vectors as columns, n×min(m, n).
    pub v: Mat<f64>,
}

/// Computes the thin singular value decomposition of `a`, m×n.
///
/// # Errors
/// [`MethodError::NoConvergence`].
pub fn thin_svd(a: MatRef<'_, f64>) -> Result<ThinSvd, MethodError> {
    // As for eigenvectors: plain iteration if divide and conquer fails.
    let mut plain = <svd::SvdParams as Auto<f64>>::auto();
    plain.recursion_threshold = a.nrows().max(a.ncols()) + 1;
    thin_svd_with(a, Spec::default()).or_else(|_| thin_svd_with(a, Spec::new(plain)))
}

fn thin_svd_with(
    a: MatRef<'_, f64>,
    spec: Spec<svd::SvdParams, f64>,
) -> Result<ThinSvd, MethodError> {
    let (m, n) = a.shape();
    let k = m.min(n);
    let (mut u, mut s, mut v) = (Mat::zeros(m, k), Diag::zeros(k), Mat::zeros(n, k));
    let thin = svd::ComputeSvdVectors::Thin;
    let need = svd::svd_scratch::<f64>(m, n, thin, thin, Par::Seq, spec);
    let mut memory = MemBuffer::new(need);
    let stack = MemStack::new(&mut memory);
    svd::svd(a, s.as_mut(), Some(u.as_mut()), Some(v.as_mut()), Par::Seq, stack, spec)
        .map_err(|_| MethodError::NoConvergence)?;
    Ok(ThinSvd {
        u,
        #[cfg(test)]
        s: s.column_vector().iter().copied().collect(),
        v,
    })
}

/// Returns the orthogonal matrix R that brings `V·R` nearest to B, from `vtb = VᵀB`.
///
/// With `VᵀB = U·Σ·Wᵀ` it is `R = U·Wᵀ` (Schönemann, "A generalized solution of the
/// orthogonal Procrustes problem", Psychometrika 1966).
///
/// # Errors
/// [`MethodError::NoConvergence`].
pub fn procrustes(vtb: MatRef<'_, f64>) -> Result<Mat<f64>, MethodError> {
    let svd = thin_svd(vtb)?;
    Ok(product(svd.u.as_ref(), svd.v.transpose()))
}

/// Returns the first `cols` columns of a uniformly distributed random orthogonal `rows×rows`
/// matrix; `cols` must not exceed `rows`.
///
/// They are the Q of a QR decomposition of a Gaussian matrix, with signs such that the diagonal of
/// R is positive; otherwise they would not be uniform (Mezzadri, "How to generate random matrices
/// from the classical compact groups", Notices of the AMS 2007).
pub fn random_orthogonal(rows: usize, cols: usize, rng: &mut ChaCha8Rng) -> Mat<f64> {
    let mut a: Mat<f64> = Mat::from_fn(rows, cols, |_, _| gaussian(rng));
    let size = qr::no_pivoting::factor::recommended_block_size::<f64>(rows, cols);
    let mut coefficients = Mat::zeros(size, cols);
    let need = qr::no_pivoting::factor::qr_in_place_scratch::<f64>(
        rows,
        cols,
        size,
        Par::Seq,
        Spec::default(),
    );
    let mut memory = MemBuffer::new(need);
    qr::no_pivoting::factor::qr_in_place(
        a.as_mut(),
        coefficients.as_mut(),
        Par::Seq,
        MemStack::new(&mut memory),
        Spec::default(),
    );
    let mut q = Mat::from_fn(rows, cols, |i, j| match i == j {
        // Scaling the columns of the identity scales the columns of Q.
        true if a[(j, j)] < 0.0 => -1.0,
        true => 1.0,
        false => 0.0,
    });
    let need = householder::apply_block_householder_sequence_on_the_left_in_place_scratch::<f64>(
        rows, size, cols,
    );
    let mut memory = MemBuffer::new(need);
    householder::apply_block_householder_sequence_on_the_left_in_place_with_conj(
        a.as_ref(),
        coefficients.as_ref(),
        Conj::No,
        q.as_mut(),
        Par::Seq,
        MemStack::new(&mut memory),
    );
    q
}

/// Draws from the standard normal distribution (Box and Muller, 1958).
pub fn gaussian(rng: &mut ChaCha8Rng) -> f64 {
    // 1 − u lies in (0, 1], where the logarithm is finite.
    let radius = (-2.0 * (1.0 - rng.random::<f64>()).ln()).sqrt();
    radius * (std::f64::consts::TAU * rng.random::<f64>()).cos()
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;

    fn random(rows: usize, cols: usize, seed: u64) -> Mat<f64> {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        Mat::from_fn(rows, cols, |_, _| gaussian(&mut rng))
    }

    fn assert_close(a: &Mat<f64>, b: &Mat<f64>) {
        assert_eq!(a.shape(), b.shape());
        assert!((a - b).norm_max() < 1e-10, "{}", (a - b).norm_max());
    }

    #[test]
    fn random_orthogonal_is_orthogonal_and_fair() {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        for (rows, cols) in [(1, 1), (5, 5), (64, 10), (200, 200)] {
            let q = random_orthogonal(rows, cols, &mut rng);
            assert_close(&product(q.transpose(), q.as_ref()), &Mat::identity(cols, cols));
        }
        // A uniform rotation prefers no sign anywhere, including the diagonal.
        let draws = (0..400).map(|_| random_orthogonal(3, 3, &mut rng)[(0, 0)]);
        let positive = draws.filter(|v| *v > 0.0).count();
        assert!((150..250).contains(&positive), "{positive}");
    }

    #[test]
    fn factors_multiply_back() {
        let a = random(40, 23, 2);
        let ThinSvd { u, s, v } = thin_svd(a.as_ref()).unwrap();
        let us = Mat::from_fn(40, 23, |i, j| u[(i, j)] * s[j]);
        assert_close(&product(us.as_ref(), v.transpose()), &a);
        assert!(s.windows(2).all(|pair| pair[0] >= pair[1]));
        let c = product(a.transpose(), a.as_ref());
        let (values, vectors) = symmetric_eigen(c.as_ref()).unwrap();
        assert!(values.windows(2).all(|pair| pair[0] >= pair[1]));
        let scaled = Mat::from_fn(23, 23, |i, j| vectors[(i, j)] * values[j]);
        assert_close(&product(scaled.as_ref(), vectors.transpose()), &c);
    }

    #[test]
    fn a_matrix_of_nearly_all_zeros_is_factored() {
        // Ten images with 26 nonzero features of 640.
        let x = random(640, 10, 3);
        let x = Mat::from_fn(640, 10, |j, i| if j % 25 == 0 { x[(j, i)] } else { 0.0 });
        let c = product(x.as_ref(), x.transpose());
        let (values, vectors) = symmetric_eigen(c.as_ref()).unwrap();
        let scaled = Mat::from_fn(640, 640, |i, j| vectors[(i, j)] * values[j]);
        assert_close(&product(scaled.as_ref(), vectors.transpose()), &c);
        assert!(values[10..].iter().all(|value| value.abs() < 1e-10));
        assert!((thin_svd(c.as_ref()).unwrap().s[0] - values[0]).abs() < 1e-10);
    }

    #[test]
    fn solutions_solve() {
        let (a, rhs) = (random(80, 60, 7), random(60, 5, 8));
        let a = product(a.transpose(), a.as_ref());
        let found = Cholesky::new(a.as_ref()).unwrap().solve(rhs.clone());
        assert_close(&product(a.as_ref(), found.as_ref()), &rhs);
        // Two equal rows and columns.
        let failed = Cholesky::new(Mat::from_fn(2, 2, |_, _| 1.0).as_ref());
        assert_eq!(failed.err(), Some(MethodError::NoConvergence));
    }

    #[test]
    fn procrustes_finds_a_planted_rotation() {
        let v = random(60, 9, 4);
        let r = random_orthogonal(9, 9, &mut ChaCha8Rng::seed_from_u64(5));
        let b = product(v.as_ref(), r.as_ref());
        let vtb = product(v.transpose(), b.as_ref());
        assert_close(&procrustes(vtb.as_ref()).unwrap(), &r);
    }

    #[test]
    fn moments_match_their_definitions() {
        // More images than one block holds.
        let (n, dim) = (1300, 3);
        let values: Vec<f32> = (0..n * dim).map(|i| ((i * 7919) % 101) as f32 / 10.0).collect();
        let features = Features { dim, values: &values };
        let mean = mean(features);
        let weights: Vec<f64> = (0..n).map(|i| (i % 3) as f64).collect();
        let found = covariance(features, &mean, &weights);
        let total: f64 = weights.iter().sum();
        let x = |i: usize, j: usize| f64::from(values[i * dim + j]) - mean[j];
        let expected = Mat::from_fn(dim, dim, |j, k| {
            (0..n).map(|i| weights[i] * x(i, j) * x(i, k)).sum::<f64>() / total
        });
        assert_close(&found, &expected);
        let b = random(n, 2, 7);
        let expected = Mat::from_fn(dim, 2, |j, l| {
            (0..n).map(|i| x(i, j) * b[(i, l)]).sum::<f64>() / n as f64
        });
        assert_close(&cross_covariance(features, &mean, b.as_ref()), &expected);
        let directions = random(dim, 2, 6);
        let expected =
            Mat::from_fn(n, 2, |i, p| (0..dim).map(|j| x(i, j) * directions[(j, p)]).sum());
        assert_close(&coordinates(features, &mean, directions.as_ref()), &expected);
    }
}
