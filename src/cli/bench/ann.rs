/*!
`barbule bench ann`: compares search over binary codes with a linear scan of float features.
*/

use std::hint::black_box;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context as _, Result, bail};
use clap::ValueHint;
use faer::linalg::matmul::matmul;
use faer::{Accum, Mat, MatRef, Par};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::Serialize;
use serde_json::json;

use super::random::time;
use crate::cli::Context;
use crate::code::BinaryCodes;
use crate::dataset::{Dataset, Layout, Sample};
use crate::device::Device;
use crate::engine::numpy;
use crate::eval;
use crate::hash::Features;
use crate::model::Model;
use crate::rank::Ranker;
use crate::task::Task;
use crate::train::{Split, Unreadable};

#[derive(Debug, clap::Args)]
pub struct Args {
    /// The model file
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    model: PathBuf,
    /// The folder of the labelled data set, or an index with labels
    #[arg(long, value_name = "DIR|FILE", value_hint = ValueHint::AnyPath)]
    data: PathBuf,
    /// Layout of the data set, as listed by `barbule data` [default: detected from the files]
    #[arg(long)]
    layout: Option<Layout>,
    /// The split that provides the queries: test or val. The database is the training split
    #[arg(long, default_value = "test")]
    split: Split,
    /// Number of nearest images per query
    #[arg(short, default_value_t = 100, value_name = "K")]
    k: usize,
    /// Maximum number of queries, taken at even intervals from the split [default: all]
    #[arg(long, value_name = "N")]
    queries: Option<usize>,
    /// Enlarge the database N times with noisy copies. Synthetic: use it for timings only
    #[arg(long, default_value_t = 1, value_name = "N")]
    replicate: usize,
    /// Standard deviation of the noise in the copies, relative to that of each feature
    #[arg(long, default_value_t = 0.5, value_name = "SHARE")]
    noise: f32,
    /// Number of timed passes over all queries; the median is reported
    #[arg(long, default_value_t = 5, value_name = "N")]
    repeats: usize,
    /// Write features, codes, labels and results to this folder, as input of benches/ann.py
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    out: Option<PathBuf>,
}

/// The published fields of `bench ann --json`. Times are for one CPU thread.
#[derive(Debug, Serialize)]
struct Report {
    method: String,
    bits: usize,
    database: usize,
    queries: usize,
    k: usize,
    /// Number of database images per image of the data set.
    replicate: usize,
    noise: f32,
    codes: Side,
    floats: Side,
    /// Milliseconds to rank the whole database, one query per call.
    whole_ranking_ms_per_query: f64,
    /// Time of the floats divided by time of the codes, one query per call.
    speed_up: f64,
    /// The same, all queries in one call.
    speed_up_batch: f64,
    storage_ratio: f64,
}

#[derive(Debug, Serialize)]
struct Side {
    bytes_per_image: usize,
    /// Top-k search, one query per call.
    ms_per_query: f64,
    /// Top-k search, all queries in one call.
    batch_ms_per_query: f64,
    /// mAP over the whole ranking; ties in expectation.
    map: f64,
}

/// The readable images of the queries or the database.
struct Images {
    values: Vec<f32>,
    labels: Vec<Vec<u32>>,
    paths: Vec<PathBuf>,
}

