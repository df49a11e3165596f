/*!
Files that are written whole or not at all, and read whole or refused.
*/

use std::fs;
use std::io::{self, BufWriter, Read, Write};
use std::path::Path;

use tempfile::{Builder, NamedTempFile};

/// Writes a file through `fill`: to a temporary file beside it first, which takes its
/// place once everything is on disk. Whatever fails, an old file stays as it was.
///
/// # Errors
/// What creating, filling, flushing or renaming gave.
pub(crate) fn write_whole(
    path: &Path,
    fill: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> io::Result<()> {
    let mut file = beside(path)?;
    let mut buffered = BufWriter::new(&mut file);
    fill(&mut buffered)?;
    buffered.flush()?;
    drop(buffered);
    file.as_file().sync_all()?;
    file.persist(path).map(drop).map_err(|error| error.error)
}

/// Makes sure that [`write_whole`] could begin, before anything long is computed.
///
/// # Errors
/// When the folder is missing or not writable, or `path` is a folder.
pub(crate) fn check_writable(path: &Path) -> io::Result<()> {
    if path.is_dir() {
        return Err(io::Error::new(io::ErrorKind::IsADirectory, "it is a folder"));
    }
    beside(path).map(drop)
}

/// Reads a file of at most `limit` bytes.
///
/// # Errors
/// When it cannot be read, is larger, or is a folder, a pipe or a device: opening one
/// of these could wait for ever.
pub(crate) fn read_whole(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    if !fs::metadata(path)?.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not a file"));
    }
    let mut bytes = Vec::new();
    fs::File::open(path)?.take(limit.saturating_add(1)).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > limit {
        let reason = format!("it has more than {limit} bytes");
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, reason));
    }
    Ok(bytes)
}

/// A temporary file in the folder of `path`, which is to take its place.
///
/// # Errors
/// When there is no such folder, or it is not writable.
pub(crate) fn beside(path: &Path) -> io::Result<NamedTempFile> {
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    if !folder.is_dir() {
        let reason = format!("there is no folder {}", folder.display());
        return Err(io::Error::new(io::ErrorKind::NotFound, reason));
    }
    let mut builder = Builder::new();
    builder.prefix(".barbule-");
    // Temporary files are private by default, and the file keeps its mode when renamed.
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    builder.tempfile_in(folder)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_write_leaves_the_old_file_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x");
        write_whole(&path, |out| out.write_all(b"old")).unwrap();
        let failed = write_whole(&path, |out| {
            out.write_all(b"new")?;
            Err(io::Error::other("disk full"))
        });
        assert!(failed.is_err());
        assert_eq!(std::fs::read(&path).unwrap(), b"old");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
        assert!(check_writable(folder.path()).is_err());
        assert!(check_writable(&folder.path().join("no/such")).is_err());
        assert!(check_writable(&path).is_ok());
    }

    #[test]
    fn only_files_within_the_limit_are_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x");
        std::fs::write(&path, b"four").unwrap();
        assert_eq!(read_whole(&path, 4).unwrap(), b"four");
        assert_eq!(read_whole(&path, 3).unwrap_err().kind(), io::ErrorKind::FileTooLarge);
        assert!(read_whole(folder.path(), 4).is_err());
        assert!(read_whole(&folder.path().join("y"), 4).is_err());
    }
}
