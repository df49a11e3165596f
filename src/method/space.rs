/*!
Discriminant spaces: the coordinates of images along discriminant directions, of features or of a
kernel. Images are compared by the cosine of their coordinates.
*/

use faer::{Mat, MatRef, Scale};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use super::anchors::{Kernel, Precision};
use super::discriminant::{self, Length, Scatter};
use super::fit::{self, check_fit};
use super::{MethodError, linalg};
use crate::hash::{Features, Hash, KernelHash, Values};

/// Directions of a space, at least. Two classes have one discriminant direction, in which no third
/// class could be told apart; principal directions are then added.
const LEAST: usize = 32;
/// Directions of a space, at most.
const MOST: usize = 512;
/// Eigenvalue of the kernel between anchors, as a share of the largest, at or below which a
/// direction is left out.
const LEAST_EIGENVALUE: f64 = 1e-6;

/// A discriminant space, fitted to training images.
#[derive(Debug)]
pub(super) struct Space {
    /// The kernel on the features behind the first `plain` ones.
    kernel: Option<Anchored>,
    plain: usize,
    /// The mean of the input: plain features, and the others or the kernel's values.
    mean: Vec<f64>,
    /// Input × p.
    directions: Mat<f64>,
    /// The coordinates of the training images, scaled to unit length: N×p.
    rows: Mat<f64>,
}

/// Anchors and decay rate of a kernel.
type Anchored = (Vec<f32>, f32);

/// A space of some features, before its rows are computed.
struct Part {
    kernel: Option<Anchored>,
    /// The features, or the kernel's values: N×`dim`.
    values: Vec<f32>,
    dim: usize,
    mean: Vec<f64>,
    directions: Mat<f64>,
}

/// The options of the kernel of a space.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct KernelOptions {
    /// Number of images drawn as anchors.
    pub anchors: usize,
    /// σ² as a share of the mean squared distance between images and anchors.
    pub width: f64,
}

/// Some of the features, one after another, that have a space of their own.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Block {
    /// Their number.
    pub features: usize,
    /// Shrinkage of the covariance within classes.
    pub shrinkage: f64,
    /// Weight of the space's coordinates.
    pub weight: f64,
    /// The kernel of the space, if it has one.
    pub kernel: Option<KernelOptions>,
}

impl Space {
    /// Fits the directions of [`discriminant`] to features, N×d.
    ///
    /// # Errors
    /// If images and labels differ in number, there are fewer than two classes, all images are
    /// equal, a feature is not finite, or `shrinkage` is out of range.
    pub fn linear(
        features: Features<'_>,
        labels: &[Vec<u32>],
        shrinkage: f64,
    ) -> Result<Self, MethodError> {
        Self::of(vec![Part::linear(features, labels, shrinkage)?])
    }

    /// Fits discriminant directions of a Gaussian kernel, as kernel discriminant analysis (Mika,
    /// Rätsch, Weston, Schölkopf and Müller, "Fisher discriminant analysis with kernels", NNSP
    /// 1999; several classes: Baudat and Anouar, Neural Computation 2000).
    ///
    /// With the kernel values k(x) ∈ ℝ^A of an image and `K = U·E·Uᵀ` those between anchors, the
    /// Nyström coordinates `k(x)·U·E^(−1/2)` have about the kernel as their inner product (Williams
    /// and Seeger, "Using the Nyström method to speed up kernel machines", NIPS 2000). The
    /// directions are those of [`discriminant`] in these coordinates.
    ///
    /// # Errors
    /// See [`Space::linear`]; [`MethodError::NoConvergence`].
    pub fn kernel(
        features: Features<'_>,
        labels: &[Vec<u32>],
        shrinkage: f64,
        options: KernelOptions,
        seed: u64,
    ) -> Result<Self, MethodError> {
        Self::of(vec![Part::kernel(features, labels, shrinkage, options, seed)?])
    }

