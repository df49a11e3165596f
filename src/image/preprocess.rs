/*!
Preprocessing: from an RGB image of any size to a network's input.

Equivalent to torchvision's `Resize(short_side)`, `CenterCrop(size)` and `Normalize`, with
Pillow's antialiased filters. A trained model only works with the settings that it was
trained with, so they are part of its card.
*/

use fast_image_resize::images::{Image, ImageRef};
use fast_image_resize::{FilterType, PixelType, ResizeAlg, ResizeOptions, Resizer};
use image::RgbImage;
use serde::{Deserialize, Serialize};

use super::PreprocessError;

/// Maximum input size in pixels.
pub const MAX_SIZE: u32 = 4096;

/// Mean and standard deviation of ImageNet's pixels, on the byte scale.
pub(crate) const IMAGENET: ([f32; 3], [f32; 3]) =
    ([123.675, 116.28, 103.53], [58.395, 57.12, 57.375]);

/// The resampling filter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Filter {
    /// Cubic convolution with a = −0.5, antialiased, like Pillow's `BICUBIC`.
    Bicubic,
    /// Triangle, antialiased, like Pillow's `BILINEAR`.
    Bilinear,
}

impl Filter {
    /// The filter's radius, in pixels of the coarser image.
    fn reach(self) -> f64 {
        match self {
            Self::Bicubic => 2.0,
            Self::Bilinear => 1.0,
        }
    }
}

/// How an image that is not square becomes a square.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Fit {
    /// The short side is scaled, and the middle is cut out.
    #[default]
    Crop,
    /// The whole image is stretched.
    Stretch,
}

impl Fit {
    /// For serialisation: whether it is the usual one.
    fn is_usual(&self) -> bool {
        *self == Self::Crop
    }
}

/// The conversion of an image to a network's input of `3 × size × size` numbers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Card")]
pub struct Preprocess {
    size: u32,
    short_side: u32,
    filter: Filter,
    mean: [f32; 3],
    std: [f32; 3],
    #[serde(skip_serializing_if = "Fit::is_usual")]
    fit: Fit,
}

impl Preprocess {
    /// The settings of EfficientNet-Lite's training: bicubic, `(byte − 127) / 128`.
    ///
    /// # Errors
    /// [`PreprocessError::Size`] unless `size` is in 1..=[`MAX_SIZE`].
    pub fn efficientnet_lite(size: u32) -> Result<Self, PreprocessError> {
        Self::new(size, Filter::Bicubic, [127.0; 3], [128.0; 3])
    }

    /// The settings of torchvision's ResNets: bilinear, mean and standard deviation of
    /// ImageNet.
    ///
    /// # Errors
    /// [`PreprocessError::Size`] unless `size` is in 1..=[`MAX_SIZE`].
    pub fn imagenet(size: u32) -> Result<Self, PreprocessError> {
        let (mean, std) = IMAGENET;
        Self::new(size, Filter::Bilinear, mean, std)
    }

    /// Creates settings with the usual margin: the short side is `256 · size / 224`, rounded.
    ///
    /// `mean` and `std` are on the byte scale, 0 to 255.
    ///
    /// # Errors
    /// If the size is out of range, `mean` or `std` is not finite, or `std` is not positive.
    pub fn new(
        size: u32,
        filter: Filter,
        mean: [f32; 3],
        std: [f32; 3],
    ) -> Result<Self, PreprocessError> {
        if !(1..=MAX_SIZE).contains(&size) {
            return Err(PreprocessError::Size(size));
        }
        let short_side = (256 * size + 112) / 224;
        Self { size, short_side, filter, mean, std, fit: Fit::Crop }.checked()
    }

    /// Sets the short side of the scaled image before the crop.
    ///
    /// # Errors
    /// [`PreprocessError::ShortSide`] unless it is one to four times the crop.
    pub fn with_short_side(self, short_side: u32) -> Result<Self, PreprocessError> {
        Self { short_side, ..self }.checked()
    }

    /// Sets how an image becomes a square.
    ///
    /// # Errors
    /// [`PreprocessError::ShortSide`] if the image is stretched and the short side is not the input.
    pub fn with_fit(self, fit: Fit) -> Result<Self, PreprocessError> {
        Self { fit, ..self }.checked()
    }

    /// Width and height of the input, in pixels.
    pub fn size(&self) -> u32 {
        self.size
    }

    /// The short side of the scaled image before the crop, in pixels.
    pub fn short_side(&self) -> u32 {
        self.short_side
    }

    /// The resampling filter.
    pub fn filter(&self) -> Filter {
        self.filter
    }

    /// The mean that is subtracted from each channel, on the byte scale.
    pub fn mean(&self) -> [f32; 3] {
        self.mean
    }

    /// The standard deviation that each channel is divided by, on the byte scale.
    pub fn std(&self) -> [f32; 3] {
        self.std
    }

