/*!
The description of a still picture in an ISO container (ISO/IEC 23008-12): items, where their bytes
are, and their properties.
*/

use std::collections::BTreeMap;

use super::super::isobmff::{Boxes, IsoBox, find, u16_at, u32_at};

/// The most entries of any list that are read: a grid has at most 65,536 tiles, and phones write
/// some hundred.
const MOST: usize = 10_000;

/// The items of a file, by their number.
pub(super) struct Container<'a> {
    file: &'a [u8],
    description: &'a [u8],
    /// The number of the picture to show.
    pub primary: u32,
    kinds: BTreeMap<u32, [u8; 4]>,
    places: BTreeMap<u32, Place>,
    properties: Vec<IsoBox<'a>>,
    of_items: BTreeMap<u32, Vec<usize>>,
    references: Vec<Reference>,
}

struct Place {
    in_description: bool,
    extents: Vec<(u64, u64)>,
}

struct Reference {
    kind: [u8; 4],
    from: u32,
    to: Vec<u32>,
}

/// Reads numbers one after the other.
struct Numbers<'a>(&'a [u8]);

impl Numbers<'_> {
    /// Reads a number of 0 to 8 bytes.
    fn sized(&mut self, size: usize) -> Option<u64> {
        let (bytes, rest) = self.0.split_at_checked(size.min(8))?;
        self.0 = rest;
        Some(bytes.iter().fold(0, |value, byte| value << 8 | u64::from(*byte)))
    }

    fn short(&mut self) -> Option<u16> {
        self.sized(2).map(|value| value as u16)
    }

    /// Reads an item's number: 32 bits if `wide`, else 16.
    fn item(&mut self, wide: bool) -> Option<u32> {
        self.sized(if wide { 4 } else { 2 }).map(|value| value as u32)
    }
}

impl<'a> Container<'a> {
    /// Returns `None` if there is no description of stills, or it is inconsistent.
    pub fn read(file: &'a [u8]) -> Option<Self> {
        // A version and flags of four bytes stand before the boxes.
        let meta = find(file, b"meta")?.get(4..)?;
        let pitm = find(meta, b"pitm")?;
        let primary = Numbers(pitm.get(4..)?).item(*pitm.first()? > 0)?;
        let iprp = find(meta, b"iprp")?;
        let mut of_items = BTreeMap::new();
        for found in Boxes(iprp).filter(|found| found.kind == *b"ipma").take(16) {
            associations(found.content, &mut of_items)?;
        }
        Some(Self {
            file,
            description: find(meta, b"idat").unwrap_or_default(),
            primary,
            kinds: kinds(find(meta, b"iinf")?)?,
            places: places(find(meta, b"iloc")?)?,
            properties: Boxes(find(iprp, b"ipco")?).take(MOST).collect(),
            of_items,
            references: find(meta, b"iref").map_or(Some(Vec::new()), references)?,
        })
    }

    /// Returns the type of an item, such as `av01` or `grid`.
    pub fn kind(&self, item: u32) -> Option<[u8; 4]> {
        self.kinds.get(&item).copied()
    }

    /// Returns the bytes of an item, or `None` if the file does not have all of them.
    pub fn data(&self, item: u32) -> Option<Vec<u8>> {
        let place = self.places.get(&item)?;
        let source = if place.in_description { self.description } else { self.file };
        let mut data = Vec::new();
        for (offset, length) in &place.extents {
            let rest = source.get(usize::try_from(*offset).ok()?..)?;
            // A length of 0: all that follows.
            let length = if *length == 0 { rest.len() } else { usize::try_from(*length).ok()? };
            // Overlapping extents must not multiply the file.
            if data.len() + length > source.len() {
                return None;
            }
            data.extend_from_slice(rest.get(..length)?);
        }
        Some(data)
    }

