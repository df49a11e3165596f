/*!
Why weights could not be read or written.
*/

use std::io;
use std::path::PathBuf;

use super::TrunkKind;

/// Why weights could not be read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WeightsError {
    /// The file could not be read.
    #[error("cannot read the weights {}: {source}; name a file of weights", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file is not a file of weights, or not of this network.
    #[error("{} does not hold the weights of {network}: {reason}", path.display())]
    Unfit {
        /// The file.
        path: PathBuf,
        /// The network that was to be filled.
        network: TrunkKind,
        /// What is wrong.
        reason: String,
    },
    /// The file is of another trunk.
    #[error("{} holds the weights of {found}, not of {wanted}; choose the trunk {found}, or other weights", path.display())]
    OtherTrunk {
        /// The file.
        path: PathBuf,
        /// Its trunk.
        found: TrunkKind,
        /// The trunk that was asked for.
        wanted: TrunkKind,
    },
    /// Nothing in a published file says which trunk it is of.
    #[error(
        "{} cannot be imported: {reason}; published weights of efficientnet-lite0, resnet18 and resnet50 can, as .pth or .safetensors", path.display()
    )]
    Unknown {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// The trunk's weights have to be given.
    #[error(
        "the weights of {0} do not ship with Barbule; import torchvision's ImageNet weights (a .pth file) and use the result"
    )]
    NotShipped(TrunkKind),
    /// The file could not be written.
    #[error("{} could not be written: {source}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: io::Error,
    },
}
