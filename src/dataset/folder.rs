/*!
One folder per class: the folder name is the class name, and all images below it belong to
the class.

If the class folders lie in folders `train`, `test` and optionally `val` (in any case, and by their
other usual names), these are the splits. Otherwise, one fifth of each class, chosen by seed,
becomes the test split. Files and folders are left out by the rules of [`crate::folder`], as in an
index.

This module also reads photos without classes, for unsupervised methods: every image below the
folder is a training image.
*/

use std::fs;
use std::path::{Path, PathBuf};

use super::split::{Image, by_class, sorted};
use super::{Dataset, DatasetError, Layout, Sample};
use crate::folder::{FolderError, LeftOut, ScanOptions, Walk, leads_to, rule_of_name};
use crate::image::is_image_path;

/// The usual names of the training, test and validation split, in lower case.
const SPLITS: [&[&str]; 3] =
    [&["train", "training"], &["test", "testing"], &["val", "valid", "validation"]];

/// Reads the data set in `root`.
pub(super) fn read(root: &Path, seed: u64) -> Result<Dataset, DatasetError> {
    let top = Level::read(root)?;
    match splits(root, &top)? {
        Some(splits) => read_splits(root, &top, &splits),
        None => read_classes(root, top, seed),
    }
}

/// Reads all images below `root` as training images without labels.
pub(super) fn read_photos(root: &Path) -> Result<Dataset, DatasetError> {
    let (mut images, mut notes) = (Vec::new(), Notes::default());
    walk(root, root, "", &mut images, &mut notes)?;
    let mut dataset = Dataset::new(Layout::Photos, root, Vec::new());
    dataset.warnings = notes.into_warnings();
    let sample = |image: Image| Sample::file(image.path, Vec::new());
    dataset.train = images.into_iter().map(sample).collect();
    Ok(dataset)
}

/// Sentences about the folders.
#[derive(Default)]
struct Notes {
    warnings: Vec<String>,
    left_out: LeftOut,
}

impl Notes {
    fn into_warnings(self) -> Vec<String> {
        let photos = self.left_out.unread_photos();
        self.warnings.into_iter().chain(photos).collect()
    }
}

/// Appends the images below `folder`, in byte order of their paths relative to `top`.
fn walk(
    top: &Path,
    folder: &Path,
    class: &str,
    images: &mut Vec<Image>,
    notes: &mut Notes,
) -> Result<(), DatasetError> {
    let Notes { warnings, left_out } = notes;
    let start = images.len();
    // Symbolic links are followed: collections are often assembled from them.
    let options = ScanOptions::default().with_links();
    let listed = Walk::new(folder, &options).and_then(|walk| walk.run(&|_| Ok(())));
    let listing = match listed {
        Ok(listing) => listing,
        Err(FolderError::Read { path, source }) if path == top => {
            return Err(DatasetError::Read { path, source });
        }
        Err(error) => {
            warnings.push(format!("{error}, so its images are left out"));
            return Ok(());
        }
    };
    // A link to a file that is gone needs no mention: some editors make them as lock files.
    let closed = listing.unreadable.iter().filter(|it| !it.path.is_symlink());
    warnings.extend(closed.map(|it| format!("{}, so it is left out", it.reason)));
    left_out.add(&listing.left_out);
    images.extend(listing.found.into_iter().map(|file| Image::new(top, class, file.path)));
    images[start..].sort_by(|a, b| a.key.cmp(&b.key));
    Ok(())
}

/// Returns the split folders of `root`: train, test and, if present, validation. Returns `None`
/// if the folders are classes.
fn splits(root: &Path, top: &Level) -> Result<Option<Vec<Level>>, DatasetError> {
    let names = |folder: &String, split: &[&str]| {
        split.iter().any(|name| folder.eq_ignore_ascii_case(name))
    };
    // The exact name first, should there be several.
    let find = |split: &'static [&str]| {
        let exact = split.iter().find_map(|name| top.folders.iter().find(|f| f == name));
        exact.or_else(|| top.folders.iter().find(|folder| names(folder, split)))
    };
    let found = SPLITS.map(find);
    let [Some(train), Some(test), val] = found else {
        // Next to folders that are not splits, "train" is a class: the vehicle.
        let all = top.folders.iter().all(|f| SPLITS.iter().any(|split| names(f, split)));
        let lacks = SPLITS.iter().zip(found).find(|(_, found)| found.is_none());
        return match lacks.filter(|_| all && !top.folders.is_empty()) {
            Some((split, _)) => {
                Err(DatasetError::Missing { layout: Layout::Folder, path: root.join(split[0]) })
            }
            None => Ok(None),
        };
    };
    let names = [train, test].into_iter().chain(val);
    names.map(|name| Level::read(&root.join(name))).collect::<Result<_, _>>().map(Some)
}

