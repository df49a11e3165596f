/*!
The state of the application: the collection, what is computed of it, and who may change it.
*/

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::options::Options;
use super::pictures::Pictures;
use super::problem::Problem;
use super::semaphore::Semaphore;
use super::work::Worker;
use crate::device::Device;
use crate::image::Limits;
use crate::index::{Collection, IndexError, Snapshot};
use crate::model::Model;

/// Maximum number of uploads that are decoded and encoded at the same time.
const UPLOADS: usize = 2;
/// Minimum time between two checks whether the index has changed.
const LOOK: Duration = Duration::from_secs(1);

/// The reason why clients may not change the index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Closed {
    /// It was asked for.
    ReadOnly,
    /// Other machines reach the server.
    Exposed,
}

/// The state of the application.
#[derive(Debug)]
pub struct App {
    pub collection: Arc<Collection>,
    pub limits: Limits,
    /// Held while near duplicates are searched for, which uses all cores itself.
    pub comparing: Mutex<()>,
    /// Held while attention is computed, which uses all cores itself.
    pub explaining: Mutex<()>,
    pub pictures: Pictures,
    pub uploads: Semaphore,
    /// Indexes folders in the background.
    pub worker: Worker,
    /// The reason for which clients may not change the index, if there is one.
    closed: Option<Closed>,
    /// The earliest moment at which to check again whether the index has changed.
    next_look: Mutex<Instant>,
    /// The error of the last reload, if it failed.
    trouble: Mutex<Option<String>>,
}

impl App {
    pub fn new(options: Options, device: Device, model: Model) -> Result<Self, IndexError> {
        let Options { index, address, limits, read_only, fitter } = options;
        // Absolute, so that the page can show it.
        let path = std::path::absolute(&index).unwrap_or(index);
        let collection = Collection::with_model(&path, model, &device)?.limited(limits);
        collection.expect_many()?;
        let exposed = (!address.ip().is_loopback()).then_some(Closed::Exposed);
        Ok(Self {
            collection: Arc::new(collection),
            limits,
            comparing: Mutex::default(),
            explaining: Mutex::default(),
            pictures: Pictures::new(limits),
            uploads: Semaphore::new(UPLOADS),
            worker: Worker::new(fitter),
            closed: read_only.then_some(Closed::ReadOnly).or(exposed),
            next_look: Mutex::new(Instant::now() + LOOK),
            trouble: Mutex::default(),
        })
    }

    pub fn index(&self) -> &Path {
        self.collection.path()
    }

    /// Describes the model of a snapshot.
    pub fn card(&self, snapshot: &Snapshot) -> Result<Value, IndexError> {
        let model = snapshot.model()?;
        let card = model.card();
        Ok(json!({
            "method": card.method, "trunk": card.trunk.to_string(), "bits": model.bits(),
            "fingerprint": model.fingerprint(), "parts": card.attention_maps(),
        }))
    }

    /// Number of images.
    pub fn len(&self) -> usize {
        self.collection.len()
    }

    /// Fails if clients may not change the index.
    pub fn editable(&self) -> Result<(), Problem> {
        let sentence = match self.closed {
            None => return Ok(()),
            Some(Closed::ReadOnly) => "this server was started for reading only",
            Some(Closed::Exposed) => {
                "other machines reach this server, so the index cannot be changed through it"
            }
        };
        Err(Problem::new(403, sentence))
    }

    /// The error of the last reload, if it failed.
    pub fn trouble(&self) -> Option<String> {
        lock(&self.trouble).clone()
    }

    /// Reads the index again if its files have changed; answers go on with the old state until
    /// then. Checks at most once a second, less often if reading takes long.
    pub fn reload_if_changed(&self) {
        let mut next_look = lock(&self.next_look);
        let begun = Instant::now();
        if begun < *next_look {
            return;
        }
        let changed = !self.collection.is_current();
        // A failed reload is tried again the next time: the file may be half copied.
        let reloaded = if changed { self.collection.reload() } else { Ok(()) };
        *lock(&self.trouble) = reloaded.err().map(|error| error.to_string());
        let pause = if changed { LOOK.max(4 * begun.elapsed()) } else { LOOK };
        *next_look = Instant::now() + pause;
    }
}

/// Ignores poisoning: a panic leaves no data of [`App`] half changed.
pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
