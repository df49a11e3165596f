/*!
Image files on disk.
*/

use std::fs::{self, File};
use std::io::Read;
use std::path::Path;

use ::image::RgbImage;

use super::{ImageError, Limits, decode};

/// Maximum size of an image file, in bytes (2 GiB).
pub const MAX_FILE_BYTES: u64 = 2 << 30;

/// Reads and decodes an image file like `decode`. The file name does not matter.
///
/// # Errors
/// If the path is not a regular file, cannot be read, is larger than [`MAX_FILE_BYTES`], or
/// does not contain a complete image within `limits`.
pub fn open(path: &Path, limits: &Limits) -> Result<RgbImage, ImageError> {
    let bytes = read(path)?;
    decode(&bytes, limits).map_err(|source| ImageError::Decode { path: path.into(), source })
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
        assert!(said(&text).contains("not an image of a known format"), "{}", said(&text));
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
