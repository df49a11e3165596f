/*!
Decoding of image files to upright 8-bit sRGB.
*/

use ::image::RgbImage;

use super::formats::{FORMATS, Format};
use super::{DecodeError, Limits, quiet};

/// Number of the way in which files become pictures. It rises when a file may become another
/// picture than before, or when more files can be read.
pub const READING: u32 = 2;

/// Decodes an image to upright 8-bit sRGB. The format is detected from the content.
///
/// The orientation that EXIF or XMP give is applied, and so is an embedded colour profile. Grey and
/// palette images are converted to RGB, 16 bits to 8, and transparent images are composited over
/// white. CMYK is converted without a colour profile. Of an animation the first frame is decoded,
/// of several pages the first that is no thumbnail, of several pictures the main one.
///
/// # Errors
/// If the content is of another format, has no pixels or more than `limits` allows, is
/// truncated, or is damaged in a way that the decoder detects.
pub fn decode(bytes: &[u8], limits: &Limits) -> Result<RgbImage, DecodeError> {
    let format = recognise(bytes)?;
    // The decoders are third-party code that reads untrusted files. A bug in one of them must
    // cost one image, not a run over a hundred thousand.
    quiet::catch(|| Ok((format.read)(bytes, limits)?.upright_srgb())).unwrap_or_else(|| {
        let reason = "the decoder crashed".into();
        Err(DecodeError::Damaged { format: format.name, reason })
    })
}

fn recognise(bytes: &[u8]) -> Result<&'static Format, DecodeError> {
    if bytes.is_empty() {
        return Err(DecodeError::Empty);
    }
    let found = FORMATS.iter().find(|format| (format.recognises)(bytes));
    found.ok_or(DecodeError::Format { found: named(bytes) })
}

/// Returns in words what content is that cannot be read, if it is something well known.
fn named(bytes: &[u8]) -> Option<&'static str> {
    const STARTS: [(&[u8], &str); 8] = [
        (b"%PDF", "a PDF document"),
        (b"gimp xcf", "a GIMP file"),
        (b"PK\x03\x04", "an archive"),
        (b"\x1a\x45\xdf\xa3", "a video"),
        (b"\0\0\x01\xba", "a video"),
        (b"v/1\x01", "an OpenEXR image"),
        (b"#?RADIANCE", "a Radiance image"),
        (b"II\xbc", "a JPEG XR image"),
    ];
    if bytes.get(4..8) == Some(b"ftyp") || bytes.get(8..12) == Some(b"AVI ") {
        return Some("a video");
    }
    if let Some((_, name)) = STARTS.iter().find(|(start, _)| bytes.starts_with(start)) {
        return Some(name);
    }
    // What a server sends in place of a picture is often saved under the picture's name.
    let start = bytes.get(..bytes.len().min(512))?.to_ascii_lowercase();
    let has = |word: &[u8]| start.windows(word.len()).any(|window| window == word);
    if has(b"<svg") {
        return Some("an SVG drawing");
    }
    (has(b"<!doctype html") || has(b"<html")).then_some("a web page")
}

#[cfg(test)]
mod tests {
    use super::*;
    use ::image::{
        DynamicImage, GrayImage, ImageBuffer, ImageFormat, Luma, LumaA, Rgb, Rgba, RgbaImage,
    };
    use proptest::prelude::*;
    use std::io::Cursor;

    const RED: [u8; 3] = [220, 30, 30];
    const GREEN: [u8; 3] = [30, 200, 40];
    const BLUE: [u8; 3] = [20, 40, 210];
    const WHITE: [u8; 3] = [240, 240, 240];

    macro_rules! fixture {
        ($name:literal) => {
            include_bytes!(concat!("../../tests/fixtures/", $name)).as_slice()
        };
    }

    fn read(bytes: &[u8]) -> RgbImage {
        decode(bytes, &Limits::default()).unwrap()
    }

    fn refused(bytes: &[u8]) -> DecodeError {
        decode(bytes, &Limits::default()).unwrap_err()
    }

    fn encoded(image: impl Into<DynamicImage>, format: ImageFormat) -> Vec<u8> {
        let mut bytes = Cursor::new(Vec::new());
        image.into().write_to(&mut bytes, format).unwrap();
        bytes.into_inner()
    }

    /// Checks the four quarters of the fixtures' 24 × 16 picture.
    #[track_caller]
    fn check_quarters(image: &RgbImage, expected: [[u8; 3]; 4], tolerance: u8) {
        assert_eq!(image.dimensions(), (24, 16));
        for ((x, y), expected) in [(3, 3), (16, 3), (3, 12), (16, 12)].into_iter().zip(expected) {
            let found = image.get_pixel(x, y).0;
            let near = found.iter().zip(expected).all(|(a, b)| a.abs_diff(b) <= tolerance);
            assert!(near, "{found:?} instead of {expected:?} at {x}, {y}");
        }
    }

