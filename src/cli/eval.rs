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
use crate::task::Task;
use crate::train::{Ranking, Split, evaluate};

/// Evaluate a model: mAP and precision of test queries against the database
///
/// The database is the training split (CIFAR-10, NUS-WIDE: everything but the queries). An image is
/// relevant if it shares a class with the query. Ties are treated exactly: all figures are
/// expectations over random orders of the images at equal distance, so short codes gain nothing by
/// luck.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: barbule eval --model birds.safetensors --data birds/ --json")]
pub struct Args {
    /// The model file, or an index that fitted its own hash
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
    /// Number of classes that were held out of training.
    classes_held_out: usize,
    /// Metrics with the network's codes on both sides; ties in expectation.
    #[serde(flatten)]
    network: Ranking,
    /// Metrics with the real values of queries against codes; null if codes are words, which are
    /// always ranked so.
    asymmetric: Option<Ranking>,
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
    ranking: Ranking,
}

pub fn run(context: &Context, args: &Args) -> Result<ExitCode> {
    if let Some(folder) = &args.plot {
        // Fail now rather than after a long evaluation.
        std::fs::create_dir_all(folder).with_context(|| cannot_write(folder))?;
    }
    let device = context.device()?;
    let model = context.model(Some(&args.model), &device)?;
    let card = model.card();
    // A folder without its own split must be split with the seed used in training.
    let split_seed = card.data.split_seed.unwrap_or(card.seed);
    let dataset = Dataset::open(&args.data, args.layout, split_seed)?;
    let shared_images = super::dataset::warn(context, &dataset)?;
    let measure =
        |task: &Task<'_>| evaluate(&model, &dataset, args.split, args.float, &context.limits, task);
    let found = context.with_progress("features", measure)?;
    let unreadable_images = context.warn_unreadable(&found.unreadable);
    let bytes_per_image = card.features() * 4;
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
        classes_held_out: found.held_out,
        network: found.network,
        asymmetric: found.asymmetric,
        float: found.float.map(|ranking| Float { bytes_per_image, ranking }),
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
    let Metrics { queries, database, skipped_queries, .. } = report.network.known;
    if report.network.unseen.is_some() {
        context.print(format_args!(
            "unseen: queries of the {} classes that were held out of training. Database: B, of known \
             classes {} images, to which nothing was fitted; A, all classes; C, held-out classes alone",
            report.classes_held_out, report.split,
        ))?;
    }
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
    let rankings = rankings(report);
    let rankings: Vec<_> = rankings
        .iter()
        // The legend is narrow.
        .map(|(name, _, one)| (name.trim_end_matches(" of features"), one))
        .map(|(name, one)| (name, &one.known, one.unseen_fresh.as_ref()))
        .collect();
    for Plot { file, svg, .. } in plot::of_rankings(&rankings) {
        let path = folder.join(file);
        crate::file::write_whole(&path, |out| out.write_all(svg.as_bytes()))
            .with_context(|| cannot_write(&path))?;
        context.say(format_args!("wrote {}", path.display()));
    }
    Ok(())
}

/// Returns the rankings of the report: name, bytes per image, figures.
fn rankings(report: &Report) -> Vec<(String, usize, &Ranking)> {
    let coded = format!("{} {} bits", report.method, report.bits);
    let real = format!("{coded}, real query");
    let bytes = report.bytes_per_image;
    let mut rankings = vec![(coded, bytes, &report.network)];
    rankings.extend(report.asymmetric.as_ref().map(|one| (real, bytes, one)));
    let float = report.float.as_ref();
    rankings.extend(
        float.map(|float| ("cosine of features".to_owned(), float.bytes_per_image, &float.ranking)),
    );
    rankings
}

fn table(report: &Report) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header(["ranking", "bytes", "mAP", "P@1", "P@10", "P@100", "P(r≤2)"]);
    for (name, bytes, one) in rankings(report) {
        table.add_row(row(name.clone(), bytes, &one.known));
        let forms = [
            ("unseen classes, B", &one.unseen_fresh),
            ("unseen classes, A", &one.unseen),
            ("unseen classes, C", &one.unseen_alone),
        ];
        for (form, metrics) in forms {
            if let Some(metrics) = metrics {
                table.add_row(row(format!("{name}, {form}"), bytes, metrics));
            }
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
