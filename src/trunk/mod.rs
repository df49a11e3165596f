/*!
Trunks: the pretrained networks that turn an image into features.

A trunk is split in two: `stem` computes the feature map that attention uses, at stride 16 of a
convolutional network, `refine` the last feature map and the features of it. Methods decide how to
use each of them.
*/

mod conv_norm;
mod cpu;
mod dense;
mod error;
#[cfg(feature = "train")]
mod import;
mod input;
mod kind;
mod network;
mod ops;
#[cfg(feature = "train")]
mod pickle;
mod positions;
#[cfg(feature = "train")]
mod pytorch;
#[cfg(feature = "train")]
mod train_ops;

pub mod convnext;
pub mod efficientnet_lite;
pub mod resnet;
pub mod vit;
pub mod weights;

pub use conv_norm::{ConvNorm, pool};
pub use dense::{Activation, Conv, Dense, LayerNorm};
pub use error::WeightsError;
#[cfg(feature = "train")]
pub use import::{Import, PUBLISHED, Published, import_weights};
pub use input::Input;
pub use kind::TrunkKind;
pub use network::{Refine, Stem, Trunk};
