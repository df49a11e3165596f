/*!
An index that is open for reading, and every statement that reads it. `open` has the schema,
`write` the statements that change an index.
*/

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use rusqlite::{Connection, OptionalExtension};

#[cfg(feature = "engine")]
use super::Batch;
use super::features::Kept;
use super::open::{self, About, Fitted, Opened, Owner, failed};
use super::paths::FileStamp;
use super::picture::Picture;
use super::{Filter, IndexError};
use crate::cause::Cause;
use crate::code::{BinaryCodes, Code};
use crate::hash::Codebooks;
use crate::image::{Look, READING};
use crate::task::Task;

/// The first bytes of every SQLite file.
const SQLITE: &[u8; 16] = b"SQLite format 3\0";

/// An index that is open for reading: ids, codes, paths and labels as they were when it was
/// opened, whatever others write meanwhile. It is `Send` but not `Sync`, like its connection.
///
/// [`Collection`](super::Collection) searches an index; this type is for its rows.
#[derive(Debug)]
pub struct Index {
    path: PathBuf,
    opened: Opened,
    /// Taken before the file was opened, so that no change is missed.
    stamp: FileStamp,
}

/// An indexed image.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ImageRow {
    /// Its id.
    pub id: i64,
    /// Its path.
    pub path: String,
    /// Its label, if it has one.
    pub label: Option<String>,
    /// BLAKE3 of its file.
    pub content: blake3::Hash,
}

impl Index {
    /// Opens an index for reading; nothing is ever written. It shows the state at the time of
    /// opening, whatever others write meanwhile. (One exception: if this user cannot create a file
    /// beside the index, it is assumed that nobody changes it.)
    ///
    /// # Errors
    /// If the file is missing, is not an index, or has a later version.
    pub fn open(path: &Path) -> Result<Self, IndexError> {
        let stamp = FileStamp::of(path);
        Ok(Self { path: path.to_owned(), opened: open::to_read(path)?, stamp })
    }

    /// Returns whether the file at `path` seems to be an index, by its first bytes.
    pub fn is_at(path: &Path) -> bool {
        let mut begin = [0; SQLITE.len()];
        File::open(path).and_then(|mut file| file.read_exact(&mut begin)).is_ok()
            && begin == *SQLITE
    }

    /// The reading side of an index that is open for writing.
    pub(super) fn of_writer(path: &Path, opened: Opened) -> Self {
        Self { path: path.to_owned(), opened, stamp: FileStamp::of(path) }
    }

    /// Returns whether the file has not changed since it was opened.
    pub fn is_current(&self) -> bool {
        FileStamp::of(&self.path) == self.stamp
    }

    /// Checks that codes of this model can be compared with the index's.
    ///
    /// # Errors
    /// [`IndexError::OtherModel`].
    pub fn same_model(&self, bits: usize, fingerprint: &str) -> Result<(), IndexError> {
        self.opened.about.same_model(&self.path, Owner { bits, fingerprint, codebooks: None })
    }

    /// Path of the index.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Fingerprint of the model that made the index.
    pub fn model(&self) -> &str {
        &self.opened.about.model
    }

    /// Bits per code.
    pub fn bits(&self) -> usize {
        self.opened.about.bits
    }

    /// The codebooks whose words are the codes; `None` if codes are signs.
    pub fn codebooks(&self) -> Option<&Codebooks> {
        self.opened.about.codebooks.as_ref()
    }

    /// Format of the file.
    pub(super) fn version(&self) -> u32 {
        self.opened.about.version
    }

    pub(super) fn connection(&self) -> &Connection {
        &self.opened.connection
    }

    pub(super) fn connection_mut(&mut self) -> &mut Connection {
        &mut self.opened.connection
    }

    /// Reads the facts of the index again, after a change of them.
    pub(super) fn reopen(&mut self) -> Result<(), IndexError> {
        self.opened.about = About::read(&self.opened.connection, &self.path)?;
        Ok(())
    }

    pub(super) fn into_connection(self) -> Connection {
        self.opened.connection
    }

