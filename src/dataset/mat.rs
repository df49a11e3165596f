/*!
A reader for MATLAB files (`.mat`, Level 5, which MATLAB writes up to `-v7`). It supports what
the lists of data sets contain: real numbers, lines of text, and cells of these.

A file is a header of 128 bytes followed by elements, each a type, a size and its data. Elements
nest, and top-level elements may be compressed with zlib. Files are untrusted: sizes in them are
checked against the bytes that are present.
*/

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use flate2::read::ZlibDecoder;

use super::{DatasetError, Layout};
use crate::cause::{Cause, told};

/// Length of the file header in bytes.
const HEADER: usize = 128;
/// Limit in bytes for the size of a file, and for the total size of its decompressed elements.
/// The names and labels of the 20,580 images of Stanford Dogs take about 6 MB.
const MOST: usize = 32 << 20;
/// Maximum nesting depth of cells.
const DEPTH: usize = 4;

// Element types.
const INT8: u32 = 1;
const UINT8: u32 = 2;
const INT16: u32 = 3;
const UINT16: u32 = 4;
const INT32: u32 = 5;
const UINT32: u32 = 6;
const SINGLE: u32 = 7;
const DOUBLE: u32 = 9;
const INT64: u32 = 12;
const UINT64: u32 = 13;
const MATRIX: u32 = 14;
const COMPRESSED: u32 = 15;
const UTF8: u32 = 16;
const UTF16: u32 = 17;

// Array classes; the numeric classes range from `FIRST_NUMERIC` to `LAST_NUMERIC`.
const CELL: u32 = 1;
const CHAR: u32 = 4;
const FIRST_NUMERIC: u32 = 6;
const LAST_NUMERIC: u32 = 15;

/// The value of a variable.
#[derive(Debug, Clone, PartialEq)]
enum Array {
    /// Numbers of any type, in column-major order.
    Numbers(Vec<f64>),
    /// One line of text.
    Text(String),
    /// Nested values, in column-major order.
    Cells(Vec<Array>),
    /// A type that lists do not use: structures, objects, sparse matrices, text of several lines.
    Other,
}

/// The variables of a file.
#[derive(Debug)]
pub(super) struct Mat {
    path: PathBuf,
    variables: Vec<(String, Array)>,
}

impl Mat {
    /// Reads `folder/name`.
    pub fn read(layout: Layout, folder: &Path, name: &str) -> Result<Self, DatasetError> {
        let path = folder.join(name);
        if !path.is_file() {
            return Err(DatasetError::Missing { layout, path });
        }
        let failed = |source| DatasetError::Read { path: path.clone(), source };
        let mut bytes = Vec::new();
        let file = File::open(&path).map_err(failed)?;
        file.take(MOST as u64 + 1).read_to_end(&mut bytes).map_err(failed)?;
        match variables(&bytes) {
            Ok(variables) => Ok(Self { path, variables }),
            Err(reason) => Err(DatasetError::Unfit { path, reason }),
        }
    }

    /// Returns a variable that contains non-negative integers.
    pub fn numbers(&self, variable: &str) -> Result<Vec<u64>, DatasetError> {
        let Array::Numbers(values) = self.variable(variable)? else {
            return Err(self.unfit(format!("its variable {variable} holds no numbers")));
        };
        let whole = |(place, value): (usize, &f64)| {
            // Doubles represent all integers up to this limit exactly.
            let fits = value.fract() == 0.0 && (0.0..=9e15).contains(value);
            fits.then_some(*value as u64).ok_or_else(|| {
                self.entry(variable, place, "a whole number from 0", &value.to_string())
            })
        };
        values.iter().enumerate().map(whole).collect()
    }

