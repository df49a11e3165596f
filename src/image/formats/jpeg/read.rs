/*!
Reading of JPEG images.

Two decoders share the work. `zune-jpeg` is quick, and in its strict mode it refuses damaged data
instead of filling the rest with grey. It reads some sound files wrongly: sequential ones with
a scan for each component, and those whose first component is coarser than the others. For these,
and for what it refuses without having run out of data, `jpeg-decoder` decides.
*/

use std::io::Cursor;

use ::image::{DynamicImage, GrayImage, RgbImage};
use zune_jpeg::zune_core::bytestream::ZCursor;
use zune_jpeg::zune_core::colorspace::ColorSpace;
use zune_jpeg::zune_core::options::DecoderOptions;

use super::segments::{Frame, Segments};
use super::{colours, tables};
use crate::cause::Cause;
use crate::image::picture::Picture;
use crate::image::profile::Profile;
use crate::image::size::check_size;
use crate::image::{DecodeError, Limits};

const FORMAT: &str = "JPEG";

/// Zero bytes behind the data, so that the decoder can look ahead but not go on without data.
const PADDING: usize = 16;

/// Returns whether a file begins as a JPEG does.
pub fn is_jpeg(bytes: &[u8]) -> bool {
    bytes.starts_with(&[0xff, 0xd8, 0xff])
}

/// Returns whether a JPEG has its end.
pub fn is_whole(bytes: &[u8]) -> bool {
    Segments::of(bytes).end.is_some()
}

/// Returns the size of a JPEG in pixels, if it is coded as photos are: with 8 bits per sample,
/// sequential or progressive.
pub fn size(bytes: &[u8]) -> Option<(u32, u32)> {
    let frame = Segments::of(bytes).frame?;
    let usual = matches!(frame.marker, 0xc0..=0xc2) && frame.precision == 8;
    (usual && frame.size.0 > 0 && frame.size.1 > 0).then_some(frame.size)
}

/// Reads a JPEG image. Of a file with several, as panoramas and 3D photos have, it is the first.
///
/// CMYK and YCCK are read in Adobe's inverted convention, which all known programs write.
///
/// # Errors
/// If the image is cut off, damaged, larger than `limits` allow, or coded in a way that no browser
/// reads either: arithmetic, hierarchical, with 12 bits, or with a height that follows later.
pub fn read(bytes: &[u8], limits: &Limits) -> Result<Picture, DecodeError> {
    let segments = Segments::of(bytes);
    if !segments.odd_transforms.is_empty() {
        // As libjpeg and browsers take it: YCbCr, or YCCK of four components.
        let four = segments.frame.as_ref().is_some_and(|frame| frame.sampling.len() == 4);
        let mut bytes = bytes.to_vec();
        for at in segments.odd_transforms {
            if let Some(transform) = bytes.get_mut(at) {
                *transform = if four { 2 } else { 1 };
            }
        }
        return read(&bytes, limits);
    }
    if !segments.has_tables && segments.frame.as_ref().is_some_and(Frame::is_sequential) {
        let bytes = tables::with_typical(bytes);
        return read_with(&bytes, &Segments::of(&bytes), limits);
    }
    read_with(bytes, &segments, limits)
}

fn read_with(bytes: &[u8], segments: &Segments, limits: &Limits) -> Result<Picture, DecodeError> {
    let (Some(frame), Some(end)) = (&segments.frame, segments.end) else {
        return Err(match segments.end {
            None => DecodeError::Truncated(FORMAT),
            Some(_) => damaged("it has no frame header"),
        });
    };
    if let Some(kind) = unsupported(frame) {
        return Err(DecodeError::Unsupported { format: FORMAT, reason: kind.into() });
    }
    check_size(frame.size, limits)?;
    let whole = bytes.get(..end).unwrap_or(bytes);
    let odd =
        frame.is_sequential() && (segments.scans.len() > 1 || frame.has_coarse_first_component());
    let pixels = if odd || frame.marker == 0xc3 {
        by_jpeg_decoder(whole, limits).map_err(damaged)?
    } else {
        by_zune(whole, segments, frame)
            .or_else(|refusal| refusal.otherwise(|| by_jpeg_decoder(whole, limits)))?
    };
    let profile = segments.profile().map(Profile::Icc);
    Ok(Picture { pixels, orientation: segments.orientation(), profile })
}

