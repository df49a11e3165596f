/*!
Fine-grained image retrieval: learned binary codes, ranked by Hamming distance.

From the bottom up: [`code`] holds packed binary codes and [`rank`] finds the nearest of
them, exactly, on a CPU or any graphics adapter that [`device`] opens. [`image`] decodes
and prepares pictures, [`trunk`] and [`encoder`] turn them into features, and a
[`model`] into codes. An [`index`] keeps the codes of folders of images in one file and
searches them. With the feature `train`, [`train`] fits models to a [`dataset`] by a
[`method`], and [`eval`] measures them.

`examples/quickstart.rs` in the repository goes the whole way in a hundred lines. What
takes long accepts a [`task::Task`], which reports progress and stops on request. The
library prints nothing.
*/
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