    /// Returns a variable that contains cells with one line of text each.
    pub fn texts<'a>(&'a self, variable: &str) -> Result<Vec<&'a str>, DatasetError> {
        let Array::Cells(cells) = self.variable(variable)? else {
            return Err(self.unfit(format!("its variable {variable} holds no cells of text")));
        };
        let text = |(place, cell): (usize, &'a Array)| match cell {
            Array::Text(text) => Ok(text.as_str()),
            _ => Err(self.entry(variable, place, "a line of text", "something else")),
        };
        cells.iter().enumerate().map(text).collect()
    }

    /// Returns an error about entry `place` (from 0) of a variable.
    pub fn entry(&self, variable: &str, place: usize, expected: &str, found: &str) -> DatasetError {
        let found: String = found.chars().take(80).collect();
        let place = place + 1;
        self.unfit(format!("entry {place} of {variable} should be {expected}, but is '{found}'"))
    }

    /// Returns an error about the file.
    pub fn unfit(&self, reason: String) -> DatasetError {
        DatasetError::Unfit { path: self.path.clone(), reason: reason.into() }
    }

    fn variable(&self, name: &str) -> Result<&Array, DatasetError> {
        let found = self.variables.iter().find(|(own, _)| own == name);
        found.map(|(_, array)| array).ok_or_else(|| {
            let own: Vec<&str> = self.variables.iter().map(|(own, _)| own.as_str()).collect();
            let own: String = own.join(", ").chars().take(80).collect();
            self.unfit(format!("it has no variable {name} (but: {own})"))
        })
    }
}

/// Parses all variables of a file, or returns the reason why it is invalid.
fn variables(bytes: &[u8]) -> Result<Vec<(String, Array)>, Cause> {
    if bytes.len() > MOST {
        return Err(format!("it is larger than {} MiB, the limit for lists", MOST >> 20).into());
    }
    let (Some(version), Some(order)) = (bytes.get(124..126), bytes.get(126..HEADER)) else {
        return Err("it is too short for a MATLAB file".into());
    };
    let big = match order {
        b"IM" => false,
        b"MI" => true,
        _ => return Err("it is not a MATLAB file of Level 5".into()),
    };
    let major = version[if big { 0 } else { 1 }];
    if major != 1 {
        return Err(format!(
            "it is a MATLAB file of version {major}, not of Level 5 (save it with -v7)"
        )
        .into());
    }
    let mut elements = Elements { rest: &bytes[HEADER..], big };
    let mut room = MOST;
    let mut found = Vec::new();
    while let Some((kind, data)) = elements.next()? {
        match kind {
            MATRIX => found.push(matrix(data, big, DEPTH)?),
            COMPRESSED => {
                let unpacked = unpack(data, room)?;
                room -= unpacked.len();
                let mut inner = Elements { rest: &unpacked, big };
                while let Some((kind, data)) = inner.next()? {
                    if kind == MATRIX {
                        found.push(matrix(data, big, DEPTH)?);
                    }
                }
            }
            _ => {}
        }
    }
    Ok(found)
}

/// Decompresses an element. Returns an error if the result exceeds `room` bytes.
fn unpack(packed: &[u8], room: usize) -> Result<Vec<u8>, Cause> {
    let mut unpacked = Vec::new();
    let mut decoder = ZlibDecoder::new(packed).take(room as u64 + 1);
    let read = decoder.read_to_end(&mut unpacked);
    read.map_err(|error| told(format!("its compressed data are damaged ({error})"), error))?;
    if unpacked.len() > room {
        return Err(
            format!("it unpacks to more than {} MiB, the limit for lists", MOST >> 20).into()
        );
    }
    Ok(unpacked)
}

