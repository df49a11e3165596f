/*!
A TIFF file as bytes: its byte order, and the directories in it.
*/

use super::directory::{Directory, Entry};
use super::order::{Order, width_of};
use super::refusal::{damaged, truncated};
use crate::image::DecodeError;

/// A TIFF or BigTIFF file.
pub struct File<'a> {
    bytes: &'a [u8],
    pub order: Order,
    /// Whether offsets have eight bytes: BigTIFF.
    big: bool,
    /// The offset of the first directory.
    pub first: u64,
}

impl<'a> File<'a> {
    /// Opens a file by its header.
    ///
    /// # Errors
    /// If the header is cut, or is none of TIFF.
    pub fn new(bytes: &'a [u8]) -> Result<Self, DecodeError> {
        let order = match bytes.get(..2) {
            Some(b"II") => Order::Little,
            Some(b"MM") => Order::Big,
            _ => return Err(damaged("it has no TIFF header")),
        };
        let number = |from: usize, to| bytes.get(from..to).map(|b| order.number(b));
        let version = number(2, 4).ok_or_else(truncated)?;
        let (big, first) = match version {
            42 => (false, number(4, 8)),
            43 if number(4, 6).is_some_and(|size| size != 8) => {
                return Err(damaged("its offsets are of an unknown size"));
            }
            43 => (true, number(8, 16)),
            _ => return Err(damaged("it has no TIFF header")),
        };
        Ok(Self { bytes, order, big, first: first.ok_or_else(truncated)? })
    }

    /// Returns up to `count` bytes from `offset` on: fewer if the file ends before, and none if
    /// it ends before `offset`.
    pub fn slice(&self, offset: u64, count: u64) -> &'a [u8] {
        let length = self.bytes.len();
        let place = |at: u64| usize::try_from(at).unwrap_or(length).min(length);
        let (from, to) = (place(offset), place(offset.saturating_add(count)));
        self.bytes.get(from..to).unwrap_or_default()
    }

    /// Returns exactly `count` bytes from `offset` on.
    ///
    /// # Errors
    /// If the file ends before.
    pub fn exactly(&self, offset: u64, count: u64) -> Result<&'a [u8], DecodeError> {
        let found = self.slice(offset, count);
        if found.len() as u64 == count { Ok(found) } else { Err(truncated()) }
    }

    /// Reads the directory at `offset`. Values that lie behind the end of the file are noticed
    /// when they are asked for.
    ///
    /// # Errors
    /// If the file ends before the directory does, or its size is absurd.
    pub fn directory(&self, offset: u64) -> Result<Directory<'a>, DecodeError> {
        // The sizes of the count of entries, an entry, and a value in its place.
        let (head, size, inline) = if self.big { (8, 20, 8) } else { (2, 12, 4) };
        let count = self.order.number(self.exactly(offset, head)?);
        if count > u64::from(u16::MAX) {
            return Err(damaged(format!("it has a directory of {count} tags")));
        }
        let length = count.checked_mul(size).ok_or_else(truncated)?;
        let start = offset.saturating_add(head);
        let table = self.exactly(start, length)?;
        let entries = table.chunks_exact(size as usize).filter_map(|entry| {
            let (tag, rest) = entry.split_at_checked(2)?;
            let (kind, rest) = rest.split_at_checked(2)?;
            let (count, value) = rest.split_at_checked(inline)?;
            let kind = self.order.number(kind) as u16;
            let wanted = self.order.number(count).saturating_mul(width_of(kind));
            let values = if wanted <= inline as u64 {
                value.get(..wanted as usize)
            } else {
                self.exactly(self.order.number(value), wanted).ok()
            };
            Some(Entry { tag: self.order.number(tag) as u16, kind, values })
        });
        // A file may end behind its last directory without the offset of a next one.
        let next = self.order.number(self.slice(start.saturating_add(length), inline as u64));
        Ok(Directory { entries: entries.collect(), next, order: self.order })
    }
}
