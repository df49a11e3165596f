/*!
Encoding shared by several machines: each takes its part of one list of files and writes a
Parquet file; together they are a collection.

A part is a run of the list, so that the ids of parts (places in the whole list, from 1) do not
overlap. Its images are encoded a few thousand at a time, each time into a file of its own in
`OUT.work`; a machine that is stopped goes on behind the last whole one.
*/

use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::OnceLock;

use super::parquet::{Reader, Writer};
use super::{Batch, EngineError, Head, Sink, Source};
use crate::file;
use crate::image::{self, ImageError, Limits};
use crate::index::Labels;
use crate::model::{Model, ModelError};
use crate::task::Task;

/// Which part of how many, from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shard {
    /// This part.
    pub part: usize,
    /// Of so many.
    pub of: usize,
}

impl FromStr for Shard {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let number = |text: &str| text.parse::<usize>().ok();
        let halves = text.split_once('/').and_then(|(a, b)| Some((number(a)?, number(b)?)));
        match halves {
            Some((part, of)) if (1..=of).contains(&part) => Ok(Self { part, of }),
            _ => {
                Err("write it as I/N, with I from 1 to N: 3/16 is the third of sixteen".to_owned())
            }
        }
    }
}

impl Shard {
    /// Where its files lie in a list of so many.
    pub fn range(self, files: usize) -> std::ops::Range<usize> {
        let at = |part: usize| (files as u128 * part as u128 / self.of as u128) as usize;
        at(self.part - 1)..at(self.part)
    }
}

/// What a part says of the list that it is a part of.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Share {
    /// Which part, from 1.
    pub part: usize,
    /// Of so many.
    pub of: usize,
    /// BLAKE3 of all paths of the list.
    pub list: String,
}

/// What is encoded.
#[derive(Debug, Clone)]
pub struct Job<'a> {
    /// The whole list, absolute paths, in the same order on every machine.
    pub files: &'a [String],
    /// The folders it was made of.
    pub roots: Vec<String>,
    /// Where the model's file is, if it has one.
    pub model_file: Option<String>,
    /// Where labels come from.
    pub labels: &'a Labels,
    /// Which part.
    pub shard: Shard,
    /// The Parquet file.
    pub out: &'a Path,
    /// Which images are refused.
    pub limits: Limits,
    /// So many images at most are encoded again after a stop: [`BATCH`](super::BATCH) is a good number.
    pub segment: usize,
}

/// What came of a part.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Encoded {
    /// Images in the file.
    pub images: usize,
    /// Of those, how many an earlier run had encoded.
    pub before: usize,
    /// Files that could not be used: path, why.
    pub skipped: Vec<(String, String)>,
}

/// Encodes a part.
///
/// # Errors
/// When the device or the file make trouble, or the work is stopped: then what was encoded
/// stays for the next run. Unreadable images are no error.
pub fn encode(model: &Model, job: &Job<'_>, task: &Task<'_>) -> Result<Encoded, EngineError> {
    model.check_hamming()?;
    file::check_writable(job.out).map_err(EngineError::write(job.out))?;
    let mut hasher = blake3::Hasher::new();
    for path in job.files {
        hasher.update(path.as_bytes()).update(&[0]);
    }
    let Shard { part, of } = job.shard;
    let share = Share { part, of, list: hasher.finalize().to_hex().to_string() };
    let work = Work::open(model, job, &share)?;
    let range = job.shard.range(job.files.len());
    let mut report = Encoded::default();
    task.step(0, range.len())?;
    let segment = job.segment.max(1);
    let starts: Vec<usize> = range.clone().step_by(segment).collect();
    for start in &starts {
        let end = (start + segment).min(range.end);
        if work.has(*start) {
            report.before += end - start;
        } else {
            work.encode(model, job, *start..end, &|done, _| {
                task.step(start - range.start + done, range.len())
            })?;
        }
        task.step(end - range.start, range.len())?;
    }
    work.join(model, job, &starts, share, &mut report)?;
    Ok(report)
}

/// The folder of what is encoded so far.
struct Work {
    folder: PathBuf,
}

impl Work {
    /// Opens it; what another list, part or model left there is thrown away.
    fn open(model: &Model, job: &Job<'_>, share: &Share) -> Result<Self, EngineError> {
        let mut name = job.out.as_os_str().to_owned();
        name.push(".work");
        let folder = PathBuf::from(name);
        let key =
            format!("{}\n{share:?}\n{}\n{}\n", model.fingerprint(), job.segment, label_key(job));
        let file = folder.join("key");
        if folder.exists() && std::fs::read_to_string(&file).ok().as_ref() != Some(&key) {
            std::fs::remove_dir_all(&folder).map_err(EngineError::write(&folder))?;
        }
        std::fs::create_dir_all(&folder).map_err(EngineError::write(&folder))?;
        write(&file, key.as_bytes())?;
        Ok(Self { folder })
    }

    fn file(&self, start: usize) -> PathBuf {
        self.folder.join(format!("{start:012}.parquet"))
    }

