/*!
PNG images, with what their chunks say of orientation and colours.
*/

use std::io::Read;

use ::image::ImageFormat;
use ::image::metadata::Orientation;
use flate2::read::ZlibDecoder;

use super::{orientation, plain};
use crate::image::picture::Picture;
use crate::image::profile::Profile;
use crate::image::{DecodeError, Limits};

/// Maximum length of unpacked text, in bytes. A block of EXIF has at most 64 KiB.
const MAX_TEXT: u64 = 1 << 20;

/// The name under which ImageMagick keeps EXIF.
const RAW_EXIF: &[&[u8]] = &[b"Raw profile type exif", b"Raw profile type APP1"];

/// The keyword of a packet of XMP.
const XMP: &[u8] = b"XML:com.adobe.xmp";

/// Returns whether a file begins as a PNG does.
pub(super) fn is_png(bytes: &[u8]) -> bool {
    bytes.starts_with(b"\x89PNG\r\n\x1a\n")
}

/// Reads a PNG image; of an animation its default image, which the file shows where animations are
/// unknown.
///
/// # Errors
/// If the image is cut off, damaged, or larger than `limits` allow.
pub(super) fn read(bytes: &[u8], limits: &Limits) -> Result<Picture, DecodeError> {
    if chunks(bytes).next().is_some_and(|(kind, _)| kind == b"CgBI") {
        let reason = "the form that Apple's tools write into apps".into();
        return Err(DecodeError::Unsupported { format: "PNG", reason });
    }
    let decoded = plain::decode(bytes, ImageFormat::Png, "PNG", limits)?;
    let said = Said::by(chunks(bytes));
    let cicp = said.cicp.map(|(primaries, transfer)| Profile::Cicp { primaries, transfer });
    let icc = decoded.profile.map(Profile::Icc);
    // In the order of precedence of the standard: PNG, third edition, section 4.3. A gamma alone
    // counts for nothing: too many programs wrote a wrong one.
    let profile = cicp.or(icc);
    let orientation = said.exif.or(said.xmp).unwrap_or(Orientation::NoTransforms);
    Ok(Picture { pixels: decoded.pixels, orientation, profile })
}

/// The facts in the chunks of a file.
#[derive(Debug, Default)]
struct Said {
    exif: Option<Orientation>,
    xmp: Option<Orientation>,
    cicp: Option<(u8, u8)>,
}

impl Said {
    fn by<'a>(chunks: impl Iterator<Item = (&'a [u8], &'a [u8])>) -> Self {
        let mut said = Self::default();
        for (kind, content) in chunks {
            match kind {
                b"eXIf" => said.exif = said.exif.or_else(|| orientation::from_exif(content)),
                b"tEXt" | b"zTXt" | b"iTXt" => said.text(kind, content),
                b"cICP" => said.cicp = content.first().copied().zip(content.get(1).copied()),
                _ => {}
            }
        }
        said
    }

    fn text(&mut self, kind: &[u8], content: &[u8]) {
        let Some(end) = content.iter().position(|byte| *byte == 0) else { return };
        let (keyword, rest) = (&content[..end], &content[end + 1..]);
        if RAW_EXIF.contains(&keyword) {
            let text = text(kind, rest).unwrap_or_default();
            let exif = raw_profile(&text).and_then(|exif| orientation::from_exif(&exif));
            self.exif = self.exif.or(exif);
        } else if keyword == XMP {
            let packet = text(kind, rest).unwrap_or_default();
            self.xmp = self.xmp.or_else(|| orientation::from_xmp(&packet));
        }
    }
}

/// Returns the text of a chunk behind its keyword, unpacked.
fn text(kind: &[u8], rest: &[u8]) -> Option<Vec<u8>> {
    let (packed, text) = match (kind, rest) {
        (b"tEXt", text) => (false, text),
        (b"zTXt", [0, text @ ..]) => (true, text),
        // A flag, a method, a language and a translated keyword.
        (b"iTXt", [packed, _, rest @ ..]) => {
            let mut parts = rest.splitn(3, |byte| *byte == 0);
            (*packed == 1, parts.nth(2)?)
        }
        _ => return None,
    };
    if !packed {
        return Some(text.to_vec());
    }
    let mut unpacked = Vec::new();
    ZlibDecoder::new(text).take(MAX_TEXT).read_to_end(&mut unpacked).ok()?;
    Some(unpacked)
}

/// Returns the bytes of ImageMagick's form: a name, a length, and digits in base 16 in lines.
fn raw_profile(text: &[u8]) -> Option<Vec<u8>> {
    let mut lines = text.trim_ascii_start().splitn(3, |byte| *byte == b'\n');
    let digits = lines.nth(2)?;
    let values: Option<Vec<u8>> = digits
        .iter()
        .filter(|byte| !byte.is_ascii_whitespace())
        .map(|byte| char::from(*byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok()))
        .collect();
    Some(values?.chunks_exact(2).map(|pair| pair[0] << 4 | pair[1]).collect())
}

