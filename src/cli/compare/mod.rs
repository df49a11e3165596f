/*!
`barbule compare`: several methods under one budget, in one table.

This file plans and runs; [`record`] stores the result of a run, [`summary`] summarises seeds,
[`table`] and [`plot`] show the summary.
*/

mod command;
mod pace;
mod place;
pub(super) mod plot;
mod published;
mod record;
mod summary;
mod table;
mod time;

pub use command::{Args, run};
