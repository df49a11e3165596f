/*!
A table of labels in a file.
*/

use std::collections::HashMap;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::paths::stored_path;
use super::{ImageRow, IndexError};
use crate::cause::Cause;
use crate::file;

/// Possible separators, in the order in which they are preferred.
const SEPARATORS: [u8; 3] = [b',', b'\t', b';'];
/// Rows that are looked up on disk to choose between separators.
const TRIED: usize = 100;
/// Names of the columns in a first row that is no image.
const COLUMNS: [&[&str]; 2] = [
    &["path", "file", "filename", "file_name", "image", "name", "photo"],
    &["label", "labels", "class", "category", "species", "tag", "name"],
];

/// A table from paths to labels that was read from a file.
#[derive(Debug, Clone, Default)]
pub struct LabelTable {
    /// By stored path.
    images: HashMap<String, Named>,
    rows: usize,
    conflicts: usize,
    first_conflict: Option<Row>,
}

/// An image of a table.
#[derive(Debug, Clone)]
struct Named {
    label: String,
    /// The first row that names it.
    row: Row,
    /// Number of rows that name it.
    rows: usize,
}

/// A row of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Row {
    /// Its line in the file, from 1.
    pub line: usize,
    /// The path as it is written there.
    pub path: String,
}

/// The rows of a table that name images, and those that do not.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct TableUse {
    /// Number of rows.
    pub rows: usize,
    /// Rows that name no image.
    pub unmatched: usize,
    /// The first of these.
    pub first_unmatched: Option<Row>,
    /// Rows that give another label to an image than a row before; the last one counts.
    pub conflicts: usize,
    /// The first of these.
    pub first_conflict: Option<Row>,
}

impl LabelTable {
    /// Writes paths and labels as a table that can be read back. Images without a label are left
    /// out.
    ///
    /// # Errors
    /// Any error of writing to `out`.
    pub fn write(images: &[ImageRow], out: impl Write) -> io::Result<()> {
        let mut table = csv::Writer::from_writer(out);
        table.write_record(["path", "label"])?;
        for image in images {
            if let Some(label) = &image.label {
                table.write_record([&image.path, label])?;
            }
        }
        table.flush()
    }

    /// Reads a table; see [`Labels::read`](super::Labels::read).
    pub(super) fn read(path: &Path) -> Result<Self, IndexError> {
        let failed = |reason: Cause| IndexError::Labels { path: path.to_owned(), reason };
        let text = std::fs::read(path).and_then(file::text);
        let text = text.map_err(|error| failed(error.into()))?;
        let folder = std::path::absolute(path).map_err(|error| failed(error.into()))?;
        let folder = folder.parent().unwrap_or(Path::new("/"));
        let mut parsed: Vec<_> = SEPARATORS.iter().map(|by| parse(&text, *by)).collect();
        // The separator that every row has. Names may contain the others, so what is on disk
        // decides between several.
        let fits: Vec<usize> = (0..parsed.len()).filter(|i| parsed[*i].is_ok()).collect();
        let there = |i: &usize| {
            let rows = parsed[*i].iter().flatten().take(TRIED);
            rows.filter(|(row, _)| folder.join(&row.path).exists()).count()
        };
        let best = match fits.as_slice() {
            [] => 0,
            [only] => *only,
            // Of equals, the first.
            several => several.iter().rev().copied().max_by_key(there).unwrap_or_default(),
        };
        let rows = parsed.swap_remove(best).map_err(failed)?;
        let mut table = Self::default();
        for (number, (row, label)) in rows.into_iter().enumerate() {
            let image = folder.join(&row.path);
            if number == 0 && is_header(&row.path, &label) && !image.exists() {
                continue;
            }
            table.add(stored_path(&spelt(image)), row, label);
        }
        Ok(table)
    }

    fn add(&mut self, image: String, row: Row, label: String) {
        self.rows += 1;
        if let Some(before) = self.images.get_mut(&image) {
            before.rows += 1;
            if before.label != label {
                self.conflicts += 1;
                self.first_conflict.get_or_insert(row);
                before.label = label;
            }
            return;
        }
        self.images.insert(image, Named { label, row, rows: 1 });
    }