pub fn run(context: &Context, args: &Args) -> Result<()> {
    if args.k == 0 || args.repeats == 0 || args.replicate == 0 || args.queries == Some(0) {
        bail!("-k, --queries, --replicate and --repeats must be above 0");
    }
    if !(args.noise.is_finite() && args.noise >= 0.0) {
        bail!("--noise must be 0 or greater");
    }
    let device = context.device()?;
    let model = context.model(Some(&args.model), &device)?;
    let card = model.card();
    let dim = card.features();
    let dataset =
        Dataset::open(&args.data, args.layout, card.data.split_seed.unwrap_or(card.seed))?;
    crate::cli::dataset::warn(context, &dataset)?;
    let mut samples = args.split.of(&dataset).to_vec();
    if samples.is_empty() {
        bail!("the data set has no {} split; choose another --split", args.split.name());
    }
    if let Some(most) = args.queries.filter(|most| *most < samples.len()) {
        let count = samples.len();
        samples = (0..most).map(|i| samples[i * count / most].clone()).collect();
    }
    let queries = read(context, &model, "queries", &samples)?;
    let mut database = read(context, &model, "images", &dataset.train)?;
    replicate(&mut database, dim, args);
    let (query_codes, codes) = (model.codes(&queries.values)?, model.codes(&database.values)?);
    let rank = |task: &Task<'_>| {
        eval::evaluate(&query_codes, &queries.labels, &codes, &database.labels, task)
    };
    let evaluated = context.with_progress("ranking codes", rank)?;
    let features = |images: &[f32]| unit_rows(images, dim);
    let (query_rows, rows) = (features(&queries.values), features(&database.values));
    let rank = |task: &Task<'_>| {
        let queries_of = Features { dim, values: &query_rows };
        let images = Features { dim, values: &rows };
        eval::evaluate_scores(queries_of, &queries.labels, images, &database.labels, task)
    };
    let by_cosine = context.with_progress("ranking features", rank)?;
    let one_thread = rayon::ThreadPoolBuilder::new().num_threads(1).build();
    let one_thread = one_thread.context("cannot start a thread; close other programs")?;
    let (ours, whole, theirs) = one_thread.install(|| -> Result<_> {
        let (ours, whole) = time_codes(args, &query_codes, codes.clone())?;
        Ok((ours, whole, time_floats(args, &query_rows, &rows, dim)))
    })?;
    let side = |bytes_per_image, [single, batch]: [f64; 2], map| Side {
        bytes_per_image,
        ms_per_query: single * 1e3,
        batch_ms_per_query: batch * 1e3,
        map,
    };
    let report = Report {
        method: card.method.clone(),
        bits: card.bits,
        database: codes.len(),
        queries: query_codes.len(),
        k: args.k,
        replicate: args.replicate,
        noise: if args.replicate > 1 { args.noise } else { 0.0 },
        codes: side(card.bits.div_ceil(8), ours, evaluated.map),
        floats: side(dim * 4, theirs, by_cosine.map),
        whole_ranking_ms_per_query: whole * 1e3,
        speed_up: theirs[0] / ours[0],
        speed_up_batch: theirs[1] / ours[1],
        storage_ratio: (dim * 4) as f64 / card.bits.div_ceil(8) as f64,
    };
    if let Some(folder) = &args.out {
        write(
            folder,
            &report,
            &dataset,
            (&queries, &query_rows, &query_codes),
            (&database, &rows, &codes),
        )?;
    }
    if context.json { context.print_json(&report) } else { print(context, &report) }
}

fn print(context: &Context, report: &Report) -> Result<()> {
    let Report { method, bits, database, queries, k, codes, floats, .. } = report;
    let synthetic = match report.replicate {
        1 => String::new(),
        n => format!(" (synthetic: {n} times as many by noisy copies)"),
    };
    context.print(format_args!(
        "{method} {bits} bits: top {k} of {database} images{synthetic}, {queries} queries, 1 thread"
    ))?;
    context.print(format_args!(
        "{:<22} {:>12} {:>12} {:>12} {:>7}",
        "", "ms per query", "in a batch", "bytes/image", "mAP"
    ))?;
    for (name, side) in [("codes, Hamming", codes), ("floats, linear scan", floats)] {
        context.print(format_args!(
            "{name:<22} {:>12.4} {:>12.4} {:>12} {:>7.3}",
            side.ms_per_query, side.batch_ms_per_query, side.bytes_per_image, side.map
        ))?;
    }
    context.print(format_args!(
        "{:<22} {:>12.4}",
        "codes, full ranking", report.whole_ranking_ms_per_query
    ))?;
    context.print(format_args!(
        "codes: {:.0} times as fast ({:.0} times in a batch), {:.0} times smaller",
        report.speed_up, report.speed_up_batch, report.storage_ratio
    ))
}

/// Computes the features of the readable images.
fn read(
    context: &Context,
    model: &Model,
    what: &'static str,
    samples: &[Sample],
) -> Result<Images> {
    let files: Vec<PathBuf> = samples.iter().map(|sample| sample.path.clone()).collect();
    let work = |task: &Task<'_>| model.encoder().features_of_files(&files, &context.limits, task);
    let found = context.with_progress(what, work)?;
    let unreadable = found.failures.into_iter();
    let unreadable: Vec<Unreadable> =
        unreadable.map(|(at, error)| Unreadable { path: files[at].clone(), error }).collect();
    context.warn_unreadable(&unreadable);
    if found.kept.is_empty() {
        bail!("none of the {} {what} could be read; name another folder with --data", files.len());
    }
    Ok(Images {
        values: found.values,
        labels: found.kept.iter().map(|at| samples[*at].labels.clone()).collect(),
        paths: found.kept.iter().map(|at| files[*at].clone()).collect(),
    })
}

/// Appends noisy copies of all images.
fn replicate(images: &mut Images, dim: usize, args: &Args) {
    let count = images.labels.len();
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    let moment = |j: usize, power: i32| {
        let column = images.values.iter().skip(j).step_by(dim);
        column.map(|v| f64::from(*v).powi(power)).sum::<f64>() / count as f64
    };
    let variance = |j: usize| (moment(j, 2) - moment(j, 1).powi(2)).max(0.0);
    let spread: Vec<f32> = match args.replicate {
        1 => Vec::new(),
        _ => (0..dim).map(|j| variance(j).sqrt() as f32 * args.noise).collect(),
    };
    // Approximately normal: a sum of four uniform numbers with variance 1.
    let mut noise = || (0..4).map(|_| rng.random::<f32>() - 0.5).sum::<f32>() * 3f32.sqrt();
    for _ in 1..args.replicate {
        for at in 0..count * dim {
            let value = images.values[at] + spread[at % dim] * noise();
            images.values.push(value);
        }
        images.labels.extend_from_within(..count);
        images.paths.extend_from_within(..count);
    }
}

