/*!
Part attention: finds M parts on the stem's feature map, and refines them with one local
refine shared by all parts.

After Cui, Jiang, Wei, Li and Yoshie, "ExchNet: A Unified Hashing Network for Large-Scale
Fine-Grained Image Retrieval" (ECCV 2020). The architecture of the attention network
(bottlenecks, widths, no softmax or sigmoid over the maps) follows re-implementations by the
authors' group, not the paper's text.
*/

use burn::module::{Module, Param};
use burn::prelude::*;
use burn::tensor::activation::relu;

use crate::trunk::{ConvNorm, Refine, pool};

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

    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let y = relu(self.down.forward(x.clone(), false));
        let y = relu(self.middle.forward(y, false));
        relu(self.up.forward(y, false) + x)
    }

    fn fold(self) -> Self {
        Self { down: self.down.fold(), middle: self.middle.fold(), up: self.up.fold() }
    }
}

/// Computes M non-negative attention maps from the stem's feature map, of the same size.
#[derive(Module, Debug)]
pub struct Attention {
    /// Three bottlenecks of decreasing width.
    pub blocks: Vec<Bottleneck>,
    /// The 1×1 convolution after each bottleneck.
    pub narrow: Vec<ConvNorm>,
}

impl Attention {
    /// Creates attention with `parts` maps on a feature map of C = `channels`: widths C/4, C/16
    /// and `parts`, inner widths C/4, C/16 and C/64, at least 32, 16 and 8.
    fn new(channels: usize, parts: usize, device: &Device) -> Self {
        let (first, second) = ((channels / 4).max(32), (channels / 16).max(16));
        let widths = [(channels, first, first), (first, second, second)];
        let last = (second, (channels / 64).max(8), parts);
        let (mut blocks, mut narrow) = (Vec::new(), Vec::new());
        for (width, inner, next) in widths.into_iter().chain([last]) {
            blocks.push(Bottleneck::new(width, inner, device));
            narrow.push(ConvNorm::new([width, next], 1, 1, 1, device));
        }
        Self { blocks, narrow }
    }

    /// `[batch, C, H, W]` to `[batch, M, H, W]`.
    pub fn forward(&self, e: Tensor<4>) -> Tensor<4> {
        let layers = self.blocks.iter().zip(&self.narrow);
        relu(layers.fold(e, |x, (block, narrow)| narrow.forward(block.forward(x), false)))
    }

    fn fold(self) -> Self {
        Self {
            blocks: self.blocks.into_iter().map(Bottleneck::fold).collect(),
            narrow: self.narrow.into_iter().map(ConvNorm::fold).collect(),
        }
    }
}

/// The network that finds and describes parts.
#[derive(Module, Debug)]
pub struct Parts {
    /// Locates the parts.
    pub attention: Attention,
    /// Local feature refinement (LFR), shared by all parts.
    pub local: Refine,
}

/// The features of a batch's parts.
#[derive(Debug, Clone)]
pub struct PartFeatures {
    /// Attention maps `[batch, M, H, W]`.
    pub attention: Tensor<4>,
    /// The refined maps of all parts `[batch · M, C', H', W']`, an image's parts adjacent.
    pub maps: Tensor<4>,
    /// The means of the refined maps `[batch, M, C']`.
    pub local: Tensor<3>,
}

impl Parts {
    /// Creates a part network with `refine` as the initial local refinement.
    pub fn new(parts: usize, refine: Refine, device: &Device) -> Self {
        let channels = refine.input_channels();
        Self { attention: Attention::new(channels, parts, device), local: refine }
    }

    /// Computes attention and part features.
    pub fn forward(&self, e: Tensor<4>) -> PartFeatures {
        let attention = self.attention.forward(e.clone());
        self.refine(e, attention)
    }

    /// Initialises the last norm of the attention with scale `gain` and offset `1 − gain`. 1 is
    /// the usual initialisation of a norm; with 0 every attention map is 1 everywhere.
    pub fn begin_with(&mut self, gain: f32) {
        let norm = self.attention.narrow.last_mut().and_then(|narrow| narrow.norm.as_mut());
        let Some(norm) = norm else { return };
        let set = |param: Param<Tensor<1>>, value: f32| {
            param.map(|tensor| tensor.full_like(value).set_require_grad(tensor.is_require_grad()))
        };
        norm.gamma = set(norm.gamma.clone(), gain);
        norm.beta = set(norm.beta.clone(), 1.0 - gain);
    }

    /// Computes and refines `E ⊗ A^j` on every channel, for all parts in one batch.
    pub fn refine(&self, e: Tensor<4>, attention: Tensor<4>) -> PartFeatures {
        let [batch, parts, height, width] = attention.dims();
        let [_, channels, ..] = e.dims();
        let attended = e.unsqueeze_dim::<5>(1) * attention.clone().unsqueeze_dim::<5>(2);
        let maps = self.local.forward(attended.reshape([batch * parts, channels, height, width]));
        let pooled = pool(maps.clone());
        let [_, width] = pooled.dims();
        PartFeatures { attention, maps, local: pooled.reshape([batch, parts, width]) }
    }

    /// Folds all batch norms, for inference.
    pub fn fold(self) -> Self {
        Self { attention: self.attention.fold(), local: self.local.fold() }
    }
}
