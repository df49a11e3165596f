/*!
The CCITT compressions of black and white pages: Group 3, Group 4 and plain Huffman codes.
*/

use hayro_ccitt::{DecodeSettings, Decoder, DecoderContext, EncodingMode};

use super::names::Compression;

/// Expands a strip or tile of `width` × `height` pixels to a bit each, the first the highest of
/// its byte; 1 is black. Rows start at full bytes. `two_way` tells whether rows of Group 3 may
/// refer to the row above. Returns `None` if the data end early, or are inconsistent and nothing
/// helps on.
///
/// An end mark before the last row leaves the rest white, as writers mean it.
pub fn expand(
    data: &[u8],
    compression: Compression,
    two_way: bool,
    (width, height): (usize, usize),
) -> Option<Vec<u8>> {
    let settings = DecodeSettings {
        columns: u32::try_from(width).ok()?,
        rows: u32::try_from(height).ok()?,
        end_of_block: compression != Compression::FaxRows,
        end_of_line: false,
        rows_are_byte_aligned: compression == Compression::FaxRows,
        encoding: match compression {
            Compression::Fax4 => EncodingMode::Group4,
            Compression::Fax3 if two_way => EncodingMode::Group3_2D,
            _ => EncodingMode::Group3_1D,
        },
        strict: false,
    };
    let mut rows = Rows { bits: Vec::new(), row: width.div_ceil(8), width: settings.columns };
    let whole = width.div_ceil(8).checked_mul(height)?;
    let ended = hayro_ccitt::decode(data, &mut rows, &mut DecoderContext::new(settings));
    // The last row of a fax is often cut.
    if ended.is_err() && rows.bits.len() + rows.row < whole {
        return None;
    }
    rows.bits.resize(whole, 0);
    Some(rows.bits)
}

/// The rows so far.
struct Rows {
    bits: Vec<u8>,
    /// The bytes of a row.
    row: usize,
    /// The pixels of a row.
    width: u32,
}

impl Decoder for Rows {
    fn push_row(&mut self, changes: &[u32]) {
        let start = self.bits.len();
        self.bits.resize(start + self.row, 0);
        let row = self.bits.get_mut(start..).unwrap_or_default();
        for black in changes.chunks(2) {
            let from = black.first().copied().unwrap_or(self.width);
            blacken(row, from, black.get(1).copied().unwrap_or(self.width));
        }
    }
}

/// Sets the bits `from` to below `to`.
fn blacken(row: &mut [u8], from: u32, to: u32) {
    for (byte, start) in row.iter_mut().zip((0u32..).step_by(8)).skip(from as usize / 8) {
        if start >= to {
            break;
        }
        let left = 0xff_u32 >> from.saturating_sub(start);
        let right = 0xff00_u32 >> (to - start).min(8);
        *byte |= (left & right) as u8;
    }
}
