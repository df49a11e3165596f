/*!
Fitting the hash of an index to its own images. Codes are computed again from kept features, so no
picture is read for it.
*/

use std::fmt::Debug;
use std::path::Path;

use rusqlite::{Connection, Transaction, TransactionBehavior, params};
use serde::Serialize;

use super::IndexError;
use super::features::Kept;
use super::open::{FITTED, Fitted, failed, note_version, store_words};
use super::store::{Index, unpack_ids};
use super::writer::IndexWriter;
use crate::hash::Hash;
use crate::model::{DataCard, Model, bytes_sharing_trunk};
use crate::task::Task;

/// Images that a hash is fitted to: all of an index, or this many.
const MOST: usize = 20_000;
/// Least number of images that a hash is fitted to by itself.
///
/// mAP of a NumPy prototype, 256 bits by Hamming distance against the cosine of the features, mean
/// of six draws from Grocery's training images of fruit and vegetables, of packages, and of an
/// aviary for development: 25 images 0.747, 0.671 and 0.520 against 0.741, 0.635 and 0.484; 50
/// images 0.688, 0.581 and 0.411 against 0.683, 0.547 and 0.374.
pub const LEAST: usize = 50;
/// A hash is fitted again once the images that are new or gone are this share of those that it was
/// fitted to. New kinds of pictures have bad codes until then.
const SHARE: f64 = 0.25;
/// The name of an index's own model in errors, where others have a path.
pub const OWN_MODEL: &str = "the collection's own model";

/// Fits a hash to images.
pub trait Fitter: Debug + Send + Sync {
    /// Returns a hash for images like those of a sample.
    ///
    /// # Errors
    /// [`IndexError::Fit`] if no hash can be fitted to them, or the work is stopped.
    fn fit(&self, sample: &Sample, task: &Task<'_>) -> Result<Fit, IndexError>;
}

/// Images that a hash is fitted to.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct Sample {
    /// Length of the features of an image.
    pub dim: usize,
    /// The features of all images, one after the other.
    pub features: Vec<f32>,
    /// The label of each image.
    pub labels: Vec<Option<String>>,
}

/// A fitted hash.
#[derive(Debug, Clone)]
pub struct Fit {
    /// The hash.
    pub hash: Hash,
    /// The name of its method.
    pub method: String,
    /// The labels that it was fitted with; none if it was fitted without.
    pub classes: Vec<String>,
}

/// The reason why an index has the hash that it has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum HashState {
    /// A model file was named.
    Named,
    /// The general hash, which is never to be replaced.
    Off,
    /// The general hash, or one that was fitted before many changes: the features that a fit needs
    /// are not kept of every image. An earlier version made the index, or files are out of reach.
    WithoutFeatures,
    /// The general hash: there are fewer images than [`LEAST`].
    Few,
    /// A hash that was fitted to the images of the index.
    Fitted,
    /// A fit is due: there are enough images, or many others than those of the last fit.
    Due,
}

impl Index {
    /// Returns which hash the index has, and why.
    ///
    /// # Errors
    /// If the file is damaged.
    pub fn hash_state(&self) -> Result<HashState, IndexError> {
        if self.fitted().is_none() && self.model() != Model::general_fingerprint() {
            return Ok(HashState::Named);
        }
        if self.is_fit_off()? {
            return Ok(if self.fitted().is_some() { HashState::Fitted } else { HashState::Off });
        }
        let images = self.len()?;
        let due = match self.fitted() {
            None => images >= LEAST,
            Some(Fitted { images: before, last, .. }) => {
                let left = self.count("SELECT count(*) FROM images WHERE id <= ?1", last)?;
                let others = images.saturating_sub(left) + before.saturating_sub(left);
                others as f64 >= SHARE * before as f64 && images >= LEAST
            }
        };
        Ok(match (due, self.fitted()) {
            (false, Some(_)) => HashState::Fitted,
            _ if !self.has_all_features()? => HashState::WithoutFeatures,
            (false, None) => HashState::Few,
            (true, _) => HashState::Due,
        })
    }

