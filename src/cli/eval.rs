/*!
`barbule eval`: evaluates the retrieval quality of a model on a labelled data set.
*/

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use clap::ValueHint;
use comfy_table::{CellAlignment, Table, presets};
use serde::Serialize;

use super::Context;
use super::compare::plot::{self, Plot};
use crate::dataset::{Dataset, Layout};
use crate::eval::Metrics;
use crate::eval::pointing::Pointing;
use crate::model::Model;
use crate::task::Task;
use crate::train::{Split, evaluate};

/// Evaluate a model: mAP and precision of test queries against the database
///
/// The database is the training split (CIFAR-10, NUS-WIDE: everything but the queries). An image is
/// relevant if it shares a class with the query. Ties are treated exactly: all figures are
/// expectations over random orders of the images at equal distance, so short codes gain nothing by
/// luck.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: barbule eval --model birds.safetensors --data birds/ --json")]
pub struct Args {
    /// The model file
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    model: PathBuf,
    /// The folder of the labelled data set, or an index with labels
    #[arg(long, value_name = "DIR|FILE", value_hint = ValueHint::AnyPath)]
    data: PathBuf,
    /// Layout of the data set: folder, or a published data set as listed by `barbule data`
    /// [default: detected from the files]
    #[arg(long)]
    layout: Option<Layout>,
    /// The split that provides the queries: test, or val (for model selection)
    #[arg(long, default_value = "test")]
    split: Split,
    /// Also rank by cosine similarity of the float features, for comparison
    #[arg(long)]
    float: bool,
    /// Write curves as SVG to this folder: precision against recall, and recall against the number
    /// of retrieved images
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    plot: Option<PathBuf>,
}

/// The published fields of `eval --json`.
#[derive(Debug, Serialize)]
struct Report {
    method: String,
    trunk: String,
    bits: usize,
    split: &'static str,
    seed: u64,
    unreadable_images: usize,
    /// Test images that are also training or database images.
    shared_images: usize,
    bytes_per_image: usize,
    /// mAP with the learned codes of the database, as papers report it.
    map_learned: Option<f64>,
    /// Metrics with the network's codes on both sides; ties in expectation.
    #[serde(flatten)]
    network: Metrics,
    /// Metrics of queries from classes held out of training, against the whole database.
    unseen: Option<Metrics>,
    /// Metrics by cosine similarity of the float features, with `--float`.
    float: Option<Float>,
    /// Pointing score of the attention, if the model has attention and the data set has parts.
    pointing: Option<Pointing>,
    seconds: f64,
}

#[derive(Debug, Serialize)]
struct Float {
    bytes_per_image: usize,
    #[serde(flatten)]
    metrics: Metrics,
    unseen: Option<Metrics>,
}

pub fn run(context: &Context, args: &Args) -> Result<ExitCode> {
    if let Some(folder) = &args.plot {
        // Fail now rather than after a long evaluation.
        std::fs::create_dir_all(folder).with_context(|| cannot_write(folder))?;
    }
    let device = context.device()?;
    let model = Model::open(&args.model, &device)?;
    let card = model.card();
    // A folder without its own split must be split with the seed used in training.
    let split_seed = card.data.split_seed.unwrap_or(card.seed);
    let dataset = Dataset::open(&args.data, args.layout, split_seed)?;
    let shared_images = super::dataset::warn(context, &dataset)?;
    let measure =
        |task: &Task<'_>| evaluate(&model, &dataset, args.split, args.float, &context.limits, task);
    let found = context.with_progress("features", measure)?;
    let unreadable_images = context.warn_unreadable(&found.unreadable);
    let (bytes_per_image, unseen) = (card.features() * 4, found.float_unseen);
    let report = Report {
        method: card.method.clone(),
        trunk: card.trunk.to_string(),
        bits: card.bits,
        split: args.split.name(),
        seed: card.seed,
        unreadable_images,
        shared_images,
        bytes_per_image: card.bits.div_ceil(8),
        map_learned: found.learned.map(|learned| learned.map),
        network: found.network,
        unseen: found.unseen,
        float: found.float.map(|metrics| Float { bytes_per_image, metrics, unseen }),
        pointing: found.pointing,
        seconds: found.seconds,
    };
    if let Some(folder) = &args.plot {
        draw(context, &report, folder)?;
    }
    if context.json {
        context.print_json(&report)?;
        return Ok(ExitCode::SUCCESS);
    }
    context.print(table(&report))?;
    if let Some(map) = report.map_learned {
        context.print(format_args!(
            "mAP {map:.4} with the learned codes as the database, as papers report it"
        ))?;
    }
    if let Some(Pointing { images, share, chance }) = report.pointing {
        context.print(format_args!(
            "attention peaks on a distinguishing part in {:.1} % of {images} images, {:.1} times chance ({:.1} %)",
            share * 100.0,
            share / chance.max(f64::MIN_POSITIVE),
            chance * 100.0,
        ))?;
    }
    let Metrics { queries, database, skipped_queries, .. } = report.network;
    context.print(format_args!(
        "{queries} {} queries ({skipped_queries} without a relevant image) against {database} images in {:.0} s",
        report.split, report.seconds,
    ))?;
    Ok(ExitCode::SUCCESS)
}

fn cannot_write(path: &Path) -> String {
    format!("cannot write {}; name another folder with --plot", path.display())
}

/// Writes the curves.
fn draw(context: &Context, report: &Report, folder: &Path) -> Result<()> {
    let coded = format!("{} {} bits", report.method, report.bits);
    let mut rankings = vec![(coded.as_str(), &report.network, report.unseen.as_ref())];
    let float = report.float.as_ref();
    rankings.extend(float.map(|float| ("cosine", &float.metrics, float.unseen.as_ref())));
    for Plot { file, svg, .. } in plot::of_rankings(&rankings) {
        let path = folder.join(file);
        crate::file::write_whole(&path, |out| out.write_all(svg.as_bytes()))
            .with_context(|| cannot_write(&path))?;
        context.say(format_args!("wrote {}", path.display()));
    }
    Ok(())
}

fn table(report: &Report) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header(["ranking", "bytes", "mAP", "P@1", "P@10", "P@100", "P(r≤2)"]);
    let coded = format!("{} {} bits", report.method, report.bits);
    let bytes = report.bytes_per_image;
    table.add_row(row(coded.clone(), bytes, &report.network));
    if let Some(unseen) = &report.unseen {
        table.add_row(row(format!("{coded}, unseen classes"), bytes, unseen));
    }
    if let Some(Float { bytes_per_image, metrics, unseen }) = &report.float {
        let cosine = "cosine of features".to_owned();
        table.add_row(row(cosine.clone(), *bytes_per_image, metrics));
        if let Some(unseen) = unseen {
            table.add_row(row(format!("{cosine}, unseen classes"), *bytes_per_image, unseen));
        }
    }
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

fn row(ranking: String, bytes: usize, metrics: &Metrics) -> [String; 7] {
    let figure = |value: f64| format!("{value:.4}");
    [
        ranking,
        bytes.to_string(),
        figure(metrics.map),
        figure(metrics.p_at_1),
        figure(metrics.p_at_10),
        figure(metrics.p_at_100),
        metrics.p_radius_2.map_or_else(|| "–".to_owned(), figure),
    ]
}
