/*!
The record of one run: its settings and figures, without its model.
*/

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::time::now;
use crate::eval::pointing::Pointing;
use crate::file;
use crate::train::{Comparison, Contender, LearnPlan, Measured, Ranking, Setting};

/// Maximum size of a record (bytes).
const MAX_BYTES: u64 = 16 << 20;

/// One run. The published fields of `runs/*.json`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Record {
    /// Everything that the figures depend on, as one name.
    pub key: String,
    /// The row it belongs to.
    pub name: String,
    pub method: String,
    pub bits: usize,
    pub seed: u64,
    /// The settings of training and measurement.
    pub settings: Map<String, Value>,
    /// With learned codes of the database, as papers report it.
    pub map_learned: Option<f64>,
    /// With the codes of the network: by Hamming distance, or by words.
    #[serde(flatten)]
    pub network: Ranking,
    /// With the real values of queries; none if codes are words, or in records of before.
    #[serde(default)]
    pub asymmetric: Option<Ranking>,
    /// Number of classes that were held out.
    #[serde(default)]
    pub classes_held_out: usize,
    /// Attention compared with the parts that distinguish the classes, if both are known.
    pub pointing: Option<Pointing>,
    pub training_images: usize,
    pub unreadable_images: usize,
    /// Training images shown, each as often as it was shown.
    pub images_shown: usize,
    /// Time of fitting or training alone; the output of the frozen part of the trunk already
    /// existed.
    pub seconds_training: f64,
    pub seconds_evaluation: f64,
    pub program: String,
    pub device: String,
    /// The time at which it ended, UTC.
    pub date: String,
}

/// The identity of a run.
pub struct Which<'a> {
    pub key: &'a str,
    pub name: &'a str,
    pub contender: &'a Contender,
    pub bits: usize,
    pub seed: u64,
}

impl Record {
    pub fn of(
        Which { key, name, contender, bits, seed }: Which<'_>,
        comparison: &Comparison,
        measured: &Measured,
        device: &str,
    ) -> Result<Self> {
        let Measured { evaluation, seconds, shown, images, .. } = measured;
        let mut settings = common(comparison, seed);
        if let Contender::Network(plan) = contender {
            settings.append(&mut network(plan)?);
        }
        Ok(Self {
            key: key.to_owned(),
            name: name.to_owned(),
            method: contender.method().name.to_owned(),
            bits,
            seed,
            settings,
            map_learned: evaluation.learned.as_ref().map(|learned| learned.map),
            network: evaluation.network.clone(),
            asymmetric: evaluation.asymmetric.clone(),
            classes_held_out: evaluation.held_out,
            pointing: evaluation.pointing,
            training_images: *images,
            unreadable_images: evaluation.unreadable.len(),
            images_shown: *shown,
            seconds_training: *seconds,
            seconds_evaluation: evaluation.seconds,
            program: format!("barbule {}", env!("CARGO_PKG_VERSION")),
            device: device.to_owned(),
            date: now(),
        })
    }

    /// Returns in what the setting differs from that of a comparison; `None` if it does not.
    pub fn different(&self, comparison: &Comparison) -> Option<String> {
        let wanted = common(comparison, self.seed);
        let (name, value) =
            wanted.iter().find(|(name, value)| self.settings.get(*name) != Some(value))?;
        let own = self.settings.get(name).unwrap_or(&Value::Null);
        Some(format!("{} is {own} there and {value} here", name.replace('_', " ")))
    }

    /// Returns the figures of real-valued queries if there are any: for words, those of words.
    pub fn real(&self) -> Option<&Ranking> {
        // Only the Hamming distance has a radius.
        let words = self.network.known.p_radius_2.is_none();
        if words { Some(&self.network) } else { self.asymmetric.as_ref() }
    }

    /// Returns the figures of queries by their signs; `None` for words.
    pub fn hamming(&self) -> Option<&Ranking> {
        self.network.known.p_radius_2.map(|_| &self.network)
    }

    /// Returns the figures by which a method is judged: those of real-valued queries.
    pub fn best(&self) -> &Ranking {
        self.real().unwrap_or(&self.network)
    }

