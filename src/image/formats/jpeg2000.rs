/*!
JPEG 2000: JP2 files and raw codestreams.
*/

use ::image::metadata::Orientation;
use ::image::{DynamicImage, ImageBuffer};
use hayro_jpeg2000::{
    ColorSpace, ComponentData, DecodeError as Error, DecodeSettings, DecoderContext, FormatError,
    Image, MarkerError,
};

use super::isobmff::{find, u16_at, u32_at};
use super::lab::lab_to_srgb;
use crate::image::picture::Picture;
use crate::image::profile::Profile;
use crate::image::size::check_size;
use crate::image::{DecodeError, Limits};

const NAME: &str = "JPEG 2000";

/// Returns whether `bytes` start a JP2 file or a codestream.
pub(super) fn is_jpeg2000(bytes: &[u8]) -> bool {
    bytes.starts_with(b"\0\0\0\x0cjP  \r\n\x87\n") || bytes.starts_with(b"\xff\x4f\xff\x51")
}

/// Decodes the picture; of a file with many, the first.
///
/// Transparency is kept, with straight alpha. CMYK is converted without its profile. More than
/// eight bits become sixteen.
///
/// # Errors
/// If the picture has no pixels or more than `limits` allows, is cut off, is damaged, or has
/// colours of a kind that is not known.
pub(super) fn read(bytes: &[u8], limits: &Limits) -> Result<Picture, DecodeError> {
    let image = Image::new(bytes, &DecodeSettings::default()).map_err(failed)?;
    check_size((image.width(), image.height()), limits)?;
    // Blank pictures need a byte for some thousand pixels. The decoder takes 16 bytes a pixel.
    let pixels = u64::from(image.width()) * u64::from(image.height());
    if pixels > 1_000_000 + bytes.len() as u64 * 50_000 {
        let reason = "it announces more pixels than its bytes can hold".into();
        return Err(DecodeError::Damaged { format: NAME, reason });
    }
    // The decoder fills what is missing with grey.
    if !is_whole(bytes) {
        return Err(DecodeError::Truncated(NAME));
    }
    let mut context = DecoderContext::default();
    let decoded = image.decode(&mut context).map_err(failed)?;
    let size = (image.width(), image.height());
    let (model, profile) = model(image.color_space());
    let pixels = convert(decoded.components(), size, model)?;
    Ok(Picture { pixels, orientation: Orientation::NoTransforms, profile })
}

/// The meaning of the first components. One more component is alpha.
#[derive(Clone, Copy, PartialEq)]
enum Model {
    Grey,
    Rgb,
    Lab,
    Cmyk,
    Unknown,
}

fn model(space: &ColorSpace) -> (Model, Option<Profile>) {
    match space {
        ColorSpace::Gray => (Model::Grey, None),
        ColorSpace::RGB => (Model::Rgb, None),
        ColorSpace::CMYK => (Model::Cmyk, None),
        ColorSpace::Unknown { .. } => (Model::Unknown, None),
        // The colour space of the data stands in bytes 16 to 19 of an ICC profile.
        ColorSpace::Icc { profile, .. } => match profile.get(16..20) {
            Some(b"GRAY") => (Model::Grey, Some(Profile::Icc(profile.clone()))),
            Some(b"RGB ") => (Model::Rgb, Some(Profile::Icc(profile.clone()))),
            Some(b"Lab ") => (Model::Lab, None),
            Some(b"CMYK") => (Model::Cmyk, None),
            _ => (Model::Unknown, None),
        },
    }
}

