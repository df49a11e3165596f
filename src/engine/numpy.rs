/*!
NumPy `.npy` files: packed codes as a byte array and features as a `float32` array, one row per
image; and a whole collection as a folder of such files.
*/

use std::fs::File;
use std::io::{self, BufReader};
use std::path::{Path, PathBuf};

use npyz::{NpyFile, WriterBuilder};

use super::sidecar::{self, Names, Rows};
use super::{Batch, EngineError, Head, NumpyError, Sink, Source};
use crate::code::BinaryCodes;
use crate::file;
use crate::rank::Neighbour;

/// File name of a collection's codes: `uint8` of shape (images, ⌈bits/8⌉).
pub const CODES: &str = "codes.npy";
/// File name of codes that are words. Programs that know no words miss the other file.
pub const WORDS: &str = "words.npy";
/// File name of the codebooks of words: `float32` of shape (codebooks, 16, numbers of a word).
pub const CODEBOOKS: &str = "codebooks.npy";

/// The file name of a collection's codes.
fn codes_of(head: &Head) -> &'static str {
    if head.codebooks.is_some() { WORDS } else { CODES }
}

/// Reads codes in the layout of [`write_codes`].
///
/// # Errors
/// If the file cannot be read or does not contain codes of `bits` bits.
pub fn read_codes(path: &Path, bits: usize) -> Result<BinaryCodes, NumpyError> {
    let failed = |source| NumpyError::Read { path: path.to_owned(), source };
    let file = File::open(path).map_err(failed)?;
    let array = NpyFile::new(BufReader::new(file)).map_err(failed)?;
    let shape = array.shape().to_vec();
    let bytes = array.dtype()
        == npyz::DType::new_scalar(
            "|u1".parse().map_err(|_| failed(io::ErrorKind::InvalidData.into()))?,
        );
    if !bytes
        || shape.len() != 2
        || shape[1] != bits.div_ceil(8) as u64
        || array.order() != npyz::Order::C
    {
        let found = format!("{} of shape {shape:?}", array.dtype().descr());
        return Err(NumpyError::Shape { path: path.to_owned(), found, bits });
    }
    let bytes = array.into_vec::<u8>().map_err(failed)?;
    BinaryCodes::from_bytes(bits, &bytes)
        .map_err(|source| NumpyError::Codes { path: path.to_owned(), source })
}

/// Writes the distances of hits as a `uint32` array of shape (queries, most hits of a query),
/// atomically. Rows with fewer hits are padded with 2³² − 1.
///
/// # Errors
/// If the file cannot be written.
pub fn write_distances(path: &Path, found: &[Vec<Neighbour>]) -> Result<(), NumpyError> {
    let columns = found.iter().map(Vec::len).max().unwrap_or(0);
    let shape = [found.len() as u64, columns as u64];
    let written = file::write_whole(path, |out| {
        let options = npyz::WriteOptions::new().default_dtype().shape(&shape);
        let mut writer = options.writer(out).begin_nd()?;
        for hits in found {
            let distances = hits.iter().map(|hit| hit.distance);
            writer.extend(distances.chain(std::iter::repeat(u32::MAX)).take(columns))?;
        }
        writer.finish()
    });
    written.map_err(|source| NumpyError::Write { path: path.to_owned(), source })
}

/// Writes features as a `float32` array of shape (images, `dim`), atomically.
///
/// # Errors
/// If the file cannot be written.
pub fn write_features(path: &Path, dim: usize, values: &[f32]) -> Result<(), NumpyError> {
    let shape = [values.len().checked_div(dim).unwrap_or(0) as u64, dim as u64];
    let written = file::write_whole(path, |out| {
        let options = npyz::WriteOptions::new().default_dtype().shape(&shape);
        let mut writer = options.writer(out).begin_nd()?;
        writer.extend(values.iter().copied())?;
        writer.finish()
    });
    written.map_err(|source| NumpyError::Write { path: path.to_owned(), source })
}

