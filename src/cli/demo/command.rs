/*!
`barbule demo`: trains, indexes and searches on generated birds, and writes a report.
*/

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Context as _, Result, bail};
use clap::ValueHint;
use serde_json::json;

use super::results::{Row, Search};
use super::{page, scan, sheet};
use crate::cli::Context;
use crate::cli::aviary::{draw as draw_aviary, per_species, species_to_hold_out as species};
use crate::dataset::{Dataset, Sample};
use crate::device::{Device, DeviceChoice};
use crate::eval::Metrics;
use crate::index::{Collection, IndexWriter, Labels, UpdateOptions};
use crate::method::{Method, Settings, Value, exchnet, lsh, plume};
use crate::model::Model;
use crate::task::Task;
use crate::train::{
    EpochReport, Evaluation, LearnPlan, Recipe, ShallowPlan, Split, Trained, evaluate, fit_shallow,
    learn,
};
use barbule_aviary::{Aviary, Writing};

/// Bits per code.
const BITS: usize = 32;
/// Input size of all methods, in pixels.
const SIZE: u32 = 160;
/// Share of the species that is held out of training.
const HELD_OUT: f64 = 0.25;
/// Neighbours shown per query.
const SHOWN: usize = 10;
/// Queries shown of known species, and of held-out ones.
const QUERIES: [usize; 2] = [4, 2];
/// Weight of the loss that leads ExchNet's attention to where look-alike species differ.
const GUIDE: f64 = 30.0;
/// Birds shown with attention maps.
const LOOKS: usize = 3;
/// Marks a folder that the demo created and may empty.
const MARK: &str = ".barbule-demo";

/// Try Barbule: train, index and search on generated birds, and write a report
///
/// Draws an aviary, trains LSH, Plume and ExchNet on it, indexes and searches it, and writes
/// report.html, a single file to open in a browser. Takes about two minutes on two processor cores
/// and needs no network and no data. A second run starts over.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: barbule demo")]
pub struct Args {
    /// The folder for the birds, the models, the index and the report
    #[arg(long, default_value = "barbule-demo", value_name = "DIR", value_hint = ValueHint::DirPath)]
    out: PathBuf,
    /// Seed of the birds and of the training
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Number of species; a quarter of them is held out of training
    #[arg(long, default_value = "16", value_name = "N", value_parser = species)]
    species: usize,
    /// Images per species; half of them are used for training
    #[arg(long, default_value = "40", value_name = "N", value_parser = per_species)]
    per_species: usize,
}

