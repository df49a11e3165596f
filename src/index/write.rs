/*!
Every statement that changes an index; one transaction per change.
*/

use std::collections::BTreeMap;

use rusqlite::{OptionalExtension, Transaction, TransactionBehavior, params};

#[cfg(feature = "engine")]
use super::Batch;
use super::labels::checked_label;
use super::open::note_version;
#[cfg(feature = "engine")]
use super::paths::innermost;
use super::paths::is_under;
use super::picture::Picture;
use super::regions::StoredRegions;
use super::store::unpack_ids;
use super::writer::IndexWriter;
use super::{IndexError, ScanOptions};
use crate::folder::{LeftOut, Stamp};
use crate::image::READING;

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
    pub regions: Option<StoredRegions>,
}

/// An image whose file moved, or was rewritten with the same content.
pub(super) struct Moved<'a> {
    pub id: i64,
    pub root: i64,
    pub path: &'a str,
    pub stamp: Stamp,
}

/// The changes of one transaction.
#[derive(Default)]
pub(super) struct Changes<'a> {
    /// Images to remove.
    pub gone: Vec<i64>,
    pub new: Vec<NewImage<'a>>,
    pub moved: Vec<Moved<'a>>,
    pub relabelled: Vec<(i64, Option<String>)>,
    /// Features of images that had none.
    pub features: Vec<(i64, Vec<u8>)>,
    /// Regions of images that had none.
    pub regions: Vec<(i64, StoredRegions)>,
    /// Files that could not be used: path, stamp, reason.
    pub failed: Vec<(&'a str, Stamp, String)>,
    /// Files that can be used again, or are gone.
    pub mended: Vec<&'a str>,
    /// Pictures by the content of their files.
    pub pictures: Vec<(blake3::Hash, &'a Picture)>,
}

impl IndexWriter {
    /// Registers an indexed folder, stores its options if they are given, and returns its id.
    pub(super) fn root(
        &mut self,
        folder: &str,
        options: Option<&ScanOptions>,
    ) -> Result<i64, IndexError> {
        let options = options.map(serde_json::to_string).transpose();
        let options = options.map_err(|error| self.index().damaged(error))?;
        let sql = "INSERT INTO roots (path, options) VALUES (?1, coalesce(?2, '{}')) \
            ON CONFLICT DO UPDATE SET options = coalesce(?2, options)";
        // Not RETURNING: a full disk is noticed when the statement ends, after its row.
        let id = self.connection().execute(sql, params![folder, options]).and_then(|_| {
            let sql = "SELECT id FROM roots WHERE path = ?1";
            self.connection().query_row(sql, [folder], |row| row.get(0))
        });
        self.mine(id)
    }

    /// Stores how many files of an indexed folder are left out.
    pub(super) fn note_left_out(
        &mut self,
        root: i64,
        left_out: &LeftOut,
    ) -> Result<(), IndexError> {
        let text = serde_json::to_string(left_out);
        let text = text.map_err(|error| self.index().damaged(error))?;
        let sql = "UPDATE roots SET left_out = ?2 WHERE id = ?1 AND left_out IS NOT ?2";
        let done = self.connection().execute(sql, params![root, text]).map(drop);
        self.mine(done)
    }

    /// Keeps the features of every image from now on, and of every region. Those of an earlier
    /// version are removed.
    pub(super) fn keep_features(&mut self) -> Result<(), IndexError> {
        let sql = "BEGIN IMMEDIATE; DELETE FROM features; DELETE FROM regions; DELETE FROM meta WHERE key = 'features'; \
            INSERT OR REPLACE INTO meta VALUES ('kept', 'i8'); COMMIT";
        let done = self.connection().execute_batch(sql);
        self.mine(done)?;
        self.reopen()
    }

    /// Gives `count` regions of every image codes of their own from now on, or none. Those of
    /// another number are removed.
    pub(super) fn keep_regions(&mut self, count: usize) -> Result<(), IndexError> {
        let done = (|| {
            let behavior = TransactionBehavior::Immediate;
            let transaction = self.connection_mut().transaction_with_behavior(behavior)?;
            transaction.execute_batch("DELETE FROM regions")?;
            transaction.execute("DELETE FROM meta WHERE key = 'regions'", [])?;
            if count > 0 {
                let sql = "INSERT INTO meta VALUES ('regions', ?1)";
                transaction.execute(sql, [count.to_string()])?;
            }
            note_version(&transaction)?;
            transaction.commit()
        })();
        self.mine(done)?;
        self.reopen()
    }

    /// Notes that all images were read in the present way.
    pub(super) fn note_reading(&mut self) -> Result<(), IndexError> {
        let sql = "INSERT OR REPLACE INTO meta VALUES ('reading', ?1)";
        let done = self.connection().execute(sql, [READING.to_string()]).map(drop);
        self.mine(done)
    }

    /// Stores the path of the model's file.
    pub(super) fn note_model_file(&mut self, path: &str) -> Result<(), IndexError> {
        let sql = "INSERT OR REPLACE INTO meta VALUES ('model_file', ?1)";
        let done = self.connection().execute(sql, [path]).map(drop);
        self.mine(done)
    }

    /// Returns the space of removed images to the disk.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn compact(&mut self) -> Result<(), IndexError> {
        let sql = "DELETE FROM looks WHERE content NOT IN (SELECT content FROM images); VACUUM";
        let done = self.connection().execute_batch(sql);
        self.mine(done)
    }

    /// Moves the write-ahead log into the index file, as far as no reader needs the state before.
    pub(super) fn settle(&self) {
        // Best effort: what stays in the log is as safe.
        let sql = "PRAGMA wal_checkpoint(PASSIVE)";
        let _ = self.connection().query_row(sql, [], |_| Ok(()));
    }

    /// Applies one batch: all of it, or nothing if anything fails.
    pub(super) fn apply(&mut self, changes: &Changes<'_>) -> Result<(), IndexError> {
        let bytes = self.index().bits().div_ceil(8);
        let applied = (|| {
            // Immediate: a transaction that begins by reading fails at its first write if another
            // connection has written meanwhile.
            let behavior = TransactionBehavior::Immediate;
            let transaction = self.connection_mut().transaction_with_behavior(behavior)?;
            apply(&transaction, changes, bytes)?;
            transaction.commit()
        })();
        self.mine(applied)
    }

    /// Gives images a label, or removes their labels, and returns the label as it is stored:
    /// without spaces around it. Later updates keep it, unless they have labels of their own.
    ///
    /// # Errors
    /// [`IndexError::NoSuchImage`], [`IndexError::Label`] if the label is empty, too long or has
    /// control characters, or if the file is damaged or cannot be written. Nothing is changed then.
    pub fn set_labels<'a>(
        &mut self,
        ids: &[i64],
        label: Option<&'a str>,
    ) -> Result<Option<&'a str>, IndexError> {
        let label = label.map(checked_label).transpose()?;
        // Nobody else writes meanwhile, so they are still there in the transaction.
        for id in ids {
            self.index().image(*id)?;
        }
        let relabelled = ids.iter().map(|id| (*id, label.map(str::to_owned))).collect();
        self.apply(&Changes { relabelled, ..Changes::default() })?;
        Ok(label)
    }

    /// Removes images, and the indexed folders and failures that lie under one of `folders`.
    ///
    /// # Errors
    /// If the file is damaged or cannot be written.
    pub fn remove(&mut self, ids: &[i64], folders: &[String]) -> Result<(), IndexError> {
        let bytes = self.index().bits().div_ceil(8);
        let under = |path: &String| folders.iter().any(|folder| is_under(path, folder));
        let failures = self.index().failures()?.into_iter().map(|failure| failure.path);
        let failed: Vec<String> = failures.filter(under).collect();
        let roots = self.index().roots()?.into_iter().map(|root| root.path);
        let gone: Vec<String> = roots.filter(under).collect();
        let done = (|| {
            let behavior = TransactionBehavior::Immediate;
            let transaction = self.connection_mut().transaction_with_behavior(behavior)?;
            remove(&transaction, ids, bytes)?;
            for path in &failed {
                transaction.execute("DELETE FROM failures WHERE path = ?1", [path])?;
            }
            for root in &gone {
                // Another folder's images may have been found through this one first.
                let sql = "DELETE FROM roots WHERE path = ?1 \
                    AND NOT EXISTS (SELECT 1 FROM images WHERE root = roots.id)";
                transaction.execute(sql, [root])?;
            }
            transaction.commit()
        })();
        self.mine(done)
    }

    /// For an index that nobody opens before it is complete: its data is only durable once the file
    /// is synchronised after closing.
    #[cfg(feature = "engine")]
    pub(crate) fn hurry(&mut self) -> Result<(), IndexError> {
        // Keys are random: with the default 2 MB cache every page is read and written many times.
        let sql = "PRAGMA synchronous = OFF; PRAGMA cache_size = -131072;";
        let done = self.connection().execute_batch(sql);
        self.mine(done)
    }

    /// Adds images with given ids, all larger than those in the index. The next update takes them
    /// for changed, and finds that their content is the same.
    #[cfg(feature = "engine")]
    pub(crate) fn take_in(&mut self, batch: &Batch, roots: &[String]) -> Result<(), IndexError> {
        let done = (|| {
            let behavior = TransactionBehavior::Immediate;
            let transaction = self.connection_mut().transaction_with_behavior(behavior)?;
            insert(&transaction, batch, roots)?;
            transaction.commit()
        })();
        self.mine(done)
    }
}

