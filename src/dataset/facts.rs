/*!
Static facts about each layout: title, publisher's page, terms of use, required files, and the
expected number of classes and images.
*/

use serde::Serialize;

use super::{Dataset, Layout};

/// The terms shown if the publisher's terms are not a well-known licence.
const SEE: &str = "see the official page";

/// Facts about a layout.
#[derive(Debug, Clone, Copy, Serialize)]
#[non_exhaustive]
pub struct Facts {
    /// The layout.
    pub layout: Layout,
    /// Title of the data set.
    pub title: &'static str,
    /// Subject of the images.
    pub shows: &'static str,
    /// The publisher's page; `None` for the layouts of the user's own photos.
    pub page: Option<&'static str>,
    /// The licence or the terms of use, as published.
    pub terms: Option<&'static str>,
    /// Number of classes.
    pub classes: Option<usize>,
    /// Number of images that each split must have.
    pub images: Option<Counts>,
    /// The files that the data set's folder must contain.
    pub files: &'static [Place],
    /// Description of the splits.
    pub splits: &'static str,
}

/// A file or a kind of file in a data set's folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Place {
    /// Path relative to the folder; words in capitals are placeholders.
    pub path: &'static str,
    /// Description of the content.
    pub holds: &'static str,
}

/// The number of images in each split.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Counts {
    /// Training images.
    pub train: usize,
    /// Validation images.
    pub val: usize,
    /// Test images, used as queries.
    pub test: usize,
    /// Database images, which queries are compared with.
    pub database: usize,
}

impl Counts {
    /// Returns the counts of a data set whose database is its training split.
    const fn of(train: usize, val: usize, test: usize) -> Option<Self> {
        Some(Self { train, val, test, database: train })
    }
}

impl Dataset {
    /// Returns the number of images in each split.
    pub fn counts(&self) -> Counts {
        let database = self.database().len();
        let Self { train, val, test, .. } = self;
        Counts { train: train.len(), val: val.len(), test: test.len(), database }
    }
}

const fn place(path: &'static str, holds: &'static str) -> Place {
    Place { path, holds }
}

const TRAIN_IS_DATABASE: &str =
    "as published; the test images are the queries, the training images are the database";
const DRAWN: &str = "drawn at random by seed: 100 queries and 500 training images of each class; the database is all images except the queries";

impl Layout {
    /// Returns the facts about the layout.
    pub fn facts(self) -> &'static Facts {
        match self {
            Self::Folder => &FOLDER,
            Self::Photos => &PHOTOS,
            Self::Index => &INDEX,
            Self::Grocery => &GROCERY,
            Self::Cub => &CUB,
            Self::NaBirds => &NABIRDS,
            Self::Dogs => &DOGS,
            Self::Flowers102 => &FLOWERS102,
            Self::Flowers17 => &FLOWERS17,
            Self::Aircraft => &AIRCRAFT,
            Self::VegFru => &VEGFRU,
            Self::Food101 => &FOOD101,
            Self::Cifar10 => &CIFAR10,
            Self::NusWide => &NUSWIDE,
        }
    }
}

static FOLDER: Facts = Facts {
    layout: Layout::Folder,
    title: "Your own photos",
    shows: "anything; each folder is a class, named after the folder",
    page: None,
    terms: None,
    classes: None,
    images: None,
    files: &[
        place("CLASS/IMAGE", "the images of each class, or:"),
        place("train/CLASS/IMAGE", "the training images"),
        place("val/CLASS/IMAGE", "the validation images; optional"),
        place("test/CLASS/IMAGE", "the test images, which are the queries"),
    ],
    splits: "the folders train, val and test; without them, a fifth of each class, chosen by seed, becomes the test split",
};

static PHOTOS: Facts = Facts {
    layout: Layout::Photos,
    title: "Your own photos without classes",
    shows: "anything; for methods that learn without classes (lsh, whitened-lsh, itq)",
    page: None,
    terms: None,
    classes: None,
    images: None,
    files: &[place("IMAGE", "the images, in any folders")],
    splits: "all images are training images",
};

