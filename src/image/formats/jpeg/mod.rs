/*!
JPEG images: their segments, and two decoders, since neither reads all that is sound.
*/

mod colours;
mod read;
mod segments;
mod tables;

pub(super) use read::{is_jpeg, is_whole, read, size};
