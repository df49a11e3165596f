/*!
The PackBits compression: runs and copies of bytes (TIFF 6.0, section 9).
*/

use std::io::{self, Read};

/// Expands PackBits while it is read.
pub struct PackBits<'a> {
    data: &'a [u8],
    /// The bytes that remain of the present run or copy.
    left: usize,
    /// The byte of a run; `None` in a copy.
    run: Option<u8>,
}

impl<'a> PackBits<'a> {
    pub fn new(data: &'a [u8]) -> Self {
        Self { data, left: 0, run: None }
    }
}

impl Read for PackBits<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        while self.left == 0 {
            let Some((head, rest)) = self.data.split_first() else { return Ok(0) };
            self.data = rest;
            match head {
                0..=127 => (self.left, self.run) = (usize::from(*head) + 1, None),
                128 => {}
                129.. => {
                    let Some((byte, rest)) = rest.split_first() else { return Ok(0) };
                    self.data = rest;
                    (self.left, self.run) = (257 - usize::from(*head), Some(*byte));
                }
            }
        }
        let wanted = self.left.min(into.len());
        let into = into.get_mut(..wanted).unwrap_or_default();
        let count = match self.run {
            Some(byte) => {
                into.fill(byte);
                wanted
            }
            None => self.data.read(into)?,
        };
        self.left -= count;
        Ok(count)
    }
}
