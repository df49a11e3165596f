/*!
CR3 of Canon: a movie file whose first track is the photo as a JPEG.

The boxes are described in "Canon CR3" by L. Cimmino (github.com/lclevy/canon_cr3).
*/

use ::image::metadata::Orientation;

use super::super::isobmff::{Boxes, find, u32_at};
use super::super::orientation;

/// The box of Canon's own, in `moov`, with the thumbnail and the EXIF data.
const CANON: [u8; 16] = *b"\x85\xc0\xb6\x87\x82\x0f\x11\xe0\x81\x11\xf4\xce\x46\x2b\x6a\x48";
/// The box at the top with the middle preview.
const PREVIEW: [u8; 16] = *b"\xea\xf4\x2b\x5e\x1c\x98\x4b\x88\xb9\xfb\xb7\xdc\x40\x6e\x4d\x16";

/// Returns all JPEG pictures of the file, and how to turn them.
pub(super) fn previews(bytes: &[u8]) -> (Vec<&[u8]>, Option<Orientation>) {
    let movie = find(bytes, b"moov").unwrap_or_default();
    let canon = own(movie, &CANON).unwrap_or_default();
    // The first directory of EXIF, a small TIFF file of its own.
    let orientation = find(canon, b"CMT1").and_then(orientation::from_exif);
    let tracks = Boxes(movie).filter(|found| found.kind == *b"trak").take(8);
    let in_tracks = tracks.filter_map(|track| sample(bytes, track.content));
    // The JPEG stands behind some numbers, one of which is its length.
    let middle = own(bytes, &PREVIEW).and_then(|own| find(own.get(8..)?, b"PRVW"));
    let small = find(canon, b"THMB");
    let in_boxes = [middle, small].into_iter().flatten().filter_map(|content| {
        let start = content.windows(3).take(32).position(|three| three == b"\xff\xd8\xff")?;
        content.get(start..)
    });
    (in_tracks.chain(in_boxes).collect(), orientation)
}

/// Returns the content of a box of a maker's own, by its number of 16 bytes.
fn own<'a>(bytes: &'a [u8], number: &[u8; 16]) -> Option<&'a [u8]> {
    let contents = Boxes(bytes).filter(|found| found.kind == *b"uuid").map(|found| found.content);
    contents
        .filter_map(|content| content.split_first_chunk::<16>())
        .find_map(|(found, rest)| (found == number).then_some(rest))
}

/// Returns the bytes of the only sample of a track.
fn sample<'a>(bytes: &'a [u8], track: &[u8]) -> Option<&'a [u8]> {
    let media = find(find(track, b"mdia")?, b"minf")?;
    let table = find(media, b"stbl")?;
    let sizes = find(table, b"stsz")?;
    // One size for all samples, or 0 and then the size of each.
    let length = match u32_at(sizes, 4)? {
        0 => u32_at(sizes, 12)?,
        size => size,
    };
    let start = match (find(table, b"co64"), find(table, b"stco")) {
        (Some(wide), _) => u64::from(u32_at(wide, 8)?) << 32 | u64::from(u32_at(wide, 12)?),
        (None, narrow) => u64::from(u32_at(narrow?, 8)?),
    };
    bytes.get(usize::try_from(start).ok()?..)?.get(..length as usize)
}
