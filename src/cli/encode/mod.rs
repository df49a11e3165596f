/*!
`barbule encode`: computes the codes of images.
*/

mod command;
mod parquet;

pub use command::{Args, run};
