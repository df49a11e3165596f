/*!
What a page's tags say of its samples, and of the strips or tiles that hold them.
*/

use super::directory::Directory;
use super::kinds::{Kind, MAX_SAMPLES, bits, guess, kind, predictor, shared};
use super::names::{Colours, Compression};
use super::predictor::Predictor;
use super::refusal::{damaged, unsupported};
use super::tags;
use super::ycbcr::block_row;
use crate::image::size::check_size;
use crate::image::{DecodeError, Limits};

/// The place of the alpha among the samples of a pixel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Alpha {
    pub sample: usize,
    /// Whether the colours are already multiplied by it.
    pub associated: bool,
    /// Whether the file says that the sample is alpha.
    pub stated: bool,
}

/// The samples of a page and how they are stored.
#[derive(Debug)]
pub struct Layout {
    /// In pixels.
    pub width: usize,
    /// In pixels.
    pub height: usize,
    /// Bits per sample, 1 to 64.
    pub bits: usize,
    /// Samples per pixel.
    pub samples: usize,
    pub kind: Kind,
    pub colours: Colours,
    pub alpha: Option<Alpha>,
    pub compression: Compression,
    pub predictor: Predictor,
    /// Whether each sample has strips or tiles of its own.
    pub planar: bool,
    /// Whether the first bit of a byte is the lowest.
    pub low_bit_first: bool,
    /// For YCbCr without JPEG: the pixels across and down that share their chroma.
    pub shared: (usize, usize),
    /// Whether YCbCr is converted as JPEG has it, whatever the page's tags say, as in libtiff.
    pub as_in_jpeg: bool,
    /// The size in pixels of a strip or tile. The last strip may be lower.
    pub chunk: (usize, usize),
    pub tiled: bool,
    /// The start of each strip or tile, in bytes from the start of the file.
    pub offsets: Vec<u64>,
    /// The size of each strip or tile in bytes. May be shorter than `offsets`.
    pub lengths: Vec<u64>,
}

impl Layout {
    /// Reads the tags of a page.
    ///
    /// # Errors
    /// If the picture is larger than `limits` allows, is of a kind that is not read, or its tags
    /// contradict each other.
    pub fn new(page: &Directory, limits: &Limits) -> Result<Self, DecodeError> {
        let or = |tag, other| page.number(tag).map(|found| found.unwrap_or(other));
        let side = |tag| or(tag, 0).map(|side| u32::try_from(side).unwrap_or(u32::MAX));
        let (width, height) = (side(tags::WIDTH)?, side(tags::HEIGHT)?);
        check_size((width, height), limits)?;
        let (width, height) = (width as usize, height as usize);
        let compression = Compression::new(or(tags::COMPRESSION, 1)?)?;
        let samples = or(tags::SAMPLES_PER_PIXEL, 1)?;
        if samples == 0 || samples > MAX_SAMPLES as u64 {
            return Err(damaged(format!("it claims {samples} samples per pixel")));
        }
        let samples = samples as usize;
        let colours = match page.number(tags::PHOTOMETRIC)? {
            Some(code) => Colours::new(code)?,
            None => guess(page, compression, samples),
        };
        // The stream says itself how many there are.
        let inside = compression == Compression::OldJpeg;
        let samples = if inside { samples.max(colours.samples()) } else { samples };
        if samples < colours.samples() {
            let name = colours.name();
            return Err(damaged(format!("{samples} samples per pixel are too few for {name}")));
        }
        let bits = bits(page, compression, samples)?;
        let kind = kind(page, colours, bits)?;
        let planar = samples > 1 && or(tags::PLANAR_CONFIGURATION, 1)? == 2;
        let predictor = predictor(or(tags::PREDICTOR, 1)?, compression, kind, bits)?;
        let shared = shared(page, colours, compression)?;
        if shared != (1, 1) && (planar || bits != 8 || predictor != Predictor::None) {
            let reason = "YCbCr of lower chroma resolution in planes, of other than 8 bits, or \
                          with a predictor";
            return Err(unsupported(reason));
        }
        let tiled = page.has(tags::TILE_WIDTH);
        // Some writers list tiles by the tags of strips.
        let (offsets, lengths) = if page.has(tags::TILE_OFFSETS) {
            (tags::TILE_OFFSETS, tags::TILE_BYTE_COUNTS)
        } else {
            (tags::STRIP_OFFSETS, tags::STRIP_BYTE_COUNTS)
        };
        let chunk = chunk(page, tiled, (width, height), limits)?;
        let parts = width.div_ceil(chunk.0).saturating_mul(height.div_ceil(chunk.1));
        let parts = parts.saturating_mul(if planar { samples } else { 1 });
        Ok(Self {
            width,
            height,
            bits,
            samples,
            kind,
            colours,
            alpha: alpha(&page.numbers(tags::EXTRA_SAMPLES, samples)?, colours, samples),
            compression,
            predictor,
            planar,
            low_bit_first: or(tags::FILL_ORDER, 1)? == 2 && compression.has_bit_order(),
            shared,
            as_in_jpeg: compression == Compression::Jpeg,
            chunk,
            tiled,
            offsets: page.numbers(offsets, parts)?,
            lengths: page.numbers(lengths, parts)?,
        })
    }

