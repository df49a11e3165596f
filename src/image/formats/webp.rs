/*!
WebP images.
*/

use ::image::ImageFormat;
use ::image::metadata::Orientation;

use super::{orientation, plain};
use crate::image::picture::Picture;
use crate::image::profile::Profile;
use crate::image::{DecodeError, Limits};

const FORMAT: &str = "WebP";

/// Returns whether a file begins as a WebP does.
pub(super) fn is_webp(bytes: &[u8]) -> bool {
    bytes.starts_with(b"RIFF") && bytes.get(8..12) == Some(b"WEBP")
}

/// Reads a WebP image, of an animation its first frame.
///
/// # Errors
/// If the image is cut off, damaged, or larger than `limits` allow.
pub(super) fn read(bytes: &[u8], limits: &Limits) -> Result<Picture, DecodeError> {
    if !is_whole(bytes) {
        return Err(DecodeError::Truncated(FORMAT));
    }
    let decoded = plain::decode(bytes, ImageFormat::WebP, FORMAT, limits)?;
    let by_exif = decoded.exif.as_deref().and_then(orientation::from_exif);
    let by_xmp = || decoded.xmp.as_deref().and_then(orientation::from_xmp);
    let orientation = by_exif.or_else(by_xmp).unwrap_or(Orientation::NoTransforms);
    let profile = decoded.profile.map(Profile::Icc);
    Ok(Picture { pixels: decoded.pixels, orientation, profile })
}

/// Returns whether a file is as long as its header and all its chunks specify.
fn is_whole(bytes: &[u8]) -> bool {
    let Some(size) = le_u32(bytes, 4) else { return false };
    let Some(content) = bytes.get(..size.saturating_add(8)) else { return false };
    let mut at = 12;
    // Fewer than eight bytes after the last chunk are padding.
    while let Some(size) = le_u32(content, at + 4) {
        at += 8 + size;
        if at > content.len() {
            return false;
        }
        at += size % 2;
    }
    true
}

fn le_u32(bytes: &[u8], at: usize) -> Option<usize> {
    let four = bytes.get(at..at.checked_add(4)?)?.try_into().ok()?;
    usize::try_from(u32::from_le_bytes(four)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use ::image::RgbImage;
    use ::image::codecs::webp::WebPEncoder;
    use ::image::{ExtendedColorType, ImageEncoder, Rgb};
    use proptest::prelude::*;

    /// A WebP of 3 × 2 pixels with a chunk behind its data.
    fn webp(kind: &[u8; 4], content: &[u8]) -> Vec<u8> {
        let image = RgbImage::from_pixel(3, 2, Rgb([10, 20, 30]));
        let mut bytes = Vec::new();
        let mut encoder = WebPEncoder::new_lossless(&mut bytes);
        // The encoder writes the extended header that metadata needs.
        encoder.set_exif_metadata(vec![0; 4]).unwrap();
        encoder.write_image(&image, 3, 2, ExtendedColorType::Rgb8).unwrap();
        let at = bytes.windows(4).rposition(|window| window == b"EXIF").unwrap();
        bytes.truncate(at);
        bytes.extend_from_slice(kind);
        bytes.extend_from_slice(&u32::try_from(content.len()).unwrap().to_le_bytes());
        bytes.extend_from_slice(content);
        bytes.extend_from_slice(&[0][..content.len() % 2]);
        let length = u32::try_from(bytes.len() - 8).unwrap();
        bytes[4..8].copy_from_slice(&length.to_le_bytes());
        // The flags of the header: EXIF, XMP.
        bytes[20] = if kind == b"EXIF" { 8 } else { 4 };
        bytes
    }

    fn turned(bytes: &[u8]) -> bool {
        read(bytes, &Limits::default()).unwrap().upright_srgb().dimensions() == (2, 3)
    }

    #[test]
    fn every_carrier_of_the_orientation_is_heard() {
        let exif = b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0";
        assert!(!turned(&webp(b"EXIF", b"nothing")));
        assert!(turned(&webp(b"EXIF", exif)));
        assert!(turned(&webp(b"EXIF", &[b"Exif\0\0", exif.as_slice()].concat())));
        assert!(turned(&webp(b"XMP ", b"<x tiff:Orientation='6'/>")));
    }

    proptest! {
        #[test]
        fn any_bytes_get_an_answer(bytes: Vec<u8>, size: [u8; 4]) {
            is_whole(&[b"RIFF", &size[..], b"WEBP", &bytes].concat());
        }
    }
}
