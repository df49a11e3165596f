/*!
What an index knows of folders and files: the indexed folders, the files that could not be used,
and the stamps of the images.
*/

use rusqlite::Row;

use super::{Index, IndexError, ScanOptions};
use crate::cause::told;
use crate::folder::{LeftOut, Stamp};

/// A row of `images`, as an update needs it.
pub(super) struct KnownImage {
    pub id: i64,
    pub path: String,
    pub stamp: Stamp,
    pub content: blake3::Hash,
    pub label: Option<String>,
    /// Completeness of its data: features and regions are stored, if the index keeps them.
    pub complete: bool,
}

/// A folder that is indexed.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Root {
    /// Its absolute path.
    pub path: String,
    /// The selection of its files.
    pub options: ScanOptions,
    /// The files that the last update left out; `None` if an earlier version made it.
    pub left_out: Option<LeftOut>,
}

/// A file or folder that could not be used.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Failure {
    /// Its path; bytes that are not Unicode are written as `\xe9`.
    pub path: String,
    /// The reason, a sentence that names it.
    pub reason: String,
    pub(super) stamp: Stamp,
}

impl Index {
    /// Returns the indexed folders, in the order in which they were added.
    ///
    /// # Errors
    /// If the file is damaged.
    pub fn roots(&self) -> Result<Vec<Root>, IndexError> {
        let sql = match self.version() {
            1 => "SELECT path, '{}', NULL FROM roots ORDER BY id",
            2 => "SELECT path, options, NULL FROM roots ORDER BY id",
            _ => "SELECT path, options, left_out FROM roots ORDER BY id",
        };
        let mut statement = self.mine(self.connection().prepare(sql))?;
        let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)));
        let rows: Vec<(String, String, Option<String>)> = self.mine(self.mine(rows)?.collect())?;
        let root = |(path, options, left_out): (String, String, Option<String>)| {
            let damaged = |error| {
                self.damaged(told(format!("what it knows of the folder {path}: {error}"), error))
            };
            let options = serde_json::from_str(&options).map_err(damaged)?;
            let left_out = left_out.map(|text| serde_json::from_str(&text)).transpose();
            let left_out = left_out.map_err(damaged)?;
            Ok(Root { path, options, left_out })
        };
        rows.into_iter().map(root).collect()
    }

    /// Returns the files that could not be used, in the order of their paths.
    ///
    /// # Errors
    /// If the file is damaged.
    pub fn failures(&self) -> Result<Vec<Failure>, IndexError> {
        let sql = match self.version() {
            1 => return Ok(Vec::new()),
            2 => "SELECT path, reason, size, modified, NULL, NULL FROM failures ORDER BY path",
            _ => "SELECT path, reason, size, modified, changed, file FROM failures ORDER BY path",
        };
        let mut statement = self.mine(self.connection().prepare(sql))?;
        let rows = statement.query_map([], |row| {
            Ok(Failure { path: row.get(0)?, reason: row.get(1)?, stamp: stamp(row, 2)? })
        });
        self.mine(self.mine(rows)?.collect())
    }

    /// All images, in the order of their ids.
    pub(super) fn known(&self) -> Result<Vec<KnownImage>, IndexError> {
        let newer = if self.version() < 3 { "NULL, NULL" } else { "changed, file" };
        let regions = match self.regions() {
            0 => "1",
            _ => "EXISTS (SELECT 1 FROM regions WHERE regions.id = images.id)",
        };
        let sql = format!(
            "SELECT images.id, path, content, label, {regions} AND features.id IS NOT NULL, \
             {regions}, size, modified, {newer} \
             FROM images LEFT JOIN features ON features.id = images.id ORDER BY images.id"
        );
        let mut statement = self.mine(self.connection().prepare(&sql))?;
        let rows = statement.query_map([], |row| {
            Ok(KnownImage {
                id: row.get(0)?,
                path: row.get(1)?,
                content: blake3::Hash::from_bytes(row.get(2)?),
                label: row.get(3)?,
                complete: row.get(if self.keeps_features() { 4 } else { 5 })?,
                stamp: stamp(row, 6)?,
            })
        });
        self.mine(self.mine(rows)?.collect())
    }
}

/// The stamp in four columns of a row.
fn stamp(row: &Row<'_>, first: usize) -> rusqlite::Result<Stamp> {
    Ok(Stamp {
        size: row.get(first)?,
        modified: row.get(first + 1)?,
        changed: row.get(first + 2)?,
        file: row.get(first + 3)?,
    })
}
