/*!
HEIC: the photos of iPhones and of many cameras, stored as HEVC stills in an ISO container.
*/

use ::image::metadata::Orientation;
use ::image::{DynamicImage, ImageBuffer, Pixel, Rgb, Rgba};
use heic_decoder::{ColorInfo, DecodedImage, HeifError, RgbOptions};

use super::isobmff::{Boxes, brands, find, is_cut, u32_at};
use super::straight::{straighten_8, straighten_16};
use crate::image::picture::Picture;
use crate::image::profile::Profile;
use crate::image::size::check_size;
use crate::image::{DecodeError, Limits};

const NAME: &str = "HEIC";

/// Returns whether `bytes` is an ISO container with a brand of still images other than AVIF's.
pub(super) fn is_heic(bytes: &[u8]) -> bool {
    const BRANDS: [&[u8]; 10] =
        [b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"msf1"];
    brands(bytes).any(|brand| BRANDS.contains(&brand))
}

/// Decodes the primary picture; of a sequence of pictures only, the first.
///
/// The turn, the mirror and the crop that the container states are applied. The orientation in
/// EXIF repeats the turn, so it is not read. Transparency is kept, with straight alpha. Depth
/// maps and gain maps are left out.
///
/// # Errors
/// If the picture has no pixels or more than `limits` allows, is cut off, is damaged, or uses a
/// part of HEVC that still pictures seldom use.
pub(super) fn read(bytes: &[u8], limits: &Limits) -> Result<Picture, DecodeError> {
    if is_cut(bytes) {
        return Err(DecodeError::Truncated(NAME));
    }
    let filled = with_properties_filled(bytes);
    let bytes = filled.as_deref().unwrap_or(bytes);
    let info = heic_decoder::probe(bytes).map_err(failed)?;
    check_size(size(info.coded_width, info.coded_height), limits)?;
    check_size(size(info.width, info.height), limits)?;
    let mut image = heic_decoder::decode(bytes).map_err(failed)?;
    let profile = profile(&mut image);
    let pixels = pixels(image)?;
    check_size((pixels.width(), pixels.height()), limits)?;
    Ok(Picture { pixels, orientation: Orientation::NoTransforms, profile })
}

/// Returns a copy in which a property's index of 0, which means none, is that of a harmless
/// property instead; `None` if there is no such index, or the description is inconsistent.
///
/// Some phones (HMD) write 0; the decoder refuses it. The walk follows ISO/IEC 14496-12, 8.11.14.
fn with_properties_filled(bytes: &[u8]) -> Option<Vec<u8>> {
    let iprp = find(find(bytes, b"meta")?.get(4..)?, b"iprp")?;
    // The size of a picture: the decoder takes it from the stream.
    let harmless = Boxes(find(iprp, b"ipco")?).position(|found| found.kind == *b"ispe")? + 1;
    let harmless = u8::try_from(harmless).ok().filter(|index| *index < 128)?;
    let ipma = find(iprp, b"ipma")?;
    let (wide_item, wide) = (*ipma.first()? > 0, ipma.get(3)? & 1 == 1);
    let start = ipma.as_ptr() as usize - bytes.as_ptr() as usize;
    let (mut at, mut copy) = (8, None);
    for _ in 0..u32_at(ipma, 4)? {
        at += if wide_item { 4 } else { 2 };
        let count = *ipma.get(at)?;
        at += 1;
        for _ in 0..count {
            // The first bit is not of the index.
            let last = at + usize::from(wide);
            let empty =
                ipma.get(at)? & 0x7f == 0 && *ipma.get(last)? & if wide { 0xff } else { 0x7f } == 0;
            if empty {
                let copy = copy.get_or_insert_with(|| bytes.to_vec());
                *copy.get_mut(start + last)? |= harmless;
            }
            at = last + 1;
        }
    }
    copy
}

fn size(width: usize, height: usize) -> (u32, u32) {
    let side = |n| u32::try_from(n).unwrap_or(u32::MAX);
    (side(width), side(height))
}

fn profile(image: &mut DecodedImage) -> Option<Profile> {
    if let Some(bytes) = image.metadata.icc_profile.take() {
        return Some(Profile::Icc(bytes));
    }
    let info = image.color_info?;
    let primaries = u8::try_from(info.color_primaries).ok()?;
    let transfer = u8::try_from(info.transfer_characteristics).ok()?;
    Some(Profile::Cicp { primaries, transfer })
}

/// The meaning of samples where a file says nothing: sRGB, BT.601, limited range, as libheif takes
/// them.
const UNSAID: ColorInfo = ColorInfo {
    color_primaries: 1,
    transfer_characteristics: 13,
    matrix_coefficients: 6,
    full_range: false,
};

