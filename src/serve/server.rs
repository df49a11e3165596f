/*!
A server with an open port: accepts connections and answers each in a thread of its own.
*/

use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::ServeError;
use super::app::App;
use super::guard::{self, Guard};
use super::http::{Connection, Request, Response};
use super::options::Options;
use super::peers::Peers;
use super::problem::Problem;
use super::semaphore::Semaphore;
use crate::device::Device;
use crate::model::Model;

/// Maximum number of connections; further ones wait.
const CONNECTIONS: usize = 64;
/// Interval of the checks whether to stop and whether the index has changed.
const TICK: Duration = Duration::from_millis(100);
/// Time limit of running answers when the server stops.
const GRACE: Duration = Duration::from_secs(5);
/// Time limit of indexing when the server stops: it ends after the batch that it is at.
const LAST_BATCH: Duration = Duration::from_secs(60);

/// A server with an open port, ready to run.
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
    address: SocketAddr,
    guard: Guard,
    app: App,
}

/// The shared state of a running server.
#[derive(Debug)]
struct Running {
    guard: Guard,
    app: App,
    connections: Semaphore,
    peers: Peers,
    /// Set when the server stops.
    closing: AtomicBool,
}

impl Server {
    /// Opens the index and the port.
    ///
    /// # Errors
    /// If the index cannot be used or belongs to another model, or the port cannot be opened.
    pub fn bind(options: Options, device: Device, model: Model) -> Result<Self, ServeError> {
        let address = options.address;
        let app = App::new(options, device, model)?;
        let failed = |source| ServeError::Listen { address, source };
        let listener = TcpListener::bind(address).map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let guard = Guard::new(address).map_err(ServeError::Random)?;
        Ok(Self { listener, address, guard, app })
    }

    /// The URL of the page, with the secret that opens it.
    pub fn url(&self) -> String {
        self.guard.url()
    }

    /// The URL with a secret that works once: for a program whose arguments other users of the
    /// machine may see.
    ///
    /// # Errors
    /// If the system has no randomness for the secret.
    pub fn url_once(&self) -> Result<String, ServeError> {
        self.guard.url_once().map_err(ServeError::Random)
    }

    /// The address it listens on.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Path of the index.
    pub fn index(&self) -> &Path {
        self.app.index()
    }

    /// Number of indexed images.
    pub fn images(&self) -> usize {
        self.app.len()
    }

    /// Answers until `stop` is set, then waits a few seconds for running answers. Indexing ends
    /// after the batch that it is at; what it has written stays.
    ///
    /// # Errors
    /// If connections can no longer be accepted.
    pub fn run(self, stop: &AtomicBool) -> Result<(), ServeError> {
        let Self { listener, address, guard, app } = self;
        let connections = Semaphore::new(CONNECTIONS);
        let running = Arc::new(Running {
            guard,
            app,
            connections,
            peers: Peers::default(),
            closing: AtomicBool::new(false),
        });
        let accepted = {
            let running = running.clone();
            thread::spawn(move || accept(&listener, &running))
        };
        let reloading = {
            let running = running.clone();
            // Not joined at the end: a large index takes a while to read.
            thread::spawn(move || {
                while !running.closing.load(Ordering::Relaxed) {
                    running.app.reload_if_changed();
                    thread::sleep(TICK);
                }
            })
        };
        while !stop.load(Ordering::Relaxed) && !accepted.is_finished() {
            thread::sleep(TICK);
        }
        running.closing.store(true, Ordering::Relaxed);
        running.app.worker.close();
        // Wakes the accepting thread, which then sees that the server stops.
        let own = match address.ip() {
            IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::from([127, 0, 0, 1]),
            IpAddr::V6(ip) if ip.is_unspecified() => std::net::Ipv6Addr::LOCALHOST.into(),
            ip => ip,
        };
        let woken = TcpStream::connect_timeout(&SocketAddr::new(own, address.port()), GRACE);
        let outcome = match (woken, accepted.is_finished()) {
            (Err(_), false) => Ok(()),
            _ => accepted.join().unwrap_or(Ok(())),
        };
        running.connections.wait_until_empty(Instant::now() + GRACE);
        running.app.worker.wait(Instant::now() + LAST_BATCH);
        drop(reloading);
        outcome.map_err(|source| ServeError::Listen { address, source })
    }
}

/// Gives each connection a thread, until the server stops or accepting fails.
fn accept(listener: &TcpListener, running: &Arc<Running>) -> io::Result<()> {
    let mut failures = 0;
    while !running.closing.load(Ordering::Relaxed) {
        let (stream, peer) = match listener.accept() {
            Ok(accepted) => accepted,
            // A client that disconnected, or a momentary lack of file descriptors.
            Err(_) if failures < 100 => {
                failures += 1;
                thread::sleep(TICK);
                continue;
            }
            Err(error) => return Err(error),
        };
        failures = 0;
        // A client that keeps many idle connections must not lock the others out.
        let Some(place) = running.peers.place(peer.ip()) else { continue };
        // At the limit the next connection waits, but not past the end of the server.
        let permit = loop {
            match running.connections.enter(Instant::now() + TICK) {
                Some(permit) => break permit,
                None if running.closing.load(Ordering::Relaxed) => return Ok(()),
                None => {}
            }
        };
        let shared = running.clone();
        let talk = move || {
            let _held = (permit, place);
            let mut connection = Connection::new(stream, &shared.closing);
            converse(&mut connection, &shared);
        };
        // If no thread can be started, the connection is closed.
        drop(thread::Builder::new().name("page".to_owned()).spawn(talk));
    }
    Ok(())
}

/// Reads one request and answers it.
fn converse(connection: &mut Connection<'_>, running: &Running) {
    let (request, response) = match connection.request() {
        // The client closed without a request.
        Ok(None) => return,
        Ok(Some(request)) => {
            // A panic must cost one answer, not the server.
            let answer = || answer(&request, connection, running);
            let response = catch_unwind(AssertUnwindSafe(answer))
                .unwrap_or_else(|_| Problem::internal("the server failed on this request").into());
            (Some(request), response)
        }
        Err(problem) => (None, problem.into()),
    };
    let head = request.is_some_and(|request| request.method == "HEAD");
    connection.answer(&response, &guard::HEADERS, head);
}

fn answer(request: &Request, connection: &mut Connection<'_>, running: &Running) -> Response {
    match running.guard.check(request) {
        Ok(None) => running.app.answer(request, connection).unwrap_or_else(Response::from),
        Ok(Some(elsewhere)) => elsewhere,
        Err(problem) => problem.into(),
    }
}
