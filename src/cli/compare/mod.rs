/*!
`barbule compare`: several methods under one budget, in one table.

Here is what is run in which order; [`record`] is what is kept of a run, [`summary`] what
several seeds say together, [`table`] and [`plot`] how that is shown.
*/

pub(super) mod plot;
mod published;
mod record;
mod summary;
mod table;

use std::collections::HashSet;
use std::fs;
use std::io::{self, IsTerminal};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::str::FromStr;
use std::time::{Instant, SystemTime};

use anyhow::{Context as _, Result, bail};
use clap::ValueHint;
use tempfile::TempDir;

use super::context::bits;
use super::train::{Method, Network, NetworkMethod, positive};
use super::{Context, advice};
use crate::dataset::Layout;
use crate::method::exchnet;
use crate::task::Task;
use crate::train::{
    Comparison, Contender, EpochReport, LearnMethod, Setting, Split, TrainError, Watcher,
    checkpoint_path,
};
use crate::trunk::TrunkKind;
use record::{Record, Runs, Which};
use summary::{Failure, Results};

/// Train and measure several methods under one budget, in one table
///
/// Each METHOD (a name that `barbule train` knows, or all) is trained at each number of bits
/// from each seed, with the same trunk, input size, views and number of images shown, and
/// measured as `barbule eval` does it. Figures are means over seeds, with their sample
/// standard deviation (n − 1).
///
/// With --out every finished run is kept; the same command goes on where it was stopped.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example: barbule compare lda-itq adsh exchnet --data birds/ --bits 12,24,48 --seeds 3 \
                  --hold-out-classes 0.1 --out birds-compared"
)]
pub struct Args {
    /// The methods, or all
    #[arg(required = true, value_name = "METHOD")]
    methods: Vec<Choice>,
    /// The labelled photos: a folder per class, or a published data set's folder
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    data: PathBuf,
    /// How the data lie, as `barbule data` lists them; found by looking if left out
    #[arg(long)]
    layout: Option<Layout>,
    /// Bits per code, 1 to 1024, one or several
    #[arg(long, default_value = "48", value_name = "C,…", value_delimiter = ',', value_parser = bits)]
    bits: Vec<usize>,
    /// How many seeds: 1 to N, each with held-out classes and a split of its own where the
    /// data have none
    #[arg(long, default_value = "1", value_name = "N", value_parser = positive)]
    seeds: usize,
    /// Which images are queries: test, or val for making choices
    #[arg(long, default_value = "test")]
    split: Split,
    /// Keep this share of the classes out of training, to measure on kinds never seen
    #[arg(long, value_name = "SHARE")]
    hold_out_classes: Option<f64>,
    /// Width and height of the trunk's input, in pixels, for all methods [default: 160; 224
    /// by the paper recipe, or without a network]
    #[arg(long, value_name = "PIXELS")]
    size: Option<u32>,
    /// The pretrained network: efficientnet-lite0, which ships, or resnet18 or resnet50, whose
    /// weights you name with --weights
    #[arg(long, default_value = "efficientnet-lite0", value_name = "TRUNK")]
    trunk: TrunkKind,
    /// The trunk's weights, as `barbule weights import` writes them [default: the shipped ones]
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    weights: Option<PathBuf>,
    /// Also exchnet without one thing at a time: the exchange, each diversity, all parts
    #[arg(long)]
    ablate: bool,
    /// Folder for a record of every run, table.md, results.json and plots as SVG
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    out: Option<PathBuf>,
    #[command(flatten)]
    network: Network,
}

/// One method, or all of them.
#[derive(Debug, Clone, Copy)]
enum Choice {
    All,
    One(Method),
}

impl FromStr for Choice {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        match name {
            "all" => Ok(Self::All),
            _ => name.parse().map(Self::One).map_err(|error: String| format!("{error}, or all")),
        }
    }
}

/// A row's name and what is trained for it.
struct Entry {
    name: String,
    contender: Contender,
}

