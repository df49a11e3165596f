/*!
`barbule compare`: several methods under one budget, in one table.

This file plans and runs; [`record`] stores the result of a run, [`summary`] summarises seeds,
[`table`] and [`plot`] show the summary.
*/

use std::collections::HashSet;
use std::io::{self, IsTerminal};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::str::FromStr;
use std::time::Instant;

use anyhow::{Context as _, Result, bail};
use clap::ValueHint;

use super::pace::Pace;
use super::place::Place;
use super::record::{Record, Runs, Which};
use super::summary::{Failure, Results};
use super::{plot, record, table};
use crate::cli::context::bits;
use crate::cli::train::{Network, positive};
use crate::cli::{Context, advice};
use crate::dataset::Layout;
use crate::method::{self, Ablation, METHODS, Method};
use crate::task::Task;
use crate::train::{
    Comparison, Contender, EpochReport, LearnPlan, Setting, Split, TrainError, Watcher,
};
use crate::trunk::TrunkKind;

/// Train and measure several methods under one budget, in one table
///
/// Trains each METHOD (a name that `barbule train` knows, or all) at each number of bits from each
/// seed, with the same trunk, input size, views and number of images shown, and measures it as
/// `barbule eval` does. Figures are means over seeds, with their sample standard deviation (n − 1).
///
/// With --out, every finished run is kept; the same command resumes a stopped comparison.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example: barbule compare lda-itq adsh exchnet --data birds/ --bits 12,24,48 --seeds 3 \
                  --hold-out-classes 0.1 --out birds-compared"
)]
pub struct Args {
    /// The methods, or all
    #[arg(required = true, value_name = "METHOD")]
    methods: Vec<Choice>,
    /// The labelled photos: a folder per class, an index with labels, or the folder of a published
    /// data set
    #[arg(long, value_name = "DIR|FILE", value_hint = ValueHint::AnyPath)]
    data: PathBuf,
    /// The layout of the data, as listed by `barbule data` [default: detected]
    #[arg(long)]
    layout: Option<Layout>,
    /// Bits per code, 1 to 1024, one or several
    #[arg(long, default_value = "48", value_name = "C,…", value_delimiter = ',', value_parser = bits)]
    bits: Vec<usize>,
    /// Number of seeds, 1 to N; each has its own held-out classes, and its own split if the data
    /// set has none
    #[arg(long, default_value = "1", value_name = "N", value_parser = positive)]
    seeds: usize,
    /// The split with the queries: test, or val for choosing options
    #[arg(long, default_value = "test")]
    split: Split,
    /// Exclude this share of the classes from training, to measure on unseen classes
    #[arg(long, value_name = "SHARE")]
    hold_out_classes: Option<f64>,
    /// Width and height of the trunk's input, in pixels, for all methods [default: 160; 224 with
    /// the paper recipe or without a network]
    #[arg(long, value_name = "PIXELS")]
    size: Option<u32>,
    /// The pretrained network: efficientnet-lite0 (included), or one that `barbule weights list`
    /// names, which needs --weights
    #[arg(long, default_value = "efficientnet-lite0", value_name = "TRUNK")]
    trunk: TrunkKind,
    /// The trunk's weights, as written by `barbule weights import` [default: the included ones]
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    weights: Option<PathBuf>,
    #[arg(long, help = ablate_help())]
    ablate: bool,
    /// Folder for the record of every run, table.md, results.json and plots as SVG
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    out: Option<PathBuf>,
    /// Also show the runs that another comparison wrote with --out, of methods that are not named
    /// here; its data, split, held-out classes, trunk and size must be the same
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    also: Vec<PathBuf>,
    #[command(flatten)]
    network: Network,
}

/// One method, or all of them.
#[derive(Debug, Clone, Copy)]
enum Choice {
    All,
    One(&'static Method),
}

impl FromStr for Choice {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        match name {
            "all" => Ok(Self::All),
            _ => method::method(name).map(Self::One).map_err(|error| format!("{error}, or all")),
        }
    }
}