    /// Returns a short summary of the figures.
    pub fn said(&self, seconds: f64) -> String {
        let Ranking { known, unseen_fresh: unseen, .. } = self.best();
        let unseen = unseen.as_ref().map(|unseen| format!(", unseen {:.3}", unseen.map));
        format!("mAP {:.3}{} in {seconds:.0} s", known.map, unseen.unwrap_or_default())
    }
}

fn common(comparison: &Comparison, seed: u64) -> Map<String, Value> {
    let Setting { split, hold_out, trunk, size, .. } = comparison.setting();
    let dataset = comparison.dataset();
    let name = dataset.and_then(|set| set.root.file_name()).map(|name| name.to_string_lossy());
    let settings = json!({
        "data": name,
        "layout": dataset.map(|set| set.layout.to_string()),
        "split": split.name(),
        "split_seed": dataset.and_then(|set| set.split_seed).map(|_| seed),
        "hold_out_classes": hold_out,
        "held_out": comparison.held_out(seed),
        "trunk": trunk.name(),
        "size": size,
    });
    into_map(settings)
}

fn network(plan: &LearnPlan) -> Result<Map<String, Value>> {
    let LearnPlan { trained, init, outer, epochs, sample, batch, accumulate, .. } = plan;
    let LearnPlan { optimiser, schedule, rate, pretrained, weight_decay, views, .. } = plan;
    let LearnPlan { least_area, images, minutes, .. } = plan;
    let options = plan.learned()?;
    Ok(into_map(json!({
        "train": trained.name(), "options": format!("{options:?}"), "init": init.name(),
        "outer": outer, "epochs": epochs, "sample": sample, "batch": batch,
        "accumulate": accumulate, "optimiser": optimiser.name(), "schedule": schedule.name(),
        "lr": rate, "lr_pretrained": pretrained, "weight_decay": weight_decay, "views": views,
        "least_area": least_area, "images": images, "minutes": minutes,
    })))
}

fn into_map(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}

/// Returns the base name of a run's files.
pub fn file_name(name: &str, bits: usize, seed: u64, key: &str) -> String {
    let key = key.get(..16).unwrap_or(key);
    format!("{}-{bits}-{seed}-{key}", name.replace(' ', "-"))
}

/// Returns the records in the folder of a comparison, in the order of their files' names; none if
/// there are none. Other files are left alone.
///
/// # Errors
/// If the folder cannot be read.
pub fn read_all(out: &Path) -> Result<Vec<Record>> {
    let folder = out.join("runs");
    let listed = fs::read_dir(&folder).with_context(|| {
        let folder = folder.display();
        format!("cannot read {folder}; give a folder that `barbule compare --out` wrote")
    });
    let mut paths: Vec<PathBuf> = listed?.flatten().map(|entry| entry.path()).collect();
    paths.sort();
    let read = |path: PathBuf| {
        let bytes = file::read_whole(&path, MAX_BYTES).ok()?;
        serde_json::from_slice(&bytes).ok()
    };
    Ok(paths.into_iter().filter_map(read).collect())
}

/// The folder of the records.
pub struct Runs(PathBuf);

impl Runs {
    /// Opens the folder in `out` and creates it if necessary.
    pub fn open(out: &Path) -> Result<Self> {
        let folder = out.join("runs");
        fs::create_dir_all(&folder).with_context(|| {
            format!("cannot create the folder {}; choose another --out", folder.display())
        })?;
        Ok(Self(folder))
    }

    fn path(&self, name: &str, bits: usize, seed: u64, key: &str) -> PathBuf {
        self.0.join(format!("{}.json", file_name(name, bits, seed, key)))
    }

    /// Returns the record of a run; `None` if it is missing or unreadable.
    pub fn find(&self, name: &str, bits: usize, seed: u64, key: &str) -> Option<Record> {
        let bytes = file::read_whole(&self.path(name, bits, seed, key), MAX_BYTES).ok()?;
        let record: Record = serde_json::from_slice(&bytes).ok()?;
        (record.key == key && record.name == name).then_some(record)
    }

    /// Writes a record completely or not at all.
    pub fn keep(&self, record: &Record) -> Result<()> {
        let path = self.path(&record.name, record.bits, record.seed, &record.key);
        let text = serde_json::to_vec_pretty(record)?;
        file::write_whole(&path, |out| out.write_all(&text))
            .with_context(|| format!("cannot write {}", path.display()))
    }
}
