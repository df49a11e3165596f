/*!
The first half of an update, on all cores: reading files, telling them by their content,
and making of those that are new what the trunk reads.
*/

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use rayon::prelude::*;

use super::store::Stamp;
use crate::image::{self, DecodeError, ImageError, Limits, Preprocess};

/// A file that has to be looked into.
#[derive(Debug, Clone)]
pub(super) struct Work {
    /// Id of the folder through which it was found.
    pub root: i64,
    pub path: PathBuf,
    /// The path as the index keeps it.
    pub stored: String,
    pub stamp: Stamp,
    /// What was indexed at this path before: its id and its content.
    pub before: Option<(i64, blake3::Hash)>,
}

/// A file's content, and what the trunk reads of it unless it is known otherwise.
pub(super) struct Prepared {
    pub content: blake3::Hash,
    pub input: Option<Vec<f32>>,
}

/// A file that cannot be used.
pub(super) struct Unusable {
    /// Why, in a sentence that names it.
    pub reason: String,
    /// Whether it was not even read: what it holds may be as it was.
    pub unread: bool,
    /// Whether that can change while the file does not: rights, a network, another limit.
    pub may_pass: bool,
}

impl From<ImageError> for Unusable {
    fn from(error: ImageError) -> Self {
        let unread = matches!(error, ImageError::Read { .. });
        let limit =
            matches!(error, ImageError::Decode { source: DecodeError::TooManyPixels { .. }, .. });
        Self { reason: error.to_string(), unread, may_pass: unread || limit }
    }
}

/// Prepares files, each content once.
pub(super) struct Preparer<'a> {
    pub preprocess: &'a Preprocess,
    pub limits: Limits,
    /// Contents of which the index has all that is wanted.
    pub known: HashMap<blake3::Hash, bool>,
    /// Contents that were prepared.
    pub seen: Mutex<HashSet<blake3::Hash>>,
    /// Prepare every file, whatever is known: for what turned out not to be.
    pub always: bool,
}

impl Preparer<'_> {
    /// The files of a batch in their order; why not, for those that cannot be used.
    pub fn batch(&self, batch: &[Work]) -> Vec<Result<Prepared, Unusable>> {
        batch.par_iter().map(|work| self.one(work)).collect()
    }

    fn one(&self, work: &Work) -> Result<Prepared, Unusable> {
        let bytes = image::read(&work.path)?;
        let content = blake3::hash(&bytes);
        if !self.always && (self.known.get(&content) == Some(&true) || !self.is_first(content)) {
            return Ok(Prepared { content, input: None });
        }
        let image = image::decode(&bytes, &self.limits)
            .map_err(|source| ImageError::Decode { path: work.path.clone(), source })?;
        Ok(Prepared { content, input: Some(self.preprocess.apply(&image)) })
    }

    fn is_first(&self, content: blake3::Hash) -> bool {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).insert(content)
    }
}
