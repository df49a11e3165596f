/*!
Bringing an index up to date with folders. New files are encoded, changed files are encoded
again, moved and copied files are recognised by their content and keep their codes, images whose
files are gone are removed.

Files are read and prepared on all cores while the batch before is encoded and written; a
bounded queue lies between, so that memory does not grow with the number of files.
*/

use std::collections::{HashMap, HashSet};
use std::ops::Range;
use std::path::PathBuf;
use std::sync::mpsc::sync_channel;

use super::features::Kept;
use super::picture::Picture;
use super::plan::{Gone, Plan, Planner};
use super::prepare::{Prepared, Preparer, Unusable, Work};
use super::regions::{StoredRegions, areas};
use super::report::{Skipped, Update};
use super::write::{Changes, Moved, NewImage};
use super::writer::IndexWriter;
use super::{IndexError, MOST_REGIONS, UpdateOptions};
use crate::code::BinaryCodes;
use crate::encoder::BATCH;
use crate::folder::Stamp;
use crate::model::{Model, ModelError};
use crate::task::Task;

/// Prepared batches that may wait.
const WAITING: usize = 1;

impl IndexWriter {
    /// Updates the index from all image files under `folders`, or under all indexed folders if
    /// `folders` is empty.
    ///
    /// While folders are listed, `task` receives the number of images found so far, with a total
    /// of 0; then how many of the new and changed ones are done.
    ///
    /// Each batch is one transaction: stopping or being killed loses at most one, and the next
    /// update goes on from there.
    ///
    /// # Errors
    /// If a folder cannot be read, `model` is not the index's, the model or the database fails,
    /// or the work is stopped. Unusable files are no error: they are listed in the result.
    pub fn update(
        &mut self,
        model: &Model,
        folders: &[PathBuf],
        options: &UpdateOptions,
        task: &Task<'_>,
    ) -> Result<Update, IndexError> {
        self.index().same_model(model.bits(), model.fingerprint())?;
        let fits = options.fitting && self.index().can_begin_to_fit(options.again)?;
        if fits || (options.keep_features && !self.index().keeps_features()) {
            self.keep_features()?;
        }
        let regions = options.regions.map(|count| count.min(MOST_REGIONS));
        if let Some(count) = regions.filter(|count| *count != self.index().regions()) {
            self.keep_regions(count)?;
        }
        let features = self.index().keeps_features();
        let known = self.index().known()?;
        // Pictures that were read in another way may have other codes now.
        let anew = options.again && !self.index().is_read_as_now()?;
        let planner = Planner::new(self, options, &known)?;
        let Plan { work, gone, relabelled, failed, whole, unusable, report } =
            planner.plan(folders, task)?;
        let mut absent: HashMap<blake3::Hash, Vec<i64>> = HashMap::new();
        let mut complete: HashMap<blake3::Hash, bool> = HashMap::new();
        let is_gone: HashSet<i64> = gone.images.iter().copied().collect();
        for image in &known {
            let is_complete = !anew && image.complete;
            *complete.entry(image.content).or_default() |= is_complete;
            if is_gone.contains(&image.id) {
                absent.entry(image.content).or_default().push(image.id);
            }
        }
        drop(known);
        if !relabelled.is_empty() || !unusable.is_empty() {
            let none = Stamp { size: 0, modified: -1, changed: None, file: None };
            let failed =
                unusable.iter().map(|(path, reason)| (path.as_str(), none, reason.clone()));
            let failed = failed.collect();
            self.apply(&Changes { relabelled, failed, ..Changes::default() })?;
        }
        let left = HashMap::new();
        let mut updater =
            Updater { writer: self, model, options, features, report, absent, left, failed };
        task.step(0, work.len())?;
        let mut done = Progress { done: 0, total: work.len(), task };
        // Two files may swap places, which removes a code that the plan relied on. Such files are
        // prepared in a second round.
        let again = updater.run(&work, complete, anew, &mut done)?;
        updater.run(&again, HashMap::new(), true, &mut done)?;
        updater.clear(gone)?;
        if anew && whole {
            updater.writer.note_reading()?;
        }
        updater.writer.settle();
        Ok(updater.report)
    }
}

