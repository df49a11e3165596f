//! Barbule
#![warn(missing_docs)]

pub mod code;
pub mod device;
#[cfg(feature = "model")]
pub mod image;
pub mod rank;
#[cfg(feature = "model")]
pub mod trunk;
