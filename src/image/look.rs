/*!
The look of a picture: a few hundred bytes by which copies of one picture are told from different
pictures of one kind. Codes are alike for pictures of one kind, and so cannot do that.
*/

use ::image::RgbImage;
use ::image::imageops::thumbnail;

/// Width and height of the brightness map.
const SIDE: usize = 24;
/// Width and height of the maps of colour.
const COARSE: usize = 4;
/// Length of a look in bytes.
const BYTES: usize = SIDE * SIDE + 2 * COARSE * COARSE;

/// Minimum correlation of two brightness maps of one picture. Of edits of 294 training photos of the
/// Grocery Store Dataset it finds 99.7 % (`examples/copies.rs`); of its 2,640 training photos it
/// takes 13 pairs, which were shot one after the other. See `docs/DUPLICATES.md`.
const ALIKE: f32 = 0.92;
/// Pairs whose whole maps correlate less are not compared window by window. Copies that are cropped
/// by a tenth can be this low, others are not.
const WORTH_A_LOOK: f32 = 0.25;
/// The same at half the resolution, where most pairs of different pictures are told apart in a
/// quarter of the time. Low enough to lose next to no copy.
const ALIKE_COARSELY: f32 = 0.65;
/// Relative width and height of the windows in which one picture is looked for in the other, so
/// that copies are found that were cropped by up to a tenth.
const WINDOWS: [f32; 3] = [1.0, 0.95, 0.9];
/// A picture whose brightness deviates by less than this has one colour (of 255 levels).
const FLAT: f32 = 2.0;
/// Largest mean difference of colour of two pictures: levels, and share of their own colour.
const COLOUR: (f32, f32) = (8.0, 0.3);

/// The look of a picture: brightness at 24 × 24 and colour at 4 × 4 places.
///
/// ```
/// use barbule::image::Look;
/// use image::{Rgb, RgbImage, imageops};
///
/// let draw = |seed: u32| {
///     RgbImage::from_fn(120, 90, |x, y| {
///         let spot = (x / 15).wrapping_mul(7 + seed) ^ (y / 15).wrapping_mul(13);
///         Rgb([(spot * 37 % 256) as u8; 3])
///     })
/// };
/// let (one, other) = (draw(0), draw(4));
/// let half = imageops::thumbnail(&one, 60, 45);
/// assert!(Look::of(&one).is_like(&Look::of(&half)));
/// assert!(!Look::of(&one).is_like(&Look::of(&other)));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Look {
    luma: [u8; SIDE * SIDE],
    /// Blue and red against brightness, each with 128 for grey.
    chroma: [[u8; COARSE * COARSE]; 2],
}

impl Look {
    /// Computes the look of a picture of any size.
    pub fn of(picture: &RgbImage) -> Self {
        let mut look = Self { luma: [0; SIDE * SIDE], chroma: [[128; COARSE * COARSE]; 2] };
        if picture.width() == 0 || picture.height() == 0 {
            return look;
        }
        let small = thumbnail(picture, SIDE as u32, SIDE as u32);
        let mut colour = [[0f32; COARSE * COARSE]; 2];
        for (x, y, pixel) in small.enumerate_pixels() {
            let [r, g, b] = pixel.0.map(f32::from);
            // ITU-R BT.601, as in JPEG.
            let luma = 0.299 * r + 0.587 * g + 0.114 * b;
            look.luma[y as usize * SIDE + x as usize] = luma.round() as u8;
            let cell = (y as usize * COARSE / SIDE) * COARSE + x as usize * COARSE / SIDE;
            colour[0][cell] += 0.564 * (b - luma);
            colour[1][cell] += 0.713 * (r - luma);
        }
        let cells = (SIDE / COARSE).pow(2) as f32;
        for (to, from) in look.chroma.iter_mut().flatten().zip(colour.iter().flatten()) {
            *to = (128.0 + from / cells).round().clamp(0.0, 255.0) as u8;
        }
        look
    }

    /// The look as bytes, to be stored.
    pub fn to_bytes(&self) -> Vec<u8> {
        self.luma.iter().chain(self.chroma.iter().flatten()).copied().collect()
    }