    /// Fits a space to each of two blocks of features, and joins them: images are compared by the
    /// weighted mean of their cosines, where the coordinates of each space count with their mean
    /// length. Only the second may have a kernel.
    ///
    /// # Errors
    /// See [`Space::linear`] and [`Space::kernel`]; if the blocks do not fill the features.
    pub fn joined(
        features: Features<'_>,
        labels: &[Vec<u32>],
        blocks: [Block; 2],
        seed: u64,
    ) -> Result<Self, MethodError> {
        let [first, second] = blocks;
        features.check_dim(first.features + second.features)?;
        check_fit(features, 1, 2)?;
        let part = |block: Block, columns| {
            let values = features.columns(columns);
            let own = Features { dim: block.features, values: &values };
            let mut part = match block.kernel {
                None => Part::linear(own, labels, block.shrinkage)?,
                Some(options) => Part::kernel(own, labels, block.shrinkage, options, seed)?,
            };
            part.scale_to(block.weight);
            Ok::<_, MethodError>(part)
        };
        let first = part(Block { kernel: None, ..first }, 0..first.features)?;
        Self::of(vec![first, part(second, features.dim - second.features..features.dim)?])
    }

    /// Joins the spaces of parts. Only the last may have a kernel.
    fn of(parts: Vec<Part>) -> Result<Self, MethodError> {
        let count = parts.first().map_or(0, |part| part.values.len() / part.dim.max(1));
        let (input, width) = parts.iter().fold((0, 0), |(input, width), part| {
            (input + part.dim, width + part.directions.ncols())
        });
        if width == 0 {
            return Err(MethodError::NoVariance);
        }
        let mut mean = Vec::with_capacity(input);
        let mut directions = Mat::zeros(input, width);
        let mut rows = Mat::zeros(count, width);
        let (mut kernel, mut plain, mut before) = (None, 0, 0);
        for part in parts {
            let Part { dim, mean: origin, directions: own, .. } = &part;
            let columns = before..before + own.ncols();
            directions.submatrix_mut(mean.len(), before, *dim, own.ncols()).copy_from(own);
            let values = Features { dim: *dim, values: &part.values };
            let coordinates = linalg::coordinates(values, origin, own.as_ref());
            rows.as_mut().subcols_mut(columns.start, columns.len()).copy_from(&coordinates);
            if part.kernel.is_some() {
                plain = mean.len();
            }
            before = columns.end;
            mean.extend(origin);
            kernel = part.kernel;
        }
        for row in rows.as_mut().row_iter_mut() {
            let length = row.as_ref().squared_norm_l2().sqrt().max(f64::MIN_POSITIVE);
            row.iter_mut().for_each(|v| *v /= length);
        }
        Ok(Self { kernel, plain, mean, directions, rows })
    }

    /// The coordinates of the training images, of unit length: N×p.
    pub fn rows(&self) -> MatRef<'_, f64> {
        self.rows.as_ref()
    }

    /// Returns the map from features to coordinates, before they are scaled.
    ///
    /// # Errors
    /// If a number is not finite in single precision.
    pub fn map(self) -> Result<Values, MethodError> {
        let identity = Mat::identity(self.directions.ncols(), self.directions.ncols());
        self.rotated(identity.as_ref())
    }

    /// Returns the hash of the signs of coordinates along the columns of `rotation`, p×c. Scaling
    /// changes no sign.
    ///
    /// # Errors
    /// If a number is not finite in single precision.
    pub fn signs(self, rotation: MatRef<'_, f64>) -> Result<Hash, MethodError> {
        Ok(self.rotated(rotation)?.into())
    }

    fn rotated(self, rotation: MatRef<'_, f64>) -> Result<Values, MethodError> {
        let directions = linalg::product(self.directions.as_ref(), rotation);
        let linear = fit::hash(&self.mean, directions.as_ref())?;
        Ok(match self.kernel {
            None => linear.into(),
            Some((anchors, rate)) => KernelHash::behind(self.plain, anchors, rate, linear)?.into(),
        })
    }
}

