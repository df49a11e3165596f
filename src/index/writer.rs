/*!
An index that is open for writing.
*/

use std::path::Path;

use rusqlite::Connection;

use super::lock::WriteLock;
use super::open::{self, Owner};
use super::paths::stored_path;
use super::{Index, IndexError};
use crate::hash::Codebooks;
use crate::model::Model;

/// An index that is open for writing. Nobody else can write to it until this is dropped, so drop it
/// right after the change; [`Collection`](super::Collection) is for searching.
///
/// ```
/// # #[cfg(feature = "model")]
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use barbule::device::{Device, DeviceChoice};
/// use barbule::index::{IndexWriter, UpdateOptions};
/// use barbule::{model::Model, task::Task};
/// # let folder = tempfile::tempdir()?;
/// # let (photos, path) = (folder.path().join("photos"), folder.path().join("photos.db"));
/// # std::fs::create_dir(&photos)?;
/// # ::image::RgbImage::new(8, 8).save(photos.join("black.png"))?;
///
/// let model = Model::general(&Device::open(DeviceChoice::Cpu, None)?)?;
/// let mut writer = IndexWriter::open(&path, &model)?;
/// let options = UpdateOptions::default();
/// let report = writer.update(&model, &[photos.clone()], &options, &Task::unwatched())?;
/// assert_eq!((report.added, writer.index().len()?), (1, 1));
///
/// // The second update looks at new and changed files only.
/// let report = writer.update(&model, &[], &options, &Task::unwatched())?;
/// assert_eq!((report.added, report.unchanged), (0, 1));
///
/// let forgotten = writer.forget(&[photos.canonicalize()?])?;
/// assert_eq!((forgotten.images, writer.index().len()?), (1, 0));
/// # Ok(())
/// # }
/// # #[cfg(not(feature = "model"))]
/// # fn main() {}
/// ```
#[derive(Debug)]
pub struct IndexWriter {
    index: Index,
    _lock: WriteLock,
}

impl IndexWriter {
    /// Opens an index for writing, and creates it for `model` if it is missing.
    ///
    /// # Errors
    /// As [`Index::open`]; [`IndexError::Busy`] while somebody else writes; if it belongs to
    /// another model or cannot be written.
    pub fn open(path: &Path, model: &Model) -> Result<Self, IndexError> {
        Self::open_for(path, model.bits(), model.fingerprint(), model.hash().codebooks())
    }

    /// Like [`IndexWriter::open`], with the bits, the fingerprint and the codebooks (if codes are
    /// words) of the model instead of the model itself.
    ///
    /// # Errors
    /// See [`IndexWriter::open`].
    pub fn open_for(
        path: &Path,
        bits: usize,
        fingerprint: &str,
        codebooks: Option<&Codebooks>,
    ) -> Result<Self, IndexError> {
        Self::locked(path, Some(Owner { bits, fingerprint, codebooks }))
    }

    /// Opens an index that exists already, whichever model made it.
    ///
    /// # Errors
    /// As [`Index::open`]; [`IndexError::Busy`] while somebody else writes; if it cannot be
    /// written.
    pub fn open_existing(path: &Path) -> Result<Self, IndexError> {
        if !path.exists() {
            return Err(IndexError::Missing(path.to_owned()));
        }
        Self::locked(path, None)
    }

    fn locked(path: &Path, owner: Option<Owner<'_>>) -> Result<Self, IndexError> {
        open::not_a_folder(path)?;
        let lock = WriteLock::take(path)?;
        let index = Index::of_writer(path, open::to_write(path, owner)?);
        let writer = Self { index, _lock: lock };
        // The last writer may have left a log behind, because others were reading.
        writer.settle();
        Ok(writer)
    }

    /// The index, for reading: the state after the last change.
    pub fn index(&self) -> &Index {
        &self.index
    }

    /// Stores the path of the index's model file, so that it need not be given again.
    ///
    /// # Errors
    /// If the file is damaged or cannot be written.
    pub fn set_model_file(&mut self, path: &Path) -> Result<(), IndexError> {
        let path = path.canonicalize().unwrap_or_else(|_| path.to_owned());
        self.note_model_file(&stored_path(&path))
    }

    /// Closes the index, so that all of it is in its one file.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn close(self) -> Result<(), IndexError> {
        let path = self.index.path().to_owned();
        let closed = self.index.into_connection().close();
        closed.map_err(|(_, source)| IndexError::Database { path, source })
    }

    /// Reads the facts of the index again, after a change of them.
    pub(super) fn reopen(&mut self) -> Result<(), IndexError> {
        self.index.reopen()
    }

    pub(super) fn connection(&self) -> &Connection {
        self.index.connection()
    }

    pub(super) fn connection_mut(&mut self) -> &mut Connection {
        self.index.connection_mut()
    }

    pub(super) fn mine<T>(&self, result: rusqlite::Result<T>) -> Result<T, IndexError> {
        self.index.mine(result)
    }
}
