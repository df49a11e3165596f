/*!
Trunks: the pretrained networks that turn an image into features.

A trunk is split in two at stride 16: `stem` computes the feature map that attention uses,
`refine` the last feature map. Methods decide how to use each of them.
*/

mod conv_norm;
mod cpu;
mod error;
#[cfg(feature = "train")]
mod import;
mod ops;
#[cfg(feature = "train")]
mod pickle;
#[cfg(feature = "train")]
mod pytorch;
#[cfg(feature = "train")]
mod train_ops;

pub mod efficientnet_lite;
pub mod resnet;
pub mod weights;

use std::fmt;
use std::str::FromStr;

use burn::module::Module;
use burn::prelude::*;
use serde::{Deserialize, Serialize};

pub use conv_norm::{ConvNorm, pool};
pub use efficientnet_lite::EfficientNetLite0;
pub use error::WeightsError;
#[cfg(feature = "train")]
pub use import::import_weights;

use crate::image::{Preprocess, PreprocessError};
use resnet::Depth;

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
    fn depth(self) -> Option<Depth> {
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

/// The layers up to stride 16 of any trunk.
///
/// Tensor names in files do not contain the variant names.
#[derive(Module, Debug)]
pub enum Stem {
    /// Of EfficientNet-Lite0.
    EfficientNetLite(efficientnet_lite::Stem),
    /// Of a ResNet.
    ResNet(resnet::Stem),
}

impl Stem {
    /// `[batch, 3, S, S]`, normalised, to `[batch, C, ⌈S/16⌉, ⌈S/16⌉]`.
    pub fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        match self {
            Self::EfficientNetLite(stem) => stem.forward(x),
            Self::ResNet(stem) => stem.forward(x),
        }
    }

    /// Folds all batch norms, for inference.
    pub fn fold(self) -> Self {
        match self {
            Self::EfficientNetLite(stem) => Self::EfficientNetLite(stem.fold()),
            Self::ResNet(stem) => Self::ResNet(stem.fold()),
        }
    }

    /// The device of its weights.
    pub fn device(&self) -> Device {
        match self {
            Self::EfficientNetLite(stem) => stem.entry.weight.device(),
            Self::ResNet(stem) => stem.entry.weight.device(),
        }
    }
}

/// The layers from stride 16 to the last feature map at stride 32 of any trunk.
// A program has only a few of these, each of which owns megabytes.
#[allow(clippy::large_enum_variant)]
#[derive(Module, Debug)]
pub enum Refine {
    /// Of EfficientNet-Lite0.
    EfficientNetLite(efficientnet_lite::Refine),
    /// Of a ResNet.
    ResNet(resnet::Refine),
}

impl Refine {
    /// `[batch, C, H, W]` to `[batch, C', ⌈H/2⌉, ⌈W/2⌉]`.
    pub fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        match self {
            Self::EfficientNetLite(refine) => refine.forward(x),
            Self::ResNet(refine) => refine.forward(x),
        }
    }

    /// Folds all batch norms, for inference.
    pub fn fold(self) -> Self {
        match self {
            Self::EfficientNetLite(refine) => Self::EfficientNetLite(refine.fold()),
            Self::ResNet(refine) => Self::ResNet(refine.fold()),
        }
    }

    /// Channels of its input, which is the stem's feature map.
    pub fn input_channels(&self) -> usize {
        match self {
            Self::EfficientNetLite(_) => efficientnet_lite::STEM_CHANNELS,
            Self::ResNet(refine) => refine.input_channels(),
        }
    }
}

/// A complete trunk of any kind.
#[derive(Module, Debug)]
pub struct Trunk {
    /// The layers up to stride 16.
    pub stem: Stem,
    /// The remaining layers.
    pub refine: Refine,
    #[module(skip)]
    kind: TrunkKind,
}

impl From<EfficientNetLite0> for Trunk {
    fn from(trunk: EfficientNetLite0) -> Self {
        Self {
            stem: Stem::EfficientNetLite(trunk.stem),
            refine: Refine::EfficientNetLite(trunk.refine),
            kind: TrunkKind::EfficientNetLite0,
        }
    }
}

impl Trunk {
    /// Creates the network with random weights.
    pub fn new(kind: TrunkKind, device: &Device) -> Self {
        let Some(depth) = kind.depth() else { return EfficientNetLite0::new(device).into() };
        let (stem, refine) = resnet::parts(depth, device);
        Self { stem: Stem::ResNet(stem), refine: Refine::ResNet(refine), kind }
    }

    /// The kind of this trunk.
    pub fn kind(&self) -> TrunkKind {
        self.kind
    }

    /// Folds every batch norm into its convolution, for inference.
    pub fn fold(self) -> Self {
        Self { stem: self.stem.fold(), refine: self.refine.fold(), ..self }
    }

    /// Returns the mean of the last feature map over its positions: `[batch, 3, S, S]` to
    /// `[batch, C']`.
    pub fn pooled(&self, x: Tensor<4>) -> Tensor<2> {
        pool(self.refine.forward(self.stem.forward(x)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::Device as BarbuleDevice;

    #[test]
    fn every_kind_has_the_shapes_that_it_says() {
        let device = BarbuleDevice::Cpu.burn();
        for kind in TrunkKind::ALL {
            assert_eq!(kind.name().parse(), Ok(kind));
            let trunk = Trunk::new(kind, &device).fold();
            assert_eq!((trunk.kind(), trunk.refine.input_channels()), (kind, kind.stem_channels()));
            // 33 is one more than a multiple of every stride.
            for size in [32usize, 33] {
                let x = Tensor::<4>::ones([1, 3, size, size], &device);
                let e = trunk.stem.forward(x);
                assert_eq!(
                    e.dims(),
                    [1, kind.stem_channels(), size.div_ceil(16), size.div_ceil(16)]
                );
                let last = trunk.refine.forward(e);
                assert_eq!(last.dims(), [1, kind.pooled(), size.div_ceil(32), size.div_ceil(32)]);
            }
        }
        let error = "vgg".parse::<TrunkKind>().unwrap_err();
        assert!(error.contains("efficientnet-lite0, resnet18, resnet50"), "{error}");
    }
}
