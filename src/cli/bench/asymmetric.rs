/*!
`barbule bench rank --candidates`: speed of a search whose nearest codes are put in order by the real
values of the query.
*/

use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Result, bail};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;
use serde::Serialize;

use super::random::{codes, median};
use super::rows::Rows;
use crate::cli::Context;
use crate::code::BinaryCodes;
use crate::device::Device;
use crate::hash::Asymmetric;
use crate::index::Order;
use crate::rank::{Neighbour, Ranker, Search};

/// The cases to measure: each number of bits with each number of queries.
pub struct Plan<'a> {
    pub bits: &'a [usize],
    pub codes: usize,
    /// Queries per call.
    pub queries: &'a [usize],
    /// Number of nearest codes that are put in order.
    pub candidates: usize,
    pub k: usize,
    pub repeats: usize,
}

/// The published fields of `bench rank --candidates R --json`, one object per code length and batch
/// size.
#[derive(Debug, Serialize)]
struct Measured {
    bits: usize,
    codes: usize,
    queries: usize,
    candidates: usize,
    k: usize,
    device: String,
    threads: usize,
    /// Milliseconds per query for the nearest k by Hamming distance alone.
    ms_hamming: f64,
    /// Milliseconds per query for the nearest candidates and the first k of them by real values.
    ms_per_query: f64,
}

pub fn run(
    context: &Context,
    plan: &Plan<'_>,
    device: &Device,
    pool: &rayon::ThreadPool,
) -> Result<()> {
    let heading = format!(
        "{:>5} {:>10} {:>8} {:>12} {:>12} {:>7}",
        "bits", "codes", "queries", "hamming ms", "real ms", "ratio"
    );
    let mut rows = Rows::new(context, heading)?;
    for bits in plan.bits {
        let database = Arc::new(codes(*bits, plan.codes, 1)?);
        let ranker = pool.install(|| Ranker::new(device, database))?;
        for &queries in plan.queries {
            let [hamming, real] = pool.install(|| measure(plan, &ranker, queries))?;
            let milliseconds = |seconds: f64| seconds * 1e3 / queries as f64;
            let row = Measured {
                bits: *bits,
                codes: plan.codes,
                queries,
                candidates: plan.candidates,
                k: plan.k,
                device: ranker.runs_on(),
                threads: pool.current_num_threads(),
                ms_hamming: milliseconds(hamming),
                ms_per_query: milliseconds(real),
            };
            let line = format!(
                "{:>5} {:>10} {:>8} {:>12.4} {:>12.4} {:>7.2}",
                row.bits,
                row.codes,
                row.queries,
                row.ms_hamming,
                row.ms_per_query,
                row.ms_per_query / row.ms_hamming,
            );
            rows.add(row, line)?;
        }
    }
    rows.end(|row| {
        let Plan { k, candidates, .. } = plan;
        format!("top {k}, of {candidates} candidates, {}, {} threads", row.device, row.threads)
    })
}

/// Returns the median seconds of a search of `count` queries by Hamming distance, and of the same
/// with the candidates put in order. The two are measured alternately.
fn measure(plan: &Plan<'_>, ranker: &Ranker, count: usize) -> Result<[f64; 2]> {
    let mut rng = ChaCha8Rng::seed_from_u64(4);
    let mut times = [Vec::new(), Vec::new()];
    // The first turn fills caches and compiles kernels.
    for turn in 0..=plan.repeats {
        let value = |_| rng.next_u32() as i32 as f32 / i32::MAX as f32;
        let values: Vec<f32> = (0..count * ranker.bits()).map(value).collect();
        let queries = BinaryCodes::from_signs(ranker.bits(), &values)?;
        let begun = Instant::now();
        black_box(ranker.search(&queries, &Search::nearest(plan.k))?);
        let hamming = begun.elapsed().as_secs_f64();
        let begun = Instant::now();
        black_box(in_order(plan, ranker, &queries, &values)?);
        let real = begun.elapsed().as_secs_f64();
        if let Some(reason) = ranker.failure() {
            bail!("{reason}; use --device cpu");
        }
        if turn > 0 {
            times[0].push(hamming);
            times[1].push(real);
        }
    }
    Ok(times.map(|mut seconds| median(&mut seconds)))
}

/// Returns the first k of the candidates of each query, by (−score, id).
fn in_order(
    plan: &Plan<'_>,
    ranker: &Ranker,
    queries: &BinaryCodes,
    values: &[f32],
) -> Result<Vec<Vec<(f32, u32)>>> {
    let found = ranker.search(queries, &Search::nearest(plan.candidates))?;
    let in_order = |(near, values): (&Vec<Neighbour>, &[f32])| {
        let tables = Asymmetric::new(ranker.bits(), values)?;
        let codes = near.iter().filter_map(|near| Some((near.id, ranker.code(near.id)?)));
        let mut scored = Vec::with_capacity(near.len());
        for (id, code) in codes {
            scored.push((tables.score(&code)?, id));
        }
        let (candidates, values) = (plan.candidates, Vec::new());
        let order = Order::Asymmetric { candidates, values };
        order.sort(&mut scored, |(score, id)| (*score, i64::from(*id)));
        scored.truncate(plan.k);
        Ok(scored)
    };
    found.par_iter().zip(values.par_chunks(ranker.bits())).map(in_order).collect()
}