    /// Returns whether the features that a fit needs are kept of every image. Those of a file that
    /// is out of reach may never have been computed.
    fn has_all_features(&self) -> Result<bool, IndexError> {
        let sql =
            "SELECT count(*) FROM images WHERE id > ?1 AND id NOT IN (SELECT id FROM features)";
        Ok(self.kept() == Some(Kept::Bytes) && self.count(sql, i64::MIN)? == 0)
    }

    /// Counts rows by a statement with one number.
    fn count(&self, sql: &str, number: i64) -> Result<usize, IndexError> {
        let count = self.connection().query_row(sql, [number], |row| row.get::<_, i64>(0));
        self.mine(count).map(|count| usize::try_from(count).unwrap_or_default())
    }

    /// Returns whether features may be kept from now on without reading pictures for them alone:
    /// there are none yet, or all of them are read `again`.
    pub(super) fn can_begin_to_fit(&self, again: bool) -> Result<bool, IndexError> {
        let lacks = self.hash_state()? == HashState::WithoutFeatures;
        Ok(lacks && (again || self.is_empty()?))
    }

    /// Returns whether the hash is not to be fitted to the images of the index.
    fn is_fit_off(&self) -> Result<bool, IndexError> {
        let sql = "SELECT count(*) FROM meta WHERE key = 'fit' AND value = 'off'";
        let count = self.connection().query_row(sql, [], |row| row.get::<_, i64>(0));
        Ok(self.mine(count)? > 0)
    }

    /// Reads the images that a hash is to be fitted to, at equal distances in the order of ids.
    fn sample(&self, dim: usize) -> Result<Sample, IndexError> {
        let images = self.len()?;
        if self.kept() != Some(Kept::Bytes) {
            return Err(IndexError::NoFeatures(self.path().to_owned()));
        }
        let mut sample = Sample { dim, ..Sample::default() };
        let sql = "SELECT images.id, label, numbers FROM images \
            LEFT JOIN features ON features.id = images.id ORDER BY images.id";
        let mut statement = self.mine(self.connection().prepare(sql))?;
        let mut rows = self.mine(statement.query([]))?;
        let (mut at, taken) = (0, images.min(MOST));
        while let Some(row) = self.mine(rows.next())? {
            let is_taken = at * taken / images != (at + 1) * taken / images;
            at += 1;
            if !is_taken {
                continue;
            }
            let bytes = self.mine(row.get_ref(2).and_then(|v| Ok(v.as_blob_or_null()?)))?;
            sample.features.extend(full(self.path(), bytes, dim)?);
            sample.labels.push(self.mine(row.get(1))?);
        }
        self.sample_regions(&mut sample)?;
        Ok(sample)
    }

    /// Adds regions to a sample, with the labels of their images: at most as many as images can be,
    /// at equal distances.
    fn sample_regions(&self, sample: &mut Sample) -> Result<(), IndexError> {
        if self.regions() == 0 {
            return Ok(());
        }
        let one = Kept::Bytes.stored_len(sample.dim);
        let sql = "SELECT coalesce(sum(length(features)), 0) FROM regions WHERE id > ?1";
        // A damaged row may be shorter than one region.
        let regions = (self.count(sql, i64::MIN)? / one).max(1);
        let sql = "SELECT label, features FROM regions JOIN images ON images.id = regions.id \
            ORDER BY regions.id";
        let mut statement = self.mine(self.connection().prepare(sql))?;
        let mut rows = self.mine(statement.query([]))?;
        let (mut at, taken) = (0, regions.min(MOST));
        while let Some(row) = self.mine(rows.next())? {
            let bytes = self.mine(row.get_ref(1).and_then(|v| Ok(v.as_blob_or_null()?)))?;
            for bytes in bytes.unwrap_or_default().chunks(one) {
                let is_taken = at * taken / regions != (at + 1) * taken / regions;
                at += 1;
                if is_taken {
                    sample.features.extend(full(self.path(), Some(bytes), sample.dim)?);
                    sample.labels.push(self.mine(row.get(0))?);
                }
            }
        }
        Ok(())
    }
}

