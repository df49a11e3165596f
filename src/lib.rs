//! Barbule
#![warn(missing_docs)]
pub mod code;
#[cfg(feature = "train")]
pub mod dataset;
#[cfg(feature = "model")]
pub mod image;
