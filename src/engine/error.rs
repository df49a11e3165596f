/*!
Errors of exchanging collections with other programs.
*/

use std::io;
use std::path::{Path, PathBuf};

use crate::cause::Cause;
use crate::code::CodeError;
use crate::index::IndexError;
use crate::model::ModelError;
use crate::task::Stopped;

/// An error of importing or exporting a collection.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EngineError {
    /// A file could not be written.
    #[error("cannot write {}: {source}; check the folder and the free disk space", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// A file could not be read or is invalid.
    #[error("cannot read {}: {reason}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The reason and a remedy.
        #[source]
        reason: Cause,
    },
    /// Codes of different models cannot be combined.
    #[error(
        "{name} holds codes of another model ({bits} bits) than the other parts ({others} bits); use parts of one model"
    )]
    Mixed {
        /// The collection.
        name: String,
        /// Its bits.
        bits: usize,
        /// Bits of the other parts.
        others: usize,
    },
    /// The parts do not form a complete collection.
    #[error("{0}")]
    Parts(#[source] Cause),
    /// Codes of words were to be stored where only signs can be compared.
    #[error(
        "the codes are words, and {0} compares codes by Hamming distance, which words do not have; export them to Parquet or NumPy, or use a model whose codes are signs"
    )]
    Words(String),
    /// The ids are not ascending.
    #[error("image {0} is duplicated or out of order; give each part only once")]
    Order(i64),
    /// The source announced a different number of images than it contained.
    #[error("the source announced {said} images and contained {found}; it is damaged")]
    Count {
        /// The announced number.
        said: u64,
        /// The actual number.
        found: u64,
    },
    /// The target index already contains images.
    #[error("{} exists already; import into another index, or move it away", .0.display())]
    NotEmpty(PathBuf),
    /// A server could not be used; the remedy is known.
    #[error("{server}: {reason}; {remedy}")]
    Refused {
        /// Host, port and database.
        server: String,
        /// The reason.
        #[source]
        reason: Cause,
        /// The remedy.
        remedy: Remedy,
    },
    /// A server could not be used.
    #[error("{server}: {reason}")]
    Server {
        /// Host, port and database.
        server: String,
        /// The reason and a remedy.
        #[source]
        reason: Cause,
    },
    /// An error of a NumPy file.
    #[error(transparent)]
    Numpy(#[from] NumpyError),
    /// An error of the local index.
    #[error(transparent)]
    Index(#[from] IndexError),
    /// An error of the model.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// A code is damaged.
    #[error(transparent)]
    Code(#[from] CodeError),
    /// The work was stopped.
    #[error(transparent)]
    Stopped(#[from] Stopped),
}

/// A remedy for an error of a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Remedy {
    /// The server's certificate is not trusted.
    #[error("specify the server's certificate authority")]
    Authority,
    /// The same, and the address allows turning encryption off.
    #[error(
        "specify the server's certificate authority, or, on a trusted network, add ?sslmode=disable to the address"
    )]
    Encryption,
    /// The server requires a password.
    #[error("set PGPASSWORD, or specify a file with the password")]
    Password,
    /// The server rejected the password.
    #[error("check the user and the password")]
    Credentials,
    /// A shard is down.
    #[error("start the shard that does not answer: partial results are not returned")]
    Shards,
    /// The foreign server of a shard differs from the one that an export creates.
    #[error("export again and list every shard")]
    NameShards,
    /// The user lacks a privilege.
    #[error("ask for the privilege, or have an administrator run the statements")]
    Privilege,
    /// A statement timed out.
    #[error("allow more time, or request fewer results")]
    Time,
    /// The collection is missing or incomplete.
    #[error("export to this address first")]
    Export,
    /// The collection cannot be updated by this export.
    #[error("choose another table, or replace this one")]
    Table,
    /// The collection's metadata are damaged.
    #[error("export again, and replace the collection")]
    Replace,
}

impl EngineError {
    /// Returns a converter of write errors, for `map_err`.
    pub(super) fn write(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Write { path, source }
    }

    /// Returns a converter of read errors, for `map_err`.
    pub(super) fn read<E: Into<Cause>>(path: &Path) -> impl FnOnce(E) -> Self {
        let path = path.to_owned();
        move |error| Self::Read { path, reason: error.into() }
    }

    /// Returns an error for an invalid file.
    pub(super) fn unfit(path: &Path, reason: impl Into<Cause>) -> Self {
        Self::Read { path: path.to_owned(), reason: reason.into() }
    }
}

/// An error of a `.npy` file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NumpyError {
    /// It could not be written.
    #[error("cannot write {}: {source}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// It could not be read.
    #[error("cannot read {}: {source}; specify a NumPy file", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// It does not hold codes.
    #[error("{} holds {found}, not codes of {bits} bits (a uint8 array with {columns} columns)", path.display(), columns = bits.div_ceil(8))]
    Shape {
        /// The file.
        path: PathBuf,
        /// The actual content.
        found: String,
        /// Bits of the requested codes.
        bits: usize,
    },
    /// Its bytes are not valid codes.
    #[error("{}: {source}", path.display())]
    Codes {
        /// The file.
        path: PathBuf,
        /// The reason.
        source: CodeError,
    },
}
