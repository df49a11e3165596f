/*!
The JPEG of TIFF 6.0 (compression 6): a whole stream, or one that is put together.
*/

use std::borrow::Cow;
use std::io::Cursor;

use super::super::jpeg::is_whole;
use super::compression::Rows;
use super::directory::Directory;
use super::file::File;
use super::jpeg;
use super::jpeg_parts::assembled;
use super::layout::Layout;
use super::names::Colours;
use super::refusal::{damaged, unsupported};
use super::tags;
use crate::image::{DecodeError, Limits};

/// Returns the rows of a page, and makes `layout` that of the stream, whose word on its colours
/// counts: writers often give others in the tags.
///
/// # Errors
/// If there is no whole stream, or it is smaller than the page, larger than `limits` allows, or
/// damaged.
pub fn rows(
    file: &File,
    page: &Directory,
    layout: &mut Layout,
    limits: &Limits,
) -> Result<Rows<'static>, DecodeError> {
    let found = jpeg::components(&stream(file, page, layout)?, limits)?;
    let (width, height) = (found.width, found.height);
    if width < layout.width || height < layout.height {
        return Err(damaged(format!("the JPEG stream inside has {width} × {height} pixels")));
    }
    let colours = match found.count {
        1 => Colours::BlackIsZero,
        3 if found.ycbcr => Colours::YCbCr,
        3 => Colours::Rgb,
        count => return Err(unsupported(format!("JPEG of {count} components in the old form"))),
    };
    layout.become_one_strip(colours, found.count);
    Ok(Rows { data: Box::new(Cursor::new(found.bytes)), width })
}

/// Returns the JPEG stream of a page: that of tag 513, or else the only strip, or else what its
/// parts make. Of more than four components there is none.
///
/// # Errors
/// If there is no stream, or not all parts of one.
fn stream<'a>(
    file: &File<'a>,
    page: &Directory,
    layout: &Layout,
) -> Result<Cow<'a, [u8]>, DecodeError> {
    let number = |tag| page.number(tag).ok().flatten();
    let tagged = number(tags::JPEG_STREAM)
        .map(|offset| file.slice(offset, number(tags::JPEG_STREAM_LENGTH).unwrap_or(u64::MAX)));
    let strip = match layout.offsets.as_slice() {
        [offset] => Some(file.slice(*offset, layout.lengths.first().copied().unwrap_or(u64::MAX))),
        _ => None,
    };
    let whole = |stream: &&[u8]| stream.starts_with(b"\xff\xd8") && is_whole(stream);
    if let Some(found) = [tagged, strip].into_iter().flatten().find(whole) {
        return Ok(Cow::Borrowed(found));
    }
    let parts = if layout.samples <= 4 { assembled(file, page, layout) } else { None };
    parts.map(Cow::Owned).ok_or_else(|| unsupported("JPEG in the old form of TIFF 6.0"))
}
