/*!
Export from a local index, and import into a new one.
*/

use std::path::{Path, PathBuf};

use super::sidecar;
use super::{Batch, EngineError, Head, Sink, Source};
use crate::cause::told;
use crate::index::{Index, IndexError, IndexWriter, WriteLock, files};
use crate::task::Task;

/// The images of an index as a [`Source`].
pub struct IndexSource<'a> {
    index: &'a Index,
    head: Head,
    last: i64,
}

impl<'a> IndexSource<'a> {
    /// Reads all images of `index`, in the state in which it was opened.
    ///
    /// # Errors
    /// If the index is damaged.
    pub fn new(index: &'a Index) -> Result<Self, EngineError> {
        let head = Head {
            bits: index.bits(),
            model: index.model().to_owned(),
            images: index.len()? as u64,
            roots: index.roots()?.into_iter().map(|root| root.path).collect(),
            model_file: index.model_file()?.map(|path| path.to_string_lossy().into_owned()),
            own_model: index.own_model()?,
            codebooks: index.codebooks().cloned(),
        };
        Ok(Self { index, head, last: i64::MIN })
    }
}

impl Source for IndexSource<'_> {
    fn head(&self) -> &Head {
        &self.head
    }

    fn stamp(&self) -> String {
        sidecar::stamp(&files(self.index.path()))
    }

    fn next_batch(&mut self) -> Result<Option<Batch>, EngineError> {
        let Some(batch) = self.index.block_after(self.last)? else { return Ok(None) };
        self.last = batch.ids.last().copied().unwrap_or(self.last);
        Ok(Some(batch))
    }
}

/// Creates an index at `path` from all images of a source, keeps their ids, and returns the number
/// of images. The file appears at `path` once it is complete.
///
/// # Errors
/// If the file exists already, the source fails, two images have the same path, or the task is
/// stopped.
pub fn import(source: &mut dyn Source, path: &Path, task: &Task<'_>) -> Result<u64, EngineError> {
    // Held to the end, so that no other process creates an index at this path.
    let lock = WriteLock::take(path)?;
    // A deleted index may have left its write-ahead log behind, which SQLite would apply to the
    // new file.
    if let Some(there) = files(path).into_iter().find(|file| file.symlink_metadata().is_ok()) {
        return Err(EngineError::NotEmpty(there));
    }
    let mut name = path.as_os_str().to_owned();
    name.push(".importing");
    let unfinished = PathBuf::from(name);
    // An interrupted import may have left it behind.
    remove(&unfinished)?;
    let head = source.head().clone();
    let books = head.codebooks.as_ref();
    let mut index = IndexWriter::open_for(&unfinished, head.bits, &head.model, books)?;
    index.hurry()?;
    if let Some(file) = &head.model_file {
        index.set_model_file(Path::new(file))?;
    }
    if let Some(file) = &head.own_model {
        index.take_own_model(file, usize::try_from(head.images).unwrap_or(usize::MAX))?;
    }
    let sink = Importer { index, roots: head.roots };
    let result = super::copy(source, Box::new(sink), task).and_then(|images| {
        let whole = std::fs::OpenOptions::new().append(true).open(&unfinished);
        whole.and_then(|file| file.sync_all()).map_err(EngineError::write(&unfinished))?;
        std::fs::rename(&unfinished, path).map_err(EngineError::write(path))?;
        Ok(images)
    });
    remove(&unfinished)?;
    drop(lock);
    result
}

/// Removes an unfinished index with its SQLite and lock files.
fn remove(path: &Path) -> Result<(), EngineError> {
    for ending in ["", "-wal", "-shm", ".lock"] {
        let mut name = path.as_os_str().to_owned();
        name.push(ending);
        match std::fs::remove_file(&name) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(EngineError::write(Path::new(&name))(error));
            }
            _ => {}
        }
    }
    Ok(())
}

struct Importer {
    index: IndexWriter,
    roots: Vec<String>,
}

impl Sink for Importer {
    fn write(&mut self, batch: &Batch) -> Result<(), EngineError> {
        self.index.take_in(batch, &self.roots).map_err(|error| match error {
            IndexError::Database { source, .. } if is_twice(&source) => EngineError::Parts(told(
                "two images have the same path; an index holds each path once",
                source,
            )),
            error => error.into(),
        })
    }

    fn finish(self: Box<Self>) -> Result<(), EngineError> {
        // Closing moves the write-ahead log into the index file.
        Ok(self.index.close()?)
    }
}

fn is_twice(error: &rusqlite::Error) -> bool {
    error.sqlite_error_code() == Some(rusqlite::ErrorCode::ConstraintViolation)
}