    /// Numbers per image: `3 · size²`.
    pub fn values(&self) -> usize {
        3 * self.plane()
    }

    /// Returns the network input for one image: channel by channel, row by row.
    ///
    /// An image without pixels counts as black.
    pub fn apply(&self, image: &RgbImage) -> Vec<f32> {
        let mut out = vec![0.0; self.values()];
        self.apply_into(image, &mut out);
        out
    }

    /// Like [`Preprocess::apply`], but writes to `out`, a part of a batch.
    ///
    /// # Panics
    /// If `out` does not have [`Preprocess::values`] numbers.
    pub fn apply_into(&self, image: &RgbImage, out: &mut [f32]) {
        assert_eq!(out.len(), self.values(), "length of `out`");
        self.normalise(&self.crop(image), out);
    }

    /// Returns the network input for the whole image, stretched to a square without a crop:
    /// for training on regions that are already cropped.
    ///
    /// An image without pixels counts as black.
    pub fn stretch(&self, image: &RgbImage) -> Vec<f32> {
        let mut square = vec![0; self.values()];
        // As in `crop`, this fails only for an image without pixels.
        let _ = self.resample_all(image, &mut square);
        let mut out = vec![0.0; self.values()];
        self.normalise(&square, &mut out);
        out
    }

    fn resample_all(&self, image: &RgbImage, square: &mut [u8]) -> Option<()> {
        let (width, height) = image.dimensions();
        let source = ImageRef::new(width, height, image.as_raw(), PixelType::U8x3).ok()?;
        let mut target =
            Image::from_slice_u8(self.size, self.size, square, PixelType::U8x3).ok()?;
        Resizer::new().resize(&source, &mut target, &self.options()).ok()
    }

    /// Normalises interleaved bytes to planar numbers.
    fn normalise(&self, crop: &[u8], out: &mut [f32]) {
        for (c, plane) in out.chunks_exact_mut(self.plane()).enumerate() {
            let (mean, std) = (self.mean[c], self.std[c]);
            for (value, pixel) in plane.iter_mut().zip(crop.chunks_exact(3)) {
                *value = (f32::from(pixel[c]) - mean) / std;
            }
        }
    }

    /// Returns the scaled and cropped image as bytes, `size × size` RGB pixels.
    pub fn crop(&self, image: &RgbImage) -> Vec<u8> {
        let mut crop = vec![0; self.values()];
        // The buffer sizes match and the region lies inside the image, so this fails only for
        // an image without pixels, whose crop stays black.
        let _ = match self.fit {
            Fit::Crop => self.resample(image, &mut crop),
            Fit::Stretch => self.resample_all(image, &mut crop),
        };
        crop
    }

    /// Maps a position in the input to an image of `width` × `height` pixels. `x` and `y` run
    /// from 0 to 1 across and down the input; the result is in pixels.
    pub fn origin(&self, x: f64, y: f64, width: u32, height: u32) -> (f64, f64) {
        if self.fit == Fit::Stretch {
            return (x * f64::from(width), y * f64::from(height));
        }
        let short = width.min(height).max(1);
        let (left, across) = self.span(width, short);
        let (top, down) = self.span(height, short);
        (left + x * across, top + y * down)
    }

    /// Scales only the part of the image that the crop shows. The filters still read the
    /// surrounding pixels, so the result equals scaling everything and then cropping. An image
    /// of 1 × 100000 pixels therefore never becomes 256 × 25600000.
    ///
    /// Scales horizontally, then vertically, like Pillow. The order is visible at hard edges
    /// because bytes are rounded and clipped in between; the library's own order is the
    /// opposite.
    fn resample(&self, image: &RgbImage, crop: &mut [u8]) -> Option<()> {
        let (width, height) = image.dimensions();
        let short = width.min(height).max(1);
        let (left, across) = self.span(width, short);
        let (top, down) = self.span(height, short);
        let side = f64::from(self.size);
        let reach = self.filter.reach() * (down / side).max(1.0);
        let first = (top - reach).floor().max(0.0);
        let rows = (top + down + reach).ceil().min(f64::from(height)) - first;

        let source = ImageRef::new(width, height, image.as_raw(), PixelType::U8x3).ok()?;
        let mut strip = Image::new(self.size, rows as u32, PixelType::U8x3);
        let across = self.options().crop(left, first, across, rows);
        let mut resizer = Resizer::new();
        resizer.resize(&source, &mut strip, &across).ok()?;
        let target = Image::from_slice_u8(self.size, self.size, crop, PixelType::U8x3);
        let down = self.options().crop(0.0, top - first, side, down);
        resizer.resize(&strip, &mut target.ok()?, &down).ok()
    }

