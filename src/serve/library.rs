/*!
One state of the index: what is searched until the index has changed.
*/

use std::fs;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use super::catalogue::Catalogue;
use super::problem::Problem;
use crate::device::Device;
use crate::index::{Index, IndexError, Searcher, files};

/// The index as it was when it was opened.
#[derive(Debug)]
pub struct Library {
    index: Mutex<Index>,
    pub searcher: Searcher,
    pub catalogue: Catalogue,
}

impl Library {
    /// Opens the index at `path`, which must be of a model with these bits and fingerprint.
    pub fn open(
        path: &Path,
        device: &Device,
        (bits, model): (usize, &str),
    ) -> Result<Self, IndexError> {
        let index = Index::open(path)?;
        index.same_model(bits, model)?;
        let searcher = Searcher::new(&index, device)?;
        searcher.expect_many();
        let catalogue = Catalogue::read(&index)?;
        Ok(Self { index: Mutex::new(index), searcher, catalogue })
    }

    /// The database, for one at a time.
    pub fn index(&self) -> MutexGuard<'_, Index> {
        // Nothing is ever half changed in it.
        self.index.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn len(&self) -> usize {
        self.searcher.len()
    }

    /// That there is such an image.
    pub fn known(&self, id: i64) -> Result<i64, Problem> {
        match self.catalogue.has(id) {
            true => Ok(id),
            false => Err(Problem::new(404, format!("there is no image {id} in the index"))),
        }
    }
}

/// What of an index's files changes with every change of the index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stamp([Option<(u64, Option<SystemTime>)>; 2]);

impl Stamp {
    pub fn of(path: &Path) -> Self {
        Self(files(path).map(|path| {
            let meta = fs::metadata(path).ok()?;
            // Reading may make an empty one.
            (meta.len() > 0).then(|| (meta.len(), meta.modified().ok()))
        }))
    }
}