/// Returns the chunks of a file: their kinds and their contents, as far as they are whole.
fn chunks(bytes: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    let mut at = 8;
    std::iter::from_fn(move || {
        let length: [u8; 4] = bytes.get(at..at + 4)?.try_into().ok()?;
        let length = usize::try_from(u32::from_be_bytes(length)).ok()?;
        let kind = bytes.get(at + 4..at + 8)?;
        let content = bytes.get(at + 8..(at + 8).checked_add(length)?)?;
        // Four bytes of checksum.
        at += 12 + length;
        Some((kind, content))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use ::image::{DynamicImage, Rgb, RgbImage};
    use proptest::prelude::*;
    use std::io::{Cursor, Write};

    /// A block of EXIF that turns by 90 degrees.
    const EXIF: &[u8] = b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0";

    fn chunk(kind: &[u8; 4], content: &[u8]) -> Vec<u8> {
        let mut crc = flate2::Crc::new();
        crc.update(kind);
        crc.update(content);
        let length = u32::try_from(content.len()).unwrap();
        [&length.to_be_bytes(), kind.as_slice(), content, &crc.sum().to_be_bytes()].concat()
    }

    fn zlib(content: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), Default::default());
        encoder.write_all(content).unwrap();
        encoder.finish().unwrap()
    }

    /// A PNG of 3 × 2 pixels with chunks before and after its data.
    fn png(before: &[u8], after: &[u8]) -> Vec<u8> {
        let mut bytes = Cursor::new(Vec::new());
        let image = RgbImage::from_pixel(3, 2, Rgb([55, 55, 55]));
        DynamicImage::from(image).write_to(&mut bytes, ImageFormat::Png).unwrap();
        let bytes = bytes.into_inner();
        let (head, rest) = bytes.split_at(33);
        let (data, end) = rest.split_at(rest.len() - 12);
        [head, before, data, after, end].concat()
    }

    fn turned(bytes: &[u8]) -> bool {
        let picture = read(bytes, &Limits::default()).unwrap().upright_srgb();
        picture.dimensions() == (2, 3)
    }

    #[test]
    fn every_carrier_of_the_orientation_is_heard() {
        assert!(!turned(&png(&[], &[])));
        assert!(turned(&png(&chunk(b"eXIf", EXIF), &[])));
        assert!(turned(&png(&[], &chunk(b"eXIf", EXIF))));
        let prefixed = [b"Exif\0\0", EXIF].concat();
        assert!(turned(&png(&chunk(b"eXIf", &prefixed), &[])));
        let digits: String = prefixed.iter().map(|byte| format!("{byte:02x}")).collect();
        let (first, second) = digits.split_at(24);
        let raw = format!("\nexif\n{:8}\n{first}\n{second}\n", prefixed.len());
        let packed = [b"Raw profile type exif\0\0".as_slice(), &zlib(raw.as_bytes())].concat();
        assert!(turned(&png(&chunk(b"zTXt", &packed), &[])));
        let plain = [b"Raw profile type exif\0".as_slice(), raw.as_bytes()].concat();
        assert!(turned(&png(&[], &chunk(b"tEXt", &plain))));
        let xmp = b"<x tiff:Orientation='6'/>";
        let text = [b"XML:com.adobe.xmp\0\0\0\0\0".as_slice(), xmp].concat();
        assert!(turned(&png(&chunk(b"iTXt", &text), &[])));
        let text = [b"XML:com.adobe.xmp\0\x01\0\0\0".as_slice(), &zlib(xmp)].concat();
        assert!(turned(&png(&[], &chunk(b"iTXt", &text))));
    }

    #[test]
    fn exif_goes_before_xmp() {
        let text = b"XML:com.adobe.xmp\0\0\0\0\0<x tiff:Orientation='1'/>";
        assert!(turned(&png(&chunk(b"iTXt", text), &chunk(b"eXIf", EXIF))));
    }

    #[test]
    fn code_points_go_before_an_icc_profile() {
        let icc = moxcms::ColorProfile::new_adobe_rgb().encode().unwrap();
        let icc = chunk(b"iCCP", &[b"name\0\0".as_slice(), &zlib(&icc)].concat());
        let profile = |before: &[u8]| read(&png(before, &[]), &Limits::default()).unwrap().profile;
        assert!(matches!(profile(&icc), Some(Profile::Icc(_))));
        let both = [icc, chunk(b"cICP", &[12, 13, 0, 1])].concat();
        assert_eq!(profile(&both), Some(Profile::Cicp { primaries: 12, transfer: 13 }));
    }

    #[test]
    fn what_apple_changes_is_named() {
        let usual = png(&[], &[]);
        let (start, rest) = usual.split_at(8);
        let changed = [start, &chunk(b"CgBI", &[0x50, 0, 0x20, 2]), rest].concat();
        let error = read(&changed, &Limits::default()).err().unwrap();
        assert!(matches!(error, DecodeError::Unsupported { .. }), "{error}");
    }

    proptest! {
        #[test]
        fn any_chunks_get_an_answer(kind in 0usize..4, content: Vec<u8>) {
            let kind = [b"tEXt", b"zTXt", b"iTXt", b"cICP"][kind];
            Said::by([(kind.as_slice(), content.as_slice())].into_iter());
            Said::by(chunks(&content));
            for name in [RAW_EXIF[0], XMP] {
                let named = [name, &[0], &content].concat();
                Said::by([(kind.as_slice(), named.as_slice())].into_iter());
            }
        }
    }
}
