/*!
Decoding by the `image` crate, for the formats whose readers it has.
*/

use std::io::{Cursor, ErrorKind};

use ::image::{DynamicImage, ImageDecoder, ImageError, ImageFormat, ImageReader};

use crate::image::size::check_size;
use crate::image::{DecodeError, Limits};

/// The pixels of an image and what its file says of them.
pub(super) struct Decoded {
    /// The samples, as the file holds them.
    pub pixels: DynamicImage,
    /// The ICC profile.
    pub profile: Option<Vec<u8>>,
    /// A block of EXIF.
    pub exif: Option<Vec<u8>>,
    /// A packet of XMP.
    pub xmp: Option<Vec<u8>>,
}

/// Decodes an image of a known format, which messages call `name`.
///
/// # Errors
/// If the content is damaged, cut off, larger than `limits` allow or of a kind that the decoder
/// does not know.
pub(super) fn decode(
    bytes: &[u8],
    format: ImageFormat,
    name: &'static str,
    limits: &Limits,
) -> Result<Decoded, DecodeError> {
    let failed = |error| explain(name, error);
    let mut reader = ImageReader::with_format(Cursor::new(bytes), format);
    reader.limits(memory(limits));
    let mut decoder = reader.into_decoder().map_err(failed)?;
    check_size(decoder.dimensions(), limits)?;
    // Broken metadata must not make the image unreadable.
    let profile = decoder.icc_profile().unwrap_or_default();
    let exif = decoder.exif_metadata().unwrap_or_default();
    let xmp = decoder.xmp_metadata().unwrap_or_default();
    let pixels = DynamicImage::from_decoder(decoder).map_err(failed)?;
    Ok(Decoded { pixels, profile, exif, xmp })
}

/// The decoder's memory limit: 16-bit RGBA for every pixel, plus 64 MiB for metadata.
fn memory(limits: &Limits) -> ::image::Limits {
    let mut memory = ::image::Limits::no_limits();
    memory.max_alloc = Some(limits.max_pixels.saturating_mul(8).saturating_add(64 << 20));
    memory
}

fn explain(format: &'static str, error: ImageError) -> DecodeError {
    match error {
        ImageError::IoError(e) if e.kind() == ErrorKind::UnexpectedEof => {
            DecodeError::Truncated(format)
        }
        // Some decoders report truncation only in the message.
        error if error.to_string().to_lowercase().contains("end of file") => {
            DecodeError::Truncated(format)
        }
        ImageError::Unsupported(_) => DecodeError::Unsupported { format, reason: error.into() },
        error => DecodeError::Damaged { format, reason: error.into() },
    }
}
