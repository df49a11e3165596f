/*!
The parts of a file before the flat picture, and the unpacking of its planes.
*/

use super::super::isobmff::{u16_at, u32_at};
use crate::image::DecodeError;
use crate::image::profile::Profile;

/// The format's name in messages.
pub(super) const NAME: &str = "PSD";

/// Returns the error of an inconsistent file.
pub(super) fn damaged(reason: &str) -> DecodeError {
    DecodeError::Damaged { format: NAME, reason: reason.into() }
}

/// The header, 26 bytes.
pub(super) struct Header {
    pub large: bool,
    pub planes: usize,
    pub width: u32,
    pub height: u32,
    pub depth: u16,
    pub mode: u16,
}

/// The meaning of the planes.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Model {
    Bitmap,
    Grey,
    Palette,
    Rgb,
    Cmyk,
    Inks,
    Lab,
}

impl Model {
    /// The planes of colour.
    pub fn planes(self) -> usize {
        match self {
            Self::Bitmap | Self::Grey | Self::Palette => 1,
            Self::Rgb | Self::Lab | Self::Inks => 3,
            Self::Cmyk => 4,
        }
    }
}

impl Header {
    pub fn read(bytes: &[u8]) -> Option<Self> {
        Some(Self {
            large: bytes.get(5) == Some(&2),
            planes: u16_at(bytes, 12)?.into(),
            height: u32_at(bytes, 14)?,
            width: u32_at(bytes, 18)?,
            depth: u16_at(bytes, 22)?,
            mode: u16_at(bytes, 24)?,
        })
    }

    pub fn model(&self) -> Result<Model, DecodeError> {
        let model = match self.mode {
            0 => Model::Bitmap,
            // 8: duotone, whose inks only its programs know; shown grey.
            1 | 8 => Model::Grey,
            2 => Model::Palette,
            3 => Model::Rgb,
            4 => Model::Cmyk,
            7 if self.planes < 3 => Model::Grey,
            7 => Model::Inks,
            9 => Model::Lab,
            mode => {
                let reason = format!("its colour mode {mode} is unknown").into();
                return Err(DecodeError::Unsupported { format: NAME, reason });
            }
        };
        if (model == Model::Bitmap) != (self.depth == 1) {
            return Err(damaged("its colour mode does not suit its bits"));
        }
        Ok(model)
    }

    /// The bytes of a row of one plane.
    pub fn row(&self) -> usize {
        (self.width as usize * usize::from(self.depth)).div_ceil(8)
    }

    /// Returns the first `used` planes, one behind the other.
    pub fn unpack(&self, mut rest: Rest, used: usize) -> Option<Vec<u8>> {
        const RAW: u64 = 0;
        const RUNS: u64 = 1;
        let (row, rows) = (self.row(), self.height as usize);
        let length = row.checked_mul(rows)?.checked_mul(used)?;
        match rest.number(2)? {
            RAW => Some(rest.take(length)?.to_vec()),
            RUNS => {
                let size = if self.large { 4 } else { 2 };
                let lengths = rest.take(self.planes * rows * size)?;
                // A row of a run of two bytes gives at most 128: nothing is allocated for a
                // promise that the file cannot keep.
                if length / 128 > rest.0.len().saturating_add(1 << 16) {
                    return None;
                }
                let mut planes = Vec::with_capacity(length);
                for length in lengths.chunks_exact(size).take(used * rows) {
                    let packed = rest.take(Rest(length).number(size)? as usize)?;
                    unpack_row(packed, row, &mut planes);
                }
                (planes.len() == length).then_some(planes)
            }
            // Deflate is for layers only.
            _ => None,
        }
    }
}

/// Undoes PackBits (TIFF 6.0, section 9) up to `length` bytes; what is missing is 0.
fn unpack_row(mut packed: &[u8], length: usize, to: &mut Vec<u8>) {
    let end = to.len() + length;
    while let Some((&control, rest)) = packed.split_first() {
        packed = rest;
        let free = end - to.len();
        match control {
            0..=127 => {
                let (run, rest) = packed.split_at((usize::from(control) + 1).min(packed.len()));
                to.extend_from_slice(&run[..run.len().min(free)]);
                packed = rest;
            }
            128 => {}
            129..=255 => {
                let Some((&value, rest)) = packed.split_first() else { break };
                to.resize(to.len() + (257 - usize::from(control)).min(free), value);
                packed = rest;
            }
        }
    }
    to.resize(end, 0);
}

/// The bytes that are not read yet.
pub(super) struct Rest<'a>(pub &'a [u8]);

impl<'a> Rest<'a> {
    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    fn number(&mut self, size: usize) -> Option<u64> {
        Some(self.take(size)?.iter().fold(0, |number, byte| number << 8 | u64::from(*byte)))
    }

    /// Returns a block behind its length of 32 or 64 bits.
    pub fn block(&mut self, wide: bool) -> Option<&'a [u8]> {
        let length = self.number(if wide { 8 } else { 4 })?;
        self.take(usize::try_from(length).ok()?)
    }
}

/// The image resources that are used.
pub(super) struct Resources {
    pub profile: Option<Profile>,
    /// The clear index of a palette.
    pub clear: Option<u16>,
    pub no_flat_picture: bool,
}

impl Resources {
    pub fn read(bytes: &[u8]) -> Self {
        let mut found = Self { profile: None, clear: None, no_flat_picture: false };
        let mut rest = Rest(bytes);
        // A broken resource ends the walk: none of them is needed to show the picture.
        while let Some((number, content)) = Self::next(&mut rest) {
            match number {
                1039 => found.profile = Some(Profile::Icc(content.to_vec())),
                1047 => found.clear = u16_at(content, 0),
                // Version information: the fifth byte says whether there is a flat picture.
                1057 => found.no_flat_picture = content.get(4) == Some(&0),
                _ => {}
            }
        }
        found
    }

    fn next<'a>(rest: &mut Rest<'a>) -> Option<(u64, &'a [u8])> {
        let _signature = rest.take(4)?;
        let number = rest.number(2)?;
        // A name with its length before it, padded to an even number of bytes, as the content is.
        let name = rest.number(1)? as usize;
        rest.take(name + (name + 1) % 2)?;
        let length = rest.number(4)? as usize;
        let content = rest.take(length)?;
        rest.take((length % 2).min(rest.0.len()))?;
        Some((number, content))
    }
}

/// Returns whether the first extra plane is the transparency of the flat picture: then the number
/// of layers is negative.
pub(super) fn has_alpha(layers: &[u8], large: bool) -> bool {
    let mut rest = Rest(layers);
    if let Some(info) = rest.block(large)
        && let Some(count) = u16_at(info, 0)
    {
        return count & 0x8000 != 0;
    }
    // Of 16 and 32 bits, the layers stand in a block of their own, behind the global mask.
    let mut extra = rest.block(false).map(|_| rest);
    while let Some(rest) = &mut extra {
        let Some(signature) = rest.take(4) else { break };
        let Some(key) = rest.take(4) else { break };
        let wide_key = matches!(key, b"Lr16" | b"Lr32" | b"Layr" | b"Mtrn");
        let long = large && (signature == b"8B64" || wide_key);
        let Some(content) = rest.block(long) else { break };
        match key {
            b"Lr16" | b"Lr32" | b"Layr" => {
                return u16_at(content, 0).is_some_and(|n| n & 0x8000 != 0);
            }
            b"Mt16" | b"Mt32" | b"Mtrn" => return true,
            _ => {}
        }
        // Padded to four bytes.
        rest.take((4 - content.len() % 4) % 4);
    }
    false
}
