/*!
Images: from a file to a network's input.

There are two independent steps: `decode` and `open` turn a file into upright 8-bit RGB,
and [`Preprocess`] turns that into a normalised square. This module does not depend on
labels, models or devices.
*/

mod container;
mod decode;
mod error;
mod extensions;
mod file;
#[cfg(feature = "heic")]
mod heic;
mod limits;
mod look;
mod preprocess;
mod size;

pub use decode::decode;
pub use error::{DecodeError, ImageError, PreprocessError};
pub use extensions::{IMAGE_EXTENSIONS, is_image_path};
pub use file::{MAX_FILE_BYTES, open, read};
pub use limits::Limits;
pub use look::Look;
pub use preprocess::{Filter, MAX_SIZE, Preprocess};
