/*!
`barbule bench rank`: speed of exact ranking, compared with the limit of the hardware.
*/

use std::hint::black_box;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context as _, Result, bail};
use clap::ValueHint;
use serde::Serialize;

use super::random::{codes as random, median};
use super::{asymmetric, words};
use crate::cli::Context;
use crate::cli::context::bits;
use crate::code::BinaryCodes;
use crate::engine::numpy;
use crate::rank::{Ranker, Search};

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Bits per code; separate several values with commas
    #[arg(long, value_delimiter = ',', value_parser = bits, value_name = "BITS",
        default_value = "12,16,24,32,48,64,128,256,512,1024")]
    bits: Vec<usize>,
    /// Rank codes that consist of this many word indices of 4 bits (1 to 256), by random tables;
    /// separate several values with commas
    #[arg(long, value_delimiter = ',', value_parser = clap::value_parser!(u16).range(1..=256),
        value_name = "M", conflicts_with_all = ["bits", "radius", "tables", "database", "distances"])]
    words: Vec<u16>,
    /// Put this many nearest codes in order by the real values of the query, as `search` does
    /// (1,000 there)
    #[arg(long, value_name = "R",
        conflicts_with_all = ["words", "radius", "tables", "database", "distances"])]
    candidates: Option<usize>,
    /// Number of random codes in the database
    #[arg(long, default_value_t = 1_000_000, value_name = "N")]
    codes: usize,
    /// Queries per call; separate several values with commas
    #[arg(long, value_delimiter = ',', default_value = "1,100", value_name = "N")]
    queries: Vec<usize>,
    /// Number of nearest codes per query
    #[arg(short, default_value_t = 100, value_name = "K")]
    k: usize,
    /// Maximum Hamming distance of a hit
    #[arg(long, value_name = "R")]
    radius: Option<u32>,
    /// Number of CPU threads [default: all cores]
    #[arg(long, value_name = "N")]
    threads: Option<usize>,
    /// Number of timed calls; the median is reported
    #[arg(long, default_value_t = 7, value_name = "N")]
    repeats: usize,
    /// Build lookup tables first, as long-running programs do, and use them if faster than a scan
    #[arg(long)]
    tables: bool,
    /// Use the codes of a NumPy file (uint8, as written by `barbule encode --npy`), not random ones
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    database: Option<PathBuf>,
    /// Use the queries of a NumPy file, in groups of --queries
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, requires = "database")]
    query_codes: Option<PathBuf>,
    /// Write the distances found by the last measurement to a NumPy file (uint32)
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    distances: Option<PathBuf>,
}

/// The published fields of `bench rank --json`, one object per code length and batch size.
#[derive(Debug, Serialize)]
struct Measured {
    bits: usize,
    codes: usize,
    queries: usize,
    k: usize,
    device: String,
    threads: usize,
    queries_per_second: f64,
    ms_per_query: f64,
    /// Bytes of compared codes per nanosecond.
    gigabytes_per_second: f64,
    /// The same for a lower bound on the work: reading the codes (for one query), or counting
    /// the differing bits (for several). `None` if not measured.
    limit_gigabytes_per_second: Option<f64>,
    fraction_of_limit: Option<f64>,
}