impl IndexWriter {
    /// Lets later updates fit the hash to the images of the index, or not.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn set_fitting(&mut self, on: bool) -> Result<(), IndexError> {
        let sql = if on {
            "DELETE FROM meta WHERE key = 'fit'"
        } else {
            "INSERT OR REPLACE INTO meta VALUES ('fit', 'off')"
        };
        let done = self.connection().execute(sql, []).map(drop);
        self.mine(done)
    }

    /// Fits the hash to the images of the index, computes all codes again from the kept features,
    /// and stores the new model in the index, all at once or not at all. `model` is the one that
    /// made the index; the new one is returned. The steps of `task` are images.
    ///
    /// # Errors
    /// [`IndexError::OtherModel`]; [`IndexError::NoFeatures`] unless features of every image are
    /// kept; [`IndexError::Fit`] if no hash can be fitted to them; if the file is damaged or cannot
    /// be written, or the work is stopped.
    pub fn refit(
        &mut self,
        model: &Model,
        fitter: &dyn Fitter,
        task: &Task<'_>,
    ) -> Result<Model, IndexError> {
        let index = self.index();
        index.same_model(model.bits(), model.fingerprint())?;
        let dim = model.hash().dim();
        let sample = index.sample(dim)?;
        let Fit { hash, method, classes } = fitter.fit(&sample, task)?;
        let (images, labels) = (index.len()?.min(MOST), classes.len());
        drop(sample);
        let data = DataCard {
            name: "index".to_owned(),
            layout: "index".to_owned(),
            images,
            files: String::new(),
            held_out: Vec::new(),
            split_seed: None,
        };
        let card = model.card().clone().with_hash(&hash).with(|card| {
            (card.method, card.classes, card.data) = (method, classes, data);
            card.figures.clear();
            card.licence.clear();
        });
        let device = model.encoder().device();
        let file = bytes_sharing_trunk(Path::new(OWN_MODEL), &card, &hash, device)?;
        let fitted = Model::from_bytes(Path::new(OWN_MODEL), file.clone(), device)?;
        let last = index.connection().query_row("SELECT max(id) FROM images", [], |row| row.get(0));
        let last = index.mine(last)?;
        let about = Fitted { images: index.len()?, labels, last };
        self.adopt(&fitted, &file, about, task)?;
        Ok(fitted)
    }

    /// Stores the model of a new index in it, whose hash was fitted to `images` images. The index
    /// was created for its fingerprint.
    #[cfg(feature = "engine")]
    pub(crate) fn take_own_model(&mut self, file: &[u8], images: usize) -> Result<(), IndexError> {
        let stored = (|| {
            let behavior = TransactionBehavior::Immediate;
            let transaction = self.connection_mut().transaction_with_behavior(behavior)?;
            store_own(&transaction, file, Fitted { images, labels: 0, last: i64::MAX })?;
            transaction.commit()
        })();
        self.mine(stored)?;
        self.reopen()
    }

    /// Replaces the model of the index and all codes.
    fn adopt(
        &mut self,
        model: &Model,
        file: &[u8],
        about: Fitted,
        task: &Task<'_>,
    ) -> Result<(), IndexError> {
        let path = self.index().path().to_owned();
        let behavior = TransactionBehavior::Immediate;
        let transaction = self.connection_mut().transaction_with_behavior(behavior);
        let transaction = transaction.map_err(|error| failed(&path, error))?;
        encode_again(&transaction, &path, model, about.images, task)?;
        encode_regions_again(&transaction, &path, model)?;
        own(&transaction, model, file, about).map_err(|error| failed(&path, error))?;
        transaction.commit().map_err(|error| failed(&path, error))?;
        self.reopen()
    }
}

/// Reads the features of an image of the index at `path` as the network gave them.
fn full(path: &Path, bytes: Option<&[u8]>, dim: usize) -> Result<Vec<f32>, IndexError> {
    let features = bytes.and_then(|bytes| Kept::Bytes.full(bytes));
    let features = features.ok_or_else(|| IndexError::NoFeatures(path.to_owned()))?;
    if features.len() != dim {
        let reason = "features of an image have another length".into();
        return Err(IndexError::Unfit { path: path.to_owned(), reason });
    }
    Ok(features)
}

