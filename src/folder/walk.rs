/*!
Listing a folder: its images, what cannot be read, and how many files are left out.
*/

use std::collections::HashSet;
use std::fs::{self, FileType};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use super::patterns::Patterns;
use super::{FolderError, LeftOut, Rule, ScanOptions, Stamp, shown};
use crate::image::is_image_path;
use crate::task::Stopped;

/// Files and folders between two progress reports; on a network drive they take about a second.
const STEP: usize = 64;

/// System folders: bins, thumbnails of file servers, snapshots, recovered files.
const SYSTEM: [&str; 10] = [
    "$RECYCLE.BIN",
    "RECYCLER",
    "System Volume Information",
    "@eaDir",
    "@Recycle",
    "@Recently-Snapshot",
    "#recycle",
    "#snapshot",
    "lost+found",
    "__MACOSX",
];

/// A file that may be an image.
#[derive(Debug, Clone)]
pub struct Candidate {
    pub path: PathBuf,
    pub stamp: Stamp,
}

/// A file or folder that could not be read.
#[derive(Debug, Clone)]
pub struct Unreadable {
    pub path: PathBuf,
    /// The reason, a sentence that names it.
    pub reason: String,
}

/// The files of a folder.
#[derive(Debug, Default)]
pub struct Listing {
    /// Images in the order of their paths.
    pub found: Vec<Candidate>,
    /// Folders and images that could not be read; images in them may still exist.
    pub unreadable: Vec<Unreadable>,
    /// The files that are not read.
    pub left_out: LeftOut,
    /// The folders that were read.
    pub folders: Vec<PathBuf>,
}

/// Returns the rule that leaves out files and folders of this name, unless hidden ones are wanted.
pub fn rule_of_name(name: &std::ffi::OsStr) -> Option<Rule> {
    if name.as_encoded_bytes().starts_with(b".") {
        return Some(Rule::Hidden);
    }
    SYSTEM.iter().any(|system| name.eq_ignore_ascii_case(system)).then_some(Rule::System)
}

/// Returns the folder to which a link in a folder leads, or `None` if that is the folder itself or
/// one above it: the link would lead round in a circle.
pub fn leads_to(link: &Path) -> Option<PathBuf> {
    let target = link.canonicalize().ok()?;
    let at = link.parent().and_then(|parent| parent.canonicalize().ok())?;
    (!at.starts_with(&target)).then_some(target)
}

/// A file or folder on the way.
struct Entry {
    path: PathBuf,
    kind: FileType,
    /// The rule that leaves out the folder around it.
    rule: Option<Rule>,
}

/// A walk through a folder.
pub struct Walk<'a> {
    folder: &'a Path,
    options: &'a ScanOptions,
    patterns: Patterns,
    /// Folders below that have listings of their own.
    apart: HashSet<&'a Path>,
    /// The listed folder without links in its path, if links are followed.
    real: Option<PathBuf>,
    /// Folders that were entered, without links in their paths, if links are followed.
    entered: HashSet<PathBuf>,
    listing: Listing,
    waiting: Vec<Entry>,
}

impl<'a> Walk<'a> {
    /// Prepares the listing of a folder.
    ///
    /// # Errors
    /// If a pattern is invalid.
    pub fn new(folder: &'a Path, options: &'a ScanOptions) -> Result<Self, FolderError> {
        Ok(Self {
            folder,
            options,
            patterns: Patterns::new(&options.exclude)?,
            apart: HashSet::new(),
            real: None,
            entered: HashSet::new(),
            listing: Listing::default(),
            waiting: Vec::new(),
        })
    }

    /// Passes over folders below that have listings of their own: no file is in two.
    pub fn apart_from(mut self, folders: impl IntoIterator<Item = &'a Path>) -> Self {
        self.apart = folders.into_iter().filter(|folder| *folder != self.folder).collect();
        self
    }

    /// Lists the folder; calls `step` regularly with the number of images found so far.
    ///
    /// # Errors
    /// If the folder itself cannot be read, or `step` fails. Folders below that cannot be read are
    /// part of the result.
    pub fn run(
        mut self,
        step: &dyn Fn(usize) -> Result<(), Stopped>,
    ) -> Result<Listing, FolderError> {
        step(0)?;
        let failed = |source: io::Error| FolderError::Read { path: self.folder.into(), source };
        if !fs::metadata(self.folder).map_err(failed)?.is_dir() {
            return Err(failed(io::Error::new(ErrorKind::NotADirectory, "it is not a folder")));
        }
        let entries = entries(self.folder).map_err(failed)?;
        if self.options.follow_links {
            self.real = self.folder.canonicalize().ok();
            self.entered.extend(self.real.clone());
        }
        self.enter(self.folder.to_owned(), entries, None);
        let mut number = 0usize;
        while let Some(entry) = self.waiting.pop() {
            number += 1;
            if number.is_multiple_of(STEP) {
                step(self.listing.found.len())?;
            }
            self.look_at(entry);
        }
        Ok(self.listing)
    }

