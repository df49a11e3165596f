/*!
Labels of images: from the names of their folders, or from a table.
*/

use std::collections::HashMap;
use std::path::Path;

use super::paths::stored_path;
use super::{IndexError, LabelTable, TableUse};

/// Maximum length of a label that is given by hand, in characters.
const LONGEST: usize = 200;

/// Returns a label that is given by hand without the spaces around it.
///
/// # Errors
/// [`IndexError::Label`] if it is empty, too long, or has control characters.
pub(super) fn checked_label(text: &str) -> Result<&str, IndexError> {
    let label = text.trim();
    if label.is_empty() {
        return Err(IndexError::Label("a label must not be empty".to_owned()));
    }
    if label.chars().count() > LONGEST {
        return Err(IndexError::Label(format!("a label has at most {LONGEST} characters")));
    }
    if label.chars().any(char::is_control) {
        return Err(IndexError::Label("a label has no control characters".to_owned()));
    }
    Ok(label)
}

/// The source of labels.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub enum Labels {
    /// Stored labels stay; new images get none.
    #[default]
    None,
    /// The name of the folder of an image.
    Folder,
    /// A table from stored path to label. Images that are not in it keep their labels; an empty
    /// label removes the label.
    Table(HashMap<String, String>),
    /// A table that was read from a file, and knows its rows.
    Rows(LabelTable),
}

impl Labels {
    /// Reads a table of `PATH,LABEL` lines. Paths are relative to the folder of the file; a first
    /// line that only names the columns is passed over. Separators may be commas, semicolons or
    /// tabs, the text UTF-8 or UTF-16.
    ///
    /// # Errors
    /// If the file cannot be read or a line has no separator.
    pub fn read(path: &Path) -> Result<Self, IndexError> {
        LabelTable::read(path).map(Self::Rows)
    }

    /// Returns what of a table that was read from a file names images; `is_there` tells whether
    /// there is an image at a stored path.
    pub fn table_use(&self, is_there: impl Fn(&str) -> bool) -> Option<TableUse> {
        match self {
            Self::Rows(table) => Some(table.used(is_there)),
            _ => None,
        }
    }

    /// Returns the label of an image; `None` if the source does not mention it.
    #[cfg(feature = "engine")]
    pub(crate) fn of(&self, path: &Path) -> Option<String> {
        self.said(path).flatten()
    }

    /// Returns the label of an image, or `Some(None)` to remove it. `None` if the source does not
    /// mention the image, so that a stored label stays.
    pub(super) fn said(&self, path: &Path) -> Option<Option<String>> {
        let label = match self {
            Self::None => return None,
            Self::Folder => {
                let name = path.parent().and_then(Path::file_name);
                return Some(name.map(|name| name.to_string_lossy().into_owned()));
            }
            Self::Table(table) => table.get(&stored_path(path)).map(String::as_str),
            Self::Rows(table) => table.label(&stored_path(path)),
        };
        label.map(|label| Some(label.to_owned()).filter(|label| !label.is_empty()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_by_hand_are_short_and_plain() {
        let longest = "ä".repeat(LONGEST);
        for (text, label) in
            [(" barn owl\n", "barn owl"), (&longest, &longest), ("a, \"b\"", "a, \"b\"")]
        {
            assert_eq!(checked_label(text).unwrap(), label);
        }
        let long = format!("{longest}x");
        for wrong in ["", "  \t", "a\nb", "a\u{1b}b", &long] {
            assert!(matches!(checked_label(wrong), Err(IndexError::Label(_))), "{wrong:?}");
        }
    }
}
