/*!
The command line, with one file per command.

Arguments are resolved once, here and in each command's `run`; the library receives plain
values. Only this module prints: results to stdout, everything else to stderr.
*/

pub mod advice;
mod answer;
mod aviary;
mod bench;
mod commands;
mod compare;
mod completions;
mod context;
mod counts;
mod data;
mod dataset;
mod demo;
mod doctor;
mod duplicates;
mod encode;
mod eval;
mod explain;
mod export;
mod forget;
mod gallery;
mod index;
mod label;
mod list;
mod prune;
mod query;
mod search;
mod serve;
mod server;
pub mod shaders;
mod status;
mod train;
mod watch;
mod weights;

pub use commands::{Cli, run};
pub(crate) use context::Context;
pub use context::remark;
