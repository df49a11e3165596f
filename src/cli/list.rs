/*!
Lists of paths.
*/

use std::io::{self, Read};

use crate::file;

/// Reads a text in UTF-8 or UTF-16.
///
/// # Errors
/// If it cannot be read or is no text.
pub fn text(mut from: impl Read) -> io::Result<String> {
    let mut bytes = Vec::new();
    from.read_to_end(&mut bytes)?;
    file::text(bytes)
}

/// Returns the lines of a list of paths; a list with zero bytes is divided by these (`find
/// -print0`), since names may contain line breaks.
pub fn paths(text: &str) -> Vec<&str> {
    let zeros = text.contains('\0');
    let parts = text.split(if zeros { '\0' } else { '\n' });
    let parts = parts.map(|part| if zeros { part } else { part.trim_end_matches('\r') });
    parts.filter(|part| !part.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_have_lines_or_zero_bytes() {
        let list = "\u{feff}a b.jpg\r\n\né.png\n";
        assert_eq!(paths(&text(list.as_bytes()).unwrap()), ["a b.jpg", "é.png"]);
        assert_eq!(paths("a\nb\0c\0"), ["a\nb", "c"]);
    }
}
