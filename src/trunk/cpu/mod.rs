/*!
The expensive layers of a trunk on the CPU, on plain channels-last slices.
*/

mod activation;
mod attention;
mod buffers;
mod channels;
mod conv;
#[cfg(feature = "train")]
mod depthwise;
#[cfg(feature = "train")]
pub(super) mod geometry;
#[cfg(feature = "train")]
pub(super) mod gradients;
mod inference;
mod layer;
mod maps;
#[cfg(feature = "train")]
pub(super) mod norm;
mod product;
mod rows;

pub(super) use activation::Activation;
pub(super) use attention::Attention;
pub(super) use conv::PackedConv;
pub(super) use inference::{Block, First, same_padding};
pub(super) use layer::{
    Chain, ConvNextBlock, Convolution, MaxPooling, Pads, ResidualBlock, TransformerBlock,
};
pub(super) use maps::{Layer, Maps, Shape};
pub(super) use product::Packed;
pub(super) use rows::{Mlp, Norm};
