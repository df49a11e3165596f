/*!
The layout of NUS-WIDE (Chua, Tang, Hong, Li, Luo, Zheng; CIVR 2009).

`ImageList/Imagelist.txt` has one line `folder\image` per image, whose file is
`Flickr/folder/image`. For each of 81 concepts, `Groundtruth/AllLabels/Labels_CONCEPT.txt` has
one line per image: 1 if the image shows the concept, otherwise 0. Retrieval uses the 21 most
frequent concepts and the images that show at least one of them. Queries and training images are
drawn at random by seed.
*/

use std::path::{Path, PathBuf};

use super::draw::{Draw, USUAL};
use super::list::{List, Once, folder_with};
use super::{Dataset, DatasetError, Layout, Sample};

const IMAGES: &str = "ImageList/Imagelist.txt";
const LABELS: &str = "Groundtruth/AllLabels";
/// Possible folders of the images: the published name and a common alternative.
const FOLDERS: [&str; 2] = ["Flickr", "images"];
/// Number of concepts used.
const USED: usize = 21;

const CONCEPTS: [&str; 81] = [
    "airport",
    "animal",
    "beach",
    "bear",
    "birds",
    "boats",
    "book",
    "bridge",
    "buildings",
    "cars",
    "castle",
    "cat",
    "cityscape",
    "clouds",
    "computer",
    "coral",
    "cow",
    "dancing",
    "dog",
    "earthquake",
    "elk",
    "fire",
    "fish",
    "flags",
    "flowers",
    "food",
    "fox",
    "frost",
    "garden",
    "glacier",
    "grass",
    "harbor",
    "horses",
    "house",
    "lake",
    "leaf",
    "map",
    "military",
    "moon",
    "mountain",
    "nighttime",
    "ocean",
    "person",
    "plane",
    "plants",
    "police",
    "protest",
    "railroad",
    "rainbow",
    "reflection",
    "road",
    "rocks",
    "running",
    "sand",
    "sign",
    "sky",
    "snow",
    "soccer",
    "sports",
    "statue",
    "street",
    "sun",
    "sunset",
    "surf",
    "swimmers",
    "tattoo",
    "temple",
    "tiger",
    "tower",
    "town",
    "toy",
    "train",
    "tree",
    "valley",
    "vehicle",
    "water",
    "waterfall",
    "wedding",
    "whales",
    "window",
    "zebra",
];

/// Returns the data set's folder: `root` or its subfolder `NUS-WIDE`.
pub(super) fn base(root: &Path) -> Option<PathBuf> {
    let first = format!("{LABELS}/{}", list_of(CONCEPTS[0]));
    folder_with(root, &["NUS-WIDE"], &[IMAGES, &first], 1)
}

fn list_of(concept: &str) -> String {
    format!("Labels_{concept}.txt")
}

/// Reads the data set in `root`.
pub(super) fn read(root: &Path, seed: u64) -> Result<Dataset, DatasetError> {
    read_drawn(root, seed, USUAL)
}

fn read_drawn(root: &Path, seed: u64, draw: Draw) -> Result<Dataset, DatasetError> {
    let root = base(root).unwrap_or_else(|| root.to_path_buf());
    let list = List::read(Layout::NusWide, &root, IMAGES)?;
    let images: Vec<(usize, &str)> = list.lines().collect();
    let concepts = frequent(&root, &list, images.len())?;
    let mut labels = vec![Vec::new(); images.len()];
    for ((_, shown), label) in concepts.iter().zip(0u32..) {
        for image in shown {
            labels[*image as usize].push(label);
        }
    }
    let names = concepts.iter().map(|(concept, _)| (*concept).to_owned()).collect();
    let mut dataset = Dataset::new(Layout::NusWide, &root, names);
    let folder = FOLDERS.map(|folder| root.join(folder)).into_iter().find(|f| f.is_dir());
    let folder = folder.unwrap_or_else(|| root.join(FOLDERS[0]));
    let mut once = Once::new();
    let mut samples = Vec::new();
    for ((line, image), labels) in images.into_iter().zip(labels) {
        once.check(&list, line, image)?;
        let path = list.below(line, &folder, &image.replace('\\', "/"))?;
        if !labels.is_empty() {
            samples.push(Sample::file(path, labels));
        }
    }
    draw.deal(samples, seed, &mut dataset);
    Ok(dataset)
}

