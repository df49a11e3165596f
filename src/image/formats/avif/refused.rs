/*!
The refusal of AVIF in a build without the feature `avif`.
*/

use crate::image::picture::Picture;
use crate::image::{DecodeError, Limits};

/// Refuses the file by the name of its format.
///
/// # Errors
/// Always.
pub(in super::super) fn read(_: &[u8], _: &Limits) -> Result<Picture, DecodeError> {
    Err(DecodeError::Format { found: Some("AVIF, which this build does not read") })
}
