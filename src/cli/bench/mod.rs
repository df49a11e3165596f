/*!
`barbule bench`: benchmarks of this machine.
*/

mod ann;
mod asymmetric;
mod command;
mod encode;
mod random;
mod rank;
mod rows;
mod words;

pub use command::{Args, run};
