/*!
Summaries over seeds, and notes for the table.
*/

use std::collections::HashSet;
use std::env;

use serde::Serialize;

use super::published::{self, Published};
use super::record::Record;
use super::time::now;
use crate::eval::Metrics;
use crate::train::{Comparison, Ranking, Setting};

/// A mean over seeds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Spread {
    pub mean: f64,
    /// The sample standard deviation (n − 1); `None` for a single seed.
    pub deviation: Option<f64>,
}

impl Spread {
    /// Summarises several values; `None` if there are none.
    pub fn of(values: impl Iterator<Item = f64>) -> Option<Self> {
        let values: Vec<f64> = values.collect();
        let n = values.len() as f64;
        let mean = values.iter().sum::<f64>() / n;
        let squares = values.iter().map(|v| (v - mean).powi(2)).sum::<f64>();
        let deviation = (values.len() > 1).then(|| (squares / (n - 1.0)).sqrt());
        (!values.is_empty()).then_some(Self { mean, deviation })
    }
}

/// The mAP of one order of the database.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Maps {
    /// Queries of trained classes.
    pub map: Spread,
    /// Form A: queries of held-out classes against the whole database.
    pub unseen: Option<Spread>,
    /// Form B: the same, with known classes given by images to which nothing was fitted.
    pub unseen_fresh: Option<Spread>,
    /// Form C: the same, against held-out classes alone.
    pub unseen_alone: Option<Spread>,
}

impl Maps {
    fn of(rankings: &[&Ranking]) -> Option<Self> {
        let spread = |of: &dyn Fn(&Ranking) -> Option<&Metrics>| {
            Spread::of(rankings.iter().filter_map(|one| of(one)).map(|metrics| metrics.map))
        };
        Some(Self {
            map: spread(&|one| Some(&one.known))?,
            unseen: spread(&|one| one.unseen.as_ref()),
            unseen_fresh: spread(&|one| one.unseen_fresh.as_ref()),
            unseen_alone: spread(&|one| one.unseen_alone.as_ref()),
        })
    }
}

/// A row of the table: one method at one number of bits.
#[derive(Debug, Serialize)]
pub struct Row {
    pub name: String,
    pub bits: usize,
    /// Number of measured seeds.
    pub seeds: usize,
    /// With codes on both sides.
    #[serde(flatten)]
    pub codes: Maps,
    /// With the real values of queries; those of words are the same as with codes.
    pub real: Option<Maps>,
    /// Set if codes are words, which have no Hamming distance.
    pub words: bool,
    /// With learned codes of the database.
    pub map_learned: Option<Spread>,
    pub p_at_1: Spread,
    pub seconds_training: Spread,
    pub images_shown: Spread,
    /// Mean precision at recall 0, 0.01, …, 1.
    #[serde(skip)]
    pub curve: Vec<f64>,
    /// The same for held-out classes in form B; empty if there are none.
    #[serde(skip)]
    pub unseen_curve: Vec<f64>,
}

impl Row {
    /// Returns the figures of real queries if there are any, else those of codes.
    pub fn best(&self) -> &Maps {
        self.real.as_ref().unwrap_or(&self.codes)
    }

    fn of(name: &str, bits: usize, records: &[Record]) -> Option<Self> {
        let runs = records.iter().filter(|record| record.name == name && record.bits == bits);
        let runs: Vec<&Record> = runs.collect();
        let spread = |of: &dyn Fn(&Record) -> f64| Spread::of(runs.iter().map(|run| of(run)));
        let codes: Vec<&Ranking> = runs.iter().map(|run| &run.network).collect();
        let real: Option<Vec<&Ranking>> = runs.iter().map(|run| run.real()).collect();
        let best: Vec<&Ranking> = runs.iter().map(|run| run.best()).collect();
        let known: Vec<&Metrics> = best.iter().map(|one| &one.known).collect();
        let unseen: Vec<&Metrics> =
            best.iter().filter_map(|one| one.unseen_fresh.as_ref()).collect();
        Some(Self {
            name: name.to_owned(),
            bits,
            seeds: runs.len(),
            codes: Maps::of(&codes)?,
            real: real.and_then(|real| Maps::of(&real)),
            words: runs.iter().any(|run| run.hamming().is_none()),
            map_learned: Spread::of(runs.iter().filter_map(|run| run.map_learned)),
            p_at_1: spread(&|run| run.best().known.p_at_1)?,
            seconds_training: spread(&|run| run.seconds_training)?,
            images_shown: spread(&|run| run.images_shown as f64)?,
            curve: mean_curve(&known),
            unseen_curve: mean_curve(&unseen),
        })
    }
}

