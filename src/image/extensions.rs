/*!
The file names that count as images.
*/

use std::path::Path;

use super::formats::extensions;

/// Returns whether a path has the extension of a format that can be read, in any case.
pub fn is_image_path(path: &Path) -> bool {
    let extension = path.extension().and_then(|e| e.to_str()).unwrap_or_default();
    extensions().any(|known| known.eq_ignore_ascii_case(extension))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn extensions_are_told_in_any_case() {
        for name in
            ["a.jpg", "b.JPEG", "c.Png", "d/e.webp", "f.tar.JPG", "g.jfif", "h.DIB", "i.mpo"]
        {
            assert!(is_image_path(Path::new(name)), "{name}");
        }
        for name in ["a.svg", "jpg", ".jpg", "b.jpg.txt", "c.", ""] {
            assert!(!is_image_path(Path::new(name)), "{name}");
        }
    }
}
