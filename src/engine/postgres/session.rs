/*!
A connection that reconnects when it breaks, and explanations of server errors.
*/

use std::error::Error as _;
use std::thread::sleep;
use std::time::Duration;

use postgres::error::SqlState;
use postgres::{Client, Error};

use super::address::{Address, Refused};
use super::sql;
use crate::cause::told;
use crate::engine::{EngineError, Remedy};

/// Number of attempts after transient errors.
const TRIES: u32 = 5;
/// Pause before the second attempt; it doubles with each further one.
const PAUSE: Duration = Duration::from_millis(200);

/// A connection to a server.
pub struct Session {
    address: Address,
    timeout: Duration,
    client: Option<Client>,
    /// Name of the advisory lock that every connection takes.
    lock: Option<String>,
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Session({})", self.address)
    }
}

impl Session {
    /// Connects. Retries for some seconds if the server is starting, has too many connections or
    /// does not answer. `timeout` is the statement timeout; zero means none.
    ///
    /// # Errors
    /// [`EngineError::Server`].
    pub fn open(address: Address, timeout: Duration) -> Result<Self, EngineError> {
        let mut session = Self { address, timeout, client: None, lock: None };
        session.run(|_| Ok(()))?;
        Ok(session)
    }

    /// The server's address.
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// Takes the advisory lock `name` for the lifetime of this session, and returns whether it was
    /// free. The server ties the lock to a connection, so each new connection takes it again.
    ///
    /// # Errors
    /// [`EngineError::Server`].
    pub(super) fn lock(&mut self, name: &str) -> Result<bool, EngineError> {
        let free = self.run(|client| take_lock(client, name))?;
        self.lock = free.then(|| name.to_owned());
        Ok(free)
    }

    /// Runs idempotent work. After a transient error, retries on a new connection with increasing
    /// pauses.
    ///
    /// # Errors
    /// [`EngineError::Server`].
    pub(super) fn run<T>(
        &mut self,
        mut work: impl FnMut(&mut Client) -> Result<T, Error>,
    ) -> Result<T, EngineError> {
        let mut pause = PAUSE;
        for left in (0..TRIES).rev() {
            let done = self.client().and_then(|client| work(client).map_err(Refused::Postgres));
            let (error, passes) = match done {
                Ok(done) => return Ok(done),
                Err(Refused::Postgres(error)) => {
                    let passes = may_pass(&error);
                    (self.failed(error), passes)
                }
                Err(Refused::Certificates(error)) => return Err(error),
                // The server may not have noticed yet that our previous connection broke.
                Err(Refused::Locked) => (self.broken(LOCKED), true),
            };
            if left == 0 || !passes {
                return Err(error);
            }
            self.client = None;
            sleep(pause);
            pause *= 2;
        }
        // Unreachable: `TRIES` is at least 1.
        Err(self.broken("no attempt was made"))
    }

    /// Runs work that must not be repeated.
    ///
    /// # Errors
    /// [`EngineError::Server`].
    pub(super) fn once<T>(
        &mut self,
        work: impl FnOnce(&mut Client) -> Result<T, Error>,
    ) -> Result<T, EngineError> {
        self.run(|_| Ok(()))?;
        let Some(client) = &mut self.client else {
            return Err(self.broken("the connection is closed"));
        };
        let done = work(client);
        done.map_err(|error| self.failed(error))
    }

    /// Runs work that needs the current connection, such as an open transaction.
    ///
    /// # Errors
    /// [`EngineError::Server`], also if that connection is closed.
    pub(super) fn kept<T>(
        &mut self,
        work: impl FnOnce(&mut Client) -> Result<T, Error>,
    ) -> Result<T, EngineError> {
        let Some(client) = self.client.as_mut().filter(|client| !client.is_closed()) else {
            return Err(self.broken(
                "the connection broke before everything was read; run the same command again",
            ));
        };
        let done = work(client);
        done.map_err(|error| self.failed(error))
    }

    fn client(&mut self) -> Result<&mut Client, Refused> {
        let client = match self.client.take().filter(|client| !client.is_closed()) {
            Some(client) => client,
            None => {
                let mut client = self.address.connect()?;
                let limit = sql::time_limit(self.timeout.as_millis());
                client.batch_execute(&limit).map_err(Refused::Postgres)?;
                if let Some(name) = &self.lock
                    && !take_lock(&mut client, name).map_err(Refused::Postgres)?
                {
                    return Err(Refused::Locked);
                }
                client
            }
        };
        Ok(self.client.insert(client))
    }

    fn broken(&self, reason: &str) -> EngineError {
        EngineError::Server { server: self.address.to_string(), reason: reason.into() }
    }

