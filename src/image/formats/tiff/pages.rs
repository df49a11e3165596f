/*!
The choice of one page among those of a TIFF file.
*/

use super::directory::Directory;
use super::file::File;
use super::tags;
use crate::image::DecodeError;

/// The most pages that are looked at.
const MAX_PAGES: usize = 256;

/// Returns the page that shows the picture: the first in the chain of directories that is not
/// marked as a smaller version or a mask of another; if all are marked, the first.
///
/// A chain that is broken, or comes back to itself, ends there. Directories below others (tag
/// 330) are not looked at.
///
/// # Errors
/// If the first directory cannot be read.
pub fn picture_page<'a>(file: &File<'a>) -> Result<Directory<'a>, DecodeError> {
    let first = file.directory(file.first)?;
    if is_picture(&first) {
        return Ok(first);
    }
    let mut seen = vec![file.first];
    let mut next = first.next;
    while next != 0 && !seen.contains(&next) && seen.len() < MAX_PAGES {
        let Ok(page) = file.directory(next) else { break };
        if is_picture(&page) {
            return Ok(page);
        }
        seen.push(next);
        next = page.next;
    }
    Ok(first)
}

/// Returns whether a page has a size and is not marked as a smaller version or a mask.
fn is_picture(page: &Directory) -> bool {
    let number = |tag| page.number(tag).ok().flatten();
    // Bit 0: a smaller version; bit 2: a mask. The older tag has 2 for a smaller version.
    let lesser = match number(tags::NEW_SUBFILE_TYPE) {
        Some(bits) => bits & 0b101 != 0,
        None => number(tags::SUBFILE_TYPE) == Some(2),
    };
    !lesser && page.has(tags::WIDTH) && page.has(tags::HEIGHT)
}
