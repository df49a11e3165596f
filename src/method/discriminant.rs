/*!
Discriminant directions: those in which the means of classes differ most, compared with the images
within classes.

Linear discriminant analysis finds directions a that maximise `(aᵀ·S_b·a)/(aᵀ·S_w·a)` (Fisher 1936;
Rao 1948 for several classes). With fewer images than features, S_w has no inverse, so it is shrunk
towards a multiple of the identity (Friedman, "Regularized discriminant analysis", JASA 1989).
*/

use std::collections::BTreeMap;

use faer::{Mat, MatRef};

use super::fit::check_variance;
use super::linalg::Cholesky;
use super::{MethodError, itq, linalg};
use crate::hash::Features;

/// Standard deviation along each principal direction that follows the discriminant ones. Along the
/// discriminant ones it is about 1 or more.
///
/// It must be small. With 128 bits for 81 classes, a NumPy prototype of these formulas had a
/// validation mAP of 0.76 for any value from 0.01 to 0.3, but 0.59 for 1 (that one with γ = 0.15
/// and all directions of unit variance). Stacking rotations of the discriminant directions instead
/// gave 0.78. That is within the uncertainty from seeds and few queries, and stacked rotations
/// would give two classes the same bit repeatedly.
const FILL: f64 = 0.1;

/// Standard deviation between class means, in units of that within classes, at or below which a
/// direction counts as not discriminant, to allow for rounding.
const LEAST_RATIO: f64 = 1e-6;

/// Returns the images of each class if discriminant directions can be fitted to them.
///
/// # Errors
/// If images and labels differ in number, there are fewer than two classes, all images with labels
/// are equal, or `shrinkage` is out of range.
pub(super) fn check(
    features: Features<'_>,
    labels: &[Vec<u32>],
    shrinkage: f64,
) -> Result<Vec<Vec<usize>>, MethodError> {
    if labels.len() != features.len() {
        return Err(MethodError::Labels { images: features.len(), labels: labels.len() });
    }
    if !(shrinkage > 0.0 && shrinkage <= 1.0) {
        return Err(MethodError::Shrinkage(shrinkage.to_string()));
    }
    let classes = classes(labels);
    if classes.len() < 2 {
        return Err(MethodError::Classes(classes.len()));
    }
    let rows = features.values.chunks_exact(features.dim).zip(labels);
    check_variance(rows.filter(|(_, labels)| !labels.is_empty()).map(|(row, _)| row))?;
    Ok(classes)
}

/// Returns the images of each class, in the order of the labels.
fn classes(labels: &[Vec<u32>]) -> Vec<Vec<usize>> {
    let mut members: BTreeMap<u32, Vec<usize>> = BTreeMap::new();
    for (image, labels) in labels.iter().enumerate() {
        for label in labels {
            let class = members.entry(*label).or_default();
            // A label that is listed twice counts once.
            if class.last() != Some(&image) {
                class.push(image);
            }
        }
    }
    members.into_values().collect()
}

/// The length of discriminant directions a, with W as in [`Scatter::directions`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Length {
    /// Unit variance within classes, `aᵀ·W·a = 1`: the more a direction discriminates, the more it
    /// counts in distances.
    Within,
    /// `aᵀ·W·a = 1/√(1 + λ)`, the geometric mean of unit variance within classes, where the few
    /// best directions outweigh all others, which hurts short codes, and unit variance over all
    /// images (1/(1 + λ)), where noisy directions count as much as good ones, which hurts long
    /// codes. mAP of a NumPy prototype on the validation split described at
    /// [`SHRINKAGE`](super::lda::SHRINKAGE), γ = 0.1, ITQ on the leading directions, for variances
    /// 1, 1/√(1 + λ) and 1/(1 + λ): 0.27, 0.30, 0.31 at 12 bits, 0.67, 0.70, 0.70 at 48, 0.76, 0.76,
    /// 0.71 at 80.
    Between,
}

/// The scatter within and between classes. Each pair of an image and one of its labels is one of n
/// samples.
pub(super) struct Scatter {
    /// The covariance of all samples, d×d: S_w + S_b.
    total: Mat<f64>,
    /// A root of the covariance S_b of the class means, `S_b = between·betweenᵀ`: d×K.
    between: Mat<f64>,
}

impl Scatter {
    pub(super) fn new(features: Features<'_>, classes: &[Vec<usize>]) -> Self {
        let mut weights = vec![0.0; features.len()];
        classes.iter().flatten().for_each(|image| weights[*image] += 1.0);
        let samples: f64 = weights.iter().sum();
        let mean = linalg::weighted_mean(features, &weights);
        let means = class_means(features, &mean, classes);
        let root = |k: usize| (classes[k].len() as f64 / samples).sqrt();
        Self {
            total: linalg::covariance(features, &mean, &weights),
            between: Mat::from_fn(features.dim, classes.len(), |j, k| means[(j, k)] * root(k)),
        }
    }

