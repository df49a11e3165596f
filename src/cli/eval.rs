/*!
`barbule eval`: measures a model on a labelled data set.
*/

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::ValueHint;
use comfy_table::{CellAlignment, Table, presets};
use serde::Serialize;

use super::Context;
use crate::dataset::{Dataset, Layout};
use crate::eval::{CurvePoint, Metrics, RecallAt};
use crate::model::Model;
use crate::task::Task;
use crate::train::{Split, evaluate};

/// Measure a model: queries of the test split against the training images
///
/// Relevant is what has the query's class. All figures are expectations over random
/// orders of images at the same distance, so short codes gain nothing by luck.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: barbule eval --model birds.safetensors --data birds/ --json")]
pub struct Args {
    /// The model file
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    model: PathBuf,
    /// The labelled photos
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    data: PathBuf,
    /// How the data lie: grocery, folder or cub; found by looking if left out
    #[arg(long)]
    layout: Option<Layout>,
    /// Which images are queries: test, or val for making choices
    #[arg(long, default_value = "test")]
    split: Split,
    /// Also rank by cosine of the floating-point features, for comparison
    #[arg(long)]
    float: bool,
}

/// The published fields of `eval --json`.
#[derive(Debug, Serialize)]
struct Report {
    method: String,
    trunk: String,
    bits: usize,
    split: &'static str,
    seed: u64,
    queries: usize,
    database: usize,
    skipped_queries: usize,
    unreadable_images: usize,
    /// With the codes of the network, ties in expectation.
    map: f64,
    /// With the learned codes of the database; no method here has any.
    map_learned: Option<f64>,
    /// The same figures for classes held out of training; none are.
    unseen: Option<Box<Report>>,
    p_at_1: f64,
    p_at_10: f64,
    p_at_100: f64,
    p_radius_2: Option<f64>,
    recall_at: Vec<RecallAt>,
    curve: Vec<CurvePoint>,
    bytes_per_image: usize,
    seconds: f64,
    /// By cosine of the floating-point features, with `--float`.
    float: Option<Float>,
}

#[derive(Debug, Serialize)]
struct Float {
    bytes_per_image: usize,
    #[serde(flatten)]
    metrics: Metrics,
}

pub fn run(context: &Context, args: &Args) -> Result<ExitCode> {
    let device = context.device()?;
    let model = Model::open(&args.model, &device)?;
    let card = model.card();
    // The split of a folder without one is the split that the model was trained on.
    let split_seed = card.data.split_seed.unwrap_or(card.seed);
    let dataset = Dataset::open(&args.data, args.layout, split_seed)?;
    dataset.warnings.iter().for_each(|warning| context.warn(warning));
    let measure =
        |task: &Task<'_>| evaluate(&model, &dataset, args.split, args.float, &context.limits, task);
    let evaluation = context.with_progress("features", measure)?;
    let unreadable_images = context.warn_unreadable(&evaluation.unreadable);
    let Metrics { queries, database, skipped_queries, map, p_at_1, p_at_10, p_at_100, .. } =
        evaluation.network;
    let float =
        evaluation.float.map(|metrics| Float { bytes_per_image: card.features() * 4, metrics });
    let report = Report {
        method: card.method.clone(),
        trunk: card.trunk.to_string(),
        bits: card.bits,
        split: args.split.name(),
        seed: card.seed,
        queries,
        database,
        skipped_queries,
        unreadable_images,
        map,
        map_learned: None,
        unseen: None,
        p_at_1,
        p_at_10,
        p_at_100,
        p_radius_2: evaluation.network.p_radius_2,
        recall_at: evaluation.network.recall_at,
        curve: evaluation.network.curve,
        bytes_per_image: card.bits.div_ceil(8),
        seconds: evaluation.seconds,
        float,
    };
    if context.json {
        context.print_json(&report)?;
    } else {
        context.print(table(&report))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn table(report: &Report) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header(["ranking", "bytes", "mAP", "P@1", "P@10", "P@100", "P(r≤2)"]);
    let figure = |value: f64| format!("{value:.4}");
    let dash = || "–".to_owned();
    let coded = format!("{} {} bits", report.method, report.bits);
    table.add_row([
        coded,
        report.bytes_per_image.to_string(),
        figure(report.map),
        figure(report.p_at_1),
        figure(report.p_at_10),
        figure(report.p_at_100),
        report.p_radius_2.map_or_else(dash, figure),
    ]);
    if let Some(Float { bytes_per_image, metrics }) = &report.float {
        table.add_row([
            "cosine of features".to_owned(),
            bytes_per_image.to_string(),
            figure(metrics.map),
            figure(metrics.p_at_1),
            figure(metrics.p_at_10),
            figure(metrics.p_at_100),
            dash(),
        ]);
    }
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    let Report { queries, database, skipped_queries, seconds, split, .. } = report;
    table.add_row([format!(
        "{queries} {split} queries ({skipped_queries} without a relevant image), {database} images, {seconds:.0} s"
    )]);
    table
}
