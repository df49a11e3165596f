/*!
The model that made a collection.
*/

use std::path::Path;

use super::refit::OWN_MODEL;
use super::{Index, IndexError};
use crate::device::Device;
use crate::model::{Model, ModelError};

/// Opens the model with this fingerprint: the built-in general one, or the one in `file`, its path
/// when the collection was made, or the own one of the index in it. `None` if the file is missing or contains another model.
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
    let open = |file: &Path| {
        if !Index::is_at(file) {
            return Model::open(file, device).ok();
        }
        // The own model alone: an index that names itself would be opened for ever.
        let own = Index::open(file).and_then(|index| index.own_model()).ok().flatten()?;
        Model::from_bytes(Path::new(OWN_MODEL), own, device).ok()
    };
    let opened = file.and_then(open);
    Ok(opened.filter(|model| model.fingerprint() == fingerprint))
}

impl Index {
    /// Opens the model that made the index: its own, the built-in general one, or the one at the
    /// path that is stored in the index.
    ///
    /// # Errors
    /// [`IndexError::NoModel`] if its file is missing; if the index is damaged.
    pub fn open_model(&self, device: &Device) -> Result<Model, IndexError> {
        if let Some(file) = self.own_model()? {
            let damaged =
                |reason: String| self.damaged(format!("{reason}; restore it from a copy"));
            let opened = Model::from_bytes(Path::new(OWN_MODEL), file, device);
            let model =
                opened.map_err(|error| damaged(format!("its own model is damaged ({error})")))?;
            // Its codes would be compared with those of another model.
            if model.fingerprint() != self.model() {
                return Err(damaged("its own model is not the one of its codes".to_owned()));
            }
            return Ok(model);
        }
        let model = open_model(self.model(), self.model_file()?.as_deref(), device)?;
        model.ok_or_else(|| IndexError::NoModel(self.path().to_owned()))
    }
}
