/*!
How many files of a folder are not read, and why.
*/

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::FileKind;

/// Longest extension that is told apart; longer ones are parts of names.
const LONGEST: usize = 8;

/// A rule that leaves out files and folders by their names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Rule {
    /// The name begins with a dot.
    Hidden,
    /// A folder of the system: a bin, thumbnails of a file server, recovered files.
    System,
    /// A pattern of the options.
    Excluded,
}

/// Numbers of files that are not read. Each file is in one number only: the rule comes before the
/// kind.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct LeftOut {
    /// Hidden files, and files in hidden folders.
    pub hidden: usize,
    /// Files in system folders.
    pub system: usize,
    /// Files that match a pattern, or lie in a folder that does.
    pub excluded: usize,
    /// Links to folders that are not followed, or lead to a folder that is read anyway.
    pub links: usize,
    /// Pipes, sockets and devices.
    pub special: usize,
    /// Files of other kinds, by kind and by extension in lower case (empty for files without one).
    pub kinds: BTreeMap<FileKind, BTreeMap<String, usize>>,
}

impl LeftOut {
    /// Returns the sum of all numbers.
    pub fn total(&self) -> usize {
        let kinds: usize = self.kinds.values().flat_map(BTreeMap::values).sum();
        self.hidden + self.system + self.excluded + self.links + self.special + kinds
    }

    /// Returns the number of files of a kind.
    pub fn of_kind(&self, kind: FileKind) -> usize {
        self.kinds.get(&kind).map_or(0, |all| all.values().sum())
    }

    /// Returns the numbers of the pictures in formats that this build does not read, by the names
    /// of the formats.
    pub fn photos(&self) -> BTreeMap<String, usize> {
        let mut formats = BTreeMap::new();
        for (extension, files) in self.kinds.get(&FileKind::Photo).into_iter().flatten() {
            *formats.entry(FileKind::format(extension)).or_default() += files;
        }
        formats
    }

    /// Returns a sentence with the numbers of the pictures that this build does not read.
    pub fn unread_photos(&self) -> Option<String> {
        let files = if self.of_kind(FileKind::Photo) == 1 { "file" } else { "files" };
        let named: Vec<String> =
            self.photos().iter().map(|(format, count)| format!("{count} {format}")).collect();
        let named = named.join(", ");
        (!named.is_empty()).then(|| format!("{named} {files}: this build reads none"))
    }

    /// Adds other numbers to these.
    pub fn add(&mut self, other: &Self) {
        self.hidden += other.hidden;
        self.system += other.system;
        self.excluded += other.excluded;
        self.links += other.links;
        self.special += other.special;
        for (kind, extensions) in &other.kinds {
            let own = self.kinds.entry(*kind).or_default();
            for (extension, files) in extensions {
                *own.entry(extension.clone()).or_default() += files;
            }
        }
    }

    /// Counts a file that a rule leaves out.
    pub(super) fn count(&mut self, rule: Rule) {
        match rule {
            Rule::Hidden => self.hidden += 1,
            Rule::System => self.system += 1,
            Rule::Excluded => self.excluded += 1,
        }
    }

    /// Counts a file of another kind.
    pub(super) fn count_kind(&mut self, path: &Path) {
        let extension = path.extension().and_then(|e| e.to_str()).unwrap_or_default();
        let extension = extension.to_ascii_lowercase();
        // Numbers and long endings would make this a list of names.
        let known = extension.len() <= LONGEST
            && extension.bytes().all(|b| b.is_ascii_alphanumeric())
            && extension.bytes().any(|b| b.is_ascii_lowercase());
        let extension = if known { extension } else { String::new() };
        let kind = self.kinds.entry(FileKind::of(&extension)).or_default();
        *kind.entry(extension).or_default() += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_file_is_counted_once() {
        let mut all = LeftOut::default();
        for rule in [Rule::Hidden, Rule::System, Rule::Excluded, Rule::System] {
            all.count(rule);
        }
        let names =
            ["a.SVG", "b.svgz", "c.X3f", "d.mp4", "e.txt", "f", "g.001", "h.very-long-ending"];
        names.iter().for_each(|name| all.count_kind(Path::new(name)));
        assert_eq!((all.hidden, all.system, all.excluded, all.total()), (1, 2, 1, 12));
        let photos: Vec<_> = all.photos().into_iter().collect();
        assert_eq!(photos, [("SVG".to_owned(), 2), ("raw".to_owned(), 1)]);
        let said = all.unread_photos().unwrap();
        assert_eq!(said, "2 SVG, 1 raw files: this build reads none");
        assert_eq!((all.of_kind(FileKind::Video), all.of_kind(FileKind::Other)), (1, 4));
        assert_eq!(all.kinds[&FileKind::Other][""], 3);
        let text = serde_json::to_string(&all).unwrap();
        assert!(text.contains("\"photo\":{\"svg\":1"), "{text}");
        assert_eq!(serde_json::from_str::<LeftOut>(&text).unwrap(), all);
        let mut twice = all.clone();
        twice.add(&all);
        assert_eq!(twice.total(), 24);
    }
}
