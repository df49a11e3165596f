/*!
Compiled exclusion patterns.
*/

use std::path::Path;

use glob::{MatchOptions, Pattern};

use super::FolderError;

/// Compiled patterns.
#[derive(Debug, Default)]
pub(super) struct Patterns {
    names: Vec<Pattern>,
    paths: Vec<Pattern>,
}

impl Patterns {
    pub fn new(patterns: &[String]) -> Result<Self, FolderError> {
        let mut compiled = Self::default();
        for pattern in patterns {
            let failed = |source| FolderError::Pattern { pattern: pattern.clone(), source };
            let ready = Pattern::new(pattern.trim_matches('/')).map_err(failed)?;
            let to = if pattern.contains('/') { &mut compiled.paths } else { &mut compiled.names };
            to.push(ready);
        }
        Ok(compiled)
    }

    /// Returns whether a pattern matches `path` or its name; `folder` is the folder that is listed.
    pub fn have(&self, path: &Path, folder: &Path) -> bool {
        let within = MatchOptions { require_literal_separator: true, ..MatchOptions::default() };
        let below = path.strip_prefix(folder).unwrap_or(path);
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        self.names.iter().any(|pattern| pattern.matches(&name))
            || self.paths.iter().any(|pattern| pattern.matches_path_with(below, within))
    }
}