/// Parses the name and value of a matrix element. An empty element is an empty, unnamed array.
fn matrix(data: &[u8], big: bool, depth: usize) -> Result<(String, Array), Cause> {
    if data.is_empty() {
        return Ok((String::new(), Array::Numbers(Vec::new())));
    }
    let mut parts = Elements { rest: data, big };
    let flags = parts.expect(&[UINT32], "flags")?.1;
    let class = flags.get(..4).ok_or("an array's flags are cut off")?;
    let class = u32::from_le_bytes(ordered(class, big)) & 0xff;
    let simple = matches!(class, CELL | CHAR | FIRST_NUMERIC..=LAST_NUMERIC);
    if !simple {
        // Some of these classes store neither sizes nor a name at this position.
        return Ok((String::new(), Array::Other));
    }
    let sizes = parts.expect(&[INT32], "sizes")?;
    let sizes: Vec<usize> = numbers(sizes, big)?.iter().map(|n| n.max(0.0) as usize).collect();
    let entries = sizes.iter().try_fold(1usize, |all, n| all.checked_mul(*n));
    let entries = entries.ok_or("an array has impossible sizes")?;
    let name = parts.expect(&[INT8, UINT8, UTF8], "name")?.1;
    let name = String::from_utf8_lossy(name).into_owned();
    let value = match class {
        CELL => Array::Cells(cells(&mut parts, entries, depth)?),
        // Text is stored in column-major order, so only a single line is contiguous.
        CHAR if sizes.iter().skip(1).product::<usize>() != entries && entries > 0 => Array::Other,
        CHAR => Array::Text(text(parts.next()?.unwrap_or((UINT8, &[])), big)),
        _ => {
            let values = match parts.next()? {
                Some(data) => numbers(data, big)?,
                None => Vec::new(),
            };
            if values.len() != entries {
                let found = values.len();
                return Err(
                    format!("its array {name} has {found} numbers instead of {entries}").into()
                );
            }
            Array::Numbers(values)
        }
    };
    Ok((name, value))
}

fn cells(parts: &mut Elements<'_>, count: usize, depth: usize) -> Result<Vec<Array>, Cause> {
    let Some(depth) = depth.checked_sub(1) else {
        return Err("its cells are nested too deep".into());
    };
    let mut cells = Vec::new();
    // `count` is untrusted: the loop ends with an error at the end of the data.
    for _ in 0..count {
        let (_, data) = parts.expect(&[MATRIX], "cells")?;
        cells.push(matrix(data, parts.big, depth)?.1);
    }
    Ok(cells)
}

/// Converts the numbers of an element of any numeric type to `f64`.
fn numbers((kind, data): (u32, &[u8]), big: bool) -> Result<Vec<f64>, Cause> {
    fn all<const N: usize>(data: &[u8], big: bool, one: impl Fn([u8; N]) -> f64) -> Vec<f64> {
        data.chunks_exact(N).map(|bytes| one(ordered(bytes, big))).collect()
    }
    Ok(match kind {
        INT8 => all(data, big, |b| f64::from(i8::from_le_bytes(b))),
        UINT8 => all(data, big, |b| f64::from(u8::from_le_bytes(b))),
        INT16 => all(data, big, |b| f64::from(i16::from_le_bytes(b))),
        UINT16 => all(data, big, |b| f64::from(u16::from_le_bytes(b))),
        INT32 => all(data, big, |b| f64::from(i32::from_le_bytes(b))),
        UINT32 => all(data, big, |b| f64::from(u32::from_le_bytes(b))),
        SINGLE => all(data, big, |b| f64::from(f32::from_le_bytes(b))),
        DOUBLE => all(data, big, f64::from_le_bytes),
        INT64 => all(data, big, |b| i64::from_le_bytes(b) as f64),
        UINT64 => all(data, big, |b| u64::from_le_bytes(b) as f64),
        _ => return Err(format!("it has numbers of the unknown type {kind}").into()),
    })
}

fn text((kind, data): (u32, &[u8]), big: bool) -> String {
    match kind {
        UINT16 | UTF16 => {
            let units = data.chunks_exact(2).map(|b| u16::from_le_bytes(ordered(b, big)));
            String::from_utf16_lossy(&units.collect::<Vec<_>>())
        }
        _ => String::from_utf8_lossy(data).into_owned(),
    }
}

