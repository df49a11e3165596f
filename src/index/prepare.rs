/*!
The first half of an update, on all cores: reading files, telling them by their content,
and making of those that are new what the trunk reads.
*/

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use rayon::prelude::*;

use super::store::Stamp;
use crate::image::{self, ImageError, Limits, Preprocess};

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
    pub fn batch(&self, batch: &[Work]) -> Vec<Result<Prepared, String>> {
        batch.par_iter().map(|work| self.one(work)).collect()
    }

    fn one(&self, work: &Work) -> Result<Prepared, String> {
        let bytes = image::read(&work.path).map_err(|error| error.to_string())?;
        let content = blake3::hash(&bytes);
        if !self.always && (self.known.get(&content) == Some(&true) || !self.is_first(content)) {
            return Ok(Prepared { content, input: None });
        }
        let image = image::decode(&bytes, &self.limits)
            .map_err(|error| ImageError::Decode { path: work.path.clone(), error }.to_string())?;
        Ok(Prepared { content, input: Some(self.preprocess.apply(&image)) })
    }

    fn is_first(&self, content: blake3::Hash) -> bool {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).insert(content)
    }
}
