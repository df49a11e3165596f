/*!
ResNet-18 and ResNet-50: the usual trunks in hashing papers.

The networks of He, Zhang, Ren and Sun (CVPR 2016, arXiv 1512.03385). ResNet-50 is the
variant V1.5, whose bottlenecks have their stride in the 3×3 convolution, like the commonly
distributed weights. The network is split at stride 16: the stem ends with the third layer
of blocks, refine is the fourth.
*/

use std::sync::Arc;

use burn::module::Module;
use burn::prelude::*;
use burn::tensor::activation::relu;
use burn::tensor::module::max_pool2d;
use burn::tensor::ops::MaxPoolOptions;

use super::conv_norm::ConvNorm;
use super::cpu::{Activation, Layer, MaxPooling, ResidualBlock};
use super::ops::Fast;

/// Channels after the entry convolution.
const ENTRY: usize = 64;
/// Inner channels of the blocks of each layer.
const WIDTHS: [usize; 4] = [64, 128, 256, 512];

/// The depth of a ResNet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Depth {
    /// Blocks of two 3×3 convolutions.
    R18,
    /// Bottlenecks: 1×1, 3×3, and 1×1 to four times the channels.
    R50,
}

impl Depth {
    /// Blocks in each layer.
    fn blocks(self) -> [usize; 4] {
        match self {
            Self::R18 => [2, 2, 2, 2],
            Self::R50 => [3, 4, 6, 3],
        }
    }

    /// Returns (input, output, kernel, stride) of the convolutions of a block.
    fn convs(self, input: usize, width: usize, stride: usize) -> Vec<[usize; 4]> {
        match self {
            Self::R18 => vec![[input, width, 3, stride], [width, width, 3, 1]],
            Self::R50 => {
                vec![[input, width, 1, 1], [width, width, 3, stride], [width, 4 * width, 1, 1]]
            }
        }
    }

    /// Channels of a layer's feature map; layers count from 0.
    const fn channels(self, layer: usize) -> usize {
        match self {
            Self::R18 => WIDTHS[layer],
            Self::R50 => 4 * WIDTHS[layer],
        }
    }

    /// Channels of the stem's feature map.
    pub const fn stem_channels(self) -> usize {
        self.channels(2)
    }

    /// Channels of the last feature map, and length of the pooled feature.
    pub const fn pooled(self) -> usize {
        self.channels(3)
    }
}

/// A residual block: convolutions, a shortcut past them, and ReLU of the sum.
#[derive(Module, Debug)]
pub struct Block {
    /// ReLU follows all but the last.
    pub convs: Vec<ConvNorm>,
    /// 1×1 if the shape changes; otherwise the shortcut is the input itself.
    pub shortcut: Option<ConvNorm>,
    #[module(skip)]
    fast: Fast,
}

impl Block {
    fn new(depth: Depth, input: usize, width: usize, stride: usize, device: &Device) -> Self {
        let shapes = depth.convs(input, width, stride);
        let output = shapes.last().map_or(input, |[_, output, ..]| *output);
        let conv = |[input, output, kernel, stride]: [usize; 4]| {
            ConvNorm::symmetric([input, output], kernel, stride, device)
        };
        let changes = stride != 1 || input != output;
        Self {
            convs: shapes.into_iter().map(conv).collect(),
            shortcut: changes.then(|| conv([input, output, 1, stride])),
            fast: Fast::default(),
        }
    }

    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let x = match self.fast.run(x) {
            Ok(out) => return out,
            Err(x) => x,
        };
        let shortcut = match &self.shortcut {
            Some(shortcut) => shortcut.forward(x.clone(), false),
            None => x.clone(),
        };
        let apply = |x: Tensor<4>, (n, conv): (usize, &ConvNorm)| {
            conv.forward(if n == 0 { x } else { relu(x) }, false)
        };
        relu(self.convs.iter().enumerate().fold(x, apply) + shortcut)
    }

    fn fold(self) -> Self {
        let convs: Vec<ConvNorm> = self.convs.into_iter().map(ConvNorm::fold).collect();
        let shortcut = self.shortcut.map(ConvNorm::fold);
        let fast = match convs.split_last() {
            None => Fast::default(),
            Some((last, first)) => Fast::on(&last.weight.device(), || {
                vec![Arc::new(ResidualBlock {
                    first: first.iter().map(|conv| conv.packed(Activation::Relu)).collect(),
                    last: last.packed(Activation::Relu),
                    shortcut: shortcut.as_ref().map(|conv| conv.packed(Activation::None)),
                })]
            }),
        };
        Self { convs, shortcut, fast }
    }
}

