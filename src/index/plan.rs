/*!
The plan of an update: which files have to be read, and which images are gone.
*/

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

use super::files::{Failure, KnownImage};
use super::paths::{innermost, is_under, stored_path};
use super::prepare::Work;
use super::report::{Skipped, Update};
use super::writer::IndexWriter;
use super::{IndexError, Scan, ScanOptions, UpdateOptions};
use crate::folder::{Candidate, FolderError, Listing, Stamp, Walk, shown};
use crate::task::{Stopped, Task};

/// Files with other numbers than before that are read in any case.
const FEW: usize = 8;

/// The work of an update.
pub(super) struct Plan {
    pub work: Vec<Work>,
    pub gone: Gone,
    /// New labels of images that are otherwise as they were.
    pub relabelled: Vec<(i64, Option<String>)>,
    /// Stored reasons of the files that could not be used.
    pub failed: HashMap<String, String>,
    /// Whether every indexed folder was looked at.
    pub whole: bool,
    /// Files and folders that cannot be used and were not known as such: path and reason.
    pub unusable: Vec<(String, String)>,
    /// The part of the result that is known already.
    pub report: Update,
}

/// Rows to remove at the end, unless their files turn up elsewhere.
#[derive(Default)]
pub(super) struct Gone {
    pub images: Vec<i64>,
    pub failures: Vec<String>,
}

/// A folder to scan.
struct Folder {
    path: PathBuf,
    /// The selection of its files.
    options: ScanOptions,
    /// Whether the options are to be stored.
    said: bool,
    /// Whether the caller named it.
    named: bool,
}

/// Makes a [`Plan`].
pub(super) struct Planner<'a> {
    pub writer: &'a mut IndexWriter,
    pub options: &'a UpdateOptions,
    /// Whether the images were read in the present way. If not, more files may be readable now.
    as_now: bool,
    known: &'a [KnownImage],
    by_path: HashMap<&'a str, &'a KnownImage>,
    /// Stamps of the files that could not be used.
    failures: HashMap<String, Stamp>,
    /// Reasons of these failures.
    failed: HashMap<String, String>,
    work: Vec<Work>,
    relabelled: Vec<(i64, Option<String>)>,
    unusable: Vec<(String, String)>,
    report: Update,
    /// Paths of all files that were found, and of what could not be used.
    seen: HashSet<String>,
    looked_at: Vec<String>,
    /// Folders below those that could not be read.
    unreadable: Vec<String>,
}

impl<'a> Planner<'a> {
    pub fn new(
        writer: &'a mut IndexWriter,
        options: &'a UpdateOptions,
        known: &'a [KnownImage],
    ) -> Result<Self, IndexError> {
        let (mut failures, mut failed) = (HashMap::new(), HashMap::new());
        for Failure { path, reason, stamp } in writer.index().failures()? {
            failed.insert(path.clone(), reason);
            failures.insert(path, stamp);
        }
        let as_now = writer.index().is_read_as_now()?;
        Ok(Self {
            writer,
            options,
            as_now,
            known,
            by_path: known.iter().map(|image| (image.path.as_str(), image)).collect(),
            failures,
            failed,
            work: Vec::new(),
            relabelled: Vec::new(),
            unusable: Vec::new(),
            report: Update::default(),
            seen: HashSet::new(),
            looked_at: Vec::new(),
            unreadable: Vec::new(),
        })
    }

    /// Lists the files under `folders`, or under all indexed folders if there are none.
    pub fn plan(mut self, folders: &[PathBuf], task: &Task<'_>) -> Result<Plan, IndexError> {
        let folders = self.folders(folders)?;
        let paths: Vec<PathBuf> = folders.iter().map(|folder| folder.path.clone()).collect();
        for folder in folders {
            self.visit(folder, &paths, task)?;
        }
        let gone = self.gone()?;
        self.report.labels = self.options.labels.table_use(|path| self.seen.contains(path));
        let roots = self.writer.index().roots()?;
        let whole = roots.iter().all(|root| self.looked_at.contains(&root.path));
        let Self { work, relabelled, failed, unusable, report, .. } = self;
        Ok(Plan { work, gone, relabelled, failed, whole, unusable, report })
    }

    /// Returns the folders to list, inner ones before those around them: the named ones and the
    /// indexed ones within, or all indexed ones. Missing folders that were not named are reported
    /// as absent.
    fn folders(&mut self, named: &[PathBuf]) -> Result<Vec<Folder>, IndexError> {
        let mut folders: Vec<Folder> = Vec::new();
        let roots = self.writer.index().roots()?;
        let of = |stored: &str| roots.iter().find(|root| root.path == stored);
        for folder in named {
            let failed = |source| FolderError::Read { path: folder.clone(), source };
            // One spelling per folder, so that its images are recognised next time.
            let path = folder.canonicalize().map_err(failed)?;
            let before = of(&stored_path(&path)).map(|root| root.options.clone());
            let (options, said) = self.options.scan.of(before.unwrap_or_default());
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
            // Options given with folders apply to these folders only.
            let scan = if named.is_empty() { &self.options.scan } else { &Scan::AsBefore };
            let (options, said) = scan.of(root.options.clone());
            if path.is_dir() {
                folders.push(Folder { path, options, said, named: false });
            } else {
                self.report.absent.push(path);
            }
        }
        folders.sort_by_key(|folder| std::cmp::Reverse(folder.path.as_os_str().len()));
        Ok(folders)
    }

