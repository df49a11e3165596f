/*!
The asymmetric skeleton that ADSH and its successors share: a network learns codes for
a sample of the images, the codes of all images follow in closed form.

After Jiang and Li, "Asymmetric Deep Supervised Hashing" (AAAI 2018). With N training
images, c bits, learned codes `B ∈ {−1,+1}^{N×c}` and a sample Ω with real-valued codes
`U`, similarities are soft: `S_in = 1` for images that share a label, else
`−r = −n₊/n₋`, the ratio of similar to dissimilar pairs in Ω×N.

No N×|Ω| matrix is ever made: S has two values, so every sum over it follows from sums
per label set. Images are grouped by their label sets; two groups are similar when they
share a label.
*/

use std::collections::HashMap;
use std::sync::Arc;

use burn::prelude::*;
use rayon::prelude::*;

use super::OneKind;
use super::learner::{Learner, Seen};

/// Training images grouped by their label sets, and which groups are similar.
#[derive(Debug, Clone)]
pub struct Groups {
    /// The group of each image.
    of_image: Vec<usize>,
    /// Images in each group.
    sizes: Vec<usize>,
    /// For each group, the groups that share a label with it, itself included.
    similar: Vec<Vec<usize>>,
    /// The labels of each group.
    sets: Vec<Vec<u32>>,
}

impl Groups {
    /// Groups images by `labels`, ascending label lists.
    pub fn new(labels: &[Vec<u32>]) -> Self {
        let mut numbers: HashMap<&[u32], usize> = HashMap::new();
        let mut sets: Vec<&[u32]> = Vec::new();
        let mut sizes = Vec::new();
        let mut of_image = Vec::with_capacity(labels.len());
        for set in labels {
            let group = *numbers.entry(set).or_insert_with(|| {
                sets.push(set);
                sizes.push(0);
                sets.len() - 1
            });
            sizes[group] += 1;
            of_image.push(group);
        }
        let share = |a: &[u32], b: &[u32]| a.iter().any(|label| b.binary_search(label).is_ok());
        let similar =
            sets.iter().map(|a| (0..sets.len()).filter(|b| share(a, sets[*b])).collect()).collect();
        let sets = sets.into_iter().map(<[u32]>::to_vec).collect();
        Self { of_image, sizes, similar, sets }
    }

    /// Number of images, N.
    pub fn images(&self) -> usize {
        self.of_image.len()
    }

    /// Number of groups; with one label per image, the number of classes that occur.
    pub fn len(&self) -> usize {
        self.sizes.len()
    }

    /// Whether there is no image.
    pub fn is_empty(&self) -> bool {
        self.of_image.is_empty()
    }

    /// The group of an image.
    pub fn of(&self, image: usize) -> usize {
        self.of_image[image]
    }

    /// The labels of each group.
    pub fn label_sets(&self) -> impl Iterator<Item = &[u32]> {
        self.sets.iter().map(Vec::as_slice)
    }

    /// The labels of an image.
    pub fn labels_of(&self, image: usize) -> &[u32] {
        &self.sets[self.of(image)]
    }

    /// The labels that occur, ascending.
    pub fn classes(&self) -> Vec<u32> {
        let mut classes: Vec<u32> = self.label_sets().flatten().copied().collect();
        classes.sort_unstable();
        classes.dedup();
        classes
    }

    /// Whether two images share a label.
    pub fn are_similar(&self, a: usize, b: usize) -> bool {
        self.similar[self.of(a)].binary_search(&self.of(b)).is_ok()
    }

    /// How many images are similar to those of a group.
    fn similar_images(&self, group: usize) -> usize {
        self.similar[group].iter().map(|g| self.sizes[*g]).sum()
    }

    /// `r = n₊/n₋` over all pairs of a sampled and a training image.
    ///
    /// # Errors
    /// [`OneKind`] when no pair is dissimilar.
    pub fn ratio(&self, sample: &[usize]) -> Result<f32, OneKind> {
        let positive: usize = sample.iter().map(|i| self.similar_images(self.of(*i))).sum();
        match sample.len() * self.images() - positive {
            0 => Err(OneKind),
            negative => Ok((positive as f64 / negative as f64) as f32),
        }
    }

