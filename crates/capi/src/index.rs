/*!
Indexes: adding folders, searching.

A handle has two connections to the file: one that adds, and one that reads what was there
when it was opened. So an app can search while another of its threads adds, which may take
minutes; what was added is seen from the first search after that.
*/

use std::ffi::{CString, c_char, c_int, c_void};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use super::model::Opened;
use super::{Failure, Hits, Model, Status, borrow, c_string, free, give, guard, path, slice};
use barbule::code::BinaryCodes;
use barbule::image::{self, Limits};
use barbule::index::{Found, Index as Stored, IndexError, Searcher, UpdateOptions, update};
use barbule::task::Task;

/// An open index. Any thread may use it; while one adds, others can search.
#[derive(Debug)]
pub struct Index {
    model: Arc<Opened>,
    path: PathBuf,
    /// Held while something is added. The file is opened for writing only then: an index that
    /// cannot be written can be searched, and others can write in between.
    adding: Mutex<()>,
    /// Loaded when something is looked for.
    view: Mutex<Option<Arc<View>>>,
}

/// What is searched: the index as it was at one moment.
#[derive(Debug)]
struct View {
    stored: Mutex<Stored>,
    searcher: Searcher,
}

/// Told how many of the images to look into are done; a result other than 0 stops the work.
/// While the folders are listed, `total` is 0 and `done` the number of images found so far.
///
/// It may be called from another thread than the one that adds, but never by two at once. It
/// must return (no exception, no longjmp) and must neither add to the same index nor free it.
pub type Progress =
    Option<unsafe extern "C" fn(user: *mut c_void, done: usize, total: usize) -> c_int>;

/// Told of a file that could not be used, and why: a sentence that names it. Both strings are
/// UTF-8 and valid until it returns, which it must. Called from the thread that adds.
pub type Skipped =
    Option<unsafe extern "C" fn(user: *mut c_void, path: *const c_char, reason: *const c_char)>;

/// What adding folders did, in images.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Added {
    /// Image files in the folders.
    pub found: usize,
    /// New in the index.
    pub added: usize,
    /// Encoded again, because their content had changed.
    pub changed: usize,
    /// As they were.
    pub unchanged: usize,
    /// Of the new ones, those whose content was in the index already.
    pub copied: usize,
    /// Not usable; only those that were not known to be so are told of.
    pub skipped: usize,
    /// Found in another place than before.
    pub moved: usize,
}

/// A callback with what it is to be given.
struct Watcher {
    progress: Progress,
    user: *mut c_void,
}

// SAFETY: `user` is never looked into here, only handed to the callback, which by its
// description may be called from another thread.
unsafe impl Send for Watcher {}

impl Watcher {
    /// Whether to go on.
    fn tell(&self, done: usize, total: usize) -> bool {
        // SAFETY: a function of this signature, as the caller of `barbule_index_add` promises.
        self.progress.is_none_or(|progress| unsafe { progress(self.user, done, total) } == 0)
    }
}

impl Index {
    fn open(path: PathBuf, model: Arc<Opened>) -> Result<Self, Failure> {
        let of = &model.model;
        of.check_hamming()?;
        match Stored::open(&path) {
            Ok(stored) => stored.same_model(of.bits(), of.fingerprint())?,
            // Missing, or an empty file: it is made now, not after the first hour of work.
            Err(_) => drop(Stored::open_or_create(&path, of.bits(), of.fingerprint())?),
        }
        Ok(Self { model, path, adding: Mutex::new(()), view: Mutex::default() })
    }

    fn view(&self) -> Result<Arc<View>, Failure> {
        let mut view = lock(&self.view);
        if let Some(view) = &*view {
            return Ok(view.clone());
        }
        let stored = Stored::open(&self.path)?;
        // The file may be another than the one that was opened.
        stored.same_model(self.model.model.bits(), self.model.model.fingerprint())?;
        let searcher = Searcher::new(&stored, &self.model.device)?;
        Ok(view.insert(Arc::new(View { stored: Mutex::new(stored), searcher })).clone())
    }

