/*!
The code of an image to search for: the stored one if its content is indexed, else computed.
*/

use std::path::Path;

use super::features::unit;
use super::paths::indexed_path;
use super::search::Search;
use super::snapshot::Snapshot;
use super::{Index, IndexError};
use crate::code::Code;
use crate::image::{self, ImageError, Limits};
use crate::model::{Model, ModelError};

/// An image to search for.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct QueryImage {
    /// Its code.
    pub code: Code,
    /// BLAKE3 of its file, if that content is stored: see
    /// [`Search::marking`](super::Search::marking).
    pub content: Option<blake3::Hash>,
    /// Features of unit length, if they were requested and are known.
    pub features: Option<Vec<f32>>,
}

/// Options of a query.
#[derive(Debug, Clone, Copy, Default)]
#[non_exhaustive]
pub struct QueryOptions {
    /// Larger images are refused.
    pub limits: Limits,
    /// Whether the query gets features.
    pub features: bool,
}

impl QueryOptions {
    /// Sets the limits above which images are refused.
    pub fn with_limits(self, limits: Limits) -> Self {
        Self { limits, ..self }
    }

    /// Computes the features of the query, too.
    pub fn with_features(self) -> Self {
        Self { features: true, ..self }
    }
}

/// A store of codes: an index or a server.
pub trait StoredCodes {
    /// The error of reading a stored code.
    type Error;

    /// Returns the stored image with this content, with its features if they are requested and
    /// stored.
    ///
    /// # Errors
    /// If it cannot be read.
    fn stored(
        &self,
        content: &blake3::Hash,
        features: bool,
    ) -> Result<Option<QueryImage>, Self::Error>;

    /// Returns the content of the image at a path, as [`indexed_path`] spells it.
    ///
    /// # Errors
    /// If it cannot be read.
    fn content_at(&self, path: &str) -> Result<Option<blake3::Hash>, Self::Error>;
}

impl QueryImage {
    /// Returns a search for the `k` images nearest to this one, with its own content marked.
    pub fn nearest(&self, k: usize) -> Search {
        let search = Search::nearest(&self.code, k);
        match self.content {
            Some(content) => search.marking(content),
            None => search,
        }
    }

    /// Turns a file into a query. If its content is stored, the stored code is used and nothing is
    /// decoded; if the file is gone, the image stored under its path is the query. Otherwise
    /// `model` provides the model.
    ///
    /// # Errors
    /// If the file cannot be read or decoded, `model` fails, or the device fails.
    pub fn of_file<'m, S: StoredCodes + ?Sized, E>(
        path: &Path,
        stored: &S,
        options: &QueryOptions,
        model: impl FnOnce() -> Result<&'m Model, E>,
    ) -> Result<Self, E>
    where
        E: From<IndexError> + From<S::Error>,
    {
        let bytes = match image::read(path) {
            Ok(bytes) => bytes,
            Err(error) => {
                // An indexed image can be searched for although its file is gone.
                let known = indexed_path(path).ok().filter(|_| !path.exists());
                let content = known.map(|path| stored.content_at(&path)).transpose()?.flatten();
                let gone = content.map(|content| stored.stored(&content, options.features));
                return match gone.transpose()?.flatten() {
                    Some(query) => Ok(query),
                    None => Err(IndexError::from(error).into()),
                };
            }
        };
        if let Some(query) = stored.stored(&blake3::hash(&bytes), options.features)? {
            return Ok(query);
        }
        let decoded = image::decode(&bytes, &options.limits).map_err(|error| {
            IndexError::from(ImageError::Decode { path: path.to_owned(), source: error })
        })?;
        Ok(Self::encoded(model()?, &decoded, options.features).map_err(IndexError::from)?)
    }

    /// Turns the bytes of an image file into a query, as [`QueryImage::of_file`].
    ///
    /// # Errors
    /// If the image cannot be decoded, `model` fails, or the device fails.
    pub fn of_bytes<'m, S: StoredCodes + ?Sized, E>(
        bytes: &[u8],
        stored: &S,
        options: &QueryOptions,
        model: impl FnOnce() -> Result<&'m Model, E>,
    ) -> Result<Self, E>
    where
        E: From<IndexError> + From<S::Error>,
    {
        if let Some(query) = stored.stored(&blake3::hash(bytes), options.features)? {
            return Ok(query);
        }
        let decoded = image::decode(bytes, &options.limits).map_err(IndexError::from)?;
        Ok(Self::encoded(model()?, &decoded, options.features).map_err(IndexError::from)?)
    }

    fn encoded(
        model: &Model,
        picture: &::image::RgbImage,
        wanted: bool,
    ) -> Result<Self, ModelError> {
        let features = model.features(picture)?;
        let code = model.code(&features)?;
        let features = wanted.then(|| unit(&features).collect());
        Ok(Self { code, content: None, features })
    }
}

impl StoredCodes for Index {
    type Error = IndexError;

    fn stored(
        &self,
        content: &blake3::Hash,
        features: bool,
    ) -> Result<Option<QueryImage>, IndexError> {
        let Some(id) = self.with_content(content)?.first().copied() else { return Ok(None) };
        let features = if features { self.features(id)? } else { None };
        Ok(Some(QueryImage { code: self.code(id)?, content: Some(*content), features }))
    }

    fn content_at(&self, path: &str) -> Result<Option<blake3::Hash>, IndexError> {
        Ok(self.at_path(path)?.map(|row| row.content))
    }
}

impl StoredCodes for Snapshot {
    type Error = IndexError;

    fn stored(
        &self,
        content: &blake3::Hash,
        features: bool,
    ) -> Result<Option<QueryImage>, IndexError> {
        self.index().stored(content, features)
    }

    fn content_at(&self, path: &str) -> Result<Option<blake3::Hash>, IndexError> {
        self.index().content_at(path)
    }
}
