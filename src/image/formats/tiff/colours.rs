/*!
The conversion of samples to grey or RGB.
*/

use ::image::DynamicImage;

use super::directory::Directory;
use super::floats::to_words;
use super::layout::Layout;
use super::level::Level;
use super::names::Colours;
use super::palette::Palette;
use super::refusal::damaged;
use super::samples::Samples;
use super::ycbcr::Conversion;
use super::{alpha, lab};
use crate::image::DecodeError;

/// Returns the samples of a page as a picture of full range with straight alpha.
///
/// # Errors
/// If a palette is missing or short.
pub fn picture(
    samples: Samples,
    layout: &Layout,
    page: &Directory,
) -> Result<DynamicImage, DecodeError> {
    match samples {
        Samples::Bytes(bytes) => convert(bytes, layout, page),
        Samples::Words(words) => convert(words, layout, page),
        Samples::Floats(floats) => {
            let alpha = layout.alpha.is_some();
            let channels = layout.channels();
            let words = to_words(&floats, (layout.kind, layout.bits), channels, alpha);
            drop(floats);
            convert(words, layout, page)
        }
    }
}

fn convert<T: Level>(
    mut samples: Vec<T>,
    layout: &Layout,
    page: &Directory,
) -> Result<DynamicImage, DecodeError> {
    let channels = layout.channels();
    match layout.alpha {
        Some(found) if found.associated => alpha::divide(&mut samples, channels),
        Some(found) if !found.stated => alpha::opaque_if_clear(&mut samples, channels),
        _ => {}
    }
    let size = (layout.width as u32, layout.height as u32);
    let found = match layout.colours {
        Colours::BlackIsZero | Colours::Rgb => T::picture(samples, size, channels),
        Colours::WhiteIsZero => {
            for grey in samples.iter_mut().step_by(channels) {
                *grey = T::narrow(T::MOST - grey.wide());
            }
            T::picture(samples, size, channels)
        }
        Colours::Palette => {
            let palette = Palette::new(page, layout.bits)?;
            u8::picture(palette.apply(&samples, channels), size, channels + 2)
        }
        Colours::Cmyk => T::picture(from_cmyk(&samples, channels), size, channels - 1),
        Colours::YCbCr => {
            let conversion = Conversion::new(page, layout.as_in_jpeg, layout.bits);
            conversion.to_rgb(&mut samples, channels);
            T::picture(samples, size, channels)
        }
        colours @ (Colours::CieLab | Colours::IccLab) => {
            lab::to_srgb(&mut samples, channels, colours == Colours::IccLab);
            T::picture(samples, size, channels)
        }
    };
    found.ok_or_else(|| damaged("its samples do not fill it"))
}

/// Returns what light the inks leave: each the share that its ink leaves of what black does.
fn from_cmyk<T: Level>(samples: &[T], channels: usize) -> Vec<T> {
    let mut pixels = Vec::with_capacity(samples.len() / channels * (channels - 1));
    for pixel in samples.chunks_exact(channels) {
        let [cyan, magenta, yellow, black, rest @ ..] = pixel else { continue };
        let light = |ink: &T| u64::from(T::MOST - ink.wide());
        let left = |ink: &T| {
            let most = u64::from(T::MOST);
            T::narrow(((light(ink) * light(black) + most / 2) / most) as u32)
        };
        pixels.extend([left(cyan), left(magenta), left(yellow)]);
        pixels.extend(rest.first());
    }
    pixels
}