    fn add(
        &self,
        folders: &[PathBuf],
        watcher: Watcher,
    ) -> Result<barbule::index::Update, Failure> {
        let model = &self.model.model;
        let one = lock(&self.adding);
        // Open no longer than this: nobody else can write meanwhile.
        let mut writer = Stored::open_or_create(&self.path, model.bits(), model.fingerprint())?;
        let (stop, watcher) = (AtomicBool::new(false), Mutex::new(watcher));
        let progress = |done, total| {
            if !lock(&watcher).tell(done, total) {
                stop.store(true, Ordering::Relaxed);
            }
        };
        let task = Task::new(&progress, &stop);
        let updated = update(&mut writer, model, folders, &UpdateOptions::default(), &task);
        drop((writer, one));
        // Whatever came of it: batches before a failure are in the index.
        *lock(&self.view) = None;
        Ok(updated?)
    }

    /// The images nearest to one that is given by the bytes of its file.
    fn search(&self, bytes: &[u8], name: Option<&str>, k: usize) -> Result<Hits, Failure> {
        let (view, content) = (self.view()?, blake3::hash(bytes));
        let code = {
            let stored = lock(&view.stored);
            let ids = stored.with_content(&content)?;
            ids.first().map(|id| stored.code(*id)).transpose()?
        };
        let code = match code {
            Some(code) => code,
            None => {
                let failed = |error| match name {
                    Some(name) => Failure::new(Status::Image, format!("{name}: {error}")),
                    None => Failure::new(Status::Image, error),
                };
                let picture = image::decode(bytes, &Limits::default()).map_err(failed)?;
                self.model.model.encode(&picture)?
            }
        };
        Ok(Hits::new(view.find(&code, Some(&content), k)?))
    }

    fn search_id(&self, id: i64, k: usize) -> Result<Hits, Failure> {
        let view = self.view()?;
        let (own, code) = {
            let stored = lock(&view.stored);
            let own = stored.image(id).map_err(|error| match is_missing(&error) {
                true => {
                    let path = self.path.display();
                    Failure::new(Status::NotFound, format!("there is no image {id} in {path}"))
                }
                false => error.into(),
            })?;
            (own, stored.code(id)?)
        };
        let mut found = view.find(&code, None, k)?;
        // Images of the same code may have smaller ids.
        found.retain(|found| found.id != id);
        let (path, label) = (own.path, own.label);
        found.insert(
            0,
            Found { rank: 1, path, distance: 0, id, label, same: true, similarity: None },
        );
        found.truncate(k);
        Ok(Hits::new(found))
    }
}

impl View {
    fn find(
        &self,
        code: &BinaryCodes,
        content: Option<&blake3::Hash>,
        k: usize,
    ) -> Result<Vec<Found>, Failure> {
        let k = k.min(self.searcher.len());
        Ok(self.searcher.search(&lock(&self.stored), code, content, k)?)
    }
}

/// Whether an index says by this that it has no image of an id, and not that it is damaged.
fn is_missing(error: &IndexError) -> bool {
    let none = rusqlite::Error::QueryReturnedNoRows;
    match error {
        IndexError::Database { source, .. } => *source == none,
        IndexError::Unfit { reason, .. } => reason.contains(&none.to_string()),
        _ => false,
    }
}

/// A panic leaves no transaction behind: SQLite rolls it back when it is dropped.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

/// Opens an index file for a model, and makes it if there is none.
///
/// An index belongs to the model that it was made with. A file that cannot be written can be
/// searched all the same. On success `*index` is to be freed by barbule_index_free(); on
/// failure it is NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn barbule_index_open(
    path: *const c_char,
    model: *const Model,
    index: *mut *mut Index,
) -> Status {
    let make = || {
        // SAFETY: as the caller promises.
        let (file, model) =
            unsafe { (self::path(path, "path of the index")?, borrow(model, "model")?) };
        Index::open(file, model.opened.clone())
    };
    // SAFETY: as the caller promises.
    guard(|| unsafe { give(index, make) })
}

/// How many images there are to search.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn barbule_index_len(index: *const Index, length: *mut usize) -> Status {
    guard(|| {
        if length.is_null() {
            return Err(Failure::argument("the place for the result is NULL"));
        }
        // SAFETY: as the caller promises.
        let count = unsafe { borrow(index, "index") }?.view()?.searcher.len();
        // SAFETY: not NULL, so it can be written, as the caller promises.
        unsafe { length.write(count) };
        Ok(())
    })
}

