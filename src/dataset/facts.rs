/*!
What is known of each layout before a file is read: whose data set it is, where it is
published and on which terms, what must lie where, and how many images must come out.
*/

use serde::Serialize;

use super::{Dataset, Layout};

/// What is said where a publisher's terms are not a known licence.
const SEE: &str = "see the official page";

/// What is known of a layout.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Facts {
    /// Its name on the command line.
    pub layout: Layout,
    /// What the data set is called.
    pub title: &'static str,
    /// What its images show.
    pub shows: &'static str,
    /// The publisher's page; none for layouts of one's own photos.
    pub page: Option<&'static str>,
    /// The licence or the terms, as published.
    pub terms: Option<&'static str>,
    /// How many classes it has.
    pub classes: Option<usize>,
    /// How many images each split must have.
    pub images: Option<Counts>,
    /// What must lie where in the data set's folder.
    pub files: &'static [Place],
    /// How its splits are used.
    pub splits: &'static str,
}

/// A file or a kind of file in a data set's folder. Capitals stand for many names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Place {
    /// Where it is below the folder.
    pub path: &'static str,
    /// What it holds.
    pub holds: &'static str,
}

/// How many images there are in each split.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// To learn from.
    pub train: usize,
    /// To choose on.
    pub val: usize,
    /// Queries.
    pub test: usize,
    /// What queries are compared with.
    pub database: usize,
}

impl Counts {
    /// Of a data set whose training images are the database.
    const fn of(train: usize, val: usize, test: usize) -> Option<Self> {
        Some(Self { train, val, test, database: train })
    }
}

impl Dataset {
    /// How many images there are in each split.
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
    "as published; the test images are queries, the training images the database";
const DRAWN: &str = "drawn by a seed: of each class 100 queries and 500 training images; all but the queries are the database";

impl Layout {
    /// What is known of the layout.
    pub fn facts(self) -> &'static Facts {
        match self {
            Self::Folder => &FOLDER,
            Self::Photos => &PHOTOS,
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
    shows: "anything; the name of a folder is the class of all images below it",
    page: None,
    terms: None,
    classes: None,
    images: None,
    files: &[
        place("CLASS/IMAGE", "the images of each class (JPEG, PNG, WebP, GIF, BMP or TIFF), or:"),
        place("train/CLASS/IMAGE", "those to learn from"),
        place("val/CLASS/IMAGE", "those to make choices on; may be left out"),
        place("test/CLASS/IMAGE", "the queries"),
    ],
    splits: "the folders train, val and test; without them, a fifth of each class is kept for testing by a seed",
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
    splits: "all images are for training",
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
        place("train/…/IMAGE.jpg", "the images, and so for val/ and test/"),
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
        place("classes.txt", "numbers and names of all kinds, of which 555 have images"),
        place("hierarchy.txt", "which kind belongs to which; not needed"),
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
    splits: "the first of the three published ones; the test images are queries, the training images the database",
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
        place("vegfru_list/vegfru_val.txt", "the same for validation; may be left out"),
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
            "1 for each image that shows the concept, else 0; for all 81",
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

    /// The files of a layout that are no images: its lists.
    fn lists(layout: Layout) -> Vec<String> {
        let files = layout.facts().files.iter().filter(|p| !p.path.contains(".jpg"));
        files.map(|p| p.path.replace("CONCEPT", "airport")).collect()
    }

    #[test]
    fn every_layout_has_its_own_facts() {
        for layout in Layout::ALL {
            let facts = layout.facts();
            assert_eq!(facts.layout, layout);
            let published = !matches!(layout, Layout::Folder | Layout::Photos);
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
            // Whatever is asked for first is in the table, and so is what is asked next when
            // all of the table but one file is there. Readers open their lists before they
            // look into them, so empty ones will do where nothing is read.
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
