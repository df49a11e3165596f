/*!
PostgreSQL with pgvector: one server, a Citus cluster, or shards behind `postgres_fdw`.

A collection named `barbule` is a table `barbule` (one row per image) and a table
`barbule_meta`. Rows are identified by content: `copy` numbers the files with the same content, and
(content, copy) is the primary key. A load inserts new images, updates those whose path, label or
id changed, and deletes the others.

| layout | table | rows are distributed by |
|---|---|---|
| one server | a table | |
| Citus, if installed on the server | a distributed table | content, by Citus |
| shards | a table on each shard; a foreign table for each on the coordinator | the first bytes of content |

Codes are `bit(n)`; the first bit is bit 0 of the code.
*/

mod address;
mod bit;
mod facts;
mod holder;
mod load;
mod remote;
mod session;
mod shards;
mod sql;

pub use address::{Address, Connecting};
pub use load::{LoadOptions, Loader};
pub use remote::{Explained, Recall, Remote, Rows};
pub use session::Session;
pub use sql::Table;
