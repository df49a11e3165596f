/*!
Import and export of codes: NumPy, faiss, Parquet (DuckDB, ClickHouse, Spark) and PostgreSQL
with pgvector.

Images flow in batches from a [`Source`] to a [`Sink`], in ascending order of their ids. Memory
use is constant, whatever the size of the collection.
*/

mod error;
pub mod faiss;
mod flow;
mod head;
mod local;
pub mod numpy;
mod open;
pub mod parquet;
mod parts;
pub mod postgres;
pub mod shard;
mod share;
mod sidecar;

pub use error::{EngineError, NumpyError, Remedy};
pub use flow::{BATCH, Sink, Source, copy};
pub use head::Head;
pub use local::{IndexSource, import};
pub use open::open;
pub use parts::Parts;

pub use crate::index::Batch;
