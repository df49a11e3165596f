/*!
Layers as one function of channels-last maps each, which the networks compute on the CPU instead of
Burn's operations.
*/

use std::sync::{Arc, OnceLock};

use pulp::Arch;
use rayon::prelude::*;

use super::activation::Activation;
use super::attention::{Attention, Rotation};
use super::buffers::{Buffer, Buffers};
use super::channels::AllChannels;
use super::conv::{PackedConv, Padding, max_pool};
use super::inference::{Depthwise, same_padding};
use super::maps::{Layer, Maps, Shape};
use super::product::After;
use super::rows::{Mlp, Norm};

/// Layers one after the other. Each image passes through all of them on its own, so that its maps
/// stay in cache.
#[derive(Debug)]
pub(in crate::trunk) struct Chain(pub Vec<Arc<dyn Layer>>);

impl Chain {
    /// Runs all layers, and returns the numbers of all images and the shape of one.
    pub fn run(&self, x: Maps<'_>) -> (Vec<f32>, Shape) {
        let buffers = Buffers::new(x.batch);
        let one = |image: usize| {
            let values = &x.values[image * x.shape.len()..(image + 1) * x.shape.len()];
            self.through(Maps { values, batch: 1, ..x }, &buffers)
        };
        if x.batch == 1 {
            let (out, shape) = one(0);
            return (out.into_vec(), shape);
        }
        let each: Vec<(Buffer, Shape)> = (0..x.batch).into_par_iter().map(one).collect();
        let shape = each.first().map_or(x.shape, |(_, shape)| *shape);
        let mut all = Vec::with_capacity(each.len() * shape.len());
        each.iter().for_each(|(out, _)| all.extend_from_slice(out));
        (all, shape)
    }

    fn through(&self, x: Maps<'_>, buffers: &Buffers) -> (Buffer, Shape) {
        let mut last: Option<(Buffer, Shape)> = None;
        for layer in &self.0 {
            let next = match &last {
                Some((values, shape)) => {
                    layer.run(Maps { values, batch: x.batch, shape: *shape }, buffers)
                }
                None => layer.run(x, buffers),
            };
            if let Some((before, _)) = last.replace(next) {
                buffers.give(before);
            }
        }
        last.unwrap_or_else(|| {
            let mut same = buffers.take(x.values.len());
            same.copy_from_slice(x.values);
            (same, x.shape)
        })
    }
}

/// The padding of a convolution at its borders.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::trunk) enum Pads {
    /// TensorFlow's "same" padding.
    Same,
    /// This many positions at every border.
    Each(usize),
}

/// A convolution and an activation.
#[derive(Debug, Clone)]
pub(in crate::trunk) struct Convolution {
    pub conv: Arc<PackedConv>,
    pub pads: Pads,
    pub activation: Activation,
}

impl Convolution {
    /// Computes `activation(conv(x) + residual)`; the residual has the shape of the result.
    fn added(&self, x: Maps<'_>, residual: Option<&[f32]>, buffers: &Buffers) -> (Buffer, Shape) {
        let (kernel, stride) = (self.conv.kernel(), self.conv.stride());
        let padding = |size: usize| match self.pads {
            Pads::Same => {
                let (output, before) = same_padding(size, kernel, stride);
                Padding { before, output }
            }
            Pads::Each(before) => {
                let room = (size + 2 * before).checked_sub(kernel);
                Padding { before, output: room.map_or(0, |room| room / stride + 1) }
            }
        };
        let [down, across] = [padding(x.shape.height), padding(x.shape.width)];
        let after = After { residual, activation: self.activation };
        let out = self.conv.run(x.values, x.batch, x.shape, [down, across], after, buffers);
        let channels = self.conv.output();
        (out, Shape { height: down.output, width: across.output, channels })
    }
}

impl Layer for Convolution {
    fn run(&self, x: Maps<'_>, buffers: &Buffers) -> (Buffer, Shape) {
        self.added(x, None, buffers)
    }
}

/// A residual block: convolutions, the last of which adds the shortcut before its activation.
#[derive(Debug)]
pub(in crate::trunk) struct ResidualBlock {
    pub first: Vec<Convolution>,
    pub last: Convolution,
    /// `None` for the input itself.
    pub shortcut: Option<Convolution>,
}

