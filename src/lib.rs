//! Barbule
#![warn(missing_docs)]
pub mod code;
#[cfg(feature = "train")]
pub mod eval;
#[cfg(feature = "train")]
pub mod method;
