/*!
The flat picture: from planes to pixels.
*/

use ::image::{DynamicImage, ImageBuffer};

use super::super::lab::lab_to_srgb;
use super::parts::{Header, Model, damaged};
use crate::image::DecodeError;

/// The flat picture.
pub(super) struct Flat<'a> {
    pub header: &'a Header,
    pub model: Model,
    pub alpha: bool,
    pub palette: &'a [u8],
    pub clear: Option<u16>,
    /// Whether samples of 32 bits stay light, because the profile says that they are.
    pub linear: bool,
    pub planes: Vec<u8>,
}

impl Flat<'_> {
    /// Returns the picture with straight alpha.
    pub fn image(&self) -> Result<DynamicImage, DecodeError> {
        let (width, height) = (self.header.width, self.header.height);
        let count = width as usize * height as usize;
        let odd = || damaged("samples are missing");
        if self.header.depth <= 8 {
            let mut data = Vec::with_capacity(count * 4);
            for y in 0..height as usize {
                data.extend((0..width as usize).flat_map(|x| self.pixel_8(x, y)));
            }
            return ImageBuffer::from_raw(width, height, data)
                .map(DynamicImage::ImageRgba8)
                .ok_or_else(odd);
        }
        let mut data = Vec::with_capacity(count * 4);
        for y in 0..height as usize {
            data.extend(
                (0..width as usize)
                    .flat_map(|x| self.pixel(x, y).map(|value| (value * 65535.0).round() as u16)),
            );
        }
        ImageBuffer::from_raw(width, height, data).map(DynamicImage::ImageRgba16).ok_or_else(odd)
    }

    /// Returns a pixel of at most eight bits.
    fn pixel_8(&self, x: usize, y: usize) -> [u8; 4] {
        let byte = |plane| self.byte(plane, x, y, 0);
        let alpha = if self.alpha { byte(self.model.planes()) } else { 255 };
        match self.model {
            Model::Rgb => {
                let alpha_free = [byte(0), byte(1), byte(2)];
                let [r, g, b] = alpha_free
                    .map(|value| if self.alpha { unmatte_8(value, alpha) } else { value });
                [r, g, b, alpha]
            }
            Model::Palette => {
                let index = byte(0);
                let colour = |third: usize| {
                    self.palette.get(third * 256 + usize::from(index)).copied().unwrap_or_default()
                };
                let alpha = if self.clear == Some(index.into()) { 0 } else { 255 };
                [colour(0), colour(1), colour(2), alpha]
            }
            _ => self.pixel(x, y).map(|value| (value * 255.0).round() as u8),
        }
    }

    /// Returns a pixel of 0 to 1.
    fn pixel(&self, x: usize, y: usize) -> [f32; 4] {
        let value = |plane| self.value(plane, x, y);
        let alpha = if self.alpha { value(self.model.planes()) } else { 1.0 };
        let [r, g, b] = match self.model {
            // A set bit is black.
            Model::Bitmap => {
                let bits = self.planes.get(y * self.header.row() + x / 8).copied();
                [if bits.unwrap_or_default() >> (7 - x % 8) & 1 == 1 { 0.0 } else { 1.0 }; 3]
            }
            Model::Grey | Model::Palette => [value(0); 3],
            Model::Rgb => [value(0), value(1), value(2)],
            // 0 is full ink.
            Model::Cmyk => [value(0), value(1), value(2)].map(|light| light * value(3)),
            Model::Inks => [value(0), value(1), value(2)],
            Model::Lab => {
                // a and b are 128 plus their number; of 16 bits in steps of 1/256.
                let span = if self.header.depth == 8 { 255.0 } else { 65535.0 / 256.0 };
                let chroma = |plane| value(plane) * span - 128.0;
                lab_to_srgb([value(0) * 100.0, chroma(1), chroma(2)])
            }
        };
        let free = |value: f32| if self.alpha { unmatte(value, alpha) } else { value };
        [free(r), free(g), free(b), alpha]
    }

    fn byte(&self, plane: usize, x: usize, y: usize, part: usize) -> u8 {
        let row = self.header.row();
        let size = usize::from(self.header.depth / 8).max(1);
        let at = (plane * self.header.height as usize + y) * row + x * size + part;
        self.planes.get(at).copied().unwrap_or_default()
    }

    /// Returns a sample of 0 to 1.
    fn value(&self, plane: usize, x: usize, y: usize) -> f32 {
        let bytes = |part| self.byte(plane, x, y, part);
        match self.header.depth {
            16 => f32::from(u16::from_be_bytes([bytes(0), bytes(1)])) / 65535.0,
            32 => {
                let linear = f32::from_be_bytes([bytes(0), bytes(1), bytes(2), bytes(3)]);
                // NaN stays, and becomes 0 as a whole number.
                let linear = linear.clamp(0.0, 1.0);
                // Light becomes the curve of sRGB (IEC 61966-2-1); alpha is not light.
                if self.linear || plane >= self.model.planes() {
                    linear
                } else if linear <= 0.003_130_8 {
                    12.92 * linear
                } else {
                    1.055 * linear.powf(1.0 / 2.4) - 0.055
                }
            }
            _ => f32::from(bytes(0)) / 255.0,
        }
    }
}

/// Takes white out of a colour that Photoshop has mixed with it by its alpha.
fn unmatte(value: f32, alpha: f32) -> f32 {
    if alpha <= 0.0 { 1.0 } else { ((value + alpha - 1.0) / alpha).clamp(0.0, 1.0) }
}

fn unmatte_8(value: u8, alpha: u8) -> u8 {
    match alpha {
        255 => value,
        0 => 255,
        alpha => {
            let (value, alpha) = (i32::from(value), i32::from(alpha));
            (((value + alpha - 255) * 255 + alpha / 2) / alpha).clamp(0, 255) as u8
        }
    }
}
