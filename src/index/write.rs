/*!
Every statement that changes an index. What belongs together is one transaction.
*/

use std::collections::BTreeMap;
use std::path::Path;

use rusqlite::{OptionalExtension, Transaction, TransactionBehavior, params};

use super::store::{Stamp, unpack_ids};
use super::{Index, IndexError, ScanOptions, innermost, stored_path};

/// Codes per block.
const BLOCK: usize = 4096;

/// A new row of `images` with its code.
pub(super) struct NewImage<'a> {
    pub root: i64,
    pub path: &'a str,
    pub stamp: Stamp,
    pub content: blake3::Hash,
    pub label: Option<String>,
    pub code: Vec<u8>,
    pub features: Option<Vec<u8>>,
}

/// An image whose file is elsewhere, or was written anew as it was.
pub(super) struct Moved<'a> {
    pub id: i64,
    pub root: i64,
    pub path: &'a str,
    pub stamp: Stamp,
}

/// What changes at once.
#[derive(Default)]
pub(super) struct Changes<'a> {
    /// Images that are no more.
    pub gone: Vec<i64>,
    pub new: Vec<NewImage<'a>>,
    pub moved: Vec<Moved<'a>>,
    pub relabelled: Vec<(i64, Option<String>)>,
    /// Features of images that had none.
    pub features: Vec<(i64, Vec<u8>)>,
    /// Files that could not be used: path, what they were like, why.
    pub failed: Vec<(&'a str, Stamp, String)>,
    /// Files of which that is no longer true.
    pub mended: Vec<&'a str>,
}

impl Index {
    /// Registers a folder that is indexed, and what of it is looked at where that is given;
    /// its id.
    pub(super) fn root(
        &mut self,
        folder: &str,
        options: Option<&ScanOptions>,
    ) -> Result<i64, IndexError> {
        let options = options.map(serde_json::to_string).transpose();
        let options = options.map_err(|error| self.damaged(&error.to_string()))?;
        let sql = "INSERT INTO roots (path, options) VALUES (?1, coalesce(?2, '{}')) \
            ON CONFLICT DO UPDATE SET options = coalesce(?2, options)";
        // Not RETURNING: a full disk is noticed when the statement ends, after its row.
        let id = self.connection.execute(sql, params![folder, options]).and_then(|_| {
            let sql = "SELECT id FROM roots WHERE path = ?1";
            self.connection.query_row(sql, [folder], |row| row.get(0))
        });
        self.mine(id)
    }

    /// Leaves a folder out of the indexed one around it, if there is one; gives that one.
    ///
    /// # Errors
    /// When the file is damaged or cannot be written.
    pub fn leave_out(&mut self, folder: &str) -> Result<Option<String>, IndexError> {
        let roots = self.roots()?;
        let paths: Vec<String> = roots.iter().map(|root| root.path.clone()).collect();
        let Some(around) = innermost(folder, &paths).filter(|root| *root != folder) else {
            return Ok(None);
        };
        let options = roots.iter().find(|root| root.path == around).map(|root| &root.options);
        let below = Path::new(folder).strip_prefix(around).unwrap_or(Path::new(folder));
        let below = glob::Pattern::escape(&stored_path(below).replace('\\', "/"));
        let more = ScanOptions { exclude: vec![format!("/{below}")], ..ScanOptions::default() };
        self.root(around, Some(&options.cloned().unwrap_or_default().and(&more)))?;
        Ok(Some(around.to_owned()))
    }

    /// From now on features are kept of every image.
    pub(super) fn keep_features(&mut self) -> Result<(), IndexError> {
        let sql = "INSERT OR REPLACE INTO meta VALUES ('features', 'f16')";
        let done = self.connection.execute(sql, []).map(drop);
        self.mine(done)
    }

    /// Notes where the file of the index's model is, so that nobody has to name it again.
    ///
    /// # Errors
    /// When the file is damaged or cannot be written.
    pub fn set_model_file(&mut self, path: &Path) -> Result<(), IndexError> {
        let path = path.canonicalize().unwrap_or_else(|_| path.to_owned());
        let sql = "INSERT OR REPLACE INTO meta VALUES ('model_file', ?1)";
        let done = self.connection.execute(sql, [stored_path(&path)]).map(drop);
        self.mine(done)
    }

