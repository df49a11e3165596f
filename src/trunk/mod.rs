/*!
Trunks: the pretrained networks that turn an image into features.

A trunk is cut in two at stride 16: the stem gives the map that attention looks at,
refine gives the last map. What is made of either is a method's business.
*/

mod conv_norm;
mod cpu;
mod cpu_channels;
#[cfg(feature = "train")]
mod cpu_depthwise;
#[cfg(feature = "train")]
mod cpu_norm;
#[cfg(feature = "train")]
mod cpu_train;
mod ops;
mod pickle;
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

use crate::image::{Preprocess, PreprocessError};
use resnet::Depth;

/// Which trunk a model stands on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum TrunkKind {
    /// EfficientNet-Lite0, 1280 pooled features; its weights ship with Barbule.
    #[serde(rename = "efficientnet-lite0")]
    EfficientNetLite0,
    /// ResNet-18, 512 pooled features.
    #[serde(rename = "resnet18")]
    ResNet18,
    /// ResNet-50 V1.5, 2048 pooled features: the trunk of most papers.
    #[serde(rename = "resnet50")]
    ResNet50,
}

impl TrunkKind {
    /// Every trunk there is.
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

    /// What a model's card says of the licence of its weights.
    pub fn licence(self) -> &'static str {
        match self {
            Self::EfficientNetLite0 => "Apache-2.0 (EfficientNet-Lite0)",
            Self::ResNet18 => "as the imported weights (ResNet-18)",
            Self::ResNet50 => "as the imported weights (ResNet-50)",
        }
    }

    /// Channels of the stem's map.
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

    /// How an image becomes the network's input of `size` × `size` pixels.
    ///
    /// # Errors
    /// When the size is 0 or too large.
    pub fn preprocess(self, size: u32) -> Result<Preprocess, PreprocessError> {
        match self {
            Self::EfficientNetLite0 => Preprocess::efficientnet_lite(size),
            Self::ResNet18 | Self::ResNet50 => Preprocess::imagenet(size),
        }
    }

    /// Numbers that the layers of the stem and of refine give for one image of `size`
    /// pixels, a convolution and its norm counted each: what training keeps.
    #[cfg(feature = "train")]
    pub(crate) fn activations(self, size: usize) -> [usize; 2] {
        match self.depth() {
            None => efficientnet_lite::activations(size),
            Some(depth) => resnet::activations(depth, size),
        }
    }

    /// About how many weights the stem and refine have.
    #[cfg(feature = "train")]
    pub(crate) fn weights(self) -> [usize; 2] {
        match self.depth() {
            None => [380_000, 3_000_000],
            Some(depth) => resnet::weights(depth),
        }
    }

    /// Which ResNet, if it is one.
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
        found.ok_or_else(|| format!("'{text}' is not a trunk; there are {}", names()))
    }
}

/// Everything up to stride 16, of any trunk.
///
/// Files hold the names of the parts alone, not those of the variants.
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

    /// For inference: norms folded.
    pub fn fold(self) -> Self {
        match self {
            Self::EfficientNetLite(stem) => Self::EfficientNetLite(stem.fold()),
            Self::ResNet(stem) => Self::ResNet(stem.fold()),
        }
    }

    /// Where its weights are.
    pub fn device(&self) -> Device {
        match self {
            Self::EfficientNetLite(stem) => stem.entry.weight.device(),
            Self::ResNet(stem) => stem.entry.weight.device(),
        }
    }
}

/// From stride 16 to the last map, at stride 32, of any trunk.
// There are a few of these in a program, each with megabytes behind it.
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

    /// For inference: norms folded.
    pub fn fold(self) -> Self {
        match self {
            Self::EfficientNetLite(refine) => Self::EfficientNetLite(refine.fold()),
            Self::ResNet(refine) => Self::ResNet(refine.fold()),
        }
    }

    /// Channels of the map that it takes: those of the stem's.
    pub fn input_channels(&self) -> usize {
        match self {
            Self::EfficientNetLite(_) => efficientnet_lite::STEM_CHANNELS,
            Self::ResNet(refine) => refine.input_channels(),
        }
    }
}

/// A whole trunk of any kind.
#[derive(Module, Debug)]
pub struct Trunk {
    /// Up to stride 16.
    pub stem: Stem,
    /// From there to the last map.
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
    /// The network with random weights.
    pub fn new(kind: TrunkKind, device: &Device) -> Self {
        let Some(depth) = kind.depth() else { return EfficientNetLite0::new(device).into() };
        let (stem, refine) = resnet::parts(depth, device);
        Self { stem: Stem::ResNet(stem), refine: Refine::ResNet(refine), kind }
    }

    /// Which trunk this is.
    pub fn kind(&self) -> TrunkKind {
        self.kind
    }

    /// The same network for inference: every batch norm folded into its convolution.
    pub fn fold(self) -> Self {
        Self { stem: self.stem.fold(), refine: self.refine.fold(), ..self }
    }

    /// The mean of the last map over its positions: `[batch, 3, S, S]` to `[batch, C']`.
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
