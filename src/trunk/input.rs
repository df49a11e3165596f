/*!
The preparation of images that a trunk's weights were trained with, for any input size.
*/

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::image::{Filter, Fit, IMAGENET, Preprocess, PreprocessError};

/// Those of CLIP's training images.
const CLIP: ([f32; 3], [f32; 3]) =
    ([122.770_94, 116.746_01, 104.093_74], [68.500_53, 66.632_16, 70.323_16]);

/// The preparation of images for a trunk.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Input {
    /// The resampling filter.
    pub filter: Filter,
    /// The mean that is subtracted from each channel, on the byte scale.
    pub mean: [f32; 3],
    /// The standard deviation that each channel is divided by, on the byte scale.
    pub std: [f32; 3],
    /// The share of a scaled image's short side that the crop shows, above 0 to 1.
    pub shown: f64,
    /// How an image that is not square becomes a square.
    pub fit: Fit,
}

impl Input {
    /// EfficientNet-Lite: bicubic, `(byte − 127) / 128`.
    pub(super) const LITE: Self = Self::new(Filter::Bicubic, ([127.0; 3], [128.0; 3]), 0.875);
    /// torchvision's ResNets: bilinear.
    pub(super) const RESNET: Self = Self::new(Filter::Bilinear, IMAGENET, 0.875);
    /// ConvNeXt and DINOv2: bicubic.
    pub(super) const IMAGENET: Self = Self::new(Filter::Bicubic, IMAGENET, 0.875);
    /// DINOv3: the whole image, stretched to a square.
    pub(super) const STRETCHED: Self = Self { fit: Fit::Stretch, shown: 1.0, ..Self::IMAGENET };
    /// timm's plain transformers: pixels from −1 to 1.
    pub(super) const PLAIN: Self = Self::new(Filter::Bicubic, ([127.5; 3], [127.5; 3]), 0.9);
    /// CLIP: the short side is the crop's.
    pub(super) const CLIP: Self = Self::new(Filter::Bicubic, CLIP, 1.0);

    const fn new(filter: Filter, (mean, std): ([f32; 3], [f32; 3]), shown: f64) -> Self {
        Self { filter, mean, std, shown, fit: Fit::Crop }
    }

    /// Returns the preprocessing for an input of `size` × `size` pixels.
    ///
    /// # Errors
    /// If the size or a number is out of range.
    pub fn preprocess(&self, size: u32) -> Result<Preprocess, PreprocessError> {
        // A share out of range gives a short side that is refused, too.
        let short_side = (f64::from(size) / self.shown).round() as u32;
        Preprocess::new(size, self.filter, self.mean, self.std)?
            .with_short_side(short_side)?
            .with_fit(self.fit)
    }
}

impl fmt::Display for Input {
    /// `bicubic, 87.5 % of the short side, mean (123.7, 116.3, 103.5), deviation (58.4, 57.1, 57.4)`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let filter = match self.filter {
            Filter::Bicubic => "bicubic",
            Filter::Bilinear => "bilinear",
        };
        let fit = match self.fit {
            Fit::Crop => format!("the middle {:.1} % of the short side", self.shown * 100.0),
            Fit::Stretch => "stretched to a square".to_owned(),
        };
        let listed = |[r, g, b]: [f32; 3]| format!("({r:.1}, {g:.1}, {b:.1})");
        let (mean, std) = (listed(self.mean), listed(self.std));
        write!(f, "{filter}, {fit}, mean {mean}, deviation {std}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_usual_margins_are_kept() {
        let short = |input: Input, size| input.preprocess(size).unwrap().short_side();
        assert_eq!(
            [224, 160, 192, 256, 1, 2].map(|s| short(Input::LITE, s)),
            [256, 183, 219, 293, 1, 2]
        );
        assert_eq!([short(Input::CLIP, 224), short(Input::PLAIN, 224)], [224, 249]);
        for size in 1..=4096 {
            assert_eq!(short(Input::RESNET, size), (256 * size + 112) / 224);
        }
        for shown in [0.0, -1.0, 1.5, f64::NAN, 1e-9] {
            let input = Input { shown, ..Input::CLIP };
            assert!(input.preprocess(224).is_err(), "{shown}");
        }
    }
}
