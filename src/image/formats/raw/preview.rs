/*!
The choice of a raw file's largest preview, and its decoding.
*/

use ::image::metadata::Orientation;

use super::super::isobmff::{brands, u32_at};
use super::super::jpeg;
use super::cr3;
use super::ifd::{Directory, Tiff};
use crate::image::picture::Picture;
use crate::image::{DecodeError, Limits};

const NAME: &str = "camera raw";

const COMPRESSION: u16 = 259;
const PHOTOMETRIC: u16 = 262;
const STRIP_OFFSETS: u16 = 273;
const ORIENTATION: u16 = 274;
const STRIP_BYTES: u16 = 279;
const JPEG_OFFSET: u16 = 513;
const JPEG_BYTES: u16 = 514;
const PANASONIC_JPEG: u16 = 46;
const MAKER: u16 = 271;
const DNG_VERSION: u16 = 50706;
const MAKER_NOTE: u16 = 37500;

/// Returns whether `bytes` are a camera's raw file and not a plain TIFF.
///
/// Told by one of: Canon's, Fuji's, Olympus's or Panasonic's mark; a DNG version; a picture of
/// sensor samples (photometric 32803, or 34892 of linear DNG); a maker's compression.
pub(in super::super) fn is_raw(bytes: &[u8]) -> bool {
    if is_raf(bytes) || is_cr3(bytes) {
        return true;
    }
    let Some((tiff, first)) = Tiff::open(bytes) else { return false };
    // The mark of Canon stands behind the header.
    if bytes.get(2..4) != Some(b"*\0") && bytes.get(2..4) != Some(b"\0*")
        || bytes.get(8..10) == Some(b"CR")
    {
        return true;
    }
    let directories = tiff.directories(first);
    let made = directories.first().is_some_and(|first| first.has(MAKER));
    directories.iter().any(|directory| {
        directory.has(DNG_VERSION)
            || matches!(directory.number(PHOTOMETRIC), Some(32803 | 34892))
            // Nikon, Sony, Pentax, Samsung and Epson.
            || made && matches!(directory.number(COMPRESSION), Some(34713 | 32767 | 65535 | 32770 | 32769))
    })
}

fn is_raf(bytes: &[u8]) -> bool {
    bytes.starts_with(b"FUJIFILMCCD-RAW")
}

fn is_cr3(bytes: &[u8]) -> bool {
    brands(bytes).next() == Some(b"crx ")
}

/// Decodes the largest JPEG preview, turned as the first directory says.
///
/// The samples of the sensor are not developed. A preview has no transparency.
///
/// # Errors
/// If there is no preview in JPEG, or the errors of JPEG.
pub(in super::super) fn read(bytes: &[u8], limits: &Limits) -> Result<Picture, DecodeError> {
    let Some((jpeg, orientation)) = preview(bytes) else {
        let reason = "it holds no JPEG preview, and the samples of the sensor are not developed";
        return Err(DecodeError::Unsupported { format: NAME, reason: reason.into() });
    };
    let picture = jpeg::read(jpeg, limits)?;
    // A preview with EXIF of its own says the same; most have none.
    Ok(Picture { orientation: orientation.unwrap_or(picture.orientation), ..picture })
}

/// Returns the JPEG preview with the most pixels, and how to turn it if the file says so.
fn preview(bytes: &[u8]) -> Option<(&[u8], Option<Orientation>)> {
    let (previews, orientation) = if is_cr3(bytes) {
        cr3::previews(bytes)
    } else if is_raf(bytes) {
        // Big-endian numbers at 84: where the JPEG is, and its length.
        let start = u32_at(bytes, 84)? as usize;
        let jpeg = bytes.get(start..)?.get(..u32_at(bytes, 88)? as usize)?;
        (vec![jpeg], None)
    } else {
        in_tiff(bytes)?
    };
    let sized = previews.into_iter().filter_map(|jpeg| Some((pixels(jpeg)?, jpeg)));
    let (_, largest) = sized.max_by_key(|(pixels, _)| *pixels)?;
    Some((largest, orientation))
}

/// Returns all pictures of a TIFF file that start as a JPEG.
fn in_tiff(bytes: &[u8]) -> Option<(Vec<&[u8]>, Option<Orientation>)> {
    let (tiff, first) = Tiff::open(bytes)?;
    let directories = tiff.directories(first);
    let mut found = Vec::new();
    for directory in &directories {
        let strips = (directory.number(STRIP_OFFSETS), directory.number(STRIP_BYTES));
        let jpeg = (directory.number(JPEG_OFFSET), directory.number(JPEG_BYTES));
        for (start, length) in [strips, jpeg] {
            let (Some(start), Some(length)) = (start, length) else { continue };
            let part = bytes.get(start as usize..).and_then(|rest| rest.get(..length as usize));
            found.extend(part.filter(|part| part.starts_with(b"\xff\xd8\xff")));
        }
        found.extend(directory.bytes(PANASONIC_JPEG));
        found.extend(directory.bytes(MAKER_NOTE).and_then(in_olympus_note));
    }
    let orientation = directories.first().and_then(orientation);
    Some((found, orientation))
}

/// Returns the preview in the maker's note of Olympus, whose offsets count from the note.
///
/// Directory 0x2020 has the offset in tag 0x101 and the length in tag 0x102.
fn in_olympus_note(note: &[u8]) -> Option<&[u8]> {
    let body = note.starts_with(b"OLYMPUS\0") || note.starts_with(b"OM SYSTEM\0");
    let start = if note.starts_with(b"OM") { 16 } else { 12 };
    if !body {
        return None;
    }
    let tiff = Tiff::within(note, note.get(start - 4..start - 2)?)?;
    let camera = tiff.directory(tiff.directory(start as u32)?.0.number(0x2020)?)?.0;
    let (at, length) = (camera.number(0x101)? as usize, camera.number(0x102)? as usize);
    note.get(at..)?.get(..length)
}

