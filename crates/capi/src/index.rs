/*!
Indexes: adding folders, searching.

A handle searches a snapshot of the index, so that an app can search while another of its threads
adds images, which may take minutes. Searches that begin after that see the new images.
*/

use std::ffi::{CString, c_char, c_int, c_void};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use super::{Failure, Hits, Model, Status, borrow, c_string, free, give, guard, lock, path, slice};
use barbule::index::{Collection, Update, UpdateOptions};
use barbule::task::Task;

/// An open index. Any thread may use it; while one adds, others can search.
#[derive(Debug)]
pub struct Index {
    collection: Collection,
    /// Whether the next search must reload the index first.
    stale: Mutex<bool>,
}

/// Progress callback: `done` of `total` new and changed images are finished. A result other
/// than 0 stops the work. While the folders are listed, `total` is 0 and `done` the number
/// of images found so far.
///
/// It may be called from another thread than the one that adds, but never concurrently. It
/// must return (no exception, no longjmp) and must neither add to the same index nor free
/// it.
pub type Progress =
    Option<unsafe extern "C" fn(user: *mut c_void, done: usize, total: usize) -> c_int>;

/// Callback for a file that could not be used; `reason` is a sentence that names the file.
/// Both strings are UTF-8 and valid until the callback returns, which it must. Called from
/// the thread that adds.
pub type Skipped =
    Option<unsafe extern "C" fn(user: *mut c_void, path: *const c_char, reason: *const c_char)>;

/// Image counts of an update.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Added {
    /// Image files in the folders.
    pub found: usize,
    /// New in the index.
    pub added: usize,
    /// Encoded again, because their content changed.
    pub changed: usize,
    /// Unchanged.
    pub unchanged: usize,
    /// New images whose content was in the index already.
    pub copied: usize,
    /// Unusable; the `skipped` callback is called only for those that were usable or new.
    pub skipped: usize,
    /// Found at another path than before.
    pub moved: usize,
}

/// A progress callback with its user pointer.
pub(super) struct Watcher {
    pub progress: Progress,
    pub user: *mut c_void,
}

// SAFETY: `user` is never dereferenced here, only passed to the callback, which is documented to
// be called from any thread.
unsafe impl Send for Watcher {}

impl Watcher {
    /// Runs `work`, which the callback may stop.
    pub fn watch<T>(self, work: impl FnOnce(&Task<'_>) -> T) -> T {
        let (stop, watcher) = (AtomicBool::new(false), Mutex::new(self));
        let progress = |done, total| {
            if !lock(&watcher).tell(done, total) {
                stop.store(true, Ordering::Relaxed);
            }
        };
        work(&Task::new(&progress, &stop))
    }

    /// Calls the callback and returns whether to go on.
    fn tell(&self, done: usize, total: usize) -> bool {
        // SAFETY: a function of this signature, as the caller of `barbule_index_add` promises.
        self.progress.is_none_or(|progress| unsafe { progress(self.user, done, total) } == 0)
    }
}

impl Index {
    fn open(path: &Path, model: &Model) -> Result<Self, Failure> {
        let collection = Collection::open_or_create(path, model.model.clone(), &model.device)?;
        Ok(Self { collection, stale: Mutex::new(false) })
    }

    /// The collection, reloaded if it is stale.
    pub(super) fn current(&self) -> Result<&Collection, Failure> {
        let mut stale = lock(&self.stale);
        if *stale {
            self.collection.reload()?;
            *stale = false;
        }
        Ok(&self.collection)
    }

    fn add(&self, folders: &[PathBuf], watcher: Watcher) -> Result<Update, Failure> {
        let options = UpdateOptions::default();
        Ok(watcher.watch(|task| self.collection.update(folders, &options, task))?)
    }
}

/// Opens the index of a model, and creates it if it is missing.
///
/// An index belongs to the model that made it. A read-only file can still be searched. On
/// success the caller frees `*index` with barbule_index_free(); on failure it is NULL.
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
        Index::open(&file, model)
    };
    // SAFETY: as the caller promises.
    guard(|| unsafe { give(index, make) })
}

/// Stores the number of indexed images in `*length`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn barbule_index_len(index: *const Index, length: *mut usize) -> Status {
    guard(|| {
        if length.is_null() {
            return Err(Failure::argument("the pointer for the result is NULL"));
        }
        // SAFETY: as the caller promises.
        let count = unsafe { borrow(index, "index") }?.current()?.len();
        // SAFETY: not NULL, so it can be written, as the caller promises.
        unsafe { length.write(count) };
        Ok(())
    })
}

/// Updates an index from `count` folders and their sub-folders: new and changed images are
/// encoded, which is slow; the others are only listed.
///
/// If `count` is 0, all indexed folders are updated.
///
/// `progress`, `skipped` and `added` may be NULL. `user` is passed to both callbacks.
/// Images are written in batches: after BARBULE_STATUS_STOPPED or a failure, and even if
/// the process is killed, the finished batches are in the index, and adding the same
/// folders again continues from there. Unusable files are not a failure. Searches that
/// begin after this returns see the new images.
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
            let Update { found, added: new, changed, moved, unchanged, .. } = update;
            let (copied, skipped) = (update.copied, update.skipped.len() + update.skipped_before);
            // SAFETY: not NULL, so it can be written, as the caller promises.
            unsafe {
                added.write(Added { found, added: new, changed, unchanged, copied, skipped, moved })
            };
        }
        Ok(())
    })
}

/// Makes the next search see the changes of other handles and programs.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn barbule_index_refresh(index: *const Index) -> Status {
    guard(|| {
        // SAFETY: as the caller promises.
        *lock(&unsafe { borrow(index, "index") }?.stale) = true;
        Ok(())
    })
}

/// Searches for the `k` indexed images most similar to an image file, nearest first; at the
/// same distance, the one that was indexed first. If the image itself is indexed, it comes
/// first and is marked.
///
/// On success the caller frees `*hits` with barbule_hits_free(); on failure it is NULL.
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
        Ok(Hits::new(index.current()?.search_file(&file, k)?))
    };
    // SAFETY: as the caller promises.
    guard(|| unsafe { give(hits, make) })
}

/// Like barbule_search_file(), for the bytes of an image file.
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
        Ok(Hits::new(index.current()?.search_bytes(bytes, k)?))
    };
    // SAFETY: as the caller promises.
    guard(|| unsafe { give(hits, make) })
}

/// Like barbule_search_file(), for an indexed image with this id. Only the index is read.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn barbule_search_id(
    index: *const Index,
    id: i64,
    k: usize,
    hits: *mut *mut Hits,
) -> Status {
    // SAFETY: as the caller promises.
    let make = || {
        let index = unsafe { borrow(index, "index") }?;
        Ok(Hits::new(index.current()?.search_id(id, k)?))
    };
    // SAFETY: as the caller promises.
    guard(|| unsafe { give(hits, make) })
}

/// Frees an index; all data is already on disk. NULL is ignored.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn barbule_index_free(index: *mut Index) {
    // SAFETY: as the caller promises.
    unsafe { free(index) }
}
