/*!
BMP images, with the headers and the alpha that old programs write.
*/

use std::borrow::Cow;

use ::image::{DynamicImage, ImageFormat};

use super::plain;
use crate::image::picture::Picture;
use crate::image::{DecodeError, Limits};

const FORMAT: &str = "BMP";

/// The length of the header before the header of the image, in bytes.
const FILE_HEADER: usize = 14;

/// The length of the header that every reader knows, in bytes.
const KNOWN: usize = 40;

/// Returns whether a file begins as a BMP does.
pub(super) fn is_bmp(bytes: &[u8]) -> bool {
    bytes.starts_with(b"BM")
}

/// Reads a BMP image.
///
/// Alpha that is 0 everywhere is ignored: programs leave it so in opaque pictures.
///
/// # Errors
/// If the image is cut off, damaged, or larger than `limits` allow.
pub(super) fn read(bytes: &[u8], limits: &Limits) -> Result<Picture, DecodeError> {
    let decoded = plain::decode(&with_known_header(bytes), ImageFormat::Bmp, FORMAT, limits)?;
    Ok(Picture::plain(match decoded.pixels {
        DynamicImage::ImageRgba8(mut pixels) if pixels.pixels().all(|pixel| pixel[3] == 0) => {
            pixels.pixels_mut().for_each(|pixel| pixel[3] = 255);
            pixels.into()
        }
        pixels => pixels,
    }))
}

/// Returns the file with a header of 40 bytes in place of one of OS/2 2.x, which has 16 to 64.
///
/// Its fields are the same as far as they go; what is left out is 0.
fn with_known_header(bytes: &[u8]) -> Cow<'_, [u8]> {
    let number = |at: usize| {
        let four: [u8; 4] = bytes.get(at..at + 4)?.try_into().ok()?;
        usize::try_from(u32::from_le_bytes(four)).ok()
    };
    let (Some(pixels), Some(length)) = (number(10), number(FILE_HEADER)) else {
        return bytes.into();
    };
    // 52 and 56 are headers of Windows with masks of colours.
    if !(16..=64).contains(&length) || matches!(length, KNOWN | 52 | 56) {
        return bytes.into();
    }
    let parts = (
        bytes.get(..FILE_HEADER),
        bytes.get(FILE_HEADER..FILE_HEADER + length),
        bytes.get(FILE_HEADER + length..),
        (pixels + KNOWN).checked_sub(length).and_then(|at| u32::try_from(at).ok()),
    );
    let (Some(file), Some(header), Some(rest), Some(pixels)) = parts else { return bytes.into() };
    let mut known = header.to_vec();
    known.resize(KNOWN, 0);
    known[..4].copy_from_slice(&[40, 0, 0, 0]);
    let mut whole = [file, &known, rest].concat();
    whole[10..14].copy_from_slice(&pixels.to_le_bytes());
    whole.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Two pixels beside each other, a red and a blue one, under a header of so many bytes.
    fn bmp(header: usize, bits: u16, compression: u32, masks: &[u32], pixels: &[u8]) -> Vec<u8> {
        let mut image = Vec::new();
        image.extend(u32::try_from(header).unwrap().to_le_bytes());
        image.extend([2u32, 1].map(u32::to_le_bytes).concat());
        image.extend([1, bits].map(u16::to_le_bytes).concat());
        image.extend(compression.to_le_bytes());
        image.resize(40, 0);
        image.extend(masks.iter().flat_map(|mask| mask.to_le_bytes()));
        image.resize(header, 0);
        let start = u32::try_from(14 + header).unwrap();
        let size = start + u32::try_from(pixels.len()).unwrap();
        let file = [&size.to_le_bytes(), [0; 4].as_slice(), &start.to_le_bytes()].concat();
        [b"BM".as_slice(), &file, &image, pixels].concat()
    }

    fn colours(bytes: &[u8]) -> [[u8; 3]; 2] {
        let picture = read(bytes, &Limits::default()).unwrap().upright_srgb();
        assert_eq!(picture.dimensions(), (2, 1));
        [picture.get_pixel(0, 0).0, picture.get_pixel(1, 0).0]
    }

    const RED_BLUE: [[u8; 3]; 2] = [[255, 0, 0], [0, 0, 255]];

    #[test]
    fn headers_of_every_length() {
        for header in [16, 24, 40, 48, 64] {
            assert_eq!(colours(&bmp(header, 24, 0, &[], &[0, 0, 255, 255, 0, 0, 0, 0])), RED_BLUE);
        }
    }

    #[test]
    fn alpha_that_is_nowhere_set_is_ignored() {
        let masks = [0x00ff_0000, 0xff00, 0xff, 0xff00_0000];
        let clear = bmp(108, 32, 3, &masks, &[0, 0, 255, 0, 255, 0, 0, 0]);
        assert_eq!(colours(&clear), RED_BLUE);
        let half = bmp(108, 32, 3, &masks, &[0, 0, 255, 0, 255, 0, 0, 255]);
        assert_eq!(colours(&half), [[255; 3], [0, 0, 255]]);
    }

    proptest! {
        #[test]
        fn any_bytes_get_an_answer(bytes in prop::collection::vec(any::<u8>(), 0..120)) {
            let whole = [b"BM".as_slice(), &bytes].concat();
            let _ = read(&whole, &Limits { max_pixels: 1 << 16 });
        }
    }
}
