/*!
The source in a file or folder of any format.
*/

use std::path::Path;

use super::{EngineError, Parts, Source, faiss, numpy};

/// Opens a collection on disk: a Parquet file or several parts of one collection, a folder of
/// NumPy files, or a faiss index with its sidecar files.
///
/// # Errors
/// If it is none of these, or damaged.
pub fn open(paths: &[impl AsRef<Path>]) -> Result<Box<dyn Source>, EngineError> {
    if let [path] = paths {
        let path = path.as_ref();
        let ending = path.extension().and_then(|ending| ending.to_str()).unwrap_or_default();
        if [numpy::CODES, numpy::WORDS].iter().any(|name| path.join(name).is_file()) {
            return Ok(Box::new(numpy::Reader::open(path)?));
        }
        if ending == "faiss" {
            return Ok(Box::new(faiss::Reader::open(path)?));
        }
    }
    Ok(Box::new(Parts::open(paths)?))
}