    /// Appends the entries of a folder, the first one last, so that it is taken next.
    fn enter(&mut self, folder: PathBuf, entries: Vec<(PathBuf, FileType)>, rule: Option<Rule>) {
        let new = entries.into_iter().rev().map(|(path, kind)| Entry { path, kind, rule });
        self.waiting.extend(new);
        if rule.is_none() {
            self.listing.folders.push(folder);
        }
    }

    fn look_at(&mut self, Entry { path, kind, rule }: Entry) {
        let rule = rule.or_else(|| self.rule_of(&path));
        // Follows a link, as opening it would.
        let target = kind.is_symlink().then(|| fs::metadata(&path));
        match (target, rule) {
            (None, _) if kind.is_dir() => self.folder(path, rule),
            (_, Some(rule)) => self.listing.left_out.count(rule),
            (Some(Ok(target)), None) if target.is_dir() => self.link(path),
            // A link to nowhere. Some editors make them as lock files.
            (Some(Err(_)), None) if !is_image_path(&path) => {
                self.listing.left_out.count_kind(&path)
            }
            (Some(Err(error)), None) => self.unreadable(path, &error),
            (Some(Ok(target)), None) => self.file(path, target.file_type()),
            (None, None) => self.file(path, kind),
        }
    }

    fn rule_of(&self, path: &Path) -> Option<Rule> {
        let by_name = path.file_name().and_then(rule_of_name);
        let excluded = || self.patterns.have(path, self.folder).then_some(Rule::Excluded);
        by_name.filter(|_| !self.options.hidden).or_else(excluded)
    }

    fn folder(&mut self, path: PathBuf, rule: Option<Rule>) {
        if self.apart.contains(path.as_path()) {
            return;
        }
        if self.options.follow_links && rule.is_none() {
            // A link may have led here already.
            if path.canonicalize().is_ok_and(|real| !self.entered.insert(real)) {
                self.listing.left_out.links += 1;
                return;
            }
        }
        match (entries(&path), rule) {
            (Ok(entries), _) => self.enter(path, entries, rule),
            // Nobody knows how many files are in it.
            (Err(_), Some(rule)) => self.listing.left_out.count(rule),
            (Err(error), None) => self.unreadable(path, &error),
        }
    }

    /// Follows a link to a folder, if that is wanted and it is not read anyway.
    fn link(&mut self, path: PathBuf) {
        let target = leads_to(&path).filter(|_| self.options.follow_links);
        let new = target.is_some_and(|real| !self.is_reached(&real));
        if new {
            self.folder(path, None);
        } else {
            self.listing.left_out.links += 1;
        }
    }

    /// Returns whether the walk comes to a folder without this link.
    fn is_reached(&self, target: &Path) -> bool {
        let Some(real) = &self.real else { return false };
        let Ok(below) = target.strip_prefix(real) else { return false };
        let mut path = self.folder.to_owned();
        below.iter().all(|name| {
            path.push(name);
            self.rule_of(&path).is_none()
        })
    }

    fn file(&mut self, path: PathBuf, kind: FileType) {
        if !kind.is_file() {
            self.listing.left_out.special += 1;
            return;
        }
        if !is_image_path(&path) {
            self.listing.left_out.count_kind(&path);
            return;
        }
        match fs::metadata(&path) {
            Ok(meta) => {
                let stamp = Stamp::of(&meta);
                self.listing.found.push(Candidate { path, stamp });
            }
            Err(error) => self.unreadable(path, &error),
        }
    }

    fn unreadable(&mut self, path: PathBuf, error: &io::Error) {
        let reason = format!("cannot read {}: {error}", shown(&path));
        self.listing.unreadable.push(Unreadable { path, reason });
    }
}

