/*!
The expansion of a strip or tile to rows of samples.
*/

use std::io::{Cursor, Read};

use ::image::codecs::webp::WebPDecoder;
use ::image::{DynamicImage, ImageDecoder};

use super::directory::Directory;
use super::layout::Layout;
use super::lzw::Lzw;
use super::names::Compression;
use super::packbits::PackBits;
use super::refusal::{damaged, truncated, unsupported};
use super::{fax, jpeg, tags};
use crate::image::size::check_size;
use crate::image::{DecodeError, Limits};

/// The most bytes of JPEG tables: above what all tables need that a stream can have. They are
/// read once for each strip or tile.
const MAX_TABLES: usize = 8192;

/// An expanded strip or tile: rows of samples, read one after another.
pub struct Rows<'a> {
    pub data: Box<dyn Read + 'a>,
    /// The pixels in a row of `data`.
    pub width: usize,
}

/// The facts that all strips or tiles of a page share.
pub struct Expander<'a> {
    layout: &'a Layout,
    limits: &'a Limits,
    tables: Option<&'a [u8]>,
    /// Whether rows in CCITT Group 3 may refer to the row above.
    two_way: bool,
}

impl<'a> Expander<'a> {
    /// Reads the tags that an expansion needs.
    ///
    /// # Errors
    /// If their values lie behind the end of the file, or are absurd.
    pub fn new(
        page: &Directory<'a>,
        layout: &'a Layout,
        limits: &'a Limits,
    ) -> Result<Self, DecodeError> {
        let options = page.number(tags::T4_OPTIONS)?.unwrap_or(0);
        let tables = page.bytes(tags::JPEG_TABLES);
        if let Some(length) = tables.map(<[u8]>::len).filter(|length| *length > MAX_TABLES) {
            return Err(damaged(format!("its JPEG tables have {length} bytes")));
        }
        Ok(Self { layout, limits, tables, two_way: options & 1 == 1 })
    }

    /// Starts to expand a strip or tile of `height` rows.
    ///
    /// # Errors
    /// If its data are of an unusual kind, or damaged.
    pub fn rows<'d>(&self, data: &'d [u8], height: usize) -> Result<Rows<'d>, DecodeError> {
        let width = self.layout.chunk.0;
        let size = (width, height);
        let data: Box<dyn Read + 'd> = match self.layout.compression {
            Compression::None => Box::new(data),
            Compression::Lzw => Box::new(Lzw::new(data)),
            Compression::Deflate => Box::new(flate2::read::ZlibDecoder::new(data)),
            Compression::PackBits => Box::new(PackBits::new(data)),
            fax @ (Compression::FaxRows | Compression::Fax3 | Compression::Fax4) => {
                if self.layout.samples_together() != 1 {
                    return Err(unsupported("CCITT compression of several samples"));
                }
                let bits = fax::expand(data, fax, self.two_way, size);
                Box::new(Cursor::new(bits.ok_or_else(|| damaged("its CCITT data are invalid"))?))
            }
            Compression::Jpeg => return self.jpeg(data, size),
            // Its stream is not in strips: see `old_jpeg`.
            Compression::OldJpeg => return Err(damaged("its JPEG lies in parts")),
            Compression::WebP => return self.webp(data, size),
        };
        Ok(Rows { data, width })
    }

    fn jpeg(&self, data: &[u8], size: (usize, usize)) -> Result<Rows<'static>, DecodeError> {
        let stream = jpeg::with_tables(self.tables, data);
        let found = jpeg::components(&stream, self.limits)?;
        let wanted = self.layout.samples_together();
        if found.count != wanted {
            let count = found.count;
            return Err(damaged(format!("its JPEG has {count} components instead of {wanted}")));
        }
        self.as_rows(found.bytes, (found.width, found.height), size)
    }

    fn webp(&self, data: &[u8], size: (usize, usize)) -> Result<Rows<'static>, DecodeError> {
        let failed = |error| damaged(format!("the WebP stream inside: {error}"));
        let decoder = WebPDecoder::new(Cursor::new(data)).map_err(failed)?;
        check_size(decoder.dimensions(), self.limits)?;
        let picture = DynamicImage::from_decoder(decoder).map_err(failed)?;
        let found = (picture.width() as usize, picture.height() as usize);
        let bytes = match self.layout.samples_together() {
            3 => picture.into_rgb8().into_raw(),
            4 => picture.into_rgba8().into_raw(),
            count => return Err(unsupported(format!("WebP compression of {count} samples"))),
        };
        self.as_rows(bytes, found, size)
    }

    /// Takes the rows of a picture in place of a strip's or tile's. It may be larger, and as low
    /// as the part of the strip or tile that lies in the page.
    fn as_rows(
        &self,
        bytes: Vec<u8>,
        found: (usize, usize),
        size: (usize, usize),
    ) -> Result<Rows<'static>, DecodeError> {
        if found.0 < size.0.min(self.layout.width) || found.1 < size.1.min(self.layout.height) {
            let ((across, down), (x, y)) = (found, size);
            let reason = format!("its parts have {across} × {down} pixels instead of {x} × {y}");
            return Err(damaged(reason));
        }
        Ok(Rows { data: Box::new(Cursor::new(bytes)), width: found.0 })
    }
}

/// Reads `count` bytes into `row`. `cut` tells whether the file ends within the strip or tile.
///
/// # Errors
/// If the data end before, or are damaged.
pub fn fill(
    row: &mut Vec<u8>,
    data: &mut dyn Read,
    count: usize,
    cut: bool,
) -> Result<(), DecodeError> {
    row.clear();
    // The row grows with what is there, so that a false size costs no memory.
    let read = data.take(count as u64).read_to_end(row);
    match read {
        Ok(read) if read == count => Ok(()),
        _ if cut => Err(truncated()),
        Ok(_) => Err(damaged("the data end before their last row")),
        Err(error) => Err(damaged(format!("the compressed data are invalid: {error}"))),
    }
}
