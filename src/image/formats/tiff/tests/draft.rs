/*!
A writer of small TIFF files for tests.
*/

use std::collections::BTreeMap;
use std::io::Write;

use ::image::DynamicImage;

use super::super::order::{Order, width_of};
use super::super::{read, tags};
use crate::image::picture::Picture;
use crate::image::{DecodeError, Limits};

/// A page to be written.
#[derive(Clone)]
pub struct Draft {
    tags: BTreeMap<u16, (u16, Vec<u64>)>,
    chunks: Vec<Vec<u8>>,
}

impl Draft {
    /// A page of one plain strip, whose data follow, with all samples of `bits`.
    pub fn new((width, height): (u64, u64), samples: u64, bits: u64, photometric: u64) -> Self {
        let draft = Self { tags: BTreeMap::new(), chunks: Vec::new() };
        draft
            .tag(tags::WIDTH, [width])
            .tag(tags::HEIGHT, [height])
            .tag(tags::BITS_PER_SAMPLE, vec![bits; samples as usize])
            .tag(tags::PHOTOMETRIC, [photometric])
            .tag(tags::SAMPLES_PER_PIXEL, [samples])
    }

    /// Sets a tag to numbers of four bytes.
    pub fn tag(self, tag: u16, values: impl Into<Vec<u64>>) -> Self {
        self.tag_of(4, tag, values)
    }

    /// Sets a tag to numbers of a kind.
    pub fn tag_of(mut self, kind: u16, tag: u16, values: impl Into<Vec<u64>>) -> Self {
        self.tags.insert(tag, (kind, values.into()));
        self
    }

    pub fn without(mut self, tag: u16) -> Self {
        self.tags.remove(&tag);
        self
    }

    /// Adds a strip or tile.
    pub fn chunk(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.chunks.push(bytes.into());
        self
    }

    /// Makes the strips tiles.
    pub fn tiles(self, width: u64, height: u64) -> Self {
        self.tag(tags::TILE_WIDTH, [width]).tag(tags::TILE_HEIGHT, [height])
    }

    pub fn lzw(self, bytes: &[u8]) -> Self {
        let mut encoder = weezl::encode::Encoder::with_tiff_size_switch(weezl::BitOrder::Msb, 8);
        self.tag(tags::COMPRESSION, [5]).chunk(encoder.encode(bytes).unwrap())
    }

    pub fn deflate(self, bytes: &[u8]) -> Self {
        let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(bytes).unwrap();
        self.tag(tags::COMPRESSION, [8]).chunk(encoder.finish().unwrap())
    }

    pub fn little(&self) -> Vec<u8> {
        file(std::slice::from_ref(self), Order::Little, false)
    }

    /// Reads the page as that of a file.
    #[track_caller]
    pub fn picture(&self) -> Picture {
        read(&self.little(), &Limits::default()).unwrap()
    }

    #[track_caller]
    pub fn pixels(&self) -> DynamicImage {
        self.picture().pixels
    }

    /// The samples of a picture of bytes.
    #[track_caller]
    pub fn bytes(&self) -> Vec<u8> {
        let pixels = self.pixels();
        assert_eq!(pixels.color().bytes_per_pixel(), pixels.color().channel_count());
        pixels.into_bytes()
    }

    /// The samples of a picture of words.
    #[track_caller]
    pub fn words(&self) -> Vec<u16> {
        let pixels = self.pixels();
        assert_eq!(pixels.color().bytes_per_pixel(), 2 * pixels.color().channel_count());
        let pairs = pixels.as_bytes().chunks_exact(2);
        pairs.map(|pair| u16::from_ne_bytes([pair[0], pair[1]])).collect()
    }

    #[track_caller]
    pub fn refused(&self) -> DecodeError {
        read(&self.little(), &Limits::default()).map(|_| ()).unwrap_err()
    }
}

/// Writes pages as a file.
pub fn file(pages: &[Draft], order: Order, big: bool) -> Vec<u8> {
    let number = |value: u64, size: u64| match order {
        Order::Little => value.to_le_bytes()[..size as usize].to_vec(),
        Order::Big => value.to_be_bytes()[8 - size as usize..].to_vec(),
    };
    let (count_size, size) = if big { (8, 8) } else { (2, 4) };
    let mut bytes = if order == Order::Little { b"II".to_vec() } else { b"MM".to_vec() };
    bytes.extend(number(if big { 43 } else { 42 }, 2));
    if big {
        bytes.extend([number(8, 2), number(0, 2)].concat());
    }
    // Where the offset of the next directory belongs.
    let mut link = bytes.len();
    bytes.extend(number(0, size));
    for page in pages {
        let mut tags = page.tags.clone();
        let (mut offsets, mut lengths) = (Vec::new(), Vec::new());
        for chunk in &page.chunks {
            offsets.push(bytes.len() as u64);
            lengths.push(chunk.len() as u64);
            bytes.extend(chunk);
        }
        let (offset, length) = if tags.contains_key(&tags::TILE_WIDTH) {
            (tags::TILE_OFFSETS, tags::TILE_BYTE_COUNTS)
        } else {
            (tags::STRIP_OFFSETS, tags::STRIP_BYTE_COUNTS)
        };
        tags.entry(offset).or_insert((4, offsets));
        tags.entry(length).or_insert((4, lengths));
        let mut table = number(tags.len() as u64, count_size);
        for (tag, (kind, values)) in &tags {
            let width = width_of(*kind);
            let one = |value: &u64| match kind {
                5 => [number(value >> 32, 4), number(value & 0xffff_ffff, 4)].concat(),
                _ => number(*value, width),
            };
            let mut all: Vec<u8> = values.iter().flat_map(one).collect();
            if all.len() as u64 > size {
                let at = bytes.len() as u64;
                bytes.extend(all);
                all = number(at, size);
            }
            all.resize(size as usize, 0);
            let head = [number(u64::from(*tag), 2), number(u64::from(*kind), 2)].concat();
            table.extend([head, number(values.len() as u64, size), all].concat());
        }
        let here = number(bytes.len() as u64, size);
        bytes[link..link + size as usize].copy_from_slice(&here);
        bytes.extend(table);
        link = bytes.len();
        bytes.extend(number(0, size));
    }
    bytes
}
