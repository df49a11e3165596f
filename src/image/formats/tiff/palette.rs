/*!
Palettes: the colours that samples are numbers of.
*/

use super::directory::Directory;
use super::level::Level;
use super::refusal::damaged;
use super::tags;
use crate::image::DecodeError;

/// The colours of a page.
pub struct Palette(Vec<[u8; 3]>);

impl Palette {
    /// Reads the palette of a page with samples of `bits`.
    ///
    /// # Errors
    /// If it has none, or too few colours.
    pub fn new(page: &Directory, bits: usize) -> Result<Self, DecodeError> {
        let count = 1 << bits;
        let levels = page.numbers(tags::COLOUR_MAP, 3 * count)?;
        let (Some(red), Some(green), Some(blue)) =
            (levels.get(..count), levels.get(count..2 * count), levels.get(2 * count..3 * count))
        else {
            let found = levels.len() / 3;
            return Err(damaged(format!("its palette has {found} of {count} colours")));
        };
        // Levels have 16 bits, but some programs write bytes.
        let shift = if levels.iter().all(|level| *level < 256) { 0 } else { 8 };
        let byte = |level: &u64| (level >> shift).min(255) as u8;
        let colours = red.iter().zip(green).zip(blue);
        Ok(Self(colours.map(|((r, g), b)| [byte(r), byte(g), byte(b)]).collect()))
    }

    /// Returns pixels of `channels` samples, a number and perhaps alpha, as RGB and perhaps alpha.
    pub fn apply<T: Level>(&self, samples: &[T], channels: usize) -> Vec<u8> {
        let mut pixels = Vec::with_capacity(samples.len() / channels * (channels + 2));
        for pixel in samples.chunks_exact(channels) {
            let number = pixel.first().map_or(0, |number| number.wide() as usize);
            pixels.extend(self.0.get(number).copied().unwrap_or_default());
            pixels.extend(pixel.get(1).map(|alpha| alpha.wide() as u8));
        }
        pixels
    }
}
