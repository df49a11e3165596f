/*!
A directory of a TIFF file: the tags of one page, and their values.
*/

use super::order::{Order, width_of};
use super::refusal::truncated;
use crate::image::DecodeError;

/// A tag with its values.
pub struct Entry<'a> {
    pub tag: u16,
    /// The kind of the values, such as 3 for two-byte numbers.
    pub kind: u16,
    /// The values as bytes; `None` if they lie behind the end of the file.
    pub values: Option<&'a [u8]>,
}

/// The tags of one page.
pub struct Directory<'a> {
    pub entries: Vec<Entry<'a>>,
    /// The offset of the next page's directory; 0 for none.
    pub next: u64,
    pub order: Order,
}

impl<'a> Directory<'a> {
    /// Returns the entry of `tag`; of several, the first.
    fn entry(&self, tag: u16) -> Option<&Entry<'a>> {
        self.entries.iter().find(|entry| entry.tag == tag)
    }

    /// Returns whether the page has `tag` at all.
    pub fn has(&self, tag: u16) -> bool {
        self.entry(tag).is_some()
    }

    /// Returns the bytes of a tag's values; `None` if the tag is absent or behind the file's end.
    pub fn bytes(&self, tag: u16) -> Option<&'a [u8]> {
        self.entry(tag)?.values
    }

    /// Returns the whole numbers of a tag, at most `most` of them; none if it is absent or holds
    /// no whole numbers.
    ///
    /// # Errors
    /// If the values lie behind the end of the file.
    pub fn numbers(&self, tag: u16, most: usize) -> Result<Vec<u64>, DecodeError> {
        let Some(entry) = self.entry(tag) else { return Ok(Vec::new()) };
        let values = entry.values.ok_or_else(truncated)?;
        let size = match entry.kind {
            1 | 3 | 4 | 6..=9 | 13 | 16..=18 => width_of(entry.kind) as usize,
            _ => return Ok(Vec::new()),
        };
        let values = values.chunks_exact(size).take(most);
        Ok(values.map(|value| self.order.number(value)).collect())
    }

    /// Returns the first whole number of a tag.
    ///
    /// # Errors
    /// If the values lie behind the end of the file.
    pub fn number(&self, tag: u16) -> Result<Option<u64>, DecodeError> {
        Ok(self.numbers(tag, 1)?.first().copied())
    }

    /// Returns the numbers of a tag that may have fractions; `None` if there are not `N` of them,
    /// or one is not finite.
    pub fn fractions<const N: usize>(&self, tag: u16) -> Option<[f32; N]> {
        let entry = self.entry(tag)?;
        let size = width_of(entry.kind).max(1) as usize;
        let mut found = [0.0; N];
        let mut values = entry.values?.chunks_exact(size);
        for place in &mut found {
            let bytes = values.next()?;
            let whole = self.order.number(bytes);
            *place = match entry.kind {
                5 => {
                    let (over, under) = bytes.split_at_checked(4)?;
                    self.order.number(over) as f32 / self.order.number(under) as f32
                }
                11 => f32::from_bits(whole as u32),
                12 => f64::from_bits(whole) as f32,
                1 | 3 | 4 => whole as f32,
                _ => return None,
            };
        }
        found.iter().all(|value| value.is_finite()).then_some(found)
    }
}
