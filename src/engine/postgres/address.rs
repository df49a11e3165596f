/*!
Address, password and encryption of a server connection.

The password comes from the address, `PGPASSWORD`, a given file, or PostgreSQL's password file
(`.pgpass`); it is never printed. Unless the address specifies `sslmode`, connections to other
machines are encrypted and the server's certificate is verified.
*/

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use postgres::config::{Host, SslMode};
use postgres::{Client, Config, NoTls};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::super::{EngineError, Remedy};
use crate::cause::{Cause, told};
use crate::file;

/// Connection timeout, unless the address specifies one.
const PATIENCE: Duration = Duration::from_secs(10);

/// Connection settings that are not part of an address.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Connecting {
    /// A file whose first line is the password.
    pub password_file: Option<PathBuf>,
    /// PEM file of certificate authorities for the server's certificate, instead of the system's.
    pub ca: Option<PathBuf>,
    /// Statement timeout of a search.
    pub timeout: Duration,
}

impl Default for Connecting {
    fn default() -> Self {
        Self { password_file: None, ca: None, timeout: Duration::from_secs(60) }
    }
}

/// A server and a database on it.
#[derive(Clone)]
pub struct Address {
    config: Config,
    /// Whether the address specifies `sslmode`.
    said: bool,
    ca: Option<PathBuf>,
}

/// Encryption of the coordinator's connections to a shard, as libpq options.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Encryption {
    /// `sslmode`.
    pub mode: &'static str,
    /// `sslrootcert`: the authorities for the shard's certificate.
    pub root: Option<String>,
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (host, port, database) = self.place();
        write!(f, "{host}:{port}/{database}")
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Without the configuration, which may contain a password.
        write!(f, "Address({self})")
    }
}

impl Address {
    /// Returns whether a text is the address of a server, by its scheme.
    pub fn is_one(text: &str) -> bool {
        text.starts_with("postgres://") || text.starts_with("postgresql://")
    }

    /// Parses `postgres://USER@HOST:PORT/DATABASE?sslmode=…`.
    ///
    /// # Errors
    /// If it is not of this form, or a file with a password or certificates cannot be read.
    pub fn parse(text: &str, connecting: &Connecting) -> Result<Self, EngineError> {
        let unfit = |reason: String| EngineError::Server {
            server: "the server's address".to_owned(),
            reason: format!("{reason}; write it as postgres://USER@HOST:PORT/DATABASE").into(),
        };
        // The parser's error message could contain a part of the password.
        let parsed = if Self::is_one(text) { text.parse::<Config>().ok() } else { None };
        let mut config = parsed.ok_or_else(|| unfit("it cannot be parsed".to_owned()))?;
        if config.get_hosts().is_empty() && config.get_hostaddrs().is_empty() {
            return Err(unfit("it names no host".to_owned()));
        }
        if config.get_connect_timeout().is_none() {
            config.connect_timeout(PATIENCE);
        }
        config.application_name("barbule");
        let said = says_mode(text);
        if !said {
            config.ssl_mode(fitting(&config));
        }
        let ca = connecting.ca.clone().or_else(|| variable("PGSSLROOTCERT"));
        let address = Self { config, said, ca };
        let password = match (address.config.get_password(), &connecting.password_file) {
            (_, Some(path)) => Some(first_line(path)?),
            (Some(_), None) => None,
            (None, None) => match std::env::var("PGPASSWORD") {
                Ok(password) if !password.is_empty() => Some(password),
                _ => address.stored_password(),
            },
        };
        let mut address = address;
        if let Some(password) = password {
            address.config.password(password);
        }
        Ok(address)
    }

    /// Returns the address of another server with the same user and password. `mode` is that
    /// server's `sslmode`, if known; otherwise a `sslmode` in this address applies. A default that
    /// was derived from this server's host does not, because the other server may be on another
    /// machine.
    pub(super) fn at(&self, host: &str, port: u16, database: &str, mode: Option<&str>) -> Self {
        let mut config = Config::new();
        config.dbname(database).port(port).application_name("barbule");
        config.host(host).connect_timeout(PATIENCE);
        if let Some(user) = self.config.get_user() {
            config.user(user);
        }
        if let Some(password) = self.config.get_password() {
            config.password(password);
        }
        let said = self.said.then(|| self.config.get_ssl_mode());
        let mode = match mode {
            Some("disable") => Some(SslMode::Disable),
            Some("allow" | "prefer") => Some(SslMode::Prefer),
            Some(_) => Some(SslMode::Require),
            None => said,
        };
        config.ssl_mode(mode.unwrap_or_else(|| fitting(&config)));
        Self { config, said: mode.is_some(), ca: self.ca.clone() }
    }

