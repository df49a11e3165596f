/*!
The C interface: models, indexes and searches for programs in other languages.

A thin layer over [`barbule::model`] and [`barbule::index`]. `include/barbule.h` is generated from
these files, and `examples/c/search.c` shows them in use. `cargo build --release -p barbule-capi`
builds the shared library.

This file has what all functions share: statuses, the message of the last error, the checks of
arguments, and `guard`, the one place where panics end.

# Safety

Every function asks the same of its caller. A pointer is NULL, or: a handle came from the function
that creates it and is not freed yet; a string ends with a zero byte; the place for a result can
be written; an array has the given number of values. Arguments stay unchanged until the call
returns, and no other thread uses what is freed. NULL for a required argument is an error, not
undefined behaviour.
*/
// The safety section above holds for every function.
#![allow(clippy::missing_safety_doc)]
#![allow(unsafe_code)]

use std::cell::RefCell;
use std::ffi::{CStr, CString, c_char};
use std::fmt::Display;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};

use barbule::device::DeviceError;
use barbule::image::ImageError;
use barbule::index::IndexError;
use barbule::model::ModelError;

/// The result of a call.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// Success.
    Ok = 0,
    /// An argument is NULL, not UTF-8, or has an unknown value.
    InvalidArgument = 1,
    /// No device with this name can be used.
    Device = 2,
    /// The model cannot be opened or cannot do this.
    Model = 3,
    /// The index cannot be opened, read or written, or belongs to another model.
    Index = 4,
    /// The image cannot be read.
    Image = 5,
    /// No image has this id.
    NotFound = 6,
    /// The progress callback stopped the work. Finished batches are kept.
    Stopped = 7,
    /// A file cannot be written.
    Write = 8,
    /// A bug in Barbule. Free the handles of the call; do nothing else with them.
    Internal = 9,
}

/// The status and the message of a failed call.
#[derive(Debug)]
struct Failure {
    status: Status,
    message: String,
}

impl Failure {
    fn new(status: Status, message: impl Display) -> Self {
        Self { status, message: message.to_string() }
    }

    fn argument(message: impl Display) -> Self {
        Self::new(Status::InvalidArgument, message)
    }
}

impl From<DeviceError> for Failure {
    fn from(error: DeviceError) -> Self {
        Self::new(Status::Device, error)
    }
}

impl From<ModelError> for Failure {
    fn from(error: ModelError) -> Self {
        Self::new(Status::Model, error)
    }
}

impl From<ImageError> for Failure {
    fn from(error: ImageError) -> Self {
        Self::new(Status::Image, error)
    }
}

impl From<IndexError> for Failure {
    fn from(error: IndexError) -> Self {
        let status = match &error {
            IndexError::Stopped(_) => Status::Stopped,
            IndexError::Model(_) | IndexError::NoModel(_) => Status::Model,
            IndexError::Image(_) | IndexError::Decode(_) => Status::Image,
            IndexError::NoSuchImage(_) => Status::NotFound,
            _ => Status::Index,
        };
        Self::new(status, error)
    }
}

thread_local! {
    static LAST_ERROR: RefCell<CString> = RefCell::default();
}

/// Returns the version of the library, such as "0.1.0". Never NULL; do not free it.
#[unsafe(no_mangle)]
pub extern "C" fn barbule_version() -> *const c_char {
    const VERSION: &CStr =
        match CStr::from_bytes_with_nul(concat!(env!("CARGO_PKG_VERSION"), "\0").as_bytes()) {
            Ok(version) => version,
            Err(_) => panic!("the version has a zero byte"),
        };
    VERSION.as_ptr()
}

/// Returns the error message of this thread's last call that did not return
/// `BARBULE_STATUS_OK`: one sentence in English, UTF-8, empty if no call failed. Never
/// NULL; do not free it. It is valid until another call of this thread fails.
#[unsafe(no_mangle)]
pub extern "C" fn barbule_last_error() -> *const c_char {
    // The message is gone while the thread ends.
    LAST_ERROR.try_with(|last| last.borrow().as_ptr()).unwrap_or(c"".as_ptr())
}