/// A row's name and its contender.
struct Entry {
    name: String,
    contender: Contender,
}

/// A planned run.
struct Planned<'a> {
    entry: &'a Entry,
    bits: usize,
    seed: u64,
    key: String,
}

pub fn run(context: &Context, args: &Args) -> Result<ExitCode> {
    let entries = entries(args)?;
    let mut lengths = args.bits.clone();
    lengths.sort_unstable();
    lengths.dedup();
    for (entry, bits) in entries.iter().flat_map(|e| lengths.iter().map(move |b| (e, *b))) {
        entry.contender.method().check_bits(bits)?;
    }
    let seeds: Vec<u64> = (1..=args.seeds as u64).collect();
    let runs = args.out.as_deref().map(Runs::open).transpose()?;
    let device = context.device()?;
    let mut comparison =
        Comparison::open(setting(context, args, &entries, seeds.clone())?, &device)?;
    if let Some(dataset) = comparison.dataset() {
        crate::cli::dataset::warn(context, dataset)?;
    }
    let mut names: Vec<&str> = entries.iter().map(|entry| entry.name.as_str()).collect();
    let others = others(&args.also, &comparison, &seeds, &names)?;
    let mut planned = plan(&comparison, &entries, &seeds, &lengths)?;
    let mut records = take_known(&mut planned, runs.as_ref());
    if !records.is_empty() {
        context.say(format_args!(
            "{} of {} runs are already finished",
            records.len(),
            records.len() + planned.len()
        ));
    }
    let failures =
        measure_all(context, args, &mut comparison, &planned, runs.as_ref(), &mut records)?;
    if let (true, Some(Failure { error, .. })) = (records.is_empty(), failures.first()) {
        bail!("{error}");
    }
    for name in others.iter().map(|record| record.name.as_str()) {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    records.extend(others.iter().cloned());
    let results = Results::of(&comparison, &device.to_string(), &names, records, failures);
    report(context, args, &results)?;
    match results.failures.len() {
        0 => Ok(ExitCode::SUCCESS),
        _ => Ok(ExitCode::FAILURE),
    }
}

/// Returns all runs, seed by seed, because runs of one seed share its cached views.
fn plan<'a>(
    comparison: &Comparison,
    entries: &'a [Entry],
    seeds: &[u64],
    lengths: &[usize],
) -> Result<Vec<Planned<'a>>> {
    let mut planned = Vec::new();
    for (seed, bits) in seeds.iter().flat_map(|s| lengths.iter().map(move |b| (*s, *b))) {
        for entry in entries {
            let key = comparison.key(&entry.contender, bits, seed)?;
            planned.push(Planned { entry, bits, seed, key });
        }
    }
    Ok(planned)
}

/// Returns the records of other comparisons, in the order of their folders, with these seeds and of
/// methods that are not among `named`.
///
/// # Errors
/// If one has no records, or ones that cannot stand in a table with those of `comparison`.
fn others(
    folders: &[PathBuf],
    comparison: &Comparison,
    seeds: &[u64],
    named: &[&str],
) -> Result<Vec<Record>> {
    let is_wanted =
        |record: &Record| seeds.contains(&record.seed) && !named.contains(&record.name.as_str());
    let (mut all, mut seen) = (Vec::new(), HashSet::new());
    for path in folders {
        let (found, folder) = (record::read_all(path)?, path.display());
        if found.is_empty() {
            bail!("{folder} has no runs; give a folder that `barbule compare --out` wrote");
        }
        for record in found.into_iter().filter(is_wanted) {
            if let Some(different) = record.different(comparison) {
                bail!("the runs in {folder} cannot stand in one table with these: {different}");
            }
            let Record { name, bits, seed, .. } = &record;
            if !seen.insert((name.clone(), *bits, *seed)) {
                bail!(
                    "there is more than one run of {name} with {bits} bits and seed {seed} in \
                     {folder} and the folders before it; remove the others from its folder runs"
                );
            }
            all.push(record);
        }
    }
    Ok(all)
}

