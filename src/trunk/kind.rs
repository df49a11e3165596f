/*!
The kinds of trunks, and the facts of each that need no weights.
*/

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::efficientnet_lite;
#[cfg(feature = "train")]
use super::resnet;
use super::resnet::Depth;
use crate::image::{Preprocess, PreprocessError};

/// The trunk of a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum TrunkKind {
    /// EfficientNet-Lite0, 1280 pooled features; its weights ship with Barbule.
    #[serde(rename = "efficientnet-lite0")]
    EfficientNetLite0,
    /// ResNet-18, 512 pooled features.
    #[serde(rename = "resnet18")]
    ResNet18,
    /// ResNet-50 V1.5, 2048 pooled features: the trunk in most papers.
    #[serde(rename = "resnet50")]
    ResNet50,
}

impl TrunkKind {
    /// All trunks.
    pub const ALL: [Self; 3] = [Self::EfficientNetLite0, Self::ResNet18, Self::ResNet50];

    /// The name on the command line and in a model's card.
    pub fn name(self) -> &'static str {
        match self {
            Self::EfficientNetLite0 => "efficientnet-lite0",
            Self::ResNet18 => "resnet18",
            Self::ResNet50 => "resnet50",
        }
    }

    /// Whether its weights ship with Barbule.
    pub fn ships(self) -> bool {
        self == Self::EfficientNetLite0
    }

    /// The licence of its weights, for the model card.
    pub fn licence(self) -> &'static str {
        match self {
            Self::EfficientNetLite0 => "Apache-2.0 (EfficientNet-Lite0)",
            Self::ResNet18 => "as the imported weights (ResNet-18)",
            Self::ResNet50 => "as the imported weights (ResNet-50)",
        }
    }

    /// Channels of the stem's feature map.
    pub fn stem_channels(self) -> usize {
        match self.depth() {
            None => efficientnet_lite::STEM_CHANNELS,
            Some(depth) => depth.stem_channels(),
        }
    }

    /// Length of the pooled feature.
    pub fn pooled(self) -> usize {
        match self.depth() {
            None => efficientnet_lite::POOLED,
            Some(depth) => depth.pooled(),
        }
    }

    /// Returns the preprocessing for an input of `size` × `size` pixels.
    ///
    /// # Errors
    /// If the size is 0 or too large.
    pub fn preprocess(self, size: u32) -> Result<Preprocess, PreprocessError> {
        match self {
            Self::EfficientNetLite0 => Preprocess::efficientnet_lite(size),
            Self::ResNet18 | Self::ResNet50 => Preprocess::imagenet(size),
        }
    }

    /// Returns the number of activations in the stem and in refine for one image of `size`
    /// pixels. Convolution and norm count separately, because training keeps the output of both.
    #[cfg(feature = "train")]
    pub(crate) fn activations(self, size: usize) -> [usize; 2] {
        match self.depth() {
            None => efficientnet_lite::activations(size),
            Some(depth) => resnet::activations(depth, size),
        }
    }

    /// Returns the approximate number of weights in the stem and in refine.
    #[cfg(feature = "train")]
    pub(crate) fn weights(self) -> [usize; 2] {
        match self.depth() {
            None => [380_000, 3_000_000],
            Some(depth) => resnet::weights(depth),
        }
    }

    /// The ResNet's depth; `None` for other trunks.
    pub(super) fn depth(self) -> Option<Depth> {
        match self {
            Self::EfficientNetLite0 => None,
            Self::ResNet18 => Some(Depth::R18),
            Self::ResNet50 => Some(Depth::R50),
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
        let names = || Self::ALL.map(Self::name).join(", ");
        found.ok_or_else(|| format!("'{text}' is not a trunk; choose one of {}", names()))
    }
}
