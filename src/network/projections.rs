/*!
AGMH's features: several 1×1 projections of the last feature map, each pooled.

After Lu, Chen, Cao, Zhou and Lu, "Attributes Grouping and Mining Hashing for Fine-Grained Image
Retrieval" (ACM MM 2023). The paper's last map is at stride 16, ours at stride 32 as in all trunks
here. The attention that makes the projections differ is needed in training only; it is in
[`method`](crate::method).
*/

use burn::module::Module;
use burn::prelude::*;
use burn::tensor::activation::relu;

use crate::trunk::{ConvNorm, pool};

/// Channels of the last feature map for each channel of a projection: 2,048 to 512 in the paper.
const NARROWER: usize = 4;

/// Projections of the last feature map of C' channels to groups of C'/4 channels.
#[derive(Module, Debug)]
pub struct Projections {
    /// A 1×1 convolution for each group.
    pub groups: Vec<ConvNorm>,
}

impl Projections {
    /// Creates `count` projections of a map of `channels` channels.
    pub fn new(channels: usize, count: usize, device: &Device) -> Self {
        let conv = |_| ConvNorm::new([channels, Self::width(channels)], 1, 1, 1, device);
        Self { groups: (0..count).map(conv).collect() }
    }

    /// Returns the channels of a projection of a map of `channels` channels.
    pub fn width(channels: usize) -> usize {
        channels / NARROWER
    }

    /// Computes the map of each group, `[batch, C', H, W]` to `[batch, C'/4, H, W]`.
    pub fn maps(&self, x: Tensor<4>) -> Vec<Tensor<4>> {
        self.groups.iter().map(|group| relu(group.forward(x.clone(), false))).collect()
    }

    /// Computes the features of all groups in order: `[batch, C', H, W]` to
    /// `[batch, groups · C'/4]`.
    pub fn forward(&self, x: Tensor<4>) -> Tensor<2> {
        Tensor::cat(self.maps(x).into_iter().map(pool).collect(), 1)
    }

    /// Folds all batch norms, for inference.
    pub fn fold(self) -> Self {
        Self { groups: self.groups.into_iter().map(ConvNorm::fold).collect() }
    }
}
