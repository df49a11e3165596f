/*!
Learned codes of all training images, computed in closed form from the network's codes of a sample:
the discrete half of asymmetric hashing ([`super::asymmetric`]).
*/

use std::collections::HashMap;

use rand::RngExt;
use rayon::prelude::*;

use super::draw::{Purpose, generator};
use super::groups::Groups;
use super::setup::Init;

/// The learned codes of all training images: N rows of c values, each +1 or −1.
#[derive(Debug, Clone, PartialEq)]
pub struct LearnedCodes {
    bits: usize,
    signs: Vec<f32>,
}

impl LearnedCodes {
    /// Returns initial codes for the images in `groups`: random signs, drawn per image or per
    /// group.
    pub fn first(init: Init, groups: &Groups, bits: usize, seed: u64) -> Self {
        let code = |key: usize| {
            let mut rng = generator(seed, Purpose::Codes, 0, key);
            (0..bits).map(move |_| if rng.random_bool(0.5) { 1.0f32 } else { -1.0 })
        };
        let images = 0..groups.images();
        let values = match init {
            Init::Random => images.flat_map(code).collect(),
            Init::Class => images.flat_map(|image| code(groups.of(image))).collect(),
        };
        Self::new(bits, values)
    }

    /// Returns the signs of N×c values; the sign of 0 is +1.
    pub fn new(bits: usize, values: Vec<f32>) -> Self {
        let signs = values.into_iter().map(sign).collect();
        Self { bits, signs }
    }

    /// Returns the bits per code, c.
    pub fn bits(&self) -> usize {
        self.bits
    }

    /// Returns all values in row order.
    pub fn signs(&self) -> &[f32] {
        &self.signs
    }

    /// Returns the code of an image.
    pub fn row(&self, image: usize) -> &[f32] {
        &self.signs[image * self.bits..(image + 1) * self.bits]
    }

    /// Returns the sums over all codes that the loss of a batch needs.
    pub fn summary(&self, groups: &Groups, r: f32) -> Summary {
        let images = self.signs.chunks_exact(self.bits).enumerate();
        let targets = groups.weighted(images, self.bits, r);
        let constants = (0..groups.len()).map(|group| {
            let similar = groups.similar_images(group) as f64;
            let others = groups.images() as f64 - similar;
            let c = self.bits as f64;
            (c * c * (similar + f64::from(r) * f64::from(r) * others)) as f32
        });
        Summary { gram: gram(&self.signs, self.bits), targets, constants: constants.collect() }
    }

    /// Runs one closed-form sweep over all bits (discrete cyclic coordinate descent).
    ///
    /// With `Q = c·SᵀU + γ·Ū` (Ū is U at the sampled images, 0 elsewhere), for k = 1…c:
    /// `b_k = sign(Q_k − B₋ₖ(U₋ₖᵀu_k))`. The rows of `u` are the codes of the images `sample`. The
    /// cost is N·c².
    pub fn sweep(&mut self, groups: &Groups, sample: &[usize], u: &[f32], r: f32, gamma: f32) {
        let c = self.bits;
        let rows = sample.iter().copied().zip(u.chunks_exact(c));
        let wanted = groups.weighted(rows, c, r);
        let gram = gram(u, c);
        let mut own: HashMap<usize, &[f32]> = HashMap::new();
        if gamma != 0.0 {
            own.extend(sample.iter().copied().zip(u.chunks_exact(c)));
        }
        self.signs.par_chunks_exact_mut(c).enumerate().for_each(|(image, b)| {
            let group = groups.of(image);
            let wanted = &wanted[group * c..(group + 1) * c];
            let own = own.get(&image);
            for k in 0..c {
                let column = &gram[k * c..(k + 1) * c];
                let all: f32 = b.iter().zip(column).map(|(b, g)| b * g).sum();
                let others = all - b[k] * column[k];
                let pull = own.map_or(0.0, |u| gamma * u[k]);
                b[k] = sign(c as f32 * wanted[k] + pull - others);
            }
        });
    }
}

/// Sums over the learned codes that the loss of a batch needs. Their size does not depend on N.
#[derive(Debug, Clone, PartialEq)]
pub struct Summary {
    /// `BᵀB`, c×c.
    pub gram: Vec<f32>,
    /// For each group `Σ_n S_n·b_n`, `[groups, c]`.
    pub targets: Vec<f32>,
    /// For each group `c²·Σ_n S_n²`.
    pub constants: Vec<f32>,
}

/// `rowsᵀ·rows`, c×c.
fn gram(rows: &[f32], c: usize) -> Vec<f32> {
    let row = |i: usize| -> Vec<f32> {
        let mut out = vec![0.0f64; c];
        for row in rows.chunks_exact(c) {
            let own = f64::from(row[i]);
            out.iter_mut().zip(row).for_each(|(o, v)| *o += own * f64::from(*v));
        }
        out.into_iter().map(|v| v as f32).collect()
    };
    (0..c).into_par_iter().flat_map_iter(row).collect()
}