/// A run that is to be made.
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
    let seeds: Vec<u64> = (1..=args.seeds as u64).collect();
    for (entry, bits) in entries.iter().flat_map(|e| lengths.iter().map(move |b| (e, *b))) {
        if let Contender::Network(plan) = &entry.contender {
            plan.check_bits(bits)?;
        }
    }
    let runs = args.out.as_deref().map(Runs::open).transpose()?;
    let device = context.device()?;
    let mut comparison =
        Comparison::open(setting(context, args, &entries, seeds.clone())?, &device)?;
    if let Some(dataset) = comparison.dataset() {
        dataset.warnings.iter().for_each(|warning| context.warn(warning));
    }

    // Seed by seed, since runs of one seed share its cached views.
    let mut planned = Vec::new();
    for (seed, bits) in seeds.iter().flat_map(|s| lengths.iter().map(move |b| (*s, *b))) {
        for entry in &entries {
            let key = comparison.key(&entry.contender, bits, seed);
            planned.push(Planned { entry, bits, seed, key });
        }
    }
    let known = |run: &Planned<'_>| {
        runs.as_ref().and_then(|runs| runs.find(&run.entry.name, run.bits, run.seed, &run.key))
    };
    let mut records: Vec<Record> = planned.iter().filter_map(known).collect();
    planned.retain(|run| known(run).is_none());
    if !records.is_empty() {
        context.say(format_args!(
            "{} of {} runs are there already",
            records.len(),
            records.len() + planned.len()
        ));
    }
    let place = Place::new(args.out.as_deref())?;
    let mut pace = Pace::new(planned.len());
    let (mut failures, mut named) = (Vec::new(), HashSet::new());
    for (number, run) in (1..).zip(&planned) {
        let Planned { entry, bits, seed, key } = run;
        let title = format!("{number}/{} {} {bits} bits, seed {seed}", planned.len(), entry.name);
        let model = place.model(&record::file_name(&entry.name, *bits, *seed, key));
        let begun = Instant::now();
        let measured = one(context, &mut comparison, run, &title, &model);
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
        // All runs leave out the same images.
        let unreadable = &measured.evaluation.unreadable;
        for image in unreadable.iter().filter(|image| named.insert(image.path.clone())) {
            context.warn(format_args!("skipped: {}", advice::told(&image.error)));
        }
        let (name, contender) = (entry.name.as_str(), &entry.contender);
        let which = Which { key, name, contender, bits: *bits, seed: *seed };
        let record = Record::of(which, &comparison, &measured, &device.to_string());
        if let Some(runs) = &runs {
            runs.keep(&record)?;
        }
        Place::clear(&model);
        let left = pace.left(planned[number..].iter().map(|run| run.entry.name.as_str()));
        context.say(format_args!("{title}: {}{left}", record.said(seconds)));
        records.push(record);
    }
    place.end();
    if let (true, Some(Failure { error, .. })) = (records.is_empty(), failures.first()) {
        bail!("{error}");
    }
    let names: Vec<&str> = entries.iter().map(|entry| entry.name.as_str()).collect();
    let results = Results::of(&comparison, &device.to_string(), &names, records, failures);
    if let Some(folder) = &args.out {
        write(folder, &results)?;
    }
    if context.json {
        context.print_json(&results)?;
    } else {
        context.print(table::terminal(&results))?;
        for sentence in results.sentences() {
            context.print(sentence)?;
        }
        if let Some(folder) = &args.out {
            context.print(format_args!("table, plots and runs are in {}", folder.display()))?;
        }
    }
    match results.failures.len() {
        0 => Ok(ExitCode::SUCCESS),
        _ => Ok(ExitCode::FAILURE),
    }
}

/// The rows that are asked for, each once.
fn entries(args: &Args) -> Result<Vec<Entry>> {
    let mut methods: Vec<Method> = Vec::new();
    for choice in &args.methods {
        let named: Vec<Method> = match choice {
            Choice::All => Method::all().collect(),
            Choice::One(method) => vec![*method],
        };
        for method in named {
            if !methods.contains(&method) {
                methods.push(method);
            }
        }
    }
    if args.ablate && !methods.contains(&Method::Network(NetworkMethod::ExchNet)) {
        bail!("--ablate takes exchnet apart, which is not among the methods; name it too");
    }
    let mut entries = Vec::new();
    for method in methods {
        let contender = match method {
            Method::Shallow(method) => Contender::Shallow(method),
            Method::Network(method) => {
                Contender::Network(Box::new(args.network.plan(method, args.size)?))
            }
        };
        let name = name(&contender);
        let ablated = if args.ablate { ablations(&contender) } else { Vec::new() };
        entries.push(Entry { name, contender });
        entries.extend(ablated);
    }
    Ok(entries)
}

/// The method's name.
fn name(contender: &Contender) -> String {
    match contender {
        Contender::Shallow(method) => method.to_string(),
        Contender::Network(plan) => plan.method.name().to_owned(),
    }
}

