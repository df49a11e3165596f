/*!
Why an image could not be opened, decoded or prepared.
*/

use std::io;
use std::path::PathBuf;

use super::MAX_FILE_BYTES;
use super::preprocess::MAX_SIZE;

/// Why an image file could not be opened. Every message names the file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ImageError {
    /// The file is missing or may not be read.
    #[error("cannot read {}: {source}; check that the file is there and that you may read it", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The path leads to a folder, a pipe or a device.
    #[error("{} is not a file; name an image file", path.display())]
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
    /// The file's content is no image that can be decoded.
    #[error("{}: {source}", path.display())]
    Decode {
        /// The file.
        path: PathBuf,
        /// What is wrong with the content.
        source: DecodeError,
    },
}

/// Why bytes could not be decoded into an image.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// There are no bytes at all.
    #[error("the file is empty; copy or download it again")]
    Empty,
    /// The content is of no format that is read.
    #[error("not a JPEG, PNG, WebP, GIF, BMP or TIFF image{}; convert it to one of these or leave it out", found.map(|f| format!(" but {f}")).unwrap_or_default())]
    Format {
        /// The format that it seems to be instead, if it is a known one.
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
        /// The limit, [`Limits::max_pixels`].
        limit: u64,
    },
    /// A variant of the format that the decoder does not know (such as arithmetic coding).
    #[error("this kind of {format} cannot be read ({reason}); save it again as a plain {format}")]
    Unsupported {
        /// The format.
        format: &'static str,
        /// What the decoder said.
        reason: String,
    },
    /// The content contradicts itself.
    #[error("the {format} image is damaged ({reason}); restore it from a copy")]
    Damaged {
        /// The format.
        format: &'static str,
        /// What the decoder said.
        reason: String,
    },
}

/// Why preprocessing settings were refused.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum PreprocessError {
    /// The input size is outside 1..=[`MAX_SIZE`].
    #[error("an input size of {0} pixels cannot be used; choose 1 to {MAX_SIZE}")]
    Size(u32),
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
