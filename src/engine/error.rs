/*!
What can go wrong between Barbule and other programs.
*/

use std::io;
use std::path::{Path, PathBuf};

use crate::code::CodeError;
use crate::index::IndexError;
use crate::model::ModelError;
use crate::task::Stopped;

/// Why a collection could not be taken out or in.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EngineError {
    /// A file could not be written.
    #[error("cannot write {}: {source}; check the folder and the room on its disk", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file could not be read, or is not what it should be.
    #[error("cannot read {}: {reason}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What is wrong, and what to do.
        reason: String,
    },
    /// Codes of different models were to be put together.
    #[error(
        "{name} holds codes of {bits} bits of another model than the rest, which has {others}; take parts of one model"
    )]
    Mixed {
        /// Which collection.
        name: String,
        /// Its bits.
        bits: usize,
        /// Bits of the others.
        others: usize,
    },
    /// Parts do not make a whole.
    #[error("{0}")]
    Parts(String),
    /// Ids do not ascend.
    #[error("the image {0} comes twice or out of order; each part may be given once")]
    Order(i64),
    /// Another number of images came than was said.
    #[error("{said} images were announced and {found} came; the source is damaged")]
    Count {
        /// What was said.
        said: u64,
        /// What came.
        found: u64,
    },
    /// The index that was to take images in has some.
    #[error("{} exists already; import into another index, or move it away", .0.display())]
    NotEmpty(PathBuf),
    /// A server could not be used; the remedy is one of a few.
    #[error("{server}: {reason}; {remedy}")]
    Refused {
        /// Which: host, port and database.
        server: String,
        /// What is wrong.
        reason: String,
        /// What to do.
        remedy: Remedy,
    },
    /// A server could not be used.
    #[error("{server}: {reason}")]
    Server {
        /// Which: host, port and database.
        server: String,
        /// What is wrong, and what to do.
        reason: String,
    },
    /// A NumPy file made trouble.
    #[error(transparent)]
    Numpy(#[from] NumpyError),
    /// The local index made trouble.
    #[error(transparent)]
    Index(#[from] IndexError),
    /// The model made trouble.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// A code is damaged.
    #[error(transparent)]
    Code(#[from] CodeError),
    /// The work was stopped.
    #[error(transparent)]
    Stopped(#[from] Stopped),
}

/// What helps when a server refuses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Remedy {
    /// Nobody vouches for the server's certificate.
    #[error("name the server's certificate authority")]
    Authority,
    /// The same, where the address could also do without encryption.
    #[error(
        "name the server's certificate authority, or, on a trusted network, add ?sslmode=disable to the address"
    )]
    Encryption,
    /// The server wants a password.
    #[error("set PGPASSWORD, or name a file that holds the password")]
    Password,
    /// The server does not take this password.
    #[error("check the user and the password")]
    Credentials,
    /// A shard is down.
    #[error("start the shard that does not answer: partial results are not returned")]
    Shards,
    /// The foreign server of a shard is not as an export makes it.
    #[error("export again and name every shard")]
    NameShards,
    /// The user lacks a privilege.
    #[error("ask for the privilege, or have an administrator run the statements")]
    Privilege,
    /// A statement took too long.
    #[error("allow more time, or request fewer results")]
    Time,
    /// There is no collection, or not all of it.
    #[error("export to this address first")]
    Export,
    /// The collection cannot be updated by what is exported.
    #[error("choose another table, or replace this one")]
    Table,
    /// The collection's own notes are damaged.
    #[error("export again, and replace the collection")]
    Replace,
}

impl EngineError {
    /// For `map_err`: that a file could not be written.
    pub(super) fn write(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Write { path, source }
    }

    /// For `map_err`: that a file could not be read.
    pub(super) fn read<E: std::fmt::Display>(path: &Path) -> impl FnOnce(E) -> Self {
        let path = path.to_owned();
        move |error| Self::Read { path, reason: error.to_string() }
    }

    /// That a file is not what it should be.
    pub(super) fn unfit(path: &Path, reason: impl Into<String>) -> Self {
        Self::Read { path: path.to_owned(), reason: reason.into() }
    }
}

/// What went wrong with a `.npy` file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NumpyError {
    /// It could not be written.
    #[error("cannot write {}: {source}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It could not be read.
    #[error("cannot read {}: {source}; name a NumPy file", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It does not hold codes.
    #[error("{} holds {found}, not codes of {bits} bits: an array of uint8, {columns} to a row", path.display(), columns = bits.div_ceil(8))]
    Shape {
        /// The file.
        path: PathBuf,
        /// What it holds.
        found: String,
        /// Bits of the codes that were asked for.
        bits: usize,
    },
    /// Its bytes are no codes.
    #[error("{}: {source}", path.display())]
    Codes {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: CodeError,
    },
}