/// ExchNet without one thing at a time; nothing for other methods.
fn ablations(contender: &Contender) -> Vec<Entry> {
    let Contender::Network(plan) = contender else { return Vec::new() };
    let LearnMethod::ExchNet(whole) = plan.method else { return Vec::new() };
    let entry = |(what, options): (&str, exchnet::Options)| {
        let mut plan = plan.clone();
        plan.method = LearnMethod::ExchNet(options);
        Entry { name: format!("exchnet {what}"), contender: Contender::Network(plan) }
    };
    [
        ("without exchange", exchnet::Options { exchange_share: 0.0, ..whole }),
        ("without L_sp", exchnet::Options { spatial_weight: 0.0, ..whole }),
        ("without L_cp", exchnet::Options { channel_weight: 0.0, ..whole }),
        ("global only", exchnet::Options { parts: 0, ..whole }),
    ]
    .map(entry)
    .into()
}

fn setting(context: &Context, args: &Args, entries: &[Entry], seeds: Vec<u64>) -> Result<Setting> {
    let networks = entries.iter().any(|entry| matches!(entry.contender, Contender::Network(_)));
    // Which method makes no difference to where the cache is and how large images are.
    let plan = args.network.plan(NetworkMethod::Adsh, args.size)?;
    Ok(Setting {
        data: args.data.clone(),
        layout: args.layout,
        split: args.split,
        hold_out: args.hold_out_classes,
        seeds,
        trunk: args.trunk,
        weights: args.weights.clone(),
        size: if networks { plan.size } else { args.size.unwrap_or(224) },
        cache: plan.cache,
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

/// A training as the terminal sees it, before the bar; where there is no terminal, a line
/// for each run is enough.
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

/// Whether an error would meet every other run too.
fn is_final(error: &TrainError) -> bool {
    error.is_stop()
        || matches!(
            error,
            TrainError::Cache { .. } | TrainError::Checkpoint { .. } | TrainError::NoImages { .. }
        )
}

/// Where models lie while they are trained and measured.
struct Place {
    folder: PathBuf,
    /// Of one's own, if nothing is kept.
    temporary: Option<TempDir>,
}

impl Place {
    fn new(out: Option<&Path>) -> Result<Self> {
        let failed = "cannot make a folder for unfinished runs";
        let Some(out) = out else {
            let temporary = tempfile::tempdir().context(failed)?;
            return Ok(Self { folder: temporary.path().into(), temporary: Some(temporary) });
        };
        let folder = out.join("unfinished");
        fs::create_dir_all(&folder).context(failed)?;
        Ok(Self { folder, temporary: None })
    }

    fn model(&self, name: &str) -> PathBuf {
        self.folder.join(format!("{name}.safetensors"))
    }

    /// Takes a finished run's model away. What stays is no harm.
    fn clear(model: &Path) {
        let _ = fs::remove_file(model);
        let _ = fs::remove_file(checkpoint_path(model));
    }

    /// Takes the folder away unless it holds a run that can be gone on with.
    fn end(self) {
        if self.temporary.is_none() {
            let _ = fs::remove_dir(self.folder);
        }
    }
}

/// How long runs take, by method.
struct Pace {
    total: usize,
    seen: Vec<(String, f64)>,
}

impl Pace {
    fn new(total: usize) -> Self {
        Self { total, seen: Vec::with_capacity(total) }
    }

    fn saw(&mut self, name: &str, seconds: f64) {
        self.seen.push((name.to_owned(), seconds));
    }

    /// How long the runs of these names will take; methods not seen yet count as the mean.
    fn left<'a>(&self, names: impl Iterator<Item = &'a str>) -> String {
        let mean = |of: &dyn Fn(&str) -> bool| {
            let seconds = self.seen.iter().filter(|(name, _)| of(name)).map(|(_, s)| *s);
            let seconds: Vec<f64> = seconds.collect();
            (!seconds.is_empty()).then(|| seconds.iter().sum::<f64>() / seconds.len() as f64)
        };
        let one = |name: &str| mean(&|n| n == name).or_else(|| mean(&|_| true)).unwrap_or(0.0);
        match names.map(one).sum::<f64>() {
            _ if self.seen.len() == self.total => String::new(),
            seconds if seconds < 90.0 => format!("; about {seconds:.0} s left"),
            seconds if seconds < 5400.0 => format!("; about {:.0} min left", seconds / 60.0),
            seconds => format!("; about {:.1} h left", seconds / 3600.0),
        }
    }
}

/// Writes everything but the runs, which are there.
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

/// The present time, to the second, in UTC.
fn now() -> String {
    humantime::format_rfc3339_seconds(SystemTime::now()).to_string()
}