    fn options(&self) -> ResizeOptions {
        let filter = match self.filter {
            Filter::Bicubic => FilterType::CatmullRom,
            Filter::Bilinear => FilterType::Bilinear,
        };
        ResizeOptions::new().resize_alg(ResizeAlg::Convolution(filter))
    }

    /// Returns (start, length) of the crop along one side of `length` pixels, in image pixels.
    /// `short` is the image's short side.
    fn span(&self, length: u32, short: u32) -> (f64, f64) {
        let size = u64::from(self.size);
        let length = u64::from(length);
        // torchvision truncates the long side.
        let scaled = u64::from(self.short_side) * length / u64::from(short);
        let offset = half_to_even(scaled.saturating_sub(size));
        let scaled = scaled.max(1) as f64;
        ((offset * length) as f64 / scaled, (size * length) as f64 / scaled)
    }

    fn plane(&self) -> usize {
        self.size as usize * self.size as usize
    }

    fn checked(self) -> Result<Self, PreprocessError> {
        let Self { size, short_side, mean, std, fit, .. } = self;
        if !(1..=MAX_SIZE).contains(&size) {
            return Err(PreprocessError::Size(size));
        }
        let most = if fit == Fit::Stretch { size } else { 4 * size };
        if !(size..=most).contains(&short_side) {
            return Err(PreprocessError::ShortSide { size, short_side });
        }
        let usable =
            mean.iter().all(|m| m.is_finite()) && std.iter().all(|s| s.is_finite() && *s > 0.0);
        if usable { Ok(self) } else { Err(PreprocessError::Scale { mean, std }) }
    }
}

/// Returns `n / 2` with ties rounded to even: Python's `round(n / 2)`, which torchvision's
/// centre crop uses.
fn half_to_even(n: u64) -> u64 {
    let half = n / 2;
    if n % 2 == 1 { half + half % 2 } else { half }
}

/// A deserialised [`Preprocess`], not yet checked.
#[derive(Deserialize)]
struct Card {
    size: u32,
    short_side: u32,
    filter: Filter,
    mean: [f32; 3],
    std: [f32; 3],
    #[serde(default)]
    fit: Fit,
}

impl TryFrom<Card> for Preprocess {
    type Error = PreprocessError;

