/*!
JPEG streams inside TIFF: their components as they are, without a conversion of colours.
*/

use zune_jpeg::JpegDecoder;
use zune_jpeg::errors::DecodeErrors;
use zune_jpeg::zune_core::bytestream::ZCursor;
use zune_jpeg::zune_core::colorspace::ColorSpace;
use zune_jpeg::zune_core::options::DecoderOptions;

use super::super::jpeg;
use super::refusal::{damaged, unsupported};
use crate::image::size::check_size;
use crate::image::{DecodeError, Limits};

/// The components of a JPEG stream, interleaved.
pub struct Components {
    pub bytes: Vec<u8>,
    pub width: usize,
    pub height: usize,
    pub count: usize,
    /// The meaning of three of them, by the stream itself: YCbCr, else RGB.
    pub ycbcr: bool,
}

/// Returns a stream with the tables that several streams share in front of it.
pub fn with_tables(tables: Option<&[u8]>, stream: &[u8]) -> Vec<u8> {
    // Both have a start mark, and the tables an end mark.
    let start = b"\xff\xd8";
    let tables = tables.and_then(|tables| tables.strip_prefix(start)).unwrap_or_default();
    let tables = tables.strip_suffix(b"\xff\xd9").unwrap_or(tables);
    [start, tables, stream.strip_prefix(start).unwrap_or(stream)].concat()
}

/// Decodes a JPEG stream. Chroma of lower resolution is brought to that of the picture.
///
/// # Errors
/// If the stream is larger than `limits` allows, of an unusual kind, cut or damaged.
pub fn components(stream: &[u8], limits: &Limits) -> Result<Components, DecodeError> {
    if !jpeg::is_whole(stream) {
        return Err(damaged("the JPEG stream inside has no end"));
    }
    let most = usize::from(u16::MAX);
    // Otherwise the part behind damage would be grey, and half a picture be taken for a whole one.
    let options =
        DecoderOptions::default().set_strict_mode(true).set_max_width(most).set_max_height(most);
    let mut decoder = JpegDecoder::new_with_options(ZCursor::new(stream), options);
    decoder.decode_headers().map_err(refused)?;
    let (size, colours) = (decoder.dimensions(), decoder.input_colorspace());
    let ((width, height), Some(colours)) = (size.unwrap_or_default(), colours) else {
        return Err(damaged("the JPEG stream inside has no header"));
    };
    check_size((width as u32, height as u32), limits)?;
    decoder.set_options(options.jpeg_set_out_colorspace(colours));
    let bytes = decoder.decode().map_err(refused)?;
    Ok(Components {
        bytes,
        width,
        height,
        count: colours.num_components(),
        ycbcr: colours == ColorSpace::YCbCr,
    })
}

fn refused(error: DecodeErrors) -> DecodeError {
    match error {
        DecodeErrors::Unsupported(kind) => unsupported(format!("JPEG inside: {kind:?}")),
        DecodeErrors::ZeroError => unsupported("JPEG inside without a height"),
        error => damaged(format!("the JPEG stream inside: {error:?}")),
    }
}