fn pixels(image: DecodedImage) -> Result<DynamicImage, DecodeError> {
    let mut color = image.color_info.unwrap_or(UNSAID);
    // 2 says that nothing is said; the decoder takes BT.709 for it.
    if color.matrix_coefficients == 2 {
        color.matrix_coefficients = UNSAID.matrix_coefficients;
    }
    let options = RgbOptions { color: Some(color), ..RgbOptions::default() };
    let (width, height) = size(image.width, image.height);
    let deep = image.bit_depth_luma > 8;
    match (image.alpha.is_some(), deep) {
        (false, false) => {
            let rgb = image.to_rgb8_with_options(&options).map_err(failed)?.data;
            buffer::<Rgb<u8>>(width, height, rgb).map(Into::into)
        }
        (false, true) => {
            let rgb = image.to_rgb16_with_options(&options).map_err(failed)?.data;
            buffer::<Rgb<u16>>(width, height, rgb).map(Into::into)
        }
        (true, false) => {
            let rgba = image.to_rgba8_with_options(&options).map_err(failed)?;
            let mut buffer = buffer::<Rgba<u8>>(width, height, rgba.data)?;
            if rgba.premultiplied {
                straighten_8(&mut buffer);
            }
            Ok(buffer.into())
        }
        (true, true) => {
            let rgba = image.to_rgba16_with_options(&options).map_err(failed)?;
            let mut buffer = buffer::<Rgba<u16>>(width, height, rgba.data)?;
            if rgba.premultiplied {
                straighten_16(&mut buffer);
            }
            Ok(buffer.into())
        }
    }
}

fn buffer<P: Pixel>(
    width: u32,
    height: u32,
    data: Vec<P::Subpixel>,
) -> Result<ImageBuffer<P, Vec<P::Subpixel>>, DecodeError> {
    let odd = || DecodeError::Damaged { format: NAME, reason: "samples are missing".into() };
    ImageBuffer::from_raw(width, height, data).ok_or_else(odd)
}

fn failed(error: HeifError) -> DecodeError {
    match error {
        HeifError::Truncated { .. } => DecodeError::Truncated(NAME),
        HeifError::Unsupported(_) | HeifError::LimitExceeded(_) => {
            DecodeError::Unsupported { format: NAME, reason: error.into() }
        }
        error => DecodeError::Damaged { format: NAME, reason: error.into() },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 16 × 24 pixels in the file, rotated by its header.
    const TURNED: &[u8] = include_bytes!("../../../tests/fixtures/rotated.heic");

    #[test]
    fn a_photo_comes_out_upright() {
        let picture = crate::image::decode(TURNED, &Limits::default()).unwrap();
        assert_eq!(picture.dimensions(), (24, 16));
        // The same picture as in the other formats: red at the upper left, green to its right.
        let [left, right] = [6, 18].map(|x| picture.get_pixel(x, 4).0);
        assert!(left[0] > 180 && left[2] < 80, "{left:?}");
        assert!(right[1] > 150 && right[0] < 80, "{right:?}");
    }

    #[test]
    fn a_matrix_that_is_not_said_is_that_of_bt_601() {
        let nclx = TURNED.windows(4).position(|four| four == b"nclx").unwrap();
        let with_matrix = |number: u8| {
            let mut bytes = TURNED.to_vec();
            // Behind the kind: primaries, transfer, and the matrix in two bytes each.
            bytes[nclx + 9] = number;
            read(&bytes, &Limits::default()).unwrap().upright_srgb()
        };
        assert_eq!(with_matrix(2), with_matrix(6));
        assert_ne!(with_matrix(2), with_matrix(1));
    }

    #[test]
    fn a_property_of_index_0_is_none() {
        let kind = TURNED.windows(4).position(|four| four == b"ipma").unwrap();
        // Version and flags, the number of items, and the first item's number and count.
        let first = kind + 4 + 8 + 3;
        assert!(with_properties_filled(TURNED).is_none());
        let plain = crate::image::decode(TURNED, &Limits::default()).unwrap();
        let mut emptied = TURNED.to_vec();
        // The properties of the fixture's picture that say nothing about its samples.
        let count = usize::from(emptied[first - 1]);
        let spare = (first..first + count).find(|at| {
            let mut tried = TURNED.to_vec();
            tried[*at] &= 0x80;
            let read = crate::image::decode(&tried, &Limits::default());
            read.is_ok_and(|read| read == plain)
        });
        emptied[spare.unwrap()] &= 0x80;
        assert!(with_properties_filled(&emptied).is_some());
    }

    #[test]
    fn what_is_cut_or_too_large_is_refused() {
        let limits = Limits { max_pixels: 100 };
        let large = read(TURNED, &limits).err().unwrap();
        assert!(matches!(large, DecodeError::TooManyPixels { limit: 100, .. }), "{large}");
        for length in 28..TURNED.len() - 1 {
            let error = read(&TURNED[..length], &Limits::default()).err().unwrap();
            assert!(matches!(error, DecodeError::Truncated(_)), "{error} at {length}");
        }
    }
}
