/*!
The kinds of samples that a page's tags tell of, as far as they are read.
*/

use super::directory::Directory;
use super::names::{Colours, Compression};
use super::predictor::Predictor;
use super::refusal::{damaged, unsupported};
use super::tags;
use crate::image::DecodeError;

/// The most samples of a pixel: far above what any picture has, and low enough that no row of
/// them overflows.
pub const MAX_SAMPLES: usize = 1024;

/// The kind of number that the bits of a sample make.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Unsigned,
    Signed,
    Float,
}

/// Returns the likely colours of a page that does not name them, as libtiff does.
pub fn guess(page: &Directory, compression: Compression, samples: usize) -> Colours {
    match (compression, samples) {
        (Compression::FaxRows | Compression::Fax3 | Compression::Fax4, _) => Colours::WhiteIsZero,
        (_, 1) if page.has(tags::COLOUR_MAP) => Colours::Palette,
        (_, 1 | 2) => Colours::BlackIsZero,
        (Compression::Jpeg | Compression::OldJpeg, _) => Colours::YCbCr,
        _ => Colours::Rgb,
    }
}

/// Returns the bits of a sample.
///
/// # Errors
/// If samples have different sizes, or one that is not read in their compression.
pub fn bits(
    page: &Directory,
    compression: Compression,
    samples: usize,
) -> Result<usize, DecodeError> {
    let all = page.numbers(tags::BITS_PER_SAMPLE, samples)?;
    let bits = all.first().copied().unwrap_or(1);
    if all.iter().any(|other| *other != bits) {
        return Err(unsupported("samples of different sizes"));
    }
    if !matches!(bits, 1..=32 | 64) {
        return Err(unsupported(format!("{bits}-bit samples")));
    }
    let only = match compression {
        Compression::Jpeg | Compression::OldJpeg => Some((8, "JPEG")),
        Compression::WebP => Some((8, "WebP")),
        Compression::FaxRows | Compression::Fax3 | Compression::Fax4 => Some((1, "CCITT")),
        _ => None,
    };
    match only {
        Some((right, name)) if right != bits => {
            Err(unsupported(format!("{bits}-bit samples in {name} compression")))
        }
        _ => Ok(bits as usize),
    }
}

/// Returns how the bits of a sample make a number.
///
/// # Errors
/// If samples are of different kinds, or of one that is not read.
pub fn kind(page: &Directory, colours: Colours, bits: usize) -> Result<Kind, DecodeError> {
    // In Lab, the colours say which samples are signed.
    if matches!(colours, Colours::CieLab | Colours::IccLab) {
        return match bits {
            8 | 16 => Ok(Kind::Unsigned),
            _ => Err(unsupported(format!("Lab colours of {bits} bits"))),
        };
    }
    let all = page.numbers(tags::SAMPLE_FORMAT, MAX_SAMPLES)?;
    let first = all.first().copied().unwrap_or(1);
    if all.iter().any(|other| *other != first) {
        return Err(unsupported("samples of different kinds"));
    }
    match (first, colours) {
        (_, Colours::Palette) if bits > 16 => Err(unsupported(format!("palettes of {bits} bits"))),
        (_, Colours::Palette) => Ok(Kind::Unsigned),
        // Most writers of such bytes mean unsigned ones, and most viewers take them so.
        (2, _) if bits == 8 => Ok(Kind::Unsigned),
        (2, _) => Ok(Kind::Signed),
        (3, _) if matches!(bits, 16 | 24 | 32 | 64) => Ok(Kind::Float),
        (3, _) => Err(unsupported(format!("floating-point samples of {bits} bits"))),
        (5 | 6, _) => Err(unsupported("complex numbers")),
        // 4 leaves the kind open.
        _ => Ok(Kind::Unsigned),
    }
}

/// Returns the predictor of a code.
///
/// # Errors
/// If it is unknown, or does not suit the samples.
pub fn predictor(
    code: u64,
    compression: Compression,
    kind: Kind,
    bits: usize,
) -> Result<Predictor, DecodeError> {
    match code {
        _ if !compression.has_predictor() => Ok(Predictor::None),
        0 | 1 => Ok(Predictor::None),
        2 if matches!(bits, 8 | 16 | 24 | 32 | 64) => Ok(Predictor::Difference),
        2 => Err(unsupported(format!("a predictor with {bits}-bit samples"))),
        3 if kind == Kind::Float => Ok(Predictor::Float),
        3 => Err(damaged("it has a predictor for floating-point samples with others")),
        _ => Err(damaged(format!("its predictor is of the unknown kind {code}"))),
    }
}

/// Returns the pixels across and down that share their chroma.
///
/// # Errors
/// If these are no numbers of TIFF 6.0.
pub fn shared(
    page: &Directory,
    colours: Colours,
    compression: Compression,
) -> Result<(usize, usize), DecodeError> {
    // JPEG says itself how its chroma is stored, and WebP holds no YCbCr.
    let inside =
        matches!(compression, Compression::Jpeg | Compression::OldJpeg | Compression::WebP);
    if colours != Colours::YCbCr || inside {
        return Ok((1, 1));
    }
    match page.numbers(tags::YCBCR_SUBSAMPLING, 2)?.as_slice() {
        [] => Ok((2, 2)),
        [across @ (1 | 2 | 4), down @ (1 | 2 | 4), ..] => Ok((*across as usize, *down as usize)),
        other => Err(damaged(format!("its chroma is shared by {other:?} pixels"))),
    }
}