fn layer(depth: Depth, number: usize, device: &Device) -> Vec<Block> {
    let first = if number == 0 { ENTRY } else { depth.channels(number - 1) };
    let block = |n: usize| {
        let (input, stride) = match n {
            0 => (first, if number == 0 { 1 } else { 2 }),
            _ => (depth.channels(number), 1),
        };
        Block::new(depth, input, WIDTHS[number], stride, device)
    };
    (0..depth.blocks()[number]).map(block).collect()
}

fn through(blocks: &[Block], x: Tensor<4>) -> Tensor<4> {
    blocks.iter().fold(x, |x, block| block.forward(x))
}

fn folded(blocks: Vec<Block>) -> Vec<Block> {
    blocks.into_iter().map(Block::fold).collect()
}

/// The packed layers of blocks.
fn layers(blocks: &[Block]) -> Vec<Arc<dyn Layer>> {
    blocks.iter().flat_map(|block| block.fast.layers()).collect()
}

/// The layers up to stride 16.
#[derive(Module, Debug)]
pub struct Stem {
    /// 7×7, stride 2; a 3×3 max pooling of stride 2 follows.
    pub entry: ConvNorm,
    /// Blocks at stride 4.
    pub layer1: Vec<Block>,
    /// Blocks at stride 8.
    pub layer2: Vec<Block>,
    /// Blocks at stride 16.
    pub layer3: Vec<Block>,
    #[module(skip)]
    fast: Fast,
}

impl Stem {
    /// `[batch, 3, S, S]`, normalised, to `[batch, C, ⌈S/16⌉, ⌈S/16⌉]`.
    pub fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let x = match self.fast.run(x) {
            Ok(out) => return out,
            Err(x) => x,
        };
        let x = relu(self.entry.forward(x, false));
        let options = MaxPoolOptions::new([3; 2]).with_stride([2; 2]).with_padding([1; 2]);
        let x = max_pool2d(x, options);
        [&self.layer1, &self.layer2, &self.layer3].into_iter().fold(x, |x, l| through(l, x))
    }

    /// Folds all batch norms, for inference.
    pub fn fold(self) -> Self {
        let entry = self.entry.fold();
        let [layer1, layer2, layer3] = [self.layer1, self.layer2, self.layer3].map(folded);
        let fast = Fast::on(&entry.weight.device(), || {
            let mut all: Vec<Arc<dyn Layer>> =
                vec![Arc::new(entry.packed(Activation::Relu)), Arc::new(MaxPooling)];
            [&layer1, &layer2, &layer3].into_iter().for_each(|blocks| all.extend(layers(blocks)));
            all
        });
        Self { entry, layer1, layer2, layer3, fast }
    }
}

/// The layers from stride 16 to the last feature map at stride 32.
#[derive(Module, Debug)]
pub struct Refine {
    /// The last blocks.
    pub layer4: Vec<Block>,
    #[module(skip)]
    fast: Fast,
}

impl Refine {
    /// `[batch, C, H, W]` to `[batch, 2·C, ⌈H/2⌉, ⌈W/2⌉]`.
    pub fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        self.fast.run(x).unwrap_or_else(|x| self.rest(self.first(x)))
    }

    /// Computes the first block.
    pub(super) fn first(&self, x: Tensor<4>) -> Tensor<4> {
        through(&self.layer4[..self.layer4.len().min(1)], x)
    }

    /// Computes the blocks after the first one.
    pub(super) fn rest(&self, x: Tensor<4>) -> Tensor<4> {
        through(self.layer4.get(1..).unwrap_or_default(), x)
    }

    /// Channels of its input.
    pub(super) fn input_channels(&self) -> usize {
        self.layer4.first().and_then(|block| block.convs.first()).map_or(0, ConvNorm::input)
    }

    /// Channels of its output.
    pub(super) fn output_channels(&self) -> usize {
        self.layer4.last().and_then(|block| block.convs.last()).map_or(0, ConvNorm::output)
    }

    /// Folds all batch norms, for inference.
    pub fn fold(self) -> Self {
        let layer4 = folded(self.layer4);
        let fast = match layer4.first().and_then(|block| block.convs.first()) {
            Some(conv) => Fast::on(&conv.weight.device(), || layers(&layer4)),
            None => Fast::default(),
        };
        Self { layer4, fast }
    }
}

