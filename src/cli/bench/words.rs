/*!
`barbule bench rank --words`: speed of exact ranking of word codes.
*/

use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Result, bail};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::Serialize;

use super::random::{codes, median};
use super::rows::Rows;
use crate::cli::Context;
use crate::device::Device;
use crate::rank::{WordRanker, WordTable};

/// The cases to measure: each number of words with each number of queries.
pub struct Plan<'a> {
    /// Word indices per code.
    pub words: &'a [u16],
    pub codes: usize,
    /// Queries per call.
    pub queries: &'a [usize],
    pub k: usize,
    pub repeats: usize,
}

/// The published fields of `bench rank --words M --json`, one object per number of words and
/// batch size.
#[derive(Debug, Serialize)]
struct Measured {
    words: usize,
    codes: usize,
    queries: usize,
    k: usize,
    device: String,
    threads: usize,
    queries_per_second: f64,
    ms_per_query: f64,
    /// Nanoseconds per query and code.
    ns_per_code: f64,
}

/// Random numbers with about a normal distribution, of deviation 100,000.
fn normal(rng: &mut ChaCha8Rng) -> i32 {
    // The sum of 24 random bytes has a deviation of 362.
    let mut bytes = [0; 24];
    rng.fill_bytes(&mut bytes);
    let sum: i32 = bytes.iter().map(|byte| i32::from(*byte)).sum();
    (sum - 24 * 255 / 2) * 276
}

pub fn run(
    context: &Context,
    plan: &Plan<'_>,
    device: &Device,
    pool: &rayon::ThreadPool,
) -> Result<()> {
    let heading = format!(
        "{:>5} {:>10} {:>8} {:>12} {:>14} {:>8}",
        "words", "codes", "queries", "ms/query", "queries/s", "ns/code"
    );
    let mut rows = Rows::new(context, heading)?;
    for words in plan.words.iter().map(|words| usize::from(*words)) {
        let mut rng = ChaCha8Rng::seed_from_u64(3);
        let database = Arc::new(codes(words * 4, plan.codes, 1)?);
        let lengths: Arc<[i32]> = (0..plan.codes).map(|_| normal(&mut rng)).collect();
        let ranker = pool.install(|| WordRanker::new(device, database, lengths))?;
        for &queries in plan.queries {
            let seconds = pool.install(|| measure(plan, &ranker, queries, &mut rng))?;
            let row = Measured {
                words,
                codes: plan.codes,
                queries,
                k: plan.k,
                device: ranker.runs_on(),
                threads: pool.current_num_threads(),
                queries_per_second: queries as f64 / seconds,
                ms_per_query: seconds * 1e3 / queries as f64,
                ns_per_code: seconds * 1e9 / (queries * plan.codes) as f64,
            };
            let line = format!(
                "{:>5} {:>10} {:>8} {:>12.4} {:>14.0} {:>8.4}",
                row.words,
                row.codes,
                row.queries,
                row.ms_per_query,
                row.queries_per_second,
                row.ns_per_code,
            );
            rows.add(row, line)?;
        }
    }
    rows.end(|row| format!("top {}, {}, {} threads", plan.k, row.device, row.threads))
}

/// Returns the median seconds of a search of `count` queries, each time with other tables.
fn measure(
    plan: &Plan<'_>,
    ranker: &WordRanker,
    count: usize,
    rng: &mut ChaCha8Rng,
) -> Result<f64> {
    let mut tables = || -> Result<Vec<WordTable>> {
        let table = |_| {
            let entries = (0..ranker.words() * 16).map(|_| normal(rng)).collect();
            Ok(WordTable::new(entries)?)
        };
        (0..count).map(table).collect()
    };
    // Unmeasured: fills caches and compiles kernels.
    black_box(ranker.search_many(&tables()?, plan.k, None)?);
    if let Some(reason) = ranker.failure() {
        bail!("{reason}; use --device cpu");
    }
    let mut seconds = Vec::new();
    for _ in 0..plan.repeats {
        let tables = tables()?;
        let begun = Instant::now();
        black_box(ranker.search_many(&tables, plan.k, None)?);
        seconds.push(begun.elapsed().as_secs_f64());
    }
    Ok(median(&mut seconds))
}
