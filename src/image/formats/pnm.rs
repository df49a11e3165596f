/*!
PNM and PAM: the plain formats of Netpbm.
*/

use ::image::ImageFormat;

use super::plain;
use crate::image::picture::Picture;
use crate::image::{DecodeError, Limits};

/// Returns whether a file begins as one of the seven kinds of PNM does.
pub(super) fn is_pnm(bytes: &[u8]) -> bool {
    matches!(bytes, [b'P', b'1'..=b'7', next, ..] if next.is_ascii_whitespace() || *next == b'#')
}

/// Reads the first image of a file.
///
/// # Errors
/// If the image is cut off, damaged, or larger than `limits` allow.
pub(super) fn read(bytes: &[u8], limits: &Limits) -> Result<Picture, DecodeError> {
    Ok(Picture::plain(plain::decode(bytes, ImageFormat::Pnm, "PNM", limits)?.pixels))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grey_colour_and_bits_are_read() {
        let colours = |bytes: &[u8]| {
            assert!(is_pnm(bytes));
            let picture = read(bytes, &Limits::default()).unwrap().upright_srgb();
            [0, 1].map(|x| picture.get_pixel(x, 0).0)
        };
        assert_eq!(colours(b"P5 2 1 255 \x07\xf0"), [[7; 3], [240; 3]]);
        assert_eq!(colours(b"P6\n# a comment\n2 1\n255\n\x01\x02\x03\x04\x05\x06")[1], [4, 5, 6]);
        assert_eq!(colours(b"P1\n2 1\n1 0\n"), [[0; 3], [255; 3]]);
        assert!(!is_pnm(b"P9 2 1 255") && !is_pnm(b"PDF"));
    }
}
