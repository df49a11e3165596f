/*!
The SQLite file: its schema, and opening it for reading or for writing.
*/

use std::fmt::Write as _;
use std::num::ParseIntError;
use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, TransactionBehavior, params};

use super::features::Kept;
use super::paths::{beside, real};
use super::{FORMAT, IndexError, MOST_REGIONS};
use crate::cause::{Cause, told};
use crate::code::BinaryCodes;
use crate::hash::Codebooks;
use crate::image::READING;

/// Identifies the file as an index in SQLite's own header ("Barb").
const APPLICATION: i32 = 0x4261_7262;
/// Time limit of waiting for the lock of another connection.
const PATIENCE: Duration = Duration::from_secs(5);

const SCHEMA: &str = "
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE roots (
    id INTEGER PRIMARY KEY,
    path TEXT NOT NULL UNIQUE,
    options TEXT NOT NULL DEFAULT '{}' -- JSON: which files of the folder are indexed
);
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
/// The tables of format 2 that format 1 lacks; it also lacks `roots.options`.
const SINCE_2: &str = "
-- Files that could not be used, as they were then.
CREATE TABLE failures (
    path TEXT PRIMARY KEY,
    size INTEGER NOT NULL,
    modified INTEGER NOT NULL,
    reason TEXT NOT NULL
) WITHOUT ROWID;
-- Optional: features of images, in the numbers that meta says.
CREATE TABLE features (id INTEGER PRIMARY KEY, numbers BLOB NOT NULL);
";

/// A table that any index of format 2 may lack, and gets when it is next written to.
const LOOKS: &str = "
-- Sizes and looks of pictures, by the content of their files: see image::Look.
CREATE TABLE IF NOT EXISTS looks (
    content BLOB PRIMARY KEY,
    width INTEGER NOT NULL,
    height INTEGER NOT NULL,
    look BLOB NOT NULL
) WITHOUT ROWID;
";

/// A table that any index may lack, and gets when it is next written to. It has rows in indexes of
/// format 6 only.
const REGIONS: &str = "
-- Regions of images: their places and codes, and their features if the index keeps any.
CREATE TABLE IF NOT EXISTS regions (
    id INTEGER PRIMARY KEY,
    areas BLOB NOT NULL,
    codes BLOB NOT NULL,
    features BLOB
);
";

/// The columns of format 3 that earlier ones lack; null where an earlier version wrote the row.
const SINCE_3: &str = "
ALTER TABLE roots ADD COLUMN left_out TEXT;   -- JSON: how many files are not read, and why
ALTER TABLE images ADD COLUMN changed INTEGER; -- nanoseconds since 1970
ALTER TABLE images ADD COLUMN file INTEGER;    -- the file's number in its file system
ALTER TABLE failures ADD COLUMN changed INTEGER;
ALTER TABLE failures ADD COLUMN file INTEGER;
";

/// The format of an index of signs. Programs that know no words read it, too.
const SIGNS: u32 = 3;

/// The format of an index of words.
const OF_WORDS: u32 = 4;

/// The table that only indexes of words have.
const WORDS: &str = "
-- One row: how many numbers a word has, and all words, codebook by codebook, as little-endian
-- single-precision numbers.
CREATE TABLE codebooks (dim INTEGER NOT NULL, words BLOB NOT NULL);
";

/// The format of an index whose hash was fitted to its own images.
const FITTED_HASH: u32 = 5;

/// The table of format 5, which only indexes have whose hash was fitted to their own images.
pub(super) const FITTED: &str = "
-- One row: the model, a whole model file, with the number of images and of labels that its hash was
-- fitted to, and the greatest id of an image then.
CREATE TABLE IF NOT EXISTS fitted (
    file BLOB NOT NULL,
    images INTEGER NOT NULL,
    labels INTEGER NOT NULL,
    last INTEGER NOT NULL
);
";

