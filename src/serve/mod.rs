/*!
A local web page to search your photos, and its JSON interface.

[`Server::bind`] opens a port, [`Server::run`] answers until it is stopped. `api` has the routes,
`guard` the access control, `http` the protocol. No file is sent unchanged: clients get re-encoded
pictures of indexed images (`pictures`). Clients change the index only if the server listens on a
loopback address and is not read-only (`edit`).
*/

mod api;
mod app;
mod browse;
mod call;
mod edit;
mod error;
mod guard;
mod http;
mod left_out;
mod options;
mod peers;
mod pictures;
mod problem;
mod read;
mod request;
mod sample;
mod semaphore;
mod server;
mod work;

pub use api::{OPENAPI, routes};
pub use error::ServeError;
pub use options::Options;
pub use server::Server;
