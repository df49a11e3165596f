/*!
What shows that a file has changed.
*/

use std::fs::Metadata;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Size, times and number of a file, which show whether it has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    pub size: i64,
    /// Time of the last modification, in nanoseconds since 1970. Never −1.
    pub modified: i64,
    /// Time of the last change of content, name or rights, in nanoseconds since 1970; on Windows,
    /// the time of creation.
    pub changed: Option<i64>,
    /// Number of the file in its file system; `None` on Windows.
    pub file: Option<i64>,
}

impl Stamp {
    pub fn of(meta: &Metadata) -> Self {
        let (changed, file) = identity(meta);
        let modified = meta.modified().map_or(0, nanoseconds);
        // An index stores −1 for a failure that may pass.
        let modified = if modified == -1 { -2 } else { modified };
        Self { size: i64::try_from(meta.len()).unwrap_or(i64::MAX), modified, changed, file }
    }

    /// Returns whether two stamps are those of an unchanged file. Some file systems give a file
    /// another number each time; `numbers` says whether they count.
    pub fn is(&self, other: &Self, numbers: bool) -> bool {
        let file = if numbers { other.file } else { self.file };
        *self == Self { file, ..*other }
    }
}

#[cfg(unix)]
fn identity(meta: &Metadata) -> (Option<i64>, Option<i64>) {
    use std::os::unix::fs::MetadataExt;

    let changed = meta.ctime().saturating_mul(1_000_000_000).saturating_add(meta.ctime_nsec());
    (Some(changed), Some(meta.ino().cast_signed()))
}

#[cfg(not(unix))]
fn identity(meta: &Metadata) -> (Option<i64>, Option<i64>) {
    (meta.created().ok().map(nanoseconds), None)
}

fn nanoseconds(time: SystemTime) -> i64 {
    let of = |time: Duration| i64::try_from(time.as_nanos()).unwrap_or(i64::MAX);
    // The error holds the distance of a time before 1970.
    time.duration_since(UNIX_EPOCH).map_or_else(|before| -of(before.duration()), of)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_before_1970_are_told_apart() {
        let at = |seconds| nanoseconds(UNIX_EPOCH - Duration::from_secs(seconds));
        assert_eq!((at(1), at(86_400)), (-1_000_000_000, -86_400_000_000_000));
        let file = tempfile::NamedTempFile::new().unwrap();
        file.as_file().set_modified(UNIX_EPOCH - Duration::from_secs(10)).unwrap();
        let stamp = Stamp::of(&file.as_file().metadata().unwrap());
        assert_eq!((stamp.size, stamp.modified), (0, -10_000_000_000));
        assert_eq!(stamp.file.is_some(), cfg!(unix));
    }
}
