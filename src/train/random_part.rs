/*!
Random crops of images: the views for training.
*/

use ::image::{RgbImage, imageops};
use rand::{Rng, RngExt};

/// Returns a random crop, mirrored with probability ½: at least `least_area` of the image, with an
/// aspect ratio from 3:4 to 4:3 (both as far as the image allows).
pub(super) fn random_part(image: &RgbImage, least_area: f32, rng: &mut impl Rng) -> RgbImage {
    let (width, height) = (image.width() as f32, image.height() as f32);
    let area = width * height * rng.random_range(least_area..=1.0);
    let ratio = rng.random_range(0.75f32.ln()..=(4.0f32 / 3.0).ln()).exp();
    let w = (area * ratio).sqrt().clamp(1.0, width.max(1.0));
    let h = (area / ratio).sqrt().clamp(1.0, height.max(1.0));
    let x = rng.random_range(0.0..=(width - w).max(0.0));
    let y = rng.random_range(0.0..=(height - h).max(0.0));
    let part = imageops::crop_imm(image, x as u32, y as u32, w as u32, h as u32).to_image();
    if rng.random_bool(0.5) { imageops::flip_horizontal(&part) } else { part }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    #[test]
    fn parts_are_inside_and_large_enough() {
        for (width, height) in [(40, 30), (1, 1), (3, 200), (200, 3)] {
            let image =
                RgbImage::from_fn(width, height, |x, y| ::image::Rgb([x as u8, y as u8, 0]));
            let mut rng = ChaCha8Rng::seed_from_u64(1);
            for _ in 0..50 {
                let part = random_part(&image, 0.5, &mut rng);
                assert!(part.width() <= width && part.height() <= height);
                assert!(part.width() > 0 && part.height() > 0);
                if (width, height) == (40, 30) {
                    // Sides are truncated to whole pixels.
                    let area = (part.width() + 1) * (part.height() + 1);
                    assert!(area >= width * height / 2, "{:?}", part.dimensions());
                }
            }
        }
    }
}
