/*!
Samples of full range, in 8 or 16 bits.
*/

use ::image::{DynamicImage, ImageBuffer};

/// A sample of full range.
pub trait Level: Copy {
    /// The greatest sample.
    const MOST: u32;

    fn wide(self) -> u32;

    /// Returns a sample of at most [`Self::MOST`].
    fn narrow(wide: u32) -> Self;

    /// Returns interleaved samples as a picture of `channels`; `None` if they do not fill it.
    fn picture(samples: Vec<Self>, size: (u32, u32), channels: usize) -> Option<DynamicImage>;
}

impl Level for u8 {
    const MOST: u32 = 255;

    fn wide(self) -> u32 {
        u32::from(self)
    }

    fn narrow(wide: u32) -> Self {
        wide as u8
    }

    fn picture(all: Vec<u8>, (width, height): (u32, u32), channels: usize) -> Option<DynamicImage> {
        match channels {
            1 => ImageBuffer::from_raw(width, height, all).map(DynamicImage::ImageLuma8),
            2 => ImageBuffer::from_raw(width, height, all).map(DynamicImage::ImageLumaA8),
            3 => ImageBuffer::from_raw(width, height, all).map(DynamicImage::ImageRgb8),
            _ => ImageBuffer::from_raw(width, height, all).map(DynamicImage::ImageRgba8),
        }
    }
}

impl Level for u16 {
    const MOST: u32 = 65535;

    fn wide(self) -> u32 {
        u32::from(self)
    }

    fn narrow(wide: u32) -> Self {
        wide as u16
    }

    fn picture(
        all: Vec<u16>,
        (width, height): (u32, u32),
        channels: usize,
    ) -> Option<DynamicImage> {
        match channels {
            1 => ImageBuffer::from_raw(width, height, all).map(DynamicImage::ImageLuma16),
            2 => ImageBuffer::from_raw(width, height, all).map(DynamicImage::ImageLumaA16),
            3 => ImageBuffer::from_raw(width, height, all).map(DynamicImage::ImageRgb16),
            _ => ImageBuffer::from_raw(width, height, all).map(DynamicImage::ImageRgba16),
        }
    }
}