/// Returns the pointwise mean of several precision–recall curves.
fn mean_curve(all: &[&Metrics]) -> Vec<f64> {
    let points = all.iter().map(|metrics| metrics.curve.len()).min().unwrap_or(0);
    let mean = |i: usize| {
        all.iter().map(|metrics| metrics.curve[i].precision).sum::<f64>() / all.len() as f64
    };
    (0..points).map(mean).collect()
}

/// A failed run.
#[derive(Debug, Serialize)]
pub struct Failure {
    pub name: String,
    pub bits: usize,
    pub seed: u64,
    pub error: String,
}

/// A whole comparison. The published fields of `compare --json` and `results.json`.
#[derive(Debug, Serialize)]
pub struct Results {
    pub program: String,
    pub command: String,
    pub machine: String,
    pub device: String,
    /// The time at which it ended, UTC.
    pub date: String,
    pub data: String,
    pub layout: String,
    pub classes: usize,
    pub training_images: usize,
    pub database: usize,
    pub queries: usize,
    pub split: &'static str,
    pub hold_out_classes: Option<f64>,
    pub seeds: Vec<u64>,
    pub trunk: String,
    pub size: u32,
    /// The kind of deviation beside each mean.
    pub deviation: &'static str,
    pub rows: Vec<Row>,
    /// Published figures, if the setting matches.
    pub published: Vec<Published>,
    pub failures: Vec<Failure>,
    /// Every run, with its settings.
    pub runs: Vec<Record>,
}

impl Results {
    pub fn of(
        comparison: &Comparison,
        device: &str,
        names: &[&str],
        runs: Vec<Record>,
        failures: Vec<Failure>,
    ) -> Self {
        let setting = comparison.setting();
        let Setting { split, hold_out, seeds, trunk, size, .. } = setting;
        let mut bits: Vec<usize> = runs.iter().map(|run| run.bits).collect();
        bits.sort_unstable();
        bits.dedup();
        let pairs = bits.iter().flat_map(|bits| names.iter().map(|name| (*name, *bits)));
        let rows = pairs.filter_map(|(name, bits)| Row::of(name, bits, &runs)).collect();
        let dataset = comparison.dataset();
        let root = dataset.and_then(|set| set.root.file_name());
        Self {
            program: format!("barbule {}", env!("CARGO_PKG_VERSION")),
            command: command(env::args().skip(1)),
            machine: machine(),
            device: device.to_owned(),
            date: now(),
            data: root.unwrap_or_default().to_string_lossy().into_owned(),
            layout: dataset.map(|set| set.layout.to_string()).unwrap_or_default(),
            classes: dataset.map_or(0, |set| set.classes.len()),
            training_images: dataset.map_or(0, |set| set.train.len()),
            database: dataset.map_or(0, |set| set.database().len()),
            queries: dataset.map_or(0, |set| split.of(set).len()),
            split: split.name(),
            hold_out_classes: *hold_out,
            seeds: seeds.clone(),
            trunk: trunk.to_string(),
            size: *size,
            deviation: "sample (n − 1)",
            rows,
            published: dataset.map_or(Vec::new(), |set| published::rows(setting, set, &bits)),
            failures,
            runs,
        }
    }

    /// Returns the number of distinct row names.
    pub fn methods(&self) -> usize {
        self.rows.iter().map(|row| &row.name).collect::<HashSet<_>>().len()
    }

    /// Returns whether classes were held out.
    pub fn has_unseen(&self) -> bool {
        self.rows.iter().any(|row| row.codes.unseen.is_some())
    }

    /// Returns the number of classes that each run held out.
    fn held_out(&self) -> usize {
        self.runs.iter().map(|run| run.classes_held_out).max().unwrap_or(0)
    }

