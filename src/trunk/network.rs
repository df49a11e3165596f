/*!
A trunk of any kind, and its two halves.
*/

use burn::module::Module;
use burn::prelude::*;

use super::conv_norm::pool;
use super::input::Input;
use super::kind::{Design, TrunkKind};
use super::{convnext, efficientnet_lite, resnet, vit};
use crate::image::{Preprocess, PreprocessError};

/// The first layers of any trunk.
///
/// Tensor names in files do not contain the variant names.
// A program has only a few of these, each of which owns megabytes.
#[allow(clippy::large_enum_variant)]
#[derive(Module, Debug)]
pub enum Stem {
    /// Of an EfficientNet-Lite.
    EfficientNetLite(efficientnet_lite::Stem),
    /// Of a ResNet.
    ResNet(resnet::Stem),
    /// Of a ConvNeXt.
    ConvNext(convnext::Stem),
    /// Of a transformer.
    Vit(vit::Stem),
}

impl Stem {
    /// `[batch, 3, S, S]`, normalised, to the map `[batch, C, H, W]` of [`TrunkKind::map`].
    pub fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        match self {
            Self::EfficientNetLite(stem) => stem.forward(x),
            Self::ResNet(stem) => stem.forward(x),
            Self::ConvNext(stem) => stem.forward(x),
            Self::Vit(stem) => stem.forward(x),
        }
    }

    /// Folds all batch norms and packs weights, for inference.
    pub fn fold(self) -> Self {
        match self {
            Self::EfficientNetLite(stem) => Self::EfficientNetLite(stem.fold()),
            Self::ResNet(stem) => Self::ResNet(stem.fold()),
            Self::ConvNext(stem) => Self::ConvNext(stem.fold()),
            Self::Vit(stem) => Self::Vit(stem.fold()),
        }
    }

    /// The device of its weights.
    pub fn device(&self) -> Device {
        match self {
            Self::EfficientNetLite(stem) => stem.entry.weight.device(),
            Self::ResNet(stem) => stem.entry.weight.device(),
            Self::ConvNext(stem) => stem.entry.weight.device(),
            Self::Vit(stem) => stem.patches.weight.device(),
        }
    }
}

/// The layers from the stem's map to the last feature map of any trunk.
// A program has only a few of these, each of which owns megabytes.
#[allow(clippy::large_enum_variant)]
#[derive(Module, Debug)]
pub enum Refine {
    /// Of an EfficientNet-Lite.
    EfficientNetLite(efficientnet_lite::Refine),
    /// Of a ResNet.
    ResNet(resnet::Refine),
    /// Of a ConvNeXt.
    ConvNext(convnext::Refine),
    /// Of a transformer.
    Vit(vit::Refine),
}

