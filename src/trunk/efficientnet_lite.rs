/*!
EfficientNet-Lite0: the trunk that ships with Barbule.

The network of Tan and Le (ICML 2019, arXiv 1905.11946) without squeeze-excitation and with
ReLU6 instead of swish, as released by its authors for mobile hardware. It is split at
stride 16 into the stem (entry convolution and the first 11 blocks) and refine (the last 5
blocks and the head convolution).
*/

use burn::module::Module;
use burn::prelude::*;

#[cfg(all(test, feature = "train"))]
use super::conv_norm::relu6;
pub use super::conv_norm::{ConvNorm, pool};
use super::ops;

/// (repeats, kernel, stride of the first block, expansion, output channels).
const STAGES: [(usize, usize, usize, usize, usize); 7] = [
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
];
/// Channels after the entry convolution.
const ENTRY: usize = 32;
/// Number of blocks in the stem.
pub(super) const STEM_BLOCKS: usize = 11;

/// Channels of the stem's feature map.
pub const STEM_CHANNELS: usize = 112;
/// Channels of the last feature map, and length of the pooled feature.
pub const POOLED: usize = 1280;

/// An inverted residual block: expansion, depthwise convolution, projection.
#[derive(Module, Debug)]
pub struct Block {
    /// 1×1, to six times the channels; the first block has none.
    pub expand: Option<ConvNorm>,
    /// 3×3 or 5×5 on each channel.
    pub depthwise: ConvNorm,
    /// 1×1, without activation.
    pub project: ConvNorm,
    #[module(skip)]
    skip: bool,
}

impl Block {
    fn new(
        [input, output]: [usize; 2],
        kernel: usize,
        stride: usize,
        expansion: usize,
        device: &Device,
    ) -> Self {
        let wide = input * expansion;
        let expand = (expansion != 1).then(|| ConvNorm::new([input, wide], 1, 1, 1, device));
        Self {
            expand,
            depthwise: ConvNorm::new([wide, wide], kernel, stride, wide, device),
            project: ConvNorm::new([wide, output], 1, 1, 1, device),
            skip: stride == 1 && input == output,
        }
    }

    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        match &self.expand {
            Some(expand) => self.forward_with(expand, x),
            None => self.narrow(x.clone(), x),
        }
    }

    /// Runs the block with `first` as its first convolution: its own expansion, or the trunk's
    /// entry.
    fn forward_with(&self, first: &ConvNorm, x: Tensor<4>) -> Tensor<4> {
        let convs = [first, &self.depthwise, &self.project].map(ConvNorm::folded);
        if let [Some(first), Some(depthwise), Some(project)] = convs
            && ops::on_plain_cpu(&x)
        {
            let (stride, convs) = (self.depthwise.stride, [first, depthwise, project]);
            return ops::inverted_residual(x, convs, stride, self.skip);
        }
        self.narrow(first.forward(x.clone(), true), x)
    }

    fn narrow(&self, wide: Tensor<4>, x: Tensor<4>) -> Tensor<4> {
        let out = self.project.forward(self.depthwise.forward(wide, true), false);
        if self.skip { out + x } else { out }
    }

    fn fold(self) -> Self {
        Self {
            expand: self.expand.map(ConvNorm::fold),
            depthwise: self.depthwise.fold(),
            project: self.project.fold(),
            ..self
        }
    }
}

/// The layers up to stride 16.
#[derive(Module, Debug)]
pub struct Stem {
    /// 3×3, stride 2.
    pub entry: ConvNorm,
    /// The first 11 blocks.
    pub blocks: Vec<Block>,
}

impl Stem {
    /// `[batch, 3, S, S]`, normalised, to `[batch, 112, ⌈S/16⌉, ⌈S/16⌉]`.
    pub fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let (first, rest) = self.blocks.split_at(1);
        let entered = match first {
            // The first block has no expansion; the entry convolution takes its place.
            [block] => block.forward_with(&self.entry, x),
            _ => self.entry.forward(x, true),
        };
        rest.iter().fold(entered, |x, block| block.forward(x))
    }

    /// Folds all batch norms, for inference.
    pub fn fold(self) -> Self {
        let blocks = self.blocks.into_iter().map(Block::fold).collect();
        Self { entry: self.entry.fold(), blocks }
    }
}

