/*!
Raw files of cameras: the largest JPEG preview inside them.
*/

mod cr3;
mod ifd;
mod preview;

pub(super) use preview::{is_raw, read};
