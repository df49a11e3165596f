/*!
Folders: which of their files are images to read, and how many are left out by which rule.

There is one rule for everything that reads folders: indexes, data sets, and lists of files.
*/

mod error;
mod kind;
mod left_out;
mod names;
mod options;
mod patterns;
mod stamp;
mod walk;

pub use error::FolderError;
pub use kind::FileKind;
pub use left_out::{LeftOut, Rule};
pub use names::{from_shown, shown};
pub use options::ScanOptions;
pub(crate) use stamp::Stamp;
pub(crate) use walk::{Candidate, Listing, Unreadable, Walk};
pub use walk::{leads_to, rule_of_name};
