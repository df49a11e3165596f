//! Barbule
#![warn(missing_docs)]

#[cfg(feature = "cli")]
pub mod cli;
pub mod code;
#[cfg(feature = "train")]
pub mod dataset;
pub mod device;
#[cfg(feature = "model")]
pub mod encoder;
#[cfg(feature = "engine")]
pub mod engine;
#[cfg(feature = "train")]
pub mod eval;
#[cfg(feature = "model")]
pub mod explain;
#[cfg(feature = "model")]
mod file;
#[cfg(feature = "model")]
pub mod image;
#[cfg(feature = "model")]
pub mod index;
#[cfg(feature = "model")]
pub mod method;
#[cfg(feature = "model")]
pub mod model;
pub mod rank;
#[cfg(feature = "model")]
pub mod task;
#[cfg(feature = "train")]
pub mod train;
#[cfg(feature = "model")]
pub mod trunk;
