/*!
The hits of a search, as plain structs.
*/

use std::ffi::{CString, c_char};

use super::{borrow, c_string, free};
use barbule::index;

/// The hits of a search, nearest first. They are immutable, so any thread may read them.
#[derive(Debug)]
pub struct Hits {
    hits: Vec<Hit>,
    // Owns the strings that `hits` points to; on the heap, so they do not move.
    _texts: Vec<CString>,
}

/// One hit of a search. The strings belong to the `BarbuleHits`.
#[repr(C)]
#[derive(Debug)]
pub struct Hit {
    /// Its id in the index.
    pub id: i64,
    /// Hamming distance of its code from that of the query, in bits. If codes are words, a thousand
    /// times the squared distance.
    pub distance: u32,
    /// Whether it is the query image itself.
    pub same: bool,
    /// Whether its file is not there now.
    pub gone: bool,
    /// Its path when it was indexed, UTF-8.
    pub path: *const c_char,
    /// Its label, UTF-8; NULL if it has none.
    pub label: *const c_char,
}

// SAFETY: nothing is changed after `new`, and the pointers lead into memory that the same
// value owns.
unsafe impl Send for Hits {}
// SAFETY: as above.
unsafe impl Sync for Hits {}

impl Hits {
    pub(super) fn new(found: Vec<index::Hit>) -> Self {
        let (mut hits, mut texts) = (Vec::with_capacity(found.len()), Vec::new());
        let mut keep = |text: String| {
            let text = c_string(text);
            let pointer = text.as_ptr();
            texts.push(text);
            pointer
        };
        for index::Hit { path, distance, id, label, same, gone, .. } in found {
            let path = keep(path);
            let label = label.map_or(std::ptr::null(), &mut keep);
            hits.push(Hit { id, distance, same, gone, path, label });
        }
        Self { hits, _texts: texts }
    }
}

/// Returns the number of hits, at most `k`. 0 if `hits` is NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn barbule_hits_len(hits: *const Hits) -> usize {
    // SAFETY: as the caller promises.
    unsafe { borrow(hits, "hits") }.map_or(0, |hits| hits.hits.len())
}

/// Returns a hit, counted from 0; NULL if there is no hit at `position`. It belongs to the
/// hits and is valid until they are freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn barbule_hits_get(hits: *const Hits, position: usize) -> *const Hit {
    // SAFETY: as the caller promises.
    let hits = unsafe { borrow(hits, "hits") };
    let hit = hits.ok().and_then(|hits| hits.hits.get(position));
    hit.map_or(std::ptr::null(), std::ptr::from_ref)
}

/// Frees the hits of a search. NULL is ignored.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn barbule_hits_free(hits: *mut Hits) {
    // SAFETY: as the caller promises.
    unsafe { free(hits) }
}