    /// Returns whether any run has learned codes.
    pub fn has_learned(&self) -> bool {
        self.rows.iter().any(|row| row.map_learned.is_some())
    }

    /// Returns the notes for the table.
    pub fn sentences(&self) -> Vec<String> {
        let Self { queries, split, training_images, database, classes, trunk, size, .. } = self;
        let mut said = vec![format!(
            "{queries} {split} queries against {database} images of {classes} classes \
             ({training_images} to train on{}), {trunk} at {size}×{size}, {}; {}.",
            if self.hold_out_classes.is_some() { " before classes are held out" } else { "" },
            match self.seeds.len() {
                1 => "seed 1".to_owned(),
                n => format!("seeds 1 to {n}, mean ± {} standard deviation", self.deviation),
            },
            self.device,
        )];
        said.push(
            "mAP covers the whole ranking, as the expectation over random orders of images at equal \
             distance. Training is the time of fitting or training alone: the output of the frozen \
             part of the trunk was computed before, once for all methods."
                .to_owned(),
        );
        if let Some(share) = self.hold_out_classes {
            said.push(format!(
                "{:.0} % of the classes were held out ({} of {classes}), different ones for each seed: \
                 mAP is that of the other classes among themselves, unseen is that of queries of \
                 held-out classes. Their database is, in form A, that of all classes; in form B, the \
                 known classes are given by {split} images, to which nothing was fitted; in form C, \
                 it has held-out classes alone. In form A, a method that pulls its training images \
                 together gets better figures for that alone.",
                share * 100.0,
                self.held_out(),
            ));
        }
        said.push(
            "Columns named real rank the whole database by the real values of a query, those of words \
             among them; the others rank by the Hamming distance of codes. P@1 is that of real \
             queries."
                .to_owned(),
        );
        if self.has_learned() {
            said.push(
                "mAP learned uses the learned codes of the database instead of the network's, as papers report it."
                    .to_owned(),
            );
        }
        if !self.published.is_empty() {
            said.push(published::DIFFERENCE.to_owned());
        }
        let failed = self.failures.iter();
        said.extend(failed.map(|Failure { name, bits, seed, error }| {
            format!("{name} with {bits} bits from seed {seed} failed: {error}.")
        }));
        said
    }
}

/// Returns the command line, quoted for a shell.
fn command(args: impl Iterator<Item = String>) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./,=:+@%".contains(c);
    let quoted = |arg: String| {
        if !arg.is_empty() && arg.chars().all(plain) {
            return arg;
        }
        format!("'{}'", arg.replace('\'', r"'\''"))
    };
    let words: Vec<String> = args.map(quoted).collect();
    format!("barbule {}", words.join(" "))
}

/// Returns the processor, its threads and the system.
fn machine() -> String {
    let mut system = sysinfo::System::new();
    system.refresh_cpu_list(sysinfo::CpuRefreshKind::nothing());
    system.refresh_memory();
    let brand = system.cpus().first().map(|cpu| cpu.brand().trim().to_owned());
    format!(
        "{}, {} threads, {:.0} GiB, {}",
        brand.filter(|brand| !brand.is_empty()).unwrap_or_else(|| env::consts::ARCH.to_owned()),
        rayon::current_num_threads(),
        system.total_memory() as f64 / (1u64 << 30) as f64,
        env::consts::OS,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deviations_are_of_a_sample() {
        let spread = Spread::of([1.0, 2.0, 4.0].into_iter()).unwrap();
        assert!((spread.mean - 7.0 / 3.0).abs() < 1e-12);
        // (16/9 + 1/9 + 25/9) / 2
        assert!((spread.deviation.unwrap() - (7.0f64 / 3.0).sqrt()).abs() < 1e-12);
        let one = Spread { mean: 0.5, deviation: None };
        assert_eq!(Spread::of([0.5].into_iter()), Some(one));
        assert_eq!(Spread::of([].into_iter()), None);
    }

    #[test]
    fn a_command_can_be_given_to_a_shell() {
        let args = ["compare", "all", "--data", "my birds/", "it's", ""].map(str::to_owned);
        assert_eq!(
            command(args.into_iter()),
            r"barbule compare all --data 'my birds/' 'it'\''s' ''"
        );
    }
}
