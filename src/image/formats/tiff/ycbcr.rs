/*!
YCbCr: blocks of pixels that share their chroma, and the conversion to RGB (TIFF 6.0, sections
20 and 21).
*/

use super::directory::Directory;
use super::level::Level;
use super::tags;

/// The conversion of YCbCr to RGB.
pub struct Conversion {
    /// The share of red, green and blue in Y.
    luma: [f32; 3],
    /// The codes of black and white in Y, and of none and most of each chroma.
    reference: [f32; 6],
    /// The greatest code.
    most: f32,
}

impl Conversion {
    /// Reads the tags of a page with samples of `bits`, unless the conversion is that of JPEG.
    pub fn new(page: &Directory, as_in_jpeg: bool, bits: usize) -> Self {
        let most = (bits as f32).exp2() - 1.0;
        let middle = (bits as f32 - 1.0).exp2();
        let mut conversion = Self {
            luma: [0.299, 0.587, 0.114],
            reference: [0.0, most, middle, most, middle, most],
            most,
        };
        if as_in_jpeg {
            return conversion;
        }
        if let Some(luma) = page.fractions(tags::YCBCR_COEFFICIENTS)
            && luma.iter().all(|share| *share > 0.0)
        {
            conversion.luma = luma;
        }
        if let Some(codes @ [a, b, c, d, e, f]) = page.fractions(tags::REFERENCE_BLACK_WHITE)
            && a < b
            && c < d
            && e < f
        {
            conversion.reference = codes;
        }
        conversion
    }

    /// Converts pixels of `channels` samples in their place.
    pub fn to_rgb<T: Level>(&self, samples: &mut [T], channels: usize) {
        let [red, green, blue] = self.luma;
        let [black, white, no_cb, most_cb, no_cr, most_cr] = self.reference;
        let full = T::MOST as f32;
        let code = self.most / full;
        // The range of chroma in codes, over that of Y.
        let half = ((self.most + 1.0) / 2.0 - 1.0) / self.most;
        for pixel in samples.chunks_exact_mut(channels) {
            let [first, second, third, ..] = pixel else { continue };
            let part = |sample: &T, from, to| (sample.wide() as f32 * code - from) / (to - from);
            let y = part(first, black, white);
            let cb = part(second, no_cb, most_cb) * half;
            let cr = part(third, no_cr, most_cr) * half;
            let r = y + cr * (2.0 - 2.0 * red);
            let b = y + cb * (2.0 - 2.0 * blue);
            let g = (y - blue * b - red * r) / green;
            // Numbers out of range end at its limits.
            let narrow = |value: f32| T::narrow((value.clamp(0.0, 1.0) * full + 0.5) as u32);
            (*first, *second, *third) = (narrow(r), narrow(g), narrow(b));
        }
    }
}

/// Returns the size in bytes of a row of blocks that is `width` pixels long.
pub fn block_row(width: usize, (across, down): (usize, usize)) -> usize {
    width.div_ceil(across).saturating_mul(across * down + 2)
}

/// Returns row `y` of a row of blocks, with chroma at every pixel.
pub fn pixel_row(blocks: &[u8], y: usize, (across, down): (usize, usize)) -> Vec<u8> {
    let luma = across * down;
    let pixels = blocks.chunks_exact(luma + 2).flat_map(|block| {
        let (block, chroma) = block.split_at(luma);
        let row = block.get(y * across..(y + 1) * across).unwrap_or_default();
        let (cb, cr) = chroma.split_at(1);
        row.iter().flat_map(move |y| [Some(y), cb.first(), cr.first()]).flatten().copied()
    });
    pixels.collect()
}
