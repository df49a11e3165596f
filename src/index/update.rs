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

use super::prepare::{Prepared, Preparer, Unusable, Work};
use super::scan::{Scan, scan};
use super::store::{Failure, KnownImage, Stamp};
use super::write::{Changes, Moved, NewImage};
use super::{Index, IndexError, Labels, ScanOptions, innermost, is_under, stored_path};
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
    /// Whether `scan` is added to what was said of a folder before instead of replacing it.
    pub add_to_scan: bool,
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
        left: HashMap::new(),
        failed: HashMap::new(),
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
    updater.index.settle();
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
    /// Labels of contents that other files have taken the places of.
    left: HashMap<blake3::Hash, Vec<String>>,
    /// Why files could not be used when that was tried last.
    failed: HashMap<String, String>,
}

/// A folder to look at.
struct Folder {
    path: PathBuf,
    /// What of it.
    options: ScanOptions,
    /// Whether that was said now, and is to be kept.
    said: bool,
    /// Whether it was asked for by its name.
    named: bool,
}

/// What the index has of a content.
struct Known {
    code: Vec<u8>,
    features: Option<Vec<u8>>,
    label: Option<String>,
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
        let mut failures = HashMap::new();
        for Failure { path, reason, stamp } in self.index.failures()? {
            self.failed.insert(path.clone(), reason);
            failures.insert(path, stamp);
        }
        let mut work: Vec<Work> = Vec::new();
        let mut seen: HashSet<String> = HashSet::new();
        let mut relabelled = Vec::new();
        let (mut looked_at, mut unreadable) = (Vec::new(), Vec::new());
        for Folder { path: folder, options, said, named } in self.folders(folders)? {
            let stored = stored_path(&folder);
            let before = self.report.found;
            let step = |found| Ok(task.count(before + found)?);
            let Scan { found, unreadable: not_read } = match scan(&folder, &options, &step) {
                Ok(scan) => scan,
                // One folder that may not be read is no reason to leave the others as they are.
                Err(error @ IndexError::Folder { .. }) if !named => {
                    let reason = error.to_string();
                    self.report.skipped.push(Skipped { path: folder, reason });
                    continue;
                }
                Err(error) => return Err(error),
            };
            let root = self.index.root(&stored, said.then_some(&options))?;
            let had_some = || known.iter().any(|image| is_under(&image.path, &stored));
            if found.is_empty() && had_some() && is_bare(&folder, &step)? {
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
                    let label = self.options.labels.said(&candidate.path);
                    if let Some(label) = label.filter(|label| *label != image.label) {
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
        // What lies in a folder that is indexed for itself is not judged by one around it, which
        // may leave it out, or be there while the other is not.
        let roots: Vec<String> = self.index.roots()?.into_iter().map(|root| root.path).collect();
        let covered = |path: &String| {
            !seen.contains(path)
                && innermost(path, &roots).is_some_and(|root| looked_at.iter().any(|at| at == root))
                && !unreadable.iter().any(|folder| is_under(path, folder))
        };
        let gone: Vec<_> = known.iter().filter(|image| covered(&image.path)).collect();
        for image in &gone {
            self.absent.entry(image.content).or_default().push(image.id);
        }
        let images = gone.iter().map(|image| image.id).collect();
        let failures = failures.into_keys().filter(covered).collect();
        if !relabelled.is_empty() {
            self.index.apply(&Changes { relabelled, ..Changes::default() })?;
        }
        Ok((work, Gone { images, failures }))
    }

    /// The folders to look at, inner ones before those around them: the named ones with the
    /// indexed ones within, or all indexed ones. Of those that were not named, the ones that are
    /// there.
    fn folders(&mut self, named: &[PathBuf]) -> Result<Vec<Folder>, IndexError> {
        let mut folders: Vec<Folder> = Vec::new();
        let roots = self.index.roots()?;
        let of = |stored: &str| roots.iter().find(|root| root.path == stored);
        for folder in named {
            let failed = |source| IndexError::Folder { path: folder.clone(), source };
            // One spelling per folder, so that its images are recognised next time.
            let path = folder.canonicalize().map_err(failed)?;
            let before = of(&stored_path(&path)).map(|root| root.options.clone());
            let (options, said) = self.look(before.unwrap_or_default(), true);
            folders.push(Folder { path, options, said, named: true });
        }
        let within = |root: &str| {
            let mut around = folders.iter().map(|folder| stored_path(&folder.path));
            named.is_empty() || around.any(|folder| root != folder && is_under(root, &folder))
        };
        let inner: Vec<_> = roots.iter().filter(|root| within(&root.path)).collect();
        for root in inner {
            let path = PathBuf::from(&root.path);
            if folders.iter().any(|folder| folder.path == path) {
                continue;
            }
            let (options, said) = self.look(root.options.clone(), named.is_empty());
            match path.is_dir() {
                true => folders.push(Folder { path, options, said, named: false }),
                false => self.report.absent.push(path),
            }
        }
        folders.sort_by_key(|folder| std::cmp::Reverse(folder.path.as_os_str().len()));
        Ok(folders)
    }

    /// What of a folder is to be looked at, of which `before` was said; and whether something
    /// was said now, if that is about this folder.
    fn look(&self, before: ScanOptions, about: bool) -> (ScanOptions, bool) {
        match &self.options.scan {
            Some(options) if about && self.options.add_to_scan => (before.and(options), true),
            Some(options) if about => (options.clone(), true),
            _ => (before, false),
        }
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
        prepared: &[Result<Prepared, Unusable>],
        again: &mut Vec<Work>,
    ) -> Result<(), IndexError> {
        let encoded = || prepared.iter().flatten().filter(|p| p.input.is_some());
        let inputs: Vec<f32> = encoded().flat_map(|p| p.input.iter().flatten()).copied().collect();
        let features = self.model.encoder().features(inputs).map_err(ModelError::from)?;
        let codes = self.model.codes(&features)?;
        let rows: HashMap<blake3::Hash, usize> =
            encoded().enumerate().map(|(row, p)| (p.content, row)).collect();
        let dim = features.len() / codes.len().max(1);
        let keep = self.features;
        let kept = |row: usize| keep.then(|| half_precision(&features[row * dim..(row + 1) * dim]));
        let mut changes = Changes::default();
        for (work, prepared) in batch.iter().zip(prepared) {
            let (path, stamp, root) = (work.stored.as_str(), work.stamp, work.root);
            let Prepared { content, input } = match prepared {
                Ok(prepared) => prepared,
                Err(unusable) => {
                    self.fail(work, unusable, &mut changes);
                    continue;
                }
            };
            let said = self.options.labels.said(&work.path);
            let row = rows.get(content).copied();
            let touched = work.before.filter(|(_, before)| before == content);
            let came = match touched {
                None => self.absent.get_mut(content).and_then(Vec::pop),
                Some(_) => None,
            };
            if let Some(id) = touched.map(|(id, _)| id).or(came) {
                changes.moved.push(Moved { id, root, path, stamp });
                let numbers = match row {
                    Some(row) => kept(row),
                    None if self.features => self.stored(content)?.and_then(|known| known.features),
                    None => None,
                };
                changes.features.extend(numbers.map(|numbers| (id, numbers)));
                changes.relabelled.extend(said.map(|label| (id, label)));
                self.report.moved += usize::from(came.is_some());
                self.report.unchanged += usize::from(touched.is_some());
                if came.is_some() && self.displace(work, &mut changes)?.is_some() {
                    self.report.removed += 1;
                }
                continue;
            }
            let stored = self.stored(content)?;
            let (code, features) = match (row, &stored) {
                (Some(row), _) => (codes.row_bytes(row), kept(row)),
                (None, Some(known)) => (known.code.clone(), known.features.clone()),
                (None, None) => {
                    again.push(work.clone());
                    continue;
                }
            };
            let before = self.displace(work, &mut changes)?;
            // Where nothing is said: what the same content was labelled, else what lay here.
            let label = said.unwrap_or_else(|| {
                let left = self.left.get_mut(content).and_then(Vec::pop);
                left.or(stored.and_then(|known| known.label)).or(before.clone().flatten())
            });
            changes.new.push(NewImage {
                root,
                path,
                stamp,
                content: *content,
                label,
                code,
                features,
            });
            self.report.changed += usize::from(before.is_some());
            self.report.added += usize::from(before.is_none());
            let copied = before.is_none() && input.is_none();
            self.report.copied += usize::from(copied);
        }
        self.index.apply(&changes)
    }

    /// Notes a file that cannot be used.
    fn fail<'w>(&mut self, work: &'w Work, unusable: &Unusable, changes: &mut Changes<'w>) {
        let Unusable { reason, unread, may_pass } = unusable;
        if !unread {
            // It is no longer the image that it was.
            changes.gone.extend(work.before.map(|(id, _)| id));
        }
        // With a time that no file has, it is tried again though it does not change.
        let stamp = if *may_pass { Stamp { modified: -1, ..work.stamp } } else { work.stamp };
        changes.failed.push((&work.stored, stamp, reason.clone()));
        match self.failed.get(&work.stored) == Some(reason) {
            true => self.report.skipped_before += 1,
            false => {
                let reason = reason.clone();
                self.report.skipped.push(Skipped { path: work.path.clone(), reason });
            }
        }
    }

    /// Takes out the image that was at a path before, if there was one; gives its label. It
    /// goes to whoever has its content now.
    fn displace(
        &mut self,
        work: &Work,
        changes: &mut Changes<'_>,
    ) -> Result<Option<Option<String>>, IndexError> {
        let Some((id, content)) = work.before else { return Ok(None) };
        changes.gone.push(id);
        let label = self.index.image(id)?.label;
        if let Some(label) = &label {
            self.left.entry(content).or_default().push(label.clone());
        }
        Ok(Some(label))
    }

    /// What is known of an indexed content, if all that is wanted is.
    fn stored(&self, content: &blake3::Hash) -> Result<Option<Known>, IndexError> {
        for id in self.index.with_content(content)? {
            let features = self.index.features(id)?.map(|numbers| half_precision(&numbers));
            if features.is_some() || !self.features {
                let code = self.index.code(id)?.row_bytes(0);
                return Ok(Some(Known { code, features, label: self.index.image(id)?.label }));
            }
        }
        Ok(None)
    }

    /// Takes out what is gone and did not turn up elsewhere.
    fn clear(&mut self, gone: Gone) -> Result<(), IndexError> {
        let left: HashSet<i64> = self.absent.values().flatten().copied().collect();
        let images: Vec<i64> = gone.images.into_iter().filter(|id| left.contains(id)).collect();
        self.report.removed += images.len();
        let mended = gone.failures.iter().map(String::as_str).collect();
        self.index.apply(&Changes { gone: images, mended, ..Changes::default() })
    }
}

/// Whether a folder has no image at all, not even among what is left out of it.
fn is_bare(
    folder: &Path,
    step: &dyn Fn(usize) -> Result<(), IndexError>,
) -> Result<bool, IndexError> {
    let everything = ScanOptions { hidden: true, ..ScanOptions::default() };
    match scan(folder, &everything, step) {
        Ok(scan) => Ok(scan.found.is_empty()),
        Err(stopped @ IndexError::Stopped(_)) => Err(stopped),
        // It went away meanwhile.
        Err(_) => Ok(true),
    }
}

/// Features of unit length as little-endian half-precision numbers.
fn half_precision(features: &[f32]) -> Vec<u8> {
    let norm = features.iter().map(|x| x * x).sum::<f32>().sqrt();
    let scale = if norm > 0.0 { norm.recip() } else { 0.0 };
    features.iter().flat_map(|x| half::f16::from_f32(x * scale).to_le_bytes()).collect()
}