    /// Returns the settings with which another server connects to this one as securely as we do.
    pub(super) fn encryption(&self) -> Encryption {
        let mode = match self.config.get_ssl_mode() {
            SslMode::Disable => "disable",
            SslMode::Prefer => "prefer",
            // `Require` verifies the certificate and the host name here. Any other mode is at least
            // as strict.
            _ => "verify-full",
        };
        let root = (mode == "verify-full").then(|| match &self.ca {
            Some(path) => std::path::absolute(path).unwrap_or(path.clone()).display().to_string(),
            None => "system".to_owned(),
        });
        Encryption { mode, root }
    }

    /// Returns host, port and database.
    pub(super) fn place(&self) -> (String, u16, String) {
        let host = match (self.config.get_hosts().first(), self.config.get_hostaddrs().first()) {
            (Some(Host::Tcp(host)), _) => host.clone(),
            #[cfg(unix)]
            (Some(Host::Unix(path)), _) => path.display().to_string(),
            (None, Some(address)) => address.to_string(),
            (None, None) => String::new(),
        };
        let port = self.config.get_ports().first().copied().unwrap_or(5432);
        let database = self.config.get_dbname().or(self.config.get_user()).unwrap_or_default();
        (host, port, database.to_owned())
    }

    /// Returns user and password, if known.
    pub(super) fn credentials(&self) -> (Option<String>, Option<String>) {
        let password = self.config.get_password();
        let password = password.map(|bytes| String::from_utf8_lossy(bytes).into_owned());
        (self.config.get_user().map(str::to_owned), password)
    }

    /// Connects, without retries.
    pub(super) fn connect(&self) -> Result<Client, Refused> {
        if self.config.get_ssl_mode() == SslMode::Disable {
            return self.config.connect(NoTls).map_err(Refused::Postgres);
        }
        let encrypted = encryption(self.ca.as_deref()).map_err(Refused::Certificates)?;
        self.config.connect(encrypted).map_err(Refused::Postgres)
    }

    /// Returns the password that PostgreSQL's own programs use: from `PGPASSFILE`, or `.pgpass`
    /// in the home folder.
    fn stored_password(&self) -> Option<String> {
        let home = std::env::home_dir().map(|home| home.join(".pgpass"));
        let text = std::fs::read_to_string(variable("PGPASSFILE").or(home)?).ok()?;
        let (host, port, database) = self.place();
        let user = self.config.get_user().unwrap_or_default();
        let wanted = [&host, &port.to_string(), &database, user];
        text.lines().find_map(|line| {
            let fields = fields(line);
            let fits = fields.len() == 5
                && wanted
                    .iter()
                    .zip(&fields)
                    .all(|(wanted, field)| field == "*" || field == wanted);
            fits.then(|| fields[4].clone())
        })
    }
}

/// Reason why a connection failed.
pub(super) enum Refused {
    Postgres(postgres::Error),
    /// The certificate authorities are unusable.
    Certificates(EngineError),
    /// Another program took the lock that the previous connection held.
    Locked,
}

/// Returns whether an address has a parameter `sslmode`; its password does not count.
fn says_mode(text: &str) -> bool {
    let place = text.split_once('@').map_or(text, |(_, place)| place);
    let parameters = place.split_once('?').map_or("", |(_, parameters)| parameters);
    parameters.split('&').any(|parameter| parameter.starts_with("sslmode="))
}

/// Returns the default encryption: required, except on this machine.
fn fitting(config: &Config) -> SslMode {
    if is_local(config) { SslMode::Disable } else { SslMode::Require }
}

/// Returns whether a connection stays on this machine.
fn is_local(config: &Config) -> bool {
    let local = |host: &Host| match host {
        Host::Tcp(host) => matches!(host.as_str(), "localhost" | "127.0.0.1" | "::1"),
        #[cfg(unix)]
        Host::Unix(_) => true,
    };
    config.get_hosts().iter().all(local)
        && config.get_hostaddrs().iter().all(std::net::IpAddr::is_loopback)
}

fn encryption(ca: Option<&Path>) -> Result<MakeRustlsConnect, EngineError> {
    let failed = |reason: Cause| EngineError::Refused {
        server: "encryption".to_owned(),
        reason,
        remedy: Remedy::Authority,
    };
    let Some(path) = ca else {
        let (connect, _) = MakeRustlsConnect::with_native_certs().map_err(|errors| {
            let text = "this system has no certificates to verify a server with";
            let first = errors.into_iter().next();
            failed(first.map_or_else(|| text.into(), |first| told(text, first)))
        })?;
        return Ok(connect);
    };
    let certificates = CertificateDer::pem_file_iter(path).map_err(EngineError::read(path))?;
    let mut roots = RootCertStore::empty();
    for certificate in certificates {
        let certificate = certificate.map_err(EngineError::read(path))?;
        roots.add(certificate).map_err(EngineError::read(path))?;
    }
    if roots.is_empty() {
        return Err(failed(format!("{} contains no certificate", path.display()).into()));
    }
    let config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    Ok(MakeRustlsConnect::new(config))
}

