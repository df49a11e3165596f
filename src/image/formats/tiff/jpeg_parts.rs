/*!
JPEG streams that are put together from their parts in a TIFF 6.0 file (section 22): tables, the
header of the frame, and strips without marks between them.
*/

use super::directory::Directory;
use super::file::File;
use super::layout::Layout;
use super::tags;

/// The segments of a stream that its decoder needs.
#[derive(Default)]
struct Parts {
    tables: Vec<u8>,
    frame: Option<Vec<u8>>,
    scan: Option<Vec<u8>>,
}

/// Returns the stream of a page whose parts are stored apart; `None` if some are missing, or its
/// strips cannot be joined.
pub fn assembled(file: &File, page: &Directory, layout: &Layout) -> Option<Vec<u8>> {
    let number = |tag| page.number(tag).ok().flatten();
    let mut parts = Parts::default();
    if let Some(offset) = number(tags::JPEG_STREAM) {
        let length = number(tags::JPEG_STREAM_LENGTH).unwrap_or(u64::MAX);
        parts.take(file.slice(offset, length).strip_prefix(b"\xff\xd8")?);
    }
    if parts.tables.is_empty() {
        parts.tables = tables(file, page, layout.samples)?;
    }
    let (across, down) = layout.grid();
    let mut strips = Vec::new();
    for index in 0..across * down {
        let offset = layout.offsets.get(index)?;
        let mut strip = file.exactly(*offset, *layout.lengths.get(index)?).ok()?;
        // The header of the scan may be in front of the first strip.
        strip = parts.take(strip);
        strips.push(strip.strip_suffix(b"\xff\xd9").unwrap_or(strip));
    }
    let size = if layout.tiled { layout.chunk } else { (layout.width, layout.height) };
    let frame = parts.frame.or_else(|| frame(page, size, layout.samples))?;
    // The blocks of eight by eight pixels that the first component has in a unit.
    let sampling = usize::from(*frame.get(11)?);
    let unit = (8 * (sampling >> 4), 8 * (sampling & 15));
    let mut stream = [b"\xff\xd8".to_vec(), parts.tables, frame].concat();
    if strips.len() > 1 {
        // Strips are coded one by one: a restart mark belongs between them.
        if layout.tiled || unit.1 == 0 || !layout.chunk.1.is_multiple_of(unit.1) {
            return None;
        }
        let units = layout.width.div_ceil(unit.0.max(1)) * (layout.chunk.1 / unit.1);
        stream.extend([0xff, 0xdd, 0, 4]);
        stream.extend(u16::try_from(units).ok()?.to_be_bytes());
    }
    stream.extend(parts.scan.unwrap_or_else(|| scan(layout.samples)));
    for (strip, mark) in strips.iter().zip((0xd0..=0xd7).cycle()) {
        stream.extend(*strip);
        stream.extend([0xff, mark]);
    }
    // The last mark is the end.
    *stream.last_mut()? = 0xd9;
    Some(stream)
}

impl Parts {
    /// Takes the segments at the start of `bytes`. Returns what follows the scan's header, or the
    /// last segment.
    fn take<'a>(&mut self, mut bytes: &'a [u8]) -> &'a [u8] {
        while let [0xff, mark @ 0xc0..=0xfe, high, low, ..] = bytes {
            // A restart mark, a start or an end has no length.
            if matches!(mark, 0xd0..=0xd9) {
                break;
            }
            let length = 2 + usize::from(u16::from_be_bytes([*high, *low]));
            let Some((segment, rest)) = bytes.split_at_checked(length) else { break };
            bytes = rest;
            match mark {
                0xc4 | 0xdb => self.tables.extend(segment),
                0xc0 | 0xc1 => self.frame = Some(segment.to_vec()),
                0xda => {
                    self.scan = Some(segment.to_vec());
                    break;
                }
                _ => {}
            }
        }
        bytes
    }
}

/// Returns the tables that tags 519 to 521 point to, each component's by its number.
fn tables(file: &File, page: &Directory, samples: usize) -> Option<Vec<u8>> {
    let mut all = Vec::new();
    let kinds = [
        (tags::JPEG_Q_TABLES, 0xdb, 0x00),
        (tags::JPEG_DC_TABLES, 0xc4, 0x00),
        (tags::JPEG_AC_TABLES, 0xc4, 0x10),
    ];
    for (tag, mark, class) in kinds {
        let offsets = page.numbers(tag, samples).ok()?;
        for (id, offset) in (0..samples as u8).zip(offsets.get(..samples)?) {
            let length = if mark == 0xdb {
                64
            } else {
                // Sixteen counts of codes, and as many values.
                let counts = file.exactly(*offset, 16).ok()?;
                16 + counts.iter().map(|count| u64::from(*count)).sum::<u64>()
            };
            let table = file.exactly(*offset, length).ok()?;
            all.extend([0xff, mark]);
            all.extend(u16::try_from(length + 3).ok()?.to_be_bytes());
            all.push(class | id);
            all.extend(table);
        }
    }
    Some(all)
}

/// Returns the header of a frame whose components have tables of their own.
fn frame(page: &Directory, (width, height): (usize, usize), samples: usize) -> Option<Vec<u8>> {
    let shared = page.numbers(tags::YCBCR_SUBSAMPLING, 2).ok()?;
    let first = match (samples, shared.as_slice()) {
        (1, _) => 0x11,
        (_, []) => 0x22,
        (_, [across @ 1..=4, down @ 1..=4, ..]) => (across << 4 | down) as u8,
        _ => return None,
    };
    let count = u8::try_from(samples).ok()?;
    let mut frame = vec![0xff, 0xc0, 0, 8 + 3 * count, 8];
    frame.extend(u16::try_from(height).ok()?.to_be_bytes());
    frame.extend(u16::try_from(width).ok()?.to_be_bytes());
    frame.push(count);
    for id in 0..count {
        frame.extend([id + 1, if id == 0 { first } else { 0x11 }, id]);
    }
    Some(frame)
}

/// Returns the header of a scan of all components, each with tables of its own.
fn scan(samples: usize) -> Vec<u8> {
    let count = samples as u8;
    let mut scan = vec![0xff, 0xda, 0, 6 + 2 * count, count];
    for id in 0..count {
        scan.extend([id + 1, id << 4 | id]);
    }
    scan.extend([0, 63, 0]);
    scan
}