fn orientation(directory: &Directory) -> Option<Orientation> {
    Orientation::from_exif(u8::try_from(directory.number(ORIENTATION)?).ok()?)
}

/// Returns the number of pixels of a JPEG file that can be read. The sensor's samples are often
/// lossless JPEG, which is no preview.
fn pixels(jpeg: &[u8]) -> Option<u64> {
    let (width, height) = jpeg::size(jpeg)?;
    Some(u64::from(width) * u64::from(height))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::decode;

    const JPEG: &[u8] = include_bytes!("../../../../tests/fixtures/baseline.jpg");
    const SMALL: &[u8] = b"\xff\xd8\xff\xc0\0\x11\x08\0\x01\0\x01\x01";

    /// A TIFF file with these entries (tag, type, value) in its first directory, and `tail` behind
    /// them at the offset that is returned.
    fn tiff(entries: &[(u16, u16, u32)], tail: &[u8]) -> (Vec<u8>, u32) {
        let mut bytes = b"II*\0\x08\0\0\0".to_vec();
        bytes.extend((entries.len() as u16).to_le_bytes());
        for (tag, kind, value) in entries {
            bytes.extend([tag.to_le_bytes(), kind.to_le_bytes()].concat());
            bytes.extend([1, *value].map(u32::to_le_bytes).concat());
        }
        bytes.extend([0; 4]);
        let at = bytes.len() as u32;
        bytes.extend(tail);
        (bytes, at)
    }

    fn dng() -> Vec<u8> {
        let entries = |at| {
            [
                (STRIP_OFFSETS, 4, at),
                (ORIENTATION, 3, 3),
                (STRIP_BYTES, 4, JPEG.len() as u32),
                (DNG_VERSION, 4, 1),
            ]
        };
        let (_, at) = tiff(&entries(0), &[]);
        tiff(&entries(at), JPEG).0
    }

    #[test]
    fn the_preview_is_turned_as_the_first_directory_says() {
        let bytes = dng();
        assert!(is_raw(&bytes));
        let upright = decode(&bytes, &Limits::default()).unwrap();
        let plain = decode(JPEG, &Limits::default()).unwrap();
        assert_eq!(upright, ::image::imageops::rotate180(&plain));
    }

    #[test]
    fn a_raw_file_without_a_preview_is_refused() {
        let (bytes, _) = tiff(&[(PHOTOMETRIC, 3, 32803)], &[]);
        let error = decode(&bytes, &Limits::default()).unwrap_err();
        assert!(error.to_string().contains("no JPEG preview"), "{error}");
        assert!(!is_raw(&tiff(&[(PHOTOMETRIC, 3, 2)], &[]).0));
    }

    #[test]
    fn of_fuji_the_jpeg_is_taken() {
        let mut bytes = b"FUJIFILMCCD-RAW ".to_vec();
        bytes.resize(84, 0);
        bytes.extend([92, JPEG.len() as u32].map(u32::to_be_bytes).concat());
        bytes.extend(JPEG);
        assert!(is_raw(&bytes));
        assert!(decode(&bytes, &Limits::default()).is_ok());
    }

    #[test]
    fn of_canon_the_largest_is_taken() {
        let boxed = |kind: &[u8; 4], content: &[u8]| {
            [&(content.len() as u32 + 8).to_be_bytes(), kind.as_slice(), content].concat()
        };
        let start = boxed(b"ftyp", b"crx \0\0\0\x01crx isom");
        let data = boxed(b"mdat", JPEG);
        let at = start.len() as u32 + 8;
        let sizes = boxed(b"stsz", &[0, JPEG.len() as u32, 1].map(u32::to_be_bytes).concat());
        let places = boxed(b"stco", &[0, 1, at].map(u32::to_be_bytes).concat());
        let table = boxed(b"stbl", &[sizes, places].concat());
        let track = boxed(b"trak", &boxed(b"mdia", &boxed(b"minf", &table)));
        let exif = boxed(b"CMT1", &tiff(&[(ORIENTATION, 3, 6)], &[]).0);
        let thumbnail = boxed(b"THMB", &[&[0; 16], SMALL].concat());
        let uuid = b"\x85\xc0\xb6\x87\x82\x0f\x11\xe0\x81\x11\xf4\xce\x46\x2b\x6a\x48";
        let canon = boxed(b"uuid", &[uuid.as_slice(), &exif, &thumbnail].concat());
        let bytes = [start, data, boxed(b"moov", &[canon, track].concat())].concat();
        assert!(is_raw(&bytes));
        let (jpeg, orientation) = preview(&bytes).unwrap();
        assert_eq!((jpeg, orientation), (JPEG, Some(Orientation::Rotate90)));
    }

    #[test]
    fn loops_and_damage_end() {
        // The directory names itself as the one that follows, and as one below.
        let (mut bytes, _) = tiff(&[(330, 4, 8), (DNG_VERSION, 4, 1)], &[]);
        let next = bytes.len() - 4;
        bytes[next] = 8;
        assert!(is_raw(&bytes));
        assert!(preview(&bytes).is_none());
        let whole = dng();
        for at in 0..whole.len() {
            let mut damaged = whole.clone();
            damaged[at] ^= 0xff;
            is_raw(&damaged);
            preview(&damaged);
            preview(&whole[..at]);
        }
    }
}
