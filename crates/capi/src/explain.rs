/*!
Attention pictures of an image.
*/

use std::ffi::c_char;

use ::image::RgbImage;

use super::{Failure, Model, Status, borrow, free, give, guard, path, slice};
use barbule::image::{self, Limits};

/// Pictures of one image: first the model's input, then one per attention part, in colour
/// where the attention is strong and dark elsewhere. All have the same size. They are
/// immutable, so any thread may read them.
#[derive(Debug)]
pub struct Pictures {
    pictures: Vec<RgbImage>,
}

/// Draws the attention of a model over an image file.
///
/// Only models with attention parts (those of ExchNet and DSaH) support this; others,
/// including the built-in one, return `BARBULE_STATUS_MODEL`. On success the caller frees
/// `*pictures` with barbule_pictures_free(); on failure it is NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn barbule_explain_file(
    model: *const Model,
    image: *const c_char,
    pictures: *mut *mut Pictures,
) -> Status {
    let make = || {
        // SAFETY: as the caller promises.
        let (model, file) = unsafe { (borrow(model, "model")?, path(image, "path of the image")?) };
        explain(model, image::open(&file, &Limits::default())?)
    };
    // SAFETY: as the caller promises.
    guard(|| unsafe { give(pictures, make) })
}

/// Like barbule_explain_file(), for the bytes of an image file.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn barbule_explain_bytes(
    model: *const Model,
    bytes: *const u8,
    length: usize,
    pictures: *mut *mut Pictures,
) -> Status {
    let make = || {
        // SAFETY: as the caller promises.
        let (model, bytes) =
            unsafe { (borrow(model, "model")?, slice(bytes, length, "bytes of the image")?) };
        let decoded = image::decode(bytes, &Limits::default());
        explain(model, decoded.map_err(|error| Failure::new(Status::Image, error))?)
    };
    // SAFETY: as the caller promises.
    guard(|| unsafe { give(pictures, make) })
}

fn explain(model: &Model, picture: RgbImage) -> Result<Pictures, Failure> {
    let attention = model.model.attention(&picture)?;
    let overlays = (0..attention.maps.len()).map(|part| attention.overlay(part));
    let pictures = std::iter::once(attention.seen.clone()).chain(overlays).collect();
    Ok(Pictures { pictures })
}

/// Returns the number of pictures: one more than the model has parts. 0 if `pictures` is
/// NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn barbule_pictures_len(pictures: *const Pictures) -> usize {
    // SAFETY: as the caller promises.
    unsafe { borrow(pictures, "pictures") }.map_or(0, |pictures| pictures.pictures.len())
}

/// Returns the pixels of a picture, counted from 0: rows from the top, three bytes (red,
/// green, blue) per pixel, no padding. `*width` and `*height` are set unless NULL. The
/// pixels belong to the pictures. NULL if there is no picture at `position`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn barbule_pictures_rgb(
    pictures: *const Pictures,
    position: usize,
    width: *mut u32,
    height: *mut u32,
) -> *const u8 {
    // SAFETY: as the caller promises.
    let pictures = unsafe { borrow(pictures, "pictures") };
    let picture = pictures.ok().and_then(|pictures| pictures.pictures.get(position));
    for (out, size) in [(width, RgbImage::width as fn(&_) -> _), (height, RgbImage::height)] {
        if !out.is_null() {
            // SAFETY: not NULL, so it can be written, as the caller promises.
            unsafe { out.write(picture.map_or(0, size)) };
        }
    }
    picture.map_or(std::ptr::null(), |picture| picture.as_raw().as_ptr())
}

/// Writes the pictures as PNG files into a folder, which is created if missing: `seen.png`,
/// `part-1.png` and so on. Files of these names are replaced.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn barbule_pictures_write(
    pictures: *const Pictures,
    folder: *const c_char,
) -> Status {
    guard(|| {
        // SAFETY: as the caller promises.
        let (pictures, folder) =
            unsafe { (borrow(pictures, "pictures")?, path(folder, "path of the folder")?) };
        let failed = |what: &std::path::Path, error: &dyn std::fmt::Display| {
            let what = what.display();
            Failure::new(
                Status::Write,
                format!("cannot write {what}: {error}; choose another folder"),
            )
        };
        std::fs::create_dir_all(&folder).map_err(|error| failed(&folder, &error))?;
        for (position, picture) in pictures.pictures.iter().enumerate() {
            let name = match position {
                0 => "seen.png".to_owned(),
                part => format!("part-{part}.png"),
            };
            let file = folder.join(name);
            picture.save(&file).map_err(|error| failed(&file, &error))?;
        }
        Ok(())
    })
}

/// Frees pictures. NULL is ignored.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn barbule_pictures_free(pictures: *mut Pictures) {
    // SAFETY: as the caller promises.
    unsafe { free(pictures) }
}
