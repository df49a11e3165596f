/*!
The entry point: an index, the model that made it and the codes in memory.
*/

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use ::image::RgbImage;

use super::groups::{DuplicateOptions, Duplicates};
use super::query::{QueryImage, QueryOptions};
use super::refit::{Fitter, HashState};
use super::report::Update;
use super::search::{Hit, Search};
use super::snapshot::Snapshot;
use super::vote::{Reach, Vote};
use super::writer::IndexWriter;
use super::{ImageRow, Index, IndexError, UpdateOptions};
use crate::code::Code;
use crate::device::Device;
use crate::image::Limits;
use crate::model::Model;
use crate::task::Task;

/// A collection of images to search: an index, the model that made it, and all codes in memory
/// or on the GPU. Any number of threads may use it at once (`Send + Sync`); keep it for many
/// searches.
///
/// Every search answers from one [`Snapshot`]: ids, codes, paths and labels that were read
/// together. [`Collection::is_current`] tells whether the index has changed since, and
/// [`Collection::reload`] reads it again; until the new state is complete, searches are answered
/// from the old one.
///
/// ```
/// # #[cfg(feature = "model")]
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use barbule::device::{Device, DeviceChoice};
/// use barbule::index::{Collection, Search, UpdateOptions};
/// use barbule::{model::Model, task::Task};
/// # let folder = tempfile::tempdir()?;
/// # let (photos, path) = (folder.path().join("photos"), folder.path().join("photos.db"));
/// # std::fs::create_dir(&photos)?;
/// # for (name, colour) in [("red.png", [200, 30, 20]), ("blue.png", [20, 40, 190])] {
/// #     ::image::RgbImage::from_fn(64, 64, |x, y| ::image::Rgb(colour.map(|c| c + ((x * y) % 50) as u8)))
/// #         .save(photos.join(name))?;
/// # }
///
/// let device = Device::open(DeviceChoice::Cpu, None)?;
/// let collection = Collection::open_or_create(&path, Model::general(&device)?, &device)?;
/// collection.update(&[photos.clone()], &UpdateOptions::default(), &Task::unwatched())?;
/// assert_eq!(collection.len(), 2);
///
/// // An indexed image comes first and is marked.
/// let hits = collection.search_file(&photos.join("red.png"), 10)?;
/// assert!(hits[0].same && hits[0].path.ends_with("red.png"));
///
/// // A search can be narrowed.
/// let code = collection.code(hits[0].id)?;
/// let near = collection.search(&Search::nearest(&code, 10).within(0))?;
/// assert_eq!(near[0].id, hits[0].id);
/// # Ok(())
/// # }
/// # #[cfg(not(feature = "model"))]
/// # fn main() {}
/// ```
#[derive(Debug)]
pub struct Collection {
    path: PathBuf,
    device: Device,
    limits: Limits,
    snapshot: RwLock<Arc<Snapshot>>,
    reloading: Mutex<()>,
    updating: Mutex<()>,
    expect_many: AtomicBool,
}

impl Collection {
    /// Opens an index and the model that made it: the built-in general one, or the model file
    /// that is stored in the index.
    ///
    /// # Errors
    /// As [`Index::open`]; [`IndexError::NoModel`] if the model's file is missing.
    pub fn open(path: &Path, device: &Device) -> Result<Self, IndexError> {
        let collection = Self::open_lazily(path, device)?;
        collection.model()?;
        Ok(collection)
    }

    /// Opens an index without its model. Searches by ids, codes and indexed images need none;
    /// others open it.
    ///
    /// # Errors
    /// As [`Index::open`].
    pub fn open_lazily(path: &Path, device: &Device) -> Result<Self, IndexError> {
        Self::load(Index::open(path)?, device, &Task::unwatched())
    }

    /// Opens an index with this model, which must be the one that made it.
    ///
    /// # Errors
    /// As [`Index::open`]; [`IndexError::OtherModel`].
    pub fn with_model(
        path: &Path,
        model: impl Into<Arc<Model>>,
        device: &Device,
    ) -> Result<Self, IndexError> {
        let (index, model) = (Index::open(path)?, model.into());
        // Before the codes, which take longer to read.
        index.same_model(model.bits(), model.fingerprint())?;
        Self::load(index, device, &Task::unwatched())?.using(model)
    }

