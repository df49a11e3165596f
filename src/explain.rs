/*!
Explanations of a model: attention maps overlaid on the image, and the contribution of each part
to the distance between two codes.

A [`crate::model::Model`] provides the maps, pixels and codes.
*/

use image::{Rgb, RgbImage};

use crate::hash::LinearHash;

/// An explanation of the distance between the codes of two images.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Pair {
    /// Attention in the first image.
    pub first: Attention,
    /// Attention in the second image.
    pub second: Attention,
    /// Hamming distance between the codes, in bits.
    pub distance: u32,
    /// Bits per code.
    pub bits: usize,
    /// The contribution of each part, in the order of the parts, followed by the contribution of
    /// the image as a whole. Empty for a model without parts.
    pub shares: Vec<Share>,
}

/// The contribution of one part to two codes. A code is the sign of a sum over the parts, so each
/// part can be omitted or used alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Share {
    /// Number of bits that differ if only this part is used.
    pub alone: u32,
    /// Number of bits that differ without this part. It is greater than the distance of the codes
    /// if the part makes them agree, and less if the part makes them differ.
    pub without: u32,
}

impl Pair {
    /// Draws both images with all overlays, one row per image.
    pub fn sheet(&self) -> RgbImage {
        let (first, second) = (self.first.all(), self.second.all());
        let width = first.width().max(second.width());
        let height = first.height() + 4 + second.height();
        let mut sheet = RgbImage::from_pixel(width, height, Rgb([255; 3]));
        image::imageops::replace(&mut sheet, &first, 0, 0);
        image::imageops::replace(&mut sheet, &second, 0, i64::from(first.height() + 4));
        sheet
    }
}

/// Computes the contribution of each of `parts` equal feature ranges to the codes of two images.
pub fn shares(hash: &LinearHash, [a, b]: [&[f32]; 2], parts: usize) -> Vec<Share> {
    let each = hash.dim() / parts.max(1);
    let of = |row: &[f32]| -> Vec<Vec<f32>> {
        (0..parts).map(|part| hash.share(row, part * each..(part + 1) * each)).collect()
    };
    let (of_a, of_b) = (of(a), of(b));
    let differ = |a: &dyn Fn(usize) -> f32, b: &dyn Fn(usize) -> f32| {
        (0..hash.bits()).filter(|bit| (a(*bit) >= 0.0) != (b(*bit) >= 0.0)).count() as u32
    };
    let without = |of: &[Vec<f32>], part: usize, bit: usize| -> f32 {
        let others = (0..parts).filter(|other| *other != part);
        hash.bias()[bit] + others.map(|other| of[other][bit]).sum::<f32>()
    };
    (0..parts)
        .map(|part| Share {
            alone: differ(&|bit| of_a[part][bit], &|bit| of_b[part][bit]),
            without: differ(&|bit| without(&of_a, part, bit), &|bit| without(&of_b, part, bit)),
        })
        .collect()
}

/// Attention maps of one image, and the region of the image that they cover.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Attention {
    /// The input of the network: the scaled and cropped image.
    pub seen: RgbImage,
    /// One map per part, in row-major order; no value is negative.
    pub maps: Vec<Vec<f32>>,
    /// Width and height of a map in cells.
    pub side: usize,
}

impl Attention {
    /// Draws the image with the attention of one part: regions of low attention are grey and dark,
    /// regions of high attention are in colour with a warm tint.
    ///
    /// Each map is scaled from its own minimum to its own maximum, because parts differ in where
    /// their maps peak, not in absolute values. A constant map makes the whole image dark.
    pub fn overlay(&self, part: usize) -> RgbImage {
        let map = self.maps.get(part).map_or(&[][..], Vec::as_slice);
        let greatest = map.iter().copied().fold(f32::MIN, f32::max);
        let least = map.iter().copied().fold(f32::MAX, f32::min);
        let (width, height) = self.seen.dimensions();
        RgbImage::from_fn(width, height, |x, y| {
            let at =
                |value: u32, size: u32| (value as f32 + 0.5) / size as f32 * self.side as f32 - 0.5;
            let value = interpolate(map, self.side, at(x, width), at(y, height));
            // A constant map carries no information about the position.
            let share = if greatest > least { (value - least) / (greatest - least) } else { 0.0 };
            blend(self.seen.get_pixel(x, y), share)
        })
    }

    /// Draws the image and all overlays side by side, separated by thin lines.
    pub fn all(&self) -> RgbImage {
        let (width, height) = self.seen.dimensions();
        let tiles = 1 + self.maps.len() as u32;
        let mut sheet = RgbImage::from_pixel(tiles * (width + 4) - 4, height, Rgb([255; 3]));
        let overlays = (0..self.maps.len()).map(|part| self.overlay(part));
        for (tile, picture) in [self.seen.clone()].into_iter().chain(overlays).enumerate() {
            let x = tile as i64 * i64::from(width + 4);
            image::imageops::replace(&mut sheet, &picture, x, 0);
        }
        sheet
    }

