/*!
A collection in several Parquet files, read one after the other in the order of their ids.
*/

use std::path::{Path, PathBuf};

use super::parquet::Reader;
use super::share::Share;
use super::sidecar;
use super::{Batch, EngineError, Head, Source};

/// The parts of a collection, read as one.
pub struct Parts {
    head: Head,
    paths: Vec<PathBuf>,
    /// Files not read yet, in reverse order.
    left: Vec<PathBuf>,
    present: Option<Reader>,
}

impl Parts {
    /// Opens files, or all Parquet files of folders.
    ///
    /// # Errors
    /// If one is unreadable, they come from different models or lists, or a part of a shared list
    /// is missing or given twice.
    pub fn open(paths: &[impl AsRef<Path>]) -> Result<Self, EngineError> {
        let mut files = Vec::new();
        for path in paths {
            files.extend(files_of(path.as_ref())?);
        }
        let mut parts = Vec::new();
        let mut head: Option<Head> = None;
        let mut shares = Vec::new();
        for path in files {
            let reader = Reader::open(&path)?;
            let own = reader.head().clone();
            match &mut head {
                None => head = Some(own),
                Some(head) => {
                    head.same_model(&own, &path.display().to_string())?;
                    // `Head::check` bounds both, so the sum cannot overflow.
                    head.images += own.images;
                    head.check()?;
                    let new = own.roots.into_iter().filter(|root| !head.roots.contains(root));
                    let new: Vec<_> = new.collect();
                    head.roots.extend(new);
                }
            }
            shares.push(reader.about().share.clone());
            parts.push((reader.first_id()?, path));
        }
        let Some(head) = head else {
            return Err(EngineError::Parts("no parts given; name Parquet files".into()));
        };
        whole(&shares)?;
        parts.sort();
        let paths: Vec<PathBuf> = parts.into_iter().map(|(_, path)| path).collect();
        let left = paths.iter().rev().cloned().collect();
        Ok(Self { head, paths, left, present: None })
    }
}

/// Returns `path` itself, or the Parquet files in it if it is a folder.
fn files_of(path: &Path) -> Result<Vec<PathBuf>, EngineError> {
    if !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let mut files = Vec::new();
    for entry in std::fs::read_dir(path).map_err(EngineError::read(path))? {
        let file = entry.map_err(EngineError::read(path))?.path();
        if file.is_file() && file.extension().is_some_and(|ending| ending == "parquet") {
            files.push(file);
        }
    }
    if files.is_empty() {
        Err(EngineError::unfit(path, "it contains no .parquet file and no codes.npy"))
    } else {
        Ok(files)
    }
}

/// Checks that every share of a list is present exactly once.
fn whole(shares: &[Option<Share>]) -> Result<(), EngineError> {
    let known: Vec<&Share> = shares.iter().flatten().collect();
    let Some(first) = known.first() else { return Ok(()) };
    let failed = |reason: String| Err(EngineError::Parts(reason.into()));
    if known.len() < shares.len() || known.iter().any(|share| share.list != first.list) {
        return failed(
            "the parts come from different lists of files; use parts of one list".into(),
        );
    }
    if let Some(other) = known.iter().find(|share| share.of != first.of) {
        return failed(format!(
            "part {} of {} and part {} of {} come from different divisions; use the parts of one",
            first.part, first.of, other.part, other.of
        ));
    }
    for part in 1..=first.of {
        match known.iter().filter(|share| share.part == part).count() {
            1 => {}
            0 => return failed(format!("part {part} of {} is missing; name it too", first.of)),
            _ => return failed(format!("part {part} of {} is named twice", first.of)),
        }
    }
    Ok(())
}

impl Source for Parts {
    fn head(&self) -> &Head {
        &self.head
    }

    fn stamp(&self) -> String {
        sidecar::stamp(&self.paths)
    }

    fn next_batch(&mut self) -> Result<Option<Batch>, EngineError> {
        loop {
            if let Some(reader) = &mut self.present {
                if let Some(batch) = reader.next_batch()? {
                    return Ok(Some(batch));
                }
                self.present = None;
            }
            let Some(path) = self.left.pop() else { return Ok(None) };
            self.present = Some(Reader::open(&path)?);
        }
    }
}
