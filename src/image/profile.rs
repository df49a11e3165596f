/*!
Colour profiles: what the samples of a picture mean, and their conversion to sRGB.
*/

use std::sync::Arc;

use ::image::{DynamicImage, ImageBuffer, Pixel};
use moxcms::{
    CicpColorPrimaries, CicpProfile, ColorProfile, DataColorSpace, Layout, MatrixCoefficients,
    TransferCharacteristics, TransformExecutor, TransformOptions,
};

/// Largest shift of a colour, of 255, by a profile that is taken for sRGB.
///
/// The profiles that programs embed for sRGB differ by so much among each other.
const SAME: u8 = 2;

/// The meaning of the samples of a picture.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Profile {
    /// An ICC profile, as the file holds it.
    Icc(Vec<u8>),
    /// Code points of ITU-T H.273: colour primaries and transfer characteristics.
    Cicp {
        /// The primaries, such as 1 for BT.709, 12 for Display P3.
        primaries: u8,
        /// The transfer characteristics, such as 13 for sRGB.
        transfer: u8,
    },
}

impl Profile {
    /// Returns `pixels` in sRGB, relative to the white of the profile.
    ///
    /// A profile that is broken, is one of another kind of samples, or means sRGB changes nothing.
    /// Nor do the high dynamic ranges of H.273, since sRGB cannot show them.
    pub fn to_srgb(&self, pixels: DynamicImage) -> DynamicImage {
        let Some(source) = self.parse() else { return pixels };
        match source.color_space {
            DataColorSpace::Rgb if pixels.color().has_color() => rgb(&source, pixels),
            DataColorSpace::Gray if !pixels.color().has_color() => grey(&source, pixels),
            // Grey samples of a colour picture, as many programs write them.
            DataColorSpace::Rgb if pixels.color().has_alpha() => {
                rgb(&source, DynamicImage::ImageRgba8(pixels.into_rgba8()))
            }
            DataColorSpace::Rgb => rgb(&source, DynamicImage::ImageRgb8(pixels.into_rgb8())),
            _ => pixels,
        }
    }

    fn parse(&self) -> Option<ColorProfile> {
        match self {
            Self::Icc(bytes) => ColorProfile::new_from_slice(bytes).ok(),
            Self::Cicp { transfer: 16 | 18, .. } => None,
            Self::Cicp { primaries, transfer } => {
                // 2 says that nothing is said.
                let primaries = if *primaries == 2 { 1 } else { *primaries };
                // Cameras name the curve of video and write that of sRGB.
                let transfer = if matches!(transfer, 1 | 2 | 6 | 14 | 15) { 13 } else { *transfer };
                Some(ColorProfile::new_from_cicp(CicpProfile {
                    color_primaries: CicpColorPrimaries::try_from(primaries).ok()?,
                    transfer_characteristics: TransferCharacteristics::try_from(transfer).ok()?,
                    matrix_coefficients: MatrixCoefficients::Identity,
                    full_range: true,
                }))
            }
        }
    }
}

fn rgb(source: &ColorProfile, pixels: DynamicImage) -> DynamicImage {
    let plain = by_8(source, Layout::Rgb);
    if is_identity(&plain) {
        return pixels;
    }
    // Eight bits of linear light would show steps.
    match (is_deep(&pixels), pixels.color().has_alpha()) {
        (false, false) => converted(pixels.into_rgb8(), plain).into(),
        (false, true) => converted(pixels.into_rgba8(), by_8(source, Layout::Rgba)).into(),
        (true, false) => converted(pixels.into_rgb16(), by_16(source, Layout::Rgb)).into(),
        (true, true) => converted(pixels.into_rgba16(), by_16(source, Layout::Rgba)).into(),
    }
}

fn is_deep(pixels: &DynamicImage) -> bool {
    let color = pixels.color();
    color.bytes_per_pixel() > color.channel_count()
}

/// A conversion of interleaved samples; `None` if the profile does not allow one.
type Conversion<S> = Option<Arc<dyn TransformExecutor<S> + Send + Sync>>;

fn by_8(source: &ColorProfile, layout: Layout) -> Conversion<u8> {
    source
        .create_transform_8bit(
            layout,
            &ColorProfile::new_srgb(),
            layout,
            TransformOptions::default(),
        )
        .ok()
}

fn by_16(source: &ColorProfile, layout: Layout) -> Conversion<u16> {
    source
        .create_transform_16bit(
            layout,
            &ColorProfile::new_srgb(),
            layout,
            TransformOptions::default(),
        )
        .ok()
}

/// Converts an image; without a conversion it stays.
fn converted<P: Pixel>(
    from: ImageBuffer<P, Vec<P::Subpixel>>,
    conversion: Conversion<P::Subpixel>,
) -> ImageBuffer<P, Vec<P::Subpixel>>
where
    P::Subpixel: Default,
{
    let mut to = ImageBuffer::new(from.width(), from.height());
    let done = conversion.is_some_and(|by| by.transform(from.as_raw(), &mut to).is_ok());
    if done { to } else { from }
}

