/*!
Trunks: the pretrained networks that turn an image into features.

A trunk is split in two at stride 16: `stem` computes the feature map that attention uses,
`refine` the last feature map. Methods decide how to use each of them.
*/

mod conv_norm;
mod cpu;
mod error;
#[cfg(feature = "train")]
mod import;
mod kind;
mod network;
mod ops;
#[cfg(feature = "train")]
mod pickle;
#[cfg(feature = "train")]
mod pytorch;
#[cfg(feature = "train")]
mod train_ops;

pub mod efficientnet_lite;
pub mod resnet;
pub mod weights;

pub use conv_norm::{ConvNorm, pool};
pub use efficientnet_lite::EfficientNetLite0;
pub use error::WeightsError;
#[cfg(feature = "train")]
pub use import::import_weights;
pub use kind::TrunkKind;
pub use network::{Refine, Stem, Trunk};
