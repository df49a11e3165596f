/*!
`barbule export` and `barbule import`: exchange collections with files and database servers.
*/

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use clap::ValueHint;
use serde_json::json;

use super::Context;
use super::query::index_path;
use super::server::{ServerArgs, use_approximate};
use crate::engine::postgres::{Address, LoadOptions, Loader, Remote};
use crate::engine::{self, IndexSource, Sink, Source, faiss, numpy, parquet};
use crate::file;
use crate::index::{Index, LabelTable};
use crate::task::Task;

/// Export an index to a file, a folder or a PostgreSQL server
///
/// --to selects the format: FILE.csv (paths and labels of the labelled images, for spreadsheets and
/// `index --labels`), FILE.parquet (for DuckDB, ClickHouse, Spark), FILE.faiss (a faiss
/// IndexBinaryFlat, with paths and labels in sidecar files), a folder (NumPy arrays), or the URL of
/// a PostgreSQL server with pgvector. Ids, paths, labels and content hashes are exported too, so
/// that `barbule import` can rebuild the index.
///
/// A server identifies images by their content. An export inserts new images, updates those that
/// moved or have another label, and deletes those that are gone. Searches see the old state until
/// the export is complete. An interrupted export resumes where it stopped. --shard distributes the
/// images over several servers, which the server in --to queries through postgres_fdw. A server
/// with the Citus extension distributes the images itself (experimental).
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: barbule export --to codes.parquet\n         \
                  barbule export --to labels.csv\n         \
                  barbule export parts/ --to codes/\n         \
                  barbule export --to postgres://me@db.example/photos --approximate\n         \
                  barbule export --to postgres://me@db/photos --shard postgres://me@a/photos --shard postgres://me@b/photos")]
pub struct ExportArgs {
    /// Files from `barbule encode --out` or `export`, or folders of them, instead of an index
    #[arg(value_name = "PART", value_hint = ValueHint::AnyPath)]
    parts: Vec<PathBuf>,
    /// The destination: FILE.csv, FILE.parquet, FILE.faiss, a folder, or postgres://USER@HOST:PORT/DATABASE
    #[arg(long, value_name = "FILE|DIR|URL")]
    to: String,
    /// The index file [default: barbule.db in the platform's data folder]
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, conflicts_with = "parts")]
    index: Option<PathBuf>,
    #[command(flatten)]
    server: ServerArgs,
    /// URL of a server to distribute images over. Repeat the option for each server, and always
    /// name the same servers in the same order. The server in --to must be able to connect to them,
    /// and stores their passwords
    #[arg(long, value_name = "URL", help_heading = "Server")]
    shard: Vec<String>,
    /// Replace a collection made with another model or shard layout
    #[arg(long, help_heading = "Server")]
    replace: bool,
    /// Also build the HNSW index for `search --approximate`
    #[arg(long, help_heading = "Server")]
    approximate: bool,
    /// Print the SQL for each server without running it
    #[arg(long, help_heading = "Server")]
    explain_sql: bool,
}

/// Build an index from an export
///
/// Ids, paths and labels are kept, so searches return the same results. The next `barbule index`
/// checks all image files again.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: barbule import codes.parquet --index birds.db\n         \
                  barbule import parts/ --index all.db\n         \
                  barbule import postgres://me@db.example/photos --index photos.db")]
pub struct ImportArgs {
    /// The source: Parquet files (parts of one collection), FILE.faiss, a folder of NumPy arrays,
    /// or the URL of a server
    #[arg(required = true, value_name = "FROM", value_hint = ValueHint::AnyPath)]
    from: Vec<PathBuf>,
    /// The index file to create [default: barbule.db in the platform's data folder]
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    index: Option<PathBuf>,
    #[command(flatten)]
    server: ServerArgs,
}

