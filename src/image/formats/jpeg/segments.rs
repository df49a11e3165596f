/*!
The segments of a JPEG file: its frame, its scans, its metadata and its end.

Nothing is decoded here. Numbers of markers are those of ITU-T T.81, table B.1.
*/

use std::ops::Range;

use super::super::orientation;
use ::image::metadata::Orientation;

/// The facts in the segments of a JPEG file.
#[derive(Debug, Default)]
pub struct Segments<'a> {
    /// The frame header, if there is one.
    pub frame: Option<Frame>,
    /// The compressed data of each scan, as positions in the file.
    pub scans: Vec<Range<usize>>,
    /// The position behind the end-of-image marker, if there is one.
    pub end: Option<usize>,
    /// The positions of bytes with Adobe's transform of colours that have no meaning.
    pub odd_transforms: Vec<usize>,
    /// Whether there is a Huffman table.
    pub has_tables: bool,
    exif: Vec<&'a [u8]>,
    xmp: Option<&'a [u8]>,
    profile: Vec<(u8, &'a [u8])>,
}

/// The header of a frame.
#[derive(Debug)]
pub struct Frame {
    /// The second byte of its marker, which tells the kind of coding.
    pub marker: u8,
    /// Bits per sample.
    pub precision: u8,
    /// Width and height in pixels. A height of 0 is given after the first scan.
    pub size: (u32, u32),
    /// Horizontal and vertical sampling factors of each component.
    pub sampling: Vec<(u8, u8)>,
}

impl Frame {
    /// Returns whether the data is coded block after block, without progression.
    pub fn is_sequential(&self) -> bool {
        matches!(self.marker, 0xc0 | 0xc1)
    }

    /// Returns whether the first component has fewer samples than another one.
    pub fn has_coarse_first_component(&self) -> bool {
        let Some((first, others)) = self.sampling.split_first() else { return false };
        others.iter().any(|other| other.0 > first.0 || other.1 > first.1)
    }
}

impl<'a> Segments<'a> {
    /// Reads the segments of a file, as far as they go.
    ///
    /// Segments are skipped by their length, so the end of an embedded thumbnail is not the
    /// image's. What a camera appends after the end is not looked at.
    pub fn of(bytes: &'a [u8]) -> Self {
        let mut found = Self::default();
        let mut at = 2;
        // Where the data of the present scan begins.
        let mut data = None;
        while let Some(skip) = bytes.get(at..).and_then(|rest| rest.iter().position(|b| *b == 0xff))
        {
            at += skip + 1;
            let Some(marker) = bytes.get(at) else { break };
            if !matches!(marker, 0x00 | 0x01 | 0xd0..=0xd8 | 0xff)
                && let Some(start) = data.take()
            {
                // Fill bytes before a marker are no data: in data, a zero follows 255.
                let data = bytes.get(start..at - 1).unwrap_or_default();
                let fill = data.iter().rev().take_while(|byte| **byte == 0xff).count();
                found.scans.push(start..start + data.len() - fill);
            }
            match marker {
                0xd9 => {
                    found.end = Some(at + 1);
                    break;
                }
                // A fill byte is itself the start of the next marker.
                0xff => {}
                // A stuffed zero, and the markers without a length: TEM, restarts, start of image.
                0x00 | 0x01 | 0xd0..=0xd8 => at += 1,
                marker => {
                    let Some(length) = bytes.get(at + 1..at + 3) else { break };
                    let end = at + 1 + usize::from(u16::from_be_bytes([length[0], length[1]]));
                    let content = bytes.get(at + 3..end).unwrap_or_default();
                    // "Adobe", three numbers of two bytes, and the transform: 0, 1 or 2.
                    if *marker == 0xee
                        && content.starts_with(b"Adobe")
                        && content.get(11).is_some_and(|transform| *transform > 2)
                    {
                        found.odd_transforms.push(at + 3 + 11);
                    }
                    found.take(*marker, content);
                    if *marker == 0xda {
                        data = Some(end);
                    }
                    at = end;
                }
            }
        }
        if let Some(start) = data {
            found.scans.push(start.min(bytes.len())..bytes.len());
        }
        found
    }

