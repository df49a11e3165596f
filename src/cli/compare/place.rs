/*!
The folder for models during training and measurement.
*/

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use tempfile::TempDir;

use crate::train::checkpoint_path;

/// The folder for models during training and measurement.
pub struct Place {
    folder: PathBuf,
    /// A temporary folder, unless runs are kept.
    temporary: Option<TempDir>,
}

impl Place {
    pub fn new(out: Option<&Path>) -> Result<Self> {
        let failed = "cannot create a folder for unfinished runs";
        let Some(out) = out else {
            let temporary = tempfile::tempdir().context(failed)?;
            return Ok(Self { folder: temporary.path().into(), temporary: Some(temporary) });
        };
        let folder = out.join("unfinished");
        fs::create_dir_all(&folder).context(failed)?;
        Ok(Self { folder, temporary: None })
    }

    pub fn model(&self, name: &str) -> PathBuf {
        self.folder.join(format!("{name}.safetensors"))
    }

    /// Removes a finished run's model. Failing to remove it does no harm.
    pub fn clear(model: &Path) {
        let _ = fs::remove_file(model);
        let _ = fs::remove_file(checkpoint_path(model));
    }

    /// Removes the folder unless it contains a run that can be resumed.
    pub fn end(self) {
        if self.temporary.is_none() {
            let _ = fs::remove_dir(self.folder);
        }
    }
}
