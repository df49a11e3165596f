/*!
Bringing an index up to date with folders: what is new is encoded, what has changed is encoded
again, what was moved or copied is told by its content and keeps its code, what is gone is
taken out.

Files are read and prepared on all cores while the batch before is encoded and written; a
bounded queue lies between, so that memory does not grow with the number of files.
*/

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::mpsc::sync_channel;

use super::prepare::{Prepared, Preparer, Work};
use super::scan::{Scan, scan};
use super::store::KnownImage;
use super::write::{Changes, Moved, NewImage};
use super::{Index, IndexError, Labels, ScanOptions, is_under, stored_path};
use crate::encoder::BATCH;
use crate::image::Limits;
use crate::model::{Model, ModelError};
use crate::task::Task;

/// Prepared batches that may wait.
const WAITING: usize = 1;

/// How to update.
#[derive(Debug, Clone, Default)]
pub struct UpdateOptions {
    /// Where labels come from.
    pub labels: Labels,
    /// Which images are refused.
    pub limits: Limits,
    /// What of the folders is looked at; `None` for what was said of each before.
    pub scan: Option<ScanOptions>,
    /// From now on keep the features of every image, in half precision, for
    /// [`Query::rerank`](super::Query): 2,560 bytes for each with EfficientNet-Lite0.
    pub keep_features: bool,
}

/// A file that did not get into the index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Skipped {
    /// The file.
    pub path: PathBuf,
    /// Why, in a sentence that names the file.
    pub reason: String,
}

/// What an update did, in images.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Update {
    /// Image files found.
    pub found: usize,
    /// Indexed for the first time.
    pub added: usize,
    /// Encoded again because their content had changed.
    pub changed: usize,
    /// Found in another place than before, told by their content.
    pub moved: usize,
    /// As they were.
    pub unchanged: usize,
    /// Of those added, how many were not encoded, because their content was indexed already.
    pub copied: usize,
    /// Taken out, because their files are gone or are left out now.
    pub removed: usize,
    /// Not usable, and not known to be so.
    pub skipped: Vec<Skipped>,
    /// Not usable, and unchanged since that was found.
    pub skipped_before: usize,
    /// Folders that are missing, or empty and were not: a drive that is not there. What is
    /// indexed of them stays.
    pub absent: Vec<PathBuf>,
}

/// Brings `index` up to date with all image files under `folders`, or, if there are none,
/// under all folders that it was made from.
///
/// While folders are listed, `task` is told how many images were found, with a total of 0;
/// then how many of those that are new or changed have been looked into.
///
/// Each batch is one transaction: stopping or being killed loses at most one, and the next
/// update goes on from there.
///
/// # Errors
/// When a folder cannot be read, the model or the database fails, or the work is
/// stopped. Files that cannot be used are no error: they are listed in the result.
pub fn update(
    index: &mut Index,
    model: &Model,
    folders: &[PathBuf],
    options: &UpdateOptions,
    task: &Task<'_>,
) -> Result<Update, IndexError> {
    model.check_hamming()?;
    index.same_model(model.bits(), model.fingerprint())?;
    if options.keep_features && !index.keeps_features()? {
        index.keep_features()?;
    }
    let features = index.keeps_features()?;
    let known = index.known()?;
    let mut updater = Updater {
        index,
        model,
        options,
        features,
        report: Update::default(),
        absent: HashMap::new(),
    };
    let (work, gone) = updater.plan(folders, &known, task)?;
    let mut complete: HashMap<blake3::Hash, bool> = HashMap::new();
    for image in &known {
        *complete.entry(image.content).or_default() |= !features || image.features;
    }
    drop(known);
    task.step(0, work.len())?;
    let mut done = Progress { done: 0, total: work.len(), task };
    // What was thought to be known and was not is prepared whatever is known then.
    let again = updater.run(&work, complete, false, &mut done)?;
    updater.run(&again, HashMap::new(), true, &mut done)?;
    updater.clear(gone)?;
    Ok(updater.report)
}

/// How far an update is.
struct Progress<'a> {
    done: usize,
    total: usize,
    task: &'a Task<'a>,
}

struct Updater<'a> {
    index: &'a mut Index,
    model: &'a Model,
    options: &'a UpdateOptions,
    /// Whether features are kept.
    features: bool,
    report: Update,
    /// Images whose files are gone, by content: the same content elsewhere is the same image.
    absent: HashMap<blake3::Hash, Vec<i64>>,
}

/// What is left to do in the end.
struct Gone {
    images: Vec<i64>,
    failures: Vec<String>,
}

