/*!
The code of an image to search for: the stored one if its content is indexed, else computed. Its
values are computed in either case, if they are requested.
*/

use std::path::Path;

use ::image::RgbImage;

use super::features::unit;
use super::paths::indexed_path;
use super::search::{CANDIDATES, Search};
use super::snapshot::Snapshot;
use super::{Index, IndexError};
use crate::code::Code;
use crate::image::{self, Area, ImageError, Limits};
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
    /// The real values whose signs are its code, one for each bit, if they were requested and could
    /// be computed. If codes are words, the values that these approximate; an image that is not
    /// stored has them without request.
    pub values: Option<Vec<f32>>,
}

/// Options of a query.
#[derive(Debug, Clone, Copy, Default)]
#[non_exhaustive]
pub struct QueryOptions {
    /// Larger images are refused.
    pub limits: Limits,
    /// Whether the query gets features.
    pub features: bool,
    /// Gives the query values, for the finer order of
    /// [`Search::by_values`](super::Search::by_values).
    pub values: bool,
    /// The part of the image that is searched for; all of it if `None`.
    pub area: Option<Area>,
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

    /// Computes the values of the query, too. An image whose content is stored is decoded and goes
    /// through the network for them; without, its stored code is all that is needed.
    pub fn with_values(self) -> Self {
        Self { values: true, ..self }
    }

    /// Searches for a part of the image only. The network sees the least square around it that
    /// shows all of it. Such a query is always decoded, and has no stored code or content.
    pub fn with_area(self, area: Area) -> Self {
        Self { area: Some(area), ..self }
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
    /// Creates a query that is only a code.
    pub fn of_code(code: Code) -> Self {
        Self { code, content: None, features: None, values: None }
    }

    /// Returns a search for the `k` images nearest to this one, with its own content marked. If its
    /// values are known, they order the [`CANDIDATES`] nearest images.
    pub fn nearest(&self, k: usize) -> Search {
        let mut search = Search::nearest(&self.code, k);
        if let Some(content) = self.content {
            search = search.marking(content);
        }
        match &self.values {
            Some(values) => search.by_values(CANDIDATES, values.clone()),
            None => search,
        }
    }

    /// Turns a file into a query. If its content is stored, the stored code is used; if the file is
    /// gone, the image stored under its path is the query. Otherwise `model` provides the model.
    ///
    /// If a part of the image is requested, its file must be there. If values are requested, a
    /// stored image is decoded and `model` called, too. It gets none if that fails or its file is
    /// gone: its code alone is enough to search.
    ///
    /// # Errors
    /// If the content is not stored and the file cannot be read or decoded, `model` fails, or the
    /// device fails; or if the store fails.
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
            Err(error) if options.area.is_some() => return Err(IndexError::from(error).into()),
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
        let known = Self::known(&bytes, stored, options)?;
        let decode = || {
            let decoded = image::decode(&bytes, &options.limits);
            decoded.map_err(|source| ImageError::Decode { path: path.to_owned(), source }.into())
        };
        Self::completed(known, options, decode, model)
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
        let known = Self::known(bytes, stored, options)?;
        let decode = || Ok(image::decode(bytes, &options.limits)?);
        Self::completed(known, options, decode, model)
    }

    /// Returns the stored image of this content, unless a part of it is wanted.
    fn known<S: StoredCodes + ?Sized>(
        bytes: &[u8],
        stored: &S,
        options: &QueryOptions,
    ) -> Result<Option<Self>, S::Error> {
        match options.area {
            Some(_) => Ok(None),
            None => stored.stored(&blake3::hash(bytes), options.features),
        }
    }

    /// Computes what the store does not know of an image.
    fn completed<'m, E: From<IndexError>>(
        known: Option<Self>,
        options: &QueryOptions,
        decode: impl FnOnce() -> Result<RgbImage, IndexError>,
        model: impl FnOnce() -> Result<&'m Model, E>,
    ) -> Result<Self, E> {
        let Some(known) = known else {
            let picture = decode()?;
            if let Some(area) = options.area {
                // Before the model, which takes longer to open.
                area.of(picture.width(), picture.height()).map_err(IndexError::from)?;
            }
            return Ok(Self::of_picture(&picture, model()?, options)?);
        };
        if !options.values {
            return Ok(known);
        }
        let values = || {
            let (picture, model) = (decode().ok()?, model().ok()?);
            model.values(&model.features(&picture).ok()?).ok()
        };
        Ok(Self { values: values(), ..known })
    }

    /// Turns decoded pixels into a query.
    ///
    /// # Errors
    /// If the requested area lies outside the picture, or the device fails.
    pub fn of_picture(
        picture: &RgbImage,
        model: &Model,
        options: &QueryOptions,
    ) -> Result<Self, IndexError> {
        let features = match options.area {
            Some(area) => {
                let (width, height) = picture.dimensions();
                let (encoder, rect) = (model.encoder(), area.of(width, height)?);
                let input = encoder.input_of(picture, &rect);
                encoder.features(input).map_err(ModelError::from)?
            }
            None => model.features(picture)?,
        };
        let code = model.code(&features)?;
        // Words lose more than signs do of what the values say, which are at hand here.
        let wanted = options.values || model.hash().codebooks().is_some();
        let values = wanted.then(|| model.values(&features)).transpose()?;
        let features = options.features.then(|| unit(&features).collect());
        Ok(Self { code, content: None, features, values })
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
        let query = QueryImage::of_code(self.code(id)?);
        Ok(Some(QueryImage { content: Some(*content), features, ..query }))
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