/// Creates stem and refine with random weights.
pub(super) fn parts(depth: Depth, device: &Device) -> (Stem, Refine) {
    let stem = Stem {
        entry: ConvNorm::symmetric([3, ENTRY], 7, 2, device),
        layer1: layer(depth, 0, device),
        layer2: layer(depth, 1, device),
        layer3: layer(depth, 2, device),
        fast: Fast::default(),
    };
    (stem, Refine { layer4: layer(depth, 3, device), fast: Fast::default() })
}

/// Returns the number of activations in the stem and in refine for one image of `size`
/// pixels. Convolution and norm count separately, because training keeps the output of both.
#[cfg(feature = "train")]
pub(super) fn activations(depth: Depth, size: usize) -> [usize; 2] {
    let mut side = size.div_ceil(2);
    let mut kept = [2 * ENTRY * side * side, 0];
    side = side.div_ceil(2);
    kept[0] += ENTRY * side * side;
    let mut input = ENTRY;
    for (number, blocks) in depth.blocks().into_iter().enumerate() {
        for block in 0..blocks {
            let stride = if number > 0 && block == 0 { 2 } else { 1 };
            let mut numbers = 0;
            for [_, output, _, stride] in depth.convs(input, WIDTHS[number], stride) {
                side = side.div_ceil(stride);
                numbers += 2 * output * side * side;
            }
            if block == 0 && (stride != 1 || input != depth.channels(number)) {
                numbers += 2 * depth.channels(number) * side * side;
            }
            kept[usize::from(number == 3)] += numbers;
            input = depth.channels(number);
        }
    }
    kept
}

/// Returns the number of convolution weights in the stem and in refine.
pub(super) fn weights(depth: Depth) -> [usize; 2] {
    let mut counts = [3 * ENTRY * 49, 0];
    let mut input = ENTRY;
    for (number, blocks) in depth.blocks().into_iter().enumerate() {
        for block in 0..blocks {
            let output = depth.channels(number);
            let convs = depth.convs(input, WIDTHS[number], 1);
            let inner: usize = convs.iter().map(|[i, o, k, _]| i * o * k * k).sum();
            let shortcut = if block == 0 && input != output { input * output } else { 0 };
            counts[usize::from(number == 3)] += inner + shortcut;
            input = output;
        }
    }
    counts
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::Device as BarbuleDevice;

    #[test]
    fn both_networks_have_the_published_sizes() {
        let device = BarbuleDevice::Cpu.burn();
        // All parameters of the published networks without those of the classifier.
        let of = |depth: Depth| {
            let (stem, refine) = parts(depth, &device);
            stem.num_params() + refine.num_params()
        };
        // `num_params` also counts the running statistics, as many as the norms' weights.
        let published = [(Depth::R18, 11_689_512 - 513_000), (Depth::R50, 25_557_032 - 2_049_000)];
        for (depth, learned) in published {
            let norms = if depth == Depth::R18 { 9_600 } else { 53_120 };
            assert_eq!(of(depth), learned + norms, "{depth:?}");
        }
    }

    #[cfg(feature = "train")]
    #[test]
    fn counts_for_memory_are_those_of_the_layers() {
        let device = BarbuleDevice::Cpu.burn();
        for depth in [Depth::R18, Depth::R50] {
            let (stem, refine) = parts(depth, &device);
            let [in_stem, in_refine] = weights(depth);
            // Norms have less than 2 % of the parameters.
            for (all, convs) in [(stem.num_params(), in_stem), (refine.num_params(), in_refine)] {
                assert!(convs < all && all - convs < all / 50, "{all} {convs}");
            }
        }
        let of = |depth, size| activations(depth, size);
        // The entry, its max pooling, two blocks of two convolutions at 16×16, …
        let entry = 2 * 64 * 32 * 32 + 64 * 16 * 16;
        let first = 4 * 2 * 64 * 16 * 16;
        let (second, third) = (5 * 2 * 128 * 8 * 8, 5 * 2 * 256 * 4 * 4);
        assert_eq!(of(Depth::R18, 64), [entry + first + second + third, 5 * 2 * 512 * 2 * 2]);
        assert!(of(Depth::R50, 64)[0] > 2 * of(Depth::R18, 64)[0]);
    }
}
