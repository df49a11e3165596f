/*!
Straight alpha out of premultiplied samples.
*/

use ::image::{ImageBuffer, Rgba, RgbaImage};

/// Divides the colours of premultiplied 8-bit samples by their alpha.
pub(super) fn straighten_8(image: &mut RgbaImage) {
    for Rgba([r, g, b, alpha]) in image.pixels_mut() {
        for colour in [r, g, b] {
            *colour = straight(u32::from(*colour), u32::from(*alpha), 255) as u8;
        }
    }
}

/// Divides the colours of premultiplied 16-bit samples by their alpha.
pub(super) fn straighten_16(image: &mut ImageBuffer<Rgba<u16>, Vec<u16>>) {
    for Rgba([r, g, b, alpha]) in image.pixels_mut() {
        for colour in [r, g, b] {
            *colour = straight(u32::from(*colour), u32::from(*alpha), 65535) as u16;
        }
    }
}

/// Returns `colour` over `alpha`, rounded and at most `full`. Clear samples have no colour: 0.
fn straight(colour: u32, alpha: u32, full: u32) -> u32 {
    // At most 65535 × 65535 + 32767, which fits.
    (colour * full + alpha / 2).checked_div(alpha).unwrap_or(0).min(full)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn premultiplied_samples_are_divided() {
        let mut small = RgbaImage::from_pixel(1, 1, Rgba([100, 50, 0, 100]));
        straighten_8(&mut small);
        assert_eq!(small.get_pixel(0, 0).0, [255, 128, 0, 100]);
        let mut clear = RgbaImage::from_pixel(1, 1, Rgba([9, 9, 9, 0]));
        straighten_8(&mut clear);
        assert_eq!(clear.get_pixel(0, 0).0, [0; 4]);
        let mut deep = ImageBuffer::from_pixel(1, 1, Rgba([65535, 30000, 0, 60000]));
        straighten_16(&mut deep);
        assert_eq!(deep.get_pixel(0, 0).0, [65535, 32768, 0, 60000]);
    }
}