    /// Returns the number of strips or tiles that lie beside each other, and of their rows.
    pub fn grid(&self) -> (usize, usize) {
        (self.width.div_ceil(self.chunk.0), self.height.div_ceil(self.chunk.1))
    }

    /// Returns the number of samples that a pixel has in a strip or tile.
    pub fn samples_together(&self) -> usize {
        if self.planar { 1 } else { self.samples }
    }

    /// Returns the samples that are used: the colours, then the alpha.
    pub fn used(&self) -> Vec<usize> {
        (0..self.colours.samples()).chain(self.alpha.map(|alpha| alpha.sample)).collect()
    }

    /// Returns the number of samples that are used.
    pub fn channels(&self) -> usize {
        self.colours.samples() + usize::from(self.alpha.is_some())
    }

    /// Returns the rows of pixels that strips or tiles of row `row` have in the picture.
    pub fn rows_below(&self, row: usize) -> usize {
        self.chunk.1.min(self.height.saturating_sub(row * self.chunk.1))
    }

    /// Returns the size in bytes of a strip or tile without compression.
    pub fn plain_length(&self, index: usize) -> usize {
        let (across, down) = self.grid();
        let row = index % (across * down) / across;
        let rows = if self.tiled { self.chunk.1 } else { self.rows_below(row) };
        if self.shared != (1, 1) {
            return block_row(self.chunk.0, self.shared) * rows.div_ceil(self.shared.1);
        }
        let bits = self.chunk.0.saturating_mul(self.samples_together()).saturating_mul(self.bits);
        bits.div_ceil(8).saturating_mul(rows)
    }

    /// Makes the whole picture one strip of bytes, `samples` to a pixel, that are `colours`.
    pub fn become_one_strip(&mut self, colours: Colours, samples: usize) {
        // The tags tell of other colours than the stream's.
        self.as_in_jpeg = self.colours != colours;
        (self.colours, self.samples, self.bits) = (colours, samples, 8);
        (self.kind, self.alpha) = (Kind::Unsigned, None);
        (self.planar, self.tiled, self.shared) = (false, false, (1, 1));
        self.chunk = (self.width, self.height);
    }
}

/// Returns which sample is alpha. Further samples are ignored. RGB with a fourth sample of which
/// nothing is said counts as having alpha, as in other readers.
fn alpha(extra: &[u64], colours: Colours, samples: usize) -> Option<Alpha> {
    let first = colours.samples();
    if extra.is_empty() && colours == Colours::Rgb && samples == 4 {
        return Some(Alpha { sample: first, associated: false, stated: false });
    }
    let at = extra.iter().position(|kind| matches!(kind, 1 | 2))?;
    let associated = extra.get(at) == Some(&1);
    let sample = first + at;
    // Numbers of colours cannot be divided by it.
    let usable = !associated || !matches!(colours, Colours::Palette);
    (sample < samples && usable).then_some(Alpha { sample, associated, stated: true })
}

/// Returns the size of a strip or tile in pixels.
fn chunk(
    page: &Directory,
    tiled: bool,
    (width, height): (usize, usize),
    limits: &Limits,
) -> Result<(usize, usize), DecodeError> {
    let side = |tag| {
        let side = page.number(tag).map(|side| side.unwrap_or(0));
        side.map(|side| usize::try_from(side).unwrap_or(usize::MAX))
    };
    if !tiled {
        let rows = side(tags::ROWS_PER_STRIP)?;
        return Ok((width, if rows == 0 { height } else { rows.min(height) }));
    }
    let (across, down) = (side(tags::TILE_WIDTH)?, side(tags::TILE_HEIGHT)?);
    // A tile may be larger than its picture, within reason.
    let most = limits.max_pixels.max(1 << 22);
    match across.checked_mul(down) {
        Some(pixels) if pixels > 0 && pixels as u64 <= most => Ok((across, down)),
        _ => Err(damaged(format!("its tiles are of {across} × {down} pixels"))),
    }
}
