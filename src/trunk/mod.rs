/*!
Trunks: the pretrained networks that turn an image into features.

A trunk is cut in two at stride 16: the stem gives the map that attention looks at,
refine gives the last map. What is made of either is a method's business.
*/

mod cpu;
mod cpu_channels;
#[cfg(feature = "train")]
mod cpu_depthwise;
#[cfg(feature = "train")]
mod cpu_norm;
#[cfg(feature = "train")]
mod cpu_train;
mod ops;
#[cfg(feature = "train")]
mod train_ops;

pub mod efficientnet_lite;
pub mod weights;

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

pub use efficientnet_lite::EfficientNetLite0;

use crate::image::{Preprocess, PreprocessError};

/// Which trunk a model stands on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum TrunkKind {
    /// EfficientNet-Lite0, 1280 pooled features; its weights ship with Barbule.
    #[serde(rename = "efficientnet-lite0")]
    EfficientNetLite0,
}

impl TrunkKind {
    /// Every trunk there is.
    pub const ALL: [Self; 1] = [Self::EfficientNetLite0];

    /// The name on the command line and in a model's card.
    pub fn name(self) -> &'static str {
        match self {
            Self::EfficientNetLite0 => "efficientnet-lite0",
        }
    }

    /// Length of the pooled feature.
    pub fn pooled(self) -> usize {
        match self {
            Self::EfficientNetLite0 => efficientnet_lite::POOLED,
        }
    }

    /// How an image becomes the network's input of `size` × `size` pixels.
    ///
    /// # Errors
    /// When the size is 0 or too large.
    pub fn preprocess(self, size: u32) -> Result<Preprocess, PreprocessError> {
        match self {
            Self::EfficientNetLite0 => Preprocess::efficientnet_lite(size),
        }
    }
}

impl fmt::Display for TrunkKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for TrunkKind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|kind| kind.name() == text);
        found.ok_or_else(|| format!("'{text}' is not a trunk; there is efficientnet-lite0"))
    }
}
