/*!
Names of files that are not Unicode, as text.
*/

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

/// Returns a path as text. Bytes that are not Unicode are shown as `\xe9`, so that the file can be
/// found.
pub fn shown(path: &Path) -> String {
    let mut text = String::new();
    for chunk in path.as_os_str().as_encoded_bytes().utf8_chunks() {
        text.push_str(chunk.valid());
        for byte in chunk.invalid() {
            // Writing to a String cannot fail.
            let _ = write!(text, "\\x{byte:02x}");
        }
    }
    text
}

/// Returns the path that [`shown`] wrote as `text`, if its name is not Unicode.
pub fn from_shown(text: &str) -> Option<PathBuf> {
    #[cfg(unix)]
    {
        use std::os::unix::ffi::OsStringExt;

        let (mut bytes, mut rest) = (Vec::new(), text);
        while let Some((before, after)) = rest.split_once("\\x") {
            bytes.extend(before.bytes());
            let byte = after.get(..2).and_then(|digits| u8::from_str_radix(digits, 16).ok());
            match byte {
                Some(byte) if !byte.is_ascii() => {
                    bytes.push(byte);
                    rest = &after[2..];
                }
                _ => {
                    bytes.extend(b"\\x");
                    rest = after;
                }
            }
        }
        bytes.extend(rest.bytes());
        let path = PathBuf::from(std::ffi::OsString::from_vec(bytes));
        path.to_str().is_none().then_some(path)
    }
    #[cfg(not(unix))]
    {
        let _ = text;
        None
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;

    #[test]
    fn odd_bytes_are_shown_and_read_back() {
        let odd = Path::new(OsStr::from_bytes(b"/p/caf\xe9\\x\xff.png"));
        assert_eq!(shown(odd), "/p/caf\\xe9\\x\\xff.png");
        assert_eq!(from_shown(&shown(odd)).unwrap(), odd);
        assert_eq!(shown(Path::new("/p/é.png")), "/p/é.png");
        for plain in ["/p/a.png", "/p/\\x41.png", "/p/\\xe", "\\x", "\\xé"] {
            assert_eq!(from_shown(plain), None, "{plain}");
        }
    }
}