/// Removes the runs that have records from `planned`, and returns these records.
fn take_known(planned: &mut Vec<Planned<'_>>, runs: Option<&Runs>) -> Vec<Record> {
    let mut records = Vec::new();
    planned.retain(|run| {
        let record = runs.and_then(|runs| runs.find(&run.entry.name, run.bits, run.seed, &run.key));
        let is_new = record.is_none();
        records.extend(record);
        is_new
    });
    records
}

/// Trains and measures all planned runs; adds their records to `records` and returns the failures.
fn measure_all(
    context: &Context,
    args: &Args,
    comparison: &mut Comparison,
    planned: &[Planned<'_>],
    runs: Option<&Runs>,
    records: &mut Vec<Record>,
) -> Result<Vec<Failure>> {
    let place = Place::new(args.out.as_deref())?;
    let mut pace = Pace::new(planned.len());
    let (mut failures, mut named) = (Vec::new(), HashSet::new());
    for (number, run) in (1..).zip(planned) {
        let Planned { entry, bits, seed, key } = run;
        let title = format!("{number}/{} {} {bits} bits, seed {seed}", planned.len(), entry.name);
        let model = place.model(&record::file_name(&entry.name, *bits, *seed, key));
        let begun = Instant::now();
        let measured = one(context, comparison, run, &title, &model);
        let seconds = begun.elapsed().as_secs_f64();
        pace.saw(&entry.name, seconds);
        let measured = match measured {
            Ok(measured) => measured,
            Err(error) if is_final(&error) => return Err(error.into()),
            Err(error) => {
                let (name, error) = (entry.name.clone(), advice::told(&error));
                context.warn(format_args!("{title}: {error}"));
                failures.push(Failure { name, bits: *bits, seed: *seed, error });
                continue;
            }
        };
        // All runs leave out the same unreadable images.
        let unreadable = &measured.evaluation.unreadable;
        for image in unreadable.iter().filter(|image| named.insert(image.path.clone())) {
            context.warn(format_args!("skipped: {}", advice::told(&image.error)));
        }
        let (name, contender) = (entry.name.as_str(), &entry.contender);
        let which = Which { key, name, contender, bits: *bits, seed: *seed };
        let device = comparison.device().to_string();
        let record = Record::of(which, comparison, &measured, &device)?;
        if let Some(runs) = runs {
            runs.keep(&record)?;
        }
        Place::clear(&model);
        let left = pace.left(planned[number..].iter().map(|run| run.entry.name.as_str()));
        context.say(format_args!("{title}: {}{left}", record.said(seconds)));
        records.push(record);
    }
    place.end();
    Ok(failures)
}

/// Writes and prints the results.
fn report(context: &Context, args: &Args, results: &Results) -> Result<()> {
    if let Some(folder) = &args.out {
        write(folder, results)?;
    }
    if context.json {
        return context.print_json(results);
    }
    context.print(table::terminal(results))?;
    for sentence in results.sentences() {
        context.print(sentence)?;
    }
    if let Some(folder) = &args.out {
        context.print(format_args!("table, plots and runs are in {}", folder.display()))?;
    }
    Ok(())
}

/// Returns the requested rows without duplicates.
fn entries(args: &Args) -> Result<Vec<Entry>> {
    let mut methods: Vec<&'static Method> = Vec::new();
    for choice in &args.methods {
        let named = match choice {
            Choice::All => METHODS.to_vec(),
            Choice::One(method) => vec![*method],
        };
        for method in named {
            if !methods.contains(&method) {
                methods.push(method);
            }
        }
    }
    if args.ablate && methods.iter().all(|method| method.ablations.is_empty()) {
        let names = method::lookup::names(|method| !method.ablations.is_empty());
        bail!("--ablate applies to {names}, which is not among the methods; add it");
    }
    let mut entries = Vec::new();
    for method in methods {
        let name = method.name.to_owned();
        if !method.trains_network() {
            entries.push(Entry { name, contender: Contender::Shallow(method) });
            continue;
        }
        let plan = args.network.plan(method, args.trunk, args.size)?;
        let ablated = if args.ablate { ablations(&plan) } else { Vec::new() };
        entries.push(Entry { name, contender: Contender::Network(Box::new(plan)) });
        entries.extend(ablated);
    }
    Ok(entries)
}

/// Returns the plan of an ablation.
fn ablations(plan: &LearnPlan) -> Vec<Entry> {
    let without = |ablation: &Ablation| {
        let mut plan = plan.clone();
        plan.settings.set(ablation.option, ablation.value);
        let name = format!("{} {}", plan.method, ablation.name);
        Entry { name, contender: Contender::Network(Box::new(plan)) }
    };
    plan.method.ablations.iter().map(without).collect()
}

/// Returns the help of `--ablate`, with the variants of each method.
fn ablate_help() -> String {
    let variants =
        METHODS.into_iter().filter(|method| !method.ablations.is_empty()).map(|method| {
            let names: Vec<&str> = method.ablations.iter().map(|ablation| ablation.name).collect();
            format!("{method} {}", names.join(", "))
        });
    let variants: Vec<String> = variants.collect();
    format!("Also methods without one of their parts at a time: {}", variants.join("; "))
}

fn setting(context: &Context, args: &Args, entries: &[Entry], seeds: Vec<u64>) -> Result<Setting> {
    // All networks get images of the same size.
    let network = entries.iter().find_map(|entry| match &entry.contender {
        Contender::Network(plan) => Some(plan.size),
        Contender::Shallow(_) => None,
    });
    Ok(Setting {
        data: args.data.clone(),
        layout: args.layout,
        split: args.split,
        hold_out: args.hold_out_classes,
        seeds,
        trunk: args.trunk,
        weights: args.weights.clone(),
        size: network.or(args.size).unwrap_or_else(|| args.trunk.fitting(224)),
        cache: args.network.cache()?,
        limits: context.limits,
    })
}

/// Prepares, trains and measures.
fn one(
    context: &Context,
    comparison: &mut Comparison,
    run: &Planned<'_>,
    title: &str,
    model: &Path,
) -> Result<crate::train::Measured, TrainError> {
    let Planned { entry: Entry { contender, .. }, bits, seed, .. } = run;
    let prepare = |task: &Task<'_>| comparison.prepare(contender, *bits, *seed, task);
    context.with_progress(&format!("{title}: features"), prepare)?;
    context.with_notes(title, |task, note| {
        let mut followed = Followed { title, note };
        comparison.run(contender, *bits, *seed, model, task, &mut followed)
    })
}

/// Reports a training run in front of the progress bar. Without a terminal, it prints one line per
/// run.
struct Followed<'a> {
    title: &'a str,
    note: &'a dyn Fn(String),
}

impl Watcher for Followed<'_> {
    fn epoch(&mut self, epoch: &EpochReport) {
        if io::stderr().is_terminal() {
            let EpochReport { outer, of, loss, .. } = epoch;
            (self.note)(format!("{} · outer {outer}/{of} loss {loss:.3}", self.title));
        }
    }
}

/// Returns whether every other run would fail with the same error.
fn is_final(error: &TrainError) -> bool {
    error.is_stop()
        || matches!(
            error,
            TrainError::Cache { .. } | TrainError::Checkpoint { .. } | TrainError::NoImages { .. }
        )
}

/// Writes everything except the runs, which are already written.
fn write(folder: &Path, results: &Results) -> Result<()> {
    let write = |name: &str, text: String| {
        let path = folder.join(name);
        crate::file::write_whole(&path, |out| out.write_all(text.as_bytes()))
            .with_context(|| format!("cannot write {}", path.display()))
    };
    let plots = plot::all(results);
    for plot in &plots {
        write(&plot.file, plot.svg.clone())?;
    }
    write("results.json", serde_json::to_string_pretty(results)?)?;
    write("table.md", table::markdown(results, &plots))
}
