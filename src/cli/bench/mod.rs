/*!
`barbule bench`: benchmarks of this machine.
*/

mod ann;
mod command;
mod rank;

pub use command::{Args, run};
