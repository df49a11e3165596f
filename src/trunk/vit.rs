/*!
Vision transformers: plain ones, those of CLIP, DINOv2 and DINOv3.

The networks of Dosovitskiy et al. (ICLR 2021, arXiv 2010.11929); with registers, of Darcet, Oquab,
Mairal and Bojanowski (ICLR 2024, arXiv 2309.16588). All sizes here have twelve blocks with norms
before their branches. Nine of them are the stem, three are refine.

A transformer's map is a column of tokens `[batch, C, tokens, 1]`: the class token, the registers,
then the patches row by row. Layers that weigh the positions of a map do not suit it: the norms
before the branches undo such weights. The pooled feature is the class token.
*/

use std::sync::{Arc, OnceLock};

use burn::module::{Module, Param};
use burn::nn::Initializer;
use burn::prelude::*;
use burn::tensor::activation::softmax;

use super::cpu::{self, Mlp, TransformerBlock};
use super::dense::{Activation, Conv, Dense, LayerNorm, drawn};
use super::ops::Fast;
use super::positions::{resampled, rotated};

/// Blocks of all sizes.
pub(super) const BLOCKS: usize = 12;
/// Blocks of the stem.
pub(super) const STEM_BLOCKS: usize = 9;
/// Channels between the two linear layers of a block, for each of its channels.
const WIDER: usize = 4;
/// Scale of the branches of a new block.
const SCALE: f64 = 1e-5;

/// How a transformer tells positions apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Positions {
    /// Learned embeddings of a square grid of this many patches a side.
    Learned(usize),
    /// Rotations of queries and keys.
    Rotary,
}

/// The shape of a transformer.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Shape {
    /// Channels of a token.
    pub width: usize,
    /// Heads of the attention; a head has `width / heads` channels.
    pub heads: usize,
    /// Side of a patch, in pixels.
    pub patch: usize,
    /// How positions are told apart.
    pub positions: Positions,
    /// Tokens between the class token and the patches.
    pub registers: usize,
    /// Whether patches have a bias.
    pub patch_bias: bool,
    /// Whether a norm follows the positions.
    pub entry_norm: bool,
    /// Whether branches have a scale for each channel.
    pub scales: bool,
    /// The activation of the blocks.
    pub activation: Activation,
    /// Length of the projection of the class token, if there is one.
    pub projection: Option<usize>,
    /// The ε of the norms.
    pub epsilon: f64,
}

impl Shape {
    /// Length of the pooled feature.
    pub const fn pooled(self) -> usize {
        match self.projection {
            Some(projection) => projection,
            None => self.width,
        }
    }

    /// Tokens that are not patches.
    pub const fn prefix(self) -> usize {
        1 + self.registers
    }

    /// Tokens of an image of `size` × `size` pixels.
    pub const fn tokens(self, size: usize) -> usize {
        let side = size / self.patch;
        self.prefix() + side * side
    }
}

/// A block: attention between tokens, then two linear layers for each token, each added to its
/// input.
#[derive(Module, Debug)]
pub struct Block {
    /// Before the attention.
    pub norm1: LayerNorm,
    /// To queries, keys and values.
    pub qkv: Dense,
    /// Behind the attention.
    pub project: Dense,
    /// The scale of each channel of the attention.
    pub scale1: Option<Param<Tensor<1>>>,
    /// Before the linear layers.
    pub norm2: LayerNorm,
    /// To four times the channels.
    pub widen: Dense,
    /// Back to the channels.
    pub narrow: Dense,
    /// The scale of each channel of the linear layers.
    pub scale2: Option<Param<Tensor<1>>>,
    #[module(skip)]
    heads: usize,
    /// Tokens that have no position, if positions are rotations.
    #[module(skip)]
    rotary: Option<usize>,
    #[module(skip)]
    activation: Activation,
    #[module(skip)]
    fast: Fast,
}