/// Progress of an update.
struct Progress<'a> {
    done: usize,
    total: usize,
    task: &'a Task<'a>,
}

struct Updater<'a> {
    writer: &'a mut IndexWriter,
    model: &'a Model,
    options: &'a UpdateOptions,
    /// Whether features are kept.
    features: bool,
    report: Update,
    /// Images whose files are gone, by content: the same content elsewhere is the same image.
    absent: HashMap<blake3::Hash, Vec<i64>>,
    /// Labels of contents whose paths other files have taken.
    left: HashMap<blake3::Hash, Vec<String>>,
    /// Stored reasons of the files that could not be used.
    failed: HashMap<String, String>,
}

/// The stored data of a content.
struct Known {
    code: Vec<u8>,
    features: Option<Vec<u8>>,
    regions: Option<StoredRegions>,
    label: Option<String>,
}

/// The codes of a batch, by the contents that were encoded.
struct Encoded {
    rows: HashMap<blake3::Hash, usize>,
    /// The places of the regions of each, as they are stored, and the row of the first.
    regions: HashMap<blake3::Hash, (Vec<u8>, Range<usize>)>,
    codes: BinaryCodes,
    features: Vec<f32>,
    /// The numbers in which features are kept, if they are.
    kept: Option<Kept>,
}

impl Encoded {
    fn code(&self, content: &blake3::Hash) -> Option<Vec<u8>> {
        self.rows.get(content).map(|row| self.codes.row_bytes(*row))
    }

    /// The features to store, if they are kept.
    fn features(&self, content: &blake3::Hash) -> Option<Vec<u8>> {
        self.row_features(*self.rows.get(content)?)
    }

    fn row_features(&self, row: usize) -> Option<Vec<u8>> {
        let dim = self.features.len() / self.codes.len().max(1);
        Some(self.kept?.to_bytes(&self.features[row * dim..(row + 1) * dim]))
    }

    /// The regions to store, if the image has any or could have had.
    fn regions(&self, content: &blake3::Hash) -> Option<StoredRegions> {
        let (areas, rows) = self.regions.get(content)?.clone();
        let codes = rows.clone().flat_map(|row| self.codes.row_bytes(row)).collect();
        let features = rows.map(|row| self.row_features(row)).collect::<Option<Vec<_>>>();
        Some(StoredRegions { areas, codes, features: features.map(|rows| rows.concat()) })
    }
}