fn damaged(reason: impl Into<Cause>) -> DecodeError {
    DecodeError::Damaged { format: FORMAT, reason: reason.into() }
}

/// Returns in words what neither decoder reads.
fn unsupported(frame: &Frame) -> Option<&'static str> {
    match frame.marker {
        0xc9..=0xcf => Some("arithmetic coding"),
        0xc5..=0xc7 => Some("hierarchical coding"),
        0xf7 => Some("JPEG-LS"),
        0xc0..=0xc2 if frame.precision != 8 => Some("more than 8 bits per sample"),
        _ if frame.size.1 == 0 && frame.size.0 > 0 => Some("its height follows its data"),
        _ => None,
    }
}

/// The reason for which `zune-jpeg` refused an image.
enum Refusal {
    /// The data ends before the image does.
    Exhausted,
    /// Anything else.
    Other(Cause),
}

impl Refusal {
    /// Asks another decoder, unless data is missing: it would fill the rest.
    fn otherwise(
        self,
        decode: impl FnOnce() -> Result<DynamicImage, Cause>,
    ) -> Result<DynamicImage, DecodeError> {
        match self {
            Self::Exhausted => Err(damaged("a part of its data is missing")),
            Self::Other(reason) => decode().map_err(|_| damaged(reason)),
        }
    }
}

fn by_zune(bytes: &[u8], segments: &Segments, frame: &Frame) -> Result<DynamicImage, Refusal> {
    use zune_jpeg::errors::DecodeErrors as E;
    // At an end marker the decoder takes zeros for the blocks that are still missing. At the end
    // of the file it gives up. Progressive scans look further ahead than this padding.
    let padded = frame.is_sequential() && segments.scans.len() == 1;
    let mut copy = Vec::new();
    let bytes = match segments.scans.first() {
        Some(scan) if padded => {
            copy.extend_from_slice(bytes.get(..scan.end).unwrap_or(bytes));
            copy.resize(copy.len() + PADDING, 0);
            copy.as_slice()
        }
        _ => bytes,
    };
    let options = DecoderOptions::default()
        .set_strict_mode(true)
        .set_max_width(usize::MAX)
        .set_max_height(usize::MAX);
    let failed = |error: E| match error {
        E::ExhaustedData | E::FormatStatic("Premature end of buffer") => Refusal::Exhausted,
        error => Refusal::Other(error.into()),
    };
    let mut decoder = zune_jpeg::JpegDecoder::new_with_options(ZCursor::new(bytes), options);
    decoder.decode_headers().map_err(failed)?;
    let grey = decoder.input_colorspace() == Some(ColorSpace::Luma);
    let wanted = if grey { ColorSpace::Luma } else { ColorSpace::RGB };
    decoder.set_options(options.jpeg_set_out_colorspace(wanted));
    let samples = decoder.decode().map_err(failed)?;
    let (width, height) = frame.size;
    let image = if grey {
        GrayImage::from_raw(width, height, samples).map(DynamicImage::from)
    } else {
        RgbImage::from_raw(width, height, samples).map(DynamicImage::from)
    };
    image.ok_or_else(|| Refusal::Other("its size is not that of its data".into()))
}