    /// The covariance S_w of the samples around their class means, d×d.
    fn within(&self) -> Mat<f64> {
        &self.total - linalg::product(self.between.as_ref(), self.between.transpose())
    }

    /// Returns up to `limit` discriminant directions as columns, most discriminating first,
    /// followed by principal directions of the complement: d×p.
    ///
    /// The principal directions are those of all samples, projected on the orthogonal complement of
    /// the discriminant ones and scaled to [`FILL`] standard deviations.
    pub(super) fn directions(
        &self,
        limit: usize,
        shrinkage: f64,
        length: Length,
    ) -> Result<Mat<f64>, MethodError> {
        let found = self.discriminant(limit, shrinkage, length)?;
        if found.ncols() == limit {
            return Ok(found);
        }
        let rest = principal_beside(found.as_ref(), self.total.as_ref(), limit - found.ncols())?;
        let rest = scaled(rest.as_ref(), self.total.as_ref(), FILL);
        Ok(Mat::from_fn(self.dim(), found.ncols() + rest.ncols(), |i, j| {
            match j.checked_sub(found.ncols()) {
                None => found[(i, j)],
                Some(j) => rest[(i, j)],
            }
        }))
    }

    /// Returns up to `limit` discriminant directions: d×p.
    ///
    /// With `W = (1 − γ)·S_w + γ·τ·I`, τ the mean variance of a feature, they solve
    /// `S_b·a = λ·W·a`.
    fn discriminant(
        &self,
        limit: usize,
        shrinkage: f64,
        length: Length,
    ) -> Result<Mat<f64>, MethodError> {
        let ridge = shrinkage * linalg::trace(self.total.as_ref()) / self.dim() as f64;
        let mut shrunk = faer::Scale(1.0 - shrinkage) * self.within();
        shrunk.diagonal_mut().column_vector_mut().iter_mut().for_each(|value| *value += ridge);
        // With S_b = B·Bᵀ, where B is d×K, the solutions are a = W⁻¹·B·v for the eigenvectors v of
        // Bᵀ·W⁻¹·B. That matrix is only K×K and has the same λ; aᵀ·W·a is then λ.
        let solved = Cholesky::new(shrunk.as_ref())?.solve(self.between.clone());
        let inner = linalg::product(self.between.transpose(), solved.as_ref());
        let (values, vectors) = linalg::symmetric_eigen(inner.as_ref())?;
        let most = limit.min(self.between.ncols() - 1);
        let count = values.iter().take(most).take_while(|v| **v > LEAST_RATIO.powi(2)).count();
        let scale = |value: f64| match length {
            Length::Within => value.powf(-0.5),
            Length::Between => (1.0 + value).powf(-0.25) / value.sqrt(),
        };
        let v = Mat::from_fn(vectors.nrows(), count, |i, j| vectors[(i, j)] * scale(values[j]));
        Ok(linalg::product(solved.as_ref(), v.as_ref()))
    }

    /// Returns the number of features per image.
    fn dim(&self) -> usize {
        self.total.nrows()
    }
}

/// Returns up to `limit` principal directions of `covariance` (d×d) in the orthogonal complement of
/// `directions` (d×p), as columns of unit length.
fn principal_beside(
    directions: MatRef<'_, f64>,
    covariance: MatRef<'_, f64>,
    limit: usize,
) -> Result<Mat<f64>, MethodError> {
    let basis = linalg::thin_svd(directions)?.u;
    let along = linalg::product(basis.as_ref(), basis.transpose());
    let beside = Mat::<f64>::identity(covariance.nrows(), covariance.ncols()) - along;
    let left = linalg::product(covariance, beside.as_ref());
    let left = linalg::product(beside.as_ref(), left.as_ref());
    itq::principal(left.as_ref(), limit, itq::least_variance(covariance))
}

/// Scales the columns of `directions` (d×p) to the standard deviation `deviation` under
/// `covariance` (d×d).
fn scaled(directions: MatRef<'_, f64>, covariance: MatRef<'_, f64>, deviation: f64) -> Mat<f64> {
    let product = linalg::product(covariance, directions);
    let variance =
        |j: usize| (0..product.nrows()).map(|i| directions[(i, j)] * product[(i, j)]).sum();
    let factor = |j: usize| deviation / f64::sqrt(variance(j));
    let factors: Vec<f64> = (0..directions.ncols()).map(factor).collect();
    Mat::from_fn(directions.nrows(), directions.ncols(), |i, j| directions[(i, j)] * factors[j])
}