/// Runs the body of a function and turns panics and errors into a status and a message.
fn guard(work: impl FnOnce() -> Result<(), Failure>) -> Status {
    // A panic may leave handles half changed; the header allows only freeing them then.
    let done = catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| {
        let said = panic.downcast_ref::<&str>().map(|s| (*s).to_owned());
        let said = said.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default();
        let message = format!("internal error of barbule ({said}); please report it");
        Err(Failure::new(Status::Internal, message))
    });
    let Err(Failure { status, message }) = done else { return Status::Ok };
    let _ = LAST_ERROR.try_with(|last| *last.borrow_mut() = c_string(message));
    status
}

/// Frees a handle of [`give`]. Does nothing if it is NULL.
///
/// # Safety
/// `handle` is NULL or came from [`give`] as the same type, and is no longer used.
unsafe fn free<T>(handle: *mut T) {
    if !handle.is_null() {
        // SAFETY: it came from `Box::into_raw` and nobody else has it, as the caller promises.
        let owned = unsafe { Box::from_raw(handle) };
        guard(|| {
            drop(owned);
            Ok(())
        });
    }
}

/// Gives ownership of a value to the caller.
///
/// # Safety
/// `out` is NULL or can be written.
unsafe fn give<T>(
    out: *mut *mut T,
    make: impl FnOnce() -> Result<T, Failure>,
) -> Result<(), Failure> {
    if out.is_null() {
        return Err(Failure::argument("the pointer for the result is NULL"));
    }
    // So that freeing the result after a failure is harmless.
    // SAFETY: it is not NULL, so it can be written, as the caller promises.
    unsafe { out.write(std::ptr::null_mut()) };
    let made = Box::into_raw(Box::new(make()?));
    // SAFETY: as above.
    unsafe { out.write(made) };
    Ok(())
}

/// Borrows the value of a handle.
///
/// # Safety
/// `handle` is NULL or points to a `T` that lives, and is not changed, for `'a`.
unsafe fn borrow<'a, T>(handle: *const T, name: &str) -> Result<&'a T, Failure> {
    // SAFETY: as the caller promises.
    unsafe { handle.as_ref() }.ok_or_else(|| Failure::argument(format!("the {name} is NULL")))
}

/// Reads a string of the caller.
///
/// # Safety
/// `text` is NULL or points to a string that ends with a zero byte and lives for `'a`.
unsafe fn text<'a>(text: *const c_char, name: &str) -> Result<&'a str, Failure> {
    if text.is_null() {
        return Err(Failure::argument(format!("the {name} is NULL")));
    }
    // SAFETY: as the caller promises.
    let text = unsafe { CStr::from_ptr(text) };
    text.to_str().map_err(|_| Failure::argument(format!("the {name} is not valid UTF-8")))
}

/// Reads a path of the caller.
///
/// # Safety
/// As [`text`].
unsafe fn path(path: *const c_char, name: &str) -> Result<PathBuf, Failure> {
    // SAFETY: as the caller promises.
    let path = unsafe { text(path, name) }?;
    // An empty path is the current folder for some system calls and an error for others.
    if path.is_empty() {
        return Err(Failure::argument(format!("the {name} is empty")));
    }
    Ok(PathBuf::from(path))
}

/// Reads `length` values of the caller.
///
/// # Safety
/// `first` is NULL or points to `length` values that live, and are not changed, for `'a`.
unsafe fn slice<'a, T>(first: *const T, length: usize, name: &str) -> Result<&'a [T], Failure> {
    if length == 0 {
        return Ok(&[]);
    }
    if first.is_null() {
        return Err(Failure::argument(format!("the {name} are NULL")));
    }
    if length > isize::MAX as usize / size_of::<T>().max(1) {
        return Err(Failure::argument(format!("{length} {name} are more than memory can hold")));
    }
    // SAFETY: not NULL and not too long; the rest is what the caller promises.
    Ok(unsafe { std::slice::from_raw_parts(first, length) })
}

/// A panic leaves nothing half changed behind a mutex of this library.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Converts a string for the caller, cut at a zero byte (which no path and no message has).
fn c_string(text: impl Into<Vec<u8>>) -> CString {
    let mut bytes = text.into();
    if let Some(end) = bytes.iter().position(|byte| *byte == 0) {
        bytes.truncate(end);
    }
    CString::new(bytes).unwrap_or_default()
}

// The order of these modules is the order of the header.
mod model;
pub use model::*;

mod index;
pub use index::*;

mod hits;
pub use hits::*;

mod duplicates;
pub use duplicates::*;

mod explain;
pub use explain::*;

#[cfg(test)]
mod tests;
