/*!
Encoding on several machines: each encodes one part of a shared list of files and writes a
Parquet file; together the files form a collection.

A part is a contiguous range of the list, so the ids of different parts (positions in the whole
list, from 1) do not overlap. A part is encoded in segments of a few thousand images. Each segment
becomes a file in `OUT.work`, and a stopped run resumes after the last complete segment.
*/

use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::OnceLock;

use super::parquet::{Reader, Writer};
pub use super::share::Share;
use super::{Batch, EngineError, Head, Sink, Source};
use crate::file;
use crate::image::{self, ImageError, Limits};
use crate::index::Labels;
use crate::model::{Model, ModelError};
use crate::task::Task;

/// One part of a list, written `part/of`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Shard {
    /// Number of this part, from 1.
    pub part: usize,
    /// Number of parts.
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
    /// Part `part`, from 1, of `of` parts; `None` if there is no such part.
    pub fn new(part: usize, of: usize) -> Option<Self> {
        (1..=of).contains(&part).then_some(Self { part, of })
    }

    /// Returns the part's range in a list of `files` files.
    pub fn range(self, files: usize) -> std::ops::Range<usize> {
        let at = |part: usize| (files as u128 * part as u128 / self.of as u128) as usize;
        at(self.part - 1)..at(self.part)
    }
}

/// Input and output of [`encode`].
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Job<'a> {
    /// Absolute paths of the whole list, in the same order on every machine.
    pub files: &'a [String],
    /// The folders the list was made from.
    pub roots: Vec<String>,
    /// Path of the model's file, if it has one.
    pub model_file: Option<String>,
    /// The bytes of the model if it lies in no file of its own, but in an index.
    pub own_model: Option<Vec<u8>>,
    /// Source of the labels.
    pub labels: &'a Labels,
    /// The part to encode.
    pub shard: Shard,
    /// The Parquet file to write.
    pub out: &'a Path,
    /// Limits above which images are refused.
    pub limits: Limits,
    /// Images per segment, so the most that are encoded again after a stop;
    /// [`BATCH`](super::BATCH) is a good value.
    pub segment: usize,
}

impl<'a> Job<'a> {
    /// Encodes the whole of `files` to the Parquet file `out`, with labels from `labels`.
    pub fn new(files: &'a [String], labels: &'a Labels, out: &'a Path) -> Self {
        Self {
            files,
            roots: Vec::new(),
            model_file: None,
            own_model: None,
            labels,
            shard: Shard { part: 1, of: 1 },
            out,
            limits: Limits::default(),
            segment: super::BATCH,
        }
    }

    /// Encodes one part only.
    pub fn with_shard(self, shard: Shard) -> Self {
        Self { shard, ..self }
    }

    /// Sets the limits above which images are refused.
    pub fn with_limits(self, limits: Limits) -> Self {
        Self { limits, ..self }
    }

    /// Sets the number of images per segment.
    pub fn with_segment(self, segment: usize) -> Self {
        Self { segment, ..self }
    }
}

/// Result of [`encode`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Encoded {
    /// Number of images in the file.
    pub images: usize,
    /// Number of those that an earlier run had encoded.
    pub before: usize,
    /// Skipped files: path and reason.
    pub skipped: Vec<(String, String)>,
}

/// Encodes a part. Unreadable images are skipped.
///
/// # Errors
/// If the device fails, a file cannot be written, or the task is stopped. Complete segments stay
/// for the next run.
pub fn encode(model: &Model, job: &Job<'_>, task: &Task<'_>) -> Result<Encoded, EngineError> {
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

/// The folder of encoded segments.
struct Work {
    folder: PathBuf,
}

impl Work {
    /// Opens the folder and deletes segments of another list, part or model.
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

    /// Encodes the files of `range` into a segment.
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
            // Each file is opened once, so the cell is empty.
            let _ = contents[*number].set(*blake3::hash(&bytes).as_bytes());
            image::decode(&bytes, &job.limits)
                .map_err(|source| ImageError::Decode { path: path.into(), source })
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
            // Not at the end: a stop there would discard the segment before it is written.
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

    /// Joins the segments into one file and deletes the folder.
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

/// Writes a file atomically: the machine may stop at any moment, and the next run trusts every
/// file it finds.
fn write(path: &Path, bytes: &[u8]) -> Result<(), EngineError> {
    file::write_whole(path, |out| out.write_all(bytes)).map_err(EngineError::write(path))
}

fn head(model: &Model, job: &Job<'_>, images: u64) -> Head {
    let (roots, model_file) = (job.roots.clone(), job.model_file.clone());
    let own_model = job.own_model.clone();
    let codebooks = model.hash().codebooks().cloned();
    let head = Head::new(model.bits(), model.fingerprint(), images);
    Head { roots, model_file, own_model, codebooks, ..head }
}

/// Returns a hash of the part's labels.
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