    /// The look of [`Look::to_bytes`]; `None` for bytes of another length.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        if bytes.len() != BYTES {
            return None;
        }
        let (luma, chroma) = bytes.split_at(SIDE * SIDE);
        let (blue, red) = chroma.split_at(COARSE * COARSE);
        Some(Self {
            luma: luma.try_into().ok()?,
            chroma: [blue.try_into().ok()?, red.try_into().ok()?],
        })
    }

    /// Returns whether two looks are of one picture: saved again, scaled, mirrored, made somewhat
    /// brighter or darker, cropped by up to about a tenth, or with a small mark on it.
    pub fn is_like(&self, other: &Self) -> bool {
        match (self.is_flat(), other.is_flat()) {
            (true, true) => return self.level().abs_diff(other.level()) <= 6 && self.tint(other),
            (false, false) => {}
            _ => return false,
        }
        let turned = other.mirrored();
        if !(self.tint(other) || self.tint(&turned)) {
            return false;
        }
        let maps = [self, other, &turned].map(Map::of);
        let units = maps.each_ref().map(|map| unit(map.values.clone()));
        let whole = dot(&units[0], &units[1]).max(dot(&units[0], &units[2]));
        if whole >= ALIKE {
            return true;
        }
        if whole < WORTH_A_LOOK {
            return false;
        }
        let coarse = maps.each_ref().map(Map::halved);
        likeness(&coarse) >= ALIKE_COARSELY && likeness(&maps) >= ALIKE
    }

    /// Mean brightness.
    fn level(&self) -> u8 {
        let sum: u32 = self.luma.iter().map(|v| u32::from(*v)).sum();
        (sum / (SIDE * SIDE) as u32) as u8
    }

    /// Whether the picture has one colour.
    fn is_flat(&self) -> bool {
        let mean = self.luma.iter().map(|v| f32::from(*v)).sum::<f32>() / (SIDE * SIDE) as f32;
        let spread = self.luma.iter().map(|v| (f32::from(*v) - mean).powi(2)).sum::<f32>();
        spread <= FLAT.powi(2) * (SIDE * SIDE) as f32
    }

    /// Whether the colours are about the same.
    fn tint(&self, other: &Self) -> bool {
        let of =
            |look: &Self| look.chroma.map(|plane| plane.map(|v| f32::from(v) - 128.0)).concat();
        let (one, two) = (of(self), of(other));
        let (mut apart, mut most) = (0f32, 0f32);
        for (a, b) in one.iter().zip(&two) {
            apart += (a - b).abs();
            most += a.abs().max(b.abs());
        }
        apart <= COLOUR.0 * one.len() as f32 + COLOUR.1 * most
    }

    fn mirrored(&self) -> Self {
        let mut look = self.clone();
        look.luma.chunks_exact_mut(SIDE).for_each(<[u8]>::reverse);
        look.chroma.iter_mut().flat_map(|p| p.chunks_exact_mut(COARSE)).for_each(<[u8]>::reverse);
        look
    }
}

/// A square map of brightness.
struct Map {
    side: usize,
    values: Vec<f32>,
}

impl Map {
    fn of(look: &Look) -> Self {
        Self { side: SIDE, values: look.luma.iter().map(|v| f32::from(*v)).collect() }
    }

    /// The map at half its resolution.
    fn halved(&self) -> Self {
        let side = self.side / 2;
        let mut values = vec![0.0; side * side];
        for (at, value) in self.values.iter().enumerate() {
            values[at / self.side / 2 * side + at % self.side / 2] += value / 4.0;
        }
        Self { side, values }
    }

    /// All windows, the whole among them, each scaled to the size of the whole and to unit length.
    fn windows(&self) -> impl Iterator<Item = Vec<f32>> + '_ {
        let places = |size: f32| if size < 1.0 { &[0.0, 0.5, 1.0][..] } else { &[0.0][..] };
        let side = self.side as f32;
        let spans = WINDOWS.into_iter().flat_map(move |size| {
            places(size).iter().map(move |place| (size, place * (1.0 - size) * side))
        });
        let all = spans.clone().flat_map(move |x| spans.clone().map(move |y| (x, y)));
        all.map(|(x, y)| unit(self.part(x, y)))
    }

    /// A part of the map, scaled to the size of the whole. Each axis has the part's relative size
    /// and its offset in places.
    fn part(&self, x: (f32, f32), y: (f32, f32)) -> Vec<f32> {
        let at = |(size, offset): (f32, f32)| {
            let last = self.side - 1;
            let of = move |i: usize| {
                let place = ((i as f32 + 0.5) * size - 0.5 + offset).clamp(0.0, last as f32);
                let low = place as usize;
                (low, (low + 1).min(last), place - low as f32)
            };
            (0..self.side).map(of).collect::<Vec<_>>()
        };
        let columns = at(x);
        let mut part = Vec::with_capacity(self.side * self.side);
        for (top, bottom, down) in at(y) {
            let row = |row: usize| &self.values[row * self.side..(row + 1) * self.side];
            let (top, bottom) = (row(top), row(bottom));
            for (left, right, across) in &columns {
                let line = |row: &[f32]| row[*left] * (1.0 - across) + row[*right] * across;
                part.push(line(top) * (1.0 - down) + line(bottom) * down);
            }
        }
        part
    }
}

/// The largest correlation of a window of a map with another map or its mirror image, or of a
/// window of one of these with the first map.
fn likeness(maps: &[Map; 3]) -> f32 {
    let [one, other, turned] = maps.each_ref().map(|map| unit(map.values.clone()));
    let most = |most: f32, value: f32| most.max(value);
    let inside = maps[0].windows().map(|part| dot(&part, &other).max(dot(&part, &turned)));
    let around = maps[1].windows().chain(maps[2].windows()).map(|part| dot(&part, &one));
    inside.chain(around).fold(-1.0, most)
}

