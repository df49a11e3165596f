/*!
The options of a server.
*/

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use crate::image::Limits;
use crate::index::Fitter;

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
    /// Fits the hash to the images of the index when that is due; `None` leaves it as it is.
    pub fitter: Option<Arc<dyn Fitter>>,
}

impl Options {
    /// Serves the index in the file `index` at `address`, with the usual limits of images.
    pub fn new(index: impl Into<PathBuf>, address: SocketAddr) -> Self {
        let limits = Limits::default();
        Self { index: index.into(), address, limits, read_only: false, fitter: None }
    }

    /// Sets the limits above which images are refused.
    pub fn with_limits(self, limits: Limits) -> Self {
        Self { limits, ..self }
    }

    /// Lets clients only read the index, if `read_only` is set.
    pub fn with_read_only(self, read_only: bool) -> Self {
        Self { read_only, ..self }
    }

    /// Fits the hash to the images of the index when that is due.
    pub fn with_fitter(self, fitter: impl Fitter + 'static) -> Self {
        Self { fitter: Some(Arc::new(fitter)), ..self }
    }
}