    /// Returns the label of a stored path; an empty one removes a label.
    pub(super) fn label(&self, path: &str) -> Option<&str> {
        self.images.get(path).map(|named| named.label.as_str())
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Returns whether any of its images exists.
    pub fn names_a_file(&self) -> bool {
        self.images.keys().any(|path| Path::new(path).exists())
    }

    /// Returns how much of it names images.
    pub(super) fn used(&self, is_there: impl Fn(&str) -> bool) -> TableUse {
        let mut found = TableUse {
            rows: self.rows,
            conflicts: self.conflicts,
            first_conflict: self.first_conflict.clone(),
            ..TableUse::default()
        };
        for (_, named) in self.images.iter().filter(|(path, _)| !is_there(path)) {
            found.unmatched += named.rows;
            let first = found.first_unmatched.get_or_insert_with(|| named.row.clone());
            if named.row.line < first.line {
                *first = named.row.clone();
            }
        }
        found
    }
}

/// Returns the rows and labels of a text, or the reason why this is not its separator.
fn parse(text: &str, separator: u8) -> Result<Vec<(Row, String)>, Cause> {
    let mut reader = csv::ReaderBuilder::new();
    let reader = reader.has_headers(false).flexible(true).delimiter(separator);
    let mut reader = reader.from_reader(text.as_bytes());
    let mut record = csv::StringRecord::new();
    let (mut rows, mut line, mut at) = (Vec::new(), 1, 0);
    while reader.read_record(&mut record)? {
        let end = usize::try_from(reader.position().byte()).unwrap_or(text.len());
        let read = text.get(at..end).unwrap_or_default();
        let blank = read.len() - read.trim_start_matches(['\r', '\n']).len();
        let first = line + read[..blank].matches('\n').count();
        line += read.matches('\n').count();
        at = end;
        let fields: Vec<&str> = record.iter().collect();
        // An unquoted path may contain the separator; a label with one must be quoted.
        match fields.split_last() {
            Some((label, image)) if !image.is_empty() => {
                let path = image.join(char::from(separator).encode_utf8(&mut [0; 4]));
                let row = Row { line: first, path: path.trim().to_owned() };
                rows.push((row, label.trim().to_owned()));
            }
            _ => {
                return Err(format!("line {first} has no comma, semicolon or tab").into());
            }
        }
    }
    Ok(rows)
}

fn is_header(path: &str, label: &str) -> bool {
    let [paths, labels] = COLUMNS;
    let among = |name: &str, all: &[&str]| all.iter().any(|one| name.eq_ignore_ascii_case(one));
    among(path, paths) && among(label, labels)
}

/// Returns a path in the spelling of a listing: links in the folder are followed, a link at the end
/// is not.
fn spelt(image: PathBuf) -> PathBuf {
    let parent = image.parent().and_then(|parent| parent.canonicalize().ok());
    match (parent, image.file_name()) {
        (Some(parent), Some(name)) => parent.join(name),
        _ => image,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(table: &LabelTable, place: &Path, expected: &[(&str, &str)]) {
        assert_eq!(table.images.len(), expected.len(), "{table:?}");
        for (image, label) in expected {
            let path = stored_path(&place.join(image));
            assert_eq!(table.label(&path), Some(*label), "{image:?} in {table:?}");
        }
    }

    #[test]
    fn tables_are_csv_and_plain_lines() {
        let folder = tempfile::tempdir().unwrap();
        let (file, place) = (folder.path().join("l.csv"), folder.path().canonicalize().unwrap());
        let text = "\u{feff}a.jpg,owl\r\n\n b c.jpg , barn owl \n\"d,\"\"e\"\".jpg\",\"Owl, barn\"\nf,g.jpg,wren\n\"h\ni.jpg\",\nj.jpg,tit";
        std::fs::write(&file, text).unwrap();
        let expected = [
            ("a.jpg", "owl"),
            ("b c.jpg", "barn owl"),
            ("d,\"e\".jpg", "Owl, barn"),
            ("f,g.jpg", "wren"),
            ("h\ni.jpg", ""),
            ("j.jpg", "tit"),
        ];
        check(&LabelTable::read(&file).unwrap(), &place, &expected);
        std::fs::write(&file, "a.jpg,owl\n\nb.jpg\n").unwrap();
        let said = LabelTable::read(&file).unwrap_err().to_string();
        assert!(said.contains("line 3 has no comma"), "{said}");
        for odd in ["", "\n", "\"", "\"a,b", ",", "\u{feff}", "a,b,", "a;b\tc,d"] {
            std::fs::write(&file, odd).unwrap();
            let _ = LabelTable::read(&file);
        }
    }

    #[test]
    fn separators_and_encodings_of_spreadsheets_are_read() {
        let folder = tempfile::tempdir().unwrap();
        let (file, place) = (folder.path().join("l.csv"), folder.path().canonicalize().unwrap());
        let expected = [("a.jpg", "Steinkauz"), ("Müller, Hans.jpg", "Zaunkönig")];
        let semicolons = "Path;Label\r\na.jpg;Steinkauz\r\nMüller, Hans.jpg;Zaunkönig\r\n";
        let tabs = semicolons.replace(';', "\t");
        let units = |text: &str| text.encode_utf16().collect::<Vec<_>>();
        let little: Vec<u8> = units(&tabs).into_iter().flat_map(u16::to_le_bytes).collect();
        let big: Vec<u8> = units(semicolons).into_iter().flat_map(u16::to_be_bytes).collect();
        let all = [
            semicolons.as_bytes().to_vec(),
            tabs.as_bytes().to_vec(),
            [b"\xff\xfe", &little[..]].concat(),
            [b"\xfe\xff", &big[..]].concat(),
        ];
        for bytes in all {
            std::fs::write(&file, bytes).unwrap();
            let table = LabelTable::read(&file).unwrap();
            check(&table, &place, &expected);
            assert_eq!(table.rows(), 2);
        }
        // Every row has both; the files that are there decide.
        std::fs::write(place.join("b, c.jpg"), "").unwrap();
        std::fs::write(&file, "b, c.jpg;owl\n").unwrap();
        check(&LabelTable::read(&file).unwrap(), &place, &[("b, c.jpg", "owl")]);
        std::fs::write(place.join("d;e.jpg"), "").unwrap();
        std::fs::write(&file, "d;e.jpg,wren\n").unwrap();
        check(&LabelTable::read(&file).unwrap(), &place, &[("d;e.jpg", "wren")]);
    }

    #[test]
    fn rows_without_images_and_contradictions_are_counted() {
        let folder = tempfile::tempdir().unwrap();
        let (file, place) = (folder.path().join("l.csv"), folder.path().canonicalize().unwrap());
        std::fs::write(&file, "a.png,owl\n\nB.png,wren\na.png,owl\na.png,tit\nB.png,wren\n")
            .unwrap();
        let table = LabelTable::read(&file).unwrap();
        let there = stored_path(&place.join("a.png"));
        let row = |line, path: &str| Some(Row { line, path: path.to_owned() });
        let expected = TableUse {
            rows: 5,
            unmatched: 2,
            first_unmatched: row(3, "B.png"),
            conflicts: 1,
            first_conflict: row(5, "a.png"),
        };
        assert_eq!(table.used(|path| path == there), expected);
        check(&table, &place, &[("a.png", "tit"), ("B.png", "wren")]);
    }
}
