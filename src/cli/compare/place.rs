/*!
The folder of models that are being trained and measured.
*/

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use tempfile::TempDir;

use crate::train::checkpoint_path;

/// The folder of models that are being trained and measured.
pub struct Place {
    folder: PathBuf,
    /// A temporary folder, if nothing is kept.
    temporary: Option<TempDir>,
}

impl Place {
    pub fn new(out: Option<&Path>) -> Result<Self> {
        let failed = "cannot make a folder for unfinished runs";
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

    /// Removes a finished run's model. A file that stays does no harm.
    pub fn clear(model: &Path) {
        let _ = fs::remove_file(model);
        let _ = fs::remove_file(checkpoint_path(model));
    }

    /// Removes the folder unless it holds a run that can be resumed.
    pub fn end(self) {
        if self.temporary.is_none() {
            let _ = fs::remove_dir(self.folder);
        }
    }
}