    #[test]
    fn jpeg_colour_spaces() {
        let colours = [RED, GREEN, BLUE, WHITE];
        check_quarters(&read(fixture!("baseline.jpg")), colours, 3);
        check_quarters(&read(fixture!("cmyk.jpg")), colours, 3);
        check_quarters(&read(fixture!("cmyk-no-adobe.jpg")), colours, 3);
        // K = 40 leaves 215/255 of the light.
        let dimmed = colours.map(|c| c.map(|v| (u32::from(v) * 215 / 255) as u8));
        check_quarters(&read(fixture!("ycck.jpg")), dimmed, 4);
        // Grey like Pillow's convert("L"), in a file with an Adobe segment, as Photoshop writes.
        let grey = [[87; 3], [131; 3], [53; 3], [240; 3]];
        check_quarters(&read(fixture!("grey-adobe.jpg")), grey, 3);
    }

    #[test]
    fn orientation_is_applied_in_every_format() {
        let colours = [RED, GREEN, BLUE, WHITE];
        check_quarters(&read(fixture!("rotated.jpg")), colours, 3);
        check_quarters(&read(fixture!("rotated.png")), colours, 0);
        check_quarters(&read(fixture!("rotated.webp")), colours, 0);
    }

    #[test]
    fn palettes_and_transparency() {
        check_quarters(&read(fixture!("palette.png")), [RED, GREEN, BLUE, WHITE], 0);
        let clear = [[255; 3], GREEN, BLUE, WHITE];
        check_quarters(&read(fixture!("palette-transparent.png")), clear, 0);
        let half = [RED, GREEN, BLUE, WHITE].map(|c| c.map(|v| 127 - v / 2 + v));
        check_quarters(&read(fixture!("alpha.webp")), half, 1);
    }

    #[test]
    fn png_depths_and_channels() {
        let grey = GrayImage::from_pixel(2, 1, Luma([77]));
        assert_eq!(read(&encoded(grey, ImageFormat::Png)).get_pixel(1, 0).0, [77; 3]);
        let deep: ImageBuffer<Luma<u16>, _> = ImageBuffer::from_pixel(2, 1, Luma([0x80ff]));
        assert_eq!(read(&encoded(deep, ImageFormat::Png)).get_pixel(0, 0).0, [0x80; 3]);
        let deep: ImageBuffer<Rgb<u16>, _> = ImageBuffer::from_pixel(2, 1, Rgb([65535, 0, 257]));
        assert_eq!(read(&encoded(deep, ImageFormat::Png)).get_pixel(0, 0).0, [255, 0, 1]);
        let deep: ImageBuffer<LumaA<u16>, _> = ImageBuffer::from_pixel(1, 1, LumaA([0, 0]));
        assert_eq!(read(&encoded(deep, ImageFormat::Png)).get_pixel(0, 0).0, [255; 3]);
        let clear = RgbaImage::from_pixel(1, 1, Rgba([10, 20, 30, 51]));
        assert_eq!(read(&encoded(clear, ImageFormat::Png)).get_pixel(0, 0).0, [206, 208, 210]);
    }

    #[test]
    fn every_cut_off_copy_is_refused() {
        // A PNG ends with a twelve-byte IEND chunk, which contains no data.
        let files = [
            (fixture!("baseline.jpg"), 0),
            (fixture!("progressive.jpg"), 0),
            (fixture!("cmyk.jpg"), 0),
            (fixture!("lossy.webp"), 0),
            (fixture!("alpha.webp"), 0),
            (fixture!("rotated.webp"), 0),
            (fixture!("photo.png"), 12),
            (fixture!("rotated.png"), 12),
        ];
        for (bytes, spare) in files {
            read(bytes);
            for end in 0..bytes.len() - spare {
                let error = refused(&bytes[..end]);
                let unrecognised = end < 12;
                let cut = matches!(error, DecodeError::Truncated(_));
                assert!(unrecognised || cut, "{error} at {end} of {}", bytes.len());
            }
        }
    }

    #[test]
    fn bytes_behind_the_end_do_not_matter() {
        for bytes in [fixture!("baseline.jpg"), fixture!("photo.png"), fixture!("lossy.webp")] {
            let longer = [bytes, &[0; 100]].concat();
            assert_eq!(read(bytes), read(&longer));
        }
    }

    #[test]
    fn other_content_is_named() {
        assert!(matches!(refused(b""), DecodeError::Empty));
        let said = |bytes: &[u8]| refused(bytes).to_string();
        let letter = said(b"Dear Sir or Madam");
        assert_eq!(letter, "not an image of a known format; convert it to JPEG or leave it out");
        assert!(said(b"GIF89a\x01\0\x01\0").contains("GIF image is cut off"));
        for (start, name) in [
            (&b"\0\0\0\x18ftypisom\0\0\0\0"[..], "a video"),
            (b"RIFF\0\0\0\0AVI LIST", "a video"),
            (b"%PDF-1.7", "a PDF document"),
            (b"\n<!DOCTYPE HTML><title>404", "a web page"),
            (b"<?xml version='1.0'?><svg>", "an SVG drawing"),
        ] {
            assert!(said(start).contains(&format!(" format but {name};")), "{name}");
        }
        assert!(said(b"\xff\xd8\xff").contains("JPEG image is cut off"));
        assert!(said(b"\x89PNG\r\n\x1a\n").contains("PNG image is cut off"));
    }

