/*!
GIF images, including those whose screen has no size.
*/

use std::borrow::Cow;

use ::image::ImageFormat;

use super::plain;
use crate::image::picture::Picture;
use crate::image::{DecodeError, Limits};

/// Returns whether a file begins as a GIF does.
pub(super) fn is_gif(bytes: &[u8]) -> bool {
    bytes.starts_with(b"GIF87a") || bytes.starts_with(b"GIF89a")
}

/// Reads the first frame of a GIF on its screen. What the frame leaves out is clear.
///
/// # Errors
/// If the image is cut off, damaged, or larger than `limits` allow.
pub(super) fn read(bytes: &[u8], limits: &Limits) -> Result<Picture, DecodeError> {
    let decoded = plain::decode(&with_screen(bytes), ImageFormat::Gif, "GIF", limits)?;
    Ok(Picture::plain(decoded.pixels))
}

/// Returns the file with the size of the first frame for a screen of 0 × 0, as browsers take it.
fn with_screen(bytes: &[u8]) -> Cow<'_, [u8]> {
    match (bytes.get(6..10), first_frame(bytes)) {
        (Some([0, 0, 0, 0]), Some(size)) => {
            let mut whole = bytes.to_vec();
            whole[6..10].copy_from_slice(&size);
            whole.into()
        }
        _ => bytes.into(),
    }
}

/// Returns right and lower edge of the first frame, as little-endian 16-bit numbers.
fn first_frame(bytes: &[u8]) -> Option<[u8; 4]> {
    let colours = |flags: u8| if flags & 0x80 == 0 { 0 } else { 3 << ((flags & 7) + 1) };
    let mut at = 13 + colours(*bytes.get(10)?);
    loop {
        match *bytes.get(at)? {
            b'!' => {
                // A label, then blocks with their lengths in front, up to one of length 0.
                at += 2;
                while *bytes.get(at)? != 0 {
                    at += 1 + usize::from(*bytes.get(at)?);
                }
                at += 1;
            }
            b',' => {
                let numbers = bytes.get(at + 1..at + 9)?;
                let number = |i: usize| u16::from_le_bytes([numbers[i], numbers[i + 1]]);
                let [a, b] = number(0).checked_add(number(4))?.to_le_bytes();
                let [c, d] = number(2).checked_add(number(6))?.to_le_bytes();
                return Some([a, b, c, d]);
            }
            _ => return None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ::image::{DynamicImage, Rgb, RgbImage};
    use proptest::prelude::*;
    use std::io::Cursor;

    #[test]
    fn a_screen_without_size_has_that_of_the_frame() {
        let mut bytes = Cursor::new(Vec::new());
        let image = RgbImage::from_pixel(5, 3, Rgb([200, 30, 30]));
        DynamicImage::from(image).write_to(&mut bytes, ImageFormat::Gif).unwrap();
        let mut bytes = bytes.into_inner();
        assert_eq!(bytes[6..10], [5, 0, 3, 0]);
        bytes[6..10].fill(0);
        let picture = read(&bytes, &Limits::default()).unwrap().upright_srgb();
        assert_eq!(picture.dimensions(), (5, 3));
        assert!(picture.get_pixel(4, 2)[0] > 150);
    }

    proptest! {
        #[test]
        fn any_bytes_get_an_answer(bytes: Vec<u8>) {
            first_frame(&[b"GIF89a\0\0\0\0\0\0\0".as_slice(), &bytes].concat());
        }
    }
}
