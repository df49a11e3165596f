/*!
The facts of a decoded picture that near duplicates are told by.
*/

use ::image::RgbImage;

use crate::image::Look;

/// Size and look of a picture.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Picture {
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
    pub look: Look,
}

impl Picture {
    pub fn of(picture: &RgbImage) -> Self {
        let (width, height) = picture.dimensions();
        Self { width, height, look: Look::of(picture) }
    }

    /// Number of pixels.
    pub fn pixels(&self) -> u64 {
        u64::from(self.width) * u64::from(self.height)
    }
}
