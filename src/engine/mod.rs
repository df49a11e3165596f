/*!
Import and export of codes: NumPy, faiss, Parquet (DuckDB, ClickHouse, Spark) and PostgreSQL
with pgvector.

Images flow in batches from a [`Source`] to a [`Sink`], in ascending order of their ids. Memory
use is constant, whatever the size of the collection.
*/

mod error;
pub mod faiss;
mod local;
pub mod numpy;
pub mod parquet;
mod parts;
pub mod postgres;
pub mod shard;
mod share;
mod sidecar;

use std::path::Path;

pub use error::{EngineError, NumpyError, Remedy};
pub use local::{IndexSource, import};
pub use parts::Parts;

use crate::code::BinaryCodes;
use crate::task::Task;

pub use crate::index::Batch;

/// Maximum number of images in a [`Batch`].
pub const BATCH: usize = 4096;

/// Maximum number of images in a collection: the bytes of all its codes fit in an `i64`.
const MOST_IMAGES: u64 = i64::MAX as u64 / (crate::code::MAX_BITS as u64 / 8);

/// Metadata of a collection, available before its images.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Head {
    /// Bits per code.
    pub bits: usize,
    /// Fingerprint of the model that produced the codes.
    pub model: String,
    /// Number of images.
    pub images: u64,
    /// The indexed folders.
    pub roots: Vec<String>,
    /// Path of the model's file; `None` for the built-in model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model_file: Option<String>,
}

impl Head {
    /// Validates `bits` and `images`, which may come from an untrusted file.
    ///
    /// # Errors
    /// [`CodeError::Bits`](crate::CodeError::Bits) unless `1 <= bits <= 1024`; [`EngineError::Parts`] if `images` exceeds
    /// the limit.
    pub fn check(&self) -> Result<(), EngineError> {
        BinaryCodes::new(self.bits)?;
        if self.images <= MOST_IMAGES {
            Ok(())
        } else {
            Err(EngineError::Parts(format!(
                "the source claims {} images, which exceeds the limit of {MOST_IMAGES}; it is damaged, create it again",
                self.images
            )))
        }
    }

    /// Checks that the codes of `other`, called `name` in the error, are comparable with these.
    ///
    /// # Errors
    /// [`EngineError::Mixed`] if another model produced them.
    pub fn same_model(&self, other: &Self, name: &str) -> Result<(), EngineError> {
        if (self.bits, &self.model) == (other.bits, &other.model) {
            Ok(())
        } else {
            Err(EngineError::Mixed { name: name.to_owned(), bits: other.bits, others: self.bits })
        }
    }
}

/// A producer of images.
pub trait Source {
    /// Metadata of the collection.
    fn head(&self) -> &Head;

    /// Identifies the collection in its current state. An interrupted load resumes only if the
    /// stamp is the same.
    fn stamp(&self) -> String;

    /// Returns the next images, at most [`BATCH`], or `None` at the end. Ids ascend across all
    /// batches.
    ///
    /// # Errors
    /// If they cannot be read.
    fn next_batch(&mut self) -> Result<Option<Batch>, EngineError>;
}

/// A consumer of images.
pub trait Sink {
    /// Writes the next images.
    ///
    /// # Errors
    /// If they cannot be written.
    fn write(&mut self, batch: &Batch) -> Result<(), EngineError>;

    /// Completes the output. Nothing that existed before is replaced until this call.
    ///
    /// # Errors
    /// If it cannot be completed.
    fn finish(self: Box<Self>) -> Result<(), EngineError>;
}

/// Copies all images from a source to a sink and returns their number.
///
/// # Errors
/// If either fails, the ids do not ascend, the number of images differs from [`Head::images`],
/// or the task is stopped.
pub fn copy(
    source: &mut dyn Source,
    mut sink: Box<dyn Sink + '_>,
    task: &Task<'_>,
) -> Result<u64, EngineError> {
    let total = source.head().images;
    let shown = usize::try_from(total).unwrap_or(usize::MAX);
    let (mut done, mut last) = (0u64, None);
    task.step(0, shown)?;
    while let Some(batch) = source.next_batch()? {
        for id in &batch.ids {
            if last.is_some_and(|last| *id <= last) {
                return Err(EngineError::Order(*id));
            }
            last = Some(*id);
        }
        sink.write(&batch)?;
        done += batch.len() as u64;
        task.step(usize::try_from(done).unwrap_or(usize::MAX), shown)?;
    }
    if done != total {
        return Err(EngineError::Count { said: total, found: done });
    }
    sink.finish()?;
    Ok(done)
}

/// Opens a collection on disk: a Parquet file or several parts of one collection, a folder of
/// NumPy files, or a faiss index with its sidecar files.
///
/// # Errors
/// If it is none of these, or damaged.
pub fn open(paths: &[impl AsRef<Path>]) -> Result<Box<dyn Source>, EngineError> {
    if let [path] = paths {
        let path = path.as_ref();
        let ending = path.extension().and_then(|ending| ending.to_str()).unwrap_or_default();
        if path.join(numpy::CODES).is_file() {
            return Ok(Box::new(numpy::Reader::open(path)?));
        }
        if ending == "faiss" {
            return Ok(Box::new(faiss::Reader::open(path)?));
        }
    }
    Ok(Box::new(Parts::open(paths)?))
}
