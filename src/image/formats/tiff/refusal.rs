/*!
The errors of the TIFF reader.
*/

use crate::image::DecodeError;

/// The format's name in messages.
const FORMAT: &str = "TIFF";

/// A sound file of a kind that cannot be read; `reason` names the kind.
pub fn unsupported(reason: impl Into<String>) -> DecodeError {
    DecodeError::Unsupported { format: FORMAT, reason: reason.into().into() }
}

/// A file that contradicts itself; `reason` says where.
pub fn damaged(reason: impl Into<String>) -> DecodeError {
    DecodeError::Damaged { format: FORMAT, reason: reason.into().into() }
}

/// A file that ends before the picture does.
pub fn truncated() -> DecodeError {
    DecodeError::Truncated(FORMAT)
}
