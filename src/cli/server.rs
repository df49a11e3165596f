/*!
What the commands that speak with a server share, and `barbule search --engine`.
*/

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use clap::ValueHint;

use super::Context;
use super::query::{Collection, Stored};
use super::search::{Args, Seconds};
use crate::engine::postgres::{Address, Connecting, Remote, Table};
use crate::model::Model;

/// How a server is reached.
#[derive(Debug, Clone, clap::Args)]
pub struct ServerArgs {
    /// The collection's name on a server, which its tables begin with
    #[arg(long, default_value = "barbule", value_name = "NAME", help_heading = "Server")]
    pub table: Table,
    /// A file whose first line is the password [default: PGPASSWORD, or the file of passwords of
    /// PostgreSQL's own programs]
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, help_heading = "Server")]
    password_file: Option<PathBuf>,
    /// Certificates (PEM) that the server's is checked against [default: the system's]
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, help_heading = "Server")]
    ca: Option<PathBuf>,
}

impl ServerArgs {
    /// The same for the library.
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
    server: ServerArgs,
    /// Search by the server's HNSW index, which is quicker and misses some; it is built when it is
    /// not there. How much it finds is measured and said
    // That it needs --engine is not looked at where --index rules that out.
    #[arg(long, requires = "engine", conflicts_with_all = ["together", "index"], help_heading = "Server")]
    approximate: bool,
    /// Show what is said to the server and its plan, instead of what is found
    #[arg(long, requires = "engine", conflicts_with = "index", help_heading = "Server")]
    explain_sql: bool,
    /// How long the server may work on one search, in seconds
    #[arg(
        long,
        default_value_t = 60,
        value_name = "SECONDS",
        requires = "engine",
        conflicts_with = "index",
        help_heading = "Server"
    )]
    timeout: u64,
}

impl Collection for Remote {
    fn bits(&self) -> usize {
        self.head().bits
    }

    fn fingerprint(&self) -> &str {
        &self.head().model
    }

    fn model_file(&self) -> Result<Option<PathBuf>> {
        Ok(self.model_file())
    }

    fn check_model(&self, model: &Model) -> Result<()> {
        let head = self.head();
        if (head.bits, head.model.as_str()) != (model.bits(), model.fingerprint()) {
            bail!(
                "{} was made with another model ({} bits, {}, not {} bits, {}); name that model with --model (leave it out for the built-in one), or another --table",
                self.place(),
                head.bits,
                short(&head.model),
                model.bits(),
                short(model.fingerprint())
            );
        }
        Ok(())
    }

    fn stored(&self, content: &blake3::Hash, _: bool) -> Result<Option<Stored>> {
        Ok(self.code_of(content)?.map(|code| (code, None)))
    }

    fn content_at(&self, path: &str) -> Result<Option<blake3::Hash>> {
        Ok(self.at_path(path)?)
    }
}

/// The beginning of a fingerprint.
fn short(fingerprint: &str) -> String {
    fingerprint.chars().take(8).collect()
}

/// Runs `barbule search --engine`.
pub fn search(context: &Context, args: &Args, address: &str) -> Result<ExitCode> {
    let SearchArgs { server, approximate, explain_sql, timeout, .. } = &args.elsewhere;
    let begun = Instant::now();
    let connecting = server.connecting(Duration::from_secs(*timeout));
    let address = Address::parse(address, &connecting)?;
    let mut remote = Remote::open(address, server.table.clone(), &connecting)?;
    if *approximate {
        use_approximate(context, &mut remote)?;
    }
    let opened = begun.elapsed();
    let asked = args.asked(context, &context.device()?, &remote)?;
    let encoded = begun.elapsed();
    if *explain_sql {
        args.answers(&asked, &remote.place(), |query| {
            let explained = remote.explain(query)?;
            context.print(format_args!("{};\n\n{}\n", explained.sql, explained.plan))?;
            Ok(Vec::new())
        })?;
        return Ok(ExitCode::SUCCESS);
    }
    if remote.head().images == 0 {
        context.warn(format_args!("{} holds no images", remote.place()));
    }
    let place = remote.place();
    let mut answers = args.answers(&asked, &place, |query| Ok(remote.find(query)?))?;
    let ranked = begun.elapsed();
    let seconds = Seconds {
        opening: opened.as_secs_f64(),
        encoding: (encoded - opened).as_secs_f64(),
        ranking: (ranked - encoded).as_secs_f64(),
    };
    args.report(context, &mut answers, seconds)?;
    Ok(ExitCode::SUCCESS)
}

/// Turns to approximate searches, and says how much they find.
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
