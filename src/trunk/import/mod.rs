/*!
Imports weights that others published.
*/

mod config;
mod convnext;
mod efficientnet_lite;
mod found;
mod published;
mod resnet;
mod tensors;
mod vit;
mod weights;

pub use published::{PUBLISHED, Published};
pub use weights::{Import, import_weights};