/// Returns the first `N` bytes in little-endian order.
fn ordered<const N: usize>(bytes: &[u8], big: bool) -> [u8; N] {
    let mut own = [0; N];
    own.iter_mut().zip(bytes).for_each(|(own, byte)| *own = *byte);
    if big {
        own.reverse();
    }
    own
}

/// A reader of consecutive elements.
struct Elements<'a> {
    rest: &'a [u8],
    big: bool,
}

impl<'a> Elements<'a> {
    /// Returns the type and data of the next element; `None` at the end.
    fn next(&mut self) -> Result<Option<(u32, &'a [u8])>, String> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let cut = || "it is cut off".to_owned();
        let word = |at: usize| {
            let bytes = self.rest.get(at..at + 4).ok_or_else(cut)?;
            Ok::<u32, String>(u32::from_le_bytes(ordered(bytes, self.big)))
        };
        let first = word(0)?;
        // Small elements store up to four bytes in the tag itself, next to type and size.
        let (kind, from, size) = match first >> 16 {
            0 => (first, 8, word(4)? as usize),
            small @ 1..=4 => (first & 0xffff, 4, small as usize),
            _ => return Err("it is damaged".into()),
        };
        let data = self.rest.get(from..).and_then(|rest| rest.get(..size)).ok_or_else(cut)?;
        let end = from + size;
        // Elements are padded to multiples of eight bytes, except compressed ones.
        let end = if kind == COMPRESSED { end } else { end.next_multiple_of(8) };
        self.rest = self.rest.get(end..).unwrap_or_default();
        Ok(Some((kind, data)))
    }

