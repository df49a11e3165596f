/*!
Parquet files with one row per image, readable by DuckDB, ClickHouse, Spark, Polars and pandas.

| column | type | |
|---|---|---|
| `id` | int64 | ascending |
| `path` | string | |
| `label` | string, nullable | |
| `content` | 32 bytes | BLAKE3 of the file |
| `code` | ⌈bits/8⌉ bytes | packed: bit *i* is bit *i* % 8 of byte *i* / 8 |
| `word_0` … | uint64 | the same code, 64 bits each: for `bit_count(xor(…))` |

The file's key-value metadata has one entry, `barbule`, with the [`About`] as JSON.
*/

use std::fs::File;
use std::io::BufWriter;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parquet::basic::Compression;
use parquet::column::reader::ColumnReader;
use parquet::column::writer::ColumnWriter;
use parquet::data_type::{ByteArray, FixedLenByteArray};
use parquet::errors::ParquetError;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use parquet::schema::parser::parse_message_type;
use parquet::schema::types::{ColumnPath, Type};

use super::share::Share;
use super::sidecar::{self, Pending};
use super::{BATCH, Batch, EngineError, Head, Sink, Source};
use crate::cause::{Cause, told};
use crate::code::CodeError;

/// Images per row group: about ten megabytes.
const GROUP: usize = 16 * BATCH;
/// Name of the entry in the metadata.
const KEY: &str = "barbule";
/// Number of columns before the words.
const FIXED: usize = 5;
/// Version of the metadata and column layout of codes that are signs.
const SIGNS: u32 = 1;
/// Version of those that are words, and the newest that is read.
const FORMAT: u32 = 2;

/// The file's `barbule` metadata.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
#[non_exhaustive]
pub struct About {
    /// Version of this layout.
    pub format: u32,
    /// Name and version of the program that wrote the file.
    pub program: String,
    /// Metadata of the collection, or of this part of it.
    pub head: Head,
    /// Position in a list of files that several machines share, if any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub share: Option<Share>,
}

/// Writes a collection, or a part of one.
pub struct Writer {
    pending: Pending,
    file: SerializedFileWriter<BufWriter<File>>,
    group: Batch,
    about: About,
}

impl Writer {
    /// Starts writing `path`.
    ///
    /// # Errors
    /// If its folder is missing or not writable.
    pub fn create(path: &Path, head: &Head, share: Option<Share>) -> Result<Self, EngineError> {
        let pending = Pending::create(path)?;
        let program = format!("barbule {}", env!("CARGO_PKG_VERSION"));
        // Programs that know no words refuse the later version.
        let format = if head.codebooks.is_some() { FORMAT } else { SIGNS };
        let about = About { format, program, head: head.clone(), share };
        let file = SerializedFileWriter::new(
            pending.writer()?,
            schema(head.bits).map_err(failed(path))?,
            Arc::new(properties(head.bits)),
        );
        let file = file.map_err(failed(path))?;
        Ok(Self { pending, file, group: Batch::new(head.bits)?, about })
    }

    /// Sets the number of images, which an encoded part knows only at the end.
    pub fn set_images(&mut self, images: u64) {
        self.about.head.images = images;
    }

    fn flush(&mut self) -> Result<(), EngineError> {
        if self.group.is_empty() {
            return Ok(());
        }
        let mut group = self.file.next_row_group().map_err(failed(&self.pending.path))?;
        write_columns(&mut group, &self.group).map_err(failed(&self.pending.path))?;
        group.close().map_err(failed(&self.pending.path))?;
        self.group = Batch::new(self.about.head.bits)?;
        Ok(())
    }
}

impl Sink for Writer {
    fn write(&mut self, batch: &Batch) -> Result<(), EngineError> {
        self.group.ids.extend(&batch.ids);
        self.group.paths.extend(batch.paths.iter().cloned());
        self.group.labels.extend(batch.labels.iter().cloned());
        self.group.contents.extend(&batch.contents);
        self.group.codes.extend(&batch.codes)?;
        if self.group.len() >= GROUP { self.flush() } else { Ok(()) }
    }

