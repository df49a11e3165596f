/*!
The asymmetric skeleton that ADSH and its successors share: a network learns codes for a sample of
the images, and the codes of all images follow in closed form.

After Jiang and Li, "Asymmetric Deep Supervised Hashing" (AAAI 2018). With N training
images, c bits, learned codes `B ∈ {−1,+1}^{N×c}` and a sample Ω with real-valued codes
`U`, similarities are soft: `S_in = 1` for images that share a label, else
`−r = −n₊/n₋`, the ratio of similar to dissimilar pairs in Ω×N.

No N×|Ω| matrix is computed. S has two values, so every sum over it follows from sums per label set.
Images are grouped by their label sets; two groups are similar if they share a label.
*/

use std::sync::Arc;

use burn::prelude::*;

use super::OneKind;
use super::groups::Groups;
use super::learned_codes::{LearnedCodes, Summary};
use super::learner::{Learner, Seen};

/// Weight γ of the pull to the learned codes in ADSH and in ExchNet's successors, as published.
pub const GAMMA: f32 = 200.0;

/// The inputs of the loss of a mini-batch, besides its real-valued codes.
#[derive(Debug, Clone)]
pub struct BatchLoss {
    /// `BᵀB`, c×c.
    gram: Tensor<2>,
    /// The row of [`Summary::targets`] for each image, `[batch, c]`.
    targets: Tensor<2>,
    /// The mean of [`Summary::constants`] over the images.
    constant: f32,
    /// The images' learned codes and γ, unless γ is 0.
    pull: Option<(Tensor<2>, f32)>,
    /// N.
    images: f32,
}

impl BatchLoss {
    /// Collects the inputs of the loss for `batch`, indices of training images.
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

    /// Computes `(12/c)·Σ_i Σ_n (f_i·b_n − c·S_in)² / (|batch|·N)`, plus, if γ is not 0, the pull
    /// to the learned codes `γ·(12/c)·‖F − B‖² / (|batch|·N)`; `f` is `[batch, c]`.
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

/// The training state of the asymmetric skeleton: ADSH with γ = 200, ExchNet with γ = 0.
#[derive(Debug)]
pub struct Asymmetric {
    groups: Arc<Groups>,
    codes: LearnedCodes,
    gamma: f32,
    /// Real-valued codes of the current sample, `[m, c]`.
    u: Vec<f32>,
    /// `n₊/n₋` of the current sample.
    ratio: f32,
    summary: Summary,
}

impl Asymmetric {
    /// Creates the state for grouped training images with initial learned codes `codes`. `gamma`
    /// weighs the pull of a sampled image's code to its learned code.
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