impl Refine {
    /// Computes the last map from the stem's map `[batch, C, H, W]`: half as high and wide, or the
    /// same tokens in a transformer.
    pub fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        match self {
            Self::EfficientNetLite(refine) => refine.forward(x),
            Self::ResNet(refine) => refine.forward(x),
            Self::ConvNext(refine) => refine.forward(x),
            Self::Vit(refine) => refine.forward(x),
        }
    }

    /// Computes the first block, which halves the map of a convolutional network.
    pub fn first(&self, x: Tensor<4>) -> Tensor<4> {
        match self {
            Self::EfficientNetLite(refine) => refine.first(x),
            Self::ResNet(refine) => refine.first(x),
            Self::ConvNext(refine) => refine.first(x),
            Self::Vit(refine) => refine.first(x),
        }
    }

    /// Computes all layers but the first block.
    pub fn rest(&self, x: Tensor<4>) -> Tensor<4> {
        match self {
            Self::EfficientNetLite(refine) => refine.rest(x),
            Self::ResNet(refine) => refine.rest(x),
            Self::ConvNext(refine) => refine.rest(x),
            Self::Vit(refine) => refine.rest(x),
        }
    }

    /// Returns the features of a last map, `[batch, C', H', W']` to `[batch, F]`: the mean over
    /// positions, which ConvNeXt normalises; the class token of a transformer.
    pub fn pool(&self, last: Tensor<4>) -> Tensor<2> {
        match self {
            Self::EfficientNetLite(_) | Self::ResNet(_) => pool(last),
            Self::ConvNext(refine) => refine.pool(last),
            Self::Vit(refine) => refine.pool(last),
        }
    }

    /// Returns the features of a stem's map, `[batch, C, H, W]` to `[batch, F]`.
    pub fn pooled(&self, x: Tensor<4>) -> Tensor<2> {
        self.pool(self.forward(x))
    }

    /// Returns how much a transformer attends to each patch, one map per head: `[batch, C, H, W]` to
    /// `[batch, heads, side, side]`. `None` for other trunks.
    pub fn class_attention(&self, x: Tensor<4>) -> Option<Tensor<4>> {
        match self {
            Self::Vit(refine) => Some(refine.class_attention(x)),
            Self::EfficientNetLite(_) | Self::ResNet(_) | Self::ConvNext(_) => None,
        }
    }

    /// Folds all batch norms and packs weights, for inference.
    pub fn fold(self) -> Self {
        match self {
            Self::EfficientNetLite(refine) => Self::EfficientNetLite(refine.fold()),
            Self::ResNet(refine) => Self::ResNet(refine.fold()),
            Self::ConvNext(refine) => Self::ConvNext(refine.fold()),
            Self::Vit(refine) => Self::Vit(refine.fold()),
        }
    }

    /// Channels of its input, which is the stem's feature map.
    pub fn input_channels(&self) -> usize {
        match self {
            Self::EfficientNetLite(refine) => refine.input_channels(),
            Self::ResNet(refine) => refine.input_channels(),
            Self::ConvNext(refine) => refine.input_channels(),
            Self::Vit(refine) => refine.input_channels(),
        }
    }

    /// Length of its features.
    pub fn features(&self) -> usize {
        match self {
            Self::EfficientNetLite(_) => efficientnet_lite::POOLED,
            Self::ResNet(refine) => refine.output_channels(),
            Self::ConvNext(refine) => refine.output_channels(),
            Self::Vit(refine) => refine.pooled(),
        }
    }
}

/// A complete trunk of any kind.
#[derive(Module, Debug)]
pub struct Trunk {
    /// The first layers: a convolutional network's up to stride 16, nine of twelve blocks of a
    /// transformer.
    pub stem: Stem,
    /// The remaining layers.
    pub refine: Refine,
    #[module(skip)]
    kind: TrunkKind,
    #[module(skip)]
    input: Input,
    #[module(skip)]
    licence: Option<String>,
}

impl Trunk {
    /// Creates the network with random weights.
    pub fn new(kind: TrunkKind, device: &Device) -> Self {
        let (stem, refine) = match kind.design() {
            Design::EfficientNetLite(size) => {
                let (stem, refine) = efficientnet_lite::parts(size, device);
                (Stem::EfficientNetLite(stem), Refine::EfficientNetLite(refine))
            }
            Design::ResNet(depth) => {
                let (stem, refine) = resnet::parts(depth, device);
                (Stem::ResNet(stem), Refine::ResNet(refine))
            }
            Design::ConvNext(shape) => {
                let (stem, refine) = convnext::parts(shape, device);
                (Stem::ConvNext(stem), Refine::ConvNext(refine))
            }
            Design::Vit(shape) => {
                let (stem, refine) = vit::parts(shape, device);
                (Stem::Vit(stem), Refine::Vit(refine))
            }
        };
        Self { stem, refine, kind, input: kind.input(), licence: None }
    }

    /// The kind of this trunk.
    pub fn kind(&self) -> TrunkKind {
        self.kind
    }

    /// The preparation of images that the weights were trained with.
    pub fn input(&self) -> Input {
        self.input
    }

    /// Sets the preparation of images.
    pub fn with_input(self, input: Input) -> Self {
        Self { input, ..self }
    }

    /// The licence of the weights, for a model's card.
    pub fn licence(&self) -> String {
        match &self.licence {
            Some(licence) => licence.clone(),
            None if self.kind.ships() => format!("Apache-2.0 ({})", self.kind),
            None => format!("as the imported weights ({})", self.kind),
        }
    }

