/*!
NumPy's `.npy`: packed codes as an array of bytes, one row an image.
*/

use std::io;
use std::path::{Path, PathBuf};

use npyz::WriterBuilder;

use crate::code::BinaryCodes;
use crate::file;

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
