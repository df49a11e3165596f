/*!
ICO: the icons of Windows.
*/

use ::image::ImageFormat;

use super::{plain, png};
use crate::image::picture::Picture;
use crate::image::{DecodeError, Limits};

const NAME: &str = "ICO";
const HEADER: usize = 6;
const ENTRY: usize = 16;

/// Returns whether `bytes` start as an icon with at least one picture.
pub(super) fn is_ico(bytes: &[u8]) -> bool {
    bytes.starts_with(b"\0\0\x01\0") && bytes.get(4..6).is_some_and(|count| count != [0, 0])
}

/// Decodes the largest picture; of those of one size, that with the most bits, then the
/// first.
///
/// Transparency is kept, of a mask or of alpha.
///
/// # Errors
/// If the picture is cut off, is damaged, or is larger than `limits` allows.
pub(super) fn read(bytes: &[u8], limits: &Limits) -> Result<Picture, DecodeError> {
    let cut = || DecodeError::Truncated(NAME);
    let number = |entry: &[u8], at: usize| -> Option<usize> {
        let four = *entry.get(at..)?.first_chunk::<4>()?;
        usize::try_from(u32::from_le_bytes(four)).ok()
    };
    let count = usize::from(u16::from_le_bytes([
        *bytes.get(4).ok_or_else(cut)?,
        *bytes.get(5).ok_or_else(cut)?,
    ]));
    let entries = bytes.get(HEADER..).and_then(|rest| rest.get(..count * ENTRY)).ok_or_else(cut)?;
    // A side of 0 is 256.
    let side = |byte: u8| u32::from(byte.wrapping_sub(1)) + 1;
    let rank = |entry: &&[u8]| (side(entry[0]) * side(entry[1]), entry[6], number(entry, 8));
    // Reversed, because of equals the last is the greatest.
    let largest = entries.chunks_exact(ENTRY).rev().max_by_key(rank).ok_or_else(cut)?;
    let (length, start) = number(largest, 8).zip(number(largest, 12)).ok_or_else(cut)?;
    let content = bytes.get(start..).and_then(|rest| rest.get(..length)).ok_or_else(cut)?;
    if content.starts_with(b"\x89PNG") {
        return png::read(content, limits);
    }
    // An icon of this picture alone.
    let place = ((HEADER + ENTRY) as u32).to_le_bytes();
    let alone = [b"\0\0\x01\0\x01\0".as_slice(), &largest[..12], &place, content].concat();
    Ok(Picture::plain(plain::decode(&alone, ImageFormat::Ico, NAME, limits)?.pixels))
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use ::image::{DynamicImage, Rgb, RgbImage};

    use super::*;
    use crate::image::decode;

    #[test]
    fn the_largest_picture_is_taken() {
        let png = |side: u32, colour| {
            let mut bytes = Cursor::new(Vec::new());
            let image = DynamicImage::from(RgbImage::from_pixel(side, side, Rgb(colour)));
            image.write_to(&mut bytes, ImageFormat::Png).unwrap();
            bytes.into_inner()
        };
        let (small, large) = (png(8, [1, 2, 3]), png(40, [9, 8, 7]));
        let entry = |side: u8, length: usize, start: usize| {
            let numbers = [length as u32, start as u32].map(u32::to_le_bytes).concat();
            [&[side, side, 0, 0, 1, 0, 24, 0][..], &numbers].concat()
        };
        let entries = [entry(40, large.len(), 38), entry(8, small.len(), 38 + large.len())];
        let icon = [b"\0\0\x01\0\x02\0".to_vec(), entries.concat(), large, small].concat();
        assert!(is_ico(&icon));
        let read = decode(&icon, &Limits::default()).unwrap();
        assert_eq!((read.dimensions(), read.get_pixel(0, 0).0), ((40, 40), [9, 8, 7]));
        assert!(decode(&icon[..100], &Limits::default()).is_err());
        assert!(decode(&icon, &Limits { max_pixels: 1000 }).is_err());
    }

    #[test]
    fn a_bitmap_is_read() {
        let mut bytes = Cursor::new(Vec::new());
        let image = DynamicImage::from(RgbImage::from_pixel(16, 16, Rgb([200, 30, 40])));
        image.write_to(&mut bytes, ImageFormat::Bmp).unwrap();
        // Without the file's header of 14 bytes, twice as high, and with an empty mask.
        let mut content = bytes.into_inner()[14..].to_vec();
        content[8] = 32;
        content.extend([0; 64]);
        let numbers = [content.len() as u32, 22].map(u32::to_le_bytes).concat();
        let icon = [b"\0\0\x01\0\x01\0\x10\x10\0\0\x01\0\x18\0".as_slice(), &numbers, &content];
        let read = decode(&icon.concat(), &Limits::default()).unwrap();
        assert_eq!((read.dimensions(), read.get_pixel(3, 3).0), ((16, 16), [200, 30, 40]));
    }
}
