/*!
The expensive layers of a trunk on the CPU, on plain channels-last slices.
*/

mod channels;
#[cfg(feature = "train")]
mod depthwise;
#[cfg(feature = "train")]
pub(super) mod geometry;
#[cfg(feature = "train")]
pub(super) mod gradients;
mod inference;
#[cfg(feature = "train")]
pub(super) mod norm;

pub(super) use inference::{Block, First, Shape, pointwise_relu6, same_padding};
