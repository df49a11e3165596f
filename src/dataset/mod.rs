/*!
Labelled image data sets: image files, their classes, and the splits for training and testing.

Each layout on disk has its own module; all produce the same [`Dataset`] of labelled splits.
Opening a data set reads lists and folder names, but no images: [`Sample::open`] reads those
one by one.
*/

mod aircraft;
mod cifar10;
mod cub;
mod dogs;
mod draw;
mod error;
mod facts;
mod flowers;
mod folder;
mod food101;
mod grocery;
mod indexed;
mod keyed;
mod labelled;
mod layout;
mod list;
mod mat;
mod nabirds;
mod numbered;
mod nuswide;
mod open;
mod parts;
mod sample;
mod shared;
mod split;
mod vegfru;

pub use error::DatasetError;
pub use facts::{Counts, Facts, Place};
pub use labelled::{Dataset, MISSING_SHOWN};
pub use layout::Layout;
pub use parts::{Area, TellingParts};
pub use sample::Sample;
pub use shared::Shared;

#[cfg(test)]
pub(crate) mod tests;