fn variable(name: &str) -> Option<PathBuf> {
    std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from)
}

fn first_line(path: &Path) -> Result<String, EngineError> {
    let bytes = file::read_whole(path, 1 << 16).map_err(EngineError::read(path))?;
    let text = String::from_utf8(bytes).map_err(EngineError::read(path))?;
    Ok(text.lines().next().unwrap_or_default().to_owned())
}

/// Splits a line of a password file at colons, except `\:`.
fn fields(line: &str) -> Vec<String> {
    let mut fields = vec![String::new()];
    let mut letters = line.chars();
    while let Some(letter) = letters.next() {
        let last = fields.len() - 1;
        match letter {
            ':' if fields.len() < 5 => fields.push(String::new()),
            '\\' => fields[last].extend(letters.next()),
            letter => fields[last].push(letter),
        }
    }
    fields
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_never_shows_its_password() {
        let address =
            Address::parse("postgres://anna:s3cret@db.example:6000/photos", &Connecting::default())
                .unwrap();
        assert_eq!(address.to_string(), "db.example:6000/photos");
        assert!(!format!("{address:?}").contains("s3cret"));
        assert_eq!(address.credentials().1.as_deref(), Some("s3cret"));
        let wrong = Address::parse("postgres://a:s3cret@h:port/x", &Connecting::default());
        assert!(!wrong.unwrap_err().to_string().contains("s3cret"));
    }

    #[test]
    fn what_leaves_the_machine_is_encrypted() {
        let mode = |text: &str| {
            Address::parse(text, &Connecting::default()).unwrap().config.get_ssl_mode()
        };
        assert_eq!(mode("postgres://a@localhost/x"), SslMode::Disable);
        assert_eq!(mode("postgres://a@db.example/x"), SslMode::Require);
        assert_eq!(mode("postgres://a@db.example/x?sslmode=disable"), SslMode::Disable);
        assert!(Address::parse("mysql://h/x", &Connecting::default()).is_err());
        assert!(Address::parse("postgres:///x", &Connecting::default()).is_err());
    }

    #[test]
    fn a_shard_elsewhere_is_encrypted_though_the_coordinator_is_here() {
        let parse = |text: &str| Address::parse(text, &Connecting::default()).unwrap();
        let here = parse("postgres://a:sslmode=disable@localhost/x");
        let mode = |address: &Address, host: &str, known: Option<&str>| {
            address.at(host, 5432, "x", known).config.get_ssl_mode()
        };
        assert_eq!(mode(&here, "shard.example", None), SslMode::Require);
        assert_eq!(mode(&here, "localhost", None), SslMode::Disable);
        // The mode registered on the coordinator takes precedence.
        assert_eq!(mode(&here, "shard.example", Some("disable")), SslMode::Disable);
        assert_eq!(mode(&here, "shard.example", Some("prefer")), SslMode::Prefer);
        assert_eq!(mode(&here, "localhost", Some("verify-full")), SslMode::Require);
        let said = parse("postgres://a@localhost/x?connect_timeout=3&sslmode=disable");
        assert_eq!(mode(&said, "shard.example", None), SslMode::Disable);
        let there = parse("postgres://a@db.example/x");
        assert_eq!(mode(&there, "shard.example", None), SslMode::Require);
    }

    #[test]
    fn the_coordinator_reaches_shards_as_safely_as_we_do() {
        let encryption = |text: &str, ca: Option<&str>| {
            let connecting = Connecting { ca: ca.map(PathBuf::from), ..Connecting::default() };
            Address::parse(text, &connecting).unwrap().encryption()
        };
        let plain = Encryption { mode: "disable", root: None };
        assert_eq!(encryption("postgres://a@127.0.0.1/x", None), plain);
        assert_eq!(encryption("postgres://a@shard.example/x?sslmode=disable", None), plain);
        let system = Encryption { mode: "verify-full", root: Some("system".to_owned()) };
        if std::env::var_os("PGSSLROOTCERT").is_none() {
            assert_eq!(encryption("postgres://a@shard.example/x", None), system);
        }
        let own = encryption("postgres://a@shard.example/x", Some("/etc/ours.pem"));
        assert_eq!(own.root.as_deref(), Some("/etc/ours.pem"));
    }

    #[test]
    fn passwords_are_found_in_files() {
        assert_eq!(fields(r"a\:b:5432:*:me:p:w\\x"), ["a:b", "5432", "*", "me", r"p:w\x"]);
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("password");
        std::fs::write(&path, "pass word\nmore").unwrap();
        let connecting = Connecting { password_file: Some(path), ..Connecting::default() };
        let address = Address::parse("postgres://me@localhost/x", &connecting).unwrap();
        assert_eq!(address.credentials().1.as_deref(), Some("pass word"));
    }
}
