/*!
Indexes of images on disk, and searches in them.

[`Collection`] is the entry point: it opens an index and its model and searches. [`Index`] reads the
rows of an index, [`IndexWriter`] changes it.

An index is one SQLite file in WAL mode. Codes lie packed in blocks of up to 4096, so that
opening a large index reads few long blobs instead of many rows; everything that a batch of
images changes is one transaction. An index belongs to one model, identified by the fingerprint
of the model's file.
*/

#[cfg(feature = "engine")]
mod batch;
mod catalogue;
mod collection;
mod error;
mod features;
mod files;
mod filter;
mod groups;
mod label_table;
mod labels;
mod living;
mod lock;
mod made_with;
mod open;
mod options;
mod paths;
mod picture;
mod plan;
mod prepare;
mod prune;
mod query;
mod ranking;
mod refit;
mod regions;
mod report;
mod scan;
mod search;
mod snapshot;
mod store;
mod update;
mod vote;
mod write;
mod writer;

pub use crate::folder::ScanOptions;
#[cfg(feature = "engine")]
pub use batch::Batch;
pub use catalogue::Catalogue;
pub use collection::Collection;
pub use error::IndexError;
pub use files::{Failure, Root};
pub use filter::Filter;
pub use groups::{DuplicateOptions, Duplicates, Group, Member, Role};
pub use label_table::{LabelTable, Row, TableUse};
pub use labels::Labels;
#[cfg(feature = "engine")]
pub(crate) use lock::WriteLock;
pub use made_with::open_model;
pub use open::Fitted;
pub use options::{Scan, UpdateOptions};
#[cfg(feature = "engine")]
pub(crate) use paths::files;
pub use paths::{indexed_path, innermost};
pub use prune::{Forgotten, Prunable};
pub use query::{QueryImage, QueryOptions, StoredCodes};
pub use refit::{Fit, Fitter, HashState, LEAST, OWN_MODEL, Sample};
pub use regions::{MOST_REGIONS, Region};
pub use report::{Skipped, Update};
pub use scan::files_under;
pub use search::{CANDIDATES, Hit, Order, Search};
pub use snapshot::Snapshot;
pub use store::{ImageRow, Index};
pub use vote::{Reach, Vote};
pub use writer::IndexWriter;

/// The newest version of the index format that this program reads. Indexes with codes of regions
/// have it, those whose hash was fitted to their own images version 5, others of words version 4,
/// and of signs version 3. Earlier ones are read, too, and converted on the first write.
pub const FORMAT: u32 = 6;