/// Returns the most frequent concepts, sorted by name, each with the positions of its images.
fn frequent(
    root: &Path,
    images: &List,
    count: usize,
) -> Result<Vec<(&'static str, Vec<u32>)>, DatasetError> {
    let mut all = Vec::with_capacity(CONCEPTS.len());
    for concept in CONCEPTS {
        let list = List::read(Layout::NusWide, &root.join(LABELS), &list_of(concept))?;
        let mut shown = Vec::new();
        let mut lines = 0u32;
        for (line, text) in list.lines() {
            match text {
                "1" => shown.push(lines),
                "0" => {}
                _ => return Err(list.error(line, "1 or 0", text)),
            }
            lines += 1;
            if lines as usize > count {
                let expected = format!("only {count} lines, one for each image of {IMAGES}");
                return Err(list.error(line, expected, text));
            }
        }
        if (lines as usize) < count {
            let what = format!("image {}", lines + 1);
            let other = images.path.clone();
            return Err(DatasetError::NoPartner { path: list.path, what, other });
        }
        all.push((concept, shown));
    }
    // A stable sort: among equally frequent concepts, the first by name are kept.
    all.sort_by_key(|(_, shown)| std::cmp::Reverse(shown.len()));
    all.truncate(USED);
    all.sort_unstable_by_key(|(concept, _)| *concept);
    Ok(all)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::super::tests::{names, refused, write};
    use super::*;

    const FEW: Draw = Draw { queries: 1, training: 2 };

    /// Writes 120 images. Every second or third image shows each of the first 21 concepts; only
    /// the first image shows the other 60.
    fn make(folder: &Path) {
        let images: String =
            (1..=120).map(|i| format!("actor\\{i:04}_21244941{i}.jpg\n")).collect();
        write(folder, &[(IMAGES, &images)]);
        for (number, concept) in CONCEPTS.iter().enumerate() {
            let every = if number < USED { 2 + number % 2 } else { 120 };
            let line = |i: usize| if i.is_multiple_of(every) { "1\n" } else { "0\n" };
            let labels: String = (0..120).map(line).collect();
            write(folder, &[(&format!("{LABELS}/{}", list_of(concept)), &labels)]);
        }
    }

    #[test]
    fn concepts_become_labels() {
        let folder = tempfile::tempdir().unwrap();
        make(&folder.path().join("NUS-WIDE"));
        assert_eq!(Layout::detect(folder.path()).unwrap(), Layout::NusWide);
        let data = read_drawn(folder.path(), 3, FEW).unwrap();
        assert_eq!(data.classes, CONCEPTS[..USED]);
        // Every second and every third of 120 images: 80. The others are omitted.
        assert_eq!((data.samples().count(), data.split_seed), (80, Some(3)));
        let first = data.samples().find(|s| s.path.ends_with("Flickr/actor/0001_212449411.jpg"));
        assert_eq!(first.unwrap().labels, (0..21).collect::<Vec<_>>());
        let third = data.samples().find(|s| s.path.ends_with("0003_212449413.jpg")).unwrap();
        assert_eq!(third.labels, (0..21).filter(|l| l % 2 == 0).collect::<Vec<_>>());
        assert_eq!((data.test.len(), data.train.len(), data.database().len()), (21, 42, 59));
        assert!(names(&data, &data.test).iter().all(|n| n.starts_with("Flickr/actor/")));
        assert_eq!(data.missing_files().len(), crate::dataset::MISSING_SHOWN);
        fs::create_dir(folder.path().join("NUS-WIDE/images")).unwrap();
        let data = read_drawn(folder.path(), 3, FEW).unwrap();
        assert!(names(&data, &data.test).iter().all(|n| n.starts_with("images/actor/")));
    }

    #[test]
    fn frequency_chooses_the_concepts() {
        let folder = tempfile::tempdir().unwrap();
        make(folder.path());
        let ones = "1\n".repeat(120);
        write(folder.path(), &[(&format!("{LABELS}/Labels_zebra.txt"), &ones)]);
        let data = read_drawn(folder.path(), 3, FEW).unwrap();
        assert_eq!((data.classes.len(), data.classes[20].as_str()), (21, "zebra"));
        assert_eq!(data.samples().count(), 120);
        // Of the concepts with 40 images, the last by name is dropped.
        assert!(!data.classes.contains(&CONCEPTS[19].to_owned()));
    }

    #[test]
    fn missing_and_malformed_lists_are_named() {
        let folder = tempfile::tempdir().unwrap();
        make(folder.path());
        for concept in CONCEPTS {
            let list = format!("{LABELS}/{}", list_of(concept));
            let text = fs::read_to_string(folder.path().join(&list)).unwrap();
            fs::remove_file(folder.path().join(&list)).unwrap();
            let error = refused(folder.path(), None);
            assert!(error.contains(&list_of(concept)), "{error}");
            write(folder.path(), &[(&list, &text)]);
        }
        let list = format!("{LABELS}/Labels_cat.txt");
        for (text, expected) in [
            ("0\n2\n", "line 2: expected 1 or 0, found '2'"),
            (&*"0\n".repeat(121), "line 121: expected only 120 lines"),
            (&*"0\n".repeat(119), "has no line for image 120"),
        ] {
            make(folder.path());
            write(folder.path(), &[(&list, text)]);
            let error = refused(folder.path(), None);
            assert!(error.contains("Labels_cat.txt") && error.contains(expected), "{error}");
        }
        for (line, expected) in
            [("..\\1.jpg", "a path inside"), ("actor\\0001_212449411.jpg", "only once")]
        {
            make(folder.path());
            let text = fs::read_to_string(folder.path().join(IMAGES)).unwrap();
            let text: Vec<&str> = text.lines().take(119).chain([line]).collect();
            write(folder.path(), &[(IMAGES, &text.join("\n"))]);
            let error = refused(folder.path(), None);
            assert!(error.contains("line 120") && error.contains(expected), "{error}");
        }
        make(folder.path());
        fs::remove_file(folder.path().join(IMAGES)).unwrap();
        assert!(refused(folder.path(), None).contains("Imagelist.txt"));
    }
}