    /// Opens an index with this model, and creates an empty one if it is missing. In place of the
    /// general model, an index whose hash was fitted to its images has its own.
    ///
    /// # Errors
    /// As [`IndexWriter::open`].
    pub fn open_or_create(
        path: &Path,
        model: impl Into<Arc<Model>>,
        device: &Device,
    ) -> Result<Self, IndexError> {
        let model = model.into();
        match Index::open(path) {
            Ok(index)
                if index.fitted().is_some()
                    && model.fingerprint() == Model::general_fingerprint() =>
            {
                return Self::load(index, device, &Task::unwatched());
            }
            Ok(index) => index.same_model(model.bits(), model.fingerprint())?,
            // Missing, or an empty file.
            Err(_) => drop(IndexWriter::open(path, &model)?),
        }
        Self::with_model(path, model, device)
    }

    /// Reads all codes of an open index; its model is opened when it is needed. The steps of
    /// `task` are images: a hundred million codes take seconds.
    ///
    /// # Errors
    /// If the index is damaged or the work is stopped.
    pub fn load(index: Index, device: &Device, task: &Task<'_>) -> Result<Self, IndexError> {
        let path = index.path().to_owned();
        let snapshot = Snapshot::load(index, device, task)?;
        Ok(Self {
            path,
            device: device.clone(),
            limits: Limits::default(),
            snapshot: RwLock::new(Arc::new(snapshot)),
            reloading: Mutex::default(),
            updating: Mutex::default(),
            expect_many: AtomicBool::new(false),
        })
    }

    /// Uses this model, which must be the one that made the index.
    ///
    /// # Errors
    /// [`IndexError::OtherModel`].
    pub fn using(self, model: impl Into<Arc<Model>>) -> Result<Self, IndexError> {
        let (snapshot, model) = (self.snapshot(), model.into());
        snapshot.index().same_model(model.bits(), model.fingerprint())?;
        snapshot.use_model(model);
        Ok(self)
    }

    /// Refuses larger images to search for.
    pub fn limited(self, limits: Limits) -> Self {
        Self { limits, ..self }
    }

    /// Prepares this and all later states for many searches: see [`Snapshot::expect_many`].
    ///
    /// # Errors
    /// If the index is damaged.
    pub fn expect_many(&self) -> Result<(), IndexError> {
        self.expect_many.store(true, Ordering::Relaxed);
        self.snapshot().expect_many()
    }

    /// Path of the index.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Bits per code.
    pub fn bits(&self) -> usize {
        self.snapshot().bits()
    }

    /// Fingerprint of the model that made the index.
    pub fn fingerprint(&self) -> String {
        self.snapshot().fingerprint().to_owned()
    }

    /// The device that ranks and encodes.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// The model that made the index, opened now if it was not needed before. It changes if the
    /// hash is fitted to the images of the index anew: [`Snapshot::model`] is the one that belongs
    /// to the codes of a snapshot.
    ///
    /// # Errors
    /// [`IndexError::NoModel`] if its file is missing.
    pub fn model(&self) -> Result<Arc<Model>, IndexError> {
        self.snapshot().shared_model()
    }

    /// Returns whether the model is open.
    pub fn has_model(&self) -> bool {
        self.snapshot().has_model()
    }

    /// The state that searches are answered from. Keep it for several queries that must see the
    /// same state.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.snapshot.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Returns whether the index file is still as it was read.
    pub fn is_current(&self) -> bool {
        self.snapshot().is_current()
    }

    /// Reads the index again. Searches are answered from the old state until the new one is
    /// complete, and go on with the old one if this fails; both are in memory meanwhile.
    ///
    /// # Errors
    /// As [`Index::open`]; [`IndexError::OtherModel`] if the file was replaced by one of another
    /// model, which was not fitted to the images of the index.
    pub fn reload(&self) -> Result<(), IndexError> {
        let _one = lock(&self.reloading);
        let index = Index::open(&self.path)?;
        let before = self.snapshot();
        before.goes_on_in(&index)?;
        let snapshot = Snapshot::load(index, &self.device, &Task::unwatched())?;
        if snapshot.fingerprint() == before.fingerprint()
            && let Some(model) = before.open_model()
        {
            snapshot.use_model(model);
        }
        if self.expect_many.load(Ordering::Relaxed) {
            snapshot.expect_many()?;
        }
        *self.snapshot.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(snapshot);
        Ok(())
    }