fn read_splits(root: &Path, top: &Level, splits: &[Level]) -> Result<Dataset, DatasetError> {
    let (mut images, mut notes) = (Vec::new(), Notes::default());
    for split in splits {
        images.push(split.images(&mut notes)?);
    }
    let found = images.iter().flatten().map(|image| image.class.as_str());
    let mut dataset = Dataset::new(Layout::Folder, root, sorted(found));
    for (images, to) in images.iter().zip(0..) {
        let samples = images.iter().map(|image| image.sample(&dataset.classes)).collect();
        match to {
            0 => dataset.train = samples,
            1 => dataset.test = samples,
            _ => dataset.val = samples,
        }
    }
    dataset.warnings = notes.into_warnings();
    let is_split = |name: &&String| splits.iter().any(|split| split.path == root.join(name));
    for name in top.folders.iter().filter(|name| !is_split(name)) {
        dataset.warnings.push(format!(
            "ignoring the folder {name} in {}, because the splits beside it are the data set",
            root.display()
        ));
    }
    top.warn_loose(&mut dataset.warnings);
    splits.iter().for_each(|split| split.warn(&dataset.classes, &mut dataset.warnings));
    Ok(dataset)
}

fn read_classes(root: &Path, top: Level, seed: u64) -> Result<Dataset, DatasetError> {
    let mut notes = Notes::default();
    let images = top.images(&mut notes)?;
    let mut dataset = by_class(Layout::Folder, root, images, seed);
    dataset.warnings = notes.into_warnings();
    top.warn(&dataset.classes, &mut dataset.warnings);
    Ok(dataset)
}

/// A folder whose subfolders are classes or splits.
struct Level {
    path: PathBuf,
    /// Names of the subfolders that no rule leaves out, in byte order.
    folders: Vec<String>,
    /// Number of image files directly in the folder, which belong to no class.
    loose: usize,
}

impl Level {
    fn read(path: &Path) -> Result<Self, DatasetError> {
        let failed = |source| DatasetError::Read { path: path.into(), source };
        let mut level = Self { path: path.into(), folders: Vec::new(), loose: 0 };
        for entry in fs::read_dir(path).map_err(failed)? {
            let name = entry.map_err(failed)?.file_name();
            let path = path.join(&name);
            // A link to a folder above would make a class of everything.
            if rule_of_name(&name).is_some() || path.is_symlink() && leads_to(&path).is_none() {
                continue;
            }
            if !path.is_dir() {
                level.loose += usize::from(is_image_path(&path));
                continue;
            }
            level.folders.push(name.into_string().map_err(|_| DatasetError::Name(path))?);
        }
        level.folders.sort_unstable();
        Ok(level)
    }

    /// Returns the images of all classes: classes in byte order, then images in byte order.
    fn images(&self, notes: &mut Notes) -> Result<Vec<Image>, DatasetError> {
        let mut images = Vec::new();
        for class in &self.folders {
            walk(&self.path, &self.path.join(class), class, &mut images, notes)?;
        }
        Ok(images)
    }

    fn warn_loose(&self, warnings: &mut Vec<String>) {
        let (loose, folder) = (self.loose, self.path.display());
        warnings.extend((loose > 0).then(|| {
            format!("ignoring {loose} images directly in {folder}, because they belong to no class")
        }));
    }

