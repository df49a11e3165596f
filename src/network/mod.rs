/*!
The network before the hash: computes features from preprocessed images.

The same code runs in training and inference. The losses and the training loop are in
[`method`](crate::method) and [`train`](crate::train).
*/

pub mod attention;
pub mod chain;
mod extractor;
pub mod glance;
mod layers;
pub mod parts;
pub mod projections;
pub mod saliency;
pub mod strips;
mod windows;

pub use attention::{Bottleneck, Together};
pub use extractor::Extractor;
pub use layers::Layers;
pub use parts::{Attention, AttentionKind, PartFeatures, Parts};
pub use projections::Projections;
pub use saliency::{Level, Saliency, salient};
pub use windows::windows;