impl Block {
    fn new(shape: Shape, device: &Device) -> Self {
        let width = shape.width;
        let norm = || LayerNorm::new(width, shape.epsilon, device);
        let scale =
            || shape.scales.then(|| Initializer::Constant { value: SCALE }.init([width], device));
        Self {
            norm1: norm(),
            qkv: Dense::new(width, 3 * width, device),
            project: Dense::new(width, width, device),
            scale1: scale(),
            norm2: norm(),
            widen: Dense::new(width, WIDER * width, device),
            narrow: Dense::new(WIDER * width, width, device),
            scale2: scale(),
            heads: shape.heads,
            rotary: (shape.positions == Positions::Rotary).then_some(shape.prefix()),
            activation: shape.activation,
            fast: Fast::default(),
        }
    }

    /// Packs the weights for inference on the CPU.
    fn fold(self) -> Self {
        let fast = Fast::on(&self.qkv.weight.device(), || {
            vec![Arc::new(TransformerBlock {
                attention: cpu::Attention {
                    norm: self.norm1.packed(),
                    qkv: self.qkv.packed(None),
                    project: self.project.packed(self.scale1.as_ref()),
                    heads: self.heads,
                },
                mlp: Mlp {
                    norm: self.norm2.packed(),
                    widen: self.widen.packed(None),
                    activation: self.activation.packed(),
                    narrow: self.narrow.packed(self.scale2.as_ref()),
                },
                rotary: self.rotary,
                rotation: OnceLock::new(),
            })]
        });
        Self { fast, ..self }
    }

    /// Keeps the shape `[batch, tokens, C]`.
    fn forward(&self, x: Tensor<3>) -> Tensor<3> {
        let [batch, tokens, width] = x.dims();
        let [q, k, v] = self.heads_of(x.clone());
        let mixed = weights(q, k).matmul(v);
        let mixed = mixed.swap_dims(1, 2).reshape([batch, tokens, width]);
        let x = x + scaled(self.project.forward(mixed), self.scale1.as_ref());
        let wide = self.activation.forward(self.widen.forward(self.norm2.forward(x.clone())));
        x + scaled(self.narrow.forward(wide), self.scale2.as_ref())
    }

    /// Computes queries, keys and values, each `[batch, heads, tokens, d]`.
    fn heads_of(&self, x: Tensor<3>) -> [Tensor<4>; 3] {
        let [batch, tokens, width] = x.dims();
        let qkv = self.qkv.forward(self.norm1.forward(x));
        let part = |number: usize| {
            let part = qkv.clone().narrow(2, number * width, width);
            part.reshape([batch, tokens, self.heads, width / self.heads]).swap_dims(1, 2)
        };
        let placed = |x: Tensor<4>| match self.rotary {
            Some(prefix) => rotated(x, (tokens - prefix).isqrt()),
            None => x,
        };
        [placed(part(0)), placed(part(1)), part(2)]
    }

    /// Computes the attention of the class token to the patches, `[batch, heads, patches]`, which
    /// follow `prefix` other tokens.
    fn class_attention(&self, x: Tensor<3>, prefix: usize) -> Tensor<3> {
        let [q, k, _] = self.heads_of(x);
        let [batch, heads, tokens, _] = k.dims();
        let all = weights(q.narrow(2, 0, 1), k).reshape([batch, heads, tokens]);
        all.narrow(2, prefix, tokens - prefix)
    }
}

/// `softmax(q·kᵀ / √d)`, `[batch, heads, queries, keys]`.
fn weights(q: Tensor<4>, k: Tensor<4>) -> Tensor<4> {
    let [.., d] = q.dims();
    softmax((q / (d as f32).sqrt()).matmul(k.swap_dims(2, 3)), 3)
}

fn scaled(x: Tensor<3>, scale: Option<&Param<Tensor<1>>>) -> Tensor<3> {
    match scale {
        Some(scale) => x * scale.val().unsqueeze(),
        None => x,
    }
}

/// Runs blocks on a column of tokens.
fn through(blocks: &[Block], x: Tensor<4>) -> Tensor<4> {
    let run = |x: Tensor<4>, block: &Block| column(block.forward(tokens(x)));
    blocks.iter().fold(x, |x, block| block.fast.run(x).unwrap_or_else(|x| run(x, block)))
}