impl Part {
    /// See [`Space::linear`].
    fn linear(
        features: Features<'_>,
        labels: &[Vec<u32>],
        shrinkage: f64,
    ) -> Result<Self, MethodError> {
        let classes = checked(features, labels, shrinkage)?;
        let directions = directions(features, &classes, shrinkage)?;
        let (dim, values) = (features.dim, features.values.to_vec());
        Ok(Self { kernel: None, values, dim, mean: linalg::mean(features), directions })
    }

    /// See [`Space::kernel`].
    fn kernel(
        features: Features<'_>,
        labels: &[Vec<u32>],
        shrinkage: f64,
        options: KernelOptions,
        seed: u64,
    ) -> Result<Self, MethodError> {
        let classes = checked(features, labels, shrinkage)?;
        let KernelOptions { anchors, width } = options;
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let kernel = Kernel::new(features, anchors, width, Precision::Half, &mut rng)?;
        let values = Features { dim: kernel.count, values: &kernel.values };
        let root = inverse_root(&kernel, features.dim)?;
        let origin = vec![0.0; kernel.count];
        let coordinates = linalg::coordinates(values, &origin, root.as_ref());
        let rows = (0..coordinates.nrows())
            .flat_map(|i| (0..coordinates.ncols()).map(move |j| (i, j)))
            .map(|at| coordinates[at] as f32);
        let rows: Vec<f32> = rows.collect();
        let found = Features { dim: coordinates.ncols(), values: &rows };
        let within = directions(found, &classes, shrinkage)?;
        let directions = linalg::product(root.as_ref(), within.as_ref());
        let mean = linalg::mean(values);
        let (dim, anchored) = (kernel.count, (kernel.anchors, kernel.rate));
        Ok(Self { kernel: Some(anchored), values: kernel.values, dim, mean, directions })
    }

    /// Scales the directions so that the coordinates of the training images have this mean length.
    fn scale_to(&mut self, weight: f64) {
        let values = Features { dim: self.dim, values: &self.values };
        let coordinates = linalg::coordinates(values, &self.mean, self.directions.as_ref());
        let lengths = coordinates.row_iter().map(|row| row.squared_norm_l2().sqrt());
        let length = lengths.sum::<f64>() / coordinates.nrows() as f64;
        self.directions *= Scale(weight / length.max(f64::MIN_POSITIVE));
    }
}

fn checked(
    features: Features<'_>,
    labels: &[Vec<u32>],
    shrinkage: f64,
) -> Result<Vec<Vec<usize>>, MethodError> {
    check_fit(features, 1, 2)?;
    discriminant::check(features, labels, shrinkage)
}

fn directions(
    features: Features<'_>,
    classes: &[Vec<usize>],
    shrinkage: f64,
) -> Result<Mat<f64>, MethodError> {
    let limit = (classes.len() - 1).clamp(LEAST, MOST).min(features.dim);
    Scatter::new(features, classes).directions(limit, shrinkage, Length::Within)
}

