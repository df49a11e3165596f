/*!
Boxes of the ISO base media file format (ISO/IEC 14496-12): what HEIC, AVIF and CR3 are made of.
*/

/// A box: its type and its content.
pub(super) struct IsoBox<'a> {
    /// Four characters, such as `meta`.
    pub kind: [u8; 4],
    /// The bytes behind the header of the box.
    pub content: &'a [u8],
    /// Whether the file ends before the box does; `content` is then what there is.
    pub cut: bool,
}

/// The boxes of `bytes`, one after the other. What cannot be a box ends them.
pub(super) struct Boxes<'a>(pub &'a [u8]);

impl<'a> Iterator for Boxes<'a> {
    type Item = IsoBox<'a>;

    fn next(&mut self) -> Option<IsoBox<'a>> {
        let bytes = self.0;
        let short = u64::from(u32_at(bytes, 0)?);
        let kind = *bytes.get(4..)?.first_chunk::<4>()?;
        let (header, length) = match short {
            // 0: to the end of the file. 1: a length of 64 bits follows.
            0 => (8, bytes.len() as u64),
            1 => (16, u64::from_be_bytes(*bytes.get(8..)?.first_chunk::<8>()?)),
            length => (8, length),
        };
        if length < header {
            self.0 = &[];
            return None;
        }
        let cut = length > bytes.len() as u64;
        let end = if cut { bytes.len() } else { length as usize };
        let content = bytes.get(header as usize..end)?;
        self.0 = bytes.get(end..).unwrap_or_default();
        Some(IsoBox { kind, content, cut })
    }
}

/// Returns the content of the first box of this type.
pub(super) fn find<'a>(bytes: &'a [u8], kind: &[u8; 4]) -> Option<&'a [u8]> {
    Boxes(bytes).find(|found| found.kind == *kind).map(|found| found.content)
}

/// Returns whether the file ends before or within its description or its data.
pub(super) fn is_cut(bytes: &[u8]) -> bool {
    let mut described = false;
    for found in Boxes(bytes) {
        // Some phones append bytes that are no boxes, so the length of others says nothing.
        match &found.kind {
            b"meta" | b"moov" | b"mdat" if found.cut => return true,
            b"meta" | b"moov" => described = true,
            _ => {}
        }
    }
    !described
}

/// Returns the brands of the `ftyp` box that `bytes` starts with: the major one first, then the
/// compatible ones, at most 64.
pub(super) fn brands(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    let first = Boxes(bytes).next().filter(|found| found.kind == *b"ftyp");
    let brands = first.map(|found| found.content).unwrap_or_default().chunks_exact(4);
    // The second four bytes are the version of the major brand.
    brands.enumerate().filter(|(index, _)| *index != 1).map(|(_, brand)| brand).take(64)
}

/// Returns the big-endian number of 32 bits at `at`.
pub(super) fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_be_bytes(*bytes.get(at..)?.first_chunk::<4>()?))
}

/// Returns the big-endian number of 16 bits at `at`.
pub(super) fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(*bytes.get(at..)?.first_chunk::<2>()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn boxes_follow_each_other() {
        let bytes = b"\0\0\0\x0cfreeabcd\0\0\0\x01mdat\0\0\0\0\0\0\0\x12xy\0\0\0\0lastz";
        let found: Vec<_> = Boxes(bytes).map(|found| (found.kind, found.content)).collect();
        let wanted: [([u8; 4], &[u8]); 3] =
            [(*b"free", b"abcd"), (*b"mdat", b"xy"), (*b"last", b"z")];
        assert_eq!(found, wanted);
        assert!(Boxes(b"\0\0\0\xffmdat").next().unwrap().cut);
        assert!(Boxes(b"\0\0\0\x07mdat").next().is_none());
        assert_eq!(find(bytes, b"mdat"), Some(b"xy".as_slice()));
    }

    #[test]
    fn brands_leave_the_version_out() {
        let bytes = b"\0\0\0\x18ftypmif1\0\0\0\0heicavif";
        let found: Vec<_> = brands(bytes).collect();
        assert_eq!(found, [b"mif1", b"heic", b"avif"]);
        assert_eq!(brands(b"\0\0\0\x0cmoovheic").count(), 0);
    }
}