/// Packs the weights of blocks for inference on the CPU, and all of them as one chain.
fn folded(blocks: Vec<Block>, device: &Device) -> (Vec<Block>, Fast) {
    let blocks: Vec<Block> = blocks.into_iter().map(Block::fold).collect();
    let layers = || blocks.iter().flat_map(|block| block.fast.layers()).collect();
    let fast = Fast::on(device, layers);
    (blocks, fast)
}

/// Tokens `[batch, tokens, C]` as a map `[batch, C, tokens, 1]`.
fn column(tokens: Tensor<3>) -> Tensor<4> {
    tokens.swap_dims(1, 2).unsqueeze_dim(3)
}

/// The tokens of a map.
fn tokens(column: Tensor<4>) -> Tensor<3> {
    column.flatten::<3>(2, 3).swap_dims(1, 2)
}

/// The layers up to the ninth block.
#[derive(Module, Debug)]
pub struct Stem {
    /// From the pixels of a patch to its token.
    pub patches: Conv,
    /// The class token, `[1, C]`.
    pub class: Param<Tensor<2>>,
    /// The registers, `[registers, C]`.
    pub registers: Option<Param<Tensor<2>>>,
    /// Embeddings of the class token's position and of those of patches, `[1 + grid², C]`.
    pub positions: Option<Param<Tensor<2>>>,
    /// The norm of all tokens before the first block.
    pub norm: Option<LayerNorm>,
    /// The blocks.
    pub blocks: Vec<Block>,
    /// The pixels of patches to their tokens.
    #[module(skip)]
    fast_patches: Fast,
    #[module(skip)]
    fast: Fast,
}

impl Stem {
    /// `[batch, 3, S, S]`, normalised, to `[batch, C, tokens, 1]`.
    pub fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let map = self.fast_patches.run(x).unwrap_or_else(|x| self.patches.forward(x));
        let [batch, width, side, _] = map.dims();
        let mut patches = map.flatten::<3>(2, 3).swap_dims(1, 2);
        let mut class = self.class.val();
        if let Some(positions) = &self.positions {
            let positions = positions.val();
            let places = positions.dims()[0] - 1;
            let grid = resampled(positions.clone().narrow(0, 1, places), places.isqrt(), side);
            class = class + positions.narrow(0, 0, 1);
            patches = patches + grid.unsqueeze();
        }
        let repeated = |rows: Tensor<2>| {
            let [count, _] = rows.dims();
            rows.unsqueeze::<3>().expand([batch, count, width])
        };
        let mut all = vec![repeated(class)];
        all.extend(self.registers.as_ref().map(|registers| repeated(registers.val())));
        all.push(patches);
        let x = Tensor::cat(all, 1);
        let x = match &self.norm {
            Some(norm) => norm.forward(x),
            None => x,
        };
        self.fast.run(column(x)).unwrap_or_else(|x| through(&self.blocks, x))
    }

    /// Packs the weights for inference on the CPU.
    pub fn fold(self) -> Self {
        let device = self.patches.weight.device();
        let (blocks, fast) = folded(self.blocks, &device);
        let fast_patches = Fast::on(&device, || vec![Arc::new(self.patches.packed())]);
        Self { blocks, fast, fast_patches, ..self }
    }
}

/// The blocks behind the stem, and the norm of the class token.
#[derive(Module, Debug)]
pub struct Refine {
    /// The blocks.
    pub blocks: Vec<Block>,
    /// The norm behind them.
    pub norm: LayerNorm,
    /// The projection of the class token.
    pub projection: Option<Dense>,
    /// Tokens that are not patches.
    #[module(skip)]
    prefix: usize,
    #[module(skip)]
    fast: Fast,
}