/// Returns `U·E^(−1/2)` of the kernel between anchors, without directions of no eigenvalue.
fn inverse_root(kernel: &Kernel, dim: usize) -> Result<Mat<f64>, MethodError> {
    let anchors = Features { dim, values: &kernel.anchors };
    let mut between = crate::hash::kernel::squared_distances(&anchors, &kernel.anchors);
    crate::hash::kernel::exponentiate(&mut between, kernel.rate);
    let at = |i: usize, j: usize| f64::from(between[i * kernel.count + j]);
    let between = Mat::from_fn(kernel.count, kernel.count, at);
    let (values, vectors) = linalg::symmetric_eigen(between.as_ref())?;
    let least = LEAST_EIGENVALUE * values.first().copied().unwrap_or(0.0).max(0.0);
    let count = values.iter().take_while(|value| **value > least).count();
    Ok(Mat::from_fn(kernel.count, count, |i, j| vectors[(i, j)] / values[j].sqrt()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::method::planted::{Set, planted};
    use rand::RngExt;

    const KERNEL: KernelOptions = KernelOptions { anchors: 60, width: 0.5 };

    fn cosine(a: &[f64], b: &[f64]) -> f64 {
        let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(x, y)| x * y).sum::<f64>();
        dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()
    }

    fn row(space: &Space, i: usize) -> Vec<f64> {
        space.rows().row(i).iter().copied().collect()
    }

    /// The mean cosine of images of one class, minus that of images of two classes.
    fn contrast(space: &Space, labels: &[Vec<u32>]) -> f64 {
        let (mut same, mut other) = (Vec::new(), Vec::new());
        for i in 0..labels.len() {
            for j in 0..i {
                let cosine = cosine(&row(space, i), &row(space, j));
                if labels[i] == labels[j] { &mut same } else { &mut other }.push(cosine);
            }
        }
        let mean = |all: &[f64]| all.iter().sum::<f64>() / all.len() as f64;
        mean(&same) - mean(&other)
    }

    #[test]
    fn the_map_gives_the_rows() {
        let set = planted(5, 20, 12, 1.0, 4);
        for space in [
            Space::linear(set.features(), &set.labels, 0.3).unwrap(),
            Space::kernel(set.features(), &set.labels, 0.1, KERNEL, 7).unwrap(),
        ] {
            let rows: Vec<Vec<f64>> = (0..set.labels.len()).map(|i| row(&space, i)).collect();
            let dim = space.rows().ncols();
            let values = space.map().unwrap().project(&set.features()).unwrap();
            for (expected, found) in rows.iter().zip(values.chunks(dim)) {
                let found: Vec<f64> = found.iter().map(|v| f64::from(*v)).collect();
                assert!((expected.iter().map(|v| v * v).sum::<f64>() - 1.0).abs() < 1e-9);
                assert!(cosine(expected, &found) > 0.9999, "{expected:?} {found:?}");
            }
        }
    }

    #[test]
    fn a_kernel_separates_what_no_plane_does() {
        // The class is whether two signs agree.
        let mut rng = ChaCha8Rng::seed_from_u64(3);
        let mut values = Vec::new();
        let labels: Vec<Vec<u32>> = (0..120u32)
            .map(|i| {
                let (x, y) = (i & 1, i >> 1 & 1);
                let noise: [f32; 2] = std::array::from_fn(|_| rng.random_range(-0.3..0.3));
                values.extend([x as f32 * 2.0 - 1.0 + noise[0], y as f32 * 2.0 - 1.0 + noise[1]]);
                vec![x ^ y]
            })
            .collect();
        let features = Features { dim: 2, values: &values };
        let linear = Space::linear(features, &labels, 0.1).unwrap();
        let kernel = Space::kernel(features, &labels, 0.1, KERNEL, 1).unwrap();
        let [linear, kernel] = [linear, kernel].map(|space| contrast(&space, &labels));
        assert!(linear < 0.3 && kernel > 1.0, "{linear} {kernel}");
    }

    #[test]
    fn anchors_are_numbers_of_half_precision_and_signs_those_of_the_map() {
        let set = planted(5, 20, 12, 1.0, 4);
        let space = || Space::kernel(set.features(), &set.labels, 0.1, KERNEL, 7).unwrap();
        let dim = space().rows().ncols();
        let identity = Mat::<f64>::identity(dim, dim);
        let hash = space().signs(identity.as_ref()).unwrap();
        assert!(hash.kernel().is_some_and(KernelHash::is_half_precision));
        assert_eq!((hash.anchors(), hash.bits()), (Some(60), dim));
        let values = space().map().unwrap().project(&set.features()).unwrap();
        let codes = hash.encode(&set.features()).unwrap();
        let expected = crate::code::BinaryCodes::from_signs(dim, &values).unwrap();
        assert_eq!(codes.words(), expected.words());
    }

    #[test]
    fn joined_spaces_are_compared_by_weighted_means_of_their_cosines() {
        let set = planted(5, 20, 12, 1.0, 4);
        for kernel in [None, Some(KERNEL)] {
            joined_as_weighted(&set, kernel);
        }
    }

    fn joined_as_weighted(set: &Set, kernel: Option<KernelOptions>) {
        let part = |columns: std::ops::Range<usize>| set.features().columns(columns).into_owned();
        let block =
            |features, shrinkage, weight, kernel| Block { features, shrinkage, weight, kernel };
        let blocks = [block(4, 0.3, 1.0, None), block(8, 0.9, 2.0, kernel)];
        let joined = Space::joined(set.features(), &set.labels, blocks, 7).unwrap();
        let (a, b) = (part(0..4), part(4..12));
        let raw = |values: &[f32], dim, shrinkage, kernel: Option<KernelOptions>| {
            let features = Features { dim, values };
            let labels = &set.labels;
            let space = match kernel {
                None => Space::linear(features, labels, shrinkage).unwrap(),
                Some(options) => Space::kernel(features, labels, shrinkage, options, 7).unwrap(),
            };
            let dim = space.rows().ncols();
            let values = space.map().unwrap().project(&features).unwrap();
            let rows: Vec<Vec<f64>> =
                values.chunks(dim).map(|row| row.iter().map(|v| f64::from(*v)).collect()).collect();
            let lengths = rows.iter().map(|row| row.iter().map(|v| v * v).sum::<f64>().sqrt());
            let mean = lengths.sum::<f64>() / rows.len() as f64;
            rows.into_iter().map(|row| row.into_iter().map(|v| v / mean).collect()).collect()
        };
        let first: Vec<Vec<f64>> = raw(&a, 4, 0.3, None);
        let second: Vec<Vec<f64>> = raw(&b, 8, 0.9, kernel);
        let both = |i: usize| -> Vec<f64> {
            first[i].iter().copied().chain(second[i].iter().map(|v| 2.0 * v)).collect()
        };
        for (i, j) in [(0, 1), (3, 50), (7, 99)] {
            let expected = cosine(&both(i), &both(j));
            let found = cosine(&row(&joined, i), &row(&joined, j));
            assert!((expected - found).abs() < 1e-4, "{expected} {found}");
        }
        // The map gives the rows.
        let dim = joined.rows().ncols();
        let rows: Vec<Vec<f64>> = (0..set.labels.len()).map(|i| row(&joined, i)).collect();
        let map = joined.map().unwrap();
        assert_eq!(map.kernel().map(KernelHash::plain), kernel.map(|_| 4));
        let values = map.project(&set.features()).unwrap();
        for (expected, found) in rows.iter().zip(values.chunks(dim)) {
            let found: Vec<f64> = found.iter().map(|v| f64::from(*v)).collect();
            assert!(cosine(expected, &found) > 0.9999, "{expected:?} {found:?}");
        }
        let few = Space::joined(set.features(), &set.labels, [blocks[0]; 2], 7);
        assert!(matches!(few, Err(MethodError::Features(_))));
    }

    #[test]
    fn few_classes_get_further_directions() {
        let set = planted(2, 60, 48, 1.0, 4);
        let space = Space::linear(set.features(), &set.labels, 0.3).unwrap();
        assert_eq!(space.rows().ncols(), LEAST);
        let narrow = planted(3, 20, 8, 1.0, 4);
        let space = Space::linear(narrow.features(), &narrow.labels, 0.3).unwrap();
        assert_eq!(space.rows().ncols(), 8);
    }

    #[test]
    fn what_has_no_space_is_an_error() {
        let set = planted(2, 10, 4, 1.0, 2);
        let one = vec![vec![1]; 20];
        let error = |found: Result<Space, MethodError>| found.err();
        let classes = Some(MethodError::Classes(1));
        assert_eq!(error(Space::linear(set.features(), &one, 0.3)), classes);
        assert_eq!(error(Space::kernel(set.features(), &one, 0.3, KERNEL, 1)), classes);
        let equal = Features { dim: 4, values: &[0.5; 80] };
        let same = Some(MethodError::NoVariance);
        assert_eq!(error(Space::linear(equal, &set.labels, 0.3)), same);
        assert_eq!(error(Space::kernel(equal, &set.labels, 0.3, KERNEL, 1)), same);
        assert!(error(Space::linear(set.features(), &set.labels, 0.0)).is_some());
    }
}
