/*!
HEIC and AVIF decoding with the system's libheif (feature `heic`).
*/

use ::image::RgbImage;
use libheif_rs::{ColorSpace, HeifContext, HeifError, LibHeif, RgbChroma};

use super::DecodeError;
use super::Limits;
use super::size::check_size;

/// The format's name in messages.
pub const NAME: &str = "HEIC";

/// Returns whether `bytes` is an ISO container of still images: `ftyp` with one of their
/// brands.
pub fn is_heic(bytes: &[u8]) -> bool {
    const BRANDS: [&[u8]; 9] =
        [b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1", b"avif"];
    bytes.get(4..8) == Some(b"ftyp")
        && bytes.get(8..12).is_some_and(|brand| BRANDS.contains(&brand))
}

/// Decodes the primary image to upright 8-bit RGB.
///
/// # Errors
/// If the library cannot read it, or it is larger than `limits` allows.
pub fn decode(bytes: &[u8], limits: &Limits) -> Result<RgbImage, DecodeError> {
    let failed = |error: HeifError| DecodeError::Damaged { format: NAME, reason: error.into() };
    let context = HeifContext::read_from_bytes(bytes).map_err(failed)?;
    let handle = context.primary_image_handle().map_err(failed)?;
    let (width, height) = (handle.width(), handle.height());
    check_size((width, height), limits)?;
    // libheif applies the file's rotation and mirroring; the RGB colour space drops
    // transparency.
    let image =
        LibHeif::new().decode(&handle, ColorSpace::Rgb(RgbChroma::Rgb), None).map_err(failed)?;
    let odd = || DecodeError::Damaged { format: NAME, reason: "it has no pixels".into() };
    let plane = image.planes().interleaved.ok_or_else(odd)?;
    let row = plane.width as usize * 3;
    let rows = plane.data.chunks(plane.stride.max(1)).take(plane.height as usize);
    let pixels: Vec<u8> = rows.flat_map(|bytes| &bytes[..row.min(bytes.len())]).copied().collect();
    RgbImage::from_raw(plane.width, plane.height, pixels).ok_or_else(odd)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 16 × 24 pixels in the file, rotated by its header.
    const TURNED: &[u8] = include_bytes!("../../tests/fixtures/rotated.heic");

    #[test]
    fn a_photo_comes_out_upright() {
        let picture = super::super::decode(TURNED, &Limits::default()).unwrap();
        assert_eq!(picture.dimensions(), (24, 16));
        // The same picture as in the other formats: red at the upper left, green to its right.
        let [left, right] = [6, 18].map(|x| picture.get_pixel(x, 4).0);
        assert!(left[0] > 180 && left[2] < 80, "{left:?}");
        assert!(right[1] > 150 && right[0] < 80, "{right:?}");
    }

    #[test]
    fn what_is_cut_or_too_large_is_refused() {
        let limits = Limits { max_pixels: 100 };
        let large = decode(TURNED, &limits).unwrap_err();
        assert!(matches!(large, DecodeError::TooManyPixels { limit: 100, .. }), "{large}");
        for length in (12..TURNED.len()).step_by(7) {
            assert!(decode(&TURNED[..length], &Limits::default()).is_err(), "{length} bytes");
        }
    }
}
