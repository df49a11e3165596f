/*!
The file names that count as images.
*/

use std::path::Path;

/// The file extensions that count as images when a folder is read, in lower case.
#[cfg(not(feature = "heic"))]
pub const IMAGE_EXTENSIONS: &[&str] = &["jpg", "jpeg", "png", "webp", "gif", "bmp", "tif", "tiff"];
/// The file extensions that count as images when a folder is read, in lower case.
#[cfg(feature = "heic")]
pub const IMAGE_EXTENSIONS: &[&str] =
    &["jpg", "jpeg", "png", "webp", "gif", "bmp", "tif", "tiff", "heic", "heif", "avif"];

/// Returns whether a path has the extension of an image.
pub fn is_image_path(path: &Path) -> bool {
    let extension = path.extension().and_then(|e| e.to_str()).unwrap_or_default();
    IMAGE_EXTENSIONS.iter().any(|known| known.eq_ignore_ascii_case(extension))
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
}
