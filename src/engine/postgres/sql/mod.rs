/*!
The text of every SQL statement. Nothing here connects to a server.
*/

mod collection;
mod load;
mod search;
mod shards;
mod table;

pub(super) use collection::*;
pub(super) use load::*;
pub(super) use search::*;
pub(super) use shards::*;
pub use table::Table;
pub(super) use table::{MOST, parts};
