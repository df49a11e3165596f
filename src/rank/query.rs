/*!
What a search asks for, and what it returns.
*/

use super::IdSet;

/// One search result. Neighbours are ordered by distance, then by id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Neighbour {
    /// Hamming distance to the query, in bits.
    pub distance: u32,
    /// The code's position in the database.
    pub id: u32,
}

/// The parameters of a search.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Search<'a> {
    /// Maximum number of hits; `None` for no maximum, which is only useful with a radius.
    pub k: Option<usize>,
    /// Maximum distance in bits, inclusive; `None` for no limit.
    pub radius: Option<u32>,
    /// The codes to search; `None` for all. Its universe must be the number of codes.
    pub allowed: Option<&'a IdSet>,
}

impl<'a> Search<'a> {
    /// Searches for the `k` nearest codes.
    pub fn nearest(k: usize) -> Self {
        Self { k: Some(k), ..Self::default() }
    }

    /// Searches for all codes up to the distance `radius`.
    pub fn within(radius: u32) -> Self {
        Self { radius: Some(radius), ..Self::default() }
    }

    /// Searches for codes up to the distance `radius` only.
    pub fn up_to(self, radius: u32) -> Self {
        Self { radius: Some(radius), ..self }
    }

    /// Restricts the search to the ids in `allowed`.
    pub fn among(self, allowed: &'a IdSet) -> Self {
        Self { allowed: Some(allowed), ..self }
    }
}

/// A [`Search`] with its defaults resolved.
#[derive(Debug, Clone, Copy)]
pub(super) struct Want<'a> {
    /// Maximum number of hits, from 1 to the number of codes.
    pub k: usize,
    /// Maximum distance, inclusive, at most the number of bits.
    pub radius: u32,
    /// Bitmap of the codes to search, the first eight in the first byte; `None` for all.
    pub allowed: Option<&'a [u8]>,
}

impl Want<'_> {
    /// Whether a code may be returned.
    pub fn allows(&self, id: u32) -> bool {
        self.allowed.is_none_or(|bytes| {
            bytes.get(id as usize / 8).is_some_and(|byte| byte >> (id % 8) & 1 == 1)
        })
    }
}