impl Layer for ResidualBlock {
    fn run(&self, x: Maps<'_>, buffers: &Buffers) -> (Buffer, Shape) {
        let shortcut = self.shortcut.as_ref().map(|shortcut| shortcut.run(x, buffers).0);
        let mut inner: Option<(Buffer, Shape)> = None;
        for conv in &self.first {
            let next = match &inner {
                Some((values, shape)) => {
                    conv.run(Maps { values, batch: x.batch, shape: *shape }, buffers)
                }
                None => conv.run(x, buffers),
            };
            if let Some((before, _)) = inner.replace(next) {
                buffers.give(before);
            }
        }
        let residual = shortcut.as_deref().unwrap_or(x.values);
        let (values, shape) = match &inner {
            Some((values, shape)) => (&values[..], *shape),
            None => (x.values, x.shape),
        };
        let out = self.last.added(Maps { values, batch: x.batch, shape }, Some(residual), buffers);
        inner.into_iter().map(|(buffer, _)| buffer).chain(shortcut).for_each(|b| buffers.give(b));
        out
    }
}

/// Max pooling of 3×3 positions with stride 2.
#[derive(Debug)]
pub(in crate::trunk) struct MaxPooling;

impl Layer for MaxPooling {
    fn run(&self, x: Maps<'_>, buffers: &Buffers) -> (Buffer, Shape) {
        max_pool(x.values, x.batch, x.shape, buffers)
    }
}

impl Layer for Norm {
    fn run(&self, x: Maps<'_>, buffers: &Buffers) -> (Buffer, Shape) {
        (Norm::run(self, x.values, buffers), x.shape)
    }
}

/// A block of ConvNeXt.
#[derive(Debug)]
pub(in crate::trunk) struct ConvNextBlock {
    /// Depthwise weights `[kernel, kernel, channels]`, and biases.
    pub depthwise: Vec<f32>,
    pub bias: Vec<f32>,
    pub kernel: usize,
    /// The rest of the branch; its last layer contains the scale.
    pub mlp: Mlp,
}

impl Layer for ConvNextBlock {
    fn run(&self, x: Maps<'_>, buffers: &Buffers) -> (Buffer, Shape) {
        let Shape { height, width, channels } = x.shape;
        let mut mixed = buffers.take(x.values.len());
        mixed.par_chunks_mut((width * channels).max(1)).enumerate().for_each(|(number, out)| {
            let (image, row) = (number / height, number % height);
            Arch::new().dispatch(AllChannels(Depthwise {
                x: &x.values[image * x.shape.len()..(image + 1) * x.shape.len()],
                first_row: 0,
                input: x.shape,
                weight: &self.depthwise,
                bias: &self.bias,
                kernel: self.kernel,
                stride: 1,
                range: (f32::NEG_INFINITY, f32::INFINITY),
                out,
                row,
                out_width: width,
            }));
        });
        let out = self.mlp.run(&mixed, x.values, buffers);
        buffers.give(mixed);
        (out, x.shape)
    }
}

/// A block of a transformer, for maps that are columns of tokens.
#[derive(Debug)]
pub(in crate::trunk) struct TransformerBlock {
    pub attention: Attention,
    pub mlp: Mlp,
    /// Tokens that have no position, if positions are rotations.
    pub rotary: Option<usize>,
    /// The rotation of the last input's side.
    pub rotation: OnceLock<(usize, Rotation)>,
}

impl Layer for TransformerBlock {
    fn run(&self, x: Maps<'_>, buffers: &Buffers) -> (Buffer, Shape) {
        let side = self.rotary.map(|prefix| x.shape.height.saturating_sub(prefix).isqrt());
        let d = self.attention.qkv.depth() / self.attention.heads.max(1);
        let other;
        let rotation = match side {
            None => None,
            Some(side) => {
                let (known, kept) = self.rotation.get_or_init(|| (side, Rotation::new(side, d)));
                if *known == side {
                    Some(kept)
                } else {
                    other = Rotation::new(side, d);
                    Some(&other)
                }
            }
        };
        let mixed = self.attention.run(x.values, x.batch, rotation, buffers);
        let out = self.mlp.run(&mixed, &mixed, buffers);
        buffers.give(mixed);
        (out, x.shape)
    }
}