/// An open SQLite file that is an index.
#[derive(Debug)]
pub(super) struct Opened {
    pub connection: Connection,
    pub about: About,
}

/// Facts that an index states about itself.
#[derive(Debug)]
pub(super) struct About {
    pub bits: usize,
    /// The codebooks whose words are the codes; `None` for signs.
    pub codebooks: Option<Codebooks>,
    /// Fingerprint of the model that made the index.
    pub model: String,
    /// The images that the hash was fitted to, if they are of this index.
    pub fitted: Option<Fitted>,
    /// The numbers in which features are kept; `None` if they are not.
    pub kept: Option<Kept>,
    /// Number of regions of each image that have codes, at most.
    pub regions: usize,
    pub version: u32,
}

/// The images of an index that its hash was fitted to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[non_exhaustive]
pub struct Fitted {
    /// Number of images.
    pub images: usize,
    /// Number of labels that the fit used; 0 if it used none.
    pub labels: usize,
    /// The greatest id of an image then.
    pub last: i64,
}

/// The model that an index belongs to.
#[derive(Debug, Clone, Copy)]
pub(super) struct Owner<'a> {
    pub bits: usize,
    pub fingerprint: &'a str,
    /// The codebooks of a new index.
    pub codebooks: Option<&'a Codebooks>,
}

/// Opens an index for reading.
pub(super) fn to_read(path: &Path) -> Result<Opened, IndexError> {
    if !path.exists() {
        return Err(IndexError::Missing(path.to_owned()));
    }
    not_a_folder(path)?;
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let opened = read_as(path, real(path), flags);
    // Even reading in WAL mode needs a file beside the index. If none can be created and none
    // is left over, nobody writes: the file can be read as it stands.
    match (&opened, unchanging(path)) {
        (Err(IndexError::Database { source, .. }), Some(uri)) if is_read_only(source) => {
            read_as(path, &uri, flags | OpenFlags::SQLITE_OPEN_URI).or(opened)
        }
        _ => opened,
    }
}

/// Opens `name`, which leads to the index at `path`.
fn read_as(path: &Path, name: impl AsRef<Path>, flags: OpenFlags) -> Result<Opened, IndexError> {
    let connection = Connection::open_with_flags(name, flags);
    let connection = connection.map_err(|error| failed(path, error))?;
    connection.busy_timeout(PATIENCE).map_err(|error| failed(path, error))?;
    // One transaction from here on, so that ids, codes and paths fit together.
    connection.execute_batch("BEGIN").map_err(|error| failed(path, error))?;
    check(connection, path)
}

/// Opens an index for writing, and creates it for `owner` if one is given. The caller holds the
/// write lock.
pub(super) fn to_write(path: &Path, owner: Option<Owner<'_>>) -> Result<Opened, IndexError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
        | OpenFlags::SQLITE_OPEN_CREATE
        | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut connection =
        Connection::open_with_flags(real(path), flags).map_err(|error| failed(path, error))?;
    connection.busy_timeout(PATIENCE).map_err(|error| failed(path, error))?;
    // A file that is no database fails here, and again below with a better message.
    if let Some(owner) = owner.filter(|_| is_blank(&connection, path).unwrap_or(false)) {
        create(&mut connection, owner).map_err(|error| failed(path, error))?;
    }
    let mut opened = check(connection, path)?;
    if let Some(owner) = owner {
        opened.about.same_model(path, owner)?;
    }
    if opened.about.version < SIGNS {
        upgrade(&mut opened).map_err(|error| failed(path, error))?;
        opened.about.version = SIGNS;
    }
    for table in [LOOKS, REGIONS] {
        opened.connection.execute_batch(table).map_err(|error| failed(path, error))?;
    }
    Ok(opened)
}