    fn finish(mut self: Box<Self>) -> Result<(), EngineError> {
        self.flush()?;
        let Self { pending, mut file, about, .. } = *self;
        let about = serde_json::to_string(&about).map_err(|error| EngineError::Write {
            path: pending.path.clone(),
            source: error.into(),
        })?;
        file.append_key_value_metadata(KeyValue::new(KEY.to_owned(), about));
        let out = file.into_inner().map_err(failed(&pending.path))?;
        out.into_inner().map_err(|error| EngineError::write(&pending.path)(error.into_error()))?;
        pending.put()
    }
}

/// Returns a `map_err` adapter to [`EngineError::Write`].
fn failed(path: &Path) -> impl FnOnce(ParquetError) -> EngineError {
    let path = path.to_owned();
    move |error| EngineError::Write { path, source: std::io::Error::other(error) }
}

fn schema(bits: usize) -> Result<Arc<Type>, ParquetError> {
    let words: String = (0..bits.div_ceil(64))
        .map(|word| format!("required int64 word_{word} (integer(64,false));\n"))
        .collect();
    let text = format!(
        "message image {{
            required int64 id;
            required binary path (string);
            optional binary label (string);
            required fixed_len_byte_array(32) content;
            required fixed_len_byte_array({}) code;
            {words}
        }}",
        bits.div_ceil(8)
    );
    parse_message_type(&text).map(Arc::new)
}

fn properties(bits: usize) -> WriterProperties {
    let mut properties = WriterProperties::builder().set_compression(Compression::SNAPPY);
    let words = (0..bits.div_ceil(64)).map(|word| format!("word_{word}"));
    // Codes and hashes do not repeat, so a dictionary doubles their size and compression gains
    // nothing.
    for name in words.chain(["content".to_owned(), "code".to_owned()]) {
        let column = ColumnPath::from(name);
        properties = properties
            .set_column_dictionary_enabled(column.clone(), false)
            .set_column_compression(column, Compression::UNCOMPRESSED);
    }
    properties.set_column_dictionary_enabled(ColumnPath::from("id"), false).build()
}

fn write_columns<W: std::io::Write + Send>(
    group: &mut SerializedRowGroupWriter<'_, W>,
    batch: &Batch,
) -> Result<(), ParquetError> {
    let rows = 0..batch.len();
    let mut number = 0;
    while let Some(mut column) = group.next_column()? {
        match (number, column.untyped()) {
            (0, ColumnWriter::Int64ColumnWriter(out)) => out.write_batch(&batch.ids, None, None)?,
            (1, ColumnWriter::ByteArrayColumnWriter(out)) => {
                let paths: Vec<_> = batch.paths.iter().map(|path| text(path)).collect();
                out.write_batch(&paths, None, None)?
            }
            (2, ColumnWriter::ByteArrayColumnWriter(out)) => {
                let labels: Vec<_> =
                    batch.labels.iter().flatten().map(|label| text(label)).collect();
                let there: Vec<i16> =
                    batch.labels.iter().map(|label| i16::from(label.is_some())).collect();
                out.write_batch(&labels, Some(&there), None)?
            }
            (3, ColumnWriter::FixedLenByteArrayColumnWriter(out)) => {
                let contents: Vec<_> =
                    batch.contents.iter().map(|bytes| fixed(bytes.to_vec())).collect();
                out.write_batch(&contents, None, None)?
            }
            (4, ColumnWriter::FixedLenByteArrayColumnWriter(out)) => {
                let codes: Vec<_> =
                    rows.clone().map(|row| fixed(batch.codes.row_bytes(row))).collect();
                out.write_batch(&codes, None, None)?
            }
            (_, ColumnWriter::Int64ColumnWriter(out)) => {
                let word = number - FIXED;
                let words: Vec<i64> =
                    rows.clone().map(|row| batch.codes.row(row)[word].cast_signed()).collect();
                out.write_batch(&words, None, None)?
            }
            _ => return Err(ParquetError::General("the schema and the columns differ".to_owned())),
        };
        column.close()?;
        number += 1;
    }
    Ok(())
}

