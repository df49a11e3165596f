/*!
Bounding boxes of object parts, and the parts that distinguish each class from its nearest one.
Only rendered data sets provide them.
*/

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use super::list::List;
use super::{Dataset, DatasetError, Layout};

/// The list of boxes: `image part left top right bottom visible`, in pixels; right and bottom are
/// exclusive.
pub(super) const BOXES: &str = "parts/part_boxes.txt";
/// The list of distinguishing parts: `class part`.
pub(super) const TELLING: &str = "parts/telling.txt";
/// The format of a line of [`BOXES`].
const BOX_LINE: &str = "'image part left top right bottom visible'";

/// A rectangle in an image, in pixels.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct Area {
    /// First column.
    pub left: f64,
    /// First row.
    pub top: f64,
    /// Column after the last one.
    pub right: f64,
    /// Row after the last one.
    pub bottom: f64,
}

impl Area {
    /// Returns whether the point lies inside.
    pub fn holds(&self, x: f64, y: f64) -> bool {
        x >= self.left && x < self.right && y >= self.top && y < self.bottom
    }
}

/// For each image, the visible boxes of the parts that distinguish its class from the nearest one.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct TellingParts {
    areas: HashMap<PathBuf, Vec<Area>>,
}

impl TellingParts {
    /// Returns the boxes of an image; empty if no distinguishing part is visible.
    pub fn of(&self, image: &Path) -> &[Area] {
        self.areas.get(image).map_or(&[], Vec::as_slice)
    }

    /// Reads the lists of a data set in the `cub` layout; `None` if it has no such lists.
    ///
    /// # Errors
    /// If a list is missing or malformed.
    pub fn read(dataset: &Dataset) -> Result<Option<Self>, DatasetError> {
        let root = &dataset.root;
        if dataset.layout != Layout::Cub || !root.join(BOXES).is_file() {
            return Ok(None);
        }
        let list = |name| List::read(Layout::Cub, root, name);
        let (telling, boxes, images) = (list(TELLING)?, list(BOXES)?, list("images.txt")?);
        let mut tells: HashMap<&str, Vec<&str>> = HashMap::new();
        for (line, text) in telling.lines() {
            let (class, part) =
                text.split_once(' ').ok_or_else(|| telling.error(line, "'class part'", text))?;
            tells.entry(class).or_default().push(part.trim());
        }
        let labels = list("image_class_labels.txt")?;
        let classes: HashMap<&str, &str> =
            labels.lines().filter_map(|(_, text)| text.split_once(' ')).collect();
        let paths: HashMap<&str, &str> =
            images.lines().filter_map(|(_, text)| text.split_once(' ')).collect();
        let mut found = Self::default();
        for (line, text) in boxes.lines() {
            let wrong = || boxes.error(line, BOX_LINE, text);
            let fields: Vec<&str> = text.split_whitespace().collect();
            let [image, part, left, top, right, bottom, visible] = fields[..] else {
                return Err(wrong());
            };
            let number = |text: &str| text.parse::<f64>().ok().filter(|n| n.is_finite());
            let [Some(left), Some(top), Some(right), Some(bottom)] =
                [left, top, right, bottom].map(number)
            else {
                return Err(wrong());
            };
            let path = paths.get(image).ok_or_else(wrong)?;
            let tells = classes.get(image).and_then(|class| tells.get(class.trim()));
            if visible == "1" && tells.is_some_and(|parts| parts.contains(&part)) {
                let path = root.join("images").join(path.trim());
                let area = Area { left, top, right, bottom };
                found.areas.entry(path).or_default().push(area);
            }
        }
        Ok(Some(found))
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::write;
    use super::*;

    const LISTS: [(&str, &str); 6] = [
        ("classes.txt", "1 001.A\n2 002.B\n"),
        ("images.txt", "1 001.A/a.jpg\n2 002.B/b.jpg\n3 002.B/c.jpg\n"),
        ("image_class_labels.txt", "1 1\n2 2\n3 2\n"),
        ("train_test_split.txt", "1 1\n2 0\n3 1\n"),
        (BOXES, "1 1 0 0 9 9 1\n1 2 2 3 5 7 1\n2 2 1 1 4 4 0\n3 1 6 6 8 8 1\n"),
        (TELLING, "1 2\n2 1\n"),
    ];

    #[test]
    fn visible_boxes_of_telling_parts_are_read() {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), &LISTS);
        let dataset = Dataset::open(folder.path(), None, 0).unwrap();
        let parts = TellingParts::read(&dataset).unwrap().unwrap();
        let of = |name: &str| parts.of(&folder.path().join("images").join(name));
        assert_eq!(of("001.A/a.jpg"), [Area { left: 2.0, top: 3.0, right: 5.0, bottom: 7.0 }]);
        // Part 1 distinguishes this class, but the image has no box for it.
        assert!(of("002.B/b.jpg").is_empty());
        assert!(of("002.B/c.jpg")[0].holds(6.0, 7.9) && !of("002.B/c.jpg")[0].holds(8.0, 7.0));
    }

    #[test]
    fn lists_that_are_not_there_or_malformed() {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), &LISTS[..4]);
        let dataset = Dataset::open(folder.path(), None, 0).unwrap();
        assert_eq!(TellingParts::read(&dataset).unwrap(), None);
        write(folder.path(), &LISTS);
        for line in ["1 1 0 0 9 9", "1 1 0 0 9 x 1", "9 1 0 0 9 9 1", "1 1 0 0 9 inf 1"] {
            write(folder.path(), &[(BOXES, line)]);
            let error = TellingParts::read(&dataset).unwrap_err().to_string();
            assert!(error.contains("part_boxes.txt, line 1"), "{error}");
        }
    }
}
