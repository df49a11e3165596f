/*!
The SQLite file: schema, opening, and every statement that touches it.
*/

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{
    Connection, OpenFlags, OptionalExtension, Transaction, TransactionBehavior, params,
};

use super::{FORMAT, IndexError};
use crate::code::BinaryCodes;

/// Marks the file as ours in SQLite's own header ("Barb").
const APPLICATION: i32 = 0x4261_7262;
/// Codes per block.
const BLOCK: usize = 4096;
/// How long a second writer waits for the first.
const PATIENCE: Duration = Duration::from_secs(5);

const SCHEMA: &str = "
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE roots (id INTEGER PRIMARY KEY, path TEXT NOT NULL UNIQUE);
-- Ids are never used twice, and grow with time.
CREATE TABLE images (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    root INTEGER NOT NULL REFERENCES roots (id),
    path TEXT NOT NULL UNIQUE,
    size INTEGER NOT NULL,
    modified INTEGER NOT NULL, -- nanoseconds since 1970
    content BLOB NOT NULL,     -- BLAKE3 of the file
    label TEXT
);
CREATE INDEX images_content ON images (content);
-- Packed codes: ids are little-endian 64-bit numbers, ascending; codes are
-- ceil(bits / 8) bytes each, in the same order.
CREATE TABLE blocks (id INTEGER PRIMARY KEY, first INTEGER NOT NULL, ids BLOB NOT NULL, codes BLOB NOT NULL);
CREATE INDEX blocks_first ON blocks (first);
";

/// An open index.
#[derive(Debug)]
pub struct Index {
    pub(super) connection: Connection,
    path: PathBuf,
    bits: usize,
    model: String,
}

/// What is known of an indexed image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageRow {
    /// Its id.
    pub id: i64,
    /// Where it is.
    pub path: String,
    /// Its label, if it has one.
    pub label: Option<String>,
}

/// What tells whether a file has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stamp {
    pub size: i64,
    pub modified: i64,
}

/// A new row of `images` with its code.
pub(super) struct NewImage<'a> {
    pub root: i64,
    pub path: &'a str,
    pub stamp: Stamp,
    pub content: blake3::Hash,
    pub label: Option<&'a str>,
    pub code: Vec<u8>,
}

impl Index {
    /// Opens an index for searching; nothing is ever written. Whatever others write
    /// meanwhile, it stays as it was when it was opened.
    ///
    /// # Errors
    /// When there is none, or it is not one of ours or of a later version.
    pub fn open(path: &Path) -> Result<Self, IndexError> {
        if !path.exists() {
            return Err(IndexError::Missing(path.to_owned()));
        }
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let opened = Self::open_to_read(path, path, flags);
        // Even reading in WAL mode takes a file beside the index. Where none can be made
        // and none is left over, nobody writes: it can be read as it stands.
        match (&opened, unchanging(path)) {
            (Err(IndexError::Database { .. }), Some(uri)) => {
                Self::open_to_read(path, &uri, flags | OpenFlags::SQLITE_OPEN_URI).or(opened)
            }
            _ => opened,
        }
    }

    /// Opens `name`, which leads to the index at `path`.
    fn open_to_read(
        path: &Path,
        name: impl AsRef<Path>,
        flags: OpenFlags,
    ) -> Result<Self, IndexError> {
        let connection = Connection::open_with_flags(name, flags);
        let connection = connection.map_err(|error| failed(path, error))?;
        connection.busy_timeout(PATIENCE).map_err(|error| failed(path, error))?;
        // One transaction from here on, so that ids, codes and paths fit together.
        connection.execute_batch("BEGIN").map_err(|error| failed(path, error))?;
        Self::check(connection, path)
    }