pub fn run(context: &Context, args: &ExportArgs) -> Result<ExitCode> {
    let begun = Instant::now();
    if Path::new(&args.to).extension().is_some_and(|ending| ending == "csv") {
        return to_table(context, args, begun);
    }
    let index;
    let mut source: Box<dyn Source + '_> = if args.parts.is_empty() {
        index = Index::open(&index_path(args.index.as_deref())?)?;
        Box::new(IndexSource::new(&index)?)
    } else {
        engine::open(&args.parts)?
    };
    let server = Address::is_one(&args.to);
    let for_servers =
        !args.shard.is_empty() || args.replace || args.approximate || args.explain_sql;
    ensure!(
        server || !for_servers,
        "--shard, --replace, --approximate and --explain-sql are for servers; name one with --to postgres://…"
    );
    if server {
        return to_server(context, args, source.as_mut(), begun);
    }
    ensure!(
        !args.to.is_empty() && !args.to.contains("://"),
        "cannot export to '{}'; name FILE.csv, FILE.parquet, FILE.faiss, a folder (with a trailing slash), or postgres://…",
        args.to
    );
    let path = Path::new(&args.to);
    let sink: Box<dyn Sink> = match path.extension().and_then(|ending| ending.to_str()) {
        Some("parquet") => Box::new(parquet::Writer::create(path, source.head(), None)?),
        Some("faiss") => Box::new(faiss::Writer::create(path, source.head())?),
        Some(other) if !path.is_dir() && !args.to.ends_with(['/', '\\']) => bail!(
            "unknown file type .{other}; name FILE.csv, FILE.parquet, FILE.faiss, a folder (with a trailing slash), or postgres://…"
        ),
        _ => Box::new(numpy::Writer::create(path, source.head())?),
    };
    let images =
        context.with_progress("exporting", |task| engine::copy(source.as_mut(), sink, task))?;
    done(context, &args.to, images, source.head().bits, begun)
}

/// Writes the labels of an index as a table.
fn to_table(context: &Context, args: &ExportArgs, begun: Instant) -> Result<ExitCode> {
    ensure!(args.parts.is_empty(), "labels are those of an index; name it with --index");
    let index = Index::open(&index_path(args.index.as_deref())?)?;
    let images = index.labelled()?;
    let path = Path::new(&args.to);
    file::write_whole(path, |out| LabelTable::write(&images, out))
        .with_context(|| format!("cannot write {}", path.display()))?;
    done(context, &args.to, images.len() as u64, index.bits(), begun)
}

fn done(context: &Context, to: &str, images: u64, bits: usize, begun: Instant) -> Result<ExitCode> {
    let seconds = begun.elapsed().as_secs_f64();
    if context.json {
        context
            .print_json(&json!({ "to": to, "images": images, "bits": bits, "seconds": seconds }))?;
    } else {
        context.say(format_args!("{images} images in {to}, {seconds:.1} s"));
    }
    Ok(ExitCode::SUCCESS)
}

fn to_server(
    context: &Context,
    args: &ExportArgs,
    source: &mut dyn Source,
    begun: Instant,
) -> Result<ExitCode> {
    let connecting = args.server.connecting(Duration::ZERO);
    let address = Address::parse(&args.to, &connecting)?;
    let shards: Result<Vec<Address>, _> =
        args.shard.iter().map(|shard| Address::parse(shard, &connecting)).collect();
    let shards = shards?;
    let table = &args.server.table;
    if args.explain_sql {
        for (place, text) in Loader::explain(&address, table, source.head(), &shards) {
            context.print(format_args!("-- {place}\n{text}\n"))?;
        }
        return Ok(ExitCode::SUCCESS);
    }
    let options = LoadOptions { shards, replace: args.replace };
    let loader = Loader::begin(address.clone(), table.clone(), source, &options)?;
    for reason in loader.left() {
        context.warn(format_args!("tables of the old collection may remain on a shard: {reason}"));
    }
    if loader.before() > 0 {
        context.say(format_args!("resuming: {} images were already copied", loader.before()));
    }
    let load = |task: &Task<'_>| engine::copy(source, Box::new(loader), task);
    let images = context.with_progress("loading", load)?;
    if args.approximate {
        let mut remote = Remote::open(address.clone(), table.clone(), &connecting)?;
        use_approximate(context, &mut remote)?;
    }
    done(context, &address.to_string(), images, source.head().bits, begun)
}

pub fn import(context: &Context, args: &ImportArgs) -> Result<ExitCode> {
    let begun = Instant::now();
    let path = index_path(args.index.as_deref())?;
    let address =
        args.from.iter().find_map(|from| from.to_str().filter(|text| Address::is_one(text)));
    let mut source: Box<dyn Source> = match address {
        Some(address) => {
            ensure!(args.from.len() == 1, "a server must be the only source; import it alone");
            let connecting = args.server.connecting(Duration::ZERO);
            let address = Address::parse(address, &connecting)?;
            Box::new(Remote::open(address, args.server.table.clone(), &connecting)?.rows())
        }
        None => engine::open(&args.from)?,
    };
    if let Some(folder) = path.parent().filter(|_| args.index.is_none()) {
        std::fs::create_dir_all(folder)
            .with_context(|| format!("cannot make the folder {}", folder.display()))?;
    }
    let images =
        context.with_progress("importing", |task| engine::import(source.as_mut(), &path, task))?;
    done(context, &path.display().to_string(), images, source.head().bits, begun)
}
