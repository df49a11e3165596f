/*!
How to turn a picture upright, as EXIF and XMP say it.
*/

use ::image::metadata::Orientation;

/// The number of the tag in EXIF, which is laid out as TIFF.
const TAG: u16 = 0x112;

/// Returns the orientation that a block of EXIF gives, with or without `Exif\0\0` in front.
pub(super) fn from_exif(bytes: &[u8]) -> Option<Orientation> {
    let bytes = bytes.strip_prefix(b"Exif\0\0").unwrap_or(bytes);
    let big = match bytes.get(..4)? {
        b"II*\0" => false,
        b"MM\0*" => true,
        _ => return None,
    };
    let short = |at: usize| {
        let two = bytes.get(at..at.checked_add(2)?)?.try_into().ok()?;
        Some(if big { u16::from_be_bytes(two) } else { u16::from_le_bytes(two) })
    };
    let long = |at: usize| {
        let four = bytes.get(at..at.checked_add(4)?)?.try_into().ok()?;
        Some(if big { u32::from_be_bytes(four) } else { u32::from_le_bytes(four) })
    };
    let directory = usize::try_from(long(4)?).ok()?;
    let entries = usize::from(short(directory)?);
    // Twelve bytes an entry: tag, type, count, and a value that fits four bytes.
    let entry = (0..entries)
        .map_while(|i| directory.checked_add(2 + 12 * i))
        .take_while(|at| *at < bytes.len())
        .find(|at| short(*at) == Some(TAG))?;
    let value = match short(entry + 2)? {
        1 => u32::from(*bytes.get(entry + 8)?),
        3 => u32::from(short(entry + 8)?),
        4 => long(entry + 8)?,
        _ => return None,
    };
    Orientation::from_exif(u8::try_from(value).ok()?)
}

/// Returns the orientation that a packet of XMP gives, as an attribute or as an element.
pub(super) fn from_xmp(packet: &[u8]) -> Option<Orientation> {
    const NAME: &[u8] = b"tiff:Orientation";
    let at = packet.windows(NAME.len()).position(|window| window == NAME)?;
    let rest = packet.get(at + NAME.len()..)?.trim_ascii_start();
    let value = match rest {
        [b'=', rest @ ..] => match rest.trim_ascii_start() {
            [b'"' | b'\'', value @ ..] => value,
            _ => return None,
        },
        [b'>', value @ ..] => value.trim_ascii_start(),
        _ => return None,
    };
    match value {
        [digit @ b'1'..=b'8', next, ..] if !next.is_ascii_digit() => {
            Orientation::from_exif(digit - b'0')
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn exif(kind: u16, value: [u8; 4], big: bool) -> Vec<u8> {
        let short = |v: u16| if big { v.to_be_bytes() } else { v.to_le_bytes() };
        let long = |v: u32| if big { v.to_be_bytes() } else { v.to_le_bytes() };
        let mark = if big { b"MM\0*" } else { b"II*\0" };
        // Two entries, so that the tag is looked for.
        let other = [&short(0x10f)[..], &short(2), &long(4), b"Ab\0\0"].concat();
        let entry = [&short(TAG)[..], &short(kind), &long(1), &value].concat();
        [&mark[..], &long(8), &short(2), &other, &entry, &long(0)].concat()
    }

    #[test]
    fn exif_in_both_orders_and_all_types() {
        let six = Some(Orientation::Rotate90);
        assert_eq!(from_exif(&exif(3, [6, 0, 0, 0], false)), six);
        assert_eq!(from_exif(&exif(3, [0, 6, 0, 0], true)), six);
        assert_eq!(from_exif(&exif(4, [6, 0, 0, 0], false)), six);
        assert_eq!(from_exif(&exif(4, [0, 0, 0, 6], true)), six);
        assert_eq!(from_exif(&exif(1, [6, 0, 0, 0], true)), six);
        assert_eq!(from_exif(&[b"Exif\0\0".as_slice(), &exif(3, [6; 4], false)].concat()), None);
        let prefixed = [b"Exif\0\0".as_slice(), &exif(3, [6, 0, 0, 0], false)].concat();
        assert_eq!(from_exif(&prefixed), six);
        for wrong in [[0, 0, 0, 0], [9, 0, 0, 0]] {
            assert_eq!(from_exif(&exif(3, wrong, false)), None);
        }
    }

    #[test]
    fn xmp_as_attribute_and_element() {
        let three = Some(Orientation::Rotate180);
        assert_eq!(from_xmp(b"<x tiff:Orientation=\"3\" y='1'/>"), three);
        assert_eq!(from_xmp(b"<x tiff:Orientation = '3'/>"), three);
        assert_eq!(from_xmp(b"<tiff:Orientation>3</tiff:Orientation>"), three);
        for none in ["", "tiff:Orientation", "tiff:Orientation=\"33\"", "tiff:Orientation=\"9\""] {
            assert_eq!(from_xmp(none.as_bytes()), None, "{none}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_get_an_answer(bytes: Vec<u8>, mark in 0usize..2) {
            from_exif(&[[b"II*\0", b"MM\0*"][mark].as_slice(), &bytes].concat());
            from_xmp(&[b"tiff:Orientation".as_slice(), &bytes].concat());
        }
    }
}
