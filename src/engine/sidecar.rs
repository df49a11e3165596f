/*!
Sidecar files with ids, paths, labels and content hashes of the images, and the collection's
metadata. Used by the formats that can store only codes.

`ids.npy` (int64), `contents.npy` (uint8, 32 columns), `paths.txt` and `labels.txt` (one line per
image), `about.json` (the [`Head`]). `about.json` is written last; an export without it is
incomplete. A text that contains a line break or begins with `"` is written as a JSON string.
*/

use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use npyz::{NpyFile, NpyWriter, WriterBuilder};
use tempfile::NamedTempFile;

use super::{BATCH, Batch, EngineError, Head};
use crate::cause::told;
use crate::code::BinaryCodes;
use crate::file;

/// Paths of the sidecar files: a folder, and an optional prefix of the file names.
#[derive(Debug, Clone)]
pub(super) struct Names {
    folder: PathBuf,
    prefix: String,
}

impl Names {
    /// Files in a folder, without a prefix.
    pub fn within(folder: &Path) -> Self {
        Self { folder: folder.to_owned(), prefix: String::new() }
    }

    /// Files next to `path`; its file name is their prefix.
    pub fn beside(path: &Path) -> Self {
        let folder = path.parent().unwrap_or(Path::new("")).to_owned();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        Self { folder, prefix: format!("{name}.") }
    }

    fn of(&self, name: &str) -> PathBuf {
        self.folder.join(format!("{}{name}", self.prefix))
    }
}

/// A temporary file that is renamed to `path` once all files are written.
pub(super) struct Pending {
    pub path: PathBuf,
    pub file: NamedTempFile,
}

impl Pending {
    pub fn create(path: &Path) -> Result<Self, EngineError> {
        let file = file::beside(path).map_err(EngineError::write(path))?;
        Ok(Self { path: path.to_owned(), file })
    }

    pub fn writer(&self) -> Result<BufWriter<File>, EngineError> {
        let file = self.file.as_file().try_clone().map_err(EngineError::write(&self.path))?;
        Ok(BufWriter::new(file))
    }

    pub fn put(self) -> Result<(), EngineError> {
        let Self { path, file } = self;
        file.as_file().sync_all().map_err(EngineError::write(&path))?;
        file.persist(&path).map_err(|error| EngineError::write(&path)(error.error))?;
        Ok(())
    }
}

/// A streaming writer of a `.npy` file.
pub(super) struct Rows<T: npyz::Serialize + npyz::AutoSerialize> {
    pending: Pending,
    writer: NpyWriter<T, BufWriter<File>>,
}

impl<T: npyz::Serialize + npyz::AutoSerialize> Rows<T> {
    pub fn create(path: &Path, shape: &[u64]) -> Result<Self, EngineError> {
        let pending = Pending::create(path)?;
        let options = npyz::WriteOptions::new().default_dtype().shape(shape);
        let writer = options.writer(pending.writer()?).begin_nd();
        let writer = writer.map_err(EngineError::write(path))?;
        Ok(Self { pending, writer })
    }

    pub fn extend(&mut self, values: impl IntoIterator<Item = T>) -> Result<(), EngineError> {
        self.writer.extend(values).map_err(EngineError::write(&self.pending.path))
    }

    pub fn finish(self) -> Result<Pending, EngineError> {
        self.writer.finish().map_err(EngineError::write(&self.pending.path))?;
        Ok(self.pending)
    }
}

/// Writes the sidecar files.
pub(super) struct Writer {
    names: Names,
    head: Head,
    ids: Rows<i64>,
    contents: Rows<u8>,
    paths: (Pending, BufWriter<File>),
    labels: (Pending, BufWriter<File>),
}

impl Writer {
    pub fn create(names: Names, head: &Head) -> Result<Self, EngineError> {
        let lines = |name: &str| {
            let pending = Pending::create(&names.of(name))?;
            let writer = pending.writer()?;
            Ok::<_, EngineError>((pending, writer))
        };
        Ok(Self {
            ids: Rows::create(&names.of("ids.npy"), &[head.images])?,
            contents: Rows::create(&names.of("contents.npy"), &[head.images, 32])?,
            paths: lines("paths.txt")?,
            labels: lines("labels.txt")?,
            head: head.clone(),
            names,
        })
    }

    pub fn write(&mut self, batch: &Batch) -> Result<(), EngineError> {
        self.ids.extend(batch.ids.iter().copied())?;
        self.contents.extend(batch.contents.iter().flatten().copied())?;
        let (pending, out) = &mut self.paths;
        for path in &batch.paths {
            writeln!(out, "{}", line(path)).map_err(EngineError::write(&pending.path))?;
        }
        let (pending, out) = &mut self.labels;
        for label in &batch.labels {
            let label = label.as_deref().map(line).unwrap_or_default();
            writeln!(out, "{label}").map_err(EngineError::write(&pending.path))?;
        }
        Ok(())
    }

    /// Renames all files into place, including `others`.
    pub fn finish(self, others: impl IntoIterator<Item = Pending>) -> Result<(), EngineError> {
        let Self { names, head, ids, contents, paths, labels } = self;
        let about = names.of("about.json");
        // Without `about.json` a reader rejects the half-replaced files.
        if about.exists() {
            std::fs::remove_file(&about).map_err(EngineError::write(&about))?;
        }
        for other in others {
            other.put()?;
        }
        ids.finish()?.put()?;
        contents.finish()?.put()?;
        for (pending, mut out) in [paths, labels] {
            out.flush().map_err(EngineError::write(&pending.path))?;
            pending.put()?;
        }
        let written = file::write_whole(&about, |out| {
            serde_json::to_writer_pretty(&mut *out, &head)?;
            out.write_all(b"\n")
        });
        written.map_err(EngineError::write(&about))
    }
}

