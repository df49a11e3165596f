/*!
Reading of TIFF files: directories, compressed strips and tiles, samples, colours.
*/

mod alpha;
mod colours;
mod compression;
mod directory;
mod fax;
mod file;
mod floats;
mod jpeg;
mod jpeg_parts;
mod kinds;
mod lab;
mod layout;
mod level;
mod lzw;
mod names;
mod old_jpeg;
mod order;
mod packbits;
mod pages;
mod palette;
mod predictor;
mod read;
mod refusal;
mod samples;
mod tags;
#[cfg(test)]
mod tests;
mod ycbcr;

pub(super) use read::{is_tiff, read};