    #[test]
    fn gif_and_bmp_are_read_and_noticed_when_cut() {
        let picture = RgbImage::from_fn(24, 16, |x, _| Rgb(if x < 12 { RED } else { BLUE }));
        let formats = [(ImageFormat::Gif, "GIF"), (ImageFormat::Bmp, "BMP")];
        for (format, name) in formats {
            let mut bytes = Vec::new();
            picture.write_to(&mut Cursor::new(&mut bytes), format).unwrap();
            let back = read(&bytes);
            assert_eq!(back.dimensions(), (24, 16), "{format:?}");
            for (x, wanted) in [(3, RED), (20, BLUE)] {
                let near =
                    back.get_pixel(x, 8).0.iter().zip(wanted).all(|(a, b)| a.abs_diff(b) < 8);
                assert!(near, "{format:?} at {x}: {:?}", back.get_pixel(x, 8));
            }
            let error = refused(&bytes[..bytes.len() / 2]).to_string();
            assert!(error.contains(name), "{name}: {error}");
            let small = decode(&bytes, &Limits { max_pixels: 24 * 16 - 1 }).unwrap_err();
            assert!(matches!(small, DecodeError::TooManyPixels { .. }), "{format:?}: {small}");
        }
    }

    #[test]
    fn of_an_animation_the_first_frame_is_taken() {
        let mut bytes = Vec::new();
        {
            let mut encoder = ::image::codecs::gif::GifEncoder::new(&mut bytes);
            for colour in [GREEN, RED] {
                let frame =
                    RgbaImage::from_pixel(8, 8, Rgba([colour[0], colour[1], colour[2], 255]));
                encoder.encode_frame(::image::Frame::new(frame)).unwrap();
            }
        }
        assert!(read(&bytes).get_pixel(4, 4)[1] > 150);
    }

    #[test]
    fn too_many_pixels_are_refused_before_decoding() {
        let limits = Limits { max_pixels: 24 * 16 - 1 };
        for bytes in [fixture!("baseline.jpg"), fixture!("palette.png"), fixture!("alpha.webp")] {
            let error = decode(bytes, &limits).unwrap_err();
            let found =
                matches!(error, DecodeError::TooManyPixels { width: 24, height: 16, limit: 383 });
            assert!(found, "{error}");
            assert!(decode(bytes, &Limits { max_pixels: 24 * 16 }).is_ok());
        }
        // A header that claims the maximum size of a JPEG, with 384 pixels of data.
        let mut bomb = fixture!("baseline.jpg").to_vec();
        let frame = bomb.windows(2).position(|w| w == [0xff, 0xc0]).unwrap();
        bomb[frame + 5..frame + 9].fill(0xff);
        let error = refused(&bomb);
        assert!(matches!(error, DecodeError::TooManyPixels { width: 65535, .. }), "{error}");
    }

    #[test]
    fn an_image_without_pixels_is_refused() {
        let mut empty = fixture!("baseline.jpg").to_vec();
        let frame = empty.windows(2).position(|w| w == [0xff, 0xc0]).unwrap();
        empty[frame + 7..frame + 9].fill(0);
        let error = refused(&empty);
        assert!(!matches!(error, DecodeError::Truncated(_)), "{error}");
        // The checksum is valid, so only the width is wrong.
        let header = [b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR".as_slice(), &[0; 4], &[0, 0, 0, 1]].concat();
        let rest = [8, 2, 0, 0, 0, 0x6f, 0x5f, 0x0a, 0x5d];
        assert!(decode(&[header, rest.to_vec()].concat(), &Limits::default()).is_err());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(400))]
        #[test]
        fn damaged_files_never_panic(
            file in 0usize..8, changes in prop::collection::vec((any::<u16>(), any::<u8>()), 1..12)
        ) {
            let files = [
                fixture!("baseline.jpg"), fixture!("progressive.jpg"), fixture!("ycck.jpg"),
                fixture!("rotated.jpg"), fixture!("lossy.webp"), fixture!("alpha.webp"),
                fixture!("photo.png"), fixture!("palette-transparent.png"),
            ];
            let mut bytes = files[file].to_vec();
            for (at, value) in changes {
                let at = usize::from(at) % bytes.len();
                bytes[at] = value;
            }
            let _ = decode(&bytes, &Limits { max_pixels: 1 << 20 });
        }
    }
}
