/*!
The layout of the Grocery Store data set (Klasson, Zhang, Kjellström; WACV 2019).

`train.txt`, `val.txt` and `test.txt` have one line `path, fine class, coarse class` per image.
`classes.csv` contains the names and numbers of the fine classes. In the published repository,
all files are in a folder `dataset`. Labels are the fine classes.
*/

use std::path::{Path, PathBuf};

use super::list::{List, Once};
use super::{Dataset, DatasetError, Layout, Sample};

const CLASSES: &str = "classes.csv";
const LISTS: [&str; 3] = ["train.txt", "val.txt", "test.txt"];
const LINE: &str = "'path, fine class, coarse class'";

/// Returns the folder with the lists: `root` or its `dataset` folder.
pub(super) fn base(root: &Path) -> Option<PathBuf> {
    let fits = |folder: &PathBuf| {
        folder.join(CLASSES).is_file() && LISTS.iter().any(|list| folder.join(list).is_file())
    };
    [root.to_path_buf(), root.join("dataset")].into_iter().find(fits)
}

/// Reads the data set in `root`.
pub(super) fn read(root: &Path) -> Result<Dataset, DatasetError> {
    let root = base(root).unwrap_or_else(|| root.to_path_buf());
    let classes = classes(&List::read(Layout::Grocery, &root, CLASSES)?)?;
    let mut dataset = Dataset::new(Layout::Grocery, &root, classes);
    let list = |name| List::read(Layout::Grocery, &root, name);
    let lists = [list(LISTS[0])?, list(LISTS[1])?, list(LISTS[2])?];
    let mut once = Once::new();
    dataset.train = samples(&lists[0], &dataset, &mut once)?;
    dataset.val = samples(&lists[1], &dataset, &mut once)?;
    dataset.test = samples(&lists[2], &dataset, &mut once)?;
    Ok(dataset)
}

/// Returns the class names in the order of their numbers, which must be 0, 1, 2, …
fn classes(list: &List) -> Result<Vec<String>, DatasetError> {
    let mut numbered = Vec::new();
    for (line, text) in list.lines() {
        let mut fields = text.split(',').map(str::trim);
        let name = fields.next().unwrap_or_default();
        match fields.next().map(str::parse::<usize>) {
            Some(Ok(id)) if !name.is_empty() => numbered.push((id, line, name)),
            // The header line.
            _ if line == 1 => {}
            _ => return Err(list.error(line, "'class name,class number,…'", text)),
        }
    }
    numbered.sort_unstable();
    for (expected, (id, line, name)) in numbered.iter().enumerate() {
        if *id != expected {
            let found = format!("{name},{id}");
            let expected = format!("class numbers 0, 1, 2, … each once (next: {expected})");
            return Err(list.error(*line, expected, &found));
        }
    }
    Ok(numbered.into_iter().map(|(_, _, name)| name.to_string()).collect())
}

fn samples<'a>(
    list: &'a List,
    dataset: &Dataset,
    once: &mut Once<'a>,
) -> Result<Vec<Sample>, DatasetError> {
    let mut samples = Vec::new();
    for (line, text) in list.lines() {
        // Split from the right, because a path may contain commas.
        let mut fields = text.rsplitn(3, ',').map(str::trim);
        let (coarse, fine, path) = (fields.next(), fields.next(), fields.next());
        let number = |field: Option<&str>| field.and_then(|f| f.parse::<u32>().ok());
        let (Some(_), Some(fine), Some(path)) = (number(coarse), number(fine), path) else {
            return Err(list.error(line, LINE, text));
        };
        let known = dataset.classes.len();
        if fine as usize >= known {
            let expected = format!("a fine class of {CLASSES}, below {known}");
            return Err(list.error(line, expected, text));
        }
        once.check(list, line, path)?;
        samples.push(Sample::file(list.below(line, &dataset.root, path)?, vec![fine]));
    }
    Ok(samples)
}

#[cfg(test)]
mod tests {
    use super::super::tests::{names, refused, write};
    use super::*;

    const CSV: &str = "\u{feff}Class Name (str),Class ID (int),Coarse Class Name (str),Coarse Class ID (int),Iconic Image Path (str),Product Description Path (str)\r\nGolden-Delicious,0,Apple,0,/a.jpg,/a.txt\r\nGranny-Smith,1,Apple,0,/b.jpg,/b.txt";
    const TRAIN: &str = "train/Fruit/g_001.jpg, 0, 0\ntrain/Fruit/h, i_001.jpg, 1, 0\n";

