/*!
A connection that is made again when it breaks, and what a server's error means.
*/

use std::error::Error as _;
use std::thread::sleep;
use std::time::Duration;

use postgres::error::SqlState;
use postgres::{Client, Error};

use super::address::{Address, Refused};
use crate::engine::EngineError;

/// How often something is tried that may succeed the next time.
const TRIES: u32 = 5;
/// How long is waited before the second try; each time twice as long.
const PAUSE: Duration = Duration::from_millis(200);

/// A connection to a server.
pub struct Session {
    address: Address,
    timeout: Duration,
    client: Option<Client>,
    /// What is locked on every connection.
    lock: Option<String>,
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Session({})", self.address)
    }
}

impl Session {
    /// Connects. A server that starts, has too many connections or does not answer is tried
    /// again for some seconds. `timeout` is how long it may work on one statement; zero is for
    /// ever.
    ///
    /// # Errors
    /// [`EngineError::Server`].
    pub fn open(address: Address, timeout: Duration) -> Result<Self, EngineError> {
        let mut session = Self { address, timeout, client: None, lock: None };
        session.run(|_| Ok(()))?;
        Ok(session)
    }

    /// Where it leads.
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// Keeps all others from what is called so, as long as this value lasts: the lock goes with a
    /// connection, so it is taken again on each new one. Gives whether it was free.
    ///
    /// # Errors
    /// [`EngineError::Server`].
    pub(super) fn lock(&mut self, name: &str) -> Result<bool, EngineError> {
        let free = self.run(|client| take_lock(client, name))?;
        self.lock = free.then(|| name.to_owned());
        Ok(free)
    }

    /// Does what may be done twice. After an error that may pass it is done again on a new
    /// connection, a few times, each time after a longer pause.
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
                Err(Refused::Postgres(error)) => (self.failed(&error), may_pass(&error)),
                Err(Refused::Certificates(error)) => return Err(error),
                // Our own connection, which is broken, may hold it a moment longer.
                Err(Refused::Locked) => (self.broken(LOCKED), true),
            };
            if left == 0 || !passes {
                return Err(error);
            }
            self.client = None;
            sleep(pause);
            pause *= 2;
        }
        // TRIES is at least one, so the loop has returned.
        Err(self.broken("it was never tried"))
    }

    /// Does what must not be done twice.
    ///
    /// # Errors
    /// [`EngineError::Server`].
    pub(super) fn once<T>(
        &mut self,
        work: impl FnOnce(&mut Client) -> Result<T, Error>,
    ) -> Result<T, EngineError> {
        self.run(|_| Ok(()))?;
        let Some(client) = &mut self.client else { return Err(self.broken("it is gone")) };
        let done = work(client);
        done.map_err(|error| self.failed(&error))
    }

    /// Does what has a meaning on the connection that is open only, as within a transaction.
    ///
    /// # Errors
    /// [`EngineError::Server`], also when that connection is gone.
    pub(super) fn kept<T>(
        &mut self,
        work: impl FnOnce(&mut Client) -> Result<T, Error>,
    ) -> Result<T, EngineError> {
        let Some(client) = self.client.as_mut().filter(|client| !client.is_closed()) else {
            return Err(self.broken("the connection broke before all was read; run it again"));
        };
        let done = work(client);
        done.map_err(|error| self.failed(&error))
    }

    fn client(&mut self) -> Result<&mut Client, Refused> {
        let client = match self.client.take().filter(|client| !client.is_closed()) {
            Some(client) => client,
            None => {
                let mut client = self.address.connect()?;
                let limit = format!("SET statement_timeout = {}", self.timeout.as_millis());
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
        EngineError::Server { server: self.address.to_string(), reason: reason.to_owned() }
    }

    fn failed(&self, error: &Error) -> EngineError {
        self.broken(&meaning(error))
    }
}

/// What is said when a lock is lost with a connection, and somebody else has it.
const LOCKED: &str = "the connection broke, and another program loads the collection now; wait until it is done, then run the same command again";

/// Takes a lock that lasts as long as the connection; whether it was free.
fn take_lock(client: &mut Client, name: &str) -> Result<bool, Error> {
    let sql = "SELECT pg_try_advisory_lock(hashtextextended($1::text, 0))";
    client.query_one(sql, &[&name])?.try_get(0)
}

/// Whether the same may succeed a moment later.
fn may_pass(error: &Error) -> bool {
    let Some(code) = error.code() else {
        // Not the server's word: the connection broke, or there was none. Certificates and
        // passwords do not get better.
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
            // A socket in the file system whose server has not made it yet.
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

/// What went wrong and what to do, without the statement or anything in it.
fn meaning(error: &Error) -> String {
    let Some(said) = error.as_db_error() else {
        let mut text = error.to_string();
        let mut source = error.source();
        while let Some(error) = source {
            text = format!("{text}: {error}");
            source = error.source();
        }
        let advice = match io_error(error).map(std::io::Error::kind) {
            _ if text.contains("certificate") || text.contains("TLS") => {
                "name the server's certificate authority with --ca, or, where the network is trusted, add ?sslmode=disable to the address"
            }
            _ if text.contains("password missing") => {
                "set PGPASSWORD, or name a file with --password-file"
            }
            Some(_) => "check that the server runs, and its host and port",
            None => "check the address, and that the server runs",
        };
        return format!("{text}; {advice}");
    };
    let mut text = said.message().to_owned();
    for more in [said.detail(), said.hint()].into_iter().flatten() {
        text = format!("{text} ({})", more.trim_end_matches('.'));
    }
    // Libraries below write several lines.
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let code = said.code();
    let advice = if code.code().starts_with("HV") || code.code().starts_with("08") {
        "a shard does not answer, so nothing was found rather than a part; start it, or see `barbule export --help` for how shards are set up"
    } else if text.ends_with("no encryption") {
        "the server wants encryption: add ?sslmode=require to the address"
    } else if *code == SqlState::INVALID_PASSWORD
        || *code == SqlState::INVALID_AUTHORIZATION_SPECIFICATION
    {
        "check the user and the password: PGPASSWORD, or --password-file"
    } else if *code == SqlState::INSUFFICIENT_PRIVILEGE {
        "ask for the right, or have an administrator run what --explain-sql shows"
    } else if *code == SqlState::QUERY_CANCELED {
        "raise --timeout, or ask for less"
    } else if *code == SqlState::UNDEFINED_FILE || text.contains("extension \"vector\"") {
        "install pgvector on the server"
    } else if *code == SqlState::UNDEFINED_TABLE {
        "nothing was exported there under this name; run `barbule export --to` with the address first"
    } else if *code == SqlState::DISK_FULL {
        "make room on the server; what was loaded before is kept"
    } else {
        return text;
    };
    format!("{text}; {advice}")
}