static INDEX: Facts = Facts {
    layout: Layout::Index,
    title: "Your own index with labels",
    shows: "anything; each label is a class",
    page: None,
    terms: None,
    classes: None,
    images: None,
    files: &[place("NAME.db", "the index; images without a label are left out")],
    splits: "a fifth of each class, chosen by seed, becomes the test split",
};

static GROCERY: Facts = Facts {
    layout: Layout::Grocery,
    title: "Grocery Store",
    shows: "fruit, vegetables and packages, photographed in shops",
    page: Some("https://github.com/marcusklasson/GroceryStoreDataset"),
    terms: Some("MIT licence"),
    classes: Some(81),
    images: Counts::of(2_640, 296, 2_485),
    files: &[
        place("classes.csv", "the classes' names and numbers"),
        place("train.txt", "path, class and coarse class of each training image"),
        place("val.txt", "the same for validation"),
        place("test.txt", "the same for testing"),
        place("train/…/IMAGE.jpg", "the images; likewise for val/ and test/"),
    ],
    splits: TRAIN_IS_DATABASE,
};

static CUB: Facts = Facts {
    layout: Layout::Cub,
    title: "CUB-200-2011",
    shows: "200 kinds of birds",
    page: Some("https://www.vision.caltech.edu/datasets/cub_200_2011/"),
    terms: Some(SEE),
    classes: Some(200),
    images: Counts::of(5_994, 0, 5_794),
    files: &[
        place("classes.txt", "the classes' numbers and names"),
        place("images.txt", "the images' numbers and paths"),
        place("image_class_labels.txt", "the class of each image"),
        place("train_test_split.txt", "1 for each training image, 0 for each test image"),
        place("images/CLASS/IMAGE.jpg", "the images"),
    ],
    splits: TRAIN_IS_DATABASE,
};

static NABIRDS: Facts = Facts {
    layout: Layout::NaBirds,
    title: "NABirds",
    shows: "400 species of North American birds, some of them by sex or age",
    page: Some("https://dl.allaboutbirds.org/nabirds"),
    terms: Some(SEE),
    classes: Some(555),
    images: Counts::of(23_929, 0, 24_633),
    files: &[
        place("classes.txt", "numbers and names of all classes, of which 555 have images"),
        place("hierarchy.txt", "the parent of each class; not needed"),
        place("images.txt", "the images' names and paths"),
        place("image_class_labels.txt", "the class of each image"),
        place("train_test_split.txt", "1 for each training image, 0 for each test image"),
        place("images/CLASS/IMAGE.jpg", "the images"),
    ],
    splits: TRAIN_IS_DATABASE,
};

static DOGS: Facts = Facts {
    layout: Layout::Dogs,
    title: "Stanford Dogs",
    shows: "120 breeds of dogs",
    page: Some("http://vision.stanford.edu/aditya86/ImageNetDogs/"),
    terms: Some(SEE),
    classes: Some(120),
    images: Counts::of(12_000, 0, 8_580),
    files: &[
        place("train_list.mat", "paths and classes of the training images"),
        place("test_list.mat", "the same for testing"),
        place("Images/CLASS/IMAGE.jpg", "the images"),
    ],
    splits: TRAIN_IS_DATABASE,
};

static FLOWERS102: Facts = Facts {
    layout: Layout::Flowers102,
    title: "Oxford Flowers-102",
    shows: "102 kinds of flowers",
    page: Some("https://www.robots.ox.ac.uk/~vgg/data/flowers/102/"),
    terms: Some(SEE),
    classes: Some(102),
    images: Counts::of(1_020, 1_020, 6_149),
    files: &[
        place("imagelabels.mat", "the class of each image"),
        place("setid.mat", "which images are for training (trnid), validation and testing"),
        place("jpg/image_00001.jpg", "the images, up to image_08189.jpg"),
    ],
    splits: TRAIN_IS_DATABASE,
};

