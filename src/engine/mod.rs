/*!
The same codes in other programs: NumPy, faiss, Parquet (DuckDB, ClickHouse, Spark) and
PostgreSQL with pgvector.

Images flow in batches from a [`Source`] to a [`Sink`], in ascending order of their ids, so
that a collection of any size passes through constant memory.
*/

mod error;
pub mod faiss;
mod local;
pub mod numpy;
pub mod parquet;
mod parts;
pub mod postgres;
pub mod shard;
mod side;

use std::path::Path;

pub use error::EngineError;
pub use local::{IndexSource, import};
pub use parts::Parts;

use crate::code::{BinaryCodes, CodeError};
use crate::task::Task;

/// Images that go from a [`Source`] to a [`Sink`] at once, at most.
pub const BATCH: usize = 4096;

/// The most images of a collection: the bytes of their codes can be counted.
const MOST_IMAGES: u64 = i64::MAX as u64 / (crate::code::MAX_BITS as u64 / 8);

/// What is known of a collection before its images.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Head {
    /// Bits per code.
    pub bits: usize,
    /// Fingerprint of the model that gave the codes.
    pub model: String,
    /// Number of images.
    pub images: u64,
    /// The folders that the images were found in.
    pub roots: Vec<String>,
    /// Where the model's file was, if it is not the built-in one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model_file: Option<String>,
}

impl Head {
    /// Makes sure that its numbers may be: what a file says of itself may be anything.
    ///
    /// # Errors
    /// [`CodeError::Bits`] for codes of no length, and a sentence for more images than there can
    /// be.
    pub fn check(&self) -> Result<(), EngineError> {
        BinaryCodes::new(self.bits)?;
        match self.images <= MOST_IMAGES {
            true => Ok(()),
            false => Err(EngineError::Parts(format!(
                "{} images were announced, which is more than there can be; the source is damaged, make it anew",
                self.images
            ))),
        }
    }

    /// Makes sure that another collection's codes may be put beside these.
    ///
    /// # Errors
    /// [`EngineError::Mixed`] when another model gave them.
    pub fn same_model(&self, other: &Self, name: &str) -> Result<(), EngineError> {
        match (self.bits, &self.model) == (other.bits, &other.model) {
            true => Ok(()),
            false => Err(EngineError::Mixed {
                name: name.to_owned(),
                bits: other.bits,
                others: self.bits,
            }),
        }
    }
}

/// Some images of a collection, column by column: row `i` of each belongs to one image.
#[derive(Debug, Clone, PartialEq)]
pub struct Batch {
    /// Ids, ascending.
    pub ids: Vec<i64>,
    /// Where the images are, or were when they were encoded.
    pub paths: Vec<String>,
    /// Their labels, where they have one.
    pub labels: Vec<Option<String>>,
    /// BLAKE3 of their files.
    pub contents: Vec<[u8; 32]>,
    /// Their codes.
    pub codes: BinaryCodes,
}

impl Batch {
    /// No images, of codes of so many bits.
    ///
    /// # Errors
    /// [`CodeError::Bits`] unless `1 <= bits <= 1024`.
    pub fn new(bits: usize) -> Result<Self, CodeError> {
        let codes = BinaryCodes::new(bits)?;
        let (ids, paths, labels, contents) = Default::default();
        Ok(Self { ids, paths, labels, contents, codes })
    }

    /// Number of images.
    pub fn len(&self) -> usize {
        self.ids.len()
    }

    /// Whether there is no image.
    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }
}

/// Where images come from.
pub trait Source {
    /// What is known before the first image.
    fn head(&self) -> &Head;

    /// Tells this collection, as it is now, from others: a load that was broken off goes on
    /// only with the same one.
    fn stamp(&self) -> String;

    /// The next images, [`BATCH`] at most, ids ascending over all batches; `None` after the
    /// last.
    ///
    /// # Errors
    /// When they cannot be read.
    fn next_batch(&mut self) -> Result<Option<Batch>, EngineError>;
}

/// Where images go.
pub trait Sink {
    /// Takes the next images.
    ///
    /// # Errors
    /// When they cannot be written.
    fn write(&mut self, batch: &Batch) -> Result<(), EngineError>;

    /// Completes what was written; before this nothing that was there is replaced.
    ///
    /// # Errors
    /// When it cannot be completed.
    fn finish(self: Box<Self>) -> Result<(), EngineError>;
}

/// Takes all images from a source to a sink; how many.
///
/// # Errors
/// When either fails, the ids do not ascend, the source gives another number of images than
/// it said, or the work is stopped.
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
/// NumPy files, or a faiss index with the files beside it.
///
/// # Errors
/// When it is none of these, or damaged.
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
