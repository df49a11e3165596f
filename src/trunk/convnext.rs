/*!
ConvNeXt: convolutional networks with the layers of transformers.

The networks of Liu, Mao, Wu, Feichtenhofer, Darrell and Xie (CVPR 2022, arXiv 2201.03545) in five
sizes; the small ones are those of the library timm. A network has four stages at strides 4, 8, 16
and 32. It is split at stride 16: the stem ends with the norm behind the third stage, refine begins
with the convolution that halves the map. Were that norm in refine, it would undo the weights that
attention gives to positions, because it scales each position to the same length.
*/

use std::sync::Arc;

use burn::module::{Module, Param};
use burn::nn::Initializer;
use burn::prelude::*;

use super::conv_norm::pool;
use super::cpu::{ConvNextBlock, Layer, Mlp};
use super::dense::{Activation, Conv, Dense, LayerNorm};
use super::ops::{Fast, numbers};

/// Kernel of the depthwise convolutions.
const KERNEL: usize = 7;
/// Side of the squares of the first convolution.
const ENTRY: usize = 4;
/// Channels between the two linear layers of a block, for each of its channels.
const WIDER: usize = 4;
/// The ε of the norms.
const EPSILON: f64 = 1e-6;
/// Scale of the branch of a new block.
const SCALE: f64 = 1e-6;

/// The size of a ConvNeXt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shape {
    /// Blocks of each stage.
    pub depths: [usize; 4],
    /// Channels of each stage.
    pub widths: [usize; 4],
}

impl Shape {
    /// Channels of the stem's feature map.
    pub const fn stem_channels(self) -> usize {
        self.widths[2]
    }

    /// Channels of the last feature map, and length of the pooled feature.
    pub const fn pooled(self) -> usize {
        self.widths[3]
    }

    /// Returns the number of weights of a block with `width` channels, without norms.
    fn block(width: usize) -> usize {
        width * KERNEL * KERNEL + 2 * WIDER * width * width
    }
}

/// A residual block: depthwise convolution, norm, and two linear layers with GELU between them.
#[derive(Module, Debug)]
pub struct Block {
    /// 7×7 on each channel.
    pub depthwise: Conv,
    /// Of the channels at each position.
    pub norm: LayerNorm,
    /// To four times the channels.
    pub widen: Dense,
    /// Back to the channels.
    pub narrow: Dense,
    /// The scale of each channel of the branch.
    pub scale: Param<Tensor<1>>,
    #[module(skip)]
    fast: Fast,
}

impl Block {
    fn new(width: usize, device: &Device) -> Self {
        Self {
            depthwise: Conv::depthwise(width, KERNEL, device),
            norm: LayerNorm::new(width, EPSILON, device),
            widen: Dense::new(width, WIDER * width, device),
            narrow: Dense::new(WIDER * width, width, device),
            scale: Initializer::Constant { value: SCALE }.init([width], device),
            fast: Fast::default(),
        }
    }

    /// Keeps the shape `[batch, C, H, W]`.
    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let x = match self.fast.run(x) {
            Ok(out) => return out,
            Err(x) => x,
        };
        let y = self.depthwise.forward(x.clone()).permute([0, 2, 3, 1]);
        let y = Activation::Gelu.forward(self.widen.forward(self.norm.forward(y)));
        let y = self.narrow.forward(y) * self.scale.val().unsqueeze();
        x + y.permute([0, 3, 1, 2])
    }

    /// Packs the weights for inference on the CPU.
    fn fold(self) -> Self {
        let fast = Fast::on(&self.scale.device(), || {
            let bias = self.depthwise.bias.as_ref().map(|bias| numbers(bias.val()));
            vec![Arc::new(ConvNextBlock {
                depthwise: numbers(self.depthwise.weight.val().permute([2, 3, 0, 1])),
                bias: bias.unwrap_or_default(),
                kernel: KERNEL,
                mlp: Mlp {
                    norm: self.norm.packed(),
                    widen: self.widen.packed(None),
                    activation: Activation::Gelu.packed(),
                    narrow: self.narrow.packed(Some(&self.scale)),
                },
            })]
        });
        Self { fast, ..self }
    }
}

