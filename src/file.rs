/*!
Atomic writes of whole files, and reads with a size limit.
*/

use std::fs;
use std::io::{self, BufWriter, Read, Write};
use std::path::Path;

use tempfile::{Builder, NamedTempFile};

/// Writes a file atomically. `fill` writes to a temporary file in the same folder, which replaces
/// `path` once all data are on disk. If anything fails, an existing file stays unchanged.
///
/// # Errors
/// Any error from creating, filling, flushing or renaming the file.
pub(crate) fn write_whole(
    path: &Path,
    fill: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> io::Result<()> {
    let mut file = beside(path)?;
    let mut buffered = BufWriter::new(&mut file);
    fill(&mut buffered).map_err(nameless)?;
    buffered.flush().map_err(nameless)?;
    drop(buffered);
    file.as_file().sync_all()?;
    file.persist(path).map(drop).map_err(|error| error.error)
}

/// Checks that [`write_whole`] can create its file. Call it before a long computation.
///
/// # Errors
/// If the folder is missing or not writable, or if `path` is a folder.
pub(crate) fn check_writable(path: &Path) -> io::Result<()> {
    if path.is_dir() {
        return Err(io::Error::new(io::ErrorKind::IsADirectory, "it is a folder"));
    }
    beside(path).map(drop)
}

/// Reads a file of at most `limit` bytes.
///
/// # Errors
/// If the file is unreadable or larger, or if it is a folder, a pipe or a device. Opening one of
/// these could block forever.
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

/// Returns the text of a file: UTF-8, or UTF-16 as spreadsheets save it, without a byte order mark.
///
/// # Errors
/// If it is neither.
pub(crate) fn text(bytes: Vec<u8>) -> io::Result<String> {
    let invalid = || io::Error::new(io::ErrorKind::InvalidData, "it is no text in UTF-8 or UTF-16");
    let utf16 = |bytes: &[u8], number: fn([u8; 2]) -> u16| {
        let (pairs, rest) = bytes.as_chunks::<2>();
        let units: Vec<u16> = pairs.iter().map(|pair| number(*pair)).collect();
        String::from_utf16(&units).ok().filter(|_| rest.is_empty()).ok_or_else(invalid)
    };
    match bytes.as_slice() {
        [0xff, 0xfe, rest @ ..] => utf16(rest, u16::from_le_bytes),
        [0xfe, 0xff, rest @ ..] => utf16(rest, u16::from_be_bytes),
        [0xef, 0xbb, 0xbf, rest @ ..] => String::from_utf8(rest.to_vec()).map_err(|_| invalid()),
        _ => String::from_utf8(bytes).map_err(|_| invalid()),
    }
}

/// Creates a temporary file in the folder of `path`, to be renamed to `path`.
///
/// # Errors
/// If the folder is missing or not writable.
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
    // Temporary files are private by default, and renaming keeps the mode.
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    builder.tempfile_in(folder).map_err(nameless)
}

/// Returns the system's error without the name of the temporary file, which the user never chose.
fn nameless(error: io::Error) -> io::Error {
    let text = error.to_string();
    // The error that names the file does not give the system's own.
    let Some((plain, _)) = text.split_once(" at path \"") else { return error };
    let code = plain.rsplit_once("(os error ").and_then(|(_, code)| code.strip_suffix(')'));
    match code.and_then(|code| code.parse().ok()) {
        Some(code) => io::Error::from_raw_os_error(code),
        None => io::Error::new(error.kind(), plain.to_owned()),
    }
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
    fn temporary_names_are_in_no_error() {
        let folder = tempfile::tempdir().unwrap();
        let gone = folder.path().join("gone");
        let named = Builder::new().prefix(".barbule-").tempfile_in(&gone).unwrap_err();
        assert!(named.to_string().contains(".barbule-"), "{named}");
        let (kind, plain) = (named.kind(), nameless(named));
        assert_eq!(plain.kind(), kind);
        assert!(!plain.to_string().contains(".barbule-"), "{plain}");
        assert!(plain.to_string().contains("os error"), "{plain}");
        let own = nameless(io::Error::other("disk full"));
        assert_eq!(own.to_string(), "disk full");
    }

    #[test]
    fn texts_are_read_in_every_form() {
        let plain = "a b.jpg\r\n\né.png\n";
        let little: Vec<u8> = plain.encode_utf16().flat_map(u16::to_le_bytes).collect();
        let big: Vec<u8> = plain.encode_utf16().flat_map(u16::to_be_bytes).collect();
        let all = [
            plain.as_bytes().to_vec(),
            [b"\xef\xbb\xbf", plain.as_bytes()].concat(),
            [b"\xff\xfe", &little[..]].concat(),
            [b"\xfe\xff", &big[..]].concat(),
        ];
        for bytes in all {
            assert_eq!(text(bytes).unwrap(), plain);
        }
        for odd in [&b"caf\xe9"[..], b"\xff\xfea", b"\xff\xfe\x00\xd8"] {
            assert!(text(odd.to_vec()).is_err(), "{odd:?}");
        }
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