    fn has(&self, start: usize) -> bool {
        self.file(start).is_file()
    }

    /// Encodes some files into a file of their own.
    fn encode(
        &self,
        model: &Model,
        job: &Job<'_>,
        range: std::ops::Range<usize>,
        step: &dyn Fn(usize, usize) -> Result<(), crate::task::Stopped>,
    ) -> Result<(), EngineError> {
        let files = &job.files[range.clone()];
        let contents: Vec<OnceLock<[u8; 32]>> = files.iter().map(|_| OnceLock::new()).collect();
        let numbers: Vec<usize> = (0..files.len()).collect();
        let open = |number: &usize| {
            let path = Path::new(&files[*number]);
            let bytes = image::read(path)?;
            // Each is opened once.
            let _ = contents[*number].set(*blake3::hash(&bytes).as_bytes());
            image::decode(&bytes, &job.limits)
                .map_err(|error| ImageError::Decode { path: path.into(), error })
        };
        let mut batch = Batch::new(model.bits())?;
        let mut skipped = Vec::new();
        let encoder = model.encoder();
        for some in numbers.chunks(crate::encoder::BATCH) {
            let features = encoder.features_of(some, open, &Task::unwatched());
            let features = features.map_err(ModelError::from)?;
            batch.codes.extend(&model.codes(&features.values)?)?;
            for position in features.kept {
                let number = some[position];
                batch.ids.push((range.start + number + 1) as i64);
                batch.paths.push(files[number].clone());
                batch.labels.push(job.labels.of(Path::new(&files[number])));
                batch.contents.push(contents[number].get().copied().unwrap_or_default());
            }
            for (position, error) in features.failures {
                skipped.push((files[some[position]].clone(), error.to_string()));
            }
            let done = some.last().map_or(0, |last| last + 1);
            // The end is told when the file is written: what is encoded is not thrown away.
            if done < files.len() {
                step(done, files.len())?;
            }
        }
        let path = self.folder.join(format!("{:012}.json", range.start));
        let text = serde_json::to_vec(&skipped).unwrap_or_default();
        write(&path, &text)?;
        let images = batch.len() as u64;
        let head = head(model, job, images);
        let mut writer = Box::new(Writer::create(&self.file(range.start), &head, None)?);
        writer.write(&batch)?;
        writer.finish()
    }

    /// Joins the files into one, and clears up.
    fn join(
        self,
        model: &Model,
        job: &Job<'_>,
        starts: &[usize],
        share: Share,
        report: &mut Encoded,
    ) -> Result<(), EngineError> {
        let mut writer = Box::new(Writer::create(job.out, &head(model, job, 0), Some(share))?);
        for start in starts {
            let mut reader = Reader::open(&self.file(*start))?;
            while let Some(batch) = reader.next_batch()? {
                report.images += batch.len();
                writer.write(&batch)?;
            }
            let path = self.folder.join(format!("{start:012}.json"));
            let text = std::fs::read(&path).map_err(EngineError::read(&path))?;
            let skipped: Vec<(String, String)> =
                serde_json::from_slice(&text).map_err(EngineError::read(&path))?;
            report.skipped.extend(skipped);
        }
        writer.set_images(report.images as u64);
        writer.finish()?;
        std::fs::remove_dir_all(&self.folder).map_err(EngineError::write(&self.folder))
    }
}

/// Writes a file whole or not at all: a machine may go at any moment, and the next run believes
/// what it finds.
fn write(path: &Path, bytes: &[u8]) -> Result<(), EngineError> {
    file::write_whole(path, |out| out.write_all(bytes)).map_err(EngineError::write(path))
}

fn head(model: &Model, job: &Job<'_>, images: u64) -> Head {
    let (roots, model_file) = (job.roots.clone(), job.model_file.clone());
    Head { bits: model.bits(), model: model.fingerprint().to_owned(), images, roots, model_file }
}

/// What labels depend on, as far as it shows in those of the part.
fn label_key(job: &Job<'_>) -> String {
    let range = job.shard.range(job.files.len());
    let mut hasher = blake3::Hasher::new();
    for path in &job.files[range] {
        hasher.update(job.labels.of(Path::new(path)).unwrap_or_default().as_bytes()).update(&[0]);
    }
    hasher.finalize().to_hex().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn parts_cover_a_list_once(files in 0usize..500, of in 1usize..40) {
            let ranges = (1..=of).map(|part| Shard { part, of }.range(files));
            let all: Vec<usize> = ranges.clone().flatten().collect();
            prop_assert_eq!(all, (0..files).collect::<Vec<_>>());
            let (least, most) = (files / of, files.div_ceil(of));
            for range in ranges {
                prop_assert!((least..=most).contains(&range.len()));
            }
        }
    }

    #[test]
    fn shards_are_written_from_one() {
        assert_eq!("3/16".parse(), Ok(Shard { part: 3, of: 16 }));
        for wrong in ["0/4", "5/4", "1", "1/0", "a/b", "", "-1/4"] {
            assert!(wrong.parse::<Shard>().is_err(), "{wrong}");
        }
    }
}