fn folded(blocks: Vec<Block>) -> Vec<Block> {
    blocks.into_iter().map(Block::fold).collect()
}

/// The packed layers of blocks.
fn layers(blocks: &[Block]) -> Vec<Arc<dyn Layer>> {
    blocks.iter().flat_map(|block| block.fast.layers()).collect()
}

fn stage(shape: Shape, number: usize, device: &Device) -> Vec<Block> {
    (0..shape.depths[number]).map(|_| Block::new(shape.widths[number], device)).collect()
}

fn through(blocks: &[Block], x: Tensor<4>) -> Tensor<4> {
    blocks.iter().fold(x, |x, block| block.forward(x))
}

/// A norm, and a 2×2 convolution that halves the map.
#[derive(Module, Debug)]
pub struct Halving {
    /// Of the channels at each position.
    pub norm: LayerNorm,
    /// 2×2, stride 2.
    pub conv: Conv,
}

impl Halving {
    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        self.conv.forward(self.norm.forward_map(x))
    }

    /// The packed layers.
    fn layers(&self) -> [Arc<dyn Layer>; 2] {
        [Arc::new(self.norm.packed()), Arc::new(self.conv.packed())]
    }
}

/// The layers up to stride 16.
#[derive(Module, Debug)]
pub struct Stem {
    /// 4×4, stride 4.
    pub entry: Conv,
    /// The norm behind it.
    pub norm: LayerNorm,
    /// Blocks at stride 4.
    pub stage1: Vec<Block>,
    /// To stride 8.
    pub halving1: Halving,
    /// Blocks at stride 8.
    pub stage2: Vec<Block>,
    /// To stride 16.
    pub halving2: Halving,
    /// Blocks at stride 16.
    pub stage3: Vec<Block>,
    /// The norm before stride 32.
    pub last: LayerNorm,
    #[module(skip)]
    fast: Fast,
}

impl Stem {
    /// `[batch, 3, S, S]`, normalised, to `[batch, C, ⌊S/16⌋, ⌊S/16⌋]`.
    pub fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let x = match self.fast.run(x) {
            Ok(out) => return out,
            Err(x) => x,
        };
        let x = through(&self.stage1, self.norm.forward_map(self.entry.forward(x)));
        let x = through(&self.stage2, self.halving1.forward(x));
        let x = through(&self.stage3, self.halving2.forward(x));
        self.last.forward_map(x)
    }

    /// Packs the weights for inference on the CPU.
    pub fn fold(self) -> Self {
        let [stage1, stage2, stage3] = [self.stage1, self.stage2, self.stage3].map(folded);
        let fast = Fast::on(&self.entry.weight.device(), || {
            let mut all: Vec<Arc<dyn Layer>> =
                vec![Arc::new(self.entry.packed()), Arc::new(self.norm.packed())];
            all.extend(layers(&stage1));
            all.extend(self.halving1.layers());
            all.extend(layers(&stage2));
            all.extend(self.halving2.layers());
            all.extend(layers(&stage3));
            all.push(Arc::new(self.last.packed()));
            all
        });
        Self { stage1, stage2, stage3, fast, ..self }
    }
}

/// The layers from stride 16 to the last feature map at stride 32.
#[derive(Module, Debug)]
pub struct Refine {
    /// 2×2, stride 2.
    pub halve: Conv,
    /// Blocks at stride 32.
    pub stage4: Vec<Block>,
    /// The norm of pooled features.
    pub norm: LayerNorm,
    #[module(skip)]
    fast: Fast,
}

