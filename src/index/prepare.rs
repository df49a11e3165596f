/*!
The first half of an update, on all cores: reading and hashing files, and preprocessing new images
for the trunk.
*/

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use rayon::prelude::*;

use super::picture::Picture;
use crate::folder::Stamp;
use crate::image::{self, DecodeError, ImageError, Limits, Preprocess};

/// A file that has to be read.
#[derive(Debug, Clone)]
pub(super) struct Work {
    /// Id of the indexed folder in which it was found.
    pub root: i64,
    pub path: PathBuf,
    /// The path as the index stores it.
    pub stored: String,
    pub stamp: Stamp,
    /// Id and content of the image that was indexed at this path before.
    pub before: Option<(i64, blake3::Hash)>,
}

/// A file's content, and the trunk's input unless its code is known.
pub(super) struct Prepared {
    pub content: blake3::Hash,
    pub input: Option<Vec<f32>>,
    /// The look of the picture, if it was decoded.
    pub picture: Option<Picture>,
}

/// A file that cannot be used.
pub(super) struct Unusable {
    /// The reason, a sentence that names the file.
    pub reason: String,
    /// Whether it could not be read, so that its content may be unchanged.
    pub unread: bool,
    /// Whether the failure may pass without a change of the file: permissions, a network, another
    /// limit.
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

/// Prepares files; each content once.
pub(super) struct Preparer<'a> {
    pub preprocess: &'a Preprocess,
    pub limits: Limits,
    /// Contents in the index, and whether their stored data is complete.
    pub known: HashMap<blake3::Hash, bool>,
    /// Contents that were prepared already.
    pub seen: Mutex<HashSet<blake3::Hash>>,
    /// Prepare every file, even if its content is known.
    pub always: bool,
}

impl Preparer<'_> {
    /// Prepares the files of a batch, in order.
    pub fn batch(&self, batch: &[Work]) -> Vec<Result<Prepared, Unusable>> {
        batch.par_iter().map(|work| self.one(work)).collect()
    }

    fn one(&self, work: &Work) -> Result<Prepared, Unusable> {
        let bytes = image::read(&work.path)?;
        let content = blake3::hash(&bytes);
        if !self.always && (self.known.get(&content) == Some(&true) || !self.is_first(content)) {
            return Ok(Prepared { content, input: None, picture: None });
        }
        let image = image::decode(&bytes, &self.limits)
            .map_err(|source| ImageError::Decode { path: work.path.clone(), source })?;
        let picture = Some(Picture::of(&image));
        Ok(Prepared { content, input: Some(self.preprocess.apply(&image)), picture })
    }

    fn is_first(&self, content: blake3::Hash) -> bool {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).insert(content)
    }
}
