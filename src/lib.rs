/*!
Fine-grained image retrieval: learned binary codes, ranked by Hamming distance.

A *model* turns an image into a code of 1 to 1024 bits such that images of the same
fine-grained kind (a bird species, an apple variety) differ in few of them. An *index*
keeps the codes of folders of images in one file. A *search* finds the codes nearest to
another, exactly, in the order of (distance, id), the same on every device.

# In an app

Index a folder of photos and find those most like another one. Nothing has to be trained
or downloaded: [`Model::general`](model::Model::general) ships inside the library.

```
# #[cfg(feature = "model")]
# fn main() -> Result<(), Box<dyn std::error::Error>> {
use barbule::device::{Device, DeviceChoice};
use barbule::index::{Collection, UpdateOptions};
use barbule::{model::Model, task::Task};
# let folder = tempfile::tempdir()?;
# let (photos, database) = (folder.path().join("photos"), folder.path().join("photos.db"));
# std::fs::create_dir(&photos)?;
# for (name, colour) in [("red.png", [200, 30, 20]), ("blue.png", [20, 40, 190])] {
#     ::image::RgbImage::from_fn(64, 64, |x, y| ::image::Rgb(colour.map(|c| c + ((x * y) % 50) as u8)))
#         .save(photos.join(name))?;
# }
# let cat = photos.join("red.png");

// `Auto` is the best real GPU, else all cores of the CPU.
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

An update looks at new and changed files only, and what a batch found is kept if the next
one is cut short. A [`Collection`](index::Collection) holds the codes in memory (or on the
graphics adapter): keep it for many searches.

# Just the ranking

[`rank`] and [`code`] need no features at all; bring codes of your own.

```
use std::sync::Arc;
use barbule::code::{BinaryCodes, Code};
use barbule::device::{Device, DeviceChoice};
use barbule::rank::Ranker;

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

With the feature `train`, [`train`] fits models to a [`dataset`]
by a [`method`], and [`eval`] measures them;
`examples/quickstart.rs` goes the whole way in a hundred lines. [`method::METHODS`] lists all
methods: [`train::fit_shallow`] fits one in seconds, [`train::learn`] trains a network.

# Finding one's way

From the bottom up: [`code`] holds packed binary codes and [`rank`] finds the nearest of
them on what [`device`] opens. [`image`] decodes and prepares pictures, [`trunk`] and
[`encoder`] turn them into features, and a [`model`] into codes; [`explain`] draws where
it looks. [`index`] keeps codes on disk. What takes long accepts a [`task::Task`], which
reports progress and stops on request. The library prints nothing; what can go wrong is
an error that says what to do.

| feature | adds | default |
|---|---|---|
| (none) | [`code`], [`rank`], [`device`] | |
| `model` | models, images, indexes: what an app ships | with `train` |
| `train` | training and evaluation | yes |
| `cli` | the `barbule` program | yes |
| `engine` | formats of other programs | yes |
| `serve` | a local page for an index, and its JSON interface | yes |
| `capi` | the C interface, for a shared library | |
| `desktop` | the window of `examples/desktop` | |
| `tuned` | kernel tuning and fusion, for real GPUs | |
*/
#[cfg(feature = "cli")]
pub mod cli;
pub mod code;
#[cfg(feature = "train")]
pub mod dataset;
pub mod device;
#[cfg(feature = "model")]
pub mod encoder;
#[cfg(feature = "engine")]
pub mod engine;
#[cfg(feature = "train")]
pub mod eval;
#[cfg(feature = "model")]
pub mod explain;
#[cfg(feature = "model")]
mod file;
#[cfg(feature = "model")]
pub mod hash;
#[cfg(feature = "model")]
pub mod image;
#[cfg(feature = "model")]
pub mod index;
#[cfg(feature = "train")]
pub mod method;
#[cfg(feature = "model")]
pub mod model;
#[cfg(feature = "model")]
pub mod network;
pub mod rank;
#[cfg(feature = "serve")]
pub mod serve;
#[cfg(feature = "model")]
pub mod task;
#[cfg(feature = "train")]
pub mod train;
#[cfg(feature = "model")]
pub mod trunk;

// Compiles the README's example.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

// And those of the guide for apps.
#[cfg(all(doctest, feature = "model"))]
#[doc = include_str!("../docs/EMBEDDING.md")]
struct Embedding;
