/*!
A trunk of any kind, and its two halves.
*/

use burn::module::Module;
use burn::prelude::*;

use super::conv_norm::pool;
use super::efficientnet_lite::{self, EfficientNetLite0};
use super::kind::TrunkKind;
use super::resnet;

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

    /// Computes the first block, which halves the map.
    pub fn first(&self, x: Tensor<4>) -> Tensor<4> {
        match self {
            Self::EfficientNetLite(refine) => refine.first(x),
            Self::ResNet(refine) => refine.first(x),
        }
    }

    /// Computes all layers but the first block.
    pub fn rest(&self, x: Tensor<4>) -> Tensor<4> {
        match self {
            Self::EfficientNetLite(refine) => refine.rest(x),
            Self::ResNet(refine) => refine.rest(x),
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

    /// Channels of its output.
    pub fn output_channels(&self) -> usize {
        match self {
            Self::EfficientNetLite(_) => efficientnet_lite::POOLED,
            Self::ResNet(refine) => refine.output_channels(),
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
