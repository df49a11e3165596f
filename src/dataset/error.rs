/*!
Why a data set could not be opened.
*/

use std::io;
use std::path::PathBuf;

use super::Layout;

/// Why a data set could not be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DatasetError {
    /// The folder is not there.
    #[error("there is no folder {}; give the folder that holds the data set", .0.display())]
    NoRoot(PathBuf),
    /// A layout of this name is not known.
    #[error("'{0}' is not a data set layout; choose one of {names}", names = Layout::NAMES)]
    Layout(String),
    /// A file or folder that the layout asks for is not there.
    #[error("a {layout} data set needs {}, which is not there; complete the data set or choose another layout", path.display())]
    Missing {
        /// The layout.
        layout: Layout,
        /// What is missing.
        path: PathBuf,
    },
    /// A list or a folder cannot be read.
    #[error("cannot read {}: {source}; check that you may read it", path.display())]
    Read {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A line of a list is not what the layout asks for.
    #[error("{}, line {line}: expected {expected}, found '{found}'; correct the line", path.display())]
    Line {
        /// The list.
        path: PathBuf,
        /// The line's number, from 1.
        line: usize,
        /// What should stand there.
        expected: String,
        /// What stands there, shortened.
        found: String,
    },
    /// A file is not what the layout asks for.
    #[error("{} cannot be used: {reason}; take it from the publisher again", path.display())]
    Unfit {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The entry of one list has no partner in another.
    #[error("{} has no line for {what}, which {} lists; complete it", path.display(), other.display())]
    NoPartner {
        /// The list that lacks a line.
        path: PathBuf,
        /// What the line should be about.
        what: String,
        /// The list that has one.
        other: PathBuf,
    },
    /// A folder's name is not Unicode, so it cannot be a class name.
    #[error("the folder name {} is not Unicode; rename it", .0.display())]
    Name(PathBuf),
    /// A split that is needed has no images.
    #[error("the {split} split of {} has no images ({}); add some in a folder for each class, or choose the layout photos for a method that needs no classes", root.display(), crate::image::IMAGE_EXTENSIONS.join(", "))]
    NoImages {
        /// "train" or "test".
        split: &'static str,
        /// The data set's folder.
        root: PathBuf,
    },
    /// A folder of unlabelled photos has none.
    #[error("there is no image ({}) in {}; name the folder that holds your photos", crate::image::IMAGE_EXTENSIONS.join(", "), .0.display())]
    NoPhotos(PathBuf),
    /// Classes cannot be held out as asked.
    #[error(
        "a share of {share} of {classes} classes cannot be held out; give a share above 0 and below 1, and three or more classes"
    )]
    HoldOut {
        /// What was asked for.
        share: f64,
        /// How many classes there are.
        classes: usize,
    },
    /// All images are of one class, so there is nothing to tell apart.
    #[error("all images of {} are of one class, '{class}'; add a folder or list entries of a second class", root.display())]
    OneClass {
        /// The data set's folder.
        root: PathBuf,
        /// The class.
        class: String,
    },
}