    fn warn(&self, classes: &[String], warnings: &mut Vec<String>) {
        self.warn_loose(warnings);
        let folder = self.path.display();
        let empty = |name: &&String| classes.binary_search(name).is_err();
        for name in self.folders.iter().filter(empty) {
            warnings
                .push(format!("ignoring the folder {name} in {folder}, because it has no images"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{names, refused, write};
    use super::*;

    fn open(root: &Path, seed: u64) -> Dataset {
        Dataset::open(root, None, seed).unwrap()
    }

    #[test]
    fn photos_need_no_classes() {
        let folder = tempfile::tempdir().unwrap();
        make(folder.path(), &["b.jpg", "a/2.png", "a/x/1.webp", ".h/3.jpg", ".4.jpg", "n.txt"]);
        let data = Dataset::open(folder.path(), Some(Layout::Photos), 1).unwrap();
        assert_eq!(names(&data, &data.train), ["a/2.png", "a/x/1.webp", "b.jpg"]);
        assert!(data.train.iter().all(|sample| sample.labels.is_empty()));
        assert!(data.classes.is_empty() && data.test.is_empty());
        let empty = tempfile::tempdir().unwrap();
        let error = Dataset::open(empty.path(), Some(Layout::Photos), 1).unwrap_err();
        assert!(error.to_string().contains("no image "), "{error}");
    }

    fn make(root: &Path, files: &[&str]) {
        let files: Vec<_> = files.iter().map(|name| (*name, "")).collect();
        write(root, &files);
    }

    fn make_class(root: &Path, class: &str, images: std::ops::Range<usize>) {
        for i in images {
            make(root, &[&format!("{class}/{i:03}.jpg")]);
        }
    }

    #[test]
    fn split_folders_are_splits() {
        let folder = tempfile::tempdir().unwrap();
        make(
            folder.path(),
            &[
                "train/b/1.jpg",
                "train/a/2.JPEG",
                "train/a/deep/er/3.png",
                "train/a/readme.txt",
                "train/.hidden/4.jpg",
                "train/a/.5.jpg",
                "train/a/.x/6.jpg",
                "train/empty/no.txt",
                "train/a/7.heics",
                "test/c/8.x3f",
                "validation/a/1.webp",
                "test/a/1.jpg",
                "test/c/2.jpg",
                "test/loose.jpg",
                "notes/a/1.jpg",
            ],
        );
        let data = open(folder.path(), 5);
        assert_eq!((data.layout, data.split_seed), (Layout::Folder, None));
        assert_eq!(data.classes, ["a", "b", "c"]);
        assert_eq!(
            names(&data, &data.train),
            ["train/a/2.JPEG", "train/a/deep/er/3.png", "train/b/1.jpg"]
        );
        assert_eq!(names(&data, &data.val), ["validation/a/1.webp"]);
        assert_eq!(data.test.iter().map(|s| s.labels[0]).collect::<Vec<_>>(), [0, 2]);
        let warnings = data.warnings.join("\n");
        for expected in [
            "1 images directly in",
            "folder empty",
            "folder notes",
            "1 HEIC, 1 raw files: this build reads none",
            "one image of each",
            ": b, c",
            "no training images of these classes, so the model cannot learn them: c",
        ] {
            assert!(warnings.contains(expected), "{expected} in {warnings}");
        }
        assert!(data.missing_files().is_empty());
    }

    #[test]
    fn a_fifth_of_each_class_is_for_testing() {
        let folder = tempfile::tempdir().unwrap();
        make_class(folder.path(), "ten", 0..10);
        make_class(folder.path(), "two", 0..2);
        make_class(folder.path(), "one", 0..1);
        let data = open(folder.path(), 3);
        assert_eq!((data.classes.len(), data.split_seed), (3, Some(3)));
        let count =
            |samples: &[Sample], label| samples.iter().filter(|s| s.labels == [label]).count();
        let of = |label| (count(&data.train, label), count(&data.test, label));
        assert_eq!((of(0), of(1), of(2)), ((1, 0), (8, 2), (1, 1)));
        assert!(
            data.warnings.iter().any(|w| w.contains("one image of each") && w.ends_with(": one"))
        );
        assert_eq!(data, open(folder.path(), 3));
        let others = (4..9).any(|seed| open(folder.path(), seed).test != data.test);
        assert!(others, "another seed gives another split");
    }

    #[test]
    fn the_seeded_split_is_the_same_everywhere() {
        let folder = tempfile::tempdir().unwrap();
        make_class(folder.path(), "a", 0..10);
        make_class(folder.path(), "b", 0..5);
        let data = open(folder.path(), 1);
        assert_eq!(names(&data, &data.test), ["a/000.jpg", "a/001.jpg", "b/000.jpg"]);
    }

    #[test]
    fn a_new_file_moves_at_most_one_other() {
        let folder = tempfile::tempdir().unwrap();
        make_class(folder.path(), "a", 0..40);
        make_class(folder.path(), "b", 0..40);
        let mut before = open(folder.path(), 9);
        for new in 40..60 {
            make_class(folder.path(), "a", new..new + 1);
            let after = open(folder.path(), 9);
            let train = names(&after, &after.train);
            let moved =
                names(&before, &before.test).into_iter().filter(|t| train.contains(t)).count();
            let test = names(&after, &after.test);
            let back =
                names(&before, &before.train).into_iter().filter(|t| test.contains(t)).count();
            assert!(moved + back <= 1, "{moved} and {back} moved for file {new}");
            before = after;
        }
    }

    #[test]
    fn train_can_be_a_class() {
        let folder = tempfile::tempdir().unwrap();
        make_class(folder.path(), "train", 0..3);
        make_class(folder.path(), "tram", 0..3);
        assert_eq!(open(folder.path(), 0).classes, ["train", "tram"]);
    }

    #[test]
    fn what_cannot_be_learned_from_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        assert!(refused(root, None).contains("has no images"));
        make(root, &["a/readme.txt", "loose.jpg"]);
        assert!(refused(root, None).contains("has no images"));
        make_class(root, "a", 0..1);
        assert!(refused(root, None).contains("of one class, 'a'"));
        make_class(root, "b", 0..1);
        assert!(refused(root, None).contains("test split"), "every class has one image only");

        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        make(root, &["train/a/1.jpg", "train/b/1.jpg", "val/a/1.jpg"]);
        let error = refused(root, None);
        assert!(error.contains(&root.join("test").display().to_string()), "{error}");
        make(root, &["test/readme.txt"]);
        assert!(refused(root, None).contains("test split"));
    }

    #[cfg(unix)]
    #[test]
    fn links_are_followed_but_not_in_circles() {
        let folder = tempfile::tempdir().unwrap();
        let store = tempfile::tempdir().unwrap();
        make(store.path(), &["1.jpg", "2.jpg"]);
        make_class(folder.path(), "a", 0..2);
        std::os::unix::fs::symlink(store.path(), folder.path().join("b")).unwrap();
        std::os::unix::fs::symlink("nowhere.jpg", folder.path().join("a/gone.jpg")).unwrap();
        let data = open(folder.path(), 0);
        assert_eq!(
            (data.classes.as_slice(), data.samples().count()),
            (&["a".into(), "b".into()][..], 4)
        );
        // Links to the folder above and to themselves are passed over.
        for (target, link) in [("..", "a/up"), (".", "all"), ("loop", "loop"), ("me", "a/me")] {
            std::os::unix::fs::symlink(target, folder.path().join(link)).unwrap();
        }
        assert_eq!(open(folder.path(), 0), data);
    }

    #[test]
    fn what_an_index_leaves_out_is_no_class_and_no_image() {
        let folder = tempfile::tempdir().unwrap();
        make_class(folder.path(), "owl", 0..6);
        make_class(folder.path(), "wren", 0..6);
        let plain = open(folder.path(), 0);
        make(
            folder.path(),
            &[
                "owl/@eaDir/1.jpg/SYNOPHOTO_THUMB_M.jpg",
                "@eaDir/owl/1.jpg",
                "$RECYCLE.BIN/1.jpg",
                "__MACOSX/owl/1.jpg",
                "wren/lost+found/1.jpg",
            ],
        );
        assert_eq!(open(folder.path(), 0), plain);
        let photos = Dataset::open(folder.path(), Some(Layout::Photos), 1).unwrap();
        assert_eq!(photos.train.len(), 12);
    }

    #[test]
    fn splits_have_several_names_in_any_case() {
        for [train, test, val] in [
            ["Train", "Test", "Val"],
            ["TRAINING", "testing", "valid"],
            ["training", "TEST", "Validation"],
        ] {
            let folder = tempfile::tempdir().unwrap();
            for split in [train, test, val] {
                make(
                    folder.path(),
                    &[&format!("{split}/owl/1.png"), &format!("{split}/tit/2.png")],
                );
            }
            let data = open(folder.path(), 0);
            assert_eq!(data.classes, ["owl", "tit"], "{train}");
            assert_eq!([data.train.len(), data.test.len(), data.val.len()], [2; 3]);
            assert_eq!(names(&data, &data.train)[0], format!("{train}/owl/1.png"));
            std::fs::remove_dir_all(folder.path().join(train)).unwrap();
            let said = refused(folder.path(), None);
            assert!(said.contains(&folder.path().join("train").display().to_string()), "{said}");
        }
    }
}
