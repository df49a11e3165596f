/*!
The image index on disk: which images there are, and their codes.

One SQLite file in WAL mode. Codes lie packed in blocks of up to 4096, so that
opening a large index reads few long blobs instead of many rows; everything that a
batch of images changes is one transaction. An index belongs to one model, told by
the fingerprint of the model's file.
*/

mod list;
mod scan;
mod store;
mod update;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::code::{BinaryCodes, CodeError};
use crate::device::Device;
use crate::model::ModelError;
use crate::rank::{Hit, RankError, Ranker};
use crate::task::Stopped;

pub use scan::Labels;
pub use store::{ImageRow, Index};
pub use update::{Skipped, Update, UpdateOptions, update};

/// Version of the index format that this program writes, and the newest it reads.
pub const FORMAT: u32 = 1;

/// Why an index could not be opened, changed or searched.
#[derive(Debug, thiserror::Error)]
pub enum IndexError {
    /// There is no such index.
    #[error("there is no index at {}; make one with `barbule index DIR`", .0.display())]
    Missing(PathBuf),
    /// The file is not an index.
    #[error("{} is not a Barbule index: {reason}", path.display())]
    Unfit {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The file is of a later version.
    #[error("{} is an index of format {found}, this program reads up to {FORMAT}; install a newer barbule", path.display())]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: u32,
    },
    /// The index was made with another model.
    #[error(
        "{} was made with another model ({index_bits} bits, {index_model}, not {model_bits} bits, {model}); name that model with --model (leave it out for the built-in one), or another --index",
        path.display()
    )]
    OtherModel {
        /// The index.
        path: PathBuf,
        /// Bits of the index's codes.
        index_bits: usize,
        /// Beginning of the fingerprint of the index's model.
        index_model: String,
        /// Bits of the given model.
        model_bits: usize,
        /// Beginning of the given model's fingerprint.
        model: String,
    },
    /// The database failed: disk full, file locked, no permission.
    #[error(
        "cannot use the index {}: {error}; check its folder, the room on its disk and who else writes to it (what was finished before is kept)",
        path.display()
    )]
    Database {
        /// The file.
        path: PathBuf,
        /// What SQLite said.
        error: rusqlite::Error,
    },
    /// A folder to index could not be read.
    #[error("cannot read the folder {}: {reason}", path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// What the system said.
        reason: String,
    },
    /// The file with labels could not be used.
    #[error("{}: {reason}; each line is PATH,LABEL", path.display())]
    Labels {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The model failed.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// Ranking failed.
    #[error(transparent)]
    Rank(#[from] RankError),
    /// A stored code is damaged.
    #[error(transparent)]
    Code(#[from] CodeError),
    /// The work was stopped.
    #[error(transparent)]
    Stopped(#[from] Stopped),
}

/// An index in memory, ready to be searched.
#[derive(Debug)]
pub struct Searcher {
    ranker: Ranker,
    /// Image id of each code, ascending.
    ids: Vec<i64>,
}

/// One found image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// From 1.
    pub rank: usize,
    /// Where it was when it was indexed.
    pub path: String,
    /// Hamming distance, in bits.
    pub distance: u32,
    /// Its id in the index.
    pub id: i64,
    /// Its label, if it has one.
    pub label: Option<String>,
    /// Whether it has the very content of the query.
    pub same: bool,
}

impl Searcher {
    /// Reads all codes of an index and puts them on the device.
    ///
    /// # Errors
    /// When the index is damaged or the device fails.
    pub fn new(index: &Index, device: &Device) -> Result<Self, IndexError> {
        let (ids, codes) = index.codes()?;
        let ranker = Ranker::new(device, Arc::new(codes))?;
        Ok(Self { ranker, ids })
    }

    /// For programs that search for long: see [`Ranker::expect_many`].
    pub fn expect_many(&self) -> bool {
        self.ranker.expect_many()
    }

    /// Why searches run on the CPU although a GPU was asked for, if they do.
    pub fn failure(&self) -> Option<&str> {
        self.ranker.failure()
    }

    /// Number of images.
    pub fn len(&self) -> usize {
        self.ids.len()
    }

    /// Whether there is no image.
    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    /// The `k` nearest images of one code (row `query` of `queries`), in the order of
    /// (distance, id); images whose content is `content` (a BLAKE3 hash) come first
    /// and are marked.
    ///
    /// # Errors
    /// When the lengths differ, the index is damaged or the device fails.
    pub fn search(
        &self,
        index: &Index,
        query: &BinaryCodes,
        content: Option<&blake3::Hash>,
        k: usize,
    ) -> Result<Vec<Found>, IndexError> {
        let own = content.map(|hash| index.with_content(hash)).transpose()?.unwrap_or_default();
        let ranked = self.ranker.top_k(query, k)?;
        let hits = ranked.into_iter().next().unwrap_or_default();
        let id_of = |hit: &Hit| self.ids.get(hit.id as usize).copied().unwrap_or_default();
        let hits = hits.iter().map(|hit| (id_of(hit), hit.distance));
        // A stored code is at distance 0 of itself; others at 0 may have smaller ids.
        let first = own.iter().map(|id| (*id, 0, true));
        let rest = hits.filter(|(id, _)| !own.contains(id)).map(|(id, d)| (id, d, false));
        let mut found = Vec::new();
        for (rank, (id, distance, same)) in (1..).zip(first.chain(rest)).take(k) {
            let ImageRow { path, label, .. } = index.image(id)?;
            found.push(Found { rank, path, distance, id, label, same });
        }
        Ok(found)
    }
}

/// The path as it is stored and shown: absolute, as far as the system can tell.
fn stored_path(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}