    /// Number of images.
    ///
    /// # Errors
    /// If the file is damaged.
    pub fn len(&self) -> Result<usize, IndexError> {
        let sql = "SELECT count(*) FROM images";
        let count = self.connection().query_row(sql, [], |row| row.get::<_, i64>(0));
        self.mine(count).map(|count| usize::try_from(count).unwrap_or_default())
    }

    /// Returns whether there are no images.
    ///
    /// # Errors
    /// If the file is damaged.
    pub fn is_empty(&self) -> Result<bool, IndexError> {
        Ok(self.len()? == 0)
    }

    /// Returns the ids of all images, ascending, and their codes; the steps of `task` are images.
    ///
    /// # Errors
    /// If the file is damaged or the work is stopped.
    pub fn codes(&self, task: &Task<'_>) -> Result<(Vec<i64>, BinaryCodes), IndexError> {
        let (mut ids, mut codes) = (Vec::new(), BinaryCodes::new(self.bits())?);
        let images = self.len()?;
        let sql = "SELECT ids, codes FROM blocks ORDER BY first";
        let mut statement = self.mine(self.connection().prepare(sql))?;
        let mut rows = self.mine(statement.query([]))?;
        while let Some(row) = self.mine(rows.next())? {
            let (packed_ids, packed) =
                (self.mine(row.get::<_, Vec<u8>>(0))?, self.mine(row.get::<_, Vec<u8>>(1))?);
            let block = BinaryCodes::from_bytes(self.bits(), &packed)?;
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

    /// Returns the ids of all images with this content, ascending.
    ///
    /// # Errors
    /// If the file is damaged.
    pub fn with_content(&self, content: &blake3::Hash) -> Result<Vec<i64>, IndexError> {
        let sql = "SELECT id FROM images WHERE content = ?1 ORDER BY id";
        let mut statement = self.mine(self.connection().prepare_cached(sql))?;
        let rows = self.mine(statement.query_map([content.as_bytes()], |row| row.get(0)))?;
        self.mine(rows.collect())
    }

    /// Returns the stored code of an image.
    ///
    /// # Errors
    /// [`IndexError::NoSuchImage`], or if the file is damaged.
    pub fn code(&self, id: i64) -> Result<Code, IndexError> {
        let Some(bytes) = self.code_bytes(id)? else {
            self.image(id)?;
            return Err(self.damaged(format!("image {id} has no code")));
        };
        Ok(Code::from_bytes(self.bits(), &bytes)?)
    }

    fn code_bytes(&self, id: i64) -> Result<Option<Vec<u8>>, IndexError> {
        let sql = "SELECT ids, codes FROM blocks WHERE first <= ?1 ORDER BY first DESC LIMIT 1";
        let block = self
            .connection()
            .query_row(sql, [id], |row| Ok((row.get::<_, Vec<u8>>(0)?, row.get::<_, Vec<u8>>(1)?)));
        let Some((ids, codes)) = self.mine(block.optional())? else { return Ok(None) };
        let row = self.bits().div_ceil(8);
        let place = unpack_ids(&ids).position(|stored| stored == id);
        Ok(place.and_then(|at| codes.get(at * row..(at + 1) * row)).map(<[u8]>::to_vec))
    }

    /// Returns the row of an image.
    ///
    /// # Errors
    /// [`IndexError::NoSuchImage`], or if the file is damaged.
    pub fn image(&self, id: i64) -> Result<ImageRow, IndexError> {
        let sql = "SELECT path, label, content FROM images WHERE id = ?1";
        let mut statement = self.mine(self.connection().prepare_cached(sql))?;
        let row = statement.query_row([id], |row| {
            let content = blake3::Hash::from_bytes(row.get(2)?);
            Ok(ImageRow { id, path: row.get(0)?, label: row.get(1)?, content })
        });
        self.mine(row.optional())?.ok_or(IndexError::NoSuchImage(id))
    }

    /// Returns the image that is indexed at a path.
    ///
    /// # Errors
    /// If the file is damaged.
    pub fn at_path(&self, path: &str) -> Result<Option<ImageRow>, IndexError> {
        let sql = "SELECT id FROM images WHERE path = ?1";
        let id = self.connection().query_row(sql, [path], |row| row.get(0)).optional();
        self.mine(id)?.map(|id| self.image(id)).transpose()
    }

    /// Returns the ids of the images that `filter` lets through, ascending. Reads all rows.
    ///
    /// # Errors
    /// If the file is damaged.
    pub fn ids(&self, filter: &Filter) -> Result<Vec<i64>, IndexError> {
        let mut ids = Vec::new();
        self.each_image(|id, path, label| {
            if filter.lets_through(path, label) {
                ids.push(id);
            }
        })?;
        Ok(ids)
    }

    /// Calls `look` with the id, path and label of every image, in the order of ids.
    ///
    /// # Errors
    /// If the file is damaged.
    pub fn each_image(
        &self,
        mut look: impl FnMut(i64, &str, Option<&str>),
    ) -> Result<(), IndexError> {
        let sql = "SELECT id, path, label FROM images ORDER BY id";
        let mut statement = self.mine(self.connection().prepare(sql))?;
        let mut rows = self.mine(statement.query([]))?;
        while let Some(row) = self.mine(rows.next())? {
            let path = self.mine(row.get_ref(1).and_then(|v| Ok(v.as_str()?)))?;
            let label = self.mine(row.get_ref(2).and_then(|v| Ok(v.as_str_or_null()?)))?;
            look(self.mine(row.get(0))?, path, label);
        }
        Ok(())
    }

    /// Returns all images that have a label, in the order of ids.
    ///
    /// # Errors
    /// If the file is damaged.
    pub fn labelled(&self) -> Result<Vec<ImageRow>, IndexError> {
        let sql = "SELECT id, path, label, content FROM images WHERE label IS NOT NULL ORDER BY id";
        let mut statement = self.mine(self.connection().prepare(sql))?;
        let rows = statement.query_map([], |row| {
            let content = blake3::Hash::from_bytes(row.get(3)?);
            Ok(ImageRow { id: row.get(0)?, path: row.get(1)?, label: row.get(2)?, content })
        });
        self.mine(self.mine(rows)?.collect())
    }

    /// Returns all labels in order, with the number of their images.
    ///
    /// # Errors
    /// If the file is damaged.
    pub fn labels(&self) -> Result<Vec<(String, usize)>, IndexError> {
        let sql = "SELECT label, count(*) FROM images WHERE label IS NOT NULL GROUP BY label ORDER BY label";
        let mut statement = self.mine(self.connection().prepare(sql))?;
        let rows = statement.query_map([], |row| {
            Ok((row.get(0)?, usize::try_from(row.get::<_, i64>(1)?).unwrap_or_default()))
        });
        self.mine(self.mine(rows)?.collect())
    }

    /// Returns the path of the model's file when it was last used; `None` for the built-in model.
    ///
    /// # Errors
    /// If the file is damaged.
    pub fn model_file(&self) -> Result<Option<PathBuf>, IndexError> {
        let sql = "SELECT value FROM meta WHERE key = 'model_file'";
        let path = self.connection().query_row(sql, [], |row| row.get::<_, String>(0));
        self.mine(path.optional()).map(|path| path.map(PathBuf::from))
    }

    /// Returns whether all images were read in the present way, [`READING`]. If not, some may have
    /// codes of other pictures than this program sees in their files.
    ///
    /// # Errors
    /// If the file is damaged.
    pub fn is_read_as_now(&self) -> Result<bool, IndexError> {
        let sql = "SELECT value FROM meta WHERE key = 'reading'";
        let value = self.connection().query_row(sql, [], |row| row.get::<_, String>(0)).optional();
        Ok(self.mine(value)?.is_some_and(|value| value == READING.to_string()))
    }

    /// Number of regions of each image that have codes of their own, at most; 0 for none.
    pub fn regions(&self) -> usize {
        self.opened.about.regions
    }

    /// Returns whether features are kept of every image.
    pub fn keeps_features(&self) -> bool {
        self.opened.about.kept.is_some()
    }

    /// The numbers in which features are kept; `None` if they are not.
    pub(super) fn kept(&self) -> Option<Kept> {
        self.opened.about.kept
    }

    /// Returns the kept features of an image, of unit length, if there are any.
    ///
    /// # Errors
    /// If the file is damaged.
    pub fn features(&self, id: i64) -> Result<Option<Vec<f32>>, IndexError> {
        let Some(kept) = self.kept() else { return Ok(None) };
        Ok(self.feature_bytes(id)?.map(|bytes| kept.unit(&bytes)))
    }

    /// Returns the kept features of an image as they are stored.
    pub(super) fn feature_bytes(&self, id: i64) -> Result<Option<Vec<u8>>, IndexError> {
        if self.opened.about.version < 2 {
            return Ok(None);
        }
        let sql = "SELECT numbers FROM features WHERE id = ?1";
        let mut statement = self.mine(self.connection().prepare_cached(sql))?;
        self.mine(statement.query_row([id], |row| row.get(0)).optional())
    }

    /// The images that the hash was fitted to, if they are of this index.
    pub fn fitted(&self) -> Option<Fitted> {
        self.opened.about.fitted
    }

    /// Returns the bytes of the model in the index, a whole model file, if its hash was fitted to
    /// images of the index.
    ///
    /// # Errors
    /// If the file is damaged.
    pub fn own_model(&self) -> Result<Option<Vec<u8>>, IndexError> {
        if self.opened.about.fitted.is_none() {
            return Ok(None);
        }
        let file = self.connection().query_row("SELECT file FROM fitted", [], |row| row.get(0));
        self.mine(file).map(Some)
    }

    /// Returns the size and look of the picture with this content, if they are kept.
    pub(super) fn picture(&self, content: &blake3::Hash) -> Result<Option<Picture>, IndexError> {
        // An index that was not written to since has none.
        if !self.mine(open::has_table(self.connection(), "looks"))? {
            return Ok(None);
        }
        let sql = "SELECT width, height, look FROM looks WHERE content = ?1";
        let mut statement = self.mine(self.connection().prepare_cached(sql))?;
        let row = statement.query_row([content.as_bytes()], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get::<_, Vec<u8>>(2)?))
        });
        let Some((width, height, bytes)) = self.mine(row.optional())? else { return Ok(None) };
        Ok(Look::from_bytes(&bytes).map(|look| Picture { width, height, look }))
    }

    /// Returns the block of codes after the image `last`, with its images.
    #[cfg(feature = "engine")]
    pub(crate) fn block_after(&self, last: i64) -> Result<Option<Batch>, IndexError> {
        let sql = "SELECT ids, codes FROM blocks WHERE first > ?1 ORDER BY first LIMIT 1";
        let mut statement = self.mine(self.connection().prepare_cached(sql))?;
        let row = statement
            .query_row([last], |row| Ok((row.get::<_, Vec<u8>>(0)?, row.get::<_, Vec<u8>>(1)?)));
        let Some((ids, codes)) = self.mine(row.optional())? else { return Ok(None) };
        let codes = BinaryCodes::from_bytes(self.bits(), &codes)?;
        let ids = unpack_ids(&ids).collect();
        let mut batch = Batch { ids, codes, ..Batch::new(self.bits())? };
        let (Some(first), Some(last)) = (batch.ids.first(), batch.ids.last()) else {
            return Err(self.damaged("a block is empty"));
        };
        let sql =
            "SELECT id, path, label, content FROM images WHERE id BETWEEN ?1 AND ?2 ORDER BY id";
        let mut statement = self.mine(self.connection().prepare_cached(sql))?;
        let mut rows = self.mine(statement.query([first, last]))?;
        let mut found = Vec::with_capacity(batch.len());
        while let Some(row) = self.mine(rows.next())? {
            found.push(self.mine(row.get::<_, i64>(0))?);
            batch.paths.push(self.mine(row.get(1))?);
            batch.labels.push(self.mine(row.get(2))?);
            batch.contents.push(self.mine(row.get(3))?);
        }
        if found != batch.ids || batch.codes.len() != batch.ids.len() {
            return Err(self.damaged("its images and its codes are not the same"));
        }
        Ok(Some(batch))
    }

    /// The error of a damaged file.
    pub(super) fn damaged(&self, reason: impl Into<Cause>) -> IndexError {
        IndexError::Unfit { path: self.path.clone(), reason: reason.into() }
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