impl About {
    /// Checks that codes of this model can be compared with the index's.
    ///
    /// # Errors
    /// [`IndexError::OtherModel`].
    pub fn same_model(&self, path: &Path, owner: Owner<'_>) -> Result<(), IndexError> {
        if (self.bits, self.model.as_str()) == (owner.bits, owner.fingerprint) {
            return Ok(());
        }
        let short = |fingerprint: &str| fingerprint.chars().take(8).collect();
        Err(IndexError::OtherModel {
            path: path.to_owned(),
            index_bits: self.bits,
            index_model: short(&self.model),
            model_bits: owner.bits,
            model: short(owner.fingerprint),
        })
    }
}

/// Writes the tables, unless another process was faster.
fn create(connection: &mut Connection, owner: Owner<'_>) -> rusqlite::Result<()> {
    connection.pragma_update(None, "journal_mode", "wal")?;
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    if tables(&transaction)? > 0 {
        return Ok(());
    }
    transaction.pragma_update(None, "application_id", APPLICATION)?;
    let version = if owner.codebooks.is_some() { OF_WORDS } else { SIGNS };
    transaction.pragma_update(None, "user_version", version)?;
    transaction.execute_batch(SCHEMA)?;
    transaction.execute_batch(SINCE_2)?;
    transaction.execute_batch(LOOKS)?;
    transaction.execute_batch(REGIONS)?;
    transaction.execute_batch(SINCE_3)?;
    if let Some(codebooks) = owner.codebooks {
        store_words(&transaction, codebooks)?;
    }
    let program = env!("CARGO_PKG_VERSION");
    let meta = [
        ("bits", owner.bits.to_string()),
        ("model", owner.fingerprint.into()),
        ("program", program.into()),
        ("reading", READING.to_string()),
    ];
    for (key, value) in meta {
        transaction.execute("INSERT INTO meta VALUES (?1, ?2)", params![key, value])?;
    }
    transaction.commit()
}

/// Stores the codebooks of an index of words.
pub(super) fn store_words(connection: &Connection, codebooks: &Codebooks) -> rusqlite::Result<()> {
    connection.execute_batch(WORDS)?;
    let words: Vec<u8> = codebooks.words().iter().flat_map(|v| v.to_le_bytes()).collect();
    let sql = "INSERT INTO codebooks VALUES (?1, ?2)";
    connection.execute(sql, params![codebooks.dim() as i64, words]).map(drop)
}

/// Checks that a database is an index that this program reads.
fn check(connection: Connection, path: &Path) -> Result<Opened, IndexError> {
    let about = About::read(&connection, path)?;
    Ok(Opened { connection, about })
}

impl About {
    /// Reads the facts of an index, and checks that it is one.
    pub fn read(connection: &Connection, path: &Path) -> Result<Self, IndexError> {
        let unfit = |reason: Cause| IndexError::Unfit { path: path.to_owned(), reason };
        let odd_bits = |error: Cause| unfit(told("its bit length is damaged", error));
        let pragma = |name| pragma(connection, name).map_err(|error| failed(path, error));
        let application = pragma("application_id")?;
        if application != i64::from(APPLICATION) {
            let blank = is_blank(connection, path).map_err(|error| failed(path, error))?;
            return Err(match pragma("page_count")? {
                _ if blank => IndexError::Empty(path.to_owned()),
                0 => unfit("it is no SQLite file".into()),
                _ => unfit("it was made by another program".into()),
            });
        }
        let version = pragma("user_version")?;
        if version > i64::from(FORMAT) {
            let found = u32::try_from(version).unwrap_or(u32::MAX);
            return Err(IndexError::Newer { path: path.to_owned(), found });
        }
        if version < 1 {
            return Err(unfit("its version is damaged".into()));
        }
        if is_cut_off(connection, path).unwrap_or(false) {
            return Err(unfit("it is cut off; restore it from a copy or make it anew".into()));
        }
        let meta = |key: &str| {
            let sql = "SELECT value FROM meta WHERE key = ?1";
            let value = connection.query_row(sql, [key], |row| row.get::<_, String>(0));
            value.map_err(|error| failed(path, error))
        };
        let bits = meta("bits")?.parse().map_err(|error: ParseIntError| odd_bits(error.into()))?;
        BinaryCodes::new(bits).map_err(|error| odd_bits(error.into()))?;
        let model = meta("model")?;
        let version = u32::try_from(version).unwrap_or_default();
        let has = |table: &str| has_table(connection, table).map_err(|error| failed(path, error));
        let has_words = version == OF_WORDS || (version > OF_WORDS && has("codebooks")?);
        let codebooks = if has_words { Some(codebooks(connection, path, bits)?) } else { None };
        let is_fitted = version == FITTED_HASH || (version > FITTED_HASH && has("fitted")?);
        let fitted = if is_fitted { Some(fitted(connection, path)?) } else { None };
        let kept = kept(connection).map_err(|error| failed(path, error))?;
        let regions = if version > FITTED_HASH { meta("regions")? } else { "0".to_owned() };
        let regions = regions.parse().ok().filter(|regions| *regions <= MOST_REGIONS);
        let regions = regions.ok_or_else(|| unfit("its number of regions is damaged".into()))?;
        Ok(Self { bits, codebooks, model, fitted, kept, regions, version })
    }
}