    fn make(folder: &Path) {
        write(
            folder,
            &[
                ("classes.csv", CSV),
                ("train.txt", TRAIN),
                ("val.txt", "val/Fruit/g_001.jpg, 0, 0\n"),
                ("test.txt", "test/Fruit/h_001.jpg, 1, 0\n\ntest/Fruit/g_001.jpg, 0, 0\n"),
            ],
        );
    }

    #[test]
    fn lists_become_splits() {
        let folder = tempfile::tempdir().unwrap();
        make(folder.path());
        let data = Dataset::open(folder.path(), None, 7).unwrap();
        assert_eq!(data.layout, Layout::Grocery);
        assert_eq!(data.classes, ["Golden-Delicious", "Granny-Smith"]);
        assert_eq!(
            names(&data, &data.train),
            ["train/Fruit/g_001.jpg", "train/Fruit/h, i_001.jpg"]
        );
        assert_eq!(names(&data, &data.test), ["test/Fruit/h_001.jpg", "test/Fruit/g_001.jpg"]);
        assert_eq!(data.test[0].labels, [1]);
        assert_eq!((data.val.len(), data.split_seed), (1, None));
        assert_eq!(data.missing_files().len(), 5, "the images are listed but were not created");
        assert!(data.warnings.is_empty(), "{:?}", data.warnings);
    }

    #[test]
    fn the_repositorys_sub_folder_is_found() {
        let folder = tempfile::tempdir().unwrap();
        make(&folder.path().join("dataset"));
        let data = Dataset::open(folder.path(), None, 0).unwrap();
        assert_eq!(data.root, folder.path().join("dataset"));
    }

    #[test]
    fn a_missing_list_is_named() {
        let folder = tempfile::tempdir().unwrap();
        for list in ["train.txt", "val.txt", "test.txt", "classes.csv"] {
            make(folder.path());
            std::fs::remove_file(folder.path().join(list)).unwrap();
            let error = refused(folder.path(), Some(Layout::Grocery));
            assert!(error.contains(list), "{error}");
        }
    }

    #[test]
    fn malformed_lines_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let bad = [
            ("train/a.jpg", "expected 'path, fine class"),
            ("train/a.jpg, 0", "expected 'path, fine class"),
            ("train/a.jpg, zero, 0", "expected 'path, fine class"),
            ("train/a.jpg, 2, 0", "below 2"),
            ("train/a.jpg, -1, 0", "expected 'path, fine class"),
            ("../a.jpg, 0, 0", "inside the data set"),
            ("/a.jpg, 0, 0", "inside the data set"),
            (", 0, 0", "inside the data set"),
            ("train/Fruit/g_001.jpg, 1, 0", "only once"),
        ];
        for (line, expected) in bad {
            make(folder.path());
            write(folder.path(), &[("train.txt", &format!("{TRAIN}{line}\n"))]);
            let error = refused(folder.path(), None);
            assert!(error.contains("train.txt, line 3") && error.contains(expected), "{error}");
        }
        make(folder.path());
        write(folder.path(), &[("test.txt", "train/Fruit/g_001.jpg, 0, 0")]);
        assert!(refused(folder.path(), None).contains("only once across all splits"));
    }

    #[test]
    fn class_numbers_must_be_complete() {
        let folder = tempfile::tempdir().unwrap();
        for (lines, line) in [("a,0\nb,0", 3), ("a,0\nb,2", 3), ("a,1\nb,2", 2), ("a,0\nb", 3)] {
            make(folder.path());
            write(folder.path(), &[("classes.csv", &format!("name,id\n{lines}"))]);
            let error = refused(folder.path(), None);
            assert!(error.contains(&format!("classes.csv, line {line}")), "{error}");
        }
    }

    #[test]
    fn empty_lists_and_a_single_class_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        make(folder.path());
        write(folder.path(), &[("test.txt", "")]);
        assert!(refused(folder.path(), None).contains("test split"));
        write(folder.path(), &[("train.txt", "a.jpg, 0, 0"), ("test.txt", "b.jpg, 0, 0")]);
        assert!(refused(folder.path(), None).contains("'Golden-Delicious'"));
    }
}
