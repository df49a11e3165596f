/*!
A faiss `IndexBinaryFlat` file with sidecar files that identify the image of each row.

The file has the layout of `faiss.write_index_binary`, little-endian: `IBxF`; dimension and bytes
per code as `int32`; number of codes as `int64`; the `is_trained` flag as a byte; the metric
(1, which faiss ignores here) as `int32`; the length of the codes in bytes as `uint64`; the codes.
faiss accepts whole bytes only, so codes are padded with zero bits, which add nothing to
distances.
*/

use std::fs::File;
use std::io::{BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use super::sidecar::{self, Names, Pending};
use super::{Batch, EngineError, Head, Sink, Source};

const MAGIC: &[u8; 4] = b"IBxF";

/// Writes a collection as a faiss index `FILE` with the sidecar files `FILE.ids.npy`,
/// `FILE.contents.npy`, `FILE.paths.txt`, `FILE.labels.txt` and `FILE.about.json`.
pub struct Writer {
    pending: Pending,
    out: BufWriter<File>,
    side: sidecar::Writer,
}

impl Writer {
    /// Starts writing the index at `path`.
    ///
    /// # Errors
    /// If codes are words, or its folder is missing or not writable.
    pub fn create(path: &Path, head: &Head) -> Result<Self, EngineError> {
        head.check_signs("a binary index of faiss")?;
        let pending = Pending::create(path)?;
        let mut out = pending.writer()?;
        out.write_all(&header(head)?).map_err(EngineError::write(path))?;
        Ok(Self { pending, out, side: sidecar::Writer::create(Names::beside(path), head)? })
    }
}

/// Returns the bytes before the codes.
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
    // `Head::check` bounds `images`, so this cannot overflow.
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
        side.finish([pending])
    }
}

/// Reads the output of [`Writer`].
pub struct Reader {
    path: PathBuf,
    file: BufReader<File>,
    side: sidecar::Reader,
}

impl Reader {
    /// Opens an index and its sidecar files.
    ///
    /// # Errors
    /// If one is missing or damaged, or the index is of another kind or collection.
    pub fn open(path: &Path) -> Result<Self, EngineError> {
        let file = File::open(path).map_err(EngineError::read(path))?;
        let mut file = BufReader::new(file);
        let side = sidecar::Reader::open(Names::beside(path))?;
        let expected = header(&side.head)?;
        let mut found = vec![0; expected.len()];
        file.read_exact(&mut found).map_err(EngineError::read(path))?;
        if &found[..4] != MAGIC {
            let reason = "it is not a faiss IndexBinaryFlat";
            return Err(EngineError::unfit(path, reason));
        }
        if found != expected {
            let reason =
                "its code length or number of codes contradicts its .about.json; export it again";
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
        sidecar::stamp(&[&self.path])
    }

    fn next_batch(&mut self) -> Result<Option<Batch>, EngineError> {
        self.side.next_batch(|length| {
            let mut bytes = vec![0; length];
            self.file.read_exact(&mut bytes).map_err(EngineError::read(&self.path))?;
            Ok(bytes)
        })
    }
}
