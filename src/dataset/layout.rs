/*!
The layouts: their names and their detection.
*/

use std::fmt;
use std::path::Path;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::{
    DatasetError, aircraft, cifar10, cub, dogs, flowers, food101, grocery, indexed, nabirds,
    nuswide, vegfru,
};

/// The arrangement of a data set's files on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Layout {
    /// One folder per class, optionally inside folders `train`, `val` and `test`.
    Folder,
    /// Images without labels, in any folders, for methods that need no labels.
    Photos,
    /// An index whose images have labels.
    Index,
    /// Grocery Store: `train.txt`, `val.txt`, `test.txt` and `classes.csv`.
    Grocery,
    /// CUB-200-2011: `images.txt`, the related lists, and `images/`.
    Cub,
    /// NABirds: like CUB-200-2011, but with image names and a class hierarchy.
    NaBirds,
    /// Stanford Dogs: `train_list.mat`, `test_list.mat` and `Images/`.
    Dogs,
    /// Oxford Flowers-102: `imagelabels.mat`, `setid.mat` and `jpg/`.
    Flowers102,
    /// Oxford Flowers-17: `datasplits.mat` and `jpg/`.
    Flowers17,
    /// FGVC-Aircraft: `variants.txt`, `images_variant_train.txt` and the related lists.
    Aircraft,
    /// VegFru: `vegfru_list/` and one folder per class.
    VegFru,
    /// Food-101: `meta/` and `images/`.
    Food101,
    /// CIFAR-10, the binary version: `batches.meta.txt` and batches of images.
    Cifar10,
    /// NUS-WIDE: `ImageList/`, `Groundtruth/` and `Flickr/`.
    NusWide,
}

impl Layout {
    /// All layouts.
    pub const ALL: [Self; 14] = [
        Self::Folder,
        Self::Photos,
        Self::Index,
        Self::Grocery,
        Self::Cub,
        Self::NaBirds,
        Self::Dogs,
        Self::Flowers102,
        Self::Flowers17,
        Self::Aircraft,
        Self::VegFru,
        Self::Food101,
        Self::Cifar10,
        Self::NusWide,
    ];

    /// The names of all layouts, for messages.
    pub const NAMES: &str = "folder, photos, index, grocery, cub, nabirds, dogs, flowers102, \
                             flowers17, aircraft, vegfru, food101, cifar10, nuswide";

    /// Returns the name used on the command line and in a model card.
    pub fn name(self) -> &'static str {
        match self {
            Self::Folder => "folder",
            Self::Photos => "photos",
            Self::Index => "index",
            Self::Grocery => "grocery",
            Self::Cub => "cub",
            Self::NaBirds => "nabirds",
            Self::Dogs => "dogs",
            Self::Flowers102 => "flowers102",
            Self::Flowers17 => "flowers17",
            Self::Aircraft => "aircraft",
            Self::VegFru => "vegfru",
            Self::Food101 => "food101",
            Self::Cifar10 => "cifar10",
            Self::NusWide => "nuswide",
        }
    }

    /// Detects the layout of the data set in `root` by its lists; [`Layout::Folder`] if there are
    /// none, [`Layout::Index`] if it is an index.
    ///
    /// Part of a layout's lists is enough, so that opening the data set can report missing ones.
    ///
    /// # Errors
    /// [`DatasetError::NoRoot`] if `root` is neither a folder nor an index.
    pub fn detect(root: &Path) -> Result<Self, DatasetError> {
        if indexed::is_index(root) {
            return Ok(Self::Index);
        }
        if !root.is_dir() {
            return Err(DatasetError::NoRoot(root.into()));
        }
        let published = Self::ALL.into_iter().find(|layout| layout.fits(root));
        Ok(published.unwrap_or(Self::Folder))
    }

    /// Returns whether `root` contains the lists of this published data set.
    fn fits(self, root: &Path) -> bool {
        match self {
            Self::Folder | Self::Photos | Self::Index => false,
            Self::Grocery => grocery::base(root).is_some(),
            // NABirds uses the same file names.
            Self::Cub => cub::base(root).is_some() && nabirds::base(root).is_none(),
            Self::NaBirds => nabirds::base(root).is_some(),
            Self::Dogs => dogs::base(root).is_some(),
            Self::Flowers102 => flowers::has_102(root),
            Self::Flowers17 => flowers::has_17(root),
            Self::Aircraft => aircraft::base(root).is_some(),
            Self::VegFru => vegfru::base(root).is_some(),
            Self::Food101 => food101::base(root).is_some(),
            Self::Cifar10 => cifar10::base(root).is_some(),
            Self::NusWide => nuswide::base(root).is_some(),
        }
    }
}

impl fmt::Display for Layout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // `pad`, not `write_str`, because tables set a width.
        f.pad(self.name())
    }
}

impl FromStr for Layout {
    type Err = DatasetError;

    fn from_str(text: &str) -> Result<Self, DatasetError> {
        let named = Self::ALL.into_iter().find(|layout| layout.name() == text);
        named.ok_or_else(|| DatasetError::Layout(text.into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layouts_have_one_name_everywhere() {
        assert_eq!(Layout::ALL.map(Layout::name).join(", "), Layout::NAMES);
        for layout in Layout::ALL {
            assert_eq!(layout.name().parse::<Layout>().unwrap(), layout);
            let quoted = format!("\"{layout}\"");
            assert_eq!(serde_json::to_string(&layout).unwrap(), quoted);
        }
        let error = "Cub".parse::<Layout>().unwrap_err().to_string();
        assert!(error.contains("'Cub'") && error.contains("grocery, cub"), "{error}");
    }

    #[test]
    fn a_missing_root_is_no_layout() {
        assert!(Layout::detect(Path::new("no/such/folder")).is_err());
    }
}
