/*!
Hashing methods: how codes are learned from images and their labels.

One file is one method; none of them knows about images, files or training loops.
What every fitted method is in the end, a [`Hash`] of features, needs no training code.
*/

pub mod codebooks;
mod hash;
mod kernel;
mod linear;
pub mod parts;
mod quantizer;
pub mod saliency;
#[cfg(feature = "train")]
mod shallow;

#[cfg(feature = "train")]
pub mod asymmetric;
#[cfg(feature = "train")]
pub mod centres;
#[cfg(feature = "train")]
pub mod csq;
#[cfg(feature = "train")]
pub mod dpsh;
#[cfg(feature = "train")]
pub mod dsah;
#[cfg(feature = "train")]
pub mod dtq;
#[cfg(feature = "train")]
pub mod exchnet;
#[cfg(feature = "train")]
pub mod hashnet;
#[cfg(feature = "train")]
pub mod learner;
#[cfg(all(test, feature = "train"))]
mod naive;
#[cfg(feature = "train")]
pub mod orthohash;
#[cfg(feature = "train")]
pub mod pairs;
#[cfg(feature = "train")]
pub mod plume;

#[cfg(feature = "train")]
pub mod itq;
#[cfg(feature = "train")]
pub mod lda;
#[cfg(feature = "train")]
mod linalg;
#[cfg(feature = "train")]
pub mod lsh;
#[cfg(feature = "train")]
pub mod sdh;
#[cfg(feature = "train")]
pub mod whitened;
#[cfg(feature = "train")]
mod words;

pub use codebooks::Codebooks;
pub use hash::Hash;
pub use kernel::KernelHash;
pub use linear::{FeatureError, Features, HashError, LinearHash};
pub use quantizer::Quantizer;
#[cfg(feature = "train")]
pub use shallow::{MethodError, Shallow};