    fn try_from(card: Card) -> Result<Self, PreprocessError> {
        let Card { size, short_side, filter, mean, std, fit } = card;
        Self { size, short_side, filter, mean, std, fit }.checked()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::{Limits, decode};
    use image::Rgb;
    use proptest::prelude::*;

    fn fixture(bytes: &[u8]) -> RgbImage {
        decode(bytes, &Limits::default()).unwrap()
    }

    /// Mean and maximum difference in grey levels.
    fn difference(a: &[u8], b: &[u8]) -> (f64, u8) {
        assert_eq!(a.len(), b.len());
        let each = a.iter().zip(b).map(|(a, b)| a.abs_diff(*b));
        let sum: u64 = each.clone().map(u64::from).sum();
        (sum as f64 / a.len() as f64, each.max().unwrap_or(0))
    }

    #[test]
    fn crops_are_pillows() {
        let photo = fixture(include_bytes!("../../tests/fixtures/photo.png"));
        let lite = |size| Preprocess::efficientnet_lite(size).unwrap();
        let cases = [
            (lite(32), include_bytes!("../../tests/fixtures/photo-bicubic-32.png").as_slice()),
            (lite(64), include_bytes!("../../tests/fixtures/photo-bicubic-64.png")),
            (
                Preprocess::imagenet(32).unwrap(),
                include_bytes!("../../tests/fixtures/photo-bilinear-32.png"),
            ),
        ];
        for (preprocess, golden) in cases {
            let (mean, most) = difference(&preprocess.crop(&photo), fixture(golden).as_raw());
            assert!(mean < 0.02 && most <= 1, "mean {mean}, most {most}");
        }
    }

    #[test]
    fn short_sides_keep_the_usual_margin() {
        let short = |size| Preprocess::efficientnet_lite(size).unwrap().short_side();
        assert_eq!([224, 160, 192, 256, 1, 2].map(short), [256, 183, 219, 293, 1, 2]);
    }

    #[test]
    fn values_are_normalised_channel_after_channel() {
        let image = RgbImage::from_pixel(9, 7, Rgb([255, 127, 0]));
        let lite = Preprocess::efficientnet_lite(4).unwrap().apply(&image);
        assert_eq!(lite[..16], [1.0; 16]);
        assert_eq!(lite[16..32], [0.0; 16]);
        assert_eq!(lite[32..], [-127.0 / 128.0; 16]);
        let imagenet = Preprocess::imagenet(1).unwrap().apply(&image);
        let expected = [(1.0 - 0.485) / 0.229, (127.0 / 255.0 - 0.456) / 0.224, -0.406 / 0.225];
        for (value, expected) in imagenet.iter().zip(expected) {
            assert!((value - expected).abs() < 1e-5, "{value} {expected}");
        }
    }

    #[test]
    fn the_right_size_is_cropped_untouched() {
        let image = RgbImage::from_fn(9, 8, |x, y| Rgb([x as u8 * 9, y as u8 * 11, 5]));
        let preprocess = Preprocess::efficientnet_lite(7).unwrap();
        assert_eq!(preprocess.short_side(), 8);
        // (9 − 7) / 2 = 1 across; (8 − 7) / 2 = 0.5 down, rounded to the even 0.
        let expected = image::imageops::crop_imm(&image, 1, 0, 7, 7).to_image();
        assert_eq!(&preprocess.crop(&image), expected.as_raw());
    }

    #[test]
    fn halves_round_to_even_as_in_python() {
        assert_eq!([0, 1, 2, 3, 4, 5, 7, 9].map(half_to_even), [0, 0, 1, 2, 2, 2, 4, 4]);
    }

    #[test]
    fn extreme_shapes_take_no_more_room() {
        let preprocess = Preprocess::efficientnet_lite(224).unwrap();
        for (width, height) in [(1, 100_000), (100_000, 1), (1, 1), (3, 70_001)] {
            let image = RgbImage::from_pixel(width, height, Rgb([9, 99, 199]));
            assert_eq!(preprocess.crop(&image), [9, 99, 199].repeat(224 * 224));
        }
        assert!(preprocess.apply(&RgbImage::new(0, 5)).iter().all(|v| *v == -127.0 / 128.0));
    }

    #[test]
    fn cards_read_back_and_bad_ones_do_not() {
        let preprocess = Preprocess::imagenet(224).unwrap();
        let card = serde_json::to_string(&preprocess).unwrap();
        assert!(
            card.starts_with(
                r#"{"size":224,"short_side":256,"filter":"bilinear","mean":[123.675,"#
            ),
            "{card}"
        );
        assert_eq!(serde_json::from_str::<Preprocess>(&card).unwrap(), preprocess);
        let bad = [
            ("224,", "0,"),
            ("224,", "100000,"),
            ("256,", "223,"),
            ("256,", "4000000000,"),
            ("58.395", "0.0"),
            ("58.395", "-1.0"),
            ("123.675", "1e39"),
            ("bilinear", "nearest"),
        ];
        for (from, to) in bad {
            let card = card.replacen(from, to, 1);
            assert!(serde_json::from_str::<Preprocess>(&card).is_err(), "{card}");
        }
        assert_eq!(Preprocess::imagenet(0), Err(PreprocessError::Size(0)));
        assert_eq!(Preprocess::imagenet(MAX_SIZE + 1), Err(PreprocessError::Size(MAX_SIZE + 1)));
    }

    /// Reference implementation: scales everything, then crops.
    fn whole(preprocess: &Preprocess, image: &RgbImage) -> Vec<u8> {
        let (width, height) = image.dimensions();
        let short = width.min(height);
        let to = |length: u32| preprocess.short_side * length / short;
        let (width_to, height_to) = (to(width), to(height));
        let source = ImageRef::new(width, height, image.as_raw(), PixelType::U8x3).unwrap();
        let mut strip = Image::new(width_to, height, PixelType::U8x3);
        let mut target = Image::new(width_to, height_to, PixelType::U8x3);
        Resizer::new().resize(&source, &mut strip, &preprocess.options()).unwrap();
        Resizer::new().resize(&strip, &mut target, &preprocess.options()).unwrap();
        let all = RgbImage::from_raw(width_to, height_to, target.into_vec()).unwrap();
        let offset = |length: u32| half_to_even(u64::from(length - preprocess.size)) as u32;
        let (left, top) = (offset(width_to), offset(height_to));
        let crop = image::imageops::crop_imm(&all, left, top, preprocess.size, preprocess.size);
        crop.to_image().into_raw()
    }

    proptest! {
        #[test]
        fn scaling_the_crop_only_is_scaling_all(
            width in 1u32..150, height in 1u32..150, size in 1u32..60, seed: u32
        ) {
            let noise = |x: u32, y: u32| (x.wrapping_mul(7919) ^ y.wrapping_mul(104_729) ^ seed).wrapping_mul(2_654_435_761);
            let image = RgbImage::from_fn(width, height, |x, y| {
                let [a, b, c, _] = noise(x, y).to_be_bytes();
                Rgb([a, b, c])
            });
            let preprocess = Preprocess::efficientnet_lite(size).unwrap();
            let (mean, most) = difference(&preprocess.crop(&image), &whole(&preprocess, &image));
            // The fixed-point precision depends on the range of the weights in use. Noise is the
            // worst case; on photos the difference is at most one level.
            prop_assert!(mean < 0.1 && most <= 2, "{} levels, {} on average", most, mean);
        }
    }
}
