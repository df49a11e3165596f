/*!
The layout of CIFAR-10 (Krizhevsky, 2009), the binary version.

`batches.meta.txt` names the ten classes. `data_batch_1.bin` to `data_batch_5.bin` and
`test_batch.bin` store each image of 32 × 32 pixels as a record of 3,073 bytes: the class,
from 0, then the red, the green and the blue plane, each row by row. Retrieval does not use
the published split: queries and training images are drawn at random, by seed, from all images.
*/

use std::fs::{self, File};
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use ::image::{Rgb, RgbImage};

use super::draw::{Draw, USUAL};
use super::list::{List, folder_with};
use super::{Dataset, DatasetError, Layout, Sample};
use crate::cause::told;
use crate::image::ImageError;

const CLASSES: &str = "batches.meta.txt";
const BATCHES: [&str; 6] = [
    "data_batch_1.bin",
    "data_batch_2.bin",
    "data_batch_3.bin",
    "data_batch_4.bin",
    "data_batch_5.bin",
    "test_batch.bin",
];
/// Width and height of an image.
const SIDE: usize = 32;
/// Values in one colour plane.
const PLANE: usize = SIDE * SIDE;
/// Size of a record in bytes.
const RECORD: usize = 1 + 3 * PLANE;

/// Returns the folder with the batches: `root`, or the top folder of the published archive.
pub(super) fn base(root: &Path) -> Option<PathBuf> {
    let inner = ["cifar-10-batches-bin"];
    folder_with(root, &inner, &[CLASSES], 1).or_else(|| folder_with(root, &inner, &BATCHES, 2))
}

/// Reads the data set in `root`.
pub(super) fn read(root: &Path, seed: u64) -> Result<Dataset, DatasetError> {
    read_drawn(root, seed, USUAL)
}

fn read_drawn(root: &Path, seed: u64, draw: Draw) -> Result<Dataset, DatasetError> {
    let root = base(root).unwrap_or_else(|| root.to_path_buf());
    let names = List::read(Layout::Cifar10, &root, CLASSES)?;
    let classes: Vec<String> = names.lines().map(|(_, name)| name.to_owned()).collect();
    let mut samples = Vec::new();
    for batch in BATCHES {
        read_batch(&root.join(batch), classes.len(), &mut samples)?;
    }
    let mut dataset = Dataset::new(Layout::Cifar10, &root, classes);
    draw.deal(samples, seed, &mut dataset);
    Ok(dataset)
}

/// Appends the images of one batch to `samples`.
fn read_batch(path: &Path, classes: usize, samples: &mut Vec<Sample>) -> Result<(), DatasetError> {
    if !path.is_file() {
        return Err(DatasetError::Missing { layout: Layout::Cifar10, path: path.into() });
    }
    let failed = |source| DatasetError::Read { path: path.into(), source };
    let unfit = |reason: String| DatasetError::Unfit { path: path.into(), reason: reason.into() };
    let file = File::open(path).map_err(failed)?;
    let size = file.metadata().map_err(failed)?.len();
    let records = u32::try_from(size / RECORD as u64).ok().filter(|_| size % RECORD as u64 == 0);
    let Some(records) = records else {
        return Err(unfit(format!("its size, {size} bytes, is not a multiple of {RECORD}")));
    };
    let mut file = BufReader::new(file);
    let mut bytes = [0; RECORD];
    for record in 0..records {
        file.read_exact(&mut bytes).map_err(failed)?;
        let class = bytes[0];
        if usize::from(class) >= classes {
            return Err(unfit(format!(
                "image {record} has class {class}, but {CLASSES} names only {classes}, from 0"
            )));
        }
        let (path, labels) = (path.into(), vec![u32::from(class)]);
        samples.push(Sample { path, record: Some(record), labels });
    }
    Ok(())
}

/// Reads one image of a batch.
///
/// # Errors
/// If the file is missing, unreadable, or too short to contain the image.
pub(super) fn picture(path: &Path, record: u32) -> Result<RgbImage, ImageError> {
    let failed = |source| ImageError::Read { path: path.into(), source };
    // Checked before opening, because opening a pipe blocks until a writer appears.
    if !fs::metadata(path).map_err(failed)?.is_file() {
        return Err(ImageError::NotAFile { path: path.into() });
    }
    let mut values = [0; 3 * PLANE];
    let start = u64::from(record) * RECORD as u64 + 1;
    let read = File::open(path).and_then(|mut file| {
        file.seek(SeekFrom::Start(start))?;
        file.read_exact(&mut values)
    });
    read.map_err(|error| match error.kind() {
        io::ErrorKind::UnexpectedEof => {
            failed(io::Error::other(told(format!("it ends before image {record}"), error)))
        }
        _ => failed(error),
    })?;
    Ok(RgbImage::from_fn(SIDE as u32, SIDE as u32, |x, y| {
        let at = y as usize * SIDE + x as usize;
        Rgb([values[at], values[PLANE + at], values[2 * PLANE + at]])
    }))
}

