/*!
Re-encoded pictures of indexed images: thumbnails, larger views, attention.

The only place that reads images from disk for clients. It takes an id, never a path, and reads a
file only if it lies under an indexed folder after following all links.
*/

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use ::image::codecs::jpeg::JpegEncoder;
use ::image::codecs::png::PngEncoder;
use ::image::{ImageResult, RgbImage};
use fast_image_resize::images::{Image, ImageRef};
use fast_image_resize::{FilterType, PixelType, ResizeAlg, ResizeOptions, Resizer};
use quick_cache::Weighter;
use quick_cache::sync::Cache;

use super::problem::Problem;
use super::semaphore::Semaphore;
use crate::explain::Attention;
use crate::image::{self, Limits};
use crate::index::Snapshot;

/// The longer side of a thumbnail, in pixels.
const THUMBNAIL: u32 = 400;
/// The longer side of a view, in pixels.
const VIEW: u32 = 1600;
/// JPEG quality.
const QUALITY: u8 = 85;
/// Size of the cache, in bytes.
const KEPT: u64 = 96 << 20;

/// The kind of picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    Thumbnail,
    View,
    /// Attention: of one part, from 1, or of all together.
    Attention(Option<usize>),
}

/// Makes pictures and caches the latest.
#[derive(Debug)]
pub struct Pictures {
    limits: Limits,
    gate: Semaphore,
    cache: Cache<Key, Arc<[u8]>, ByBytes>,
}

/// Identifies a picture of one version of a file.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Key {
    kind: Kind,
    file: PathBuf,
    size: u64,
    modified: Option<SystemTime>,
}

#[derive(Debug, Clone)]
struct ByBytes;

impl Weighter<Key, Arc<[u8]>> for ByBytes {
    fn weight(&self, _: &Key, bytes: &Arc<[u8]>) -> u64 {
        bytes.len() as u64 + 256
    }
}

impl Pictures {
    pub fn new(limits: Limits) -> Self {
        let cores = std::thread::available_parallelism().map_or(2, usize::from);
        // Decoding takes memory, so few run at a time.
        let gate = Semaphore::new(cores.min(4));
        let cache = Cache::with_weighter((KEPT >> 14) as usize, KEPT, ByBytes);
        Self { limits, gate, cache }
    }

    /// Opens an indexed image.
    pub fn open(
        &self,
        snapshot: &Snapshot,
        id: i64,
        deadline: Instant,
    ) -> Result<RgbImage, Problem> {
        let path = snapshot.image(id)?.path;
        let file = inside(Path::new(&path), snapshot.catalogue()?.roots())?;
        let _permit = self.gate.enter(deadline).ok_or_else(busy)?;
        Ok(image::open(&file, &self.limits)?)
    }

    /// Reads the file of an indexed image.
    pub fn file(
        &self,
        snapshot: &Snapshot,
        id: i64,
        deadline: Instant,
    ) -> Result<Vec<u8>, Problem> {
        let path = snapshot.image(id)?.path;
        let file = inside(Path::new(&path), snapshot.catalogue()?.roots())?;
        let _permit = self.gate.enter(deadline).ok_or_else(busy)?;
        Ok(image::read(&file)?)
    }

    /// Returns a picture of an indexed image; `look` computes the attention if it is needed.
    pub fn of(
        &self,
        snapshot: &Snapshot,
        id: i64,
        kind: Kind,
        deadline: Instant,
        look: impl FnOnce(&RgbImage) -> Result<Attention, Problem>,
    ) -> Result<Arc<[u8]>, Problem> {
        let path = snapshot.image(id)?.path;
        let file = inside(Path::new(&path), snapshot.catalogue()?.roots())?;
        let gone = || Problem::new(404, format!("{path} is gone; update the index"));
        let meta = std::fs::metadata(&file).map_err(|_| gone())?;
        let modified = meta.modified().ok();
        let key = Key { kind, file: file.clone(), size: meta.len(), modified };
        if let Some(bytes) = self.cache.get(&key) {
            return Ok(bytes);
        }
        let _permit = self.gate.enter(deadline).ok_or_else(busy)?;
        if let Some(bytes) = self.cache.get(&key) {
            return Ok(bytes); // made by another thread meanwhile
        }
        let picture = image::open(&file, &self.limits)?;
        let bytes: Arc<[u8]> = match kind {
            Kind::Thumbnail => jpeg(&fitted(picture, THUMBNAIL)?)?,
            Kind::View => jpeg(&fitted(picture, VIEW)?)?,
            Kind::Attention(part) => overlay(&look(&picture)?, part)?,
        }
        .into();
        self.cache.insert(key, bytes.clone());
        Ok(bytes)
    }
}

/// The error if too many requests are being computed.
pub fn busy() -> Problem {
    Problem::new(503, "the server is busy; try again later")
}

