/*!
Errors of opening, decoding and preprocessing images.
*/

use std::io;
use std::path::PathBuf;

use super::file::MAX_FILE_BYTES;
use super::preprocess::MAX_SIZE;
use crate::cause::Cause;

/// An error of opening an image file. Every message names the file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ImageError {
    /// The file is missing or unreadable.
    #[error("cannot read {}: {source}; check that the file exists and its permissions allow reading", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// The path is a folder, a pipe or a device.
    #[error("{} is not a file; specify an image file", path.display())]
    NotAFile {
        /// The path.
        path: PathBuf,
    },
    /// The file is larger than [`MAX_FILE_BYTES`] and was not read.
    #[error("{} has {bytes} bytes, more than any image that can be read ({MAX_FILE_BYTES}); leave it out", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// Its size in bytes.
        bytes: u64,
    },
    /// The content of the file cannot be decoded.
    #[error("{}: {source}", path.display())]
    Decode {
        /// The file.
        path: PathBuf,
        /// The reason.
        source: DecodeError,
    },
}

/// An error of decoding an image.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// The file is empty.
    #[error("the file is empty; copy or download it again")]
    Empty,
    /// The format is not supported.
    #[error("not an image of a known format{}; convert it to JPEG or leave it out", found.map(|f| format!(" but {f}")).unwrap_or_default())]
    Format {
        /// The detected format, if it is a known one.
        found: Option<&'static str>,
    },
    /// The file ends before the image does.
    #[error("the {0} image is cut off before its end; copy or download it again")]
    Truncated(&'static str),
    /// Width or height is 0.
    #[error("the image has no pixels ({width} × {height}); leave it out")]
    NoPixels {
        /// Width in pixels.
        width: u32,
        /// Height in pixels.
        height: u32,
    },
    /// The header announces more pixels than the limit; nothing was allocated for them.
    #[error(
        "the image has {width} × {height} pixels, more than the limit of {limit}; scale it down or raise the limit"
    )]
    TooManyPixels {
        /// Width in pixels.
        width: u32,
        /// Height in pixels.
        height: u32,
        /// The limit, [`Limits::max_pixels`](crate::Limits::max_pixels).
        limit: u64,
    },
    /// A variant of the format that the decoder does not support (such as arithmetic coding).
    #[error("this kind of {format} cannot be read ({reason}); save it again as a JPEG or PNG")]
    Unsupported {
        /// The format.
        format: &'static str,
        /// The decoder's message.
        #[source]
        reason: Cause,
    },
    /// The content is inconsistent.
    #[error("the {format} image is damaged ({reason}); restore it from a copy")]
    Damaged {
        /// The format.
        format: &'static str,
        /// The decoder's message.
        #[source]
        reason: Cause,
    },
}

/// An error of preprocessing settings.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum PreprocessError {
    /// The input size is outside 1..=[`MAX_SIZE`].
    #[error("an input size of {0} pixels cannot be used; choose 1 to {MAX_SIZE}")]
    Size(u32),
    /// The input is not made up of whole patches of a transformer.
    #[error(
        "an input size of {size} pixels cannot be cut into patches of {patch}; choose {below} or {above}"
    )]
    Patches {
        /// The input size, in pixels.
        size: u32,
        /// The side of a patch, in pixels.
        patch: u32,
        /// The next smaller size that can be.
        below: u32,
        /// The next greater one.
        above: u32,
    },
    /// The input is smaller than the trunk's stride.
    #[error("an input size of {size} pixels is too small for this trunk; choose at least {least}")]
    Small {
        /// The input size, in pixels.
        size: u32,
        /// The least size, in pixels.
        least: u32,
    },
    /// The short side is smaller than the crop, or too large.
    #[error(
        "a short side of {short_side} pixels does not suit a crop of {size}; it must lie between the crop and four times it"
    )]
    ShortSide {
        /// The crop, in pixels.
        size: u32,
        /// The short side before the crop, in pixels.
        short_side: u32,
    },
    /// A mean is not a finite number, or a standard deviation is not a positive one.
    #[error(
        "mean {mean:?} and standard deviation {std:?} cannot normalise an image; use finite means and positive deviations"
    )]
    Scale {
        /// Per channel, on the scale 0..255.
        mean: [f32; 3],
        /// Per channel, on the scale 0..255.
        std: [f32; 3],
    },
}