impl Updater<'_> {
    /// Lists what has to be looked into and what is gone, and gives unchanged images their
    /// labels.
    fn plan(
        &mut self,
        folders: &[PathBuf],
        known: &[KnownImage],
        task: &Task<'_>,
    ) -> Result<(Vec<Work>, Gone), IndexError> {
        let by_path: HashMap<&str, &KnownImage> =
            known.iter().map(|image| (image.path.as_str(), image)).collect();
        let failures: HashMap<_, _> =
            self.index.failures()?.into_iter().map(|f| (f.path, f.stamp)).collect();
        let mut work: Vec<Work> = Vec::new();
        let mut seen: HashSet<String> = HashSet::new();
        let mut relabelled = Vec::new();
        let (mut looked_at, mut unreadable) = (Vec::new(), Vec::new());
        for (folder, options) in self.folders(folders)? {
            let stored = stored_path(&folder);
            let before = self.report.found;
            let step = |found| Ok(task.count(before + found)?);
            let Scan { found, unreadable: not_read } = scan(&folder, &options, &step)?;
            let root = self.index.root(&stored, self.options.scan.as_ref())?;
            if found.is_empty() && known.iter().any(|image| is_under(&image.path, &stored)) {
                self.report.absent.push(folder);
                continue;
            }
            looked_at.push(stored);
            unreadable.extend(not_read.iter().map(|skipped| stored_path(&skipped.path)));
            self.report.skipped.extend(not_read);
            for candidate in found {
                let Some(stored) = candidate.path.to_str().map(str::to_owned) else {
                    let name = candidate.path.display();
                    let reason = format!("{name}: its name is not valid Unicode; rename it");
                    self.report.skipped.push(Skipped { path: candidate.path, reason });
                    continue;
                };
                if !seen.insert(stored.clone()) {
                    continue; // folders that overlap
                }
                self.report.found += 1;
                let stamp = candidate.stamp;
                let before = by_path.get(stored.as_str());
                if let Some(image) = before.filter(|image| image.stamp == stamp) {
                    let label = self.options.labels.of(&candidate.path);
                    if self.options.labels.decides() && label != image.label {
                        relabelled.push((image.id, label));
                    }
                    if image.features || !self.features {
                        self.report.unchanged += 1;
                        continue;
                    }
                } else if failures.get(&stored) == Some(&stamp) {
                    self.report.skipped_before += 1;
                    continue;
                }
                let before = before.map(|image| (image.id, image.content));
                work.push(Work { root, path: candidate.path, stored, stamp, before });
            }
        }
        let covered = |path: &String| {
            !seen.contains(path)
                && looked_at.iter().any(|folder| is_under(path, folder))
                && !unreadable.iter().any(|folder| is_under(path, folder))
        };
        let gone: Vec<_> = known.iter().filter(|image| covered(&image.path)).collect();
        for image in &gone {
            self.absent.entry(image.content).or_default().push(image.id);
        }
        let images = gone.iter().map(|image| image.id).collect();
        let failures = failures.into_keys().filter(covered).collect();
        let relabelled: Vec<_> =
            relabelled.iter().map(|(id, label)| (*id, label.as_deref())).collect();
        if !relabelled.is_empty() {
            self.index.apply(&Changes { relabelled, ..Changes::default() })?;
        }
        Ok((work, Gone { images, failures }))
    }

    /// The folders to look at, each with what of it; of those that were not named, the ones
    /// that are there.
    fn folders(&mut self, named: &[PathBuf]) -> Result<Vec<(PathBuf, ScanOptions)>, IndexError> {
        let roots = self.index.roots()?;
        let said = |folder: &Path| {
            let stored = stored_path(folder);
            let before = roots.iter().find(|root| root.path == stored);
            let before = before.map(|root| root.options.clone());
            self.options.scan.clone().or(before).unwrap_or_default()
        };
        let mut folders = Vec::new();
        for folder in named {
            let failed = |error: std::io::Error| IndexError::Folder {
                path: folder.clone(),
                reason: error.to_string(),
            };
            // One spelling per folder, so that its images are recognised next time.
            let folder = folder.canonicalize().map_err(failed)?;
            let options = said(&folder);
            folders.push((folder, options));
        }
        if named.is_empty() {
            for root in &roots {
                let folder = PathBuf::from(&root.path);
                match folder.is_dir() {
                    true => folders.push((folder.clone(), said(&folder))),
                    false => self.report.absent.push(folder),
                }
            }
        }
        Ok(folders)
    }

    /// Looks into files, and writes what comes of them batch by batch; gives those whose code
    /// was thought to be known and was not.
    fn run(
        &mut self,
        work: &[Work],
        known: HashMap<blake3::Hash, bool>,
        always: bool,
        progress: &mut Progress<'_>,
    ) -> Result<Vec<Work>, IndexError> {
        let preparer = Preparer {
            preprocess: self.model.encoder().preprocess(),
            limits: self.options.limits,
            known,
            seen: Default::default(),
            always,
        };
        let mut again = Vec::new();
        std::thread::scope(|scope| {
            let (sender, receiver) = sync_channel(WAITING);
            scope.spawn(move || {
                for batch in work.chunks(BATCH) {
                    let prepared = preparer.batch(batch);
                    // Nobody listens any more when the work was stopped.
                    if sender.send((batch, prepared)).is_err() {
                        break;
                    }
                }
            });
            for (batch, prepared) in receiver {
                let before = again.len();
                self.write(batch, &prepared, &mut again)?;
                progress.done += batch.len() - (again.len() - before);
                progress.task.step(progress.done, progress.total)?;
            }
            Ok(again)
        })
    }

    /// Encodes one batch and writes it.
    fn write(
        &mut self,
        batch: &[Work],
        prepared: &[Result<Prepared, String>],
        again: &mut Vec<Work>,
    ) -> Result<(), IndexError> {
        let encoded = || prepared.iter().flatten().filter(|p| p.input.is_some());
        let inputs: Vec<f32> = encoded().flat_map(|p| p.input.iter().flatten()).copied().collect();
        let features = self.model.encoder().features(inputs).map_err(ModelError::from)?;
        let codes = self.model.codes(&features)?;
        let rows: HashMap<blake3::Hash, usize> =
            encoded().enumerate().map(|(row, p)| (p.content, row)).collect();
        let dim = features.len() / codes.len().max(1);
        let kept = |row: usize| {
            self.features.then(|| half_precision(&features[row * dim..(row + 1) * dim]))
        };
        let labels: Vec<_> = batch.iter().map(|work| self.options.labels.of(&work.path)).collect();
        let mut changes = Changes::default();
        let mut skipped = Vec::new();
        for ((work, prepared), label) in batch.iter().zip(prepared).zip(&labels) {
            let (path, stamp, root) = (work.stored.as_str(), work.stamp, work.root);
            let label = label.as_deref();
            let prepared = match prepared {
                Ok(prepared) => prepared,
                Err(reason) => {
                    // A file that has become unreadable is no longer the image that it was.
                    changes.gone.extend(work.before.map(|(id, _)| id));
                    changes.failed.push((path, stamp, reason));
                    skipped.push(Skipped { path: work.path.clone(), reason: reason.clone() });
                    continue;
                }
            };
            let content = prepared.content;
            let row = rows.get(&content).copied();
            let touched = work.before.filter(|(_, before)| *before == content);
            let came = match work.before {
                None => self.absent.get_mut(&content).and_then(Vec::pop),
                Some(_) => None,
            };
            if let Some(id) = touched.map(|(id, _)| id).or(came) {
                changes.moved.push(Moved { id, root, path, stamp });
                let numbers = match row {
                    Some(row) => kept(row),
                    None if self.features => self.stored(&content)?.and_then(|(_, kept)| kept),
                    None => None,
                };
                changes.features.extend(numbers.map(|numbers| (id, numbers)));
                if self.options.labels.decides() {
                    changes.relabelled.push((id, label));
                }
                self.report.moved += usize::from(came.is_some());
                self.report.unchanged += usize::from(touched.is_some());
                continue;
            }
            let found = match row {
                Some(row) => Some((codes.row_bytes(row), kept(row))),
                None => self.stored(&content)?,
            };
            let Some((code, features)) = found else {
                again.push(work.clone());
                continue;
            };
            changes.gone.extend(work.before.map(|(id, _)| id));
            changes.new.push(NewImage { root, path, stamp, content, label, code, features });
            self.report.changed += usize::from(work.before.is_some());
            self.report.added += usize::from(work.before.is_none());
            self.report.copied += usize::from(work.before.is_none() && prepared.input.is_none());
        }
        self.index.apply(&changes)?;
        self.report.skipped.extend(skipped);
        Ok(())
    }

    /// Code and, where they are kept, features of an indexed content.
    #[allow(clippy::type_complexity)]
    fn stored(
        &self,
        content: &blake3::Hash,
    ) -> Result<Option<(Vec<u8>, Option<Vec<u8>>)>, IndexError> {
        for id in self.index.with_content(content)? {
            let features = self.index.features(id)?.map(|numbers| half_precision(&numbers));
            if features.is_some() || !self.features {
                return Ok(Some((self.index.code(id)?.row_bytes(0), features)));
            }
        }
        Ok(None)
    }

    /// Takes out what is gone and did not turn up elsewhere.
    fn clear(&mut self, gone: Gone) -> Result<(), IndexError> {
        let left: HashSet<i64> = self.absent.values().flatten().copied().collect();
        let images: Vec<i64> = gone.images.into_iter().filter(|id| left.contains(id)).collect();
        self.report.removed = images.len();
        let mended = gone.failures.iter().map(String::as_str).collect();
        self.index.apply(&Changes { gone: images, mended, ..Changes::default() })
    }
}

/// Features of unit length as little-endian half-precision numbers.
fn half_precision(features: &[f32]) -> Vec<u8> {
    let norm = features.iter().map(|x| x * x).sum::<f32>().sqrt();
    let scale = if norm > 0.0 { norm.recip() } else { 0.0 };
    features.iter().flat_map(|x| half::f16::from_f32(x * scale).to_le_bytes()).collect()
}
