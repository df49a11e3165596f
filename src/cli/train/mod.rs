/*!
`barbule train`: fits a model to labelled photos.
*/

mod command;
mod network;
mod options;

pub use command::{Args, run};
pub use network::{Network, learned_method, positive};