/// Computes the codes of all blocks from the kept features.
fn encode_again(
    connection: &Connection,
    path: &Path,
    model: &Model,
    images: usize,
    task: &Task<'_>,
) -> Result<(), IndexError> {
    let mine = |error| failed(path, error);
    let dim = model.hash().dim();
    let sql = "SELECT id FROM blocks ORDER BY first";
    let mut statement = connection.prepare(sql).map_err(mine)?;
    let blocks = statement.query_map([], |row| row.get::<_, i64>(0)).map_err(mine)?;
    let blocks = blocks.collect::<Result<Vec<i64>, _>>().map_err(mine)?;
    let mut numbers =
        connection.prepare("SELECT numbers FROM features WHERE id = ?1").map_err(mine)?;
    let mut done = 0;
    for block in blocks {
        let sql = "SELECT ids FROM blocks WHERE id = ?1";
        let ids = connection.query_row(sql, [block], |row| row.get::<_, Vec<u8>>(0));
        let ids = ids.map_err(mine)?;
        let mut features = Vec::with_capacity(ids.len() / 8 * dim);
        for id in unpack_ids(&ids) {
            let bytes = numbers.query_row([id], |row| row.get::<_, Vec<u8>>(0)).map_err(mine)?;
            features.extend(full(path, Some(&bytes), dim)?);
        }
        let codes = model.codes(&features)?;
        let bytes: Vec<u8> = (0..codes.len()).flat_map(|row| codes.row_bytes(row)).collect();
        let sql = "UPDATE blocks SET codes = ?2 WHERE id = ?1";
        connection.execute(sql, params![block, bytes]).map_err(mine)?;
        done += codes.len();
        task.step(done, images)?;
    }
    Ok(())
}

/// Computes the codes of all regions from the kept features.
fn encode_regions_again(
    connection: &Connection,
    path: &Path,
    model: &Model,
) -> Result<(), IndexError> {
    let mine = |error| failed(path, error);
    let dim = model.hash().dim();
    let mut statement = connection.prepare("SELECT id FROM regions").map_err(mine)?;
    let ids = statement.query_map([], |row| row.get::<_, i64>(0)).map_err(mine)?;
    let sql = "SELECT features FROM regions WHERE id = ?1";
    let mut read = connection.prepare(sql).map_err(mine)?;
    let mut write =
        connection.prepare("UPDATE regions SET codes = ?2 WHERE id = ?1").map_err(mine)?;
    for id in ids.collect::<Result<Vec<_>, _>>().map_err(mine)? {
        let bytes = read.query_row([id], |row| row.get::<_, Option<Vec<u8>>>(0)).map_err(mine)?;
        let bytes = bytes.ok_or_else(|| IndexError::NoFeatures(path.to_owned()))?;
        let mut features = Vec::new();
        for one in bytes.chunks(Kept::Bytes.stored_len(dim)) {
            features.extend(full(path, Some(one), dim)?);
        }
        let codes = model.codes(&features)?;
        let codes: Vec<u8> = (0..codes.len()).flat_map(|row| codes.row_bytes(row)).collect();
        write.execute(params![id, codes]).map_err(mine)?;
    }
    Ok(())
}

/// Stores the model of an index in it.
fn own(
    transaction: &Transaction<'_>,
    model: &Model,
    file: &[u8],
    about: Fitted,
) -> rusqlite::Result<()> {
    transaction.execute_batch("DROP TABLE IF EXISTS codebooks")?;
    if let Some(books) = model.hash().codebooks() {
        store_words(transaction, books)?;
    }
    for (key, value) in
        [("bits", model.bits().to_string()), ("model", model.fingerprint().to_owned())]
    {
        transaction.execute("INSERT OR REPLACE INTO meta VALUES (?1, ?2)", params![key, value])?;
    }
    transaction.execute("DELETE FROM meta WHERE key = 'model_file'", [])?;
    store_own(transaction, file, about)
}

/// Stores the file of the model of an index in it.
fn store_own(transaction: &Transaction<'_>, file: &[u8], about: Fitted) -> rusqlite::Result<()> {
    transaction.execute_batch(FITTED)?;
    transaction.execute("DELETE FROM fitted", [])?;
    let Fitted { images, labels, last } = about;
    let sql = "INSERT INTO fitted (file, images, labels, last) VALUES (?1, ?2, ?3, ?4)";
    transaction.execute(sql, params![file, images as i64, labels as i64, last])?;
    note_version(transaction)
}
