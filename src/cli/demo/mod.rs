/*!
`barbule demo`: trains, indexes and searches on generated birds, and writes a report.
*/

mod command;
mod page;
mod results;
mod scan;
mod sheet;

pub use command::{Args, run};
