/*!
Groups of near duplicates, as plain structs.
*/

use std::ffi::{CString, c_char, c_void};

use super::index::Watcher;
use super::{Index, Progress, Status, borrow, c_string, free, give, guard};
use barbule::index::{self, DuplicateOptions, Role};

/// The part of an image in a group of near duplicates.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DuplicateRole {
    /// The best file of the group: the one with the most pixels, then the largest file, then the
    /// oldest, then the one that was indexed first. Every group starts with it.
    Original = 0,
    /// A file with the content of another one of the group.
    Copy = 1,
    /// A file that looks nearly the same.
    Near = 2,
    /// Another path to a file of the group: it is no second file.
    SameFile = 3,
    /// The file is not there now: it never counts.
    Gone = 4,
}

/// An image of a group. The strings belong to the `BarbuleDuplicates`.
#[repr(C)]
#[derive(Debug)]
pub struct Duplicate {
    /// Number of its group, from 0. Images of a group follow each other.
    pub group: usize,
    /// Its id in the index.
    pub id: i64,
    /// Hamming distance of its code from that of the original, in bits. If codes are words, a
    /// thousand times the squared distance.
    pub distance: u32,
    /// Its part in the group.
    pub role: DuplicateRole,
    /// Its path when it was indexed, UTF-8.
    pub path: *const c_char,
}

/// Groups of near duplicates, the largest first. They are immutable, so any thread may read them.
#[derive(Debug)]
pub struct Duplicates {
    images: Vec<Duplicate>,
    // Owns the strings that `images` points to; on the heap, so they do not move.
    _texts: Vec<CString>,
}

// SAFETY: nothing is changed after `new`, and the pointers lead into memory that the same
// value owns.
unsafe impl Send for Duplicates {}
// SAFETY: as above.
unsafe impl Sync for Duplicates {}

impl Duplicates {
    fn new(found: &index::Duplicates) -> Self {
        let (mut images, mut texts) = (Vec::new(), Vec::new());
        for (group, members) in found.groups.iter().enumerate() {
            for image in &members.images {
                let text = c_string(image.path.as_str());
                let role = match image.role {
                    Role::Original => DuplicateRole::Original,
                    Role::Copy => DuplicateRole::Copy,
                    Role::SameFile => DuplicateRole::SameFile,
                    Role::Gone => DuplicateRole::Gone,
                    _ => DuplicateRole::Near,
                };
                let (id, distance, path) = (image.id, image.distance, text.as_ptr());
                images.push(Duplicate { group, id, distance, role, path });
                texts.push(text);
            }
        }
        Self { images, _texts: texts }
    }
}

/// Finds groups of images that are nearly the same: copies, and pictures that were saved again,
/// scaled, mirrored or slightly cropped. Different photos of one kind are no duplicates. Only files
/// that are there now count.
///
/// On success the caller frees `*duplicates` with barbule_duplicates_free(); on failure it is NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn barbule_find_duplicates(
    index: *const Index,
    progress: Progress,
    user: *mut c_void,
    duplicates: *mut *mut Duplicates,
) -> Status {
    let make = || {
        // SAFETY: as the caller promises.
        let index = unsafe { borrow(index, "index") }?;
        let collection = index.current()?;
        let options = DuplicateOptions::default();
        let found =
            Watcher { progress, user }.watch(|task| collection.duplicates(&options, task))?;
        Ok(Duplicates::new(&found))
    };
    // SAFETY: as the caller promises.
    guard(|| unsafe { give(duplicates, make) })
}

/// Returns the number of images in all groups. 0 if `duplicates` is NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn barbule_duplicates_len(duplicates: *const Duplicates) -> usize {
    // SAFETY: as the caller promises.
    unsafe { borrow(duplicates, "duplicates") }.map_or(0, |found| found.images.len())
}

/// Returns an image, counted from 0; NULL if there is none at `position`. It is valid until the
/// duplicates are freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn barbule_duplicates_get(
    duplicates: *const Duplicates,
    position: usize,
) -> *const Duplicate {
    // SAFETY: as the caller promises.
    let duplicates = unsafe { borrow(duplicates, "duplicates") };
    let image = duplicates.ok().and_then(|found| found.images.get(position));
    image.map_or(std::ptr::null(), std::ptr::from_ref)
}

/// Frees duplicates. NULL is ignored.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn barbule_duplicates_free(duplicates: *mut Duplicates) {
    // SAFETY: as the caller promises.
    unsafe { free(duplicates) }
}
