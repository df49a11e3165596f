/*!
EfficientNet-Lite: the family of the trunk that ships with Barbule, Lite0.

The networks of Tan and Le (ICML 2019, arXiv 1905.11946) without squeeze-excitation and with
ReLU6 instead of swish, as released by their authors for mobile hardware. They are split at
stride 16 into the stem (entry convolution and the blocks of the first five stages) and refine (the
blocks of the last two and the head convolution).
*/

use std::sync::Arc;

use burn::module::Module;
use burn::prelude::*;

use super::conv_norm::ConvNorm;
#[cfg(all(test, feature = "train"))]
use super::conv_norm::relu6;
use super::cpu::{self, Activation, First, Layer, Packed};
use super::ops::{Fast, numbers};

/// (kernel, stride of the first block, expansion) of each stage.
const STAGES: [(usize, usize, usize); 7] =
    [(3, 1, 1), (3, 2, 6), (5, 2, 6), (3, 2, 6), (5, 1, 6), (5, 2, 6), (3, 1, 6)];
/// Channels after the entry convolution.
const ENTRY: usize = 32;
/// Stages in the stem.
const STEM_STAGES: usize = 5;

/// Channels of the last feature map, and length of the pooled feature.
pub const POOLED: usize = 1280;

/// The size of an EfficientNet-Lite.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Size {
    /// The shipped one.
    Lite0,
    /// More blocks.
    Lite1,
    /// More blocks, and more channels.
    Lite2,
}

impl Size {
    /// Blocks and output channels of each stage.
    const fn stages(self) -> ([usize; 7], [usize; 7]) {
        let deep = [1, 3, 3, 4, 4, 5, 1];
        let channels = [16, 24, 40, 80, 112, 192, 320];
        match self {
            Self::Lite0 => ([1, 2, 2, 3, 3, 4, 1], channels),
            Self::Lite1 => (deep, channels),
            Self::Lite2 => (deep, [16, 24, 48, 88, 120, 208, 352]),
        }
    }

    /// Channels of the stem's feature map.
    pub const fn stem_channels(self) -> usize {
        self.stages().1[STEM_STAGES - 1]
    }

    /// Channels before the last convolution.
    #[cfg(feature = "train")]
    pub(super) fn last_channels(self) -> usize {
        self.stages().1[STAGES.len() - 1]
    }

    /// Returns the number of blocks in the stem, and of all blocks.
    #[cfg(feature = "train")]
    pub(super) fn blocks(self) -> [usize; 2] {
        let (repeats, _) = self.stages();
        [repeats[..STEM_STAGES].iter().sum(), repeats.iter().sum()]
    }
}

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
    #[module(skip)]
    fast: Fast,
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
            fast: Fast::default(),
        }
    }

    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        self.fast.run(x).unwrap_or_else(|x| match &self.expand {
            Some(expand) => self.narrow(expand.forward(x.clone(), true), x),
            None => self.narrow(x.clone(), x),
        })
    }

    fn narrow(&self, wide: Tensor<4>, x: Tensor<4>) -> Tensor<4> {
        let out = self.project.forward(self.depthwise.forward(wide, true), false);
        if self.skip { out + x } else { out }
    }

    fn fold(self) -> Self {
        let mut folded = Self {
            expand: self.expand.map(ConvNorm::fold),
            depthwise: self.depthwise.fold(),
            project: self.project.fold(),
            ..self
        };
        if let Some(expand) = &folded.expand {
            let device = expand.weight.device();
            folded.fast = Fast::on(&device, || vec![Arc::new(folded.packed(expand))]);
        }
        folded
    }

    /// Packs the block with `first` as its first convolution: its own expansion, or the trunk's
    /// entry.
    fn packed(&self, first: &ConvNorm) -> cpu::Block {
        let [_, channels, kernel, _] = first.weight.dims();
        let weight = numbers(first.weight.val().permute([0, 2, 3, 1]));
        let wide = Packed::new(&weight, kernel * kernel * channels, &first.biases());
        let project = numbers(self.project.weight.val());
        cpu::Block {
            first: if kernel == 1 { First::Pointwise(wide) } else { First::Strided(wide, kernel) },
            depthwise: numbers(self.depthwise.weight.val().permute([2, 3, 0, 1])),
            depthwise_bias: self.depthwise.biases(),
            project: Packed::new(&project, self.project.input(), &self.project.biases()),
            kernel: self.depthwise.weight.dims()[2],
            stride: self.depthwise.stride,
            skip: self.skip,
        }
    }
}

/// The packed layers of blocks.
fn layers(blocks: &[Block]) -> impl Iterator<Item = Arc<dyn Layer>> {
    blocks.iter().flat_map(|block| block.fast.layers())
}

/// The layers up to stride 16.
#[derive(Module, Debug)]
pub struct Stem {
    /// 3×3, stride 2.
    pub entry: ConvNorm,
    /// The blocks of the first five stages.
    pub blocks: Vec<Block>,
    #[module(skip)]
    fast: Fast,
}

