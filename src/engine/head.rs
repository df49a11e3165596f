/*!
Metadata of a collection.
*/

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Deserializer, Serializer, de::Error as _, ser::SerializeStruct as _};

use super::EngineError;
use crate::code::{BinaryCodes, MAX_BITS};
use crate::device::Device;
use crate::hash::Codebooks;
use crate::index::{OWN_MODEL, open_model};
use crate::model::{Model, ModelError};

/// Maximum number of images in a collection: the bytes of all its codes fit in an `i64`.
const MOST_IMAGES: u64 = i64::MAX as u64 / (MAX_BITS as u64 / 8);

/// Metadata of a collection, available before its images.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
#[non_exhaustive]
pub struct Head {
    /// Bits per code.
    pub bits: usize,
    /// Fingerprint of the model that produced the codes.
    pub model: String,
    /// Number of images.
    pub images: u64,
    /// The indexed folders.
    pub roots: Vec<String>,
    /// Path of the model's file; `None` for the built-in model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model_file: Option<String>,
    /// The bytes of the model, a whole model file, if its hash was fitted to images of the
    /// collection and lies in no file of its own. In JSON: base64.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        serialize_with = "write_bytes",
        deserialize_with = "read_bytes"
    )]
    pub own_model: Option<Vec<u8>>,
    /// The codebooks whose words are the codes; `None` if codes are signs. In JSON: `dim`, how many
    /// numbers a word has, and `words`, all words codebook by codebook as little-endian
    /// single-precision numbers in base64.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        serialize_with = "write_words",
        deserialize_with = "read_words"
    )]
    pub codebooks: Option<Codebooks>,
}

fn write_bytes<S: Serializer>(bytes: &Option<Vec<u8>>, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_some(&own_model_text(bytes.as_deref().unwrap_or_default()))
}

fn read_bytes<'a, D: Deserializer<'a>>(from: D) -> Result<Option<Vec<u8>>, D::Error> {
    let Some(text) = Option::<String>::deserialize(from)? else { return Ok(None) };
    STANDARD.decode(text).map(Some).map_err(D::Error::custom)
}

/// Returns a collection's own model as text.
pub(super) fn own_model_text(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

/// Reads the output of [`own_model_text`].
pub(super) fn own_model_of(text: &str) -> Option<Vec<u8>> {
    STANDARD.decode(text).ok()
}

fn write_words<S: Serializer>(books: &Option<Codebooks>, to: S) -> Result<S::Ok, S::Error> {
    let Some(books) = books else { return to.serialize_none() };
    let bytes: Vec<u8> = books.words().iter().flat_map(|number| number.to_le_bytes()).collect();
    let mut fields = to.serialize_struct("codebooks", 2)?;
    fields.serialize_field("dim", &books.dim())?;
    fields.serialize_field("words", &STANDARD.encode(bytes))?;
    fields.end()
}

fn read_words<'a, D: Deserializer<'a>>(from: D) -> Result<Option<Codebooks>, D::Error> {
    #[derive(Deserialize)]
    struct Words {
        dim: usize,
        words: String,
    }
    let Some(Words { dim, words }) = Option::deserialize(from)? else { return Ok(None) };
    let bytes = STANDARD.decode(words).map_err(D::Error::custom)?;
    let (numbers, rest) = bytes.as_chunks();
    if !rest.is_empty() {
        return Err(D::Error::custom("the codebooks end within a number"));
    }
    let words = numbers.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
    Codebooks::new(dim, words).map(Some).map_err(D::Error::custom)
}

impl Head {
    /// Describes a collection of `images` images with codes of `bits` bits by the model with the
    /// fingerprint `model`: without roots, without a model file, and without codebooks.
    pub fn new(bits: usize, model: impl Into<String>, images: u64) -> Self {
        let (model, roots) = (model.into(), Vec::new());
        Self { bits, model, images, roots, model_file: None, own_model: None, codebooks: None }
    }

    /// Opens the model that produced the codes: the collection's own, the built-in general one, or
    /// the one at [`Head::model_file`]. `None` if that file is missing or contains another model.
    ///
    /// # Errors
    /// If the collection's own model is damaged.
    pub fn open_model(&self, device: &Device) -> Result<Option<Model>, ModelError> {
        let Some(own) = &self.own_model else {
            return open_model(&self.model, self.model_file.as_deref().map(Path::new), device);
        };
        let model = Model::from_bytes(Path::new(OWN_MODEL), own.clone(), device)?;
        Ok(Some(model).filter(|model| model.fingerprint() == self.model))
    }

    /// Makes sure that codes are signs, for `place`, which compares codes by Hamming distance.
    ///
    /// # Errors
    /// [`EngineError::Words`].
    pub fn check_signs(&self, place: &str) -> Result<(), EngineError> {
        match self.codebooks {
            None => Ok(()),
            Some(_) => Err(EngineError::Words(place.to_owned())),
        }
    }

    /// Validates `bits`, `images` and `codebooks`, which may come from an untrusted file.
    ///
    /// # Errors
    /// [`CodeError::Bits`](crate::CodeError::Bits) unless `1 <= bits <= 1024`;
    /// [`EngineError::Parts`] if `images` exceeds the limit, or the codebooks are for codes of
    /// another length.
    pub fn check(&self) -> Result<(), EngineError> {
        BinaryCodes::new(self.bits)?;
        if let Some(books) = self.codebooks.as_ref().filter(|books| books.bits() != self.bits) {
            let reason = format!(
                "codes of {} bits do not consist of words of {} codebooks; the source is damaged, create it again",
                self.bits,
                books.count()
            );
            return Err(EngineError::Parts(reason.into()));
        }
        if self.images <= MOST_IMAGES {
            Ok(())
        } else {
            let reason = format!(
                "the source claims {} images, which exceeds the limit of {MOST_IMAGES}; it is damaged, create it again",
                self.images
            );
            Err(EngineError::Parts(reason.into()))
        }
    }

    /// Checks that the codes of `other`, called `name` in the error, are comparable with these.
    ///
    /// # Errors
    /// [`EngineError::Mixed`] if another model produced them.
    pub fn same_model(&self, other: &Self, name: &str) -> Result<(), EngineError> {
        if (self.bits, &self.model) == (other.bits, &other.model) {
            Ok(())
        } else {
            Err(EngineError::Mixed { name: name.to_owned(), bits: other.bits, others: self.bits })
        }
    }
}
