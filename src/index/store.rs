/*!
What an open index holds: every statement that reads it. `open` has the schema, `write` the
statements that change it.
*/

use std::path::{Path, PathBuf};

use rusqlite::{Connection, OptionalExtension};

use super::lock::WriteLock;
use super::open::failed;
use super::{Filter, IndexError, ScanOptions};
use crate::code::BinaryCodes;
use crate::task::Task;

/// An open index.
#[derive(Debug)]
pub struct Index {
    pub(super) connection: Connection,
    pub(super) path: PathBuf,
    pub(super) bits: usize,
    pub(super) model: String,
    pub(super) version: u32,
    /// Held while the index is open for writing.
    pub(super) lock: Option<WriteLock>,
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
    /// BLAKE3 of its file.
    pub content: blake3::Hash,
}

/// What tells whether a file has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stamp {
    pub size: i64,
    pub modified: i64,
}

/// A row of `images`, as an update needs it.
pub(super) struct KnownImage {
    pub id: i64,
    pub path: String,
    pub stamp: Stamp,
    pub content: blake3::Hash,
    pub label: Option<String>,
    /// Whether its features are kept.
    pub features: bool,
}

/// A folder that is indexed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Root {
    /// Its absolute path.
    pub path: String,
    /// What of it is looked at.
    pub options: ScanOptions,
}

/// A file that could not be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// Where it is.
    pub path: String,
    /// Why, in a sentence that names it.
    pub reason: String,
    pub(super) stamp: Stamp,
}

impl Index {
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

