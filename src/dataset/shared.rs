/*!
The same picture in training and test: it makes the figures of a model too good.
*/

use std::collections::HashMap;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use rayon::prelude::*;

use super::{Dataset, Sample};
use crate::task::{Stopped, Task};

/// Bytes from the start of a file that are compared first.
const START: u64 = 4096;
/// Files between two progress reports.
const STEP: usize = 256;

/// Test images that are also training or database images.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Shared {
    /// Number of test images.
    pub images: usize,
    /// The first of them, and the same picture in the other split.
    pub first: Option<(PathBuf, PathBuf)>,
}

/// Length and hash of a file or of its start.
type Key = (u64, blake3::Hash);

impl Dataset {
    /// Finds the test images whose files have the same content as a training, validation or
    /// database image. Files that cannot be read and images within larger files are passed over.
    ///
    /// Most files are told apart by their length and first bytes; only files that agree in both are
    /// read whole.
    ///
    /// # Errors
    /// If the work is stopped.
    pub fn shared(&self, task: &Task<'_>) -> Result<Shared, Stopped> {
        let learned: Vec<&Path> = files(self.database().iter().chain(&self.val));
        let test: Vec<&Path> = files(self.test.iter());
        let total = learned.len() + test.len();
        let starts = keys(&learned, 0, total, Some(START), task)?;
        let own = keys(&test, learned.len(), total, Some(START), task)?;
        let (learned, test) = (alike(&learned, &starts, &own), alike(&test, &own, &starts));
        let total = learned.len() + test.len();
        let wholes = keys(&learned, 0, total, None, task)?;
        let own = keys(&test, learned.len(), total, None, task)?;
        let mut first_of: HashMap<Key, &Path> = HashMap::new();
        for (path, key) in learned.iter().zip(wholes) {
            if let Some(key) = key {
                first_of.entry(key).or_insert(path);
            }
        }
        let mut shared = Shared::default();
        for (path, key) in test.iter().zip(own) {
            if let Some(other) = key.and_then(|key| first_of.get(&key)) {
                shared.images += 1;
                shared.first.get_or_insert_with(|| ((*path).into(), (*other).into()));
            }
        }
        Ok(shared)
    }
}

/// Returns the files of images that are files of their own.
fn files<'a>(samples: impl Iterator<Item = &'a Sample>) -> Vec<&'a Path> {
    samples.filter(|sample| sample.record.is_none()).map(|sample| sample.path.as_path()).collect()
}

/// Returns the files whose key is among `others`.
fn alike<'a>(files: &[&'a Path], keys: &[Option<Key>], others: &[Option<Key>]) -> Vec<&'a Path> {
    let others: std::collections::HashSet<&Key> = others.iter().flatten().collect();
    let both = files.iter().zip(keys);
    both.filter(|(_, key)| key.as_ref().is_some_and(|key| others.contains(key)))
        .map(|(path, _)| *path)
        .collect()
}

/// Returns length and hash of each file, or of its first bytes.
fn keys(
    files: &[&Path],
    done: usize,
    total: usize,
    bytes: Option<u64>,
    task: &Task<'_>,
) -> Result<Vec<Option<Key>>, Stopped> {
    let mut keys = Vec::with_capacity(files.len());
    for chunk in files.chunks(STEP) {
        keys.par_extend(chunk.par_iter().map(|path| key(path, bytes)));
        task.step(done + keys.len(), total)?;
    }
    Ok(keys)
}

fn key(path: &Path, bytes: Option<u64>) -> Option<Key> {
    let length = std::fs::metadata(path).ok().filter(|meta| meta.is_file())?.len();
    let mut file = File::open(path).ok()?.take(bytes.unwrap_or(u64::MAX));
    let mut hasher = blake3::Hasher::new();
    let mut buffer = vec![0; START as usize];
    loop {
        match file.read(&mut buffer).ok()? {
            0 => return Some((length, hasher.finalize())),
            read => hasher.update(&buffer[..read]),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::write;
    use super::*;

    #[test]
    fn the_same_picture_in_both_splits_is_counted() {
        let folder = tempfile::tempdir().unwrap();
        let long = |end: &str| format!("{}{end}", "x".repeat(2 * START as usize));
        let (one, other) = (long("1"), long("2"));
        write(
            folder.path(),
            &[
                ("train/owl/a.jpg", "same"),
                ("train/owl/b.jpg", "other"),
                ("train/tit/c.jpg", &one),
                ("val/tit/d.jpg", "in val"),
                ("test/owl/e.jpg", "same"),
                ("test/owl/f.jpg", "othex"),
                ("test/tit/g.jpg", &other),
                ("test/tit/h.jpg", "in val"),
                ("test/tit/i.jpg", "same"),
            ],
        );
        let data = Dataset::open(folder.path(), None, 0).unwrap();
        let shared = data.shared(&Task::unwatched()).unwrap();
        let pair = ["test/owl/e.jpg", "train/owl/a.jpg"].map(|name| folder.path().join(name));
        assert_eq!(shared, Shared { images: 3, first: Some(pair.into()) });
    }
}