/// Scales the rows to unit length; zero rows stay zero.
fn unit_rows(values: &[f32], dim: usize) -> Vec<f32> {
    let mut rows = values.to_vec();
    for row in rows.chunks_exact_mut(dim) {
        let norm = row.iter().map(|v| f64::from(*v).powi(2)).sum::<f64>().sqrt();
        let factor = if norm > 0.0 { norm.recip() as f32 } else { 0.0 };
        row.iter_mut().for_each(|v| *v *= factor);
    }
    rows
}

/// Returns the seconds per query of a top-k search over codes, as (one query per call, all
/// queries in one call), and of a full ranking.
fn time_codes(args: &Args, queries: &BinaryCodes, codes: BinaryCodes) -> Result<([f64; 2], f64)> {
    let images = codes.len();
    // Always the CPU, because the features are searched there too.
    let ranker = Ranker::new(&Device::Cpu, Arc::new(codes))?;
    let each: Vec<BinaryCodes> = (0..queries.len()).map(|row| queries.select(&[row])).collect();
    let one_by_one = |k: usize| {
        time(args.repeats, || {
            for query in &each {
                black_box(ranker.top_k(query, k)?);
            }
            Ok(())
        })
    };
    let (single, whole) = (one_by_one(args.k)?, one_by_one(images)?);
    let batch = time(args.repeats, || {
        black_box(ranker.top_k(queries, args.k)?);
        Ok(())
    })?;
    let count = queries.len() as f64;
    Ok(([single / count, batch / count], whole / count))
}

/// Returns the seconds per query of a top-k search by dot product, as (one query per call, all
/// queries in one call).
fn time_floats(args: &Args, queries: &[f32], rows: &[f32], dim: usize) -> [f64; 2] {
    let (images, count) = (rows.len() / dim, queries.len() / dim);
    let rows = MatRef::from_row_major_slice(rows, images, dim);
    let search = |queries: &[f32]| {
        let few = MatRef::from_row_major_slice(queries, queries.len() / dim, dim);
        let mut scores: Mat<f32> = Mat::zeros(images, few.nrows());
        matmul(&mut scores, Accum::Replace, rows, few.transpose(), 1.0, Par::Seq);
        for query in 0..few.nrows() {
            let mut ranked: Vec<(f32, u32)> =
                scores.col(query).iter().copied().zip(0u32..).collect();
            let order = |a: &(f32, u32), b: &(f32, u32)| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1));
            if args.k < ranked.len() {
                ranked.select_nth_unstable_by(args.k, order);
                ranked.truncate(args.k);
            }
            ranked.sort_unstable_by(order);
            black_box(ranked);
        }
    };
    let single = time(args.repeats, || {
        queries.chunks_exact(dim).for_each(search);
        Ok(())
    });
    // In blocks of 64 queries, so that the scores of a large database fit in memory.
    let batch = time(args.repeats, || {
        queries.chunks(dim * 64).for_each(search);
        Ok(())
    });
    [single, batch].map(|seconds| seconds.unwrap_or(f64::NAN) / count as f64)
}

/// Writes everything that another program needs to repeat the search.
fn write(
    folder: &Path,
    report: &Report,
    dataset: &Dataset,
    queries: (&Images, &[f32], &BinaryCodes),
    database: (&Images, &[f32], &BinaryCodes),
) -> Result<()> {
    let failed = || format!("cannot write to {}; choose another --out", folder.display());
    std::fs::create_dir_all(folder).with_context(failed)?;
    let mut lists = serde_json::Map::new();
    for (name, (images, rows, codes)) in [("queries", queries), ("database", database)] {
        let dim = rows.len() / codes.len();
        numpy::write_features(&folder.join(format!("features-{name}.npy")), dim, rows)?;
        numpy::write_codes(&folder.join(format!("codes-{name}.npy")), codes)?;
        let place = |path: &PathBuf| {
            path.strip_prefix(&dataset.root).unwrap_or(path).to_string_lossy().into_owned()
        };
        let paths: Vec<String> = images.paths.iter().map(place).collect();
        lists.insert(name.to_owned(), json!({ "images": paths, "labels": images.labels }));
    }
    lists.insert("barbule".to_owned(), json!(report));
    let text = serde_json::to_string(&lists)?;
    std::fs::write(folder.join("lists.json"), text).with_context(failed)
}