    /// Opens an index for changing it with a model, and makes it if there is none.
    ///
    /// # Errors
    /// As [`Index::open`], and when it belongs to another model or cannot be written.
    pub fn open_or_create(path: &Path, bits: usize, model: &str) -> Result<Self, IndexError> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
            | OpenFlags::SQLITE_OPEN_CREATE
            | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        // Absolute, because SQLite keeps a name like ":memory:" for itself.
        let file = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        let mut connection =
            Connection::open_with_flags(file, flags).map_err(|error| failed(path, error))?;
        connection.busy_timeout(PATIENCE).map_err(|error| failed(path, error))?;
        // What is no database fails here, and again, with a better message, below.
        if is_blank(&connection, path).unwrap_or(false) {
            Self::create(&mut connection, bits, model).map_err(|error| failed(path, error))?;
        }
        let index = Self::check(connection, path)?;
        index.same_model(bits, model)?;
        Ok(index)
    }

    /// Makes sure that codes of this model may be compared with the index's.
    ///
    /// # Errors
    /// [`IndexError::OtherModel`].
    pub fn same_model(&self, bits: usize, model: &str) -> Result<(), IndexError> {
        if (self.bits, self.model.as_str()) == (bits, model) {
            return Ok(());
        }
        let short = |fingerprint: &str| fingerprint.chars().take(8).collect();
        Err(IndexError::OtherModel {
            path: self.path.clone(),
            index_bits: self.bits,
            index_model: short(&self.model),
            model_bits: bits,
            model: short(model),
        })
    }

    /// Writes the tables, unless another process was faster.
    fn create(connection: &mut Connection, bits: usize, model: &str) -> rusqlite::Result<()> {
        connection.pragma_update(None, "journal_mode", "wal")?;
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        if tables(&transaction)? > 0 {
            return Ok(());
        }
        transaction.pragma_update(None, "application_id", APPLICATION)?;
        transaction.pragma_update(None, "user_version", FORMAT)?;
        transaction.execute_batch(SCHEMA)?;
        let program = env!("CARGO_PKG_VERSION");
        let meta =
            [("bits", bits.to_string()), ("model", model.into()), ("program", program.into())];
        for (key, value) in meta {
            transaction.execute("INSERT INTO meta VALUES (?1, ?2)", params![key, value])?;
        }
        transaction.commit()
    }

    fn check(connection: Connection, path: &Path) -> Result<Self, IndexError> {
        let unfit =
            |reason: &str| IndexError::Unfit { path: path.to_owned(), reason: reason.into() };
        let pragma = |name| pragma(&connection, name).map_err(|error| failed(path, error));
        let application = pragma("application_id")?;
        if application != i64::from(APPLICATION) {
            let blank = is_blank(&connection, path).map_err(|error| failed(path, error))?;
            return Err(unfit(match (blank, pragma("page_count")?) {
                (true, _) => "it is empty; `barbule index` fills it",
                (false, 0) => "it is no SQLite file",
                (false, _) => "it was made by another program",
            }));
        }
        let version = pragma("user_version")?;
        if version > i64::from(FORMAT) {
            let found = u32::try_from(version).unwrap_or(u32::MAX);
            return Err(IndexError::Newer { path: path.to_owned(), found });
        }
        if version < 1 {
            return Err(unfit("its version is damaged"));
        }
        let meta = |key: &str| {
            let sql = "SELECT value FROM meta WHERE key = ?1";
            let value = connection.query_row(sql, [key], |row| row.get::<_, String>(0));
            value.map_err(|error| failed(path, error))
        };
        let bits = meta("bits")?.parse().map_err(|_| unfit("its bit length is damaged"))?;
        BinaryCodes::new(bits).map_err(|_| unfit("its bit length is damaged"))?;
        let model = meta("model")?;
        Ok(Self { path: path.to_owned(), bits, model, connection })
    }

    /// Where the index is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Fingerprint of the model that gave the codes.
    pub fn model(&self) -> &str {
        &self.model
    }

    /// Bits per code.
    pub fn bits(&self) -> usize {
        self.bits
    }

    /// Number of images.
    ///
    /// # Errors
    /// When the file is damaged.
    pub fn len(&self) -> Result<usize, IndexError> {
        let sql = "SELECT count(*) FROM images";
        let count = self.connection.query_row(sql, [], |row| row.get::<_, i64>(0));
        self.mine(count).map(|count| usize::try_from(count).unwrap_or_default())
    }

    /// Whether there is no image.
    ///
    /// # Errors
    /// When the file is damaged.
    pub fn is_empty(&self) -> Result<bool, IndexError> {
        Ok(self.len()? == 0)
    }

    /// All codes with their images' ids, ascending.
    ///
    /// # Errors
    /// When the file is damaged.
    pub fn codes(&self) -> Result<(Vec<i64>, BinaryCodes), IndexError> {
        let damaged =
            |reason: &str| IndexError::Unfit { path: self.path.clone(), reason: reason.to_owned() };
        let (mut ids, mut codes) = (Vec::new(), BinaryCodes::new(self.bits)?);
        let sql = "SELECT ids, codes FROM blocks ORDER BY first";
        let mut statement = self.mine(self.connection.prepare(sql))?;
        let mut rows = self.mine(statement.query([]))?;
        while let Some(row) = self.mine(rows.next())? {
            let (packed_ids, packed) =
                (self.mine(row.get::<_, Vec<u8>>(0))?, self.mine(row.get::<_, Vec<u8>>(1))?);
            let block = BinaryCodes::from_bytes(self.bits, &packed)?;
            let block_ids = unpack_ids(&packed_ids);
            if block_ids.len() != block.len() {
                return Err(damaged("a block has more ids than codes, or fewer"));
            }
            ids.extend(block_ids);
            codes.extend(&block)?;
        }
        if !ids.is_sorted_by(|a, b| a < b) {
            return Err(damaged("its ids are not in order"));
        }
        Ok((ids, codes))
    }

    /// The ids of all images with this content, ascending.
    ///
    /// # Errors
    /// When the file is damaged.
    pub fn with_content(&self, content: &blake3::Hash) -> Result<Vec<i64>, IndexError> {
        let sql = "SELECT id FROM images WHERE content = ?1 ORDER BY id";
        let mut statement = self.mine(self.connection.prepare_cached(sql))?;
        let rows = self.mine(statement.query_map([content.as_bytes()], |row| row.get(0)))?;
        self.mine(rows.collect())
    }

    /// The stored code of one image, as a set of one.
    ///
    /// # Errors
    /// When the file is damaged or there is no such image.
    pub fn code(&self, id: i64) -> Result<BinaryCodes, IndexError> {
        let row = self.code_bytes(id)?.ok_or_else(|| IndexError::Unfit {
            path: self.path.clone(),
            reason: format!("image {id} has no code"),
        })?;
        Ok(BinaryCodes::from_bytes(self.bits, &row)?)
    }

    fn code_bytes(&self, id: i64) -> Result<Option<Vec<u8>>, IndexError> {
        let sql = "SELECT ids, codes FROM blocks WHERE first <= ?1 ORDER BY first DESC LIMIT 1";
        let block = self
            .connection
            .query_row(sql, [id], |row| Ok((row.get::<_, Vec<u8>>(0)?, row.get::<_, Vec<u8>>(1)?)));
        let Some((ids, codes)) = self.mine(block.optional())? else { return Ok(None) };
        let row = self.bits.div_ceil(8);
        let place = unpack_ids(&ids).position(|stored| stored == id);
        Ok(place.and_then(|at| codes.get(at * row..(at + 1) * row)).map(<[u8]>::to_vec))
    }

    /// What is known of an image.
    ///
    /// # Errors
    /// When the file is damaged or there is no such image.
    pub fn image(&self, id: i64) -> Result<ImageRow, IndexError> {
        let sql = "SELECT path, label FROM images WHERE id = ?1";
        let mut statement = self.mine(self.connection.prepare_cached(sql))?;
        let row = statement
            .query_row([id], |row| Ok(ImageRow { id, path: row.get(0)?, label: row.get(1)? }));
        self.mine(row)
    }

    /// Size and time of modification when the file at `path` was indexed, its id and label.
    pub(super) fn known(&self, path: &str) -> Result<Option<(Stamp, ImageRow)>, IndexError> {
        let sql = "SELECT id, size, modified, label FROM images WHERE path = ?1";
        let mut statement = self.mine(self.connection.prepare_cached(sql))?;
        let row = statement.query_row([path], |row| {
            let stamp = Stamp { size: row.get(1)?, modified: row.get(2)? };
            Ok((stamp, ImageRow { id: row.get(0)?, path: path.to_owned(), label: row.get(3)? }))
        });
        self.mine(row.optional())
    }

    /// Registers a folder that is indexed; gives its id.
    pub(super) fn root(&mut self, folder: &str) -> Result<i64, IndexError> {
        let sql = "INSERT INTO roots (path) VALUES (?1) ON CONFLICT DO UPDATE SET path = path RETURNING id";
        let id = self.connection.query_row(sql, [folder], |row| row.get(0));
        self.mine(id)
    }

    /// Applies one batch: all of it, or nothing if anything fails.
    pub(super) fn apply(
        &mut self,
        gone: &[i64],
        new: &[NewImage<'_>],
        relabelled: &[(i64, Option<&str>)],
    ) -> Result<(), IndexError> {
        let bytes = self.bits.div_ceil(8);
        let applied = (|| {
            // Immediate: a transaction that begins with reading is refused at its first
            // write if somebody else has written meanwhile.
            let behavior = TransactionBehavior::Immediate;
            let transaction = self.connection.transaction_with_behavior(behavior)?;
            for id in gone {
                remove(&transaction, *id, bytes)?;
            }
            for (id, label) in relabelled {
                transaction
                    .execute("UPDATE images SET label = ?2 WHERE id = ?1", params![id, label])?;
            }
            for image in new {
                // Another process may have added the same file since it was looked for.
                let sql = "SELECT id FROM images WHERE path = ?1";
                let other = transaction.query_row(sql, [image.path], |row| row.get(0));
                if let Some(id) = other.optional()? {
                    remove(&transaction, id, bytes)?;
                }
            }
            append(&transaction, new, bytes)?;
            transaction.commit()
        })();
        self.mine(applied)
    }

    pub(super) fn mine<T>(&self, result: rusqlite::Result<T>) -> Result<T, IndexError> {
        result.map_err(|error| failed(&self.path, error))
    }
}