    /// Sets the licence of the weights.
    pub fn with_licence(self, licence: Option<String>) -> Self {
        Self { licence, ..self }
    }

    /// The licence that the weights came with, if it is known.
    pub(super) fn known_licence(&self) -> Option<&str> {
        self.licence.as_deref()
    }

    /// Returns the preprocessing for an input of `size` × `size` pixels.
    ///
    /// # Errors
    /// If the size does not suit the trunk.
    pub fn preprocess(&self, size: u32) -> Result<Preprocess, PreprocessError> {
        self.kind.check_size(size)?;
        self.input.preprocess(size)
    }

    /// Folds every batch norm into its convolution, for inference.
    pub fn fold(self) -> Self {
        Self { stem: self.stem.fold(), refine: self.refine.fold(), ..self }
    }

    /// Returns the features of images: `[batch, 3, S, S]` to `[batch, F]`.
    pub fn pooled(&self, x: Tensor<4>) -> Tensor<2> {
        self.refine.pooled(self.stem.forward(x))
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
            let json = serde_json::to_string(&kind).unwrap();
            assert_eq!(json, format!("\"{kind}\""));
            // The large transformers differ from the small ones in their width alone.
            if kind.stem_channels() == 768 {
                continue;
            }
            let trunk = Trunk::new(kind, &device).fold();
            assert_eq!((trunk.kind(), trunk.refine.input_channels()), (kind, kind.stem_channels()));
            assert_eq!(trunk.refine.features(), kind.pooled());
            // 33 is one more than a multiple of every stride.
            for size in [kind.fitting(32), kind.fitting(33)] {
                kind.check_size(size).unwrap();
                let x = Tensor::<4>::ones([1, 3, size as usize, size as usize], &device);
                let e = trunk.stem.forward(x);
                let [channels, height, width] = kind.map(size as usize);
                assert_eq!(e.dims(), [1, channels, height, width], "{kind}");
                let side = kind.attention_side(size as usize);
                if let Some(attention) = trunk.refine.class_attention(e.clone()) {
                    assert_eq!(attention.dims()[2..], [side, side], "{kind}");
                }
                let last = trunk.refine.forward(e.clone());
                if kind.has_positions() {
                    assert_eq!(side, height);
                    let half = if matches!(kind.design(), Design::ConvNext(_)) { 0 } else { 1 };
                    assert_eq!(last.dims()[2..], [(height + half) / 2, (width + half) / 2]);
                }
                assert_eq!(trunk.refine.pooled(e).dims(), [1, kind.pooled()], "{kind}");
            }
        }
        let error = "vgg".parse::<TrunkKind>().unwrap_err();
        assert!(error.contains("efficientnet-lite0, efficientnet-lite1"), "{error}");
    }

    #[test]
    fn sizes_that_do_not_suit_are_refused_with_those_that_do() {
        let check = |kind: TrunkKind, size| kind.check_size(size).unwrap_err().to_string();
        let error = check(TrunkKind::DinoV2S14, 160);
        assert!(error.contains("patches of 14; choose 154 or 168"), "{error}");
        assert!(check(TrunkKind::ClipB32, 0).contains("choose 32 or 32"));
        assert!(check(TrunkKind::ConvNextAtto, 31).contains("at least 32"));
        assert_eq!(TrunkKind::DinoV2S14.fitting(160), 154);
        assert_eq!(TrunkKind::VitB16.fitting(160), 160);
    }

    #[cfg(feature = "train")]
    #[test]
    fn counts_for_memory_are_those_of_the_layers() {
        let device = BarbuleDevice::Cpu.burn();
        for kind in [TrunkKind::EfficientNetLite2, TrunkKind::ConvNextPico, TrunkKind::VitTi16] {
            let trunk = Trunk::new(kind, &device);
            let [stem, refine] = kind.weights();
            for (all, counted) in
                [(trunk.stem.num_params(), stem), (trunk.refine.num_params(), refine)]
            {
                assert!(counted < all && all - counted < all / 10, "{kind}: {all} {counted}");
            }
        }
    }
}
