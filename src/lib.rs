//! Barbule
#![warn(missing_docs)]
pub mod code;
