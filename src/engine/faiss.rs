/*!
A faiss `IndexBinaryFlat` file, and beside it which image each of its rows is.

The file is what `faiss.write_index_binary` writes, little-endian: `IBxF`; dimension and bytes
per code as `int32`; number of codes as `int64`; whether it is trained as a byte; the metric
(1, which faiss ignores here) as `int32`; the length of the codes in bytes as `uint64`; the codes.
faiss takes whole bytes only: codes are padded with clear bits, which no distance counts.
*/

use std::fs::File;
use std::io::{BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use super::side::{self, Names, Pending};
use super::{Batch, EngineError, Head, Sink, Source};

const MAGIC: &[u8; 4] = b"IBxF";

/// Writes a collection as a faiss index, `FILE`, with `FILE.ids.npy`, `FILE.contents.npy`,
/// `FILE.paths.txt`, `FILE.labels.txt` and `FILE.about.json` beside it.
pub struct Writer {
    pending: Pending,
    out: BufWriter<File>,
    side: side::Writer,
}

impl Writer {
    /// Begins to write the index `path`.
    ///
    /// # Errors
    /// When its folder is not there or not writable.
    pub fn create(path: &Path, head: &Head) -> Result<Self, EngineError> {
        let pending = Pending::create(path)?;
        let mut out = pending.writer()?;
        out.write_all(&header(head)?).map_err(EngineError::write(path))?;
        Ok(Self { pending, out, side: side::Writer::create(Names::beside(path), head)? })
    }
}

/// What stands before the codes.
fn header(head: &Head) -> Result<Vec<u8>, EngineError> {
    head.check()?;
    let bytes = head.bits.div_ceil(8);
    let mut all = MAGIC.to_vec();
    // At most 1024 bits: both fit.
    all.extend(((bytes * 8) as i32).to_le_bytes());
    all.extend((bytes as i32).to_le_bytes());
    all.extend(head.images.to_le_bytes());
    all.push(1);
    all.extend(1i32.to_le_bytes());
    // A head that may be has no more bytes than can be counted.
    all.extend((head.images * bytes as u64).to_le_bytes());
    Ok(all)
}

impl Sink for Writer {
    fn write(&mut self, batch: &Batch) -> Result<(), EngineError> {
        for row in 0..batch.len() {
            let written = self.out.write_all(&batch.codes.row_bytes(row));
            written.map_err(EngineError::write(&self.pending.path))?;
        }
        self.side.write(batch)
    }

    fn finish(self: Box<Self>) -> Result<(), EngineError> {
        let Self { pending, mut out, side } = *self;
        out.flush().map_err(EngineError::write(&pending.path))?;
        side.finish(pending)
    }
}

/// Reads what [`Writer`] wrote.
pub struct Reader {
    path: PathBuf,
    file: BufReader<File>,
    side: side::Reader,
}

impl Reader {
    /// Opens an index and the files beside it.
    ///
    /// # Errors
    /// When one is missing or damaged, or the index is of another kind or collection.
    pub fn open(path: &Path) -> Result<Self, EngineError> {
        let file = File::open(path).map_err(EngineError::read(path))?;
        let mut file = BufReader::new(file);
        let side = side::Reader::open(Names::beside(path))?;
        let expected = header(&side.head)?;
        let mut found = vec![0; expected.len()];
        file.read_exact(&mut found).map_err(EngineError::read(path))?;
        if &found[..4] != MAGIC {
            let reason = "it is no IndexBinaryFlat of faiss";
            return Err(EngineError::unfit(path, reason));
        }
        if found != expected {
            let reason = "its length or number of codes is not what the files beside it say; make the export anew";
            return Err(EngineError::unfit(path, reason));
        }
        Ok(Self { path: path.to_owned(), file, side })
    }
}

impl Source for Reader {
    fn head(&self) -> &Head {
        &self.side.head
    }

    fn stamp(&self) -> String {
        side::stamp(&[&self.path])
    }

    fn next_batch(&mut self) -> Result<Option<Batch>, EngineError> {
        self.side.next_batch(|length| {
            let mut bytes = vec![0; length];
            self.file.read_exact(&mut bytes).map_err(EngineError::read(&self.path))?;
            Ok(bytes)
        })
    }
}