impl Refine {
    /// Keeps the shape `[batch, C, tokens, 1]`.
    pub fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        self.fast.run(x).unwrap_or_else(|x| through(&self.blocks, x))
    }

    /// Computes the first block.
    pub(super) fn first(&self, x: Tensor<4>) -> Tensor<4> {
        through(&self.blocks[..self.blocks.len().min(1)], x)
    }

    /// Computes the blocks after the first one.
    pub(super) fn rest(&self, x: Tensor<4>) -> Tensor<4> {
        through(self.blocks.get(1..).unwrap_or_default(), x)
    }

    /// Returns the class token behind its norm and its projection.
    pub(super) fn pool(&self, last: Tensor<4>) -> Tensor<2> {
        let class = self.norm.forward(last.narrow(2, 0, 1).flatten::<2>(1, 3));
        match &self.projection {
            Some(projection) => projection.forward(class),
            None => class,
        }
    }

    /// Packs the weights for inference on the CPU.
    pub fn fold(self) -> Self {
        let (blocks, fast) = folded(self.blocks, &self.norm.weight.device());
        Self { blocks, fast, ..self }
    }

    /// Computes how much the class token attends to each patch in the last block: `[batch, C,
    /// tokens, 1]` to `[batch, heads, side, side]`.
    pub(super) fn class_attention(&self, x: Tensor<4>) -> Tensor<4> {
        let Some((last, before)) = self.blocks.split_last() else { return x };
        let found = last.class_attention(tokens(through(before, x)), self.prefix);
        let [batch, heads, patches] = found.dims();
        let side = patches.isqrt();
        found.reshape([batch, heads, side, side])
    }

    /// Channels of its input.
    pub(super) fn input_channels(&self) -> usize {
        self.norm.weight.dims()[0]
    }

    /// Length of the pooled feature.
    pub(super) fn pooled(&self) -> usize {
        self.projection.as_ref().map_or_else(|| self.input_channels(), Dense::output)
    }
}

/// Creates stem and refine with random weights.
pub(super) fn parts(shape: Shape, device: &Device) -> (Stem, Refine) {
    let width = shape.width;
    let norm = || LayerNorm::new(width, shape.epsilon, device);
    let blocks = |count: usize| (0..count).map(|_| Block::new(shape, device)).collect();
    let grid = match shape.positions {
        Positions::Learned(grid) => Some(grid),
        Positions::Rotary => None,
    };
    let stem = Stem {
        patches: Conv::patches([3, width], shape.patch, shape.patch_bias, device),
        class: drawn([1, width], device),
        registers: (shape.registers > 0).then(|| drawn([shape.registers, width], device)),
        positions: grid.map(|grid| drawn([1 + grid * grid, width], device)),
        norm: shape.entry_norm.then(norm),
        blocks: blocks(STEM_BLOCKS),
        fast_patches: Fast::default(),
        fast: Fast::default(),
    };
    let refine = Refine {
        blocks: blocks(BLOCKS - STEM_BLOCKS),
        norm: norm(),
        projection: shape.projection.map(|length| Dense::unbiased(width, length, device)),
        prefix: shape.prefix(),
        fast: Fast::default(),
    };
    (stem, refine)
}

/// Returns the number of activations in the stem and in refine for one image of `size` pixels that
/// training keeps: of each block the results of its norms, its linear layers, its attention with the
/// softmax, and three of the parts of GELU.
#[cfg(feature = "train")]
pub(super) fn activations(shape: Shape, size: usize) -> [usize; 2] {
    let tokens = shape.tokens(size);
    let block = tokens * shape.width * (8 + 4 * WIDER) + 2 * shape.heads * tokens * tokens;
    [STEM_BLOCKS * block + 2 * tokens * shape.width, (BLOCKS - STEM_BLOCKS) * block]
}

/// Returns the number of weights in the stem and in refine, without norms, biases and positions.
pub(super) fn weights_of(shape: Shape) -> [usize; 2] {
    let block = (4 + 2 * WIDER) * shape.width * shape.width;
    let projection = shape.projection.map_or(0, |length| length * shape.width);
    let patches = 3 * shape.patch * shape.patch * shape.width;
    [STEM_BLOCKS * block + patches, (BLOCKS - STEM_BLOCKS) * block + projection]
}
