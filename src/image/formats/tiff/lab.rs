/*!
The ranges of CIE L*a*b* in TIFF and in ICC.1.
*/

use super::super::lab::lab_to_srgb;
use super::level::Level;

/// Converts pixels of `channels` samples to sRGB in their place. `offset` tells whether 0 of a*
/// and b* is in the middle of the range, as in ICC profiles, or they are signed, as in TIFF.
pub fn to_srgb<T: Level>(samples: &mut [T], channels: usize, offset: bool) {
    let most = T::MOST as f32;
    let middle = T::MOST / 2 + 1;
    // ICC's 16-bit L* reaches 100 at 0xff00.
    let full = if offset && T::MOST > 255 { 65280.0 } else { most };
    let unit = middle as f32 / 128.0;
    let chroma = |sample: u32| {
        // Both halves swap places where the samples are signed.
        let shifted = if offset { sample } else { sample ^ middle };
        (shifted as f32 - middle as f32) / unit
    };
    for pixel in samples.chunks_exact_mut(channels) {
        let [first, second, third, ..] = pixel else { continue };
        let lightness = first.wide() as f32 * 100.0 / full;
        let rgb = lab_to_srgb([lightness, chroma(second.wide()), chroma(third.wide())]);
        let [red, green, blue] = rgb.map(|level| T::narrow((level * most + 0.5) as u32));
        (*first, *second, *third) = (red, green, blue);
    }
}
