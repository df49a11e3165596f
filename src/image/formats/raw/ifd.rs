/*!
The directories of a TIFF file (TIFF 6.0, section 2), as far as raw files need them.
*/

/// The most directories that are read, and the most values of an entry.
const MOST: usize = 100;

/// A TIFF file and its byte order.
#[derive(Clone, Copy)]
pub(super) struct Tiff<'a> {
    /// All bytes; offsets count from their start.
    pub bytes: &'a [u8],
    little: bool,
}

/// A directory: the entries as the file holds them, twelve bytes each.
#[derive(Clone)]
pub(super) struct Directory<'a> {
    tiff: Tiff<'a>,
    entries: &'a [u8],
}

impl<'a> Tiff<'a> {
    /// Returns the file and its first directory; also for the marks of Olympus and Panasonic.
    pub fn open(bytes: &'a [u8]) -> Option<(Self, u32)> {
        let tiff = Self::within(bytes, bytes.get(..2)?)?;
        // 42; `RO` and `RS` of Olympus; 0x55 of Panasonic.
        let known = matches!(tiff.short(2)?, 42 | 0x4f52 | 0x5352 | 0x55);
        known.then_some((tiff, tiff.long(4)?))
    }

    /// Returns the file whose offsets count from `bytes`, with the mark of a byte order.
    pub fn within(bytes: &'a [u8], mark: &[u8]) -> Option<Self> {
        match mark {
            b"II" => Some(Self { bytes, little: true }),
            b"MM" => Some(Self { bytes, little: false }),
            _ => None,
        }
    }

    fn short(&self, at: usize) -> Option<u16> {
        let two = *self.bytes.get(at..)?.first_chunk::<2>()?;
        Some(if self.little { u16::from_le_bytes(two) } else { u16::from_be_bytes(two) })
    }

    fn long(&self, at: usize) -> Option<u32> {
        let four = *self.bytes.get(at..)?.first_chunk::<4>()?;
        Some(if self.little { u32::from_le_bytes(four) } else { u32::from_be_bytes(four) })
    }

    /// Reads the directory at `at`, and the offset of the one that follows it.
    pub fn directory(self, at: u32) -> Option<(Directory<'a>, u32)> {
        let start = usize::try_from(at).ok()?;
        let count = usize::from(self.short(start)?);
        let entries = self.bytes.get(start + 2..)?.get(..count * 12)?;
        let next = self.long(start + 2 + count * 12).unwrap_or(0);
        Some((Directory { tiff: self, entries }, next))
    }

    /// Returns all directories: the chain from `first`, and below each those of SubIFDs and of
    /// EXIF. Each is read once.
    pub fn directories(self, first: u32) -> Vec<Directory<'a>> {
        const SUB_DIRECTORIES: u16 = 330;
        const EXIF: u16 = 34665;
        let (mut seen, mut waiting, mut found) = (Vec::new(), vec![first], Vec::new());
        while let Some(at) = waiting.pop() {
            if at == 0 || seen.contains(&at) || seen.len() >= MOST {
                continue;
            }
            seen.push(at);
            let Some((directory, next)) = self.directory(at) else { continue };
            // The last is read first: the chain goes on after what is below.
            waiting.push(next);
            waiting.extend(directory.numbers(EXIF));
            waiting.extend(directory.numbers(SUB_DIRECTORIES).into_iter().rev());
            found.push(directory);
        }
        found
    }
}

impl<'a> Directory<'a> {
    /// Returns the type, the count and the bytes of an entry.
    fn entry(&self, tag: u16) -> Option<(u16, usize, &'a [u8])> {
        let short = |four: &[u8], at: usize| {
            Tiff { bytes: four, little: self.tiff.little }.short(at).unwrap_or_default()
        };
        let entry = self.entries.chunks_exact(12).find(|entry| short(entry, 0) == tag)?;
        let inner = Tiff { bytes: entry, little: self.tiff.little };
        let (kind, count) = (inner.short(2)?, usize::try_from(inner.long(4)?).ok()?);
        let size = match kind {
            1 | 2 | 6 | 7 => 1,
            3 | 8 => 2,
            4 | 9 | 11 | 13 => 4,
            5 | 10 | 12 => 8,
            _ => return None,
        };
        let length = count.checked_mul(size)?;
        let bytes = if length <= 4 {
            entry.get(8..8 + length)?
        } else {
            let at = usize::try_from(inner.long(8)?).ok()?;
            self.tiff.bytes.get(at..)?.get(..length)?
        };
        Some((kind, count, bytes))
    }

    /// Returns whether there is an entry with this tag.
    pub fn has(&self, tag: u16) -> bool {
        self.entry(tag).is_some()
    }

    /// Returns the bytes of an entry.
    pub fn bytes(&self, tag: u16) -> Option<&'a [u8]> {
        self.entry(tag).map(|(_, _, bytes)| bytes)
    }

    /// Returns the whole numbers of an entry, at most a hundred; none if there is none.
    pub fn numbers(&self, tag: u16) -> Vec<u32> {
        let Some((kind, count, bytes)) = self.entry(tag) else { return Vec::new() };
        let values = Tiff { bytes, little: self.tiff.little };
        let number = |index: usize| match kind {
            1 | 7 => bytes.get(index).copied().map(u32::from),
            3 => values.short(2 * index).map(u32::from),
            4 | 13 => values.long(4 * index),
            _ => None,
        };
        (0..count.min(MOST)).map_while(number).collect()
    }

    /// Returns the first number of an entry.
    pub fn number(&self, tag: u16) -> Option<u32> {
        self.numbers(tag).first().copied()
    }
}
