/*!
Why a page could not be served.
*/

use std::io;
use std::net::SocketAddr;

use crate::index::IndexError;

/// Why there is no server.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServeError {
    /// The index cannot be used.
    #[error(transparent)]
    Index(#[from] IndexError),
    /// The port cannot be had.
    #[error("cannot listen at {address}: {source}; choose another port or address")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// There is no randomness for the secret.
    #[error(
        "the system gives no random numbers ({0}), without which the page cannot be kept secret"
    )]
    Random(#[source] getrandom::Error),
}
