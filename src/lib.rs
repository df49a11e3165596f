/*!
Fine-grained image retrieval: learned binary codes, ranked by Hamming distance.

A [`Model`] turns an image into a [`Code`] of 1 to 1024 bits. Codes of images of the same
fine-grained kind (a bird species, an apple variety) differ in few bits. A [`Collection`] keeps the
codes of folders of images in one file and finds the images nearest to another one. The search is
exact, in the order of (distance, id), and gives the same hits on every device.

# In an app

Index a folder of photos and find the images most like another one. The general model ships inside
the library, so there is nothing to train or to download.

```
# #[cfg(feature = "model")]
# fn main() -> Result<(), Box<dyn std::error::Error>> {
use barbule::{Collection, Device, DeviceChoice, Model, Task, UpdateOptions};
# let folder = tempfile::tempdir()?;
# let (photos, database) = (folder.path().join("photos"), folder.path().join("photos.db"));
# std::fs::create_dir(&photos)?;
# for (name, colour) in [("red.png", [200, 30, 20]), ("blue.png", [20, 40, 190])] {
#     ::image::RgbImage::from_fn(64, 64, |x, y| ::image::Rgb(colour.map(|c| c + ((x * y) % 50) as u8)))
#         .save(photos.join(name))?;
# }
# let cat = photos.join("red.png");

// `Auto` is the best real GPU, or all cores of the CPU if there is none.
let device = Device::open(DeviceChoice::Cpu, None)?;
let model = Model::general(&device)?;
let collection = Collection::open_or_create(&database, model, &device)?;
collection.update(&[photos], &UpdateOptions::default(), &Task::unwatched())?;

for hit in collection.search_file(&cat, 10)? {
    println!("{} bits away: {}", hit.distance, hit.path);
}
# assert_eq!(collection.len(), 2);
# Ok(())
# }
# #[cfg(not(feature = "model"))]
# fn main() {}
```

An update reads only new and changed files, and commits them in batches. A collection holds the
codes in memory, or on the graphics adapter: keep it for many searches.

# Only the ranking

[`Ranker`], [`Code`] and [`BinaryCodes`] need no features; bring codes of your own.

```
use std::sync::Arc;
use barbule::{BinaryCodes, Code, Device, DeviceChoice, Ranker};

let query = Code::from_hex(16, "00ff")?;
let mut codes = BinaryCodes::from(&query);
codes.push(&Code::from_hex(16, "0f0f")?)?;
codes.push(&Code::from_hex(16, "00fe")?)?;
let ranker = Ranker::new(&Device::open(DeviceChoice::Cpu, None)?, Arc::new(codes))?;
let nearest = ranker.nearest(&query, 2)?;
assert_eq!([nearest[0].id, nearest[1].id], [0, 2]);
assert_eq!(nearest[1].distance, 1);
# Ok::<(), Box<dyn std::error::Error>>(())
```

# Training

With the feature `train`, [`train`] fits models to a [`dataset`] by a [`method`], and [`eval`]
measures them. `examples/quickstart.rs` goes the whole way in a hundred lines.

# Errors, progress, output

Long operations accept a [`Task`], which reports progress and stops on request. The library prints
nothing. Each error is one sentence that states the fact, and gives its cause as `source()`.

| feature | adds | default |
|---|---|---|
| (none) | codes and their ranking | |
| `model` | models, images, indexes: what an app ships | yes |
| `train` | training and evaluation | |
| `engine` | formats of other programs, PostgreSQL | |
| `serve` | a local page for an index, and its JSON interface | |
| `cli` | the commands of the `barbule` program; implies the features above | |
| `avif` | AVIF | |
| `tuned` | kernel tuning and fusion, for real GPUs | |

# Stability

The items at the root, and those of [`train`], [`dataset`], [`method`], [`eval`], [`engine`] and
[`serve`] that this documentation shows, follow semantic versioning. Hidden modules do not.
*/

mod cause;
#[cfg(feature = "cli")]
#[doc(hidden)]
pub mod cli;
#[doc(hidden)]
pub mod code;
#[cfg(feature = "train")]
pub mod dataset;
#[doc(hidden)]
pub mod device;
#[cfg(feature = "model")]
#[doc(hidden)]
pub mod encoder;
#[cfg(feature = "engine")]
pub mod engine;
#[cfg(feature = "train")]
pub mod eval;
#[cfg(feature = "model")]
#[doc(hidden)]
pub mod explain;
#[cfg(feature = "model")]
mod file;
#[cfg(feature = "model")]
#[doc(hidden)]
pub mod folder;
#[cfg(feature = "model")]
#[doc(hidden)]
pub mod hash;
#[cfg(feature = "model")]
#[doc(hidden)]
pub mod image;
#[cfg(feature = "model")]
#[doc(hidden)]
pub mod index;
#[cfg(feature = "train")]
pub mod method;
#[cfg(feature = "model")]
#[doc(hidden)]
pub mod model;
#[cfg(feature = "model")]
#[doc(hidden)]
pub mod network;
#[doc(hidden)]
pub mod rank;
#[cfg(feature = "serve")]
pub mod serve;
#[cfg(feature = "model")]
#[doc(hidden)]
pub mod task;
#[cfg(feature = "train")]
pub mod train;
#[cfg(feature = "model")]
#[doc(hidden)]
pub mod trunk;

pub use cause::Cause;
pub use code::{BinaryCodes, Code, CodeError};
pub use device::{AdapterInfo, Device, DeviceChoice, DeviceError};
#[cfg(feature = "model")]
pub use explain::Attention;
#[cfg(feature = "model")]
pub use folder::{FileKind, FolderError, LeftOut, ScanOptions};
#[cfg(feature = "model")]
pub use image::{ImageError, Limits};
#[cfg(feature = "model")]
pub use index::{
    Collection, DuplicateOptions, Duplicates, Filter, Group, Hit, IndexError, IndexWriter, Labels,
    Scan, Search, Update, UpdateOptions, Vote,
};
#[cfg(feature = "model")]
pub use model::{Model, ModelError};
pub use rank::{IdSet, Neighbour, RankError, Ranker, Search as RankSearch};
#[cfg(feature = "model")]
pub use task::{Stopped, Task};

/// The crates whose types stand in signatures of this library, in the versions that it uses.
pub mod foreign {
    #[cfg(feature = "model")]
    pub use ::{blake3, burn, glob, image, rusqlite};
    pub use ::wgpu;
}

// Compiles the README's example.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

// And those of the guide for apps.
#[cfg(all(doctest, feature = "model"))]
#[doc = include_str!("../docs/EMBEDDING.md")]
struct Embedding;
