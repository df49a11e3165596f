/*!
Detection of truncated image files from their container structure.

For a truncated file, the JPEG decoder fills the missing part with grey and reports no error.
(Its strict mode detects most truncations, though not those in the last few bytes, and is
not available through the `image` crate.) A search index must not contain half images, so
the structure is checked first. PNG needs no extra check: its decoder reports missing data.
*/

/// Returns whether a JPEG contains its end-of-image marker.
///
/// Segments are skipped by their length, so the end marker of an embedded thumbnail does not
/// count. Data that a camera appends after the end is ignored.
pub fn jpeg_is_whole(bytes: &[u8]) -> bool {
    let mut at = 2;
    while let Some(skip) = bytes.get(at..).and_then(|rest| rest.iter().position(|b| *b == 0xff)) {
        at += skip + 1;
        match bytes.get(at) {
            None => return false,
            Some(0xd9) => return true,
            // A fill byte is itself the start of the next marker.
            Some(0xff) => {}
            // A stuffed zero, and the markers without a length: TEM, restarts, start of image.
            Some(0x00 | 0x01 | 0xd0..=0xd8) => at += 1,
            Some(_) => match bytes.get(at + 1..at + 3) {
                Some(length) => at += 1 + usize::from(u16::from_be_bytes([length[0], length[1]])),
                None => return false,
            },
        }
    }
    false
}

/// Returns whether a WebP file is as long as its header and all its chunks specify.
pub fn webp_is_whole(bytes: &[u8]) -> bool {
    let Some(size) = le_u32(bytes, 4) else { return false };
    let Some(content) = bytes.get(..size.saturating_add(8)) else { return false };
    let mut at = 12;
    // Fewer than eight bytes after the last chunk are padding.
    while let Some(size) = le_u32(content, at + 4) {
        at += 8 + size;
        if at > content.len() {
            return false;
        }
        at += size % 2;
    }
    true
}

fn le_u32(bytes: &[u8], at: usize) -> Option<usize> {
    let four = bytes.get(at..at.checked_add(4)?)?.try_into().ok()?;
    usize::try_from(u32::from_le_bytes(four)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_thumbnails_end_is_not_the_images_end() {
        // An APP1 segment of eight bytes that contains a complete little JPEG.
        let mut jpeg = vec![0xff, 0xd8, 0xff, 0xe1, 0, 8, 1, 2, 0xff, 0xd8, 0xff, 0xd9];
        assert!(!jpeg_is_whole(&jpeg));
        jpeg.extend([0xff, 0xda, 0, 2, 7, 0xff, 0x00, 0xff, 0xd3, 9, 0xff, 0xff, 0xd9]);
        assert!(jpeg_is_whole(&jpeg));
        jpeg.extend([0; 32]);
        assert!(jpeg_is_whole(&jpeg), "data after the end is ignored");
    }

    proptest! {
        #[test]
        fn any_bytes_get_an_answer(bytes: Vec<u8>, size: [u8; 4]) {
            jpeg_is_whole(&bytes);
            let webp = [b"RIFF", &size[..], b"WEBP", &bytes].concat();
            webp_is_whole(&webp);
        }
    }
}