impl Updater<'_> {
    /// Reads files and writes the results batch by batch. Returns the files whose codes were
    /// expected to be known and are not.
    fn run(
        &mut self,
        work: &[Work],
        known: HashMap<blake3::Hash, bool>,
        always: bool,
        progress: &mut Progress<'_>,
    ) -> Result<Vec<Work>, IndexError> {
        let preparer = Preparer {
            encoder: self.model.encoder(),
            regions: self.writer.index().regions(),
            limits: self.options.limits,
            known,
            seen: Default::default(),
            always,
        };
        // As many inputs in a batch with regions as without.
        let files = (BATCH / (1 + preparer.regions)).max(1);
        let mut again = Vec::new();
        std::thread::scope(|scope| {
            let (sender, receiver) = sync_channel(WAITING);
            scope.spawn(move || {
                for batch in work.chunks(files) {
                    let prepared = preparer.batch(batch);
                    // The receiver is gone if the work was stopped.
                    if sender.send((batch, prepared)).is_err() {
                        break;
                    }
                }
            });
            for (batch, prepared) in receiver {
                let before = again.len();
                let prepared = prepared.map_err(ModelError::from)?;
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
        let encoded = self.encode(prepared)?;
        let mut changes = Changes::default();
        let decoded = prepared.iter().flatten();
        changes.pictures.extend(decoded.filter_map(|p| Some((p.content, p.picture.as_ref()?))));
        for (work, prepared) in batch.iter().zip(prepared) {
            match prepared {
                Err(unusable) => self.fail(work, unusable, &mut changes),
                Ok(Prepared { content, .. })
                    if self.is_known(work, content)
                        && !self.has_other_code(work, content, &encoded)? =>
                {
                    self.keep(work, content, &encoded, &mut changes)?;
                }
                Ok(prepared) => {
                    if !self.add(work, prepared, &encoded, &mut changes)? {
                        again.push(work.clone());
                    }
                }
            }
        }
        self.writer.apply(&changes)
    }

    fn encode(&self, prepared: &[Result<Prepared, Unusable>]) -> Result<Encoded, IndexError> {
        let mut rows = HashMap::new();
        let mut regions = HashMap::new();
        let mut inputs: Vec<f32> = Vec::new();
        let with_regions = self.writer.index().regions() > 0;
        let mut row = 0;
        for prepared in prepared.iter().flatten() {
            let Some(input) = &prepared.input else { continue };
            rows.insert(prepared.content, row);
            inputs.extend(input);
            row += 1;
            if let Some(Picture { width, height, .. }) = &prepared.picture
                && with_regions
            {
                let places = areas(*width, *height, &prepared.regions);
                let after = row + prepared.regions.len();
                regions.insert(prepared.content, (places, row..after));
                inputs.extend(&prepared.region_inputs);
                row = after;
            }
        }
        let features = self.model.encoder().features(inputs).map_err(ModelError::from)?;
        let codes = self.model.codes(&features)?;
        Ok(Encoded { rows, regions, codes, features, kept: self.writer.index().kept() })
    }

    /// Returns whether a file is an indexed image: the one at its path, or one whose file is gone.
    fn is_known(&self, work: &Work, content: &blake3::Hash) -> bool {
        work.before.is_some_and(|(_, before)| before == *content)
            || self.absent.get(content).is_some_and(|ids| !ids.is_empty())
    }

    /// Returns whether the image at the path of a file has the same content and another code: the
    /// one that the file gave when it was read in another way.
    fn has_other_code(
        &self,
        work: &Work,
        content: &blake3::Hash,
        encoded: &Encoded,
    ) -> Result<bool, IndexError> {
        let Some((id, before)) = work.before.filter(|_| encoded.code(content).is_some()) else {
            return Ok(false);
        };
        let code = self.writer.index().code(id)?.to_bytes();
        Ok(before == *content && encoded.code(content) != Some(code))
    }

    /// Keeps the image of a file that was touched or moved.
    fn keep<'w>(
        &mut self,
        work: &'w Work,
        content: &blake3::Hash,
        encoded: &Encoded,
        changes: &mut Changes<'w>,
    ) -> Result<(), IndexError> {
        let touched = work.before.filter(|(_, before)| before == content);
        let moved = || self.absent.get_mut(content).and_then(Vec::pop);
        let Some(id) = touched.map(|(id, _)| id).or_else(moved) else { return Ok(()) };
        let Work { root, stored: path, stamp, .. } = work;
        changes.moved.push(Moved { id, root: *root, path, stamp: *stamp });
        let mut numbers = encoded.features(content);
        if self.features && numbers.is_none() {
            numbers = self.stored(content)?.and_then(|known| known.features);
        }
        changes.features.extend(numbers.map(|numbers| (id, numbers)));
        if self.writer.index().regions() > 0 {
            let mut regions = encoded.regions(content);
            if regions.is_none() {
                regions = self.stored(content)?.and_then(|known| known.regions);
            }
            changes.regions.extend(regions.map(|regions| (id, regions)));
        }
        changes.relabelled.extend(self.options.labels.said(&work.path).map(|label| (id, label)));
        if touched.is_some() {
            self.report.unchanged += 1;
            return Ok(());
        }
        self.report.moved += 1;
        if self.displace(work, changes)?.is_some() {
            self.report.removed += 1;
        }
        Ok(())
    }

    /// Adds a file as a new image; returns `false` if its code was expected to be known and is
    /// not.
    fn add<'w>(
        &mut self,
        work: &'w Work,
        Prepared { content, input, .. }: &Prepared,
        encoded: &Encoded,
        changes: &mut Changes<'w>,
    ) -> Result<bool, IndexError> {
        let stored = self.stored(content)?;
        let (code, features, regions) = match (encoded.code(content), &stored) {
            (Some(code), _) => (code, encoded.features(content), encoded.regions(content)),
            (None, Some(Known { code, features, regions, .. })) => {
                (code.clone(), features.clone(), regions.clone())
            }
            (None, None) => return Ok(false),
        };
        let before = self.displace(work, changes)?;
        // Without a new label: the label of the same content, else that of the image before.
        let label = self.options.labels.said(&work.path).unwrap_or_else(|| {
            let left = self.left.get_mut(content).and_then(Vec::pop);
            left.or(stored.and_then(|known| known.label)).or(before.clone().flatten())
        });
        let Work { root, stored: path, stamp, .. } = work;
        changes.new.push(NewImage {
            root: *root,
            path,
            stamp: *stamp,
            content: *content,
            label,
            code,
            features,
            regions,
        });
        if before.is_some() {
            self.report.changed += 1;
        } else {
            self.report.added += 1;
            self.report.copied += usize::from(input.is_none());
        }
        Ok(true)
    }

    /// Records a file that cannot be used.
    fn fail<'w>(&mut self, work: &'w Work, unusable: &Unusable, changes: &mut Changes<'w>) {
        let Unusable { reason, unread, may_pass } = unusable;
        if !unread {
            // The image that was there is gone.
            changes.gone.extend(work.before.map(|(id, _)| id));
        }
        // No file has this time, so the file is tried again even if it does not change.
        let stamp = if *may_pass { Stamp { modified: -1, ..work.stamp } } else { work.stamp };
        changes.failed.push((&work.stored, stamp, reason.clone()));
        if self.failed.get(&work.stored) == Some(reason) {
            self.report.skipped_before += 1;
        } else {
            let (path, reason) = (work.path.clone(), reason.clone());
            self.report.skipped.push(Skipped { path, reason });
        }
    }

    /// Removes the image that was at a path before, if there was one, and returns its label. The
    /// label goes to the file that has its content now.
    fn displace(
        &mut self,
        work: &Work,
        changes: &mut Changes<'_>,
    ) -> Result<Option<Option<String>>, IndexError> {
        let Some((id, content)) = work.before else { return Ok(None) };
        changes.gone.push(id);
        let label = self.writer.index().image(id)?.label;
        if let Some(label) = &label {
            self.left.entry(content).or_default().push(label.clone());
        }
        Ok(Some(label))
    }

    /// Returns the stored data of a content, if it is complete.
    fn stored(&self, content: &blake3::Hash) -> Result<Option<Known>, IndexError> {
        let index = self.writer.index();
        for id in index.with_content(content)? {
            let features = index.feature_bytes(id)?.filter(|_| self.features);
            let regions = index.stored_regions(id)?;
            let has_regions = regions.is_some() || index.regions() == 0;
            if (features.is_some() || !self.features) && has_regions {
                let (code, label) = (index.code(id)?.to_bytes(), index.image(id)?.label);
                return Ok(Some(Known { code, features, regions, label }));
            }
        }
        Ok(None)
    }

    /// Removes the images that are gone and did not turn up elsewhere.
    fn clear(&mut self, gone: Gone) -> Result<(), IndexError> {
        let left: HashSet<i64> = self.absent.values().flatten().copied().collect();
        let images: Vec<i64> = gone.images.into_iter().filter(|id| left.contains(id)).collect();
        self.report.removed += images.len();
        let mended = gone.failures.iter().map(String::as_str).collect();
        self.writer.apply(&Changes { gone: images, mended, ..Changes::default() })
    }
}
