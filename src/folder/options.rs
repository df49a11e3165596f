/*!
The selection of files in a folder.
*/

/// The selection of files in a folder, stored with an indexed folder for later updates.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct ScanOptions {
    /// Excluded files and folders: patterns as in a shell (`*`, `?`, `[ab]`, `**`). A pattern
    /// without a slash is matched with each name below the folder, any other with the path from
    /// there.
    pub exclude: Vec<String>,
    /// Whether hidden files and folders (names that begin with a dot) and system folders are
    /// included.
    pub hidden: bool,
    /// Whether links to folders are followed. A folder that is read anyway is not read twice.
    pub follow_links: bool,
}

impl ScanOptions {
    /// Excludes files and folders that match `pattern`, in addition to earlier patterns.
    pub fn without(mut self, pattern: impl Into<String>) -> Self {
        self.exclude.push(pattern.into());
        self
    }

    /// Includes hidden files and folders.
    pub fn with_hidden(self) -> Self {
        Self { hidden: true, ..self }
    }

    /// Follows links to folders.
    pub fn with_links(self) -> Self {
        Self { follow_links: true, ..self }
    }

    /// Returns the union of these options and `more`.
    pub fn and(mut self, more: &Self) -> Self {
        for pattern in &more.exclude {
            if !self.exclude.contains(pattern) {
                self.exclude.push(pattern.clone());
            }
        }
        let (hidden, follow_links) =
            (self.hidden || more.hidden, self.follow_links || more.follow_links);
        Self { hidden, follow_links, ..self }
    }
}