/// Encodes a text as one line. A missing label is an empty line, an empty label is `""`.
fn line(text: &str) -> String {
    if text.is_empty() || text.starts_with('"') || text.contains(['\n', '\r']) {
        serde_json::Value::from(text).to_string()
    } else {
        text.to_owned()
    }
}

/// Reads the output of [`Writer`].
pub(super) struct Reader {
    pub head: Head,
    ids: npyz::NpyReader<i64, BufReader<File>>,
    contents: npyz::NpyReader<u8, BufReader<File>>,
    paths: (PathBuf, BufReader<File>),
    labels: (PathBuf, BufReader<File>),
    names: Names,
    /// Number of images not read yet.
    left: u64,
}

/// Maximum length of a line, in bytes.
const LINE: u64 = 1 << 20;

impl Reader {
    pub fn open(names: Names) -> Result<Self, EngineError> {
        let about = names.of("about.json");
        let text = file::read_whole(&about, 1 << 24).map_err(|error| {
            let text = format!(
                "{error}; it is written last, so the export is incomplete: create it again"
            );
            EngineError::unfit(&about, told(text, error))
        })?;
        let head: Head = serde_json::from_slice(&text).map_err(EngineError::read(&about))?;
        head.check().map_err(EngineError::read(&about))?;
        let lines = |name: &str| {
            let path = names.of(name);
            let file = File::open(&path).map_err(EngineError::read(&path))?;
            Ok::<_, EngineError>((path, BufReader::new(file)))
        };
        Ok(Self {
            ids: rows(&names.of("ids.npy"), "<i8", &[head.images])?,
            contents: rows(&names.of("contents.npy"), "|u1", &[head.images, 32])?,
            paths: lines("paths.txt")?,
            labels: lines("labels.txt")?,
            left: head.images,
            head,
            names,
        })
    }

    /// Returns the next images, or `None` at the end. `read` returns the given number of bytes
    /// of codes.
    pub fn next_batch(
        &mut self,
        read: impl FnOnce(usize) -> Result<Vec<u8>, EngineError>,
    ) -> Result<Option<Batch>, EngineError> {
        let count = BATCH.min(usize::try_from(self.left).unwrap_or(BATCH));
        if count == 0 {
            return Ok(None);
        }
        let bits = self.head.bits;
        let codes = BinaryCodes::from_bytes(bits, &read(count * bits.div_ceil(8))?)?;
        if codes.len() != count {
            return Err(EngineError::Count { said: count as u64, found: codes.len() as u64 });
        }
        let mut batch = Batch { codes, ..Batch::new(bits)? };
        for _ in 0..count {
            let path = self.names.of("ids.npy");
            let id = self.ids.next().ok_or_else(|| cut_off(&path))?;
            batch.ids.push(id.map_err(EngineError::read(&path))?);
            let path = self.names.of("contents.npy");
            let mut content = [0; 32];
            for byte in &mut content {
                let next = self.contents.next().ok_or_else(|| cut_off(&path))?;
                *byte = next.map_err(EngineError::read(&path))?;
            }
            batch.contents.push(content);
            let path = next_line(&mut self.paths)?;
            batch.paths.push(path.unwrap_or_default());
            batch.labels.push(next_line(&mut self.labels)?);
        }
        self.left -= count as u64;
        Ok(Some(batch))
    }
}

/// Returns the next line; `None` if it is empty.
fn next_line((path, file): &mut (PathBuf, BufReader<File>)) -> Result<Option<String>, EngineError> {
    let mut line = Vec::new();
    let read = file.by_ref().take(LINE).read_until(b'\n', &mut line);
    read.map_err(EngineError::read(path))?;
    if line.pop() != Some(b'\n') {
        return Err(cut_off(path));
    }
    let line = String::from_utf8(line).map_err(EngineError::read(path))?;
    Ok(match line.as_str() {
        "" => None,
        quoted if quoted.starts_with('"') => {
            Some(serde_json::from_str(quoted).map_err(EngineError::read(path))?)
        }
        _ => Some(line),
    })
}

fn cut_off(path: &Path) -> EngineError {
    EngineError::unfit(path, "it ends too early; copy it again, or create it again")
}

/// Opens a `.npy` array for streaming, after a check of its type and shape.
pub(super) fn rows<T: npyz::Deserialize>(
    path: &Path,
    kind: &str,
    shape: &[u64],
) -> Result<npyz::NpyReader<T, BufReader<File>>, EngineError> {
    let failed = EngineError::read::<std::io::Error>;
    let file = File::open(path).map_err(failed(path))?;
    let array = NpyFile::new(BufReader::new(file)).map_err(failed(path))?;
    let found = array.dtype().descr();
    if found != format!("'{kind}'") || array.shape() != shape || array.order() != npyz::Order::C {
        let reason = format!(
            "it holds {found} of shape {:?}, not '{kind}' of shape {shape:?}; the files belong to different exports",
            array.shape()
        );
        return Err(EngineError::unfit(path, reason));
    }
    array.data().map_err(EngineError::read(path))
}

/// Hashes the paths, sizes and modification times of files, which change on a rewrite.
pub(super) fn stamp(paths: &[impl AsRef<Path>]) -> String {
    let mut all = String::new();
    for path in paths {
        let path = path.as_ref();
        let meta = std::fs::metadata(path).ok();
        let size = meta.as_ref().map_or(0, std::fs::Metadata::len);
        let time = meta.and_then(|meta| meta.modified().ok());
        all.push_str(&format!("{} {size} {time:?}\n", path.display()));
    }
    blake3::hash(all.as_bytes()).to_hex().to_string()
}