    /// Gives the room of what was taken out back to the disk.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn compact(&mut self) -> Result<(), IndexError> {
        let done = self.connection.execute_batch("VACUUM");
        self.mine(done)
    }

    /// Closes the index, so that all of it is in its one file.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn close(self) -> Result<(), IndexError> {
        let path = self.path().to_owned();
        let closed = self.connection.close();
        closed.map_err(|(_, source)| IndexError::Database { path, source })
    }

    /// Applies one batch: all of it, or nothing if anything fails.
    pub(super) fn apply(&mut self, changes: &Changes<'_>) -> Result<(), IndexError> {
        let bytes = self.bits().div_ceil(8);
        let applied = (|| {
            // Immediate: a transaction that begins with reading is refused at its first
            // write if somebody else has written meanwhile.
            let behavior = TransactionBehavior::Immediate;
            let transaction = self.connection.transaction_with_behavior(behavior)?;
            apply(&transaction, changes, bytes)?;
            transaction.commit()
        })();
        self.mine(applied)
    }

    /// Takes images out, with the folders that are indexed and the failures that lie under
    /// one of `folders`.
    ///
    /// # Errors
    /// When the file is damaged or cannot be written.
    pub fn remove(&mut self, ids: &[i64], folders: &[String]) -> Result<(), IndexError> {
        let bytes = self.bits().div_ceil(8);
        let failed: Vec<_> = self.failures()?.into_iter().map(|failure| failure.path).collect();
        let roots: Vec<_> = self.roots()?.into_iter().map(|root| root.path).collect();
        let under = |path: &&String| folders.iter().any(|folder| super::is_under(path, folder));
        let done = (|| {
            let behavior = TransactionBehavior::Immediate;
            let transaction = self.connection.transaction_with_behavior(behavior)?;
            remove(&transaction, ids, bytes)?;
            for path in failed.iter().filter(under) {
                transaction.execute("DELETE FROM failures WHERE path = ?1", [path])?;
            }
            for root in roots.iter().filter(under) {
                // Another folder's images may have been found through this one first.
                let sql = "DELETE FROM roots WHERE path = ?1 \
                    AND NOT EXISTS (SELECT 1 FROM images WHERE root = roots.id)";
                transaction.execute(sql, [root])?;
            }
            transaction.commit()
        })();
        self.mine(done)
    }
}

fn apply(
    transaction: &Transaction<'_>,
    changes: &Changes<'_>,
    bytes: usize,
) -> rusqlite::Result<()> {
    let mut gone = changes.gone.clone();
    for image in &changes.new {
        // The same file may be known from before the update began.
        let sql = "SELECT id FROM images WHERE path = ?1";
        let other =
            transaction.query_row(sql, [image.path], |row| row.get::<_, i64>(0)).optional()?;
        gone.extend(other);
    }
    remove(transaction, &gone, bytes)?;
    for Moved { id, root, path, stamp } in &changes.moved {
        transaction.execute(
            "UPDATE images SET root = ?2, path = ?3, size = ?4, modified = ?5 WHERE id = ?1",
            params![id, root, path, stamp.size, stamp.modified],
        )?;
    }
    for (id, label) in &changes.relabelled {
        transaction.execute("UPDATE images SET label = ?2 WHERE id = ?1", params![id, label])?;
    }
    append(transaction, &changes.new, bytes)?;
    for (id, numbers) in &changes.features {
        let sql = "INSERT OR REPLACE INTO features VALUES (?1, ?2)";
        transaction.execute(sql, params![id, numbers])?;
    }
    let used = changes.new.iter().map(|image| image.path);
    let moved = changes.moved.iter().map(|image| image.path);
    for path in used.chain(moved).chain(changes.mended.iter().copied()) {
        transaction.execute("DELETE FROM failures WHERE path = ?1", [path])?;
    }
    for (path, stamp, reason) in &changes.failed {
        let sql = "INSERT OR REPLACE INTO failures VALUES (?1, ?2, ?3, ?4)";
        transaction.execute(sql, params![path, stamp.size, stamp.modified, reason])?;
    }
    Ok(())
}

