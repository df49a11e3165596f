/*!
Errors of opening a data set.
*/

use std::io;
use std::path::PathBuf;

use super::Layout;
use crate::cause::Cause;
use crate::index::IndexError;

/// An error of opening a data set.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DatasetError {
    /// The folder does not exist.
    #[error("there is no folder {}; specify the folder of the data set", .0.display())]
    NoRoot(PathBuf),
    /// An index cannot be read.
    #[error("{source}")]
    Index {
        /// The error of the index.
        source: IndexError,
    },
    /// An index has no labelled image whose file is there.
    #[error("no image of {} has a label; give labels first", .0.display())]
    NoLabels(PathBuf),
    /// The layout is unknown.
    #[error("'{0}' is not a data set layout; choose one of {names}", names = Layout::NAMES)]
    Layout(String),
    /// A file or folder of the layout is missing.
    #[error("a {layout} data set needs {}, which is missing; complete the data set or choose another layout", path.display())]
    Missing {
        /// The layout.
        layout: Layout,
        /// The missing file or folder.
        path: PathBuf,
    },
    /// A list or a folder cannot be read.
    #[error("cannot read {}: {source}; check its permissions", path.display())]
    Read {
        /// The file or folder.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// A line of a list does not match the layout.
    #[error("{}, line {line}: expected {expected}, found '{found}'; correct the line", path.display())]
    Line {
        /// The list.
        path: PathBuf,
        /// The line's number, from 1.
        line: usize,
        /// The expected content.
        expected: String,
        /// The actual content, shortened.
        found: String,
        /// The error of its parser, if there is one.
        source: Option<Cause>,
    },
    /// A file does not match the layout.
    #[error("{} cannot be used: {reason}; download it from the publisher again", path.display())]
    Unfit {
        /// The file.
        path: PathBuf,
        /// The reason.
        #[source]
        reason: Cause,
    },
    /// An entry of one list is missing from another list.
    #[error("{} has no line for {what}, which {} lists; complete it", path.display(), other.display())]
    NoPartner {
        /// The list that lacks a line.
        path: PathBuf,
        /// The missing entry.
        what: String,
        /// The list that contains it.
        other: PathBuf,
    },
    /// A folder's name is not Unicode, so it cannot be a class name.
    #[error("the folder name {} is not Unicode; rename it", crate::folder::shown(.0))]
    Name(PathBuf),
    /// A required split has no images.
    #[error("the {split} split of {} has no images; add some in a folder for each class, or choose the layout photos for a method that needs no classes", root.display())]
    NoImages {
        /// "train" or "test".
        split: &'static str,
        /// The data set's folder.
        root: PathBuf,
    },
    /// A folder of unlabelled photos contains no images.
    #[error("there is no image in {}; specify the folder with your photos", .0.display())]
    NoPhotos(PathBuf),
    /// The requested share of classes cannot be held out.
    #[error(
        "a share of {share} of {classes} classes cannot be held out; give a share above 0 and below 1, and three or more classes"
    )]
    HoldOut {
        /// The requested share.
        share: f64,
        /// The number of classes.
        classes: usize,
    },
    /// All images are of one class, so nothing can be learned from them.
    #[error("all images of {} are of one class, '{class}'; add a folder or list entries of a second class", root.display())]
    OneClass {
        /// The data set's folder.
        root: PathBuf,
        /// The class.
        class: String,
    },
}

impl DatasetError {
    /// Adds the error of the parser to an error about a line.
    pub(super) fn because(mut self, error: impl Into<Cause>) -> Self {
        if let Self::Line { source, .. } = &mut self {
            *source = Some(error.into());
        }
        self
    }
}
