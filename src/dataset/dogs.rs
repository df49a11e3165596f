/*!
The layout of Stanford Dogs (Khosla, Jayadevaprakash, Yao, Fei-Fei; 2011).

`train_list.mat` and `test_list.mat` contain the cells `file_list`, with image paths relative
to `Images/`, and the numbers `labels`, from 1. There is no validation split. Classes are named
after their folders, such as `n02085620-Chihuahua`.
*/

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use super::list::{folder_with, inside};
use super::mat::Mat;
use super::numbered::{self, Entry};
use super::{Dataset, DatasetError, Layout};

const LISTS: [&str; 2] = ["train_list.mat", "test_list.mat"];
const FILES: &str = "file_list";
const LABELS: &str = "labels";

/// Returns the folder with the lists: `root` or its `lists` folder.
pub(super) fn base(root: &Path) -> Option<PathBuf> {
    folder_with(root, &["lists"], &LISTS, 1)
}

/// Reads the data set in `root`.
pub(super) fn read(root: &Path) -> Result<Dataset, DatasetError> {
    let lists = base(root).unwrap_or_else(|| root.to_path_buf());
    let [train, test] = LISTS.map(|name| Mat::read(Layout::Dogs, &lists, name));
    let (train, test) = (train?, test?);
    let images = root.join("Images");
    let mut once = HashSet::new();
    let splits =
        [entries(&train, &images, &mut once)?, Vec::new(), entries(&test, &images, &mut once)?];
    let mut dataset = Dataset::new(Layout::Dogs, root, Vec::new());
    numbered::fill(&mut dataset, splits);
    Ok(dataset)
}

fn entries<'a>(
    list: &'a Mat,
    images: &Path,
    once: &mut HashSet<&'a str>,
) -> Result<Vec<Entry<'a>>, DatasetError> {
    let (places, labels) = (list.texts(FILES)?, list.numbers(LABELS)?);
    if places.len() != labels.len() {
        let (places, labels) = (places.len(), labels.len());
        return Err(list.unfit(format!("it has {places} files in {FILES} but {labels} {LABELS}")));
    }
    let mut entries = Vec::with_capacity(places.len());
    for (at, (place, class)) in places.into_iter().zip(labels).enumerate() {
        let wrong = |expected| list.entry(FILES, at, expected, place);
        let path =
            inside(images, place).ok_or_else(|| wrong("a path inside the data set's folder"))?;
        if !once.insert(place) {
            return Err(wrong("listed only once across both splits"));
        }
        entries.push(Entry { place, path, class });
    }
    Ok(entries)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::super::mat::tests::{file_of, fixture, numbers_of, texts_of};
    use super::super::tests::{names, refused};
    use super::*;

    fn make(folder: &Path) {
        fs::write(folder.join("train_list.mat"), fixture!("train_list.mat")).unwrap();
        fs::write(folder.join("test_list.mat"), fixture!("test_list.mat")).unwrap();
    }

    #[test]
    fn lists_become_splits() {
        let folder = tempfile::tempdir().unwrap();
        make(folder.path());
        let data = Dataset::open(folder.path(), None, 0).unwrap();
        assert_eq!((data.layout, data.root.as_path()), (Layout::Dogs, folder.path()));
        assert_eq!(data.classes, ["n02085620-Chihuahua", "n02116738-African_hunting_dog"]);
        let train = [
            "Images/n02085620-Chihuahua/n02085620_5927.jpg",
            "Images/n02085620-Chihuahua/n02085620_4441.jpg",
            "Images/n02116738-African_hunting_dog/n02116738_8956.jpg",
        ];
        assert_eq!(names(&data, &data.train), train);
        // In the list, the last class has the number 120.
        assert_eq!(data.test.iter().map(|s| s.labels[0]).collect::<Vec<_>>(), [0, 1]);
        assert!(data.val.is_empty() && data.warnings.is_empty(), "{:?}", data.warnings);
        assert_eq!(data.missing_files().len(), 5);
        fs::create_dir(folder.path().join("lists")).unwrap();
        for list in LISTS {
            fs::rename(folder.path().join(list), folder.path().join("lists").join(list)).unwrap();
        }
        assert_eq!(Dataset::open(folder.path(), None, 0).unwrap(), data);
    }

    #[test]
    fn missing_and_malformed_lists_are_named() {
        let folder = tempfile::tempdir().unwrap();
        for list in LISTS {
            make(folder.path());
            fs::remove_file(folder.path().join(list)).unwrap();
            let error = refused(folder.path(), None);
            assert!(error.contains(list), "{error}");
        }
        let bad: [(&[&str], &[f64], &str); 6] = [
            (&["a/1.jpg"], &[1.0, 2.0], "1 files in file_list but 2 labels"),
            (&["a/1.jpg"], &[0.5], "entry 1 of labels"),
            (&["a/1.jpg", "../1.jpg"], &[1.0, 2.0], "entry 2 of file_list should be a path inside"),
            (&["a/1.jpg", "/1.jpg"], &[1.0, 2.0], "entry 2 of file_list should be a path inside"),
            (&["a/1.jpg", "a/1.jpg"], &[1.0, 1.0], "entry 2 of file_list should be listed only"),
            (&["n02085620-Chihuahua/n02085620_2650.jpg", "b/1.jpg"], &[1.0, 2.0], "entry 1 of"),
        ];
        for (files, labels, expected) in bad {
            make(folder.path());
            let list = file_of(&[texts_of(FILES, files), numbers_of(LABELS, labels)]);
            fs::write(folder.path().join("train_list.mat"), list).unwrap();
            let error = refused(folder.path(), None);
            assert!(error.contains(expected), "{error}");
        }
        fs::write(folder.path().join("train_list.mat"), file_of(&[])).unwrap();
        assert!(refused(folder.path(), None).contains("no variable file_list"));
    }
}