    fn take(&mut self, marker: u8, content: &'a [u8]) {
        const XMP: &[u8] = b"http://ns.adobe.com/xap/1.0/\0";
        const PROFILE: &[u8] = b"ICC_PROFILE\0";
        match marker {
            // Start of frame; three numbers among them mean other things.
            0xf7 | 0xc0..=0xcf if !matches!(marker, 0xc4 | 0xc8 | 0xcc) => {
                self.frame = self.frame.take().or_else(|| frame(marker, content));
            }
            0xc4 => self.has_tables = true,
            0xe1 if content.starts_with(b"Exif\0") => self.exif.push(content),
            0xe1 if content.starts_with(XMP) => self.xmp = self.xmp.or(content.get(XMP.len()..)),
            0xe2 if content.starts_with(PROFILE) => {
                if let Some([number, _, part @ ..]) = content.get(PROFILE.len()..) {
                    self.profile.push((*number, part));
                }
            }
            _ => {}
        }
    }

    /// Returns how to turn the image: by the first EXIF that says so, else by XMP.
    pub fn orientation(&self) -> Orientation {
        let by_exif = self.exif.iter().find_map(|exif| orientation::from_exif(exif));
        by_exif
            .or_else(|| self.xmp.and_then(orientation::from_xmp))
            .unwrap_or(Orientation::NoTransforms)
    }

    /// Returns the ICC profile, whose parts are numbered.
    pub fn profile(&self) -> Option<Vec<u8>> {
        let mut parts = self.profile.clone();
        parts.sort_by_key(|(number, _)| *number);
        parts.dedup_by_key(|(number, _)| *number);
        let whole: Vec<u8> = parts.into_iter().flat_map(|(_, part)| part).copied().collect();
        (!whole.is_empty()).then_some(whole)
    }
}

fn frame(marker: u8, content: &[u8]) -> Option<Frame> {
    let [precision, h1, h0, w1, w0, components, rest @ ..] = content else { return None };
    let sampling = rest.chunks_exact(3).take(usize::from(*components));
    Some(Frame {
        marker,
        precision: *precision,
        size: (u16::from_be_bytes([*w1, *w0]).into(), u16::from_be_bytes([*h1, *h0]).into()),
        sampling: sampling.map(|c| (c[1] >> 4, c[1] & 15)).collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_thumbnails_end_is_not_the_images_end() {
        // An APP1 segment of eight bytes that contains a complete little JPEG.
        let mut jpeg = vec![0xff, 0xd8, 0xff, 0xe1, 0, 8, 1, 2, 0xff, 0xd8, 0xff, 0xd9];
        assert_eq!(Segments::of(&jpeg).end, None);
        jpeg.extend([0xff, 0xda, 0, 2, 7, 0xff, 0x00, 0xff, 0xd3, 9, 0xff, 0xff, 0xd9]);
        let found = Segments::of(&jpeg);
        assert_eq!(found.end, Some(jpeg.len()));
        assert_eq!(found.scans.first(), Some(&(16..22)));
        assert_eq!(found.scans.len(), 1);
        let whole = jpeg.len();
        jpeg.extend([0; 32]);
        assert_eq!(Segments::of(&jpeg).end, Some(whole), "data after the end is ignored");
    }

    #[test]
    fn parts_of_a_profile_are_put_in_order() {
        let part = |number: u8, text: &[u8]| {
            let content = [b"ICC_PROFILE\0".as_slice(), &[number, 2], text].concat();
            let length = u16::try_from(content.len() + 2).unwrap();
            [&[0xff, 0xe2], length.to_be_bytes().as_slice(), &content].concat()
        };
        let jpeg = [vec![0xff, 0xd8], part(2, b"world"), part(1, b"hello ")].concat();
        assert_eq!(Segments::of(&jpeg).profile().unwrap(), b"hello world");
    }

    proptest! {
        #[test]
        fn any_bytes_get_an_answer(bytes: Vec<u8>) {
            let found = Segments::of(&bytes);
            found.orientation();
            for scan in found.scans {
                prop_assert!(scan.end <= bytes.len());
            }
        }
    }
}