pub fn run(context: &Context, args: &Args) -> Result<ExitCode> {
    let begun = Instant::now();
    let device = context.device()?;
    prepare(&args.out)?;
    let demo = Demo { context, device, out: &args.out, seed: args.seed };
    let how = Writing { per_species: args.per_species, size: 256, train: 0.5 };
    let (aviary, dataset) = demo.draw(args.species, &how)?;
    let mut rows = Vec::new();
    rows.push(demo.row("lsh", &dataset, |out, task| {
        let plan = ShallowPlan {
            seed: args.seed,
            size: SIZE,
            limits: context.limits,
            ..ShallowPlan::new(&lsh::METHOD, BITS)
        };
        Ok(fit_shallow(&plan, &dataset, out, &demo.device, task).map(drop)?)
    })?);
    let mut guided = Settings::default();
    guided.set("guide", Value::Number(GUIDE));
    let methods = [(&plume::WORDS, Settings::default()), (&exchnet::METHOD, guided)];
    for (method, settings) in methods {
        let learn = |out: &Path, task: &Task<'_>| demo.learn(method, settings, &dataset, out, task);
        rows.push(demo.row(method.name, &dataset, learn)?);
    }
    let pointing = rows.last().and_then(|(_, figures)| figures.pointing);
    let searches = demo.search(&demo.model(plume::WORDS.name)?, &dataset)?;
    let scan = scan::compare(BITS, 1280)?;
    let looks = demo.looks(&demo.model(exchnet::METHOD.name)?, &dataset)?;
    let rows: Vec<Row> = rows.into_iter().map(|(row, _)| row).collect();
    let report = page::Report {
        aviary: &aviary,
        rows: &rows,
        searches: &searches,
        looks: &looks,
        pointing,
        scan: &scan,
        images: args.species * args.per_species,
        bits: BITS,
        device: demo.device.to_string(),
        seconds: begun.elapsed().as_secs_f64(),
    };
    let path = args.out.join("report.html");
    let html = page::render(&report).context("cannot draw the report")?;
    fs::write(&path, html).with_context(|| format!("cannot write {}", path.display()))?;
    let sheet = sheet::sheet(&searches).context("cannot draw the searches")?;
    let sheet_path = args.out.join("look-alikes.jpg");
    sheet.save(&sheet_path).with_context(|| format!("cannot write {}", sheet_path.display()))?;
    let seconds = begun.elapsed().as_secs_f64();
    if context.json {
        context.print_json(&json!({
            "report": path.display().to_string(), "seed": args.seed, "bits": BITS,
            "images": report.images, "methods": rows, "pointing": pointing, "scan": scan,
            "seconds": seconds,
        }))?;
        return Ok(ExitCode::SUCCESS);
    }
    for row in &rows {
        context.print(format_args!(
            "{:<8} mAP {:.3} on known species, {:.3} on unseen ones ({:.0} s)",
            row.method, row.known, row.unseen, row.seconds
        ))?;
    }
    if let Some(pointing) = pointing {
        context.print(format_args!(
            "exchnet attends most to the distinguishing part in {:.0} % of {} images (by chance {:.0} %)",
            pointing.share * 100.0,
            pointing.images,
            pointing.chance * 100.0
        ))?;
    }
    context.print(format_args!("open {} in a browser ({seconds:.0} s)", path.display()))?;
    Ok(ExitCode::SUCCESS)
}

/// Creates the output folder, or empties the one of an earlier run.
fn prepare(out: &Path) -> Result<()> {
    let mark = out.join(MARK);
    let empty = match fs::read_dir(out) {
        Ok(mut entries) => entries.next().is_none(),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => true,
        Err(error) => bail!("cannot read {}: {error}", out.display()),
    };
    if !empty && !mark.is_file() {
        bail!("{} contains other files; choose a new folder with --out", out.display());
    }
    let failed = || format!("cannot prepare the folder {}", out.display());
    if !empty {
        fs::remove_dir_all(out).with_context(failed)?;
    }
    fs::create_dir_all(out).with_context(failed)?;
    fs::write(&mark, "made by barbule demo; the next run empties this folder\n")
        .with_context(failed)
}

struct Demo<'a> {
    context: &'a Context,
    device: Device,
    out: &'a Path,
    seed: u64,
}

