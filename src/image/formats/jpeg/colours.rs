/*!
The samples of `jpeg-decoder` as an image.
*/

use ::image::{DynamicImage, GrayImage, ImageBuffer, Luma, RgbImage};
use jpeg_decoder::{ImageInfo, PixelFormat};

/// Returns decoded samples as an image; `None` if they are too few.
pub fn image(info: ImageInfo, samples: Vec<u8>) -> Option<DynamicImage> {
    let (width, height) = (u32::from(info.width), u32::from(info.height));
    Some(match info.pixel_format {
        PixelFormat::L8 => GrayImage::from_raw(width, height, samples)?.into(),
        PixelFormat::L16 => {
            let words = samples.chunks_exact(2);
            let deep = words.map(|two| u16::from_ne_bytes([two[0], two[1]])).collect();
            ImageBuffer::<Luma<u16>, _>::from_raw(width, height, deep)?.into()
        }
        PixelFormat::RGB24 => RgbImage::from_raw(width, height, samples)?.into(),
        PixelFormat::CMYK32 => {
            let rgb = samples.chunks_exact(4).flat_map(light).collect();
            RgbImage::from_raw(width, height, rgb)?.into()
        }
    })
}

/// Returns the light that four inks leave, each from 0 for none to 255.
fn light(inks: &[u8]) -> [u8; 3] {
    let left = |ink: u8| 255 - u32::from(ink);
    let mix = |ink: u8| ((left(ink) * left(inks[3]) + 127) / 255) as u8;
    [mix(inks[0]), mix(inks[1]), mix(inks[2])]
}