/// Grey becomes grey, so a table of its values is enough.
fn grey(source: &ColorProfile, pixels: DynamicImage) -> DynamicImage {
    let srgb = ColorProfile::new_srgb();
    let values: Vec<u16> = (0..=u16::MAX).collect();
    let mut table = vec![0; 3 * values.len()];
    let applied = source
        .create_transform_16bit(Layout::Gray, &srgb, Layout::Rgb, TransformOptions::default())
        .is_ok_and(|by| by.transform(&values, &mut table).is_ok());
    if !applied {
        return pixels;
    }
    let of = |value: u16| table.get(3 * usize::from(value)).copied().unwrap_or(value);
    let mut grey = pixels.into_luma_alpha16();
    grey.pixels_mut().for_each(|pixel| pixel.0[0] = of(pixel.0[0]));
    grey.into()
}

/// Returns whether a conversion moves no colour of a coarse grid.
fn is_identity(conversion: &Conversion<u8>) -> bool {
    const STEPS: [u8; 6] = [0, 51, 102, 153, 204, 255];
    let colours = STEPS
        .iter()
        .flat_map(|r| STEPS.iter().flat_map(move |g| STEPS.iter().flat_map(move |b| [*r, *g, *b])));
    let from: Vec<u8> = colours.collect();
    let mut to = vec![0; from.len()];
    let applied = conversion.as_ref().is_some_and(|by| by.transform(&from, &mut to).is_ok());
    applied && from.iter().zip(&to).all(|(a, b)| a.abs_diff(*b) <= SAME)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ::image::{GrayImage, Luma, Rgb, RgbImage, Rgba, RgbaImage};

    fn icc(profile: &ColorProfile) -> Profile {
        Profile::Icc(profile.encode().unwrap())
    }

    fn one(profile: &Profile, colour: [u8; 3]) -> [u8; 3] {
        let pixels = RgbImage::from_pixel(2, 2, Rgb(colour));
        profile.to_srgb(pixels.into()).into_rgb8().get_pixel(1, 1).0
    }

    #[track_caller]
    fn near(found: [u8; 3], wanted: [u8; 3]) {
        let close = found.iter().zip(wanted).all(|(a, b)| a.abs_diff(b) <= 2);
        assert!(close, "{found:?} instead of {wanted:?}");
    }

    #[test]
    fn known_colours_of_wide_gamuts() {
        // By the matrices of IEC 61966-2-1, of Adobe RGB (1998) and of SMPTE EG 432-1 with D65.
        let adobe = icc(&ColorProfile::new_adobe_rgb());
        near(one(&adobe, [100, 150, 200]), [66, 151, 203]);
        let p3 = icc(&ColorProfile::new_display_p3());
        near(one(&p3, [100, 150, 200]), [83, 152, 205]);
        near(one(&Profile::Cicp { primaries: 12, transfer: 13 }, [100, 150, 200]), [83, 152, 205]);
        for white in [&adobe, &p3] {
            near(one(white, [255; 3]), [255; 3]);
            near(one(white, [0; 3]), [0; 3]);
        }
    }

    #[test]
    fn srgb_and_broken_profiles_change_nothing() {
        let profiles = [
            icc(&ColorProfile::new_srgb()),
            Profile::Icc(b"not a profile".to_vec()),
            Profile::Icc(Vec::new()),
            Profile::Cicp { primaries: 1, transfer: 13 },
            Profile::Cicp { primaries: 2, transfer: 2 },
            Profile::Cicp { primaries: 9, transfer: 16 },
            Profile::Cicp { primaries: 200, transfer: 200 },
        ];
        for profile in profiles {
            assert_eq!(one(&profile, [12, 130, 251]), [12, 130, 251], "{profile:?}");
        }
    }

    #[test]
    fn deep_samples_keep_their_steps() {
        let mut linear = ColorProfile::new_srgb();
        linear.cicp = None;
        let curve = Some(moxcms::ToneReprCurve::Lut(Vec::new()));
        (linear.red_trc, linear.green_trc) = (curve.clone(), curve.clone());
        linear.blue_trc = curve;
        // Dark samples of linear light, less than one step of eight bits apart.
        let dark: ImageBuffer<Rgb<u16>, _> =
            ImageBuffer::from_fn(2, 1, |x, _| Rgb([if x == 0 { 300 } else { 400 }; 3]));
        let found = icc(&linear).to_srgb(dark.into()).into_rgb8();
        // 12.92 and 1.055 x^(1/2.4) - 0.055 of IEC 61966-2-1, times 255.
        near(found.get_pixel(0, 0).0, [14; 3]);
        near(found.get_pixel(1, 0).0, [18; 3]);
    }

    #[test]
    fn alpha_stays_and_grey_has_its_own_curve() {
        let adobe = icc(&ColorProfile::new_adobe_rgb());
        let clear = RgbaImage::from_pixel(2, 1, Rgba([100, 150, 200, 77]));
        let pixel = adobe.to_srgb(clear.into()).into_rgba8().get_pixel(0, 0).0;
        near([pixel[0], pixel[1], pixel[2]], [66, 151, 203]);
        assert_eq!(pixel[3], 77);
        let linear = icc(&ColorProfile::new_gray_with_gamma(1.0));
        let dark = GrayImage::from_pixel(2, 1, Luma([55]));
        let [found] = linear.to_srgb(dark.into()).into_luma8().get_pixel(0, 0).0;
        near([found; 3], [128; 3]);
        // A profile for another kind of samples says nothing of these.
        assert_eq!(one(&linear, [55; 3]), [55; 3]);
    }
}
