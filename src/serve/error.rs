/*!
The errors of a server.
*/

use std::io;
use std::net::SocketAddr;

use crate::index::IndexError;

/// The error of a server that cannot start or cannot go on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServeError {
    /// The index cannot be used.
    #[error(transparent)]
    Index(#[from] IndexError),
    /// The port cannot be used.
    #[error("cannot listen at {address}: {source}; choose another port or address")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// The system's error.
        source: io::Error,
    },
    /// The system has no random numbers for the secret.
    #[error("cannot create the secret of the page: the system has no random numbers ({0})")]
    Random(#[source] getrandom::Error),
}
