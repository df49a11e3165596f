/*!
Alpha: colours that are already multiplied by it, and alpha that is none.
*/

use super::level::Level;

/// Divides colours by their alpha, the last sample of each pixel.
pub fn divide<T: Level>(samples: &mut [T], channels: usize) {
    for pixel in samples.chunks_exact_mut(channels) {
        let Some((alpha, colours)) = pixel.split_last_mut() else { continue };
        let alpha = u64::from(alpha.wide());
        if alpha == 0 {
            continue;
        }
        for colour in colours {
            let full = (u64::from(colour.wide()) * u64::from(T::MOST) + alpha / 2) / alpha;
            *colour = T::narrow(full.min(u64::from(T::MOST)) as u32);
        }
    }
}

/// Makes all pixels opaque if all are clear: then the sample is no alpha, only unused.
pub fn opaque_if_clear<T: Level>(samples: &mut [T], channels: usize) {
    let all_clear = samples
        .chunks_exact(channels)
        .all(|pixel| pixel.last().is_some_and(|alpha| alpha.wide() == 0));
    if all_clear {
        for pixel in samples.chunks_exact_mut(channels) {
            if let Some(alpha) = pixel.last_mut() {
                *alpha = T::narrow(T::MOST);
            }
        }
    }
}
