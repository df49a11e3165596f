/*!
Images: from a file to a network's input.

There are two independent steps: `decode` and `open` turn a file into upright 8-bit RGB,
and [`Preprocess`] turns that into a normalised square. This module does not depend on
labels, models or devices.
*/

mod container;
mod decode;
mod error;
#[cfg(feature = "heic")]
mod heic;
mod preprocess;
mod size;

use std::fs::{self, File};
use std::io::Read;
use std::path::Path;

use ::image::RgbImage;

pub use decode::decode;
pub use error::{DecodeError, ImageError, PreprocessError};
pub use preprocess::{Filter, MAX_SIZE, Preprocess};

/// The file extensions that count as images when a folder is read, in lower case.
#[cfg(not(feature = "heic"))]
pub const IMAGE_EXTENSIONS: &[&str] = &["jpg", "jpeg", "png", "webp", "gif", "bmp", "tif", "tiff"];
/// The file extensions that count as images when a folder is read, in lower case.
#[cfg(feature = "heic")]
pub const IMAGE_EXTENSIONS: &[&str] =
    &["jpg", "jpeg", "png", "webp", "gif", "bmp", "tif", "tiff", "heic", "heif", "avif"];

/// Maximum size of an image file, in bytes (2 GiB).
pub const MAX_FILE_BYTES: u64 = 2 << 30;

/// Limits on the images that are decoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// Maximum number of pixels (width × height). Decoding takes up to 12 bytes per pixel.
    pub max_pixels: u64,
}

impl Default for Limits {
    /// 256 million pixels: more than any camera produces, and far below what a file of a few
    /// kilobytes can claim.
    fn default() -> Self {
        Self { max_pixels: 256_000_000 }
    }
}

/// Reads and decodes an image file like `decode`. The file name does not matter.
///
/// # Errors
/// If the path is not a regular file, cannot be read, is larger than [`MAX_FILE_BYTES`], or
/// does not contain a complete image within `limits`.
pub fn open(path: &Path, limits: &Limits) -> Result<RgbImage, ImageError> {
    let bytes = read(path)?;
    decode(&bytes, limits).map_err(|source| ImageError::Decode { path: path.into(), source })
}

/// Returns whether a path has the extension of an image.
pub fn is_image_path(path: &Path) -> bool {
    let extension = path.extension().and_then(|e| e.to_str()).unwrap_or_default();
    IMAGE_EXTENSIONS.iter().any(|known| known.eq_ignore_ascii_case(extension))
}

/// Reads an image file without decoding it.
///
/// # Errors
/// If the path is not a regular file, cannot be read, or is larger than [`MAX_FILE_BYTES`].
pub fn read(path: &Path) -> Result<Vec<u8>, ImageError> {
    let failed = |source| ImageError::Read { path: path.into(), source };
    // Checked before opening, because opening a pipe would block.
    let meta = fs::metadata(path).map_err(failed)?;
    if !meta.is_file() {
        return Err(ImageError::NotAFile { path: path.into() });
    }
    let mut bytes = Vec::new();
    if meta.len() <= MAX_FILE_BYTES {
        // The file may grow beyond the limit meanwhile.
        let file = File::open(path).map_err(failed)?;
        file.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes).map_err(failed)?;
    }
    let size = meta.len().max(bytes.len() as u64);
    if size > MAX_FILE_BYTES {
        return Err(ImageError::TooLarge { path: path.into(), bytes: size });
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn extensions_are_told_in_any_case() {
        for name in ["a.jpg", "b.JPEG", "c.Png", "d/e.webp", "f.tar.JPG"] {
            assert!(is_image_path(Path::new(name)), "{name}");
        }
        for name in ["a.psd", "jpg", ".jpg", "b.jpg.txt", "c.", ""] {
            assert!(!is_image_path(Path::new(name)), "{name}");
        }
    }

    #[test]
    fn errors_name_the_file_and_what_to_do() {
        let folder = tempfile::tempdir().unwrap();
        let limits = Limits::default();
        let said = |path: &Path| open(path, &limits).unwrap_err().to_string();

        let missing = folder.path().join("missing.jpg");
        assert!(said(&missing).contains("missing.jpg: "), "{}", said(&missing));
        assert!(said(&missing).contains("check that"), "{}", said(&missing));
        assert!(said(folder.path()).ends_with("is not a file; specify an image file"));

        let text = folder.path().join("letter.jpg");
        fs::write(&text, "Dear Sir or Madam,").unwrap();
        assert!(said(&text).contains("letter.jpg: "), "{}", said(&text));
        assert!(
            said(&text).contains("not a JPEG, PNG, WebP, GIF, BMP or TIFF image"),
            "{}",
            said(&text)
        );
    }

    #[test]
    fn a_huge_file_is_refused_unread() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("huge.png");
        // A sparse file, which takes no disk space.
        File::create(&path).unwrap().set_len(MAX_FILE_BYTES + 1).unwrap();
        let error = open(&path, &Limits::default()).unwrap_err();
        assert!(matches!(error, ImageError::TooLarge { .. }), "{error}");
    }

    #[test]
    fn the_content_decides_and_not_the_name() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("really-a-png.jpg");
        let image = RgbImage::from_pixel(3, 2, ::image::Rgb([10, 20, 30]));
        image.save_with_format(&path, ::image::ImageFormat::Png).unwrap();
        assert_eq!(open(&path, &Limits::default()).unwrap(), image);
    }
}