pub fn run(context: &Context, args: &Args) -> Result<()> {
    if args.codes == 0 || args.repeats == 0 || args.queries.contains(&0) || args.k == 0 {
        bail!("--codes, --queries, --repeats and -k must be above 0");
    }
    // Ids have 32 bits.
    if u32::try_from(args.codes).is_err() || args.threads.is_some_and(|n| n > 1024) {
        bail!("--codes can be at most {} and --threads at most 1024", u32::MAX);
    }
    let device = context.device()?;
    let mut pool = rayon::ThreadPoolBuilder::new();
    if let Some(threads) = args.threads {
        pool = pool.num_threads(threads);
    }
    let pool = pool.build().context("cannot start the threads; give fewer with --threads")?;
    if !args.words.is_empty() {
        let &Args { codes, k, repeats, .. } = args;
        let (words, queries) = (&args.words, &args.queries);
        let plan = words::Plan { words, codes, queries, k, repeats };
        return words::run(context, &plan, &device, &pool);
    }
    if let Some(candidates) = args.candidates {
        if candidates < args.k {
            bail!("--candidates must be at least -k, which is {}", args.k);
        }
        let &Args { codes, k, repeats, .. } = args;
        let (bits, queries) = (&args.bits, &args.queries);
        let plan = asymmetric::Plan { bits, codes, queries, candidates, k, repeats };
        return asymmetric::run(context, &plan, &device, &pool);
    }
    let mut rows = Vec::new();
    if !context.json {
        context.print(format_args!(
            "{:>5} {:>10} {:>8} {:>12} {:>14} {:>8} {:>8} {:>9}",
            "bits", "codes", "queries", "ms/query", "queries/s", "GB/s", "limit", "fraction"
        ))?;
    }
    for bits in &args.bits {
        let (database, queries) = codes(args, *bits)?;
        let count = database.len();
        let ranker = pool.install(|| Ranker::new(&device, Arc::new(database)))?;
        if args.tables {
            let begun = Instant::now();
            let kept = pool.install(|| ranker.expect_many());
            context.say(format_args!(
                "{bits} bits: tables {} after {:.1} s",
                if kept { "kept" } else { "not worth it" },
                begun.elapsed().as_secs_f64()
            ));
        }
        for wanted in &args.queries {
            let measured = pool.install(|| measure(args, &ranker, &queries, *wanted))?;
            let (seconds, limit) = measured;
            let compared = (count * bits.div_ceil(8) * wanted) as f64;
            let row = Measured {
                bits: *bits,
                codes: count,
                queries: *wanted,
                k: args.k,
                device: ranker.runs_on(),
                threads: pool.current_num_threads(),
                queries_per_second: *wanted as f64 / seconds,
                ms_per_query: seconds * 1e3 / *wanted as f64,
                gigabytes_per_second: compared / seconds / 1e9,
                limit_gigabytes_per_second: limit.map(|limit| compared / limit / 1e9),
                fraction_of_limit: limit.map(|limit| limit / seconds),
            };
            if !context.json {
                print(context, &row)?;
            }
            if !args.tables && row.fraction_of_limit.is_some_and(|fraction| fraction > 1.05) {
                context.warn("a result exceeds its limit: the limit was measured too low");
            }
            rows.push(row);
        }
    }
    if context.json {
        context.print_json(&rows)
    } else {
        let row = rows.first().context("--bits is empty; name at least one number of bits")?;
        let (device, threads) = (&row.device, row.threads);
        context.print(format_args!("top {}, {device}, {threads} threads", args.k))
    }
}

fn print(context: &Context, row: &Measured) -> Result<()> {
    let or_dash = |value: Option<f64>, digits| match value {
        Some(value) => format!("{value:.digits$}"),
        None => "-".to_owned(),
    };
    context.print(format_args!(
        "{:>5} {:>10} {:>8} {:>12.4} {:>14.0} {:>8.1} {:>8} {:>9}",
        row.bits,
        row.codes,
        row.queries,
        row.ms_per_query,
        row.queries_per_second,
        row.gigabytes_per_second,
        or_dash(row.limit_gigabytes_per_second, 1),
        or_dash(row.fraction_of_limit, 2),
    ))
}

/// Returns the median seconds of a search of `count` queries and of its lower bound. The two are
/// measured alternately, each round with the next queries.
fn measure(
    args: &Args,
    ranker: &Ranker,
    queries: &BinaryCodes,
    count: usize,
) -> Result<(f64, Option<f64>)> {
    let some = |turn: usize| {
        let rows = (0..count).map(|i| (turn * count + i) % queries.len());
        queries.select(&rows.collect::<Vec<_>>())
    };
    let search = Search { k: Some(args.k), radius: args.radius, allowed: None };
    let at_once = ranker.counted_at_once(count);
    let limit = |queries: &BinaryCodes| {
        if count < at_once { ranker.only_read() } else { ranker.only_count(queries) }
    };
    // Unmeasured: fills caches and compiles kernels.
    let found = ranker.search(&some(0), &search)?;
    if let Some(reason) = ranker.failure() {
        bail!("{reason}; use --device cpu");
    }
    if let Some(path) = &args.distances {
        numpy::write_distances(path, &found)?;
    }
    black_box((found, limit(&some(0))));
    let (mut searches, mut limits) = (Vec::new(), Vec::new());
    for turn in 0..args.repeats {
        let queries = some(turn);
        let begun = Instant::now();
        black_box(ranker.search(&queries, &search)?);
        searches.push(begun.elapsed().as_secs_f64());
        let begun = Instant::now();
        if black_box(limit(&queries)).is_some() {
            // `only_count` leaves out queries beyond a multiple of `at_once`.
            let counted = if count < at_once { count } else { count / at_once * at_once };
            limits.push(begun.elapsed().as_secs_f64() * count as f64 / counted as f64);
        }
    }
    let limit = (!limits.is_empty()).then(|| median(&mut limits));
    Ok((median(&mut searches), limit))
}

/// Returns the database and the queries.
fn codes(args: &Args, bits: usize) -> Result<(BinaryCodes, BinaryCodes)> {
    let queries = args.queries.iter().copied().max().unwrap_or(1);
    if let Some(path) = &args.database {
        let database = numpy::read_codes(path, bits)?;
        let queries = match &args.query_codes {
            Some(path) => numpy::read_codes(path, bits)?,
            None => database.select(&(0..queries.min(database.len())).collect::<Vec<_>>()),
        };
        if database.is_empty() || queries.is_empty() {
            bail!("{} contains no codes; name another file", path.display());
        }
        return Ok((database, queries));
    }
    Ok((random(bits, args.codes, 1)?, random(bits, queries, 2)?))
}
