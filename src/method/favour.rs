/*!
Rotations of a discriminant space to bits, and what they favour.

A bit is the sign of a coordinate along a direction. Directions drawn at random keep the angle
between any two images: bits differ with probability angle/π (Charikar, "Similarity estimation
techniques from rounding algorithms", STOC 2002), whatever their classes. Directions learned by ITQ
lose least for the training images, and so for their classes.
*/

use faer::{Mat, MatRef};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use super::itq::{ITERATIONS, quantized};
use super::settings::{MethodOption, Settings};
use super::{MethodError, linalg};
use crate::task::Task;

/// The classes that the bits of a code favour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Favour {
    /// Classes trained on: all rotations are learned.
    Known,
    /// Classes never trained on: all rotations are random.
    New,
    /// Both: the first rotation is learned, further ones are random.
    #[default]
    Both,
}

/// The option that chooses a [`Favour`].
pub(super) const OPTION: MethodOption = MethodOption::choice(
    "favour",
    "WHAT",
    "both",
    &[
        ("known", "classes in the training data"),
        ("new", "classes that are not"),
        ("both", "neither alone"),
    ],
    "Classes that the bits of a code suit best",
);

impl Favour {
    pub(super) fn of(settings: &Settings) -> Self {
        match settings.word("favour") {
            Some("known") => Self::Known,
            Some("new") => Self::New,
            _ => Self::Both,
        }
    }

    /// Returns `bits` directions for `rows` (N×p, of unit length): p×c, orthogonal in runs of p.
    ///
    /// # Errors
    /// [`MethodError::NoConvergence`] or [`MethodError::Stopped`].
    pub(super) fn directions(
        self,
        rows: MatRef<'_, f64>,
        bits: usize,
        seed: u64,
        task: &Task<'_>,
    ) -> Result<Mat<f64>, MethodError> {
        let (p, mut rng) = (rows.ncols(), ChaCha8Rng::seed_from_u64(seed));
        let learned = match self {
            Self::Known => bits,
            Self::Both => bits.min(p),
            Self::New => 0,
        };
        let steps = learned.div_ceil(p) * ITERATIONS;
        let mut directions = Mat::zeros(p, bits);
        for start in (0..bits).step_by(p) {
            let cols = p.min(bits - start);
            let mut block = linalg::random_orthogonal(p, cols, &mut rng);
            if start < learned {
                for done in 0..ITERATIONS {
                    task.step(start / p * ITERATIONS + done, steps)?;
                    block = linalg::procrustes(quantized(rows, block.as_ref()).0.as_ref())?;
                }
            }
            directions.as_mut().subcols_mut(start, cols).copy_from(block);
        }
        Ok(directions)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::method::planted::planted;
    use crate::method::space::Space;

    #[test]
    fn directions_are_orthogonal_and_learned_ones_lose_less() {
        let set = planted(6, 20, 12, 1.0, 3);
        let space = Space::linear(set.features(), &set.labels, 0.3).unwrap();
        let p = space.rows().ncols();
        // The mean absolute coordinate: 1/√p at most, reached where all are equally large.
        let kept = |directions: MatRef<'_, f64>| {
            let values = linalg::product(space.rows(), directions);
            let sum: f64 = values.col_iter().flat_map(|c| c.iter().copied()).map(f64::abs).sum();
            sum / (values.nrows() * values.ncols()) as f64
        };
        let of = |favour: Favour, bits| {
            favour.directions(space.rows(), bits, 1, &Task::unwatched()).unwrap()
        };
        for favour in [Favour::Known, Favour::New, Favour::Both] {
            for bits in [1, p - 1, p, 2 * p + 3] {
                let found = of(favour, bits);
                for start in (0..bits).step_by(p) {
                    let block = found.as_ref().subcols(start, p.min(bits - start));
                    let gram = linalg::product(block.transpose(), block);
                    let identity = Mat::<f64>::identity(block.ncols(), block.ncols());
                    assert!((gram - identity).norm_max() < 1e-9, "{favour:?} {bits}");
                }
            }
        }
        let [known, new, both] =
            [Favour::Known, Favour::New, Favour::Both].map(|favour| of(favour, 2 * p));
        let [first, second] = [0, p]
            .map(|start| [&known, &new, &both].map(|found| kept(found.as_ref().subcols(start, p))));
        assert!(first[0] > 1.05 * first[1] && first[2] == first[0], "{first:?}");
        assert!(second[0] > 1.05 * second[2], "{second:?}");
    }
}
