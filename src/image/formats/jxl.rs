/*!
JPEG XL.
*/

use ::image::metadata::Orientation;
use ::image::{DynamicImage, ImageBuffer};
use bytemuck::cast_slice_mut;
use jxl::api::{
    AlphaMode, Endianness, Event, ExtraChannel, JxlBasicInfo, JxlBitDepth, JxlColorEncoding,
    JxlColorProfile, JxlColorType, JxlDataFormat, JxlDecoder, JxlDecoderOptions, JxlOutputBuffer,
    JxlPixelFormat, ProfileLevel,
};
use jxl::error::Error;

use crate::image::picture::Picture;
use crate::image::profile::Profile;
use crate::image::size::check_size;
use crate::image::{DecodeError, Limits};

const NAME: &str = "JPEG XL";

/// Returns whether `bytes` start a codestream, or a container of one.
pub(super) fn is_jxl(bytes: &[u8]) -> bool {
    bytes.starts_with(b"\xff\x0a") || bytes.starts_with(b"\0\0\0\x0cJXL \r\n\x87\n")
}

/// Decodes the first frame, upright.
///
/// Transparency is kept, with straight alpha. CMYK is converted without its profile.
///
/// # Errors
/// If the picture has no pixels or more than `limits` allows, is cut off, is damaged, or is more
/// complex than profile Main, level 10.
pub(super) fn read(bytes: &[u8], limits: &Limits) -> Result<Picture, DecodeError> {
    let mut options = JxlDecoderOptions::default();
    options.alpha_mode = AlphaMode::Unpremultiplied;
    options.max_profile_level = ProfileLevel::Main10;
    // Samples, not pixels: up to eight channels.
    options.sample_limit = usize::try_from(limits.max_pixels.saturating_mul(8)).ok();
    let mut decoder = JxlDecoder::new(options);
    let mut input = bytes;
    advance(&mut decoder, &mut input, None, |event| event == Event::BasicInfo)?;
    let info = decoder.basic_info().cloned().ok_or(DecodeError::Truncated(NAME))?;
    let side = |n| u32::try_from(n).unwrap_or(u32::MAX);
    check_size((side(info.size.0), side(info.size.1)), limits)?;
    let layout = Layout::of(&info, decoder.embedded_color_profile());
    decoder.set_pixel_format(layout.pixel_format(&info)).map_err(failed)?;
    let profile = match decoder.output_color_profile() {
        // Converted below, without its profile.
        _ if layout.kind == JxlColorType::Cmyk => None,
        Some(profile) if is_srgb(profile) => None,
        Some(profile) => profile.try_as_icc().map(|icc| Profile::Icc(icc.into_owned())),
        None => None,
    };
    let pixels = layout.decode(&mut decoder, input, info.size)?;
    // The decoder has turned the picture.
    Ok(Picture { pixels, orientation: Orientation::NoTransforms, profile })
}

/// Goes on until an event that `wanted` accepts.
fn advance(
    decoder: &mut JxlDecoder,
    input: &mut &[u8],
    mut buffers: Option<&mut [JxlOutputBuffer]>,
    wanted: impl Fn(Event) -> bool,
) -> Result<(), DecodeError> {
    loop {
        match decoder.process(input, buffers.as_deref_mut(), None).map_err(failed)? {
            event if wanted(event) => return Ok(()),
            // All bytes were given.
            Event::NeedMoreInput { .. } | Event::Complete => {
                return Err(DecodeError::Truncated(NAME));
            }
            _ => {}
        }
    }
}

/// The form in which the samples are asked for.
struct Layout {
    kind: JxlColorType,
    deep: bool,
}

impl Layout {
    fn of(info: &JxlBasicInfo, profile: Option<&JxlColorProfile>) -> Self {
        let has = |wanted| info.extra_channels.iter().any(|extra| extra.ec_type == wanted);
        let grey = profile.is_some_and(|profile| profile.channels() == 1);
        let kind = match (grey, has(ExtraChannel::Alpha)) {
            _ if has(ExtraChannel::Black) => JxlColorType::Cmyk,
            (true, false) => JxlColorType::Grayscale,
            (true, true) => JxlColorType::GrayscaleAlpha,
            (false, false) => JxlColorType::Rgb,
            (false, true) => JxlColorType::Rgba,
        };
        // Eight bits of linear light would show steps.
        let linear = !profile.is_some_and(is_srgb);
        let depth = match info.bit_depth {
            JxlBitDepth::Int { bits_per_sample } => bits_per_sample,
            JxlBitDepth::Float { .. } => 16,
        };
        Self { kind, deep: kind != JxlColorType::Cmyk && (linear || depth > 8) }
    }