#[cfg(test)]
mod tests {
    use super::super::tests::{refused, write};
    use super::*;
    use crate::image::Limits;

    const NAMES: &str = "airplane\nautomobile\nbird\ncat\ndeer\ndog\nfrog\nhorse\nship\ntruck\n\n";

    /// Writes batches of 20 images, two per class. Red values hold the batch number, green
    /// values the image number, and blue values count up.
    fn make(folder: &Path) {
        write(folder, &[(CLASSES, NAMES)]);
        for (batch, name) in BATCHES.iter().enumerate() {
            let mut bytes = Vec::new();
            for number in 0..20u8 {
                bytes.push(number % 10);
                bytes.extend([batch as u8; PLANE]);
                bytes.extend([number; PLANE]);
                bytes.extend((0..PLANE).map(|at| at as u8));
            }
            fs::write(folder.join(name), bytes).unwrap();
        }
    }

    const FEW: Draw = Draw { queries: 2, training: 4 };

    #[test]
    fn batches_become_splits() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("cifar-10-batches-bin");
        fs::create_dir(&root).unwrap();
        make(&root);
        assert_eq!(Layout::detect(folder.path()).unwrap(), Layout::Cifar10);
        let data = read_drawn(folder.path(), 7, FEW).unwrap();
        assert_eq!((&data.root, data.split_seed), (&root, Some(7)));
        assert_eq!((data.classes.len(), data.classes[9].as_str()), (10, "truck"));
        let counts = (data.train.len(), data.test.len(), data.database().len());
        assert_eq!(counts, (40, 20, 100));
        for sample in data.samples() {
            let record = sample.record.unwrap();
            assert_eq!(sample.labels, [record % 10]);
            let picture = sample.open(&Limits::default()).unwrap();
            assert_eq!(picture.dimensions(), (32, 32));
            let batch = BATCHES.iter().position(|b| sample.path.ends_with(b)).unwrap();
            assert_eq!(picture.get_pixel(0, 0).0, [batch as u8, record as u8, 0]);
            assert_eq!(picture.get_pixel(31, 0).0[2], 31);
            assert_eq!(picture.get_pixel(1, 2).0[2], 65);
        }
        assert_eq!(data.samples().count(), 120);
        assert_ne!(read_drawn(folder.path(), 8, FEW).unwrap().test, data.test);
        assert!(data.missing_files().is_empty());
    }

    #[test]
    fn missing_and_damaged_batches_are_named() {
        let folder = tempfile::tempdir().unwrap();
        for list in BATCHES.into_iter().chain([CLASSES]) {
            make(folder.path());
            fs::remove_file(folder.path().join(list)).unwrap();
            let error = refused(folder.path(), None);
            assert!(error.contains(list), "{error}");
        }
        make(folder.path());
        let batch = folder.path().join(BATCHES[2]);
        let whole = fs::read(&batch).unwrap();
        fs::write(&batch, &whole[..whole.len() - 1]).unwrap();
        let error = refused(folder.path(), None);
        assert!(error.contains("data_batch_3.bin") && error.contains("61459 bytes"), "{error}");
        let mut other = whole.clone();
        other[RECORD * 5] = 10;
        fs::write(&batch, other).unwrap();
        let error = refused(folder.path(), None);
        assert!(error.contains("image 5 has class 10"), "{error}");
    }

    #[test]
    fn a_batch_that_has_shrunk_gives_an_error() {
        let folder = tempfile::tempdir().unwrap();
        make(folder.path());
        let path = folder.path().join(BATCHES[0]);
        let open = |record, path: &Path| picture(path, record).unwrap_err().to_string();
        assert!(open(20, &path).contains("it ends before image 20"));
        assert!(open(u32::MAX, &path).contains("data_batch_1.bin"));
        assert!(open(0, folder.path()).contains("is not a file"));
        assert!(open(0, &folder.path().join("none.bin")).contains("none.bin"));
    }
}
