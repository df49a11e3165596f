/*!
Images: from a file to a network's input.

There are two independent steps: `decode` and `open` turn a file into upright 8-bit RGB,
and [`Preprocess`] turns that into a normalised square. This module does not depend on
labels, models or devices.
*/

mod area;
mod decode;
mod error;
mod extensions;
mod file;
mod formats;
mod limits;
mod look;
mod picture;
mod preprocess;
mod profile;
mod quiet;
mod size;

pub use area::{Area, AreaError, Rect};
pub use decode::{READING, decode};
pub use error::{DecodeError, ImageError, PreprocessError};
pub use extensions::is_image_path;
pub use file::{MAX_FILE_BYTES, open, read};
pub use formats::format_names;
pub use limits::Limits;
pub use look::Look;
pub(crate) use preprocess::IMAGENET;
pub use preprocess::{Filter, Fit, MAX_SIZE, Preprocess};
