/*!
Light and lens: blur, enlargement, shading of the bird, and the final pass of exposure, colour and
noise.
*/

use image::RgbImage;
use rand::{Rng, RngExt};
use tiny_skia::Pixmap;

use super::scene::{Flaws, Light};

/// Blurs a picture `times` times with a box filter that extends `reach` pixels to each side.
pub fn blur(pixels: &mut Pixmap, reach: usize, times: usize) {
    let (width, height) = (pixels.width() as usize, pixels.height() as usize);
    if reach == 0 {
        return;
    }
    for _ in 0..times {
        let rows: Vec<[u8; 4]> = pixels.data().as_chunks().0.to_vec();
        let turned = smeared(&rows, width, height, reach);
        let back = smeared(&turned, height, width, reach);
        pixels.data_mut().as_chunks_mut().0.copy_from_slice(&back);
    }
}

/// Softens a picture by about a pixel or less, by mixing it with a blurred copy.
pub fn soften(pixels: &mut Pixmap, amount: f32) {
    if amount < 0.05 {
        return;
    }
    let mut soft = pixels.clone();
    blur(&mut soft, (amount.ceil() as usize).max(1), 1);
    let share = ((amount / amount.ceil()) * 256.0) as u32;
    for (sharp, soft) in pixels.data_mut().iter_mut().zip(soft.data()) {
        *sharp = ((u32::from(*sharp) * (256 - share) + u32::from(*soft) * share) >> 8) as u8;
    }
}

/// Averages along the rows and returns the transposed picture.
fn smeared(rows: &[[u8; 4]], width: usize, height: usize, reach: usize) -> Vec<[u8; 4]> {
    let mut turned = vec![[0; 4]; rows.len()];
    let share = 65536 / (2 * reach + 1) as u32;
    for (y, row) in rows.chunks_exact(width).enumerate() {
        let pick = |x: isize| row[x.clamp(0, width as isize - 1) as usize];
        let mut sum = [0_u32; 4];
        for x in -(reach as isize)..=reach as isize {
            sum.iter_mut().zip(pick(x)).for_each(|(total, c)| *total += u32::from(c));
        }
        for x in 0..width {
            turned[x * height + y] = sum.map(|total| ((total * share + 32768) >> 16) as u8);
            let (new, old) = (pick((x + reach + 1) as isize), pick(x as isize - reach as isize));
            for (total, (n, o)) in sum.iter_mut().zip(new.into_iter().zip(old)) {
                *total = *total + u32::from(n) - u32::from(o);
            }
        }
    }
    turned
}

/// Returns the two neighbours of a position on a smaller grid, and the weight of the second, from
/// 0 to 256.
fn between(place: usize, large: usize, small: usize) -> (usize, usize, u32) {
    let exact = ((place as f32 + 0.5) * small as f32 / large as f32 - 0.5).max(0.0);
    let first = (exact as usize).min(small - 1);
    (first, (first + 1).min(small - 1), (exact.fract() * 256.0) as u32)
}

/// Enlarges a square picture to `size`.
pub fn enlarged(source: &Pixmap, size: u32) -> Option<Pixmap> {
    let mut target = Pixmap::new(size, size)?;
    let (small, large) = (source.width() as usize, size as usize);
    let from: &[[u8; 4]] = source.data().as_chunks().0;
    let columns: Vec<_> = (0..large).map(|x| between(x, large, small)).collect();
    let rows = target.data_mut().as_chunks_mut::<4>().0.chunks_exact_mut(large);
    for (y, row) in rows.enumerate() {
        let (top, bottom, down) = between(y, large, small);
        let (top, bottom) = (&from[top * small..], &from[bottom * small..]);
        let blended: Vec<[u32; 4]> = top
            .iter()
            .zip(bottom)
            .take(small)
            .map(|(a, b)| blend(a.map(u32::from), b.map(u32::from), down))
            .collect();
        for (pixel, (left, right, across)) in row.iter_mut().zip(&columns) {
            let sum = blend(blended[*left], blended[*right], *across);
            *pixel = sum.map(|channel| ((channel + 32768) >> 16) as u8);
        }
    }
    Some(target)
}

/// Mixes two pixels with weights that add up to 256; the result is not divided by 256.
fn blend(a: [u32; 4], b: [u32; 4], share: u32) -> [u32; 4] {
    std::array::from_fn(|c| a[c] * (256 - share) + b[c] * share)
}

/// Shades the painted bird so that it looks round: sides that face the light brighten, others
/// darken.
///
/// The blurred silhouette serves as a height map. `radius` is in pixels.
pub fn round_off(bird: &mut Pixmap, radius: f32, light: &Light) {
    let (width, height) = (bird.width() as usize, bird.height() as usize);
    let (half_width, half_height) = (width / 2, height / 2);
    let alpha: Vec<f32> = (0..half_width * half_height)
        .map(|i| {
            let (x, y) = (i % half_width, i / half_width);
            f32::from(bird.data()[(2 * y * width + 2 * x) * 4 + 3]) / 255.0
        })
        .collect();
    let reach = ((radius * 0.5) as usize).max(1);
    let mut relief = alpha;
    for _ in 0..2 {
        relief = smoothed(&relief, half_width, half_height, reach);
        relief = smoothed(&relief, half_height, half_width, reach);
    }
    let gain = 2.4 * reach as f32;
    for y in 0..height {
        for x in 0..width {
            let pixel = &mut bird.data_mut()[(y * width + x) * 4..][..4];
            if pixel[3] == 0 {
                continue;
            }
            let column = (x / 2).clamp(1, half_width - 2);
            let row = (y / 2).clamp(1, half_height - 2);
            let here = row * half_width + column;
            let right = relief[here + 1] - relief[here - 1];
            let down = relief[here + half_width] - relief[here - half_width];
            let facing = -(right * light.from.x + down * light.from.y) * gain;
            let lit = light.hardness * facing.clamp(-1.5, 1.2);
            let (dim, gleam) = (1.0 + 0.36 * lit.min(0.0), 0.20 * lit.max(0.0));
            let cool = (1.0 - dim) * 0.12;
            let factors = [dim - cool * 0.6, dim, dim + cool];
            // Light is added towards white, not multiplied: clipped channels would shift the hue.
            let whites = [1.0, 0.96, 0.86].map(|white| f32::from(pixel[3]) * white);
            for ((channel, factor), white) in pixel.iter_mut().zip(factors).zip(whites) {
                let shaded = f32::from(*channel) * factor;
                *channel = (shaded + (white - shaded).max(0.0) * gleam) as u8;
            }
        }
    }
}