    /// All codes with their images' ids, ascending; the steps of `task` are images.
    ///
    /// # Errors
    /// When the file is damaged or the work is stopped.
    pub fn codes(&self, task: &Task<'_>) -> Result<(Vec<i64>, BinaryCodes), IndexError> {
        let (mut ids, mut codes) = (Vec::new(), BinaryCodes::new(self.bits)?);
        let images = self.len()?;
        let sql = "SELECT ids, codes FROM blocks ORDER BY first";
        let mut statement = self.mine(self.connection.prepare(sql))?;
        let mut rows = self.mine(statement.query([]))?;
        while let Some(row) = self.mine(rows.next())? {
            let (packed_ids, packed) =
                (self.mine(row.get::<_, Vec<u8>>(0))?, self.mine(row.get::<_, Vec<u8>>(1))?);
            let block = BinaryCodes::from_bytes(self.bits, &packed)?;
            let block_ids = unpack_ids(&packed_ids);
            if block_ids.len() != block.len() {
                return Err(self.damaged("a block has more ids than codes, or fewer"));
            }
            ids.extend(block_ids);
            codes.extend(&block)?;
            task.step(ids.len(), images)?;
        }
        if !ids.is_sorted_by(|a, b| a < b) {
            return Err(self.damaged("its ids are not in order"));
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
        let sql = "SELECT path, label, content FROM images WHERE id = ?1";
        let mut statement = self.mine(self.connection.prepare_cached(sql))?;
        let row = statement.query_row([id], |row| {
            let content = blake3::Hash::from_bytes(row.get(2)?);
            Ok(ImageRow { id, path: row.get(0)?, label: row.get(1)?, content })
        });
        self.mine(row)
    }

    /// The image that is indexed at a path.
    ///
    /// # Errors
    /// When the file is damaged.
    pub fn at_path(&self, path: &str) -> Result<Option<ImageRow>, IndexError> {
        let sql = "SELECT id FROM images WHERE path = ?1";
        let id = self.connection.query_row(sql, [path], |row| row.get(0)).optional();
        self.mine(id)?.map(|id| self.image(id)).transpose()
    }

    /// The ids of the images that `filter` lets through, ascending.
    ///
    /// # Errors
    /// When the file is damaged.
    pub fn ids(&self, filter: &Filter) -> Result<Vec<i64>, IndexError> {
        let mut ids = Vec::new();
        self.each_image(|id, path, label| {
            if filter.lets_through(path, label) {
                ids.push(id);
            }
        })?;
        Ok(ids)
    }

    /// Shows `look` the id, path and label of every image, in the order of ids.
    ///
    /// # Errors
    /// When the file is damaged.
    pub fn each_image(
        &self,
        mut look: impl FnMut(i64, &str, Option<&str>),
    ) -> Result<(), IndexError> {
        let sql = "SELECT id, path, label FROM images ORDER BY id";
        let mut statement = self.mine(self.connection.prepare(sql))?;
        let mut rows = self.mine(statement.query([]))?;
        while let Some(row) = self.mine(rows.next())? {
            let path = self.mine(row.get_ref(1).and_then(|v| Ok(v.as_str()?)))?;
            let label = self.mine(row.get_ref(2).and_then(|v| Ok(v.as_str_or_null()?)))?;
            look(self.mine(row.get(0))?, path, label);
        }
        Ok(())
    }

    /// All labels with the number of their images, in their order.
    ///
    /// # Errors
    /// When the file is damaged.
    pub fn labels(&self) -> Result<Vec<(String, usize)>, IndexError> {
        let sql = "SELECT label, count(*) FROM images WHERE label IS NOT NULL GROUP BY label ORDER BY label";
        let mut statement = self.mine(self.connection.prepare(sql))?;
        let rows = statement.query_map([], |row| {
            Ok((row.get(0)?, usize::try_from(row.get::<_, i64>(1)?).unwrap_or_default()))
        });
        self.mine(self.mine(rows)?.collect())
    }

    /// The folders that are indexed, in the order in which they were added.
    ///
    /// # Errors
    /// When the file is damaged.
    pub fn roots(&self) -> Result<Vec<Root>, IndexError> {
        let sql = match self.version {
            1 => "SELECT path, '{}' FROM roots ORDER BY id",
            _ => "SELECT path, options FROM roots ORDER BY id",
        };
        let mut statement = self.mine(self.connection.prepare(sql))?;
        let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get::<_, String>(1)?)));
        let rows: Vec<(String, String)> = self.mine(self.mine(rows)?.collect())?;
        let root = |(path, options): (String, String)| {
            let options = serde_json::from_str(&options)
                .map_err(|error| self.damaged(&format!("the options of {path}: {error}")))?;
            Ok(Root { path, options })
        };
        rows.into_iter().map(root).collect()
    }

    /// The files that could not be used, in the order of their paths.
    ///
    /// # Errors
    /// When the file is damaged.
    pub fn failures(&self) -> Result<Vec<Failure>, IndexError> {
        if self.version < 2 {
            return Ok(Vec::new());
        }
        let sql = "SELECT path, reason, size, modified FROM failures ORDER BY path";
        let mut statement = self.mine(self.connection.prepare(sql))?;
        let rows = statement.query_map([], |row| {
            let stamp = Stamp { size: row.get(2)?, modified: row.get(3)? };
            Ok(Failure { path: row.get(0)?, reason: row.get(1)?, stamp })
        });
        self.mine(self.mine(rows)?.collect())
    }

    /// Where the file of the index's model was when it was last used, if it is not the
    /// built-in one.
    ///
    /// # Errors
    /// When the file is damaged.
    pub fn model_file(&self) -> Result<Option<PathBuf>, IndexError> {
        let sql = "SELECT value FROM meta WHERE key = 'model_file'";
        let path = self.connection.query_row(sql, [], |row| row.get::<_, String>(0));
        self.mine(path.optional()).map(|path| path.map(PathBuf::from))
    }

    /// Whether features are kept of every image.
    ///
    /// # Errors
    /// When the file is damaged.
    pub fn keeps_features(&self) -> Result<bool, IndexError> {
        let sql = "SELECT count(*) FROM meta WHERE key = 'features'";
        let count = self.connection.query_row(sql, [], |row| row.get::<_, i64>(0));
        self.mine(count).map(|count| count > 0)
    }

    /// The kept features of an image, of unit length; `None` when there are none.
    ///
    /// # Errors
    /// When the file is damaged.
    pub fn features(&self, id: i64) -> Result<Option<Vec<f32>>, IndexError> {
        if self.version < 2 {
            return Ok(None);
        }
        let sql = "SELECT numbers FROM features WHERE id = ?1";
        let mut statement = self.mine(self.connection.prepare_cached(sql))?;
        let numbers = statement.query_row([id], |row| row.get::<_, Vec<u8>>(0)).optional();
        let half = |b: &[u8]| half::f16::from_le_bytes([b[0], b[1]]).to_f32();
        Ok(self.mine(numbers)?.map(|bytes| bytes.chunks_exact(2).map(half).collect()))
    }

    /// All images, in the order of their ids.
    pub(super) fn known(&self) -> Result<Vec<KnownImage>, IndexError> {
        let sql = "SELECT images.id, path, size, modified, content, label, features.id IS NOT NULL \
            FROM images LEFT JOIN features ON features.id = images.id ORDER BY images.id";
        let mut statement = self.mine(self.connection.prepare(sql))?;
        let rows = statement.query_map([], |row| {
            Ok(KnownImage {
                id: row.get(0)?,
                path: row.get(1)?,
                stamp: Stamp { size: row.get(2)?, modified: row.get(3)? },
                content: blake3::Hash::from_bytes(row.get(4)?),
                label: row.get(5)?,
                features: row.get(6)?,
            })
        });
        self.mine(self.mine(rows)?.collect())
    }

    /// That the file is damaged, and how.
    pub(super) fn damaged(&self, reason: &str) -> IndexError {
        IndexError::Unfit { path: self.path.clone(), reason: reason.to_owned() }
    }

    pub(super) fn mine<T>(&self, result: rusqlite::Result<T>) -> Result<T, IndexError> {
        result.map_err(|error| failed(&self.path, error))
    }
}

pub(super) fn unpack_ids(bytes: &[u8]) -> impl ExactSizeIterator<Item = i64> + use<'_> {
    bytes
        .chunks_exact(8)
        .map(|b| i64::from_le_bytes([b[0], b[1], b[2], b[3], b[4], b[5], b[6], b[7]]))
}