/// Returns the mean of each class, minus `mean`: d×K.
fn class_means(features: Features<'_>, mean: &[f64], classes: &[Vec<usize>]) -> Mat<f64> {
    let mut means = Mat::zeros(features.dim, classes.len());
    for (k, images) in classes.iter().enumerate() {
        for image in images {
            let row = &features.values[image * features.dim..][..features.dim];
            for (j, (value, mean)) in row.iter().zip(mean).enumerate() {
                means[(j, k)] += (f64::from(*value) - mean) / images.len() as f64;
            }
        }
    }
    means
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::method::planted::{Set, planted};

    fn scatter(set: &Set) -> Scatter {
        Scatter::new(set.features(), &classes(&set.labels))
    }

    #[test]
    fn scatters_match_their_definitions() {
        let set = planted(4, 30, 6, 2.0, 1);
        let found = scatter(&set);
        let mean = |images: &[usize], j: usize| {
            let sum: f64 = images.iter().map(|i| f64::from(set.values[i * 6 + j])).sum();
            sum / images.len() as f64
        };
        let (all, by_class) = ((0..120).collect::<Vec<_>>(), classes(&set.labels));
        let mut within = Mat::<f64>::zeros(6, 6);
        for (images, i) in by_class.iter().flat_map(|c| c.iter().map(move |i| (c, *i))) {
            let x = |j: usize| f64::from(set.values[i * 6 + j]) - mean(images, j);
            within += Mat::from_fn(6, 6, |j, k| x(j) * x(k) / 120.0);
        }
        assert!((found.within() - within).norm_max() < 1e-10);
        let mut between = Mat::<f64>::zeros(6, 6);
        for images in &by_class {
            let m = |j: usize| mean(images, j) - mean(&all, j);
            between += Mat::from_fn(6, 6, |j, k| m(j) * m(k) * images.len() as f64 / 120.0);
        }
        let product = linalg::product(found.between.as_ref(), found.between.transpose());
        assert!((product - between).norm_max() < 1e-10);
    }

    #[test]
    fn directions_solve_the_eigenproblem() {
        let set = planted(5, 30, 8, 2.0, 1);
        let scatter = scatter(&set);
        let spread = linalg::product(scatter.between.as_ref(), scatter.between.transpose());
        let (within, total) = (scatter.within(), &scatter.total);
        let ridge = 0.2 * linalg::trace(total.as_ref()) / 8.0;
        let w = Mat::from_fn(8, 8, |i, j| 0.8 * within[(i, j)] + if i == j { ridge } else { 0.0 });
        let a = scatter.directions(8, 0.2, Length::Between).unwrap();
        assert_eq!(a.ncols(), 8);
        let form = |m: &Mat<f64>| {
            let ma = linalg::product(m.as_ref(), a.as_ref());
            linalg::product(a.transpose(), ma.as_ref())
        };
        let (aba, awa) = (form(&spread), form(&w));
        for j in 0..4 {
            let lambda = aba[(j, j)] / awa[(j, j)];
            assert!((awa[(j, j)] - (1.0 + lambda).powf(-0.5)).abs() < 1e-9);
            assert!(j == 0 || lambda <= aba[(j - 1, j - 1)] / awa[(j - 1, j - 1)]);
            // Uncorrelated under both scatters, as eigenvectors are.
            assert!((0..4).all(|k| k == j || aba[(j, k)].abs() + awa[(j, k)].abs() < 1e-9));
        }
        let within = scatter.directions(4, 0.2, Length::Within).unwrap();
        let wa = linalg::product(w.as_ref(), within.as_ref());
        let awa = linalg::product(within.transpose(), wa.as_ref());
        assert!((awa - Mat::<f64>::identity(4, 4)).norm_max() < 1e-9);
        // Five classes give four directions; the others are short and orthogonal to them.
        let gram = linalg::product(a.transpose(), a.as_ref());
        for j in 4..8 {
            assert!((form(total)[(j, j)] - FILL * FILL).abs() < 1e-9);
            assert!((0..4).all(|k| gram[(j, k)].abs() < 1e-9));
        }
    }

    #[test]
    fn an_image_counts_in_each_of_its_classes() {
        let labels = [vec![3, 8], vec![3], vec![], vec![8, 8], vec![3]];
        assert_eq!(classes(&labels), [vec![0, 1, 4], vec![0, 3]]);
        // Listing the image of two classes twice, with one label each, changes nothing, and neither
        // does an image without labels.
        let twice = Set {
            dim: 1,
            values: vec![1.0, 1.0, 4.0, 7.0, 2.0],
            labels: vec![vec![3], vec![8], vec![3], vec![8], vec![3]],
        };
        let once = Set { dim: 1, values: vec![1.0, 4.0, 9.0, 7.0, 2.0], labels: labels.to_vec() };
        let (once, twice) = (scatter(&once), scatter(&twice));
        assert!((once.total - twice.total).norm_max() < 1e-12);
        assert!((once.between - twice.between).norm_max() < 1e-12);
    }
}