#[cfg(feature = "engine")]
fn insert(transaction: &Transaction<'_>, batch: &Batch, roots: &[String]) -> rusqlite::Result<()> {
    let mut root_of = transaction.prepare_cached(
        "INSERT INTO roots (path) VALUES (?1) ON CONFLICT DO UPDATE SET path = path RETURNING id",
    )?;
    let mut insert = transaction.prepare_cached(
        "INSERT INTO images (id, root, path, size, modified, content, label) \
         VALUES (?1, ?2, ?3, -1, 0, ?4, ?5)",
    )?;
    for (row, path) in batch.paths.iter().enumerate() {
        let parent = || std::path::Path::new(path).parent().and_then(|parent| parent.to_str());
        let within = innermost(path, roots).or_else(parent).unwrap_or("/");
        let root: i64 = root_of.query_row([within], |row| row.get(0))?;
        let (id, content) = (batch.ids[row], batch.contents[row]);
        insert.execute(params![id, root, path, content, batch.labels[row]])?;
    }
    let ids: Vec<u8> = batch.ids.iter().flat_map(|id| id.to_le_bytes()).collect();
    let codes: Vec<u8> =
        (0..batch.codes.len()).flat_map(|row| batch.codes.row_bytes(row)).collect();
    let sql = "INSERT INTO blocks (first, ids, codes) VALUES (?1, ?2, ?3)";
    transaction.execute(sql, params![batch.ids.first(), ids, codes]).map(drop)
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
            "UPDATE images SET root = ?2, path = ?3, size = ?4, modified = ?5, changed = ?6, \
             file = ?7 WHERE id = ?1",
            params![id, root, path, stamp.size, stamp.modified, stamp.changed, stamp.file],
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
    for (id, regions) in &changes.regions {
        write_regions(transaction, *id, regions)?;
    }
    let used = changes.new.iter().map(|image| image.path);
    let moved = changes.moved.iter().map(|image| image.path);
    for path in used.chain(moved).chain(changes.mended.iter().copied()) {
        transaction.execute("DELETE FROM failures WHERE path = ?1", [path])?;
    }
    for (content, Picture { width, height, look }) in &changes.pictures {
        let sql = "INSERT OR REPLACE INTO looks VALUES (?1, ?2, ?3, ?4)";
        transaction.execute(sql, params![content.as_bytes(), width, height, look.to_bytes()])?;
    }
    for (path, stamp, reason) in &changes.failed {
        let sql = "INSERT OR REPLACE INTO failures (path, size, modified, changed, file, reason) \
            VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
        let Stamp { size, modified, changed, file } = stamp;
        transaction.execute(sql, params![path, size, modified, changed, file, reason])?;
    }
    Ok(())
}