/// sign(0) = +1.
fn sign(value: f32) -> f32 {
    if value >= 0.0 { 1.0 } else { -1.0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::method::OneKind;
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    struct Case {
        labels: Vec<Vec<u32>>,
        groups: Groups,
        codes: LearnedCodes,
        sample: Vec<usize>,
        u: Vec<f32>,
        r: f32,
    }

    /// Random images, some with two labels.
    fn case(seed: u64, several: bool) -> Case {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let (n, c) = (40, 7);
        let labels: Vec<Vec<u32>> = (0..n)
            .map(|_| {
                let mut set = vec![rng.random_range(0..5u32)];
                if several && rng.random_bool(0.5) {
                    set.push(rng.random_range(0..5u32));
                }
                set.sort_unstable();
                set.dedup();
                set
            })
            .collect();
        let groups = Groups::new(&labels);
        let mut real = |count: usize| -> Vec<f32> {
            (0..count).map(|_| rng.random_range(-1.0..1.0f32)).collect()
        };
        let codes = LearnedCodes::new(c, real(n * c));
        let sample: Vec<usize> = (0..n).step_by(3).collect();
        let u = real(sample.len() * c);
        let r = groups.ratio(&sample).unwrap();
        Case { labels, groups, codes, sample, u, r }
    }

    fn similarity(case: &Case, a: usize, b: usize) -> f64 {
        let share = case.labels[a].iter().any(|l| case.labels[b].contains(l));
        if share { 1.0 } else { -f64::from(case.r) }
    }

    #[test]
    fn the_ratio_is_that_of_pairs() {
        for seed in 0..6 {
            let case = case(seed, seed % 2 == 1);
            let pairs = case.sample.iter().flat_map(|a| (0..40).map(move |b| (*a, b)));
            let (near, far): (Vec<_>, Vec<_>) = pairs
                .partition(|(a, b)| case.labels[*a].iter().any(|l| case.labels[*b].contains(l)));
            assert!((case.r - near.len() as f32 / far.len() as f32).abs() < 1e-6);
        }
        let one = Groups::new(&[vec![3], vec![3]]);
        assert_eq!(one.ratio(&[0]), Err(OneKind));
    }

    #[test]
    fn the_loss_from_sums_is_the_loss_over_all_pairs() {
        for seed in 0..6 {
            let case = case(seed, seed % 2 == 1);
            let c = case.codes.bits();
            let summary = case.codes.summary(&case.groups, case.r);
            for (i, f) in case.sample.iter().zip(case.u.chunks_exact(c)) {
                let dot = |a: &[f32], b: &[f32]| -> f64 {
                    a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
                };
                let plain: f64 = (0..40)
                    .map(|n| {
                        (dot(f, case.codes.row(n)) - c as f64 * similarity(&case, *i, n)).powi(2)
                    })
                    .sum();
                let group = case.groups.of(*i);
                let square: f64 = (0..c)
                    .map(|k| f64::from(f[k]) * dot(f, &summary.gram[k * c..(k + 1) * c]))
                    .sum();
                let target = &summary.targets[group * c..(group + 1) * c];
                let ours =
                    square - 2.0 * c as f64 * dot(f, target) + f64::from(summary.constants[group]);
                assert!((plain - ours).abs() < 1e-3 * plain.abs(), "{plain} {ours}");
            }
        }
    }

    #[test]
    fn the_sweep_is_the_plain_update() {
        for seed in 0..8 {
            let case = case(seed, seed % 2 == 1);
            let (c, gamma) = (case.codes.bits(), [0.0, 200.0][seed as usize / 2 % 2]);
            let mut plain: Vec<Vec<f64>> = (0..40)
                .map(|n| case.codes.row(n).iter().map(|b| f64::from(*b)).collect())
                .collect();
            for k in 0..c {
                for (n, row) in plain.iter_mut().enumerate() {
                    let mut q = 0.0;
                    for (i, u) in case.sample.iter().zip(case.u.chunks_exact(c)) {
                        q += c as f64 * similarity(&case, *i, n) * f64::from(u[k]);
                        if *i == n {
                            q += f64::from(gamma) * f64::from(u[k]);
                        }
                        for other in (0..c).filter(|other| *other != k) {
                            q -= row[other] * f64::from(u[other]) * f64::from(u[k]);
                        }
                    }
                    row[k] = if q >= 0.0 { 1.0 } else { -1.0 };
                }
            }
            let mut ours = case.codes.clone();
            ours.sweep(&case.groups, &case.sample, &case.u, case.r, gamma);
            let plain: Vec<f32> = plain.into_iter().flatten().map(|b| b as f32).collect();
            assert_eq!(ours.signs(), plain);
        }
    }

    #[test]
    fn a_sweep_never_raises_the_objective() {
        for seed in 0..6 {
            let case = case(seed, false);
            let c = case.codes.bits();
            let objective = |codes: &LearnedCodes| -> f64 {
                let mut sum = 0.0;
                for (i, u) in case.sample.iter().zip(case.u.chunks_exact(c)) {
                    for n in 0..40 {
                        let dot: f64 =
                            u.iter().zip(codes.row(n)).map(|(a, b)| f64::from(a * b)).sum();
                        sum += (dot - c as f64 * similarity(&case, *i, n)).powi(2);
                    }
                }
                sum
            };
            let mut codes = case.codes.clone();
            let before = objective(&codes);
            codes.sweep(&case.groups, &case.sample, &case.u, case.r, 0.0);
            assert!(objective(&codes) <= before);
        }
    }
}