/// Returns the entries of a folder in the order of their names.
fn entries(folder: &Path) -> io::Result<Vec<(PathBuf, FileType)>> {
    let mut all = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        all.push((entry.path(), entry.file_type()?));
    }
    all.sort_by(|(a, _), (b, _)| a.file_name().cmp(&b.file_name()));
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listing(folder: &Path, options: &ScanOptions) -> Listing {
        Walk::new(folder, options).unwrap().run(&|_| Ok(())).unwrap()
    }

    fn names(folder: &Path, options: &ScanOptions) -> Vec<String> {
        let below = |c: Candidate| {
            c.path.strip_prefix(folder).unwrap().to_str().unwrap().replace('\\', "/")
        };
        listing(folder, options).found.into_iter().map(below).collect()
    }

    fn make(folder: &Path, files: &[&str]) {
        for file in files {
            let path = folder.join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "").unwrap();
        }
    }

    const FILES: [&str; 9] = [
        "a.jpg",
        "b.txt",
        ".c.jpg",
        ".d/e.jpg",
        "@EADIR/f.jpg",
        "raw/g.jpg",
        "x/raw/h.png",
        "x/y/i.jpg",
        "x/y/j.heics",
    ];

    #[test]
    fn patterns_hidden_and_system_folders_are_left_out() {
        let folder = tempfile::tempdir().unwrap();
        make(folder.path(), &FILES);
        let of = |exclude: &[&str], hidden| {
            let exclude = exclude.iter().map(|s| s.to_string()).collect();
            names(folder.path(), &ScanOptions { exclude, hidden, ..Default::default() })
        };
        assert_eq!(of(&[], false), ["a.jpg", "raw/g.jpg", "x/raw/h.png", "x/y/i.jpg"]);
        assert_eq!(of(&["raw"], false), ["a.jpg", "x/y/i.jpg"]);
        assert_eq!(of(&["/raw"], false), ["a.jpg", "x/raw/h.png", "x/y/i.jpg"]);
        assert_eq!(of(&["x/*/*.jpg"], false), ["a.jpg", "raw/g.jpg", "x/raw/h.png"]);
        assert_eq!(of(&["*.jp*g"], false), ["x/raw/h.png"]);
        assert_eq!(of(&["x", "raw"], true), [".c.jpg", ".d/e.jpg", "@EADIR/f.jpg", "a.jpg"]);
        let wrong = ScanOptions { exclude: vec!["a[".to_owned()], ..Default::default() };
        let told = Walk::new(folder.path(), &wrong).err().unwrap().to_string();
        assert!(told.contains("a["), "{told}");
    }

    #[test]
    fn every_file_is_in_one_number() {
        let folder = tempfile::tempdir().unwrap();
        make(folder.path(), &FILES);
        for options in [
            ScanOptions::default(),
            ScanOptions::default().without("x"),
            ScanOptions::default().with_hidden(),
            ScanOptions::default().without("*.jpg").with_hidden(),
        ] {
            let Listing { found, left_out, .. } = listing(folder.path(), &options);
            assert_eq!(found.len() + left_out.total(), FILES.len(), "{options:?} {left_out:?}");
        }
        let LeftOut { hidden, system, excluded, .. } =
            listing(folder.path(), &ScanOptions::default().without("x")).left_out;
        assert_eq!((hidden, system, excluded), (2, 1, 3));
        // A folder with a listing of its own is in no other.
        let (options, apart) = (ScanOptions::default(), folder.path().join("x"));
        let walk = Walk::new(folder.path(), &options).unwrap().apart_from([apart.as_path()]);
        let rest = walk.run(&|_| Ok(())).unwrap();
        assert_eq!(rest.found.len() + rest.left_out.total(), 6);
    }

    #[test]
    fn listing_tells_how_far_it_is_and_can_be_stopped() {
        let folder = tempfile::tempdir().unwrap();
        (0..3 * STEP).for_each(|i| fs::write(folder.path().join(format!("{i}.jpg")), "").unwrap());
        let (told, options) = (std::cell::RefCell::new(Vec::new()), ScanOptions::default());
        let walk = || Walk::new(folder.path(), &options).unwrap();
        let step = |found| {
            told.borrow_mut().push(found);
            Ok(())
        };
        assert_eq!(walk().run(&step).unwrap().found.len(), 3 * STEP);
        // The first entry is the folder itself.
        let expected: Vec<usize> = (0..=3).map(|i: usize| (i * STEP).saturating_sub(1)).collect();
        assert_eq!(*told.borrow(), expected);
        let stopped = walk().run(&|found| if found > 0 { Err(Stopped) } else { Ok(()) });
        assert!(matches!(stopped, Err(FolderError::Stopped(_))));
    }

    #[cfg(unix)]
    #[test]
    fn links_are_followed_on_request_and_no_folder_is_read_twice() {
        use std::os::unix::fs::symlink;

        let all = tempfile::tempdir().unwrap();
        let (folder, other) = (all.path().join("p"), all.path().join("other"));
        make(all.path(), &["other/far.jpg", "p/near.jpg", "p/z/in.jpg", "p/.h/deep.jpg"]);
        symlink(&other, folder.join("link")).unwrap();
        symlink(&other, folder.join("more")).unwrap();
        symlink(&folder, folder.join("self")).unwrap();
        symlink("..", folder.join("up")).unwrap();
        symlink("z", folder.join("best")).unwrap();
        symlink(".h", folder.join("deep")).unwrap();
        symlink("nowhere.jpg", folder.join("gone.jpg")).unwrap();
        symlink("loop", folder.join("loop")).unwrap();
        let mut options = ScanOptions::default();
        assert_eq!(names(&folder, &options), ["near.jpg", "z/in.jpg"]);
        let listed = listing(&folder, &options);
        assert_eq!((listed.left_out.links, listed.left_out.hidden), (6, 1));
        options.follow_links = true;
        let followed = ["deep/deep.jpg", "link/far.jpg", "near.jpg", "z/in.jpg"];
        assert_eq!(names(&folder, &options), followed);
        let listed = listing(&folder, &options);
        assert_eq!((listed.left_out.links, listed.unreadable.len()), (4, 1));
        assert!(listed.unreadable[0].reason.contains("gone.jpg"));
    }
}