    /// For each group, `Σ S·row` over rows of `width` values that belong to `images`:
    /// `(1+r)·Σ_{similar} − r·Σ_{all}`, `[groups, width]`.
    fn weighted(
        &self,
        rows: impl Iterator<Item = (usize, impl AsRef<[f32]>)>,
        width: usize,
        r: f32,
    ) -> Vec<f32> {
        let mut sums = vec![0.0f64; self.len() * width];
        for (image, row) in rows {
            let group = self.of(image);
            let sum = &mut sums[group * width..(group + 1) * width];
            sum.iter_mut().zip(row.as_ref()).for_each(|(s, v)| *s += f64::from(*v));
        }
        let mut total = vec![0.0f64; width];
        for sum in sums.chunks_exact(width) {
            total.iter_mut().zip(sum).for_each(|(t, s)| *t += s);
        }
        let r = f64::from(r);
        let mut out = Vec::with_capacity(sums.len());
        for similar in &self.similar {
            let mut near = vec![0.0f64; width];
            for group in similar {
                let sum = &sums[group * width..(group + 1) * width];
                near.iter_mut().zip(sum).for_each(|(n, s)| *n += s);
            }
            out.extend(near.iter().zip(&total).map(|(n, t)| ((1.0 + r) * n - r * t) as f32));
        }
        out
    }
}

/// The learned codes of all training images, N rows of c values +1 or −1.
#[derive(Debug, Clone, PartialEq)]
pub struct LearnedCodes {
    bits: usize,
    signs: Vec<f32>,
}

impl LearnedCodes {
    /// Takes N×c values; what is not negative becomes +1.
    pub fn new(bits: usize, values: Vec<f32>) -> Self {
        let signs = values.into_iter().map(sign).collect();
        Self { bits, signs }
    }

    /// Bits per code, c.
    pub fn bits(&self) -> usize {
        self.bits
    }

    /// All values in row order.
    pub fn signs(&self) -> &[f32] {
        &self.signs
    }

    /// The code of one image.
    pub fn row(&self, image: usize) -> &[f32] {
        &self.signs[image * self.bits..(image + 1) * self.bits]
    }

    /// What the batch loss needs to know of all codes.
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

    /// One closed-form sweep over all bits (discrete cyclic coordinate descent).
    ///
    /// With `Q = c·SᵀU + γ·Ū` (Ū: U at the sampled images, 0 elsewhere), for k = 1…c:
    /// `b_k = sign(Q_k − B₋ₖ(U₋ₖᵀu_k))`. `sample` are the images whose codes are the
    /// rows of `u`. Cost N·c².
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

/// What a batch's loss needs of the learned codes: none of it grows with N.
#[derive(Debug, Clone, PartialEq)]
pub struct Summary {
    /// `BᵀB`, c×c.
    pub gram: Vec<f32>,
    /// For each group `Σ_n S_n·b_n`, `[groups, c]`.
    pub targets: Vec<f32>,
    /// For each group `c²·Σ_n S_n²`.
    pub constants: Vec<f32>,
}

/// The loss of one mini-batch of images, to be computed from its real-valued codes.
#[derive(Debug, Clone)]
pub struct BatchLoss {
    /// `BᵀB`, c×c.
    gram: Tensor<2>,
    /// The row of [`Summary::targets`] of each image, `[batch, c]`.
    targets: Tensor<2>,
    /// The mean of [`Summary::constants`] of the images.
    constant: f32,
    /// The images' learned codes and γ, where that is not 0.
    pull: Option<(Tensor<2>, f32)>,
    /// N.
    images: f32,
}

impl BatchLoss {
    /// What the loss of `batch`, numbers of training images, needs.
    pub fn new(
        codes: &LearnedCodes,
        summary: &Summary,
        groups: &Groups,
        batch: &[usize],
        gamma: f32,
        device: &Device,
    ) -> Self {
        let (c, count) = (codes.bits(), batch.len());
        let tensor = |values: Vec<f32>, rows: usize| -> Tensor<2> {
            Tensor::from_data(TensorData::new(values, [rows, c]), device)
        };
        let targets = batch.iter().flat_map(|image| {
            let group = groups.of(*image);
            summary.targets[group * c..(group + 1) * c].iter().copied()
        });
        let constants = batch.iter().map(|image| summary.constants[groups.of(*image)]);
        let own = batch.iter().flat_map(|image| codes.row(*image).iter().copied());
        Self {
            gram: tensor(summary.gram.clone(), c),
            targets: tensor(targets.collect(), count),
            constant: constants.map(|value| value / count as f32).sum(),
            pull: (gamma != 0.0).then(|| (tensor(own.collect(), count), gamma)),
            images: groups.images() as f32,
        }
    }