fn text(text: &str) -> ByteArray {
    text.as_bytes().to_vec().into()
}

fn fixed(bytes: Vec<u8>) -> FixedLenByteArray {
    ByteArray::from(bytes).into()
}

/// Reads the output of [`Writer`].
pub struct Reader {
    path: PathBuf,
    about: About,
    file: SerializedFileReader<File>,
    group: usize,
    /// The rest of the current row group.
    columns: Option<Columns>,
}

impl Reader {
    /// Opens a file.
    ///
    /// # Errors
    /// If it is missing, not a Parquet file of Barbule's, or of a newer format.
    pub fn open(path: &Path) -> Result<Self, EngineError> {
        let file = File::open(path).map_err(EngineError::read(path))?;
        let file = SerializedFileReader::new(file).map_err(EngineError::read(path))?;
        let entries = file.metadata().file_metadata().key_value_metadata();
        let entry = entries.and_then(|all| all.iter().find(|entry| entry.key == KEY));
        let Some(about) = entry.and_then(|entry| entry.value.as_deref()) else {
            let reason =
                "it was not written by Barbule; name files of an export or of encoded parts";
            return Err(EngineError::unfit(path, reason));
        };
        let about: About = serde_json::from_str(about).map_err(EngineError::read(path))?;
        if about.format > FORMAT {
            let reason = format!(
                "it has format {}, this program reads up to {FORMAT}; install a newer barbule",
                about.format
            );
            return Err(EngineError::unfit(path, reason));
        }
        about.head.check().map_err(EngineError::read(path))?;
        let columns = schema(about.head.bits).map_err(EngineError::read(path))?;
        let found = file.metadata().file_metadata().schema();
        let same = found.get_fields().len() == columns.get_fields().len()
            && columns.get_fields().iter().zip(found.get_fields()).all(|(a, b)| {
                // `get_physical_type` panics for a group of columns.
                a.name() == b.name()
                    && b.is_primitive()
                    && a.get_physical_type() == b.get_physical_type()
            });
        if !same {
            return Err(EngineError::unfit(path, "its columns are not those of a collection"));
        }
        Ok(Self { path: path.to_owned(), about, file, group: 0, columns: None })
    }

    /// Metadata of the file.
    pub fn about(&self) -> &About {
        &self.about
    }

    /// Returns the first id; `None` if the file has no images.
    ///
    /// # Errors
    /// If the file is damaged.
    pub(super) fn first_id(&self) -> Result<Option<i64>, EngineError> {
        if self.file.num_row_groups() == 0 {
            return Ok(None);
        }
        let columns = Columns::open(&self.file, 0, self.about.head.bits);
        let read = columns.map_err(Cause::from).and_then(|mut columns| columns.read(1));
        Ok(read.map_err(EngineError::read(&self.path))?.ids.first().copied())
    }
}

impl Source for Reader {
    fn head(&self) -> &Head {
        &self.about.head
    }

    fn stamp(&self) -> String {
        sidecar::stamp(&[&self.path])
    }

    fn next_batch(&mut self) -> Result<Option<Batch>, EngineError> {
        loop {
            if let Some(columns) = &mut self.columns {
                let batch = columns.read(BATCH).map_err(EngineError::read(&self.path))?;
                if !batch.is_empty() {
                    return Ok(Some(batch));
                }
                self.columns = None;
            }
            if self.group == self.file.num_row_groups() {
                return Ok(None);
            }
            let columns = Columns::open(&self.file, self.group, self.about.head.bits);
            self.columns = Some(columns.map_err(EngineError::read(&self.path))?);
            self.group += 1;
        }
    }
}