    fn failed(&self, error: Error) -> EngineError {
        let server = self.address.to_string();
        let Meaning { reason, advice } = meaning(&error);
        let cause = |text| told(text, error);
        match advice {
            Advice::None => EngineError::Server { server, reason: cause(reason) },
            Advice::Text(text) => {
                EngineError::Server { server, reason: cause(format!("{reason}; {text}")) }
            }
            Advice::Remedy(remedy) => {
                EngineError::Refused { server, reason: cause(reason), remedy }
            }
        }
    }
}

/// Error if another program took the lock after the connection broke.
const LOCKED: &str = "the connection broke, and another program now loads the collection; wait until it finishes, then run the same command again";

/// Takes a lock that lasts as long as the connection, and returns whether it was free.
fn take_lock(client: &mut Client, name: &str) -> Result<bool, Error> {
    client.query_one(sql::LOCK, &[&name])?.try_get(0)
}

/// Returns whether an error is transient.
fn may_pass(error: &Error) -> bool {
    let Some(code) = error.code() else {
        // The error is not from the server. Connection errors are transient, certificate and
        // password errors are not.
        return error.is_closed() || io_error(error).is_some_and(|io| passes(io.kind()));
    };
    let class = &code.code()[..2.min(code.code().len())];
    class == "08"
        || class == "HV" && *code == SqlState::FDW_UNABLE_TO_ESTABLISH_CONNECTION
        || [
            SqlState::ADMIN_SHUTDOWN,
            SqlState::CRASH_SHUTDOWN,
            SqlState::CANNOT_CONNECT_NOW,
            SqlState::TOO_MANY_CONNECTIONS,
            SqlState::T_R_SERIALIZATION_FAILURE,
            SqlState::T_R_DEADLOCK_DETECTED,
        ]
        .contains(code)
}

fn passes(kind: std::io::ErrorKind) -> bool {
    use std::io::ErrorKind as Kind;
    matches!(
        kind,
        Kind::ConnectionRefused
            | Kind::ConnectionReset
            | Kind::ConnectionAborted
            | Kind::BrokenPipe
            | Kind::UnexpectedEof
            | Kind::TimedOut
            // The server has not created its Unix socket yet.
            | Kind::NotFound
    )
}

fn io_error(error: &Error) -> Option<&std::io::Error> {
    let mut source = error.source();
    while let Some(error) = source {
        if let Some(io) = error.downcast_ref() {
            return Some(io);
        }
        source = error.source();
    }
    None
}

/// The explanation of an error.
struct Meaning {
    reason: String,
    advice: Advice,
}

/// The advice of a [`Meaning`].
enum Advice {
    None,
    Text(&'static str),
    Remedy(Remedy),
}

/// Describes an error and its remedy, without the statement or its values.
fn meaning(error: &Error) -> Meaning {
    let Some(said) = error.as_db_error() else {
        let mut text = error.to_string();
        let mut source = error.source();
        while let Some(error) = source {
            text = format!("{text}: {error}");
            source = error.source();
        }
        let advice = match io_error(error).map(std::io::Error::kind) {
            _ if text.contains("certificate") || text.contains("TLS") => {
                Advice::Remedy(Remedy::Encryption)
            }
            _ if text.contains("password missing") => Advice::Remedy(Remedy::Password),
            Some(_) => Advice::Text("check its host and port, and that the server is running"),
            None => Advice::Text("check the address, and that the server is running"),
        };
        return Meaning { reason: text, advice };
    };
    let mut text = said.message().to_owned();
    for more in [said.detail(), said.hint()].into_iter().flatten() {
        text = format!("{text} ({})", more.trim_end_matches('.'));
    }
    // Messages may span several lines.
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let code = said.code();
    let advice = if code.code().starts_with("HV") || code.code().starts_with("08") {
        Advice::Remedy(Remedy::Shards)
    } else if text.ends_with("no encryption") {
        Advice::Text("the server requires encryption: add ?sslmode=require to the address")
    } else if *code == SqlState::INVALID_PASSWORD
        || *code == SqlState::INVALID_AUTHORIZATION_SPECIFICATION
    {
        Advice::Remedy(Remedy::Credentials)
    } else if *code == SqlState::INSUFFICIENT_PRIVILEGE {
        Advice::Remedy(Remedy::Privilege)
    } else if *code == SqlState::QUERY_CANCELED {
        Advice::Remedy(Remedy::Time)
    } else if *code == SqlState::UNDEFINED_FILE || text.contains("extension \"vector\"") {
        Advice::Text("install pgvector on the server")
    } else if *code == SqlState::UNDEFINED_TABLE {
        Advice::Remedy(Remedy::Export)
    } else if *code == SqlState::DISK_FULL {
        Advice::Text("free disk space on the server; images loaded so far are kept")
    } else {
        Advice::None
    };
    Meaning { reason: text, advice }
}