    /// Brings the index up to date with folders, as [`IndexWriter::update`], and reloads it. The
    /// index is open for writing only meanwhile; other threads can search, and a second update
    /// waits.
    ///
    /// # Errors
    /// As [`IndexWriter::open`], [`IndexWriter::update`] and [`Collection::reload`]. After a
    /// failure the batches before it are in the index and can be searched.
    pub fn update(
        &self,
        folders: &[PathBuf],
        options: &UpdateOptions,
        task: &Task<'_>,
    ) -> Result<Update, IndexError> {
        let _one = lock(&self.updating);
        let model = self.model()?;
        let mut writer = IndexWriter::open(&self.path, &model)?;
        let updated = writer.update(&model, folders, options, task);
        drop(writer);
        let reloaded = self.reload();
        let report = updated?;
        reloaded?;
        Ok(report)
    }

    /// Fits the hash to the images of the index if that is due ([`HashState::Due`]), as
    /// [`IndexWriter::refit`], and reloads it. Returns whether it was.
    ///
    /// # Errors
    /// As [`IndexWriter::open`], [`IndexWriter::refit`] and [`Collection::reload`].
    pub fn fit(&self, fitter: &dyn Fitter, task: &Task<'_>) -> Result<bool, IndexError> {
        let _one = lock(&self.updating);
        let model = self.model()?;
        let mut writer = IndexWriter::open(&self.path, &model)?;
        let due = writer.index().hash_state()? == HashState::Due;
        if due {
            writer.refit(&model, fitter, task)?;
            drop(writer);
            self.reload()?;
        }
        Ok(due)
    }