/// Readers of a row group's columns, all at the same row.
struct Columns {
    columns: Vec<ColumnReader>,
    bits: usize,
}

impl Columns {
    fn open(
        file: &SerializedFileReader<File>,
        group: usize,
        bits: usize,
    ) -> Result<Self, ParquetError> {
        let group = file.get_row_group(group)?;
        // The words repeat the codes, so they are not read.
        let columns = (0..FIXED).map(|column| group.get_column_reader(column));
        Ok(Self { columns: columns.collect::<Result<_, _>>()?, bits })
    }

    fn read(&mut self, most: usize) -> Result<Batch, Cause> {
        let damaged = |reason: &str| ParquetError::General(format!("it is damaged: {reason}"));
        let odd = |error: CodeError| told(damaged(&error.to_string()).to_string(), error);
        let mut batch = Batch::new(self.bits).map_err(odd)?;
        for (number, column) in self.columns.iter_mut().enumerate() {
            match (number, column) {
                (0, ColumnReader::Int64ColumnReader(column)) => {
                    column.read_records(most, None, None, &mut batch.ids)?;
                }
                (1, ColumnReader::ByteArrayColumnReader(column)) => {
                    let mut values = Vec::new();
                    column.read_records(most, None, None, &mut values)?;
                    let paths: Result<_, _> = values.iter().map(string).collect();
                    batch.paths = paths?;
                }
                (2, ColumnReader::ByteArrayColumnReader(column)) => {
                    let (mut there, mut values) = (Vec::new(), Vec::new());
                    column.read_records(most, Some(&mut there), None, &mut values)?;
                    let mut values = values.iter();
                    for there in there {
                        let value = if there == 1 { values.next() } else { None };
                        batch.labels.push(value.map(string).transpose()?);
                    }
                }
                (3, ColumnReader::FixedLenByteArrayColumnReader(column)) => {
                    let mut values: Vec<FixedLenByteArray> = Vec::new();
                    column.read_records(most, None, None, &mut values)?;
                    for value in &values {
                        let content = value.data().try_into();
                        batch.contents.push(
                            content.map_err(|_| damaged("a content hash has the wrong length"))?,
                        );
                    }
                }
                (4, ColumnReader::FixedLenByteArrayColumnReader(column)) => {
                    let mut values: Vec<FixedLenByteArray> = Vec::new();
                    column.read_records(most, None, None, &mut values)?;
                    for value in &values {
                        batch.codes.push_bytes(value.data()).map_err(odd)?;
                    }
                }
                _ => return Err(damaged("a column has the wrong type").into()),
            }
        }
        let lengths =
            [batch.paths.len(), batch.labels.len(), batch.contents.len(), batch.codes.len()];
        if lengths.iter().all(|length| *length == batch.len()) {
            Ok(batch)
        } else {
            Err(damaged("its columns differ in length").into())
        }
    }
}

fn string(value: &ByteArray) -> Result<String, ParquetError> {
    value.as_utf8().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_in_place_of_a_column_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.parquet");
        let head = Head::new(8, "m", 0);
        let about = About { format: SIGNS, program: String::new(), head, share: None };
        let text = "message image { required group id { required int64 x; }
            required binary path (string); optional binary label (string);
            required fixed_len_byte_array(32) content; required fixed_len_byte_array(1) code;
            required int64 word_0 (integer(64,false)); }";
        let schema = parse_message_type(text).map(Arc::new).unwrap();
        let entry = KeyValue::new(KEY.to_owned(), serde_json::to_string(&about).unwrap());
        let properties = WriterProperties::builder().set_key_value_metadata(Some(vec![entry]));
        let file = File::create(&path).unwrap();
        let writer = SerializedFileWriter::new(file, schema, Arc::new(properties.build()));
        writer.unwrap().close().unwrap();
        let said = Reader::open(&path).err().unwrap().to_string();
        assert!(said.contains("columns are not those"), "{said}");
    }
}
