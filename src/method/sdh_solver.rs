/*!
The discrete optimisation of [SDH](super::sdh): codes, the classifier that predicts labels from them
and the regression from kernel features to them, in turn.
*/

use faer::{Mat, MatRef};
use rayon::prelude::*;

use super::MethodError;
use super::linalg::{self, Cholesky};
use crate::hash::Features;
use crate::task::Task;

/// Maximum sweeps over the bits of an image in one update; they converge much earlier.
const SWEEPS: usize = 100;

/// The weights of the objective.
#[derive(Debug, Clone, Copy)]
pub(super) struct Weights {
    /// λ.
    pub lambda: f64,
    /// ν.
    pub nu: f64,
    /// ρ, relative to the mean variance of the kernel features.
    pub ridge: f64,
}

/// Y: the classes of each image.
pub(super) struct Targets {
    /// K.
    pub classes: usize,
    /// The columns of Y that are 1, for each image.
    pub of: Vec<Vec<usize>>,
}

/// B: a row of −1 and +1 for each image.
#[derive(Clone, PartialEq)]
pub(super) struct Codes {
    /// c.
    pub bits: usize,
    /// N×c in row order.
    pub signs: Vec<f64>,
}

impl Codes {
    fn matrix(&self) -> MatRef<'_, f64> {
        MatRef::from_row_major_slice(&self.signs, self.signs.len() / self.bits, self.bits)
    }

    /// Returns the mean of each bit.
    fn mean(&self) -> Vec<f64> {
        let mut mean = vec![0.0; self.bits];
        for row in self.signs.chunks_exact(self.bits) {
            mean.iter_mut().zip(row).for_each(|(sum, sign)| *sum += sign);
        }
        let images = (self.signs.len() / self.bits) as f64;
        mean.iter_mut().for_each(|sum| *sum /= images);
        mean
    }
}

/// The regression from kernel features to codes: P and t.
pub(super) struct Regression {
    /// P for centred kernel features, A×c.
    pub projection: Mat<f64>,
    /// The offset t, c numbers.
    pub offset: Vec<f64>,
}

/// The constants of all rounds.
pub(super) struct Problem<'a> {
    /// φ(X), N×A.
    phi: Features<'a>,
    /// The mean of its rows.
    pub mean: Vec<f64>,
    /// `Φ_cᵀ·Φ_c/N + ρ·I`, Φ_c being centred.
    gram: Cholesky,
    targets: Targets,
    lambda: f64,
    nu: f64,
    /// ρ.
    #[cfg(test)]
    ridge: f64,
}

impl<'a> Problem<'a> {
    pub fn new(phi: Features<'a>, targets: Targets, weights: Weights) -> Result<Self, MethodError> {
        let mean = linalg::mean(phi);
        let mut gram = linalg::covariance(phi, &mean, &vec![1.0; phi.len()]);
        let ridge = weights.ridge * linalg::trace(gram.as_ref()) / phi.dim as f64;
        gram.diagonal_mut().column_vector_mut().iter_mut().for_each(|value| *value += ridge);
        let gram = Cholesky::new(gram.as_ref())?;
        Ok(Self {
            phi,
            mean,
            gram,
            targets,
            lambda: weights.lambda,
            nu: weights.nu,
            #[cfg(test)]
            ridge,
        })
    }

    /// Alternates the steps from `codes` until the codes converge.
    pub fn solve(
        &self,
        mut codes: Codes,
        rounds: usize,
        task: &Task<'_>,
    ) -> Result<Codes, MethodError> {
        for round in 0..rounds {
            task.step(round, rounds)?;
            let classifier = self.classifier(&codes)?;
            let outputs = self.outputs(&self.regression(&codes));
            if !self.update(&mut codes, classifier.as_ref(), outputs.as_ref()) {
                break;
            }
        }
        Ok(codes)
    }

    /// Returns the optimal W for B, `(BᵀB + λI)⁻¹·BᵀY`: c×K.
    fn classifier(&self, codes: &Codes) -> Result<Mat<f64>, MethodError> {
        let (b, bits) = (codes.matrix(), codes.bits);
        // The sum is over whole numbers, so its order does not matter.
        let parts = linalg::blocks(b.nrows()).into_par_iter().map(|range| {
            let b = b.subrows(range.start, range.len());
            linalg::product(b.transpose(), b)
        });
        let zero = || Mat::zeros(bits, bits);
        let mut gram = parts.reduce(zero, |sum, part| sum + part);
        gram.diagonal_mut().column_vector_mut().iter_mut().for_each(|v| *v += self.lambda);
        let mut right = Mat::zeros(bits, self.targets.classes);
        for (row, classes) in codes.signs.chunks_exact(bits).zip(&self.targets.of) {
            for class in classes {
                row.iter().enumerate().for_each(|(bit, sign)| right[(bit, *class)] += sign);
            }
        }
        Ok(Cholesky::new(gram.as_ref())?.solve(right))
    }