    /// Returns the properties of an item in their order.
    pub fn properties(&self, item: u32) -> impl Iterator<Item = &IsoBox<'a>> {
        let indices = self.of_items.get(&item).into_iter().flatten();
        // They count from 1; 0 is no property.
        indices.filter_map(|index| self.properties.get(index.checked_sub(1)?))
    }

    /// Returns what an item refers to in this way.
    pub fn refers_to(&self, kind: &[u8; 4], from: u32) -> &[u32] {
        let found = self.references.iter().find(|r| r.kind == *kind && r.from == from);
        found.map_or(&[], |reference| &reference.to)
    }

    /// Returns the item that holds the alpha of `item`.
    pub fn alpha_of(&self, item: u32) -> Option<u32> {
        const NAMES: [&[u8]; 2] =
            [b"urn:mpeg:mpegB:cicp:systems:auxiliary:alpha", b"urn:mpeg:hevc:2015:auxid:1"];
        let is_alpha = |property: &IsoBox| {
            let name = property.content.get(4..).unwrap_or_default();
            property.kind == *b"auxC" && NAMES.iter().any(|known| name.starts_with(known))
        };
        let auxiliary =
            self.references.iter().filter(|r| r.kind == *b"auxl" && r.to.contains(&item));
        auxiliary.map(|r| r.from).find(|from| self.properties(*from).any(is_alpha))
    }
}

/// Reads the types in `iinf`.
fn kinds(iinf: &[u8]) -> Option<BTreeMap<u32, [u8; 4]>> {
    let boxes = iinf.get(if *iinf.first()? == 0 { 6 } else { 8 }..)?;
    let entries = Boxes(boxes).filter(|found| found.kind == *b"infe").take(MOST);
    let entry = |found: IsoBox| {
        let version = *found.content.first()?;
        let mut numbers = Numbers(found.content.get(4..)?);
        let item = numbers.item(version > 2)?;
        // Versions 0 and 1 have no types.
        let kind = numbers.0.get(2..)?.first_chunk::<4>()?;
        (version >= 2).then_some((item, *kind))
    };
    Some(entries.filter_map(entry).collect())
}

/// Reads the places in `iloc`.
fn places(iloc: &[u8]) -> Option<BTreeMap<u32, Place>> {
    let version = *iloc.first()?;
    let sizes = u16_at(iloc, 4)?;
    let size = |shift: u16| usize::from(sizes >> shift & 15);
    let (offset_size, length_size, base_size) = (size(12), size(8), size(4));
    let index_size = if version == 0 { 0 } else { size(0) };
    let mut numbers = Numbers(iloc.get(6..)?);
    let count = numbers.item(version >= 2)? as usize;
    let mut places = BTreeMap::new();
    for _ in 0..count.min(MOST) {
        let item = numbers.item(version >= 2)?;
        let method = if version == 0 { 0 } else { numbers.short()? & 15 };
        let _file = numbers.short()?;
        let base = numbers.sized(base_size)?;
        let mut extents = Vec::new();
        for _ in 0..usize::from(numbers.short()?).min(MOST) {
            let _index = numbers.sized(index_size)?;
            let offset = base.checked_add(numbers.sized(offset_size)?)?;
            extents.push((offset, numbers.sized(length_size)?));
        }
        // Method 2, an offset into another item, is not used by pictures.
        if method < 2 {
            places.insert(item, Place { in_description: method == 1, extents });
        }
    }
    Some(places)
}

/// Reads which properties belong to which item, in `ipma`.
fn associations(ipma: &[u8], of_items: &mut BTreeMap<u32, Vec<usize>>) -> Option<()> {
    let (version, wide) = (*ipma.first()?, ipma.get(3)? & 1 == 1);
    let count = u32_at(ipma, 4)? as usize;
    let mut numbers = Numbers(ipma.get(8..)?);
    for _ in 0..count.min(MOST) {
        let item = numbers.item(version > 0)?;
        let indices: &mut Vec<_> = of_items.entry(item).or_default();
        for _ in 0..numbers.sized(1)? {
            // The first bit says that a reader must know the property.
            let index =
                if wide { numbers.short()? & 0x7fff } else { numbers.sized(1)? as u16 & 0x7f };
            indices.push(usize::from(index));
        }
    }
    Some(())
}

/// Reads `iref`.
fn references(iref: &[u8]) -> Option<Vec<Reference>> {
    let wide = *iref.first()? > 0;
    let reference = |found: IsoBox| {
        let mut numbers = Numbers(found.content);
        let from = numbers.item(wide)?;
        let count = usize::from(numbers.short()?);
        let to = (0..count).map_while(|_| numbers.item(wide)).collect();
        Some(Reference { kind: found.kind, from, to })
    };
    Some(Boxes(iref.get(4..)?).take(MOST).filter_map(reference).collect())
}
