/*!
The check of an announced size, before anything is allocated.
*/

use super::{DecodeError, Limits};

/// Refuses images without pixels and those above the limit.
pub(super) fn check_size((width, height): (u32, u32), limits: &Limits) -> Result<(), DecodeError> {
    if width == 0 || height == 0 {
        return Err(DecodeError::NoPixels { width, height });
    }
    let limit = limits.max_pixels;
    if u64::from(width) * u64::from(height) > limit {
        return Err(DecodeError::TooManyPixels { width, height, limit });
    }
    Ok(())
}