    /// Returns the optimal P and t for B. Since the features are centred, t is the mean of B.
    pub fn regression(&self, codes: &Codes) -> Regression {
        let right = linalg::cross_covariance(self.phi, &self.mean, codes.matrix());
        Regression { projection: self.gram.solve(right), offset: codes.mean() }
    }

    /// Computes F: N×c.
    fn outputs(&self, regression: &Regression) -> Mat<f64> {
        let Regression { projection, offset } = regression;
        let mut out = linalg::coordinates(self.phi, &self.mean, projection.as_ref());
        for (column, offset) in out.as_mut().col_iter_mut().zip(offset) {
            column.iter_mut().for_each(|value| *value += offset);
        }
        out
    }

    /// Sets each bit to its optimum given all others, repeatedly until none changes. Returns
    /// whether any bit changed.
    ///
    /// Up to a constant, the objective is `tr(B·G·Bᵀ) − 2·tr(Bᵀ·Q)` with `G = W·Wᵀ` and
    /// `Q = Y·Wᵀ + ν·F`, a sum over images. So the optimal bit l of an image with the code b is the
    /// sign of `q_l − Σ_{j≠l} b_j·G_jl`; if that is 0, the bit is unchanged.
    fn update(&self, codes: &mut Codes, w: MatRef<'_, f64>, f: MatRef<'_, f64>) -> bool {
        let bits = codes.bits;
        let gram = linalg::product(w, w.transpose());
        let column = |j: usize| (0..bits).map(|i| gram[(i, j)]).collect();
        let gram: Vec<Vec<f64>> = (0..bits).map(column).collect();
        let images = codes.signs.par_chunks_exact_mut(bits).zip(&self.targets.of).enumerate();
        let changed = images.map(|(image, (code, classes))| {
            let label = |bit: usize| classes.iter().map(|class| w[(bit, *class)]).sum::<f64>();
            let wanted = (0..bits).map(|bit| label(bit) + self.nu * f[(image, bit)]);
            settle(code, &wanted.collect::<Vec<_>>(), &gram)
        });
        changed.reduce(|| false, |a, b| a || b)
    }

    /// Computes the objective.
    #[cfg(test)]
    fn objective(&self, codes: &Codes, w: &Mat<f64>, regression: &Regression) -> f64 {
        let b = codes.matrix();
        let y = Mat::from_fn(b.nrows(), self.targets.classes, |i, k| {
            f64::from(u8::from(self.targets.of[i].contains(&k)))
        });
        let scores = y - linalg::product(b, w.as_ref());
        let missed = b - self.outputs(regression);
        let weights = b.nrows() as f64 * self.ridge * regression.projection.squared_norm_l2();
        scores.squared_norm_l2()
            + self.lambda * w.squared_norm_l2()
            + self.nu * (missed.squared_norm_l2() + weights)
    }
}

