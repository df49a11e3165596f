/*!
The options of a server.
*/

use std::net::SocketAddr;
use std::path::PathBuf;

use crate::image::Limits;

/// Options of a server.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Options {
    /// The index.
    pub index: PathBuf,
    /// The address to listen on; port 0 for any free one. Only clients of a loopback address may
    /// change the index.
    pub address: SocketAddr,
    /// Larger images are refused.
    pub limits: Limits,
    /// Whether clients may not change the index.
    pub read_only: bool,
}

impl Options {
    /// Serves the index in the file `index` at `address`, with the usual limits of images.
    pub fn new(index: impl Into<PathBuf>, address: SocketAddr) -> Self {
        Self { index: index.into(), address, limits: Limits::default(), read_only: false }
    }

    /// Sets the limits above which images are refused.
    pub fn with_limits(self, limits: Limits) -> Self {
        Self { limits, ..self }
    }

    /// Lets clients only read the index, if `read_only` is set.
    pub fn with_read_only(self, read_only: bool) -> Self {
        Self { read_only, ..self }
    }
}