static FLOWERS17: Facts = Facts {
    layout: Layout::Flowers17,
    title: "Oxford Flowers-17",
    shows: "17 kinds of flowers, 80 images of each",
    page: Some("https://www.robots.ox.ac.uk/~vgg/data/flowers/17/"),
    terms: Some(SEE),
    classes: Some(17),
    images: Counts::of(680, 340, 340),
    files: &[
        place("datasplits.mat", "three splits"),
        place("jpg/image_0001.jpg", "the images, up to image_1360.jpg"),
    ],
    splits: "the first of the three published splits; the test images are the queries, the training images are the database",
};

static AIRCRAFT: Facts = Facts {
    layout: Layout::Aircraft,
    title: "FGVC-Aircraft",
    shows: "100 variants of aircraft",
    page: Some("https://www.robots.ox.ac.uk/~vgg/data/fgvc-aircraft/"),
    terms: Some("non-commercial research only; the photographers keep their copyright"),
    classes: Some(100),
    images: Counts::of(3_334, 3_333, 3_333),
    files: &[
        place("data/variants.txt", "the classes' names"),
        place("data/images_variant_train.txt", "image and variant of each training image"),
        place("data/images_variant_val.txt", "the same for validation"),
        place("data/images_variant_test.txt", "the same for testing"),
        place("data/images/IMAGE.jpg", "the images"),
    ],
    splits: TRAIN_IS_DATABASE,
};

static VEGFRU: Facts = Facts {
    layout: Layout::VegFru,
    title: "VegFru",
    shows: "200 kinds of vegetables and 92 kinds of fruit",
    page: Some("https://github.com/ustc-vim/vegfru"),
    terms: Some(SEE),
    classes: Some(292),
    images: Counts::of(29_200, 14_600, 116_931),
    files: &[
        place("vegfru_list/vegfru_train.txt", "path and class of each training image"),
        place("vegfru_list/vegfru_val.txt", "the same for validation; optional"),
        place("vegfru_list/vegfru_test.txt", "the same for testing"),
        place("veg200_images/CLASS/IMAGE.jpg", "the images of vegetables"),
        place("fru92_images/CLASS/IMAGE.jpg", "the images of fruit"),
    ],
    splits: TRAIN_IS_DATABASE,
};

static FOOD101: Facts = Facts {
    layout: Layout::Food101,
    title: "Food-101",
    shows: "101 dishes",
    page: Some("https://data.vision.ee.ethz.ch/cvl/datasets_extra/food-101/"),
    terms: Some(
        "the images belong to their owners; use beyond scientific fair use must be agreed with them",
    ),
    classes: Some(101),
    images: Counts::of(75_750, 0, 25_250),
    files: &[
        place("meta/classes.txt", "the classes' names"),
        place("meta/train.txt", "class and name of each training image; or train.json"),
        place("meta/test.txt", "the same for testing; or test.json"),
        place("images/CLASS/IMAGE.jpg", "the images"),
    ],
    splits: TRAIN_IS_DATABASE,
};

static CIFAR10: Facts = Facts {
    layout: Layout::Cifar10,
    title: "CIFAR-10",
    shows: "ten kinds of animals and vehicles at 32 × 32 pixels; the binary version",
    page: Some("https://www.cs.toronto.edu/~kriz/cifar.html"),
    terms: Some(SEE),
    classes: Some(10),
    images: Some(Counts { train: 5_000, val: 0, test: 1_000, database: 59_000 }),
    files: &[
        place("batches.meta.txt", "the classes' names"),
        place("data_batch_1.bin", "10,000 images and their classes"),
        place("data_batch_2.bin", "the same"),
        place("data_batch_3.bin", "the same"),
        place("data_batch_4.bin", "the same"),
        place("data_batch_5.bin", "the same"),
        place("test_batch.bin", "the same"),
    ],
    splits: DRAWN,
};

