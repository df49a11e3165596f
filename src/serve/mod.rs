/*!
A local web page to search your photos, and its JSON interface.

[`Server::bind`] opens a port, [`Server::run`] answers until it is stopped. `api` has the routes,
`guard` the access control, `http` the protocol. The index is only read, and no file is sent
unchanged: clients get re-encoded pictures of indexed images (`pictures`).
*/

mod api;
mod error;
mod guard;
mod http;
mod peers;
mod pictures;
mod problem;
mod request;
mod sample;
mod semaphore;
mod server;

pub use api::{OPENAPI, routes};
pub use error::ServeError;
pub use server::{Options, Server};