fn by_jpeg_decoder(bytes: &[u8], limits: &Limits) -> Result<DynamicImage, Cause> {
    let mut decoder = jpeg_decoder::Decoder::new(Cursor::new(bytes));
    let memory = limits.max_pixels.saturating_mul(8);
    decoder.set_max_decoding_buffer_size(usize::try_from(memory).unwrap_or(usize::MAX));
    let samples = decoder.decode()?;
    let info = decoder.info().ok_or("it has no frame header")?;
    colours::image(info, samples).ok_or_else(|| "its size is not that of its data".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    macro_rules! fixture {
        ($name:literal) => {
            include_bytes!(concat!("../../../../tests/fixtures/", $name)).as_slice()
        };
    }

    const QUARTERS: [[u8; 3]; 4] = [[220, 30, 30], [30, 200, 40], [20, 40, 210], [240, 240, 240]];

    fn picture(bytes: &[u8]) -> RgbImage {
        read(bytes, &Limits::default()).unwrap().upright_srgb()
    }

    fn refused(bytes: &[u8]) -> DecodeError {
        read(bytes, &Limits::default()).err().unwrap()
    }

    #[track_caller]
    fn check_quarters(image: &RgbImage) {
        assert_eq!(image.dimensions(), (24, 16));
        for ((x, y), wanted) in [(3, 3), (20, 3), (3, 12), (20, 12)].into_iter().zip(QUARTERS) {
            let found = image.get_pixel(x, y).0;
            let near = found.iter().zip(wanted).all(|(a, b)| a.abs_diff(b) <= 4);
            assert!(near, "{found:?} instead of {wanted:?} at {x}, {y}");
        }
    }

    /// Returns the start of the first segment with this marker, and its end.
    fn segment(bytes: &[u8], marker: u8) -> (usize, usize) {
        let at = bytes.windows(2).position(|two| two == [0xff, marker]).unwrap();
        (at, at + 2 + usize::from(u16::from_be_bytes([bytes[at + 2], bytes[at + 3]])))
    }

    /// Returns a segment APP1 with a block of EXIF that gives an orientation.
    fn exif(orientation: u8, kind: u8) -> Vec<u8> {
        let tag = [0x12, 1, kind, 0, 1, 0, 0, 0, orientation, 0, 0, 0];
        let exif = [b"Exif\0\0II*\0\x08\0\0\0\x01\0".as_slice(), &tag, &[0; 4]].concat();
        let length = u16::try_from(exif.len() + 2).unwrap();
        [[0xff, 0xe1].as_slice(), &length.to_be_bytes(), &exif].concat()
    }

    fn with_segments(segments: &[Vec<u8>]) -> Vec<u8> {
        let (start, rest) = fixture!("baseline.jpg").split_at(2);
        [start, &segments.concat(), rest].concat()
    }

    #[test]
    fn unusual_scans_and_samplings_are_read() {
        check_quarters(&picture(fixture!("scan-a-component.jpg")));
        check_quarters(&picture(fixture!("fine-chroma.jpg")));
    }

    #[test]
    fn a_webcams_picture_without_tables_is_read() {
        let mut bytes = fixture!("baseline.jpg").to_vec();
        while bytes.windows(2).any(|two| two == [0xff, 0xc4]) {
            let (start, end) = segment(&bytes, 0xc4);
            bytes.drain(start..end);
        }
        check_quarters(&picture(&bytes));
    }

    #[test]
    fn lossless_samples_come_out_as_they_are() {
        // ITU-T T.81, annex H: three grey samples, each the one to its left and a difference. One
        // bit means no difference, two bits one of seven bits: 0, then 10 and 100, then 0.
        let frame = [0xff, 0xc3, 0, 11, 8, 0, 1, 0, 3, 1, 1, 0x11, 0];
        let mut table = vec![0xff, 0xc4, 0, 21, 0, 1, 1];
        table.extend([0; 14]);
        table.extend([0, 7]);
        let scan = [0xff, 0xda, 0, 8, 1, 1, 0, 1, 0, 0, 0b0101_1001, 0b0001_1111];
        let file = [&[0xff, 0xd8], frame.as_slice(), &table, &scan, &[0xff, 0xd9]].concat();
        let samples: Vec<u8> = picture(&file).pixels().map(|pixel| pixel.0[0]).collect();
        assert_eq!(samples, [128, 228, 228]);
    }

    #[test]
    fn a_transform_without_a_meaning_is_the_usual_one() {
        let adobe = |transform: u8| {
            let content = [b"Adobe\0\x64\0\0\0\0".as_slice(), &[transform]].concat();
            [[0xff, 0xee, 0, 14].as_slice(), &content].concat()
        };
        let usual = picture(&with_segments(&[adobe(1)]));
        check_quarters(&usual);
        for transform in [3, 7, 255] {
            let many = vec![adobe(transform); 1000];
            assert_eq!(picture(&with_segments(&many)), usual, "{transform}");
        }
    }

    #[test]
    fn sound_files_that_cannot_be_read_are_not_called_damaged() {
        let said = |bytes: &[u8]| match refused(bytes) {
            DecodeError::Unsupported { reason, .. } => reason.to_string(),
            error => panic!("{error}"),
        };
        assert_eq!(said(fixture!("arithmetic.jpg")), "arithmetic coding");
        let (frame, _) = segment(fixture!("baseline.jpg"), 0xc0);
        let changed = |at: usize, bytes: &[u8]| {
            let mut jpeg = fixture!("baseline.jpg").to_vec();
            jpeg[frame + at..frame + at + bytes.len()].copy_from_slice(bytes);
            said(&jpeg)
        };
        assert_eq!(changed(1, &[0xc5]), "hierarchical coding");
        assert_eq!(changed(4, &[12]), "more than 8 bits per sample");
        assert_eq!(changed(5, &[0, 0]), "its height follows its data");
    }

    #[test]
    fn missing_data_is_noticed_though_the_end_is_there() {
        let whole = fixture!("baseline.jpg");
        let (_, data) = segment(whole, 0xda);
        let cuts = [data..whole.len() - 2, data + (whole.len() - data) / 2..whole.len() - 2];
        for cut in cuts {
            let mut bytes = whole.to_vec();
            bytes.drain(cut);
            let error = refused(&bytes);
            assert!(matches!(error, DecodeError::Damaged { .. }), "{error}");
        }
    }

    #[test]
    fn the_first_exif_that_says_so_turns() {
        let turned = |segments: &[Vec<u8>]| picture(&with_segments(segments)).dimensions();
        assert_eq!(turned(&[exif(6, 3)]), (16, 24));
        assert_eq!(turned(&[exif(6, 4)]), (16, 24));
        assert_eq!(turned(&[exif(6, 3), exif(1, 3)]), (16, 24));
        assert_eq!(turned(&[exif(0, 3), exif(6, 3)]), (16, 24));
        let packet = b"http://ns.adobe.com/xap/1.0/\0<x tiff:Orientation='6'/>";
        let length = u16::try_from(packet.len() + 2).unwrap();
        let xmp = [[0xff, 0xe1].as_slice(), &length.to_be_bytes(), packet].concat();
        assert_eq!(turned(std::slice::from_ref(&xmp)), (16, 24));
        assert_eq!(turned(&[xmp, exif(1, 3)]), (24, 16));
    }

    #[test]
    fn an_embedded_profile_is_applied() {
        let icc = moxcms::ColorProfile::new_adobe_rgb().encode().unwrap();
        let content = [b"ICC_PROFILE\0\x01\x01".as_slice(), &icc].concat();
        let length = u16::try_from(content.len() + 2).unwrap();
        let segment = [[0xff, 0xe2].as_slice(), &length.to_be_bytes(), &content].concat();
        let found = picture(&with_segments(&[segment])).get_pixel(20, 3).0;
        // Green of Adobe RGB lies outside sRGB, whose red ends at 0.
        assert!(found[0] < 8 && found[1].abs_diff(201) < 5, "{found:?}");
    }
}