/// Removes the mean and scales to unit length.
fn unit(mut values: Vec<f32>) -> Vec<f32> {
    let mean = values.iter().sum::<f32>() / values.len().max(1) as f32;
    values.iter_mut().for_each(|v| *v -= mean);
    let norm = dot(&values, &values).sqrt().max(1e-6);
    values.iter_mut().for_each(|v| *v /= norm);
    values
}

fn dot(a: &[f32], b: &[f32]) -> f32 {
    // Independent sums, which the compiler keeps in vector registers; lengths are multiples of 16.
    let mut sums = [0f32; 16];
    for (a, b) in a.as_chunks::<16>().0.iter().zip(b.as_chunks::<16>().0) {
        for lane in 0..16 {
            sums[lane] += a[lane] * b[lane];
        }
    }
    sums.iter().sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use ::image::imageops::{crop_imm, flip_horizontal};
    use ::image::{Rgb, imageops};
    use proptest::prelude::*;

    /// A picture of discs, with several scales of detail.
    fn picture(seed: u32, width: u32, height: u32) -> RgbImage {
        let random = |n: u32| {
            let mut value = n.wrapping_mul(0x9e37_79b9) ^ seed.wrapping_mul(0x85eb_ca6b);
            value ^= value >> 15;
            value = value.wrapping_mul(0xc2b2_ae35);
            f64::from(value ^ (value >> 13)) / f64::from(u32::MAX)
        };
        RgbImage::from_fn(width, height, |x, y| {
            let (x, y) = (f64::from(x) / f64::from(width), f64::from(y) / f64::from(height));
            let inside = (0..14u32).rev().find(|disc| {
                let (dx, dy) = (x - random(disc * 5), y - random(disc * 5 + 1));
                dx.hypot(dy) < 0.05 + 0.25 * random(disc * 5 + 2)
            });
            let base = inside.unwrap_or(99) * 5;
            Rgb([base + 3, base + 4, base + 6].map(|n| (40.0 + 200.0 * random(n)) as u8))
        })
    }

    proptest! {
        #[test]
        fn bytes_come_back_and_likeness_is_mutual(a in 0u32..1000, b in 0u32..1000) {
            let (one, two) = (Look::of(&picture(a, 64, 48)), Look::of(&picture(b, 50, 70)));
            prop_assert_eq!(Look::from_bytes(&one.to_bytes()), Some(one.clone()));
            prop_assert!(one.is_like(&one) && one.is_like(&one.mirrored()));
            prop_assert_eq!(one.is_like(&two), two.is_like(&one));
            prop_assert_eq!(Look::from_bytes(&one.to_bytes()[1..]), None);
        }
    }

    #[test]
    fn edits_are_alike_and_other_pictures_are_not() {
        let looks: Vec<Look> = (0..40).map(|seed| Look::of(&picture(seed, 320, 240))).collect();
        for (seed, look) in (0..).zip(&looks) {
            let whole = picture(seed, 320, 240);
            let edits = [
                imageops::resize(&whole, 100, 75, imageops::FilterType::Lanczos3),
                crop_imm(&whole, 8, 6, 304, 228).to_image(),
                crop_imm(&whole, 0, 0, 288, 240).to_image(),
                flip_horizontal(&whole),
                imageops::brighten(&whole, 30),
            ];
            for (edit, changed) in edits.iter().enumerate() {
                assert!(look.is_like(&Look::of(changed)), "edit {edit} of {seed}");
            }
            let others = looks.iter().filter(|other| *other != look && look.is_like(other));
            assert_eq!(others.count(), 0, "{seed}");
        }
    }

    #[test]
    fn pictures_of_one_colour_are_told_apart() {
        let plain = |colour| Look::of(&RgbImage::from_pixel(30, 20, Rgb(colour)));
        let (black, white, red) = (plain([0; 3]), plain([255; 3]), plain([200, 20, 20]));
        let grey = plain([76, 76, 76]);
        assert!(red.level().abs_diff(grey.level()) <= 6);
        assert!(black.is_like(&black) && red.is_like(&plain([203, 22, 20])));
        for (one, two) in [(&black, &white), (&red, &grey), (&black, &red)] {
            assert!(!one.is_like(two));
        }
        assert!(!black.is_like(&Look::of(&picture(1, 30, 30))));
        assert_eq!(Look::of(&RgbImage::new(0, 0)).level(), 0);
    }

    #[test]
    fn the_same_drawing_in_another_colour_is_another_picture() {
        let drawn = |colour: [u8; 3]| {
            let mut drawn = picture(3, 96, 96);
            for pixel in drawn.pixels_mut() {
                let grey = u16::from(pixel.0[1]);
                pixel.0 = colour.map(|c| (u16::from(c) * grey / 255) as u8);
            }
            Look::of(&drawn)
        };
        assert!(!drawn([230, 40, 40]).is_like(&drawn([40, 90, 230])));
    }
}