/// Tells a damaged file from trouble with a sound one.
fn failed(path: &Path, error: rusqlite::Error) -> IndexError {
    use rusqlite::ErrorCode as Code;
    let path = path.to_owned();
    match error.sqlite_error_code() {
        // No code at all: a value is of another type than ours are, or not there.
        Some(Code::NotADatabase) => {
            IndexError::Unfit { path, reason: "it is no SQLite file".to_owned() }
        }
        None | Some(Code::DatabaseCorrupt | Code::TypeMismatch | Code::Unknown) => {
            let reason = format!("it is damaged ({error}); restore it from a copy or make it anew");
            IndexError::Unfit { path, reason }
        }
        Some(_) => IndexError::Database { path, error },
    }
}

/// Whether there is no index at `path` yet: an empty file (opening makes one), or what a
/// creation that was cut short leaves behind, a database that never had a table.
fn is_blank(connection: &Connection, path: &Path) -> rusqlite::Result<bool> {
    if std::fs::metadata(path).is_ok_and(|meta| meta.len() == 0) {
        return Ok(true);
    }
    // SQLite takes a file of a few bytes for a database without pages, whatever they say.
    let blank = pragma(connection, "page_count")? > 0
        && pragma(connection, "application_id")? == 0
        && pragma(connection, "schema_version")? == 0;
    Ok(blank)
}

