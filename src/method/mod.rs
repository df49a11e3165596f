/*!
Hashing methods: how codes are learned from images and their labels.

One file is one method; none of them knows about images, files or training loops.
*/

pub mod asymmetric;
pub mod centres;
pub mod csq;
pub mod dpsh;
pub mod dsah;
pub mod dtq;
mod error;
pub mod exchnet;
pub mod hashnet;
pub mod itq;
pub mod lda;
pub mod learner;
mod linalg;
pub mod lsh;
#[cfg(test)]
mod oracle;
pub mod orthohash;
pub mod pairs;
pub mod plume;
pub mod sdh;
mod shallow;
pub mod whitened;
mod word_solver;

pub use error::{MethodError, OneKind};
pub use shallow::Shallow;
