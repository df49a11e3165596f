/*!
The formats that can be read, each with a reader of its own.

A reader turns the bytes of a file into a [`Picture`](super::picture::Picture), as the file holds
it. [`FORMATS`] is the table of all readers.
*/

mod avif;
mod bmp;
mod gif;
mod heic;
mod ico;
mod isobmff;
mod jpeg;
mod jpeg2000;
mod jxl;
mod lab;
mod orientation;
mod plain;
mod png;
mod pnm;
mod psd;
mod qoi;
mod raw;
mod straight;
mod table;
mod tga;
mod tiff;
mod webp;

pub use table::format_names;
pub(in crate::image) use table::{FORMATS, Format, extensions};
