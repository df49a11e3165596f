/*!
The layout of VegFru (Hou, Feng, Wang; ICCV 2017).

`vegfru_list/vegfru_train.txt`, `vegfru_val.txt` and `vegfru_test.txt` have one line
`path class` per image: the path relative to the data set's folder, such as
`veg200_images/leek/v_01_01_0001.jpg`, and the class number, from 0. Classes are named after
their folders. The validation list is optional.
*/

use std::path::{Path, PathBuf};

use super::list::{List, Once, folder_with};
use super::numbered::{self, Entry};
use super::{Dataset, DatasetError, Layout};

const FOLDER: &str = "vegfru_list";
const LISTS: [&str; 3] = ["vegfru_train.txt", "vegfru_val.txt", "vegfru_test.txt"];

/// Returns the folder with the lists: `root` or its `vegfru_list` folder.
pub(super) fn base(root: &Path) -> Option<PathBuf> {
    folder_with(root, &[FOLDER], &LISTS, 1)
}

/// Reads the data set in `root`.
pub(super) fn read(root: &Path) -> Result<Dataset, DatasetError> {
    let folder = base(root).unwrap_or_else(|| root.join(FOLDER));
    let list = |name| List::read(Layout::VegFru, &folder, name);
    let (train, test) = (list(LISTS[0])?, list(LISTS[2])?);
    let val = folder.join(LISTS[1]).is_file().then(|| list(LISTS[1])).transpose()?;
    let mut once = Once::new();
    let train = entries(&train, root, &mut once)?;
    let val = val.as_ref().map(|val| entries(val, root, &mut once)).transpose()?;
    let splits = [train, val.unwrap_or_default(), entries(&test, root, &mut once)?];
    let mut dataset = Dataset::new(Layout::VegFru, root, Vec::new());
    numbered::fill(&mut dataset, splits);
    Ok(dataset)
}

fn entries<'a>(
    list: &'a List,
    root: &Path,
    once: &mut Once<'a>,
) -> Result<Vec<Entry<'a>>, DatasetError> {
    let mut entries = Vec::new();
    for (line, text) in list.lines() {
        // Split from the right, because a path may contain spaces.
        let fields = text.rsplit_once(char::is_whitespace);
        let fields = fields.and_then(|(path, class)| Some((path.trim(), class.parse().ok()?)));
        let Some((place, class)) = fields else {
            return Err(list.error(line, "'path class number'", text));
        };
        once.check(list, line, place)?;
        entries.push(Entry { place, path: list.below(line, root, place)?, class });
    }
    Ok(entries)
}

#[cfg(test)]
mod tests {
    use super::super::tests::{names, refused, write};
    use super::*;

    const FILES: [(&str, &str); 3] = [
        (
            "vegfru_list/vegfru_train.txt",
            "veg200_images/Chinese_artichoke/v_14_01_0001.jpg 13\nfru92_images/grape_white/f_01_10_0875.jpg 209\n",
        ),
        ("vegfru_list/vegfru_val.txt", "fru92_images/grape_white/f_01_10_0002.jpg 209\n"),
        (
            "vegfru_list/vegfru_test.txt",
            "veg200_images/Chinese_artichoke/v_14_01_0444.jpg 13\nfru92_images/grape_white/f_01_10_0003.jpg 209\n",
        ),
    ];

    #[test]
    fn lists_become_splits() {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), &FILES);
        let data = Dataset::open(folder.path(), None, 0).unwrap();
        assert_eq!((data.layout, data.root.as_path()), (Layout::VegFru, folder.path()));
        assert_eq!(data.classes, ["Chinese_artichoke", "grape_white"]);
        let train = [
            "veg200_images/Chinese_artichoke/v_14_01_0001.jpg",
            "fru92_images/grape_white/f_01_10_0875.jpg",
        ];
        assert_eq!(names(&data, &data.train), train);
        assert_eq!((data.val.len(), data.val[0].labels[0]), (1, 1));
        assert_eq!(data.test.iter().map(|s| s.labels[0]).collect::<Vec<_>>(), [0, 1]);
        assert_eq!(data.missing_files().len(), 5);
        std::fs::remove_file(folder.path().join(FILES[1].0)).unwrap();
        let data = Dataset::open(folder.path(), None, 0).unwrap();
        assert!(data.val.is_empty());
    }

    #[test]
    fn missing_and_malformed_lists_are_named() {
        let folder = tempfile::tempdir().unwrap();
        for list in [FILES[0].0, FILES[2].0] {
            write(folder.path(), &FILES);
            std::fs::remove_file(folder.path().join(list)).unwrap();
            let error = refused(folder.path(), None);
            assert!(error.contains(list.rsplit('/').next().unwrap()), "{error}");
        }
        for (line, expected) in [
            ("veg200_images/leek/1.jpg", "line 1: expected 'path class number'"),
            ("veg200_images/leek/1.jpg leek", "line 1: expected 'path class number'"),
            ("veg200_images/leek/1.jpg -1", "line 1: expected 'path class number'"),
            ("../leek/1.jpg 1", "line 1: expected a path inside"),
            ("fru92_images/grape_white/f_01_10_0875.jpg 209", "only once across all splits"),
        ] {
            write(folder.path(), &FILES);
            write(folder.path(), &[("vegfru_list/vegfru_val.txt", line)]);
            let error = refused(folder.path(), None);
            assert!(error.contains("vegfru_val.txt") && error.contains(expected), "{error}");
        }
    }
}