impl Refine {
    /// `[batch, C, H, W]` to `[batch, 2·C, ⌊H/2⌋, ⌊W/2⌋]`.
    pub fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        self.fast.run(x).unwrap_or_else(|x| self.rest(self.first(x)))
    }

    /// Halves the map.
    pub(super) fn first(&self, x: Tensor<4>) -> Tensor<4> {
        self.halve.forward(x)
    }

    /// Computes the blocks.
    pub(super) fn rest(&self, x: Tensor<4>) -> Tensor<4> {
        through(&self.stage4, x)
    }

    /// Returns the norm of the mean over positions.
    pub(super) fn pool(&self, last: Tensor<4>) -> Tensor<2> {
        self.norm.forward(pool(last))
    }

    /// Packs the weights for inference on the CPU.
    pub fn fold(self) -> Self {
        let stage4 = folded(self.stage4);
        let fast = Fast::on(&self.halve.weight.device(), || {
            let mut all: Vec<Arc<dyn Layer>> = vec![Arc::new(self.halve.packed())];
            all.extend(layers(&stage4));
            all
        });
        Self { stage4, fast, ..self }
    }

    /// Channels of its input.
    pub(super) fn input_channels(&self) -> usize {
        self.halve.input()
    }

    /// Channels of its output.
    pub(super) fn output_channels(&self) -> usize {
        self.halve.output()
    }
}

/// Creates stem and refine with random weights.
pub(super) fn parts(shape: Shape, device: &Device) -> (Stem, Refine) {
    let widths = shape.widths;
    let norm = |channels| LayerNorm::new(channels, EPSILON, device);
    let halving = |number: usize| Halving {
        norm: norm(widths[number]),
        conv: Conv::patches([widths[number], widths[number + 1]], 2, true, device),
    };
    let stem = Stem {
        entry: Conv::patches([3, widths[0]], ENTRY, true, device),
        norm: norm(widths[0]),
        stage1: stage(shape, 0, device),
        halving1: halving(0),
        stage2: stage(shape, 1, device),
        halving2: halving(1),
        stage3: stage(shape, 2, device),
        last: norm(widths[2]),
        fast: Fast::default(),
    };
    let refine = Refine {
        halve: Conv::patches([widths[2], widths[3]], 2, true, device),
        stage4: stage(shape, 3, device),
        norm: norm(widths[3]),
        fast: Fast::default(),
    };
    (stem, refine)
}

/// Returns the number of activations in the stem and in refine for one image of `size` pixels that
/// training keeps: of each block the results of its convolution, its norm, its linear layers, and
/// three of the parts of GELU.
#[cfg(feature = "train")]
pub(super) fn activations(shape: Shape, size: usize) -> [usize; 2] {
    let mut kept = [0; 2];
    for (number, (depth, width)) in shape.depths.into_iter().zip(shape.widths).enumerate() {
        let side = size / (ENTRY << number);
        let of_block = width * (4 + 4 * WIDER);
        kept[usize::from(number == 3)] += side * side * (2 * width + depth * of_block);
    }
    kept
}

/// Returns the number of weights in the stem and in refine, without norms.
pub(super) fn weights(shape: Shape) -> [usize; 2] {
    let mut counts = [3 * ENTRY * ENTRY * shape.widths[0], 0];
    for (number, (depth, width)) in shape.depths.into_iter().zip(shape.widths).enumerate() {
        let before = number.checked_sub(1).map_or(0, |before| shape.widths[before]);
        counts[usize::from(number == 3)] += 4 * before * width + depth * Shape::block(width);
    }
    counts
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::Device as BarbuleDevice;

    #[test]
    fn a_networks_parameters_are_as_many_as_published() {
        let device = BarbuleDevice::Cpu.burn();
        let shape = Shape { depths: [2, 2, 6, 2], widths: [40, 80, 160, 320] };
        let (stem, refine) = parts(shape, &device);
        // convnext_atto has 3,695,520 with a classifier of 1,000 classes.
        assert_eq!(stem.num_params() + refine.num_params(), 3_695_520 - 321_000);
    }

    #[cfg(feature = "train")]
    #[test]
    fn counts_for_memory_are_those_of_the_layers() {
        let device = BarbuleDevice::Cpu.burn();
        let shape = Shape { depths: [2, 2, 6, 2], widths: [40, 80, 160, 320] };
        let (stem, refine) = parts(shape, &device);
        let [in_stem, in_refine] = weights(shape);
        // Biases, norms and scales have less than 3 % of the parameters.
        for (all, counted) in [(stem.num_params(), in_stem), (refine.num_params(), in_refine)] {
            assert!(counted < all && all - counted < all * 3 / 100, "{all} {counted}");
        }
    }
}
