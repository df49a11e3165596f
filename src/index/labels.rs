/*!
Labels of images: from the names of their folders, or from a table.
*/

use std::collections::HashMap;
use std::path::Path;

use super::IndexError;
use super::paths::stored_path;

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
}

impl Labels {
    /// Reads a CSV table of `PATH,LABEL` lines without a header. Paths are relative to the folder
    /// of the file.
    ///
    /// # Errors
    /// If the file cannot be read or a line has no comma.
    pub fn read(path: &Path) -> Result<Self, IndexError> {
        let failed = |reason: String| IndexError::Labels { path: path.to_owned(), reason };
        let text = std::fs::read_to_string(path).map_err(|error| failed(error.to_string()))?;
        let folder = std::path::absolute(path).map_err(|error| failed(error.to_string()))?;
        let folder = folder.parent().unwrap_or(Path::new("/"));
        // Spreadsheets and Windows editors put a byte order mark in front.
        let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
        let mut table = HashMap::new();
        let mut reader = csv::ReaderBuilder::new();
        let mut reader = reader.has_headers(false).flexible(true).from_reader(text.as_bytes());
        let mut record = csv::StringRecord::new();
        while reader.read_record(&mut record).map_err(|error| failed(error.to_string()))? {
            let fields: Vec<&str> = record.iter().collect();
            // An unquoted path may contain commas; a label with a comma must be quoted.
            let (label, image) = match fields.split_last() {
                Some((label, image)) if !image.is_empty() => (label.trim(), image.join(",")),
                _ => {
                    let end = usize::try_from(reader.position().byte()).unwrap_or(text.len());
                    let read = text.get(..end).unwrap_or(text).trim_end();
                    let line = read.matches('\n').count() + 1;
                    return Err(failed(format!("line {line} has no comma")));
                }
            };
            let image = image.trim();
            let image = folder.join(image);
            // The spelling of a scan: links in the folder are followed, a link at the end is not.
            let parent = image.parent().and_then(|parent| parent.canonicalize().ok());
            let image = match (parent, image.file_name()) {
                (Some(parent), Some(name)) => parent.join(name),
                _ => image,
            };
            table.insert(stored_path(&image), label.to_owned());
        }
        Ok(Self::Table(table))
    }

    /// Returns the label of an image; `None` if the source does not mention it.
    #[cfg(feature = "engine")]
    pub(crate) fn of(&self, path: &Path) -> Option<String> {
        self.said(path).flatten()
    }

    /// Returns the label of an image, or `Some(None)` to remove it. `None` if the source does not
    /// mention the image, so that a stored label stays.
    pub(super) fn said(&self, path: &Path) -> Option<Option<String>> {
        match self {
            Self::None => None,
            Self::Folder => {
                let name = path.parent().and_then(Path::file_name);
                Some(name.map(|name| name.to_string_lossy().into_owned()))
            }
            Self::Table(table) => {
                let label = table.get(&stored_path(path))?;
                Some(Some(label.clone()).filter(|label| !label.is_empty()))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_are_csv_and_plain_lines() {
        let folder = tempfile::tempdir().unwrap();
        let (file, place) = (folder.path().join("l.csv"), folder.path().canonicalize().unwrap());
        let text = "\u{feff}a.jpg,owl\r\n\n b c.jpg , barn owl \n\"d,\"\"e\"\".jpg\",\"Owl, barn\"\nf,g.jpg,wren\n\"h\ni.jpg\",\nj.jpg,tit";
        std::fs::write(&file, text).unwrap();
        let Labels::Table(table) = Labels::read(&file).unwrap() else { panic!("no table") };
        let expected = [
            ("a.jpg", "owl"),
            ("b c.jpg", "barn owl"),
            ("d,\"e\".jpg", "Owl, barn"),
            ("f,g.jpg", "wren"),
            ("h\ni.jpg", ""),
            ("j.jpg", "tit"),
        ];
        assert_eq!(table.len(), expected.len(), "{table:?}");
        for (image, label) in expected {
            assert_eq!(table.get(&stored_path(&place.join(image))).unwrap(), label, "{image:?}");
        }
        std::fs::write(&file, "a.jpg,owl\n\nb.jpg\n").unwrap();
        let said = Labels::read(&file).unwrap_err().to_string();
        assert!(said.contains("line 3 has no comma"), "{said}");
        for odd in ["", "\n", "\"", "\"a,b", ",", "\u{feff}", "a,b,"] {
            std::fs::write(&file, odd).unwrap();
            let _ = Labels::read(&file);
        }
    }
}