/// Averages along the rows of a height map and returns it transposed.
fn smoothed(grid: &[f32], width: usize, height: usize, reach: usize) -> Vec<f32> {
    let mut turned = vec![0.0; grid.len()];
    let share = 1.0 / (2 * reach + 1) as f32;
    for (y, row) in grid.chunks_exact(width).enumerate() {
        let mut sum: f32 = row.iter().take(reach).sum();
        for x in 0..width {
            sum += row.get(x + reach).copied().unwrap_or(0.0);
            turned[x * height + y] = sum * share;
            if x >= reach {
                sum -= row[x - reach];
            }
        }
    }
    turned
}

/// Composites `over` onto `under`; both have the same size and premultiplied colours.
pub fn lay_over(under: &mut Pixmap, over: &Pixmap) {
    for (low, high) in
        under.data_mut().as_chunks_mut::<4>().0.iter_mut().zip(over.data().as_chunks::<4>().0)
    {
        if high[3] == 0 {
            continue;
        }
        let rest = 255 - u32::from(high[3]);
        for (l, h) in low.iter_mut().zip(high) {
            *l = (u32::from(*h) + (u32::from(*l) * rest + 127) / 255).min(255) as u8;
        }
    }
}

/// Noise that is drawn once and reused from random positions. The repetition is not visible.
struct Grain(Vec<f32>);

impl Grain {
    /// A power of two, so that positions wrap by masking.
    const LENGTH: usize = 4096;
    /// Mean of the sum of eight uniform bytes.
    const MEAN: f32 = 1020.0;
    /// Standard deviation of the sum of eight uniform bytes.
    const DEVIATION: f32 = 209.0;

    /// Draws approximately normal noise with the given standard deviation.
    fn new(spread: f32, rng: &mut impl Rng) -> Self {
        let deviate = |bits: u64| {
            let sum: u32 = bits.to_le_bytes().into_iter().map(u32::from).sum();
            (sum as f32 - Self::MEAN) / Self::DEVIATION * spread
        };
        Self((0..Self::LENGTH).map(|_| deviate(rng.random())).collect())
    }

    fn at(&self, place: usize) -> f32 {
        self.0[place & (Self::LENGTH - 1)]
    }
}

/// Channel value, from 0 to 1, above which the tone curve flattens.
const KNEE: f32 = 0.88;
/// The range between [`KNEE`] and full brightness.
const HIGHLIGHTS: f32 = 0.12;

/// Returns the tone curve: the output level for each input level of a channel.
fn curve(gain: f32) -> [f32; 256] {
    std::array::from_fn(|level| {
        let value = level as f32 / 255.0 * gain;
        // Bright values are compressed softly, like on film, instead of being clipped.
        let soft = KNEE + HIGHLIGHTS * ((value - KNEE) / HIGHLIGHTS).tanh();
        // Adds half a level, so that the later truncation rounds.
        255.0 * if value > KNEE { soft } else { value } + 0.5
    })
}

/// Turns the finished painting into a photograph: exposure, light colour, vignette and noise.
pub fn exposed(pixels: &Pixmap, light: &Light, flaws: &Flaws, rng: &mut impl Rng) -> RgbImage {
    let (width, height) = (pixels.width(), pixels.height());
    let tint = light.warmth * 0.09;
    let gains = [1.0 + tint, 1.0 + 0.15 * tint, 1.0 - 1.1 * tint];
    let curves = gains.map(|gain| curve(gain * light.exposure));
    let grain = Grain::new(flaws.noise, rng);
    let squares: Vec<f32> =
        (0..width).map(|x| (2.0 * x as f32 / width as f32 - 1.0).powi(2)).collect();
    let mut bytes = Vec::with_capacity((width * height * 3) as usize);
    let rows = pixels.data().as_chunks::<4>().0.chunks_exact(width as usize);
    for (y, row) in rows.enumerate() {
        let far = (2.0 * y as f32 / height as f32 - 1.0).powi(2);
        let (shared, own) = (rng.random::<u16>() as usize, rng.random::<u16>() as usize);
        for (x, (pixel, square)) in row.iter().zip(&squares).enumerate() {
            let fall = 1.0 - light.vignette * 0.5 * (far + square);
            let bright = grain.at(shared + x) * 0.8;
            for (channel, (curve, level)) in curves.iter().zip(pixel).enumerate() {
                let speck = bright + grain.at(own + 3 * x + channel) * 0.6;
                bytes.push((curve[usize::from(*level)] * fall + speck) as u8);
            }
        }
    }
    RgbImage::from_raw(width, height, bytes).unwrap_or_else(|| RgbImage::new(width, height))
}