fn convert(
    components: &[ComponentData],
    (width, height): (u32, u32),
    model: Model,
) -> Result<DynamicImage, DecodeError> {
    let damaged = |reason: &str| DecodeError::Damaged { format: NAME, reason: reason.into() };
    let colours = match model {
        Model::Grey => 1,
        Model::Rgb | Model::Lab => 3,
        Model::Cmyk => 4,
        Model::Unknown => {
            let reason = "its colours are of an unknown kind".into();
            return Err(DecodeError::Unsupported { format: NAME, reason });
        }
    };
    let alpha = components.len() > colours;
    let count = width as usize * height as usize;
    let planes = components.get(..colours + usize::from(alpha));
    let planes = planes.ok_or_else(|| damaged("a colour is missing"))?;
    if planes.iter().any(|plane| plane.samples().len() < count) {
        return Err(damaged("samples are missing"));
    }
    // Of 0 to 1, whatever the depth.
    let scales: Vec<f32> = planes
        .iter()
        .map(|plane| 1.0 / ((1_u64 << plane.bit_depth().min(32)) - 1).max(1) as f32)
        .collect();
    let pixel = |at: usize, channel: usize| -> f32 {
        let sample = planes.get(channel).and_then(|plane| plane.samples().get(at));
        sample.copied().unwrap_or_default() * scales.get(channel).copied().unwrap_or_default()
    };
    // Up to three colours and alpha.
    let channels = colours.min(3) + usize::from(alpha);
    let values = (0..count).flat_map(|at| {
        let read = |channel| pixel(at, channel).clamp(0.0, 1.0);
        let mut values = [read(0), read(1), read(2), read(colours)];
        match model {
            Model::Cmyk => {
                let light = 1.0 - read(3);
                (0..3).for_each(|ink| values[ink] = (1.0 - values[ink]) * light);
            }
            Model::Lab => {
                let [l, a, b, _] = values;
                let rgb = lab_to_srgb([l * 100.0, a * 255.0 - 128.0, b * 255.0 - 128.0]);
                values[..3].copy_from_slice(&rgb);
            }
            Model::Grey => values[1] = read(1),
            Model::Rgb | Model::Unknown => {}
        }
        values.into_iter().take(channels)
    });
    let deep = planes.iter().any(|plane| plane.bit_depth() > 8);
    let image = if deep {
        let data = values.map(|value| (value * 65535.0).round() as u16).collect();
        match channels {
            1 => ImageBuffer::from_raw(width, height, data).map(DynamicImage::ImageLuma16),
            2 => ImageBuffer::from_raw(width, height, data).map(DynamicImage::ImageLumaA16),
            3 => ImageBuffer::from_raw(width, height, data).map(DynamicImage::ImageRgb16),
            _ => ImageBuffer::from_raw(width, height, data).map(DynamicImage::ImageRgba16),
        }
    } else {
        let data = values.map(|value| (value * 255.0).round() as u8).collect();
        match channels {
            1 => ImageBuffer::from_raw(width, height, data).map(DynamicImage::ImageLuma8),
            2 => ImageBuffer::from_raw(width, height, data).map(DynamicImage::ImageLumaA8),
            3 => ImageBuffer::from_raw(width, height, data).map(DynamicImage::ImageRgb8),
            _ => ImageBuffer::from_raw(width, height, data).map(DynamicImage::ImageRgba8),
        }
    };
    image.ok_or_else(|| damaged("samples are missing"))
}

/// Returns whether every part of a tile that the codestream announces is there.
///
/// The walk follows ISO/IEC 15444-1, A.4: marker segments up to the first `SOT`, then from tile
/// part to tile part by the length that each states.
fn is_whole(bytes: &[u8]) -> bool {
    let stream = if bytes.starts_with(b"\xff\x4f") {
        bytes
    } else {
        find(bytes, b"jp2c").unwrap_or_default()
    };
    walk(stream).unwrap_or(false)
}

fn walk(stream: &[u8]) -> Option<bool> {
    const START_OF_TILE: u16 = 0xff90;
    const END: u16 = 0xffd9;
    let mut at = 2;
    loop {
        match u16_at(stream, at) {
            Some(START_OF_TILE) => {
                let length = u32_at(stream, at + 6)? as usize;
                // 0: up to the end of the codestream, so only its marker tells.
                if length == 0 {
                    return Some(stream.trim_ascii_end().ends_with(b"\xff\xd9"));
                }
                at = at.checked_add(length.max(12))?;
                if at > stream.len() {
                    return Some(false);
                }
                // Some files lack the end marker.
                if at == stream.len() {
                    return Some(true);
                }
            }
            Some(END) | None => return Some(u16_at(stream, at).is_some()),
            // Marker segments of the main header, or what an encoder wrote behind the last tile.
            Some(marker) if marker >> 8 == 0xff => at += 2 + usize::from(u16_at(stream, at + 2)?),
            Some(_) => return Some(true),
        }
    }
}

fn failed(error: Error) -> DecodeError {
    match error {
        Error::Format(FormatError::Unsupported) | Error::Marker(MarkerError::Unsupported) => {
            DecodeError::Unsupported { format: NAME, reason: error.to_string().into() }
        }
        error => DecodeError::Damaged { format: NAME, reason: error.to_string().into() },
    }
}
