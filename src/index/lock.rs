/*!
The write lock: a file beside the index that is locked while a process writes.

SQLite's own lock covers one transaction; two updates that take turns would both encode the same
new images. The system releases the lock however a process ends.
*/

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Write};
use std::path::Path;

use super::IndexError;
use super::paths::beside;

/// The lock of the process that changes an index.
#[derive(Debug)]
pub(crate) struct WriteLock {
    // Unlocked when it is closed.
    _file: File,
}

impl WriteLock {
    /// Locks the index at `path`.
    ///
    /// # Errors
    /// [`IndexError::Busy`] if another process holds it; [`IndexError::Lock`] if the file cannot be
    /// created.
    pub fn take(path: &Path) -> Result<Self, IndexError> {
        let name = beside(path, ".lock");
        let failed = |source: std::io::Error| IndexError::Lock { path: name.clone(), source };
        let mut file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .open(&name)
            .map_err(failed)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut holder = String::new();
                // Only for the message, which leaves it out if it cannot be read.
                let _ = file.take(16).read_to_string(&mut holder);
                let process = holder.trim().parse().ok();
                return Err(IndexError::Busy { path: path.to_owned(), process });
            }
            // A file system without locks, as some network drives are: SQLite's own lock
            // still keeps the file whole.
            Err(TryLockError::Error(error)) if error.kind() == std::io::ErrorKind::Unsupported => {}
            Err(TryLockError::Error(error)) => return Err(failed(error)),
        }
        // Only for the message that another process gets.
        let _ = file.set_len(0);
        let _ = write!(file, "{}", std::process::id());
        Ok(Self { _file: file })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_is_told_who_has_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("i.db");
        let first = WriteLock::take(&path).unwrap();
        let told = WriteLock::take(&path).unwrap_err();
        let own = std::process::id();
        assert!(matches!(told, IndexError::Busy { process: Some(p), .. } if p == own), "{told}");
        drop(first);
        WriteLock::take(&path).unwrap();
    }
}
