/*!
The first half of an update, on all cores: reading and hashing files, and preprocessing new images
for the trunk.
*/

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use ::image::RgbImage;
use rayon::prelude::*;

use super::picture::Picture;
use crate::encoder::{EncodeError, Encoder};
use crate::folder::Stamp;
use crate::image::{self, DecodeError, ImageError, Limits, Rect};

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
    /// The regions that get codes of their own, if the picture was decoded.
    pub regions: Vec<Rect>,
    /// The trunk's inputs for them, one after the other.
    pub region_inputs: Vec<f32>,
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
    pub encoder: &'a Encoder,
    /// Number of regions of an image that get codes of their own.
    pub regions: usize,
    pub limits: Limits,
    /// Contents in the index, and whether their stored data is complete.
    pub known: HashMap<blake3::Hash, bool>,
    /// Contents that were prepared already.
    pub seen: Mutex<HashSet<blake3::Hash>>,
    /// Prepare every file, even if its content is known.
    pub always: bool,
}

impl Preparer<'_> {
    /// Prepares the files of a batch, in order. Fails only if the device does, which chooses
    /// regions.
    pub fn batch(&self, batch: &[Work]) -> Result<Vec<Result<Prepared, Unusable>>, EncodeError> {
        batch.par_iter().map(|work| self.one(work)).collect()
    }

    fn one(&self, work: &Work) -> Result<Result<Prepared, Unusable>, EncodeError> {
        let (content, image) = match self.read(work) {
            Ok(read) => read,
            Err(unusable) => return Ok(Err(unusable)),
        };
        let (mut input, mut regions, mut region_inputs) = (None, Vec::new(), Vec::new());
        if let Some(image) = &image {
            input = Some(self.encoder.preprocess().apply(image));
            if self.regions > 0 {
                regions = self.encoder.regions(image, self.regions)?;
            }
            let inputs = regions.iter().map(|rect| self.encoder.input_of(image, rect));
            region_inputs = inputs.collect::<Vec<_>>().concat();
        }
        let picture = image.as_ref().map(Picture::of);
        Ok(Ok(Prepared { content, input, regions, region_inputs, picture }))
    }

    /// Reads a file, and decodes it unless its code is known.
    fn read(&self, work: &Work) -> Result<(blake3::Hash, Option<RgbImage>), Unusable> {
        let bytes = image::read(&work.path)?;
        let content = blake3::hash(&bytes);
        if !self.always && (self.known.get(&content) == Some(&true) || !self.is_first(content)) {
            return Ok((content, None));
        }
        let image = image::decode(&bytes, &self.limits)
            .map_err(|source| ImageError::Decode { path: work.path.clone(), source })?;
        Ok((content, Some(image)))
    }

    fn is_first(&self, content: blake3::Hash) -> bool {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).insert(content)
    }
}
