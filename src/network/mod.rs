/*!
The network before the hash: computes features from preprocessed images.

The same code runs in training and inference. The losses and the training loop are in
[`method`](crate::method) and [`train`](crate::train).
*/

pub mod attention;
mod extractor;
pub mod saliency;

pub use attention::{Attention, Bottleneck, PartFeatures, Parts};
pub use extractor::Extractor;
pub use saliency::{Level, Saliency, salient};
