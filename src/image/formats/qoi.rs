/*!
QOI images.
*/

use ::image::ImageFormat;

use super::plain;
use crate::image::picture::Picture;
use crate::image::{DecodeError, Limits};

/// Returns whether a file begins as a QOI does.
pub(super) fn is_qoi(bytes: &[u8]) -> bool {
    bytes.starts_with(b"qoif")
}

/// Reads a QOI image.
///
/// # Errors
/// If the image is cut off, damaged, or larger than `limits` allow.
pub(super) fn read(bytes: &[u8], limits: &Limits) -> Result<Picture, DecodeError> {
    Ok(Picture::plain(plain::decode(bytes, ImageFormat::Qoi, "QOI", limits)?.pixels))
}

#[cfg(test)]
mod tests {
    use super::*;
    use ::image::{DynamicImage, Rgba, RgbaImage};
    use std::io::Cursor;

    #[test]
    fn a_written_image_comes_back() {
        let image = RgbaImage::from_fn(5, 3, |x, y| Rgba([x as u8 * 40, y as u8 * 80, 7, 255]));
        let mut bytes = Cursor::new(Vec::new());
        DynamicImage::from(image.clone()).write_to(&mut bytes, ImageFormat::Qoi).unwrap();
        let bytes = bytes.into_inner();
        assert!(is_qoi(&bytes));
        let picture = read(&bytes, &Limits::default()).unwrap().upright_srgb();
        assert_eq!(picture, DynamicImage::from(image).into_rgb8());
        assert!(read(&bytes[..20], &Limits::default()).is_err());
    }
}