    /// Gives images a label, or removes their labels, as [`IndexWriter::set_labels`], and reloads
    /// the index.
    ///
    /// # Errors
    /// As [`IndexWriter::open_existing`], [`IndexWriter::set_labels`] and [`Collection::reload`].
    /// Nothing is changed if an id is unknown or the label cannot be used.
    pub fn set_labels<'a>(
        &self,
        ids: &[i64],
        label: Option<&'a str>,
    ) -> Result<Option<&'a str>, IndexError> {
        let _one = lock(&self.updating);
        let mut writer = IndexWriter::open_existing(&self.path)?;
        self.snapshot().goes_on_in(writer.index())?;
        let label = writer.set_labels(ids, label)?;
        drop(writer);
        self.reload()?;
        Ok(label)
    }

    /// Number of images.
    pub fn len(&self) -> usize {
        self.snapshot().len()
    }

    /// Returns whether there are no images.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns the row of an image.
    ///
    /// # Errors
    /// [`IndexError::NoSuchImage`], or if the index is damaged.
    pub fn image(&self, id: i64) -> Result<ImageRow, IndexError> {
        self.snapshot().image(id)
    }

    /// Returns the code of an image.
    ///
    /// # Errors
    /// [`IndexError::NoSuchImage`], or if the index is damaged.
    pub fn code(&self, id: i64) -> Result<Code, IndexError> {
        self.snapshot().code(id)
    }

    /// Returns the hits of a search in its [`Order`](super::Order): without another, nearest first,
    /// and at the same distance the image that was indexed first.
    ///
    /// # Errors
    /// See [`Snapshot::search`].
    pub fn search(&self, search: &Search) -> Result<Vec<Hit>, IndexError> {
        self.snapshot().search(search)
    }

    /// Returns the `k` images nearest to an image file, as [`Collection::search`] by its code. If
    /// its content is indexed, nothing is decoded, and its images come first and are marked.
    ///
    /// A search of [`QueryImage::nearest`] for [`Collection::query_file`] with values
    /// ([`QueryOptions::with_values`]) has a finer order, and computes the values of an indexed
    /// image.
    ///
    /// # Errors
    /// If the file cannot be read or decoded, the model is needed and missing, or the index is
    /// damaged.
    pub fn search_file(&self, path: &Path, k: usize) -> Result<Vec<Hit>, IndexError> {
        let (snapshot, options) = (self.snapshot(), self.codes_only());
        let query = QueryImage::of_file(path, &*snapshot, &options, || snapshot.model())?;
        snapshot.search(&query.nearest(k))
    }

    /// Returns the `k` images nearest to the bytes of an image file, as
    /// [`Collection::search_file`].
    ///
    /// # Errors
    /// See [`Collection::search_file`].
    pub fn search_bytes(&self, bytes: &[u8], k: usize) -> Result<Vec<Hit>, IndexError> {
        let (snapshot, options) = (self.snapshot(), self.codes_only());
        let query = QueryImage::of_bytes(bytes, &*snapshot, &options, || snapshot.model())?;
        snapshot.search(&query.nearest(k))
    }

    /// Returns the `k` images nearest to decoded pixels.
    ///
    /// # Errors
    /// If the model is missing, the device fails, or the index is damaged.
    pub fn search_image(&self, picture: &RgbImage, k: usize) -> Result<Vec<Hit>, IndexError> {
        let snapshot = self.snapshot();
        let query = QueryImage::of_picture(picture, snapshot.model()?, &self.codes_only())?;
        snapshot.search(&query.nearest(k))
    }

    /// Returns the `k` images nearest to an image of the index, which comes first and is marked.
    ///
    /// # Errors
    /// [`IndexError::NoSuchImage`], or if the index is damaged.
    pub fn search_id(&self, id: i64, k: usize) -> Result<Vec<Hit>, IndexError> {
        self.snapshot().search_id(id, k)
    }

    /// Returns the `k` images nearest to a code.
    ///
    /// # Errors
    /// If the code lengths differ, or the index is damaged.
    pub fn search_code(&self, code: &Code, k: usize) -> Result<Vec<Hit>, IndexError> {
        self.search(&Search::nearest(code, k))
    }

    fn codes_only(&self) -> QueryOptions {
        QueryOptions::default().with_limits(self.limits)
    }

    /// Turns an image file into a query: see [`QueryImage::of_file`]. The limits are those of the
    /// collection.
    ///
    /// # Errors
    /// If the file cannot be read or decoded, the model is needed and missing, or the index is
    /// damaged.
    pub fn query_file(
        &self,
        path: &Path,
        options: &QueryOptions,
    ) -> Result<QueryImage, IndexError> {
        let (snapshot, options) = (self.snapshot(), options.with_limits(self.limits));
        QueryImage::of_file(path, &*snapshot, &options, || snapshot.model())
    }

    /// Turns the bytes of an image file into a query, as [`Collection::query_file`].
    ///
    /// # Errors
    /// See [`Collection::query_file`].
    pub fn query_bytes(
        &self,
        bytes: &[u8],
        options: &QueryOptions,
    ) -> Result<QueryImage, IndexError> {
        let (snapshot, options) = (self.snapshot(), options.with_limits(self.limits));
        QueryImage::of_bytes(bytes, &*snapshot, &options, || snapshot.model())
    }

    /// Lets the `k` nearest labelled images within `radius` vote on the label of an image.
    ///
    /// # Errors
    /// See [`Snapshot::vote`].
    pub fn label(&self, query: &QueryImage, k: usize, radius: u32) -> Result<Vote, IndexError> {
        self.snapshot().vote(&query.code, query.content.as_ref(), k, radius)
    }

    /// Measures a radius for [`Collection::label`]; see [`Snapshot::reach`].
    ///
    /// # Errors
    /// See [`Snapshot::reach`].
    pub fn reach(&self, k: usize) -> Result<Option<Reach>, IndexError> {
        self.snapshot().reach(k)
    }

    /// Returns groups of images that are nearly the same; see [`Snapshot::duplicates`].
    ///
    /// # Errors
    /// See [`Snapshot::duplicates`].
    pub fn duplicates(
        &self,
        options: &DuplicateOptions,
        task: &Task<'_>,
    ) -> Result<Duplicates, IndexError> {
        self.snapshot().duplicates(options, task)
    }
}

/// The mutexes guard no data that a panic could leave half changed.
fn lock(mutex: &Mutex<()>) -> MutexGuard<'_, ()> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Compiles only if threads may share a collection and its states.
const _: () = {
    const fn shared<T: Send + Sync>() {}
    shared::<Collection>();
    shared::<Snapshot>();
};
