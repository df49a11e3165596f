/*!
Errors of reading and writing weights.
*/

use std::io;
use std::path::PathBuf;

use super::TrunkKind;
use crate::cause::Cause;

/// An error of reading or writing weights.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WeightsError {
    /// The file could not be read.
    #[error("cannot read the weights {}: {source}; specify a weights file", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// The file does not contain weights, or not those of this network.
    #[error("{} does not hold the weights of {network}: {reason}", path.display())]
    Unfit {
        /// The file.
        path: PathBuf,
        /// The network to load.
        network: TrunkKind,
        /// The reason.
        #[source]
        reason: Cause,
    },
    /// The file is of another trunk.
    #[error("{} holds the weights of {found}, not of {wanted}; choose the trunk {found}, or other weights", path.display())]
    OtherTrunk {
        /// The file.
        path: PathBuf,
        /// Its trunk.
        found: TrunkKind,
        /// The requested trunk.
        wanted: TrunkKind,
    },
    /// The trunk of a published file cannot be detected.
    #[error("{} cannot be imported: {reason}", path.display())]
    Unknown {
        /// The file.
        path: PathBuf,
        /// The reason.
        #[source]
        reason: Cause,
    },
    /// The tensors of a published file do not tell which of several trunks it is.
    #[error(
        "{} may be of {}, which differ only in the formula of their activation; name the one that its publisher tells", path.display(), listed(kinds)
    )]
    Several {
        /// The file.
        path: PathBuf,
        /// The trunks.
        kinds: Vec<TrunkKind>,
    },
    /// The weights of this trunk do not ship with Barbule.
    #[error(
        "the weights of {0} do not ship with Barbule; import a published file and use the result"
    )]
    NotShipped(TrunkKind),
    /// The file could not be written.
    #[error("cannot write {}: {source}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// The reason.
        source: io::Error,
    },
}

/// Joins names with "or".
fn listed(kinds: &[TrunkKind]) -> String {
    kinds.iter().map(|kind| kind.name()).collect::<Vec<_>>().join(" or ")
}
