/*!
ExchNet's attention: M maps of an image, computed together.

After Cui, Jiang, Wei, Li and Yoshie, "ExchNet: A Unified Hashing Network for Large-Scale
Fine-Grained Image Retrieval" (ECCV 2020). The architecture of the attention network
(bottlenecks, widths, no softmax or sigmoid over the maps) follows re-implementations by the
authors' group, not the paper's text.
*/

use burn::module::Module;
use burn::prelude::*;
use burn::tensor::activation::relu;

use crate::trunk::ConvNorm;

/// A residual bottleneck: 1×1 down, 3×3, 1×1 up, plus the input, each followed by ReLU.
#[derive(Module, Debug)]
pub struct Bottleneck {
    /// 1×1 to the inner width.
    pub down: ConvNorm,
    /// 3×3 at the inner width.
    pub middle: ConvNorm,
    /// 1×1 back to the outer width.
    pub up: ConvNorm,
}

impl Bottleneck {
    fn new(channels: usize, inner: usize, device: &Device) -> Self {
        Self {
            down: ConvNorm::new([channels, inner], 1, 1, 1, device),
            middle: ConvNorm::new([inner, inner], 3, 1, 1, device),
            up: ConvNorm::new([inner, channels], 1, 1, 1, device),
        }
    }

    pub(super) fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let y = relu(self.down.forward(x.clone(), false));
        let y = relu(self.middle.forward(y, false));
        relu(self.up.forward(y, false) + x)
    }

    pub(super) fn fold(self) -> Self {
        Self { down: self.down.fold(), middle: self.middle.fold(), up: self.up.fold() }
    }
}

/// Creates three bottlenecks of decreasing width for a map of C = `channels`, C/4 and C/16
/// channels, with inner widths C/4, C/16 and C/64. The widths are at least 32, 16 and 8.
pub(super) fn bottlenecks(channels: usize, device: &Device) -> Vec<Bottleneck> {
    let [first, second] = widths(channels);
    let inner = [(channels, first), (first, second), (second, (channels / 64).max(8))];
    inner.into_iter().map(|(width, inner)| Bottleneck::new(width, inner, device)).collect()
}

/// Returns the channels after the first and the second bottleneck of a map of `channels`.
pub(super) fn widths(channels: usize) -> [usize; 2] {
    [(channels / 4).max(32), (channels / 16).max(16)]
}

/// Computes M non-negative attention maps from the stem's feature map, of the same size.
#[derive(Module, Debug)]
pub struct Together {
    /// Three bottlenecks of decreasing width.
    pub blocks: Vec<Bottleneck>,
    /// The 1×1 convolution after each bottleneck.
    pub narrow: Vec<ConvNorm>,
}

impl Together {
    /// Creates attention with `parts` maps on a feature map of C = `channels`; its widths are C/4,
    /// C/16 and `parts`.
    pub(super) fn new(channels: usize, parts: usize, device: &Device) -> Self {
        let [first, second] = widths(channels);
        let steps = [[channels, first], [first, second], [second, parts]];
        let narrow = steps.map(|step| ConvNorm::new(step, 1, 1, 1, device)).into();
        Self { blocks: bottlenecks(channels, device), narrow }
    }

    /// `[batch, C, H, W]` to `[batch, M, H, W]`.
    pub fn forward(&self, e: Tensor<4>) -> Tensor<4> {
        let layers = self.blocks.iter().zip(&self.narrow);
        relu(layers.fold(e, |x, (block, narrow)| narrow.forward(block.forward(x), false)))
    }

    pub(super) fn fold(self) -> Self {
        Self {
            blocks: self.blocks.into_iter().map(Bottleneck::fold).collect(),
            narrow: self.narrow.into_iter().map(ConvNorm::fold).collect(),
        }
    }
}