    /// Lists one folder; those of `all` within it have listings of their own.
    fn visit(
        &mut self,
        folder: Folder,
        all: &[PathBuf],
        task: &Task<'_>,
    ) -> Result<(), IndexError> {
        let Folder { path: folder, options, said, named } = folder;
        let stored = stored_path(&folder);
        let before = self.report.found;
        let step = |found| task.count(before + found);
        let walk = Walk::new(&folder, &options)?.apart_from(all.iter().map(PathBuf::as_path));
        let Listing { found, unreadable, left_out, .. } = match walk.run(&step) {
            Ok(listing) => listing,
            // An unreadable folder must not prevent the update of the others.
            Err(error @ FolderError::Read { .. }) if !named => {
                let reason = error.to_string();
                self.give_up(folder, reason);
                return Ok(());
            }
            Err(error) => return Err(error.into()),
        };
        let root = self.writer.root(&stored, said.then_some(&options))?;
        let had_some = || self.known.iter().any(|image| is_under(&image.path, &stored));
        if found.is_empty() && had_some() && is_bare(&folder, &step)? {
            self.report.absent.push(folder);
            return Ok(());
        }
        self.looked_at.push(stored);
        self.writer.note_left_out(root, &left_out)?;
        self.report.left_out.add(&left_out);
        for unreadable in unreadable {
            self.unreadable.push(stored_path(&unreadable.path));
            self.give_up(unreadable.path, unreadable.reason);
        }
        let numbers = self.numbers_count(&found);
        found.into_iter().for_each(|candidate| self.judge(root, candidate, numbers));
        Ok(())
    }

    /// Notes a file or folder that cannot be used. Nothing shows whether that has changed, so it is
    /// tried each time.
    fn give_up(&mut self, path: PathBuf, reason: String) {
        let stored = shown(&path);
        if self.failed.get(&stored) == Some(&reason) {
            self.report.skipped_before += 1;
        } else {
            self.unusable.push((stored.clone(), reason.clone()));
            self.report.skipped.push(Skipped { path, reason });
        }
        self.seen.insert(stored);
    }

    /// Returns whether files keep their numbers. Drives with FAT number them anew each time; then
    /// most have another number, though nothing else has changed.
    fn numbers_count(&self, found: &[Candidate]) -> bool {
        let before = |path: &Path| self.by_path.get(path.to_str()?).map(|image| image.stamp);
        let (mut same, mut other) = (0, 0);
        for Candidate { path, stamp } in found {
            if let Some(before) = before(path).filter(|before| before.is(stamp, false)) {
                *if before.is(stamp, true) { &mut same } else { &mut other } += 1;
            }
        }
        other <= FEW || other <= same
    }

    /// Decides whether a file has to be read.
    fn judge(&mut self, root: i64, Candidate { path, stamp }: Candidate, numbers: bool) {
        let Some(stored) = path.to_str().map(str::to_owned) else {
            let reason = format!("{}: its name is not valid Unicode; rename it", shown(&path));
            return self.give_up(path, reason);
        };
        if !self.seen.insert(stored.clone()) {
            return; // folders that overlap through links
        }
        self.report.found += 1;
        let is_same = |before: &Stamp| before.is(&stamp, numbers) && !self.options.again;
        let before = self.by_path.get(stored.as_str());
        if let Some(image) = before.filter(|image| is_same(&image.stamp)) {
            let label = self.options.labels.said(&path);
            if let Some(label) = label.filter(|label| *label != image.label) {
                self.relabelled.push((image.id, label));
            }
            if image.complete {
                self.report.unchanged += 1;
                return;
            }
        } else if self.as_now && self.failures.get(&stored).is_some_and(is_same) {
            self.report.skipped_before += 1;
            return;
        }
        let before = before.map(|image| (image.id, image.content));
        self.work.push(Work { root, path, stored, stamp, before });
    }

    /// Returns the rows of the listed folders whose files were not found.
    fn gone(&self) -> Result<Gone, IndexError> {
        // Files of an inner root are judged by its own scan only: an outer root may exclude it, or
        // exist while the inner one is missing.
        let roots = self.writer.index().roots()?;
        let roots: Vec<String> = roots.into_iter().map(|root| root.path).collect();
        let covered = |path: &str| {
            !self.seen.contains(path)
                && innermost(path, &roots)
                    .is_some_and(|root| self.looked_at.iter().any(|at| at == root))
                && !self.unreadable.iter().any(|folder| is_under(path, folder))
        };
        let images = self.known.iter().filter(|image| covered(&image.path));
        let failures = self.failures.keys().filter(|path| covered(path));
        Ok(Gone {
            images: images.map(|image| image.id).collect(),
            failures: failures.cloned().collect(),
        })
    }
}

/// Returns whether a folder has no image at all, not even an excluded one.
fn is_bare(folder: &Path, step: &dyn Fn(usize) -> Result<(), Stopped>) -> Result<bool, Stopped> {
    let everything = ScanOptions::default().with_hidden();
    match Walk::new(folder, &everything).and_then(|walk| walk.run(step)) {
        Ok(listing) => Ok(listing.found.is_empty()),
        Err(FolderError::Stopped(stopped)) => Err(stopped),
        // The folder has disappeared.
        Err(_) => Ok(true),
    }
}