/// Removes images and their codes. Each block is written once.
fn remove(transaction: &Transaction<'_>, ids: &[i64], bytes: usize) -> rusqlite::Result<()> {
    let mut of_block: BTreeMap<i64, Vec<i64>> = BTreeMap::new();
    for id in ids {
        transaction.execute("DELETE FROM images WHERE id = ?1", [id])?;
        transaction.execute("DELETE FROM features WHERE id = ?1", [id])?;
        transaction.execute("DELETE FROM regions WHERE id = ?1", [id])?;
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

/// Adds images and appends their codes, filling the last block first.
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
        "INSERT INTO images (root, path, size, modified, changed, file, content, label) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
    )?;
    let mut keep = transaction.prepare_cached("INSERT INTO features VALUES (?1, ?2)")?;
    for image in new {
        if ids.len() >= BLOCK * 8 {
            write_block(transaction, block, &ids, &codes)?;
            (block, ids, codes) = Default::default();
        }
        let Stamp { size, modified, changed, file } = image.stamp;
        let (root, path, content) = (image.root, image.path, image.content.as_bytes());
        insert.execute(params![root, path, size, modified, changed, file, content, image.label])?;
        let id = transaction.last_insert_rowid();
        ids.extend(id.to_le_bytes());
        codes.extend(&image.code);
        debug_assert_eq!(image.code.len(), bytes);
        if let Some(features) = &image.features {
            keep.execute(params![id, features])?;
        }
        if let Some(regions) = &image.regions {
            write_regions(transaction, id, regions)?;
        }
    }
    write_block(transaction, block, &ids, &codes)
}

fn write_regions(
    transaction: &Transaction<'_>,
    id: i64,
    StoredRegions { areas, codes, features }: &StoredRegions,
) -> rusqlite::Result<()> {
    let sql = "INSERT OR REPLACE INTO regions VALUES (?1, ?2, ?3, ?4)";
    transaction.prepare_cached(sql)?.execute(params![id, areas, codes, features]).map(drop)
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