fn pragma(connection: &Connection, name: &str) -> rusqlite::Result<i64> {
    connection.pragma_query_value(None, name, |row| row.get(0))
}

/// How many tables and indexes a database has.
fn tables(connection: &Connection) -> rusqlite::Result<i64> {
    connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))
}

/// The name by which SQLite reads an index without any other file, taking for granted
/// that nobody changes it; `None` while somebody may.
fn unchanging(path: &Path) -> Option<String> {
    let path = path.canonicalize().ok()?;
    let mut wal = path.clone().into_os_string();
    wal.push("-wal");
    if std::fs::metadata(wal).is_ok_and(|meta| meta.len() > 0) {
        return None;
    }
    let text = path.to_str()?;
    let text = if cfg!(windows) { text.replace('\\', "/") } else { text.to_owned() };
    let mut uri = "file:".to_owned();
    if !text.starts_with('/') {
        uri.push('/');
    }
    for byte in text.bytes() {
        match byte {
            b'/' | b'-' | b'_' | b'.' | b':' => uri.push(byte.into()),
            _ if byte.is_ascii_alphanumeric() => uri.push(byte.into()),
            // Writing to a String cannot fail.
            _ => drop(write!(uri, "%{byte:02x}")),
        }
    }
    uri.push_str("?immutable=1");
    Some(uri)
}

fn unpack_ids(bytes: &[u8]) -> impl ExactSizeIterator<Item = i64> + use<'_> {
    bytes
        .chunks_exact(8)
        .map(|b| i64::from_le_bytes([b[0], b[1], b[2], b[3], b[4], b[5], b[6], b[7]]))
}

/// Takes an image out of `images` and its code out of its block.
fn remove(transaction: &Transaction<'_>, id: i64, bytes: usize) -> rusqlite::Result<()> {
    transaction.execute("DELETE FROM images WHERE id = ?1", [id])?;
    let sql = "SELECT id, ids, codes FROM blocks WHERE first <= ?1 ORDER BY first DESC LIMIT 1";
    let block = transaction.query_row(sql, [id], |row| {
        Ok((row.get::<_, i64>(0)?, row.get::<_, Vec<u8>>(1)?, row.get::<_, Vec<u8>>(2)?))
    });
    let Some((block, mut ids, mut codes)) = block.optional()? else { return Ok(()) };
    let place = unpack_ids(&ids).position(|stored| stored == id);
    if let Some(at) = place.filter(|at| codes.len() >= (at + 1) * bytes) {
        ids.drain(at * 8..(at + 1) * 8);
        codes.drain(at * bytes..(at + 1) * bytes);
    }
    let first = unpack_ids(&ids).next();
    match first {
        Some(first) => transaction.execute(
            "UPDATE blocks SET first = ?2, ids = ?3, codes = ?4 WHERE id = ?1",
            params![block, first, ids, codes],
        )?,
        None => transaction.execute("DELETE FROM blocks WHERE id = ?1", [block])?,
    };
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
    for image in new {
        if ids.len() >= BLOCK * 8 {
            write_block(transaction, block, &ids, &codes)?;
            (block, ids, codes) = Default::default();
        }
        let Stamp { size, modified } = image.stamp;
        let content = image.content.as_bytes();
        insert.execute(params![image.root, image.path, size, modified, content, image.label])?;
        ids.extend(transaction.last_insert_rowid().to_le_bytes());
        codes.extend(&image.code);
        debug_assert_eq!(image.code.len(), bytes);
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