    /// `(12/c)·Σ_i Σ_n (f_i·b_n − c·S_in)² / (|batch|·N)`, and with γ the pull to the
    /// learned codes `γ·(12/c)·‖F − B‖² / (|batch|·N)`; `f` is `[batch, c]`.
    pub fn of(&self, f: Tensor<2>) -> Tensor<1> {
        let [count, c] = f.dims();
        let count = count as f32;
        let square = (f.clone().matmul(self.gram.clone()) * f.clone()).sum() / count;
        let cross = (f.clone() * self.targets.clone()).sum() * (2.0 * c as f32 / count);
        let mut loss = square - cross + self.constant;
        if let Some((codes, gamma)) = &self.pull {
            let apart = f - codes.clone();
            loss = loss + (apart.clone() * apart).sum() * (*gamma / count);
        }
        loss * (12.0 / (c as f32 * self.images))
    }
}

/// The asymmetric skeleton while it learns: ADSH with γ = 200, ExchNet with γ = 0.
#[derive(Debug)]
pub struct Asymmetric {
    groups: Arc<Groups>,
    codes: LearnedCodes,
    gamma: f32,
    /// Real-valued codes of the present sample, `[m, c]`.
    u: Vec<f32>,
    /// `n₊/n₋` of the present sample.
    ratio: f32,
    summary: Summary,
}

impl Asymmetric {
    /// For training images in groups whose learned codes begin as `codes`; `gamma` weighs
    /// the pull of a sampled image's code to its learned one.
    pub fn new(groups: Arc<Groups>, codes: LearnedCodes, gamma: f32) -> Self {
        let summary = codes.summary(&groups, 0.0);
        Self { groups, codes, gamma, u: Vec::new(), ratio: 0.0, summary }
    }
}

impl Learner for Asymmetric {
    fn begin(&mut self, sample: &[usize], fresh: bool) -> Result<(), OneKind> {
        self.ratio = self.groups.ratio(sample)?;
        self.summary = self.codes.summary(&self.groups, self.ratio);
        if fresh || self.u.len() != sample.len() * self.codes.bits() {
            self.u = vec![0.0; sample.len() * self.codes.bits()];
        }
        Ok(())
    }

    fn loss(&self, seen: Seen<'_>) -> Tensor<1> {
        let device = seen.codes.device();
        let Self { groups, codes, gamma, summary, .. } = self;
        BatchLoss::new(codes, summary, groups, seen.images, *gamma, &device).of(seen.codes)
    }

    fn saw(&mut self, rows: &[usize], codes: &[f32]) {
        let c = self.codes.bits();
        for (row, code) in rows.iter().zip(codes.chunks_exact(c)) {
            self.u[row * c..(row + 1) * c].copy_from_slice(code);
        }
    }

    fn end(&mut self, sample: &[usize]) {
        self.codes.sweep(&self.groups, sample, &self.u, self.ratio, self.gamma);
    }

    fn learned(&self) -> Option<&LearnedCodes> {
        Some(&self.codes)
    }

    fn state(&self) -> Vec<Vec<f32>> {
        vec![self.codes.signs().to_vec(), self.u.clone()]
    }

    fn restore(&mut self, state: Vec<Vec<f32>>) -> bool {
        let Ok([codes, u]) = <[Vec<f32>; 2]>::try_from(state) else { return false };
        let fits = codes.len() == self.codes.signs().len() && u.len() % self.codes.bits() == 0;
        if fits {
            self.codes = LearnedCodes::new(self.codes.bits(), codes);
            self.u = u;
        }
        fits
    }
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
    use rand::{RngExt, SeedableRng};
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