impl Stem {
    /// `[batch, 3, S, S]`, normalised, to `[batch, C, ⌈S/16⌉, ⌈S/16⌉]`.
    pub fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let run = |x: Tensor<4>| {
            let x = self.entry.forward(x, true);
            self.blocks.iter().fold(x, |x, block| block.forward(x))
        };
        self.fast.run(x).unwrap_or_else(run)
    }

    /// Folds all batch norms, for inference.
    pub fn fold(self) -> Self {
        let blocks: Vec<Block> = self.blocks.into_iter().map(Block::fold).collect();
        let entry = self.entry.fold();
        let fast = match blocks.split_first() {
            // The first block has no expansion; the entry convolution takes its place.
            Some((first, rest)) => Fast::on(&entry.weight.device(), || {
                let begin: Arc<dyn Layer> = Arc::new(first.packed(&entry));
                std::iter::once(begin).chain(layers(rest)).collect()
            }),
            None => Fast::default(),
        };
        Self { entry, blocks, fast }
    }
}

/// The layers from stride 16 to the last feature map at stride 32.
#[derive(Module, Debug)]
pub struct Refine {
    /// The blocks of the last two stages.
    pub blocks: Vec<Block>,
    /// 1×1 to 1280 channels.
    pub head: ConvNorm,
    #[module(skip)]
    fast: Fast,
}

impl Refine {
    /// `[batch, C, H, W]` to `[batch, 1280, ⌈H/2⌉, ⌈W/2⌉]`.
    pub fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        self.fast.run(x).unwrap_or_else(|x| self.rest(self.first(x)))
    }

    /// Computes the first block.
    pub(super) fn first(&self, x: Tensor<4>) -> Tensor<4> {
        self.blocks.iter().take(1).fold(x, |x, block| block.forward(x))
    }

    /// Computes the layers after the first block.
    pub(super) fn rest(&self, x: Tensor<4>) -> Tensor<4> {
        let x = self.blocks.iter().skip(1).fold(x, |x, block| block.forward(x));
        self.head.forward(x, true)
    }

    /// Folds all batch norms, for inference.
    pub fn fold(self) -> Self {
        let blocks: Vec<Block> = self.blocks.into_iter().map(Block::fold).collect();
        let head = self.head.fold();
        let fast = Fast::on(&head.weight.device(), || {
            let end: Arc<dyn Layer> = Arc::new(head.packed(Activation::Relu6));
            layers(&blocks).chain(std::iter::once(end)).collect()
        });
        Self { blocks, head, fast }
    }

    /// Channels of its input.
    pub(super) fn input_channels(&self) -> usize {
        let first = self.blocks.first();
        first.and_then(|block| block.expand.as_ref()).map_or(0, ConvNorm::input)
    }
}

/// Creates stem and refine with random weights.
pub(super) fn parts(size: Size, device: &Device) -> (Stem, Refine) {
    let (repeats, channels) = size.stages();
    let (mut stem, mut refine) = (Vec::new(), Vec::new());
    let mut input = ENTRY;
    for (stage, (kernel, stride, expansion)) in STAGES.into_iter().enumerate() {
        let output = channels[stage];
        for repeat in 0..repeats[stage] {
            let stride = if repeat == 0 { stride } else { 1 };
            let block = Block::new([input, output], kernel, stride, expansion, device);
            if stage < STEM_STAGES { &mut stem } else { &mut refine }.push(block);
            input = output;
        }
    }
    let entry = ConvNorm::new([3, ENTRY], 3, 2, 1, device);
    let head = ConvNorm::new([input, POOLED], 1, 1, 1, device);
    let fast = Fast::default();
    (Stem { entry, blocks: stem, fast: fast.clone() }, Refine { blocks: refine, head, fast })
}

/// Returns the number of activations in the stem and in refine for one image of `pixels` pixels a
/// side. Convolution and norm count separately, because training keeps the output of both.
#[cfg(feature = "train")]
pub(super) fn activations(size: Size, pixels: usize) -> [usize; 2] {
    let (repeats, channels) = size.stages();
    let mut side = pixels.div_ceil(2);
    let mut kept = [2 * ENTRY * side * side, 0];
    let mut input = ENTRY;
    for (stage, (_, stride, expansion)) in STAGES.into_iter().enumerate() {
        for repeat in 0..repeats[stage] {
            let wide = if expansion == 1 { 0 } else { input * expansion * side * side };
            side = if repeat == 0 { side.div_ceil(stride) } else { side };
            let narrow = (input * expansion + channels[stage]) * side * side;
            kept[usize::from(stage >= STEM_STAGES)] += 2 * (wide + narrow);
            input = channels[stage];
        }
    }
    kept[1] += 2 * POOLED * side * side;
    kept
}

/// Returns the number of convolution weights in the stem and in refine.
pub(super) fn weights(size: Size) -> [usize; 2] {
    let (repeats, channels) = size.stages();
    let mut counts = [27 * ENTRY, 0];
    let mut input = ENTRY;
    for (stage, (kernel, _, expansion)) in STAGES.into_iter().enumerate() {
        for _ in 0..repeats[stage] {
            let wide = input * expansion;
            let widen = if expansion == 1 { 0 } else { input * wide };
            counts[usize::from(stage >= STEM_STAGES)] +=
                widen + wide * (kernel * kernel + channels[stage]);
            input = channels[stage];
        }
    }
    counts[1] += input * POOLED;
    counts
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