/// Takes images out of `images` and their codes out of their blocks, each of which is
/// written once.
fn remove(transaction: &Transaction<'_>, ids: &[i64], bytes: usize) -> rusqlite::Result<()> {
    let mut of_block: BTreeMap<i64, Vec<i64>> = BTreeMap::new();
    for id in ids {
        transaction.execute("DELETE FROM images WHERE id = ?1", [id])?;
        transaction.execute("DELETE FROM features WHERE id = ?1", [id])?;
        let sql = "SELECT id FROM blocks WHERE first <= ?1 ORDER BY first DESC LIMIT 1";
        let block = transaction.query_row(sql, [id], |row| row.get::<_, i64>(0)).optional()?;
        of_block.entry(block.unwrap_or_default()).or_default().push(*id);
    }
    for (block, gone) in &mut of_block {
        gone.sort_unstable();
        let sql = "SELECT ids, codes FROM blocks WHERE id = ?1";
        let row = transaction.query_row(sql, [block], |row| {
            Ok((row.get::<_, Vec<u8>>(0)?, row.get::<_, Vec<u8>>(1)?))
        });
        let Some((ids, codes)) = row.optional()? else { continue };
        let left = unpack_ids(&ids).zip(codes.chunks_exact(bytes));
        let left = left.filter(|(id, _)| gone.binary_search(id).is_err());
        let (mut ids, mut codes) = (Vec::new(), Vec::new());
        for (id, code) in left {
            ids.extend(id.to_le_bytes());
            codes.extend(code);
        }
        let first = unpack_ids(&ids).next();
        match first {
            Some(first) => transaction.execute(
                "UPDATE blocks SET first = ?2, ids = ?3, codes = ?4 WHERE id = ?1",
                params![block, first, ids, codes],
            )?,
            None => transaction.execute("DELETE FROM blocks WHERE id = ?1", [block])?,
        };
    }
    Ok(())
}

/// Adds images and puts their codes behind the others, filling the last block first.
fn append(
    transaction: &Transaction<'_>,
    new: &[NewImage<'_>],
    bytes: usize,
) -> rusqlite::Result<()> {
    if new.is_empty() {
        return Ok(());
    }
    let sql = "SELECT id, ids, codes FROM blocks ORDER BY first DESC LIMIT 1";
    let last = transaction.query_row(sql, [], |row| {
        Ok((Some(row.get::<_, i64>(0)?), row.get::<_, Vec<u8>>(1)?, row.get::<_, Vec<u8>>(2)?))
    });
    let (mut block, mut ids, mut codes) = last.optional()?.unwrap_or_default();
    let mut insert = transaction.prepare_cached(
        "INSERT INTO images (root, path, size, modified, content, label) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
    )?;
    let mut keep = transaction.prepare_cached("INSERT INTO features VALUES (?1, ?2)")?;
    for image in new {
        if ids.len() >= BLOCK * 8 {
            write_block(transaction, block, &ids, &codes)?;
            (block, ids, codes) = Default::default();
        }
        let Stamp { size, modified } = image.stamp;
        let content = image.content.as_bytes();
        insert.execute(params![image.root, image.path, size, modified, content, image.label])?;
        let id = transaction.last_insert_rowid();
        ids.extend(id.to_le_bytes());
        codes.extend(&image.code);
        debug_assert_eq!(image.code.len(), bytes);
        if let Some(features) = &image.features {
            keep.execute(params![id, features])?;
        }
    }
    write_block(transaction, block, &ids, &codes)
}

fn write_block(
    transaction: &Transaction<'_>,
    block: Option<i64>,
    ids: &[u8],
    codes: &[u8],
) -> rusqlite::Result<()> {
    let first = unpack_ids(ids).next();
    let sql = "INSERT OR REPLACE INTO blocks (id, first, ids, codes) VALUES (?1, ?2, ?3, ?4)";
    transaction.execute(sql, params![block, first, ids, codes]).map(drop)
}