impl Demo<'_> {
    /// Draws the birds; some species are held out of training.
    fn draw(&self, species: usize, how: &Writing) -> Result<(Aviary, Dataset)> {
        let images = species * how.per_species;
        self.context.say(format_args!("drawing {images} birds of {species} species"));
        let aviary = Aviary::new(self.seed, species);
        let birds = self.out.join("birds");
        draw_aviary(self.context, &aviary, &birds, how)?;
        let mut dataset = Dataset::open(&birds, None, self.seed)?;
        dataset.hold_out(HELD_OUT, self.seed)?;
        Ok((aviary, dataset))
    }

    fn learn(
        &self,
        method: &'static Method,
        settings: Settings,
        dataset: &Dataset,
        out: &Path,
        task: &Task<'_>,
    ) -> Result<()> {
        let cache = self.out.join("cache");
        let plan = LearnPlan {
            bits: BITS,
            seed: self.seed,
            size: SIZE,
            limits: self.context.limits,
            ..LearnPlan::new(Recipe::Quick, method, settings, Trained::Refine, cache)
        };
        learn(&plan, dataset, out, &self.device, task, &mut |_: &EpochReport| ())?;
        Ok(())
    }

    fn file(&self, method: &str) -> PathBuf {
        self.out.join(format!("{method}.safetensors"))
    }

    fn model(&self, method: &str) -> Result<Model> {
        Ok(Model::open(&self.file(method), &self.device)?)
    }

    /// Trains a method by `fit` and measures it.
    fn row(
        &self,
        method: &'static str,
        dataset: &Dataset,
        fit: impl FnOnce(&Path, &Task<'_>) -> Result<()>,
    ) -> Result<(Row, Evaluation)> {
        self.context.say(format_args!("training {method}"));
        let begun = Instant::now();
        let file = self.file(method);
        self.context.with_progress(method, |task| fit(&file, task))?;
        let seconds = begun.elapsed().as_secs_f64();
        let model = self.model(method)?;
        // The database of an evaluation contains all species, including the held-out ones.
        let whole = Dataset::open(&dataset.root, None, self.seed)?;
        let limits = self.context.limits;
        let measure = |task: &Task<'_>| evaluate(&model, &whole, Split::Test, false, &limits, task);
        let figures = self.context.with_progress("measuring", measure)?;
        let curve = |metrics: &Metrics| -> Vec<(f64, f64)> {
            metrics.curve.iter().map(|point| (point.recall, point.precision)).collect()
        };
        let best = figures.asymmetric.as_ref().unwrap_or(&figures.network);
        let row = Row {
            method,
            seconds,
            known: best.known.map,
            unseen: best.unseen.as_ref().map_or(0.0, |unseen| unseen.map),
            unseen_fresh: best.unseen_fresh.as_ref().map_or(0.0, |unseen| unseen.map),
            curve: curve(&best.known),
        };
        Ok((row, figures))
    }

    /// Indexes all birds and searches for some, on the CPU and, if there is one, on the GPU. Both
    /// must return the same hits.
    fn search(&self, model: &Model, dataset: &Dataset) -> Result<Vec<Search>> {
        self.context.say("indexing and searching");
        let path = self.out.join("birds.db");
        let options = UpdateOptions {
            labels: Labels::Folder,
            limits: self.context.limits,
            ..UpdateOptions::default()
        };
        let images = dataset.root.join("images");
        let mut writer = IndexWriter::open(&path, model)?;
        let work = |task: &Task<'_>| writer.update(model, &[images], &options, task);
        self.context.with_progress("indexing", work)?;
        let mut devices = vec![Device::open(DeviceChoice::Cpu, None)?];
        if !self.device.is_cpu() {
            devices.push(self.device.clone());
        }
        let collections = devices.iter().map(|device| Collection::open_lazily(&path, device));
        let collections: Vec<Collection> = collections.collect::<Result<_, _>>()?;
        let mut searches = Vec::new();
        let is_known =
            |sample: &Sample| sample.labels.iter().all(|l| !dataset.held_out.contains(l));
        let of = |known: bool| -> Vec<Sample> {
            dataset.test.iter().filter(|sample| is_known(sample) == known).cloned().collect()
        };
        let (known, unseen) = (of(true), of(false));
        let queries = spread(&known, QUERIES[0]).chain(spread(&unseen, QUERIES[1]));
        for query in queries {
            let mut answers = Vec::new();
            for collection in &collections {
                answers.push(collection.search_file(&query.path, SHOWN + 1)?);
                if let Some(reason) = collection.snapshot().failure() {
                    bail!("{reason}; use --device cpu");
                }
            }
            if answers.windows(2).any(|pair| pair[0] != pair[1]) {
                bail!("{} and the CPU return different hits; run `barbule doctor`", self.device);
            }
            let found = answers.pop().unwrap_or_default();
            searches.push(Search { query: query.clone(), known: is_known(query), found });
        }
        Ok(searches)
    }

    /// Returns the attention pictures of some birds.
    fn looks(&self, model: &Model, dataset: &Dataset) -> Result<Vec<::image::RgbImage>> {
        let looks = spread(&dataset.test, LOOKS).map(|sample| {
            let picture = sample.open(&self.context.limits)?;
            Ok(model.attention(&picture)?.all())
        });
        looks.collect()
    }
}

/// Returns up to `count` samples, evenly spread.
fn spread(samples: &[Sample], count: usize) -> impl Iterator<Item = &Sample> {
    let step = (samples.len() / count.max(1)).max(1);
    samples.iter().skip(step / 2).step_by(step).take(count)
}