    /// Computes the correlation between the maps of two parts, from −1 to 1; 0 if one map is
    /// constant.
    pub fn likeness(&self, a: usize, b: usize) -> f32 {
        let (Some(a), Some(b)) = (self.maps.get(a), self.maps.get(b)) else { return 0.0 };
        let centred = |map: &[f32]| -> Vec<f32> {
            let mean = map.iter().sum::<f32>() / map.len().max(1) as f32;
            map.iter().map(|value| value - mean).collect()
        };
        let dot = |a: &[f32], b: &[f32]| -> f32 { a.iter().zip(b).map(|(a, b)| a * b).sum() };
        let (a, b) = (centred(a), centred(b));
        let norm = (dot(&a, &a) * dot(&b, &b)).sqrt();
        if norm > 0.0 { (dot(&a, &b) / norm).clamp(-1.0, 1.0) } else { 0.0 }
    }
}

/// Interpolates a map bilinearly at a point between its cells; border cells extend outwards.
fn interpolate(map: &[f32], side: usize, x: f32, y: f32) -> f32 {
    let last = side.saturating_sub(1);
    let cell = |value: f32| (value.max(0.0) as usize).min(last);
    let (x0, y0) = (cell(x.floor()), cell(y.floor()));
    let (x1, y1) = ((x0 + 1).min(last), (y0 + 1).min(last));
    let (fx, fy) = ((x - x0 as f32).clamp(0.0, 1.0), (y - y0 as f32).clamp(0.0, 1.0));
    let value = |x: usize, y: usize| map.get(y * side + x).copied().unwrap_or(0.0);
    let top = value(x0, y0) * (1.0 - fx) + value(x1, y0) * fx;
    let bottom = value(x0, y1) * (1.0 - fx) + value(x1, y1) * fx;
    top * (1.0 - fy) + bottom * fy
}

/// Colours a pixel from dark grey at `share` 0 to full, warm colour at `share` 1.
fn blend(pixel: &Rgb<u8>, share: f32) -> Rgb<u8> {
    let share = share.clamp(0.0, 1.0);
    let [r, g, b] = pixel.0.map(f32::from);
    let grey = (0.299 * r + 0.587 * g + 0.114 * b) * 0.45;
    let warm = [255.0, 120.0, 0.0];
    let mixed = [r, g, b].into_iter().zip(warm).map(|(c, warm)| {
        let lit = c * 0.75 + warm * 0.25;
        (grey * (1.0 - share) + lit * share) as u8
    });
    let mut out = [0; 3];
    out.iter_mut().zip(mixed).for_each(|(o, m)| *o = m);
    Rgb(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attention() -> Attention {
        let seen = RgbImage::from_pixel(40, 40, Rgb([200, 200, 200]));
        let mut corner = vec![0.0; 16];
        corner[0] = 3.0;
        Attention { seen, maps: vec![corner, vec![0.0; 16], vec![1.0; 16]], side: 4 }
    }

    #[test]
    fn attention_lights_up_where_the_map_is_high() {
        let attention = attention();
        let corner = attention.overlay(0);
        assert!(corner.get_pixel(4, 4)[0] > 180);
        assert!(corner.get_pixel(35, 35)[0] < 100);
        for flat in [1, 2] {
            assert!(attention.overlay(flat).pixels().all(|p| p[0] < 100));
        }
        assert_eq!(attention.all().dimensions(), (4 * 44 - 4, 40));
    }

    #[test]
    fn a_part_that_agrees_is_missed_and_one_that_does_not_is_not() {
        // Two parts of one feature each, two bits. The first part sets both bits equally in both
        // images. The second part pushes the second bit in opposite directions, but is too weak.
        let hash = LinearHash::new(vec![0.0; 2], vec![1.0, 1.0, 0.0, 0.1]).unwrap();
        let shares = shares(&hash, [&[1.0, 1.0], &[1.0, -1.0]], 2);
        assert_eq!(shares[0], Share { alone: 0, without: 1 });
        assert_eq!(shares[1], Share { alone: 1, without: 0 });
    }

    #[test]
    fn likeness_is_the_correlation() {
        let mut attention = attention();
        assert!((attention.likeness(0, 0) - 1.0).abs() < 1e-6);
        assert_eq!((attention.likeness(0, 2), attention.likeness(0, 1)), (0.0, 0.0));
        // The inverted map, and the same map with an offset and a scale.
        attention.maps[1] = attention.maps[0].iter().map(|v| 3.0 - v).collect();
        attention.maps[2] = attention.maps[0].iter().map(|v| 7.0 + 2.0 * v).collect();
        assert!((attention.likeness(0, 1) + 1.0).abs() < 1e-6);
        assert!((attention.likeness(0, 2) - 1.0).abs() < 1e-6);
    }
}
