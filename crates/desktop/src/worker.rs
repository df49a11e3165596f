//! Runs the slow work on threads of its own: the model, the index and thumbnails. It does not
//! depend on the window: requests come through one channel, messages go through another.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;

use ::image::RgbImage;
use barbule::device::{Device, DeviceChoice};
use barbule::image::{self, Limits};
use barbule::index::{Collection, Hit, IndexError, UpdateOptions};
use barbule::model::Model;
use barbule::task::Task;

/// Number of hits of a search.
const HITS: usize = 30;
/// Maximum width and height of thumbnails, in pixels.
pub const THUMBNAIL: u32 = 256;

enum Ask {
    /// A folder to index, and the flag that stops it.
    Index(PathBuf, Arc<AtomicBool>),
    Search(PathBuf),
}

/// A message to the window.
pub enum Tell {
    /// The model and the index are open.
    Ready { images: usize, bits: usize, device: String },
    /// `done` of `total` new images are indexed; with a total of 0, `done` images were found so
    /// far.
    Progress { done: usize, total: usize },
    /// Indexing has ended.
    Indexed { images: usize, added: usize, skipped: usize, stopped: bool },
    /// The hits of a search.
    Found { query: PathBuf, hits: Vec<Hit> },
    /// A thumbnail; `None` if the image cannot be read.
    Thumbnail { path: PathBuf, picture: Option<RgbImage> },
    /// A request failed; a sentence with the reason.
    Failed(String),
}

/// The window's end of the channels.
pub struct Worker {
    asks: Sender<Ask>,
    thumbnails: Sender<PathBuf>,
    tells: Receiver<Tell>,
    /// Stop flags of the requests.
    stops: Vec<Arc<AtomicBool>>,
}

impl Worker {
    /// Starts the threads; `wake` is called after each message.
    pub fn start(index: PathBuf, wake: impl Fn() + Send + Clone + 'static) -> Self {
        let (asks, asked) = mpsc::channel();
        let (thumbnails, wanted) = mpsc::channel::<PathBuf>();
        let (teller, tells) = mpsc::channel();
        let tell = {
            let (teller, wake) = (teller.clone(), wake.clone());
            move |what| {
                // The window may be closed.
                let _ = teller.send(what);
                wake();
            }
        };
        thread::spawn(move || {
            if let Err(error) = work(&index, &asked, &tell) {
                let reason = error.to_string();
                tell(Tell::Failed(reason.clone()));
                // All further requests fail, too.
                asked.iter().for_each(|_| tell(Tell::Failed(reason.clone())));
            }
        });
        thread::spawn(move || {
            for path in wanted {
                let opened = image::open(&path, &Limits::default()).ok();
                let picture = opened.map(|picture| shrink(&picture));
                let _ = teller.send(Tell::Thumbnail { path, picture });
                wake();
            }
        });
        Self { asks, thumbnails, tells, stops: Vec::new() }
    }

    /// Brings the index up to date with a folder.
    pub fn index(&mut self, folder: &Path) {
        let stop = Arc::new(AtomicBool::new(false));
        self.stops.push(stop.clone());
        let _ = self.asks.send(Ask::Index(folder.to_owned(), stop));
    }

    /// Stops all indexing; finished batches are kept.
    pub fn cancel(&mut self) {
        self.stops.drain(..).for_each(|stop| stop.store(true, Ordering::Relaxed));
    }

    /// Searches for images like this one.
    pub fn search(&self, query: &Path) {
        let _ = self.asks.send(Ask::Search(query.to_owned()));
    }

    /// Makes a thumbnail of an image.
    pub fn thumbnail(&self, path: &Path) {
        let _ = self.thumbnails.send(path.to_owned());
    }

    /// Returns the messages since the last call.
    pub fn told(&self) -> Vec<Tell> {
        self.tells.try_iter().collect()
    }
}

fn work(
    file: &Path,
    asked: &Receiver<Ask>,
    tell: &(impl Fn(Tell) + Send + Clone + 'static),
) -> Result<(), Box<dyn Error>> {
    let device = Device::open(DeviceChoice::Auto, None)?;
    let collection = Collection::open_or_create(file, Model::general(&device)?, &device)?;
    let (images, bits) = (collection.len(), collection.bits());
    tell(Tell::Ready { images, bits, device: device.to_string() });
    for ask in asked {
        let answer = match ask {
            Ask::Index(folder, stop) => add(&collection, folder, tell, &stop),
            Ask::Search(query) => find(&collection, &query),
        };
        tell(answer.unwrap_or_else(|error| Tell::Failed(error.to_string())));
    }
    Ok(())
}

fn add(
    collection: &Collection,
    folder: PathBuf,
    tell: &(impl Fn(Tell) + Send + Clone + 'static),
    stop: &AtomicBool,
) -> Result<Tell, Box<dyn Error>> {
    let before = collection.len();
    let tell = std::sync::Mutex::new(tell.clone());
    let progress = |done, total| {
        if let Ok(tell) = tell.lock() {
            tell(Tell::Progress { done, total });
        }
    };
    let task = Task::new(&progress, stop);
    let (skipped, stopped) = match collection.update(&[folder], &UpdateOptions::default(), &task) {
        Ok(updated) => (updated.skipped.len(), false),
        Err(IndexError::Stopped(_)) => (0, true),
        Err(error) => return Err(error.into()),
    };
    let images = collection.len();
    Ok(Tell::Indexed { images, added: images.saturating_sub(before), skipped, stopped })
}

fn find(collection: &Collection, query: &Path) -> Result<Tell, Box<dyn Error>> {
    let hits = collection.search_file(query, HITS)?;
    // The spelling of the index.
    Ok(Tell::Found { query: query.canonicalize().unwrap_or(query.to_owned()), hits })
}

fn shrink(picture: &RgbImage) -> RgbImage {
    let (width, height) = picture.dimensions();
    let scale = (f64::from(THUMBNAIL) / f64::from(width.max(height))).min(1.0);
    let side = |length: u32| ((f64::from(length) * scale) as u32).max(1);
    ::image::imageops::thumbnail(picture, side(width), side(height))
}