/// Sets the version to the least one that says what the index has.
pub(super) fn note_version(connection: &Connection) -> rusqlite::Result<()> {
    let sql = "SELECT count(*) FROM meta WHERE key = 'regions'";
    let has_regions = connection.query_row(sql, [], |row| row.get::<_, i64>(0))? > 0;
    let version = if has_regions {
        FORMAT
    } else if has_table(connection, "fitted")? {
        FITTED_HASH
    } else if has_table(connection, "codebooks")? {
        OF_WORDS
    } else {
        SIGNS
    };
    connection.pragma_update(None, "user_version", version)
}

/// Returns the numbers in which an index keeps features, if it does. A key of its own, because
/// earlier versions would take bytes for numbers of half precision.
fn kept(connection: &Connection) -> rusqlite::Result<Option<Kept>> {
    let has = |key: &str| {
        let sql = "SELECT count(*) FROM meta WHERE key = ?1";
        connection.query_row(sql, [key], |row| row.get::<_, i64>(0)).map(|count| count > 0)
    };
    Ok(match (has("features")?, has("kept")?) {
        (true, _) => Some(Kept::Half),
        (false, true) => Some(Kept::Bytes),
        (false, false) => None,
    })
}

/// Reads which images the hash of an index was fitted to.
fn fitted(connection: &Connection, path: &Path) -> Result<Fitted, IndexError> {
    let row = connection.query_row("SELECT images, labels, last FROM fitted", [], |row| {
        let count = |at| row.get::<_, i64>(at).map(|n| usize::try_from(n).unwrap_or_default());
        Ok(Fitted { images: count(0)?, labels: count(1)?, last: row.get(2)? })
    });
    row.map_err(|error| failed(path, error))
}

/// Returns whether a database has a table of this name.
pub(super) fn has_table(connection: &Connection, name: &str) -> rusqlite::Result<bool> {
    let sql = "SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name = ?1";
    let mut statement = connection.prepare_cached(sql)?;
    statement.query_row([name], |row| row.get::<_, i64>(0)).map(|count| count > 0)
}

/// Reads the codebooks of codes with this number of bits.
fn codebooks(connection: &Connection, path: &Path, bits: usize) -> Result<Codebooks, IndexError> {
    let sql = "SELECT dim, words FROM codebooks";
    let row =
        connection.query_row(sql, [], |row| Ok((row.get::<_, i64>(0)?, row.get::<_, Vec<u8>>(1)?)));
    let (dim, bytes) = row.map_err(|error| failed(path, error))?;
    let (numbers, rest) = bytes.as_chunks();
    let words = numbers.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
    let made = Codebooks::new(usize::try_from(dim).unwrap_or_default(), words).ok();
    made.filter(|books| books.bits() == bits && rest.is_empty()).ok_or_else(|| {
        let reason = "its codebooks are damaged; restore it from a copy or make it anew";
        IndexError::Unfit { path: path.to_owned(), reason: reason.into() }
    })
}