/// Updates one image for [`Problem::update`]: `wanted` is its row of Q, `gram` is G by column.
fn settle(code: &mut [f64], wanted: &[f64], gram: &[Vec<f64>]) -> bool {
    let dot = |column: &Vec<f64>| column.iter().zip(&*code).map(|(g, b)| g * b).sum::<f64>();
    let mut sums: Vec<f64> = gram.iter().map(dot).collect();
    let mut any = false;
    for _ in 0..SWEEPS {
        let mut changed = false;
        for (bit, column) in gram.iter().enumerate() {
            let others = sums[bit] - code[bit] * column[bit];
            // The optimum differs from the bit, so flip it.
            if (wanted[bit] - others) * code[bit] < 0.0 {
                code[bit] = -code[bit];
                let twice = 2.0 * code[bit];
                sums.iter_mut().zip(column).for_each(|(sum, g)| *sum += twice * g);
                changed = true;
            }
        }
        any |= changed;
        if !changed {
            break;
        }
    }
    any
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hash::kernel::{exponentiate, squared_distances};
    use crate::method::anchors;
    use crate::method::planted::{Set, planted};
    use crate::method::sdh::{self, labelled};
    use proptest::prelude::*;
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    fn weights() -> Weights {
        sdh::Options::default().weights()
    }

    fn phi_of(set: &Set) -> (Vec<f32>, Targets) {
        let (values, targets) = labelled(set.features(), &set.labels);
        let features = Features { dim: set.dim, values: &values };
        let anchors = anchors::draw(features, 30, &mut ChaCha8Rng::seed_from_u64(4));
        let mut phi = squared_distances(&features, &anchors);
        exponentiate(&mut phi, 1e-3);
        (phi, targets)
    }

    fn random_codes(images: usize, bits: usize, rng: &mut ChaCha8Rng) -> Codes {
        let sign = |_| if rng.random() { 1.0 } else { -1.0 };
        Codes { bits, signs: (0..images * bits).map(sign).collect() }
    }

    #[test]
    fn no_step_raises_the_objective() {
        let mut set = planted(6, 20, 16, 1.0, 7);
        // Some images with two labels.
        set.labels.iter_mut().step_by(5).for_each(|labels| labels.push(99));
        for (bits, nu, lambda) in [(1, 1e-5, 1.0), (8, 0.3, 1.0), (24, 1e-2, 30.0), (40, 2.0, 1e-3)]
        {
            let (phi, targets) = phi_of(&set);
            let images = targets.of.len();
            let phi = Features { dim: phi.len() / images, values: &phi };
            let weights = Weights { nu, lambda, ..weights() };
            let problem = Problem::new(phi, targets, weights).unwrap();
            let mut rng = ChaCha8Rng::seed_from_u64(3);
            let mut codes = random_codes(images, bits, &mut rng);
            let mut w = Mat::from_fn(bits, 7, |_, _| rng.random::<f64>() - 0.5);
            let mut regression = problem.regression(&random_codes(images, bits, &mut rng));
            let mut before = problem.objective(&codes, &w, &regression);
            let first = before;
            let mut falls = |step: &str, now: f64| {
                assert!(now <= before * (1.0 + 1e-12), "{bits} bits, {step}: {before} to {now}");
                before = now;
            };
            for _ in 0..6 {
                w = problem.classifier(&codes).unwrap();
                falls("W", problem.objective(&codes, &w, &regression));
                regression = problem.regression(&codes);
                falls("P", problem.objective(&codes, &w, &regression));
                let outputs = problem.outputs(&regression);
                problem.update(&mut codes, w.as_ref(), outputs.as_ref());
                falls("B", problem.objective(&codes, &w, &regression));
                // Converged: repeating the step changes nothing.
                assert!(!problem.update(&mut codes, w.as_ref(), outputs.as_ref()));
            }
            assert!(before < 0.8 * first, "{bits} bits: {first} to {before}");
        }
    }

    #[test]
    fn closed_forms_are_where_the_objective_is_flat() {
        let set = planted(4, 15, 8, 1.0, 9);
        let (phi, targets) = phi_of(&set);
        let phi = Features { dim: phi.len() / 60, values: &phi };
        let weights = Weights { nu: 0.5, ridge: 0.1, ..weights() };
        let problem = Problem::new(phi, targets, weights).unwrap();
        let codes = random_codes(60, 5, &mut ChaCha8Rng::seed_from_u64(1));
        let (mut w, mut regression) =
            (problem.classifier(&codes).unwrap(), problem.regression(&codes));
        let least = problem.objective(&codes, &w, &regression);
        for step in [1e-2, -1e-2] {
            for at in [(0, 0), (3, 2), (4, 3)] {
                w[at] += step;
                assert!(problem.objective(&codes, &w, &regression) > least);
                w[at] -= step;
                let at = (at.0 * 5, at.1);
                regression.projection[at] += step;
                assert!(problem.objective(&codes, &w, &regression) > least);
                regression.projection[at] -= step;
                regression.offset[at.1] += step;
                assert!(problem.objective(&codes, &w, &regression) > least);
                regression.offset[at.1] -= step;
            }
        }
    }

    /// The update by its definition: each bit of each image is tried both ways, with the whole
    /// objective.
    fn naive(problem: &Problem<'_>, codes: &mut Codes, w: &Mat<f64>, regression: &Regression) {
        loop {
            let mut changed = false;
            for at in 0..codes.signs.len() {
                let mut other = codes.clone();
                other.signs[at] = -other.signs[at];
                let now = problem.objective(codes, w, regression);
                if problem.objective(&other, w, regression) < now - 1e-9 {
                    *codes = other;
                    changed = true;
                }
            }
            if !changed {
                return;
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(40))]
        #[test]
        fn bits_are_updated_as_by_definition(
            seed in 0u64..1000, classes in 2u32..5, bits in 1usize..9, nu in 1e-3..2.0,
        ) {
            let set = planted(classes, 3, 4, 1.0, seed);
            let (phi, targets) = phi_of(&set);
            let images = targets.of.len();
            let phi = Features { dim: phi.len() / images, values: &phi };
            let weights = Weights { nu, ..weights() };
            let problem = Problem::new(phi, targets, weights).unwrap();
            let mut rng = ChaCha8Rng::seed_from_u64(seed);
            let mut codes = random_codes(images, bits, &mut rng);
            let w = Mat::from_fn(bits, classes as usize, |_, _| rng.random::<f64>() - 0.5);
            let regression = problem.regression(&random_codes(images, bits, &mut rng));
            let mut expected = codes.clone();
            naive(&problem, &mut expected, &w, &regression);
            let outputs = problem.outputs(&regression);
            let changed = problem.update(&mut codes, w.as_ref(), outputs.as_ref());
            prop_assert!(codes == expected);
            let again = problem.update(&mut codes, w.as_ref(), outputs.as_ref());
            prop_assert!(!again, "changed {changed}, then again");
        }
    }
}
