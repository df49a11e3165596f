/*!
The image index on disk: which images there are, and their codes.

One SQLite file in WAL mode. Codes lie packed in blocks of up to 4096, so that
opening a large index reads few long blobs instead of many rows; everything that a
batch of images changes is one transaction. An index belongs to one model, told by
the fingerprint of the model's file.
*/

mod error;
mod filter;
mod groups;
mod labels;
mod lock;
mod open;
mod prepare;
mod scan;
mod searcher;
mod store;
#[cfg(feature = "engine")]
mod transfer;
mod update;
mod vote;
mod write;

use std::path::Path;

pub use error::IndexError;
pub use filter::Filter;
pub use groups::{Group, Member};
pub use labels::Labels;
#[cfg(feature = "engine")]
pub(crate) use lock::WriteLock;
#[cfg(any(feature = "engine", feature = "serve"))]
pub(crate) use open::files;
pub use scan::{ScanOptions, files_under};
pub use searcher::{Found, Query, Rerank, Searcher};
pub use store::{Failure, ImageRow, Index, Root};
#[cfg(feature = "engine")]
pub(crate) use transfer::Block;
pub use update::{Skipped, Update, UpdateOptions, update};
pub use vote::{Reach, Vote};

/// Version of the index format that this program writes, and the newest it reads. It reads all
/// earlier ones, and brings an index up to this when it writes into it.
pub const FORMAT: u32 = 2;

/// The path as it is stored and shown: absolute, as far as the system can tell.
fn stored_path(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

/// The folder of `roots` that a stored path is in; of several around it, the innermost.
pub fn innermost<'a>(path: &str, roots: &'a [String]) -> Option<&'a str> {
    let around = roots.iter().filter(|root| is_under(path, root));
    around.max_by_key(|root| root.len()).map(String::as_str)
}

/// Whether a stored path is `folder` or lies in it.
fn is_under(path: &str, folder: &str) -> bool {
    Path::new(path).starts_with(folder)
}