    fn pixel_format(&self, info: &JxlBasicInfo) -> JxlPixelFormat {
        let format = if self.deep {
            JxlDataFormat::U16 { endianness: Endianness::native(), bit_depth: 16 }
        } else {
            JxlDataFormat::U8 { bit_depth: 8 }
        };
        JxlPixelFormat {
            color_type: self.kind,
            color_data_format: Some(format),
            extra_channel_format: vec![None; info.extra_channels.len()],
        }
    }

    fn decode(
        &self,
        decoder: &mut JxlDecoder,
        mut input: &[u8],
        (width, height): (usize, usize),
    ) -> Result<DynamicImage, DecodeError> {
        let samples = self.kind.samples_per_pixel();
        let mut fill = |bytes: &mut [u8], bytes_per_row| {
            let mut buffers = [JxlOutputBuffer::new(bytes, height, bytes_per_row)];
            let done = |event| matches!(event, Event::FrameComplete { .. });
            advance(decoder, &mut input, Some(&mut buffers), done)
        };
        let count = width * height * samples;
        let (width32, height32) = (width as u32, height as u32);
        let image = if self.deep {
            let mut data = vec![0_u16; count];
            fill(cast_slice_mut(&mut data), width * samples * 2)?;
            match self.kind {
                JxlColorType::Grayscale => {
                    ImageBuffer::from_raw(width32, height32, data).map(DynamicImage::ImageLuma16)
                }
                JxlColorType::GrayscaleAlpha => {
                    ImageBuffer::from_raw(width32, height32, data).map(DynamicImage::ImageLumaA16)
                }
                JxlColorType::Rgba => {
                    ImageBuffer::from_raw(width32, height32, data).map(DynamicImage::ImageRgba16)
                }
                _ => ImageBuffer::from_raw(width32, height32, data).map(DynamicImage::ImageRgb16),
            }
        } else {
            let mut data = vec![0; count];
            fill(&mut data, width * samples)?;
            match self.kind {
                JxlColorType::Grayscale => {
                    ImageBuffer::from_raw(width32, height32, data).map(DynamicImage::ImageLuma8)
                }
                JxlColorType::GrayscaleAlpha => {
                    ImageBuffer::from_raw(width32, height32, data).map(DynamicImage::ImageLumaA8)
                }
                JxlColorType::Rgba => {
                    ImageBuffer::from_raw(width32, height32, data).map(DynamicImage::ImageRgba8)
                }
                JxlColorType::Cmyk => ImageBuffer::from_raw(width32, height32, from_cmyk(&data))
                    .map(DynamicImage::ImageRgb8),
                _ => ImageBuffer::from_raw(width32, height32, data).map(DynamicImage::ImageRgb8),
            }
        };
        let odd = || DecodeError::Damaged { format: NAME, reason: "samples are missing".into() };
        image.ok_or_else(odd)
    }
}

/// Converts inks of JPEG XL, where 0 is full ink, to RGB: light that passes both inks.
fn from_cmyk(inks: &[u8]) -> Vec<u8> {
    let mix = |ink: u8, black: u8| ((u32::from(ink) * u32::from(black) + 127) / 255) as u8;
    let pixels = inks.as_chunks::<4>().0.iter();
    pixels.flat_map(|[c, m, y, k]| [mix(*c, *k), mix(*m, *k), mix(*y, *k)]).collect()
}

fn is_srgb(profile: &JxlColorProfile) -> bool {
    [false, true].iter().any(|grey| {
        profile.same_color_encoding(&JxlColorProfile::Simple(JxlColorEncoding::srgb(*grey)))
    })
}

fn failed(error: Error) -> DecodeError {
    match error {
        Error::OutOfBounds(_) | Error::SectionTooShort => DecodeError::Truncated(NAME),
        // More splines, patches or samples than the profile allows.
        Error::LevelLimitExceeded { .. } => {
            DecodeError::Unsupported { format: NAME, reason: error.into() }
        }
        error => DecodeError::Damaged { format: NAME, reason: error.into() },
    }
}
