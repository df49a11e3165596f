/*!
The error of a request: a status and one sentence, as JSON.
*/

use crate::image::{DecodeError, ImageError};
use crate::index::IndexError;
use crate::model::ModelError;

/// The error of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    pub status: u16,
    /// The problem and its remedy.
    pub sentence: String,
}

impl Problem {
    pub fn new(status: u16, sentence: impl Into<String>) -> Self {
        Self { status, sentence: sentence.into() }
    }

    /// A failure that is not the client's fault.
    pub fn internal(sentence: impl Into<String>) -> Self {
        Self::new(500, sentence)
    }
}

impl From<DecodeError> for Problem {
    fn from(error: DecodeError) -> Self {
        Self::new(400, error.to_string())
    }
}

impl From<ImageError> for Problem {
    fn from(error: ImageError) -> Self {
        let status = match error {
            ImageError::Read { .. } => 404,
            _ => 422,
        };
        Self::new(status, error.to_string())
    }
}

impl From<IndexError> for Problem {
    fn from(error: IndexError) -> Self {
        match error {
            IndexError::Busy { process, .. } if process == Some(std::process::id()) => {
                Self::new(409, "this server is writing to the index; try again later")
            }
            IndexError::Busy { .. } => Self::new(409, error.to_string()),
            IndexError::Area(_) | IndexError::Label(_) => Self::new(400, error.to_string()),
            IndexError::NoSuchImage(_) => Self::new(404, error.to_string()),
            IndexError::Decode(error) => error.into(),
            IndexError::Image(error) => error.into(),
            IndexError::Model(error) => error.into(),
            error => Self::internal(error.to_string()),
        }
    }
}

impl From<ModelError> for Problem {
    fn from(error: ModelError) -> Self {
        match error {
            ModelError::NoParts(_) => Self::new(404, error.to_string()),
            _ => Self::internal(error.to_string()),
        }
    }
}
