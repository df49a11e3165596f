/*!
SEMICON's attention: maps found one after the other, each on features in which the region of the
one before is damped.

After Shen, Sun, Wei, Jiang and Yang, "SEMICON: A Learning-to-hash Solution for Large-scale
Fine-grained Image Retrieval" (ECCV 2022). Formulas of the authors' code, except that the deviation
below is that of one image and not of a whole batch: the code of an image must not depend on the
images beside it.
*/

use burn::module::Module;
use burn::prelude::*;
use burn::tensor::activation::{relu, softmax};

use super::attention::{Bottleneck, bottlenecks, widths};
use crate::trunk::ConvNorm;

/// Exponent of the deviation.
const ALPHA: f32 = 0.15;
/// Added to the deviation, which is 0 for a constant map.
const EPSILON: f32 = 1e-9;

/// Computes M non-negative attention maps from the stem's feature map, of the same size.
#[derive(Module, Debug)]
pub struct Chain {
    /// Three bottlenecks of decreasing width.
    pub blocks: Vec<Bottleneck>,
    /// The 1×1 convolutions after the first two.
    pub narrow: Vec<ConvNorm>,
    /// A 1×1 convolution to one channel for each map.
    pub heads: Vec<ConvNorm>,
}

impl Chain {
    /// Creates attention with `parts` maps on a feature map of C = `channels`; its widths are C/4
    /// and C/16.
    pub(super) fn new(channels: usize, parts: usize, device: &Device) -> Self {
        let [first, second] = widths(channels);
        let conv = |step| ConvNorm::new(step, 1, 1, 1, device);
        Self {
            blocks: bottlenecks(channels, device),
            narrow: [[channels, first], [first, second]].map(conv).into(),
            heads: (0..parts).map(|_| conv([second, 1])).collect(),
        }
    }

    /// `[batch, C, H, W]` to `[batch, M, H, W]`.
    pub fn forward(&self, e: Tensor<4>) -> Tensor<4> {
        let mut x = e;
        for (number, block) in self.blocks.iter().enumerate() {
            x = block.forward(x);
            if let Some(narrow) = self.narrow.get(number) {
                x = narrow.forward(x, false);
            }
        }
        let mut maps = Vec::with_capacity(self.heads.len());
        for head in &self.heads {
            let map = relu(head.forward(x.clone(), false));
            x = damped(x, map.clone());
            maps.push(map);
        }
        Tensor::cat(maps, 1)
    }

    pub(super) fn fold(self) -> Self {
        Self {
            blocks: self.blocks.into_iter().map(Bottleneck::fold).collect(),
            narrow: self.narrow.into_iter().map(ConvNorm::fold).collect(),
            heads: self.heads.into_iter().map(ConvNorm::fold).collect(),
        }
    }
}

/// Damps features `[batch, C, H, W]` where `map`, `[batch, 1, H, W]`, is strong, and raises them
/// where it is weak.
///
/// With p the softmax of the map over positions: `m = clamp((p − mean p) / (std p)^0.15 + 1, 0, 2)`
/// and `x·(2 − m)`. No gradient passes through m.
pub fn damped(x: Tensor<4>, map: Tensor<4>) -> Tensor<4> {
    let [batch, _, height, width] = map.dims();
    let p = softmax(map.detach().reshape([batch, height * width]), 1);
    // The mean of a softmax is known.
    let off = p - 1.0 / (height * width) as f32;
    let deviation = (off.clone() * off.clone()).mean_dim(1).sqrt();
    let m = (off / (deviation + EPSILON).powf_scalar(ALPHA) + 1.0).clamp(0.0, 2.0);
    x * (m.neg() + 2.0).reshape([batch, 1, height, width])
}