static NUSWIDE: Facts = Facts {
    layout: Layout::NusWide,
    title: "NUS-WIDE",
    shows: "photos of Flickr with one or more of the 21 most frequent of 81 concepts",
    page: Some(
        "https://lms.comp.nus.edu.sg/wp-content/uploads/2019/research/nuswide/NUS-WIDE.html",
    ),
    terms: Some(SEE),
    classes: Some(21),
    images: Some(Counts { train: 10_500, val: 0, test: 2_100, database: 193_734 }),
    files: &[
        place("ImageList/Imagelist.txt", "the images' paths"),
        place(
            "Groundtruth/AllLabels/Labels_CONCEPT.txt",
            "1 for each image that shows the concept, else 0; one file for each of the 81 concepts",
        ),
        place("Flickr/FOLDER/IMAGE.jpg", "the images"),
    ],
    splits: DRAWN,
};

#[cfg(test)]
mod tests {
    use super::super::tests::write;
    use super::*;
    use crate::dataset::DatasetError;

    /// Returns the list files of a layout, that is, all its files except images.
    fn lists(layout: Layout) -> Vec<String> {
        let files = layout.facts().files.iter().filter(|p| !p.path.contains(".jpg"));
        files.map(|p| p.path.replace("CONCEPT", "airport")).collect()
    }

    #[test]
    fn every_layout_has_its_own_facts() {
        for layout in Layout::ALL {
            let facts = layout.facts();
            assert_eq!(facts.layout, layout);
            let published = !matches!(layout, Layout::Folder | Layout::Photos | Layout::Index);
            let all = [
                facts.page.is_some(),
                facts.terms.is_some(),
                facts.classes.is_some(),
                facts.images.is_some(),
            ];
            assert_eq!(all, [published; 4], "{layout}");
            assert!(facts.page.is_none_or(|page| page.starts_with("http")), "{layout}");
            assert!(!facts.files.is_empty() && !facts.title.is_empty(), "{layout}");
        }
    }

    #[test]
    fn the_named_files_are_those_that_are_asked_for() {
        for layout in Layout::ALL.into_iter().filter(|l| l.facts().page.is_some()) {
            // A file that a reader reports as missing must be in the table, whichever list is
            // absent. Readers open all lists before they parse them, so empty lists suffice.
            for missing in lists(layout) {
                let folder = tempfile::tempdir().unwrap();
                let others: Vec<String> =
                    lists(layout).into_iter().filter(|list| *list != missing).collect();
                let files: Vec<(&str, &str)> =
                    others.iter().map(|list| (list.as_str(), "")).collect();
                write(folder.path(), &files);
                let error = Dataset::open(folder.path(), Some(layout), 0).unwrap_err();
                if let DatasetError::Missing { path, .. } = &error {
                    let path = path.strip_prefix(folder.path()).unwrap();
                    let path = path.to_string_lossy().replace('\\', "/");
                    let named =
                        layout.facts().files.iter().any(|place| place.path.ends_with(&path));
                    let concept = layout == Layout::NusWide && path.contains("Labels_");
                    assert!(named || concept, "{layout}: {path}");
                }
            }
            let empty = tempfile::tempdir().unwrap();
            let error = Dataset::open(empty.path(), Some(layout), 0).unwrap_err();
            let DatasetError::Missing { path, .. } = &error else { panic!("{layout}: {error}") };
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            let named = layout.facts().files.iter().any(|place| place.path.ends_with(&name));
            assert!(named, "{layout}: {name}");
        }
    }

    #[test]
    fn sums_are_those_of_the_publications() {
        let all = |layout: Layout| {
            let images = layout.facts().images.unwrap();
            images.database + images.val + images.test
        };
        assert_eq!(all(Layout::Cub), 11_788);
        assert_eq!(all(Layout::NaBirds), 48_562);
        assert_eq!(all(Layout::Dogs), 20_580);
        assert_eq!(all(Layout::Flowers102), 8_189);
        assert_eq!(all(Layout::Flowers17), 17 * 80);
        assert_eq!(all(Layout::Aircraft), 10_000);
        assert_eq!(all(Layout::VegFru), 160_731);
        assert_eq!(all(Layout::Food101), 101_000);
        assert_eq!(all(Layout::Cifar10), 60_000);
        assert_eq!(all(Layout::NusWide), 195_834);
    }
}