/// Follows the links of a path and returns the file, if it is under one of the folders.
fn inside(path: &Path, roots: &[String]) -> Result<PathBuf, Problem> {
    let name = path.display();
    let file = path.canonicalize().map_err(|error| {
        Problem::new(404, format!("{name} cannot be read ({error}); update the index"))
    })?;
    let mut roots = roots.iter().filter_map(|root| Path::new(root).canonicalize().ok());
    if !roots.any(|root| file.starts_with(root)) {
        let sentence = format!("{name} links outside the indexed folders and is not shown");
        return Err(Problem::new(403, sentence));
    }
    if !file.is_file() {
        return Err(Problem::new(403, format!("{name} is no longer a file")));
    }
    Ok(file)
}

/// Scales a picture down so that its longer side has at most `side` pixels.
fn fitted(picture: RgbImage, side: u32) -> Result<RgbImage, Problem> {
    let (width, height) = picture.dimensions();
    let longer = width.max(height);
    if longer <= side {
        return Ok(picture);
    }
    let scaled = |length: u32| {
        let scaled = u64::from(length) * u64::from(side) + u64::from(longer) / 2;
        (scaled / u64::from(longer)).max(1) as u32
    };
    let failed = || Problem::internal("the picture could not be scaled");
    let source = ImageRef::new(width, height, picture.as_raw(), PixelType::U8x3);
    let mut target = Image::new(scaled(width), scaled(height), PixelType::U8x3);
    let how = ResizeOptions::new().resize_alg(ResizeAlg::Convolution(FilterType::CatmullRom));
    Resizer::new()
        .resize(&source.map_err(|_| failed())?, &mut target, &how)
        .map_err(|_| failed())?;
    RgbImage::from_raw(target.width(), target.height(), target.into_vec()).ok_or_else(failed)
}

fn jpeg(picture: &RgbImage) -> Result<Vec<u8>, Problem> {
    let mut bytes = Vec::new();
    let encoder = JpegEncoder::new_with_quality(&mut bytes, QUALITY);
    encoded(picture.write_with_encoder(encoder))?;
    Ok(bytes)
}

/// Draws the attention of one part, or of all parts together, over an image; as PNG.
pub fn overlay(attention: &Attention, part: Option<usize>) -> Result<Vec<u8>, Problem> {
    let parts = attention.maps.len();
    let picture = match part {
        Some(part) if (1..=parts).contains(&part) => attention.overlay(part - 1),
        Some(_) => {
            return Err(Problem::new(404, format!("this model has {parts} parts")));
        }
        None => {
            let maps = vec![together(&attention.maps)];
            Attention { maps, ..attention.clone() }.overlay(0)
        }
    };
    let mut bytes = Vec::new();
    encoded(picture.write_with_encoder(PngEncoder::new(&mut bytes)))?;
    Ok(bytes)
}

fn encoded(result: ImageResult<()>) -> Result<(), Problem> {
    result.map_err(|error| Problem::internal(format!("the picture could not be written: {error}")))
}

/// Adds all maps, each scaled to 0 to 1.
fn together(maps: &[Vec<f32>]) -> Vec<f32> {
    let mut sum = vec![0.0; maps.first().map_or(0, Vec::len)];
    for map in maps {
        let greatest = map.iter().copied().fold(f32::MIN, f32::max);
        let least = map.iter().copied().fold(f32::MAX, f32::min);
        if greatest > least {
            let scaled = map.iter().map(|value| (value - least) / (greatest - least));
            sum.iter_mut().zip(scaled).for_each(|(sum, value)| *sum += value);
        }
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pictures_fit_and_are_never_enlarged() {
        let size = |w, h, side| fitted(RgbImage::new(w, h), side).unwrap().dimensions();
        assert_eq!(size(800, 400, 400), (400, 200));
        assert_eq!(size(30, 4000, 400), (3, 400));
        assert_eq!(size(1, 5000, 400), (1, 400));
        assert_eq!(size(10, 20, 400), (10, 20));
    }

    #[test]
    fn all_parts_count_alike() {
        let maps = [vec![0.0, 1.0, 2.0], vec![7.0, 7.0, 7.0], vec![10.0, 10.0, 30.0]];
        assert_eq!(together(&maps), [0.0, 0.5, 2.0]);
        assert!(together(&[]).is_empty());
    }

    #[cfg(unix)]
    #[test]
    fn only_files_under_the_folders_are_read() {
        use std::os::unix::fs::symlink;
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        for dir in ["in", "in/sub", "in-side"] {
            std::fs::create_dir(at(dir)).unwrap();
        }
        for file in ["in/sub/a.png", "in-side/b.png", "c.png"] {
            std::fs::write(at(file), "x").unwrap();
        }
        symlink(at("c.png"), at("in/out.png")).unwrap();
        symlink(at("in/sub/a.png"), at("in/within.png")).unwrap();
        symlink(at("in-side"), at("in/dir")).unwrap();
        let roots = [at("in").to_str().unwrap().to_owned(), at("gone").display().to_string()];
        let status = |name: &str| inside(&at(name), &roots).map_err(|problem| problem.status);
        assert!(status("in/sub/a.png").is_ok() && status("in/within.png").is_ok());
        for name in ["in/out.png", "in/dir/b.png", "in-side/b.png", "in/../c.png", "in/sub"] {
            assert_eq!(status(name), Err(403), "{name}");
        }
        assert_eq!(status("in/none.png"), Err(404));
    }
}
