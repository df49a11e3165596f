//! Barbule
#![warn(missing_docs)]
pub mod code;
#[cfg(feature = "model")]
pub mod image;
