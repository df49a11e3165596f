/*!
Hashes: functions from an image's features to its code, as stored in model files.

A hash is fitted by a [method](crate::method); this module does not depend on methods.
*/

mod asymmetric;
pub mod codebooks;
mod error;
mod features;
pub(crate) mod kernel;
mod kinds;
mod linear;
pub(crate) mod quantizer;
mod values;
mod word_scale;

pub use asymmetric::Asymmetric;
pub use codebooks::Codebooks;
pub use error::{FeatureError, HashError};
pub use features::Features;
pub use kernel::KernelHash;
pub use kinds::Hash;
pub use linear::LinearHash;
pub use quantizer::Quantizer;
pub use values::Values;
pub use word_scale::WordScale;