/// Distinguishes a damaged file from other failures.
pub(super) fn failed(path: &Path, error: rusqlite::Error) -> IndexError {
    use rusqlite::ErrorCode as Code;
    let path = path.to_owned();
    match error.sqlite_error_code() {
        // Without a code: a value has the wrong type or is missing.
        Some(Code::NotADatabase) => {
            IndexError::Unfit { path, reason: told("it is no SQLite file", error) }
        }
        None | Some(Code::DatabaseCorrupt | Code::TypeMismatch | Code::Unknown) => {
            let text = format!("it is damaged ({error}); restore it from a copy or make it anew");
            IndexError::Unfit { path, reason: told(text, error) }
        }
        Some(_) => IndexError::Database { path, source: error },
    }
}

/// Returns whether there is no index at `path` yet: the file is empty (opening creates it), or a
/// database that never had a table, which an interrupted creation leaves behind.
fn is_blank(connection: &Connection, path: &Path) -> rusqlite::Result<bool> {
    if std::fs::metadata(path).is_ok_and(|meta| meta.len() == 0) {
        return Ok(true);
    }
    // To SQLite, any file of a few bytes is a database without pages.
    let blank = pragma(connection, "page_count")? > 0
        && pragma(connection, "application_id")? == 0
        && pragma(connection, "schema_version")? == 0;
    Ok(blank)
}

/// Returns whether the file ends before its last page, as after an interrupted copy. SQLite only
/// notices when it reads the missing pages.
fn is_cut_off(connection: &Connection, path: &Path) -> rusqlite::Result<bool> {
    let wal = std::fs::metadata(beside(path, "-wal")).map_or(0, |meta| meta.len());
    // While somebody writes, the last pages may be in the other file.
    let Some(there) = std::fs::metadata(path).ok().filter(|_| wal == 0) else { return Ok(false) };
    let needed = pragma(connection, "page_count")? * pragma(connection, "page_size")?;
    Ok(u64::try_from(needed).is_ok_and(|needed| there.len() < needed))
}

pub(super) fn not_a_folder(path: &Path) -> Result<(), IndexError> {
    if path.is_dir() {
        let reason = "it is a folder; name a file".into();
        return Err(IndexError::Unfit { path: path.to_owned(), reason });
    }
    Ok(())
}

/// Returns whether a database is unusable because files cannot be created or written there.
fn is_read_only(error: &rusqlite::Error) -> bool {
    use rusqlite::ErrorCode as Code;
    matches!(error.sqlite_error_code(), Some(Code::CannotOpen | Code::ReadOnly))
}

fn pragma(connection: &Connection, name: &str) -> rusqlite::Result<i64> {
    connection.pragma_query_value(None, name, |row| row.get(0))
}

/// Returns the number of tables and indexes of a database.
fn tables(connection: &Connection) -> rusqlite::Result<i64> {
    connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))
}

/// Returns the URI with which SQLite reads an index without any other file, assuming that nobody
/// changes it; `None` while somebody may.
fn unchanging(path: &Path) -> Option<String> {
    let path = path.canonicalize().ok()?;
    if std::fs::metadata(beside(&path, "-wal")).is_ok_and(|meta| meta.len() > 0) {
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

/// From an earlier format to this one.
fn upgrade(opened: &mut Opened) -> rusqlite::Result<()> {
    let transaction =
        opened.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    if opened.about.version < 2 {
        let sql = "ALTER TABLE roots ADD COLUMN options TEXT NOT NULL DEFAULT '{}'";
        transaction.execute_batch(sql)?;
        transaction.execute_batch(SINCE_2)?;
    }
    transaction.execute_batch(SINCE_3)?;
    transaction.pragma_update(None, "user_version", SIGNS)?;
    transaction.commit()
}
