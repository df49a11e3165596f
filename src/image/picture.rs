/*!
A picture between its file and upright sRGB: what the reader of a format returns.
*/

use ::image::metadata::Orientation;
use ::image::{DynamicImage, Rgb, RgbImage, RgbaImage};

use super::profile::Profile;

/// A picture as its file holds it.
///
/// Samples are full range and alpha is straight. Nothing is turned and no colour is converted yet.
pub(super) struct Picture {
    /// The samples. CMYK and Lab are already converted to RGB.
    pub pixels: DynamicImage,
    /// The turn that makes the samples upright.
    pub orientation: Orientation,
    /// The meaning of the colours; `None` for sRGB.
    pub profile: Option<Profile>,
}

impl Picture {
    /// An upright picture in sRGB.
    pub fn plain(pixels: impl Into<DynamicImage>) -> Self {
        Self { pixels: pixels.into(), orientation: Orientation::NoTransforms, profile: None }
    }

    /// Returns the picture as upright 8-bit sRGB over white.
    pub fn upright_srgb(self) -> RgbImage {
        let pixels = match &self.profile {
            Some(profile) => profile.to_srgb(self.pixels),
            None => self.pixels,
        };
        let mut upright = DynamicImage::ImageRgb8(flatten(pixels));
        upright.apply_orientation(self.orientation);
        upright.into_rgb8()
    }
}

fn flatten(image: DynamicImage) -> RgbImage {
    if image.color().has_alpha() { over_white(&image.into_rgba8()) } else { image.into_rgb8() }
}

fn over_white(image: &RgbaImage) -> RgbImage {
    let mut flat = RgbImage::new(image.width(), image.height());
    for (to, from) in flat.pixels_mut().zip(image.pixels()) {
        let [r, g, b, alpha] = from.0.map(u32::from);
        // At most 255 × 255 before the division, so the result fits a byte.
        let mix = |c: u32| ((c * alpha + 255 * (255 - alpha) + 127) / 255) as u8;
        *to = Rgb([mix(r), mix(g), mix(b)]);
    }
    flat
}