/// Brings an index up to date with `count` folders and all that are in them: new and changed
/// images are encoded, which takes long; the others are only listed.
///
/// With no folders (`count` is 0), all folders that the index was made from are looked at.
///
/// `progress`, `skipped` and `added` may be NULL. `user` is handed to both callbacks. Images
/// are written in batches: after BARBULE_STATUS_STOPPED or a failure, and even when the
/// process is killed, the batches before are in the index, and adding the same folders again
/// goes on from there. Files that cannot be used are no failure. What was added is seen by
/// searches that begin after this has returned.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn barbule_index_add(
    index: *const Index,
    folders: *const *const c_char,
    count: usize,
    progress: Progress,
    skipped: Skipped,
    user: *mut c_void,
    added: *mut Added,
) -> Status {
    guard(|| {
        // SAFETY: as the caller promises.
        let (index, folders) =
            unsafe { (borrow(index, "index")?, slice(folders, count, "folders")?) };
        // SAFETY: as the caller promises.
        let paths = folders.iter().map(|folder| unsafe { path(*folder, "path of a folder") });
        let update =
            index.add(&paths.collect::<Result<Vec<_>, _>>()?, Watcher { progress, user })?;
        if let Some(tell) = skipped {
            for file in &update.skipped {
                let path: CString = c_string(file.path.to_string_lossy().into_owned());
                let reason = c_string(file.reason.as_str());
                // SAFETY: a function of this signature, as the caller promises.
                unsafe { tell(user, path.as_ptr(), reason.as_ptr()) };
            }
        }
        if !added.is_null() {
            let barbule::index::Update { found, added: new, changed, moved, unchanged, .. } =
                update;
            let (copied, skipped) = (update.copied, update.skipped.len() + update.skipped_before);
            // SAFETY: not NULL, so it can be written, as the caller promises.
            unsafe {
                added.write(Added { found, added: new, changed, unchanged, copied, skipped, moved })
            };
        }
        Ok(())
    })
}

/// Lets the next search see what another handle or another program has added since.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn barbule_index_refresh(index: *const Index) -> Status {
    guard(|| {
        // SAFETY: as the caller promises.
        *lock(&unsafe { borrow(index, "index") }?.view) = None;
        Ok(())
    })
}

/// The `k` indexed images most like an image file, nearest first; at the same distance, the
/// one that was indexed first. If the image is itself indexed, it comes first, marked.
///
/// On success `*hits` is to be freed by barbule_hits_free(); on failure it is NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn barbule_search_file(
    index: *const Index,
    image: *const c_char,
    k: usize,
    hits: *mut *mut Hits,
) -> Status {
    let make = || {
        // SAFETY: as the caller promises.
        let (index, file) = unsafe { (borrow(index, "index")?, path(image, "path of the image")?) };
        index.search(&image::read(&file)?, Some(&file.display().to_string()), k)
    };
    // SAFETY: as the caller promises.
    guard(|| unsafe { give(hits, make) })
}

/// The same for the bytes of an image file.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn barbule_search_bytes(
    index: *const Index,
    bytes: *const u8,
    length: usize,
    k: usize,
    hits: *mut *mut Hits,
) -> Status {
    let make = || {
        // SAFETY: as the caller promises.
        let (index, bytes) =
            unsafe { (borrow(index, "index")?, slice(bytes, length, "bytes of the image")?) };
        index.search(bytes, None, k)
    };
    // SAFETY: as the caller promises.
    guard(|| unsafe { give(hits, make) })
}

/// The same for an indexed image, by its id: nothing is read but the index.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn barbule_search_id(
    index: *const Index,
    id: i64,
    k: usize,
    hits: *mut *mut Hits,
) -> Status {
    // SAFETY: as the caller promises.
    let make = || unsafe { borrow(index, "index") }?.search_id(id, k);
    // SAFETY: as the caller promises.
    guard(|| unsafe { give(hits, make) })
}

/// Frees an index; nothing is lost, all is on disk. NULL is nothing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn barbule_index_free(index: *mut Index) {
    // SAFETY: as the caller promises.
    unsafe { free(index) }
}