/// The layers from stride 16 to the last feature map at stride 32.
#[derive(Module, Debug)]
pub struct Refine {
    /// The last 5 blocks.
    pub blocks: Vec<Block>,
    /// 1×1 to 1280 channels.
    pub head: ConvNorm,
}

impl Refine {
    /// `[batch, 112, H, W]` to `[batch, 1280, ⌈H/2⌉, ⌈W/2⌉]`.
    pub fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        self.rest(self.first(x))
    }

    /// Computes the first block.
    pub(super) fn first(&self, x: Tensor<4>) -> Tensor<4> {
        self.blocks.iter().take(1).fold(x, |x, block| block.forward(x))
    }

    /// Computes the layers after the first block.
    pub(super) fn rest(&self, x: Tensor<4>) -> Tensor<4> {
        let x = self.blocks.iter().skip(1).fold(x, |x, block| block.forward(x));
        match self.head.folded() {
            Some(head) if ops::on_plain_cpu(&x) => ops::pointwise_relu6(x, head),
            _ => self.head.forward(x, true),
        }
    }

    /// Folds all batch norms, for inference.
    pub fn fold(self) -> Self {
        let blocks = self.blocks.into_iter().map(Block::fold).collect();
        Self { head: self.head.fold(), blocks }
    }
}

/// The complete trunk.
#[derive(Module, Debug)]
pub struct EfficientNetLite0 {
    /// The layers up to stride 16.
    pub stem: Stem,
    /// The remaining layers.
    pub refine: Refine,
}

impl EfficientNetLite0 {
    /// Creates the network with random weights.
    pub fn new(device: &Device) -> Self {
        let mut blocks = Vec::new();
        let mut input = ENTRY;
        for (repeats, kernel, stride, expansion, output) in STAGES {
            for repeat in 0..repeats {
                let stride = if repeat == 0 { stride } else { 1 };
                blocks.push(Block::new([input, output], kernel, stride, expansion, device));
                input = output;
            }
        }
        let refine = blocks.split_off(STEM_BLOCKS);
        let entry = ConvNorm::new([3, ENTRY], 3, 2, 1, device);
        let head = ConvNorm::new([input, POOLED], 1, 1, 1, device);
        Self { stem: Stem { entry, blocks }, refine: Refine { blocks: refine, head } }
    }

    /// Folds every batch norm into its convolution, for inference.
    pub fn fold(self) -> Self {
        Self { stem: self.stem.fold(), refine: self.refine.fold() }
    }

    /// Returns the mean of the last feature map over its positions: `[batch, 3, S, S]` to
    /// `[batch, 1280]`.
    pub fn pooled(&self, x: Tensor<4>) -> Tensor<2> {
        pool(self.refine.forward(self.stem.forward(x)))
    }
}

/// Returns the number of activations in the stem and in refine for one image of `size`
/// pixels. Convolution and norm count separately, because training keeps the output of both.
#[cfg(feature = "train")]
pub(crate) fn activations(size: usize) -> [usize; 2] {
    let mut side = size.div_ceil(2);
    let mut kept = [2 * ENTRY * side * side, 0];
    let (mut input, mut block) = (ENTRY, 0);
    for (repeats, _, stride, expansion, output) in STAGES {
        for repeat in 0..repeats {
            let wide = if expansion == 1 { 0 } else { input * expansion * side * side };
            side = if repeat == 0 { side.div_ceil(stride) } else { side };
            let narrow = (input * expansion + output) * side * side;
            kept[usize::from(block >= STEM_BLOCKS)] += 2 * (wide + narrow);
            (input, block) = (output, block + 1);
        }
    }
    kept[1] += 2 * POOLED * side * side;
    kept
}

#[cfg(all(test, feature = "train"))]
impl Block {
    pub(super) fn new_test(
        channels: [usize; 2],
        kernel: usize,
        stride: usize,
        expansion: usize,
        device: &Device,
    ) -> Self {
        Self::new(channels, kernel, stride, expansion, device)
    }

    /// Runs the block in training, with the CPU's custom operations or with Burn's.
    pub(super) fn forward_training(&self, x: Tensor<4>, own: bool) -> Tensor<4> {
        if own {
            return self.forward(x);
        }
        let wide = match &self.expand {
            Some(expand) => relu6(expand.forward_generic(x.clone())),
            None => x.clone(),
        };
        let wide = relu6(self.depthwise.forward_generic(wide));
        let out = self.project.forward_generic(wide);
        if self.skip { out + x } else { out }
    }
}
