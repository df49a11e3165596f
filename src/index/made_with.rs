/*!
The model that made a collection.
*/

use std::path::Path;

use crate::device::Device;
use crate::model::{Model, ModelError};

/// Opens the model with this fingerprint: the built-in general one, or the one in `file`, its path
/// when the collection was made. `None` if the file is missing or contains another model.
///
/// # Errors
/// If the built-in model cannot be opened.
pub fn open_model(
    fingerprint: &str,
    file: Option<&Path>,
    device: &Device,
) -> Result<Option<Model>, ModelError> {
    if fingerprint == Model::general_fingerprint() {
        return Model::general(device).map(Some);
    }
    let opened = file.and_then(|file| Model::open(file, device).ok());
    Ok(opened.filter(|model| model.fingerprint() == fingerprint))
}
