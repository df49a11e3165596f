/*!
Opening models.
*/

use std::ffi::{CString, c_char};
use std::sync::Arc;

use super::{Failure, Status, borrow, c_string, free, give, guard, path, text};
use barbule::device::{Device, DeviceChoice};

/// An open model and the device that it runs on. Any number of threads may use it at once.
#[derive(Debug)]
pub struct Model {
    /// Shared with the indexes that were opened with it.
    pub(super) model: Arc<barbule::model::Model>,
    pub(super) device: Device,
    device_name: CString,
}

/// Opens a model.
///
/// `path` is a model file, or NULL for the built-in model for photos of any kind. `device`
/// is "auto" (or NULL: the best real GPU, else the CPU), "gpu", "vulkan", "metal", "dx12"
/// or "cpu". On success the caller frees `*model` with barbule_model_free(); on failure it
/// is NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn barbule_model_open(
    path: *const c_char,
    device: *const c_char,
    model: *mut *mut Model,
) -> Status {
    // SAFETY: the caller's promises are those of the functions inside.
    guard(|| unsafe { give(model, || open(path, device)) })
}

/// # Safety
/// As [`barbule_model_open`].
unsafe fn open(file: *const c_char, device: *const c_char) -> Result<Model, Failure> {
    let choice = if device.is_null() {
        DeviceChoice::Auto
    } else {
        // SAFETY: a string, as the caller promises.
        unsafe { text(device, "name of the device") }?.parse().map_err(Failure::argument)?
    };
    let file = if file.is_null() {
        None
    } else {
        // SAFETY: as above.
        Some(unsafe { path(file, "path of the model") }?)
    };
    let device = Device::open(choice, None)?;
    let model = match file {
        Some(file) => barbule::model::Model::open(&file, &device)?,
        None => barbule::model::Model::general(&device)?,
    };
    let device_name = c_string(device.to_string());
    Ok(Model { model: Arc::new(model), device, device_name })
}

/// Returns the bits per code, which is the largest possible distance. 0 if `model` is NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn barbule_model_bits(model: *const Model) -> u32 {
    // SAFETY: as the caller promises.
    unsafe { borrow(model, "model") }.map_or(0, |model| model.model.bits() as u32)
}

/// Returns a description of the device that the model runs on. NULL if `model` is NULL;
/// valid until the model is freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn barbule_model_device(model: *const Model) -> *const c_char {
    // SAFETY: as the caller promises.
    let model = unsafe { borrow(model, "model") };
    model.map_or(std::ptr::null(), |model| model.device_name.as_ptr())
}

/// Frees a model; indexes that were opened with it stay usable. NULL is ignored.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn barbule_model_free(model: *mut Model) {
    // SAFETY: as the caller promises.
    unsafe { free(model) }
}
