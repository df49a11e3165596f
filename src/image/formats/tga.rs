/*!
TGA of Truevision.
*/

use ::image::{DynamicImage, ImageFormat};

use super::plain;
use crate::image::picture::Picture;
use crate::image::{DecodeError, Limits};

const NAME: &str = "TGA";

/// Returns whether `bytes` end as a TGA of version 2, or every field of the header is right.
///
/// The format has no mark at the start, so it must be asked for last.
pub(super) fn is_tga(bytes: &[u8]) -> bool {
    bytes.ends_with(b"TRUEVISION-XFILE.\0") && bytes.len() > 44
        || has_header(bytes).unwrap_or(false)
}

/// Checks the header (Truevision TGA File Format Specification 2.0).
fn has_header(bytes: &[u8]) -> Option<bool> {
    let header = bytes.first_chunk::<18>()?;
    let short = |at: usize| u16::from_le_bytes([header[at], header[at + 1]]);
    let [identity, has_palette, kind, ..] = *header;
    let (palette_length, palette_bits) = (short(5), header[7]);
    let (width, height, bits, descriptor) = (short(12), short(14), header[16], header[17]);
    let (packed, kind) = (kind >= 9, if kind >= 9 { kind - 8 } else { kind });
    let fits = match kind {
        1 => has_palette == 1 && matches!(bits, 8 | 16),
        2 => has_palette <= 1 && matches!(bits, 15 | 16 | 24 | 32),
        3 => has_palette == 0 && matches!(bits, 8 | 16),
        _ => false,
    };
    let palette = match has_palette {
        0 => palette_length == 0,
        _ => palette_length > 0 && matches!(palette_bits, 15 | 16 | 24 | 32),
    };
    // Bits 0 to 3 count the bits of alpha; 6 and 7 are 0.
    let alpha = matches!(descriptor & 15, 0 | 1 | 8) && descriptor & 0xc0 == 0;
    let palette_bytes = usize::from(palette_length) * usize::from(palette_bits).div_ceil(8);
    let start = 18 + usize::from(identity) + has_palette as usize * palette_bytes;
    let pixels = u64::from(width) * u64::from(height);
    let samples = pixels * u64::from(bits.div_ceil(8));
    // A packet of at most five bytes makes up to 128 pixels.
    let needed = if packed { pixels.div_ceil(128) * 2 } else { samples };
    let enough = bytes.len().saturating_sub(start) as u64 >= needed;
    Some(fits && palette && alpha && pixels > 0 && enough)
}

/// Decodes the picture. Transparency is kept, unless all of the picture is clear: then its writer
/// gave the fourth byte of a pixel no meaning. What the header says of it is often wrong.
///
/// # Errors
/// If it has no pixels or more than `limits` allows, is cut off, or is damaged.
pub(super) fn read(bytes: &[u8], limits: &Limits) -> Result<Picture, DecodeError> {
    let has_no_picture = bytes.get(2) == Some(&0);
    if has_no_picture {
        let reason = "it holds no picture".into();
        return Err(DecodeError::Unsupported { format: NAME, reason });
    }
    let picture = Picture::plain(plain::decode(bytes, ImageFormat::Tga, NAME, limits)?.pixels);
    let all_clear = match &picture.pixels {
        DynamicImage::ImageRgba8(pixels) => pixels.pixels().all(|pixel| pixel[3] == 0),
        _ => false,
    };
    if !all_clear {
        return Ok(picture);
    }
    Ok(Picture { pixels: picture.pixels.into_rgb8().into(), ..picture })
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use ::image::{DynamicImage, Rgb, RgbImage};

    use super::*;
    use crate::image::decode;

    #[test]
    fn a_picture_is_told_by_its_header() {
        let image = RgbImage::from_fn(20, 10, |x, _| Rgb([x as u8, 30, 40]));
        let mut bytes = Cursor::new(Vec::new());
        DynamicImage::from(image.clone()).write_to(&mut bytes, ImageFormat::Tga).unwrap();
        let bytes = bytes.into_inner();
        assert!(is_tga(&bytes));
        assert_eq!(decode(&bytes, &Limits::default()).unwrap(), image);
        assert!(decode(&bytes, &Limits { max_pixels: 199 }).is_err());
    }

    #[test]
    fn a_picture_that_is_clear_throughout_is_opaque() {
        let pixels = |alpha| {
            let header = [0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0, 1, 0, 32, 0x28];
            let bytes = [&header[..], &[40, 30, 200, 0, 40, 30, 200, alpha]].concat();
            decode(&bytes, &Limits::default()).unwrap().get_pixel(0, 0).0
        };
        assert_eq!(pixels(0), [200, 30, 40]);
        assert_eq!(pixels(1), [255; 3]);
    }

    #[test]
    fn other_content_is_not_taken_for_one() {
        for other in [&b"Dear Sir or Madam, thank you"[..], &[0; 100], &[255; 100], b"%PDF-1.7 "] {
            assert!(!is_tga(other), "{other:?}");
        }
        // One field at a time.
        let good =
            [&[0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0, 1, 0, 24, 32][..], &[9; 6]].concat();
        assert!(is_tga(&good));
        for (at, wrong) in [(1, 2), (2, 4), (5, 1), (12, 0), (12, 3), (16, 23), (17, 0x40), (17, 3)]
        {
            let mut bad = good.clone();
            bad[at] = wrong;
            assert!(!is_tga(&bad), "{wrong} at {at}");
        }
    }
}
