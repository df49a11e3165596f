/*!
NumPy's `.npy`: packed codes as an array of bytes, one row an image.
*/

use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use npyz::WriterBuilder;

use crate::code::BinaryCodes;

/// A `.npy` file that could not be written.
#[derive(Debug, thiserror::Error)]
#[error("cannot write {}: {error}", path.display())]
pub struct NumpyError {
    path: PathBuf,
    error: io::Error,
}

/// Writes codes as a `uint8` array of shape (codes, ⌈bits/8⌉), whole or not at all.
///
/// `numpy.unpackbits(array, axis=1, bitorder="little")[:, :bits]` gives the bits.
///
/// # Errors
/// When the file cannot be written.
pub fn write_codes(path: &Path, codes: &BinaryCodes) -> Result<(), NumpyError> {
    write(path, codes).map_err(|error| NumpyError { path: path.to_owned(), error })
}

fn write(path: &Path, codes: &BinaryCodes) -> io::Result<()> {
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    let shape = [codes.len() as u64, codes.bits().div_ceil(8) as u64];
    let options = npyz::WriteOptions::new().default_dtype().shape(&shape);
    let mut buffered = BufWriter::new(&mut file);
    let mut writer = options.writer(&mut buffered).begin_nd()?;
    for row in 0..codes.len() {
        writer.extend(codes.row_bytes(row))?;
    }
    writer.finish()?;
    buffered.flush()?;
    drop(buffered);
    file.persist(path).map(drop).map_err(|error| error.error)
}