    /// Returns the next element, or an error if its type is not among `kinds`.
    fn expect(&mut self, kinds: &[u32], what: &str) -> Result<(u32, &'a [u8]), String> {
        match self.next()? {
            Some((kind, data)) if kinds.contains(&kind) => Ok((kind, data)),
            Some(_) => Err(format!("an array's {what} have the wrong type")),
            None => Err(format!("an array's {what} are missing")),
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::fs;
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::ZlibEncoder;
    use proptest::prelude::*;

    use super::*;

    /// A file with the published structure, written by SciPy.
    macro_rules! fixture {
        ($name:literal) => {
            include_bytes!(concat!("../../tests/fixtures/mat/", $name)).as_slice()
        };
    }
    pub(in super::super) use fixture;

    /// Returns an element of these bytes, in little-endian order.
    fn element(kind: u32, data: &[u8]) -> Vec<u8> {
        let mut bytes = [kind.to_le_bytes(), (data.len() as u32).to_le_bytes()].concat();
        bytes.extend(data);
        bytes.resize(bytes.len().next_multiple_of(8), 0);
        bytes
    }

    fn array(class: u32, sizes: [i32; 2], name: &str, data: &[u8]) -> Vec<u8> {
        let flags = [class.to_le_bytes(), [0; 4]].concat();
        let sizes = sizes.map(i32::to_le_bytes).concat();
        let head =
            [element(UINT32, &flags), element(INT32, &sizes), element(INT8, name.as_bytes())];
        element(MATRIX, &[head.concat(), data.to_vec()].concat())
    }

    /// Returns a row of doubles.
    pub fn numbers_of(name: &str, values: &[f64]) -> Vec<u8> {
        let data: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        array(6, [1, values.len() as i32], name, &element(DOUBLE, &data))
    }

    /// Returns a column of cells with one line of text each, in UTF-16 as MATLAB writes it.
    pub fn texts_of(name: &str, texts: &[&str]) -> Vec<u8> {
        let cell = |text: &&str| {
            let units: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
            array(CHAR, [1, text.encode_utf16().count() as i32], "", &element(UINT16, &units))
        };
        let cells: Vec<u8> = texts.iter().flat_map(cell).collect();
        array(CELL, [texts.len() as i32, 1], name, &cells)
    }

    /// Returns a file of these elements.
    pub fn file_of(elements: &[Vec<u8>]) -> Vec<u8> {
        let mut bytes = vec![b' '; 124];
        bytes.extend([0, 1, b'I', b'M']);
        bytes.extend(elements.concat());
        bytes
    }

    fn packed(elements: &[u8]) -> Vec<u8> {
        let mut encoder = ZlibEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(elements).unwrap();
        let data = encoder.finish().unwrap();
        // Compressed elements are not padded.
        let head = [COMPRESSED.to_le_bytes(), (data.len() as u32).to_le_bytes()].concat();
        [head, data].concat()
    }

    fn open(bytes: &[u8]) -> Result<Mat, DatasetError> {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("a.mat"), bytes).unwrap();
        Mat::read(Layout::Dogs, folder.path(), "a.mat")
    }

    fn refused(bytes: &[u8]) -> String {
        open(bytes).unwrap_err().to_string()
    }

    #[test]
    fn what_scipy_writes_is_read() {
        let dogs = open(fixture!("train_list.mat")).unwrap();
        let files = dogs.texts("file_list").unwrap();
        assert_eq!(files[0], "n02085620-Chihuahua/n02085620_5927.jpg");
        assert_eq!(files.len(), dogs.numbers("labels").unwrap().len());
        assert_eq!(dogs.texts("annotation_list").unwrap()[0], files[0].trim_end_matches(".jpg"));
        let flowers = open(fixture!("imagelabels.mat")).unwrap();
        assert_eq!(flowers.numbers("labels").unwrap().iter().max(), Some(&102));
        // Not compressed, and stored in another type than the array's class.
        let splits = open(fixture!("datasplits.mat")).unwrap();
        assert_eq!(splits.numbers("trn1").unwrap().len(), 680);
    }

    #[test]
    fn both_byte_orders_and_packed_elements_are_read() {
        let parts = [numbers_of("n", &[3.0, 70000.0]), texts_of("t", &["a", "Bärenklau", ""])];
        let whole = file_of(&parts);
        for bytes in [whole.clone(), file_of(&[packed(&parts[0]), packed(&parts[1])])] {
            let mat = open(&bytes).unwrap();
            assert_eq!(mat.numbers("n").unwrap(), [3, 70000]);
            assert_eq!(mat.texts("t").unwrap(), ["a", "Bärenklau", ""]);
        }
        // Hand-written: the number 258 inside the tag, in big-endian order.
        let mut big = vec![b' '; 124];
        big.extend([1, 0, b'M', b'I', 0, 0, 0, 14, 0, 0, 0, 48]);
        big.extend([0, 0, 0, 6, 0, 0, 0, 8, 0, 0, 0, 6, 0, 0, 0, 0]);
        big.extend([0, 0, 0, 5, 0, 0, 0, 8, 0, 0, 0, 1, 0, 0, 0, 1]);
        big.extend([0, 1, 0, 1, b'n', 0, 0, 0, 0, 2, 0, 4, 1, 2, 0, 0]);
        assert_eq!(open(&big).unwrap().numbers("n").unwrap(), [258]);
    }

    #[test]
    fn what_is_no_list_is_named() {
        let mat = open(&file_of(&[
            numbers_of("half", &[1.0, 0.5]),
            numbers_of("less", &[-1.0]),
            numbers_of("nan", &[f64::NAN]),
            texts_of("t", &["a"]),
            array(CHAR, [2, 2], "lines", &element(UTF8, b"abcd")),
            array(CELL, [1, 1], "cells", &numbers_of("", &[1.0])),
            array(2, [1, 1], "struct", &[]),
        ]))
        .unwrap();
        let said = |error: DatasetError| error.to_string();
        for (name, expected) in [
            ("half", "entry 2 of half should be a whole number from 0, but is '0.5'"),
            ("less", "'-1'"),
            ("nan", "'NaN'"),
            ("t", "t holds no numbers"),
            ("lines", "holds no numbers"),
            ("none", "no variable none (but: half, less"),
            ("struct", "no variable struct"),
        ] {
            let error = said(mat.numbers(name).unwrap_err());
            assert!(error.contains(expected) && error.contains("a.mat"), "{error}");
        }
        assert!(said(mat.texts("half").unwrap_err()).contains("no cells of text"));
        assert!(said(mat.texts("cells").unwrap_err()).contains("entry 1 of cells"));
    }

    #[test]
    fn hostile_files_are_refused() {
        assert!(refused(b"").contains("too short"));
        assert!(refused(&[b'x'; 200]).contains("not a MATLAB file"));
        let mut newer = file_of(&[]);
        newer[125] = 2;
        assert!(refused(&newer).contains("version 2"));
        let claims = |size: u32| [MATRIX.to_le_bytes(), size.to_le_bytes()].concat();
        assert!(refused(&file_of(&[claims(u32::MAX)])).contains("cut off"));
        let many = array(CELL, [i32::MAX, 1], "c", &[]);
        assert!(refused(&file_of(&[many])).contains("cells are missing"));
        let vast = array(6, [i32::MAX, i32::MAX], "n", &element(DOUBLE, &[0; 8]));
        assert!(refused(&file_of(&[vast])).contains("1 numbers instead of"));
        let huge = array(6, [0, 0], "n", &[]);
        let sizes: Vec<u8> = [i32::MAX; 4].map(i32::to_le_bytes).concat();
        let impossible = [&huge[8..24], &element(INT32, &sizes)].concat();
        let error = refused(&file_of(&[element(MATRIX, &impossible)]));
        assert!(error.contains("impossible sizes"), "{error}");
        let odd = array(6, [1, 1], "n", &element(99, &[0; 8]));
        assert!(refused(&file_of(&[odd])).contains("unknown type 99"));
        let deep =
            (0..50).fold(numbers_of("", &[1.0]), |in_it, _| array(CELL, [1, 1], "c", &in_it));
        assert!(refused(&file_of(&[deep])).contains("too deep"));
        // 64 MiB of zeros compressed to 64 KiB, in one element and in several.
        let bomb = packed(&vec![0; 2 * MOST]);
        assert!(bomb.len() < MOST / 100);
        assert!(refused(&file_of(&[bomb])).contains("unpacks to more"));
        let part = packed(&element(UINT8, &vec![0; MOST / 4]));
        assert!(refused(&file_of(&vec![part; 5])).contains("unpacks to more"));
        let mut damaged = packed(&numbers_of("n", &[1.0; 40]));
        let middle = damaged.len() / 2;
        damaged[middle] ^= 0xff;
        assert!(refused(&file_of(&[damaged])).contains("damaged"));
    }

    #[test]
    fn a_file_larger_than_any_list_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        // A sparse file takes no disk space.
        File::create(folder.path().join("a.mat")).unwrap().set_len(1 << 40).unwrap();
        let error = Mat::read(Layout::Dogs, folder.path(), "a.mat").unwrap_err().to_string();
        assert!(error.contains("larger than 32 MiB"), "{error}");
    }

    proptest! {
        #[test]
        fn no_file_makes_it_panic(
            whole in any::<bool>(),
            cut in any::<prop::sample::Index>(),
            changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
        ) {
            // Not compressed, so that changes reach the elements.
            let parts = [numbers_of("n", &[1.0, 2.0]), texts_of("t", &["a", "bc"])];
            let mut bytes = file_of(&parts);
            for (at, value) in changes {
                let at = at.index(bytes.len());
                bytes[at] = value;
            }
            bytes.truncate(if whole { bytes.len() } else { cut.index(bytes.len()) });
            if let Ok(found) = variables(&bytes) {
                let mat = Mat { path: "a.mat".into(), variables: found };
                let _ = (mat.numbers("n"), mat.texts("t"));
            }
        }
    }
}