/// Writes codes as a `uint8` array of shape (codes, ⌈bits/8⌉), atomically.
///
/// `numpy.unpackbits(array, axis=1, bitorder="little")[:, :bits]` returns the bits.
///
/// # Errors
/// If the file cannot be written.
pub fn write_codes(path: &Path, codes: &BinaryCodes) -> Result<(), NumpyError> {
    write(path, codes).map_err(|source| NumpyError::Write { path: path.to_owned(), source })
}

fn write(path: &Path, codes: &BinaryCodes) -> io::Result<()> {
    let shape = [codes.len() as u64, codes.bits().div_ceil(8) as u64];
    file::write_whole(path, |out| {
        let options = npyz::WriteOptions::new().default_dtype().shape(&shape);
        let mut writer = options.writer(out).begin_nd()?;
        for row in 0..codes.len() {
            writer.extend(codes.row_bytes(row))?;
        }
        writer.finish()
    })
}

/// Writes a collection into a folder: [`CODES`] (or [`WORDS`] and [`CODEBOOKS`]), `ids.npy`,
/// `contents.npy`, `paths.txt`, `labels.txt` and, last, `about.json`.
pub struct Writer {
    codes: Rows<u8>,
    codebooks: Option<Rows<f32>>,
    side: sidecar::Writer,
    // Last, so that the temporary files in it are gone before.
    made: Made,
}

/// A folder that was made here, and is removed again if it stays empty.
struct Made(Option<PathBuf>);

impl Drop for Made {
    fn drop(&mut self) {
        if let Some(folder) = &self.0 {
            // A folder with files in it is not removed.
            let _ = std::fs::remove_dir(folder);
        }
    }
}

impl Writer {
    /// Starts writing into `folder`, which is created if missing.
    ///
    /// # Errors
    /// If the folder cannot be created or is not writable.
    pub fn create(folder: &Path, head: &Head) -> Result<Self, EngineError> {
        head.check()?;
        let made = Made((!folder.exists()).then(|| folder.to_owned()));
        std::fs::create_dir_all(folder).map_err(EngineError::write(folder))?;
        let shape = [head.images, head.bits.div_ceil(8) as u64];
        let codes = Rows::create(&folder.join(codes_of(head)), &shape)?;
        let codebooks = head.codebooks.as_ref().map(|books| {
            let shape = [books.count(), 16, books.dim()].map(|length| length as u64);
            let mut rows = Rows::create(&folder.join(CODEBOOKS), &shape)?;
            rows.extend(books.words().iter().copied())?;
            Ok::<_, EngineError>(rows)
        });
        let codebooks = codebooks.transpose()?;
        let side = sidecar::Writer::create(Names::within(folder), head)?;
        Ok(Self { codes, codebooks, side, made })
    }
}

impl Sink for Writer {
    fn write(&mut self, batch: &Batch) -> Result<(), EngineError> {
        for row in 0..batch.len() {
            self.codes.extend(batch.codes.row_bytes(row))?;
        }
        self.side.write(batch)
    }

    fn finish(self: Box<Self>) -> Result<(), EngineError> {
        let Self { codes, codebooks, side, made } = *self;
        let finished = codes.finish().and_then(|codes| {
            let books = codebooks.map(Rows::finish).transpose()?;
            side.finish(std::iter::once(codes).chain(books))
        });
        drop(made);
        finished
    }
}

/// Reads the output of [`Writer`].
pub struct Reader {
    path: PathBuf,
    codes: npyz::NpyReader<u8, BufReader<File>>,
    side: sidecar::Reader,
}

impl Reader {
    /// Opens the collection in a folder.
    ///
    /// # Errors
    /// If one of its files is missing, damaged or of another collection.
    pub fn open(folder: &Path) -> Result<Self, EngineError> {
        let side = sidecar::Reader::open(Names::within(folder))?;
        let path = folder.join(codes_of(&side.head));
        let shape = [side.head.images, side.head.bits.div_ceil(8) as u64];
        let codes = sidecar::rows(&path, "|u1", &shape)?;
        Ok(Self { path, codes, side })
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
            let bytes = self.codes.by_ref().take(length);
            bytes.collect::<io::Result<_>>().map_err(EngineError::read(&self.path))
        })
    }
}
