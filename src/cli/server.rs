/*!
The server arguments of the commands that use one.
*/

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Result;
use clap::ValueHint;

use super::Context;
use crate::engine::postgres::{Connecting, Remote, Table};

/// The connection to a server.
#[derive(Debug, Clone, clap::Args)]
pub struct ServerArgs {
    /// Name of the collection on the server, the prefix of its tables
    #[arg(long, default_value = "barbule", value_name = "NAME", help_heading = "Server")]
    pub table: Table,
    /// A file whose first line is the password [default: PGPASSWORD, or PostgreSQL's password
    /// file]
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, help_heading = "Server")]
    password_file: Option<PathBuf>,
    /// Trusted certificates (PEM) [default: the system's]
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, help_heading = "Server")]
    ca: Option<PathBuf>,
}

impl ServerArgs {
    /// Converts the arguments for the library.
    pub fn connecting(&self, timeout: Duration) -> Connecting {
        Connecting { password_file: self.password_file.clone(), ca: self.ca.clone(), timeout }
    }
}

/// Searching on a server.
#[derive(Debug, clap::Args)]
pub struct SearchArgs {
    /// Search a collection on a PostgreSQL server instead of an index:
    /// postgres://USER@HOST:PORT/DATABASE (`barbule export` loads it)
    #[arg(long, value_name = "URL", conflicts_with_all = ["index", "rerank"], help_heading = "Server")]
    pub engine: Option<String>,
    #[command(flatten)]
    pub server: ServerArgs,
    /// Use the server's HNSW index (built if missing): faster, but misses some images. Its recall
    /// is measured and printed
    // clap does not check `requires` if --index excludes --engine, hence the conflict with it.
    #[arg(long, requires = "engine", conflicts_with_all = ["together", "index"], help_heading = "Server")]
    pub approximate: bool,
    /// Show the SQL and the server's plan instead of hits
    #[arg(long, requires = "engine", conflicts_with = "index", help_heading = "Server")]
    pub explain_sql: bool,
    /// Time limit of one search on the server, in seconds
    #[arg(
        long,
        default_value_t = 60,
        value_name = "SECONDS",
        requires = "engine",
        conflicts_with = "index",
        help_heading = "Server"
    )]
    pub timeout: u64,
}

/// Switches to approximate searches and reports their recall.
pub fn use_approximate(context: &Context, remote: &mut Remote) -> Result<()> {
    if !remote.has_approximate()? {
        context.say(format_args!(
            "{} has no index for approximate searches yet; building it",
            remote.place()
        ));
    }
    remote.approximate()?;
    let recall = remote.recall()?;
    context.say(format_args!(
        "approximate: finds {:.1} % of the {} nearest ({} stored codes tried)",
        100.0 * recall.share,
        recall.nearest,
        recall.codes
    ));
    Ok(())
}
