/*!
The kinds of trunks, and the facts of each that need no weights.
*/

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::dense::Activation;
use super::efficientnet_lite::{self, Size};
use super::input::Input;
use super::resnet::Depth;
use super::vit::Positions;
use super::{convnext, resnet, vit};
use crate::image::{Preprocess, PreprocessError};

/// The trunk of a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum TrunkKind {
    /// EfficientNet-Lite0, 1280 pooled features; its weights ship with Barbule.
    #[serde(rename = "efficientnet-lite0")]
    EfficientNetLite0,
    /// EfficientNet-Lite1: the same with more blocks.
    #[serde(rename = "efficientnet-lite1")]
    EfficientNetLite1,
    /// EfficientNet-Lite2: with more blocks and channels.
    #[serde(rename = "efficientnet-lite2")]
    EfficientNetLite2,
    /// ResNet-18, 512 pooled features.
    #[serde(rename = "resnet18")]
    ResNet18,
    /// ResNet-50 V1.5, 2048 pooled features: the trunk in most papers.
    #[serde(rename = "resnet50")]
    ResNet50,
    /// ConvNeXt-Atto, 320 pooled features.
    #[serde(rename = "convnext-atto")]
    ConvNextAtto,
    /// ConvNeXt-Femto, 384.
    #[serde(rename = "convnext-femto")]
    ConvNextFemto,
    /// ConvNeXt-Pico, 512.
    #[serde(rename = "convnext-pico")]
    ConvNextPico,
    /// ConvNeXt-Nano, 640.
    #[serde(rename = "convnext-nano")]
    ConvNextNano,
    /// ConvNeXt-Tiny, 768.
    #[serde(rename = "convnext-tiny")]
    ConvNextTiny,
    /// DINOv2 ViT-S/14, 384 pooled features.
    #[serde(rename = "dinov2-vits14")]
    DinoV2S14,
    /// DINOv2 ViT-S/14 with four registers, 384.
    #[serde(rename = "dinov2-vits14-reg")]
    DinoV2S14Registers,
    /// DINOv2 ViT-B/14, 768.
    #[serde(rename = "dinov2-vitb14")]
    DinoV2B14,
    /// DINOv2 ViT-B/14 with four registers, 768.
    #[serde(rename = "dinov2-vitb14-reg")]
    DinoV2B14Registers,
    /// DINOv3 ViT-S/16, 384.
    #[serde(rename = "dinov3-vits16")]
    DinoV3S16,
    /// OpenAI's CLIP ViT-B/32, 512 numbers of the projection.
    #[serde(rename = "clip-vitb32")]
    ClipB32,
    /// OpenAI's CLIP ViT-B/16, 512.
    #[serde(rename = "clip-vitb16")]
    ClipB16,
    /// OpenCLIP's ViT-B/32, with the exact GELU, 512.
    #[serde(rename = "openclip-vitb32")]
    OpenClipB32,
    /// OpenCLIP's ViT-B/16, with the exact GELU, 512: also BioCLIP's.
    #[serde(rename = "openclip-vitb16")]
    OpenClipB16,
    /// ViT-Ti/16, 192.
    #[serde(rename = "vit-ti16")]
    VitTi16,
    /// ViT-S/16, 384.
    #[serde(rename = "vit-s16")]
    VitS16,
    /// ViT-B/32, 768.
    #[serde(rename = "vit-b32")]
    VitB32,
    /// ViT-B/16, 768.
    #[serde(rename = "vit-b16")]
    VitB16,
}

/// The architecture of a trunk.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Design {
    EfficientNetLite(Size),
    ResNet(Depth),
    ConvNext(convnext::Shape),
    Vit(vit::Shape),
}

const fn convnext(depths: [usize; 4], widths: [usize; 4]) -> Design {
    Design::ConvNext(convnext::Shape { depths, widths })
}

/// A plain transformer, whose heads have 64 channels, for images of 224 pixels.
const fn plain(width: usize, patch: usize) -> vit::Shape {
    vit::Shape {
        width,
        heads: width / 64,
        patch,
        positions: Positions::Learned(224 / patch),
        registers: 0,
        patch_bias: true,
        entry_norm: false,
        scales: false,
        activation: Activation::Gelu,
        projection: None,
        epsilon: 1e-6,
    }
}

/// DINOv2's, trained on images of 518 pixels.
const fn dinov2(width: usize, registers: usize) -> Design {
    let positions = Positions::Learned(518 / 14);
    Design::Vit(vit::Shape { registers, scales: true, positions, ..plain(width, 14) })
}

const fn clip(patch: usize, activation: Activation) -> Design {
    Design::Vit(vit::Shape {
        entry_norm: true,
        patch_bias: false,
        activation,
        projection: Some(512),
        epsilon: 1e-5,
        ..plain(768, patch)
    })
}

impl TrunkKind {
    /// All trunks.
    pub const ALL: [Self; 23] = [
        Self::EfficientNetLite0,
        Self::EfficientNetLite1,
        Self::EfficientNetLite2,
        Self::ResNet18,
        Self::ResNet50,
        Self::ConvNextAtto,
        Self::ConvNextFemto,
        Self::ConvNextPico,
        Self::ConvNextNano,
        Self::ConvNextTiny,
        Self::DinoV2S14,
        Self::DinoV2S14Registers,
        Self::DinoV2B14,
        Self::DinoV2B14Registers,
        Self::DinoV3S16,
        Self::ClipB32,
        Self::ClipB16,
        Self::OpenClipB32,
        Self::OpenClipB16,
        Self::VitTi16,
        Self::VitS16,
        Self::VitB32,
        Self::VitB16,
    ];

    /// The name on the command line and in a model's card.
    pub fn name(self) -> &'static str {
        match self {
            Self::EfficientNetLite0 => "efficientnet-lite0",
            Self::EfficientNetLite1 => "efficientnet-lite1",
            Self::EfficientNetLite2 => "efficientnet-lite2",
            Self::ResNet18 => "resnet18",
            Self::ResNet50 => "resnet50",
            Self::ConvNextAtto => "convnext-atto",
            Self::ConvNextFemto => "convnext-femto",
            Self::ConvNextPico => "convnext-pico",
            Self::ConvNextNano => "convnext-nano",
            Self::ConvNextTiny => "convnext-tiny",
            Self::DinoV2S14 => "dinov2-vits14",
            Self::DinoV2S14Registers => "dinov2-vits14-reg",
            Self::DinoV2B14 => "dinov2-vitb14",
            Self::DinoV2B14Registers => "dinov2-vitb14-reg",
            Self::DinoV3S16 => "dinov3-vits16",
            Self::ClipB32 => "clip-vitb32",
            Self::ClipB16 => "clip-vitb16",
            Self::OpenClipB32 => "openclip-vitb32",
            Self::OpenClipB16 => "openclip-vitb16",
            Self::VitTi16 => "vit-ti16",
            Self::VitS16 => "vit-s16",
            Self::VitB32 => "vit-b32",
            Self::VitB16 => "vit-b16",
        }
    }

    /// The architecture.
    pub(super) const fn design(self) -> Design {
        let vit = Design::Vit;
        match self {
            Self::EfficientNetLite0 => Design::EfficientNetLite(Size::Lite0),
            Self::EfficientNetLite1 => Design::EfficientNetLite(Size::Lite1),
            Self::EfficientNetLite2 => Design::EfficientNetLite(Size::Lite2),
            Self::ResNet18 => Design::ResNet(Depth::R18),
            Self::ResNet50 => Design::ResNet(Depth::R50),
            Self::ConvNextAtto => convnext([2, 2, 6, 2], [40, 80, 160, 320]),
            Self::ConvNextFemto => convnext([2, 2, 6, 2], [48, 96, 192, 384]),
            Self::ConvNextPico => convnext([2, 2, 6, 2], [64, 128, 256, 512]),
            Self::ConvNextNano => convnext([2, 2, 8, 2], [80, 160, 320, 640]),
            Self::ConvNextTiny => convnext([3, 3, 9, 3], [96, 192, 384, 768]),
            Self::DinoV2S14 => dinov2(384, 0),
            Self::DinoV2S14Registers => dinov2(384, 4),
            Self::DinoV2B14 => dinov2(768, 0),
            Self::DinoV2B14Registers => dinov2(768, 4),
            Self::DinoV3S16 => vit(vit::Shape {
                registers: 4,
                scales: true,
                positions: Positions::Rotary,
                epsilon: 1e-5,
                ..plain(384, 16)
            }),
            Self::ClipB32 => clip(32, Activation::QuickGelu),
            Self::ClipB16 => clip(16, Activation::QuickGelu),
            Self::OpenClipB32 => clip(32, Activation::Gelu),
            Self::OpenClipB16 => clip(16, Activation::Gelu),
            Self::VitTi16 => vit(plain(192, 16)),
            Self::VitS16 => vit(plain(384, 16)),
            Self::VitB32 => vit(plain(768, 32)),
            Self::VitB16 => vit(plain(768, 16)),
        }
    }

    /// Whether its weights ship with Barbule.
    pub fn ships(self) -> bool {
        self == Self::EfficientNetLite0
    }

    /// Whether its maps have positions that a layer can weigh. The tokens of a transformer have
    /// none: the norms of its blocks undo such weights.
    pub fn has_positions(self) -> bool {
        !matches!(self.design(), Design::Vit(_))
    }

    /// Heads of a transformer's attention; 0 for other trunks.
    pub fn heads(self) -> usize {
        match self.design() {
            Design::Vit(shape) => shape.heads,
            _ => 0,
        }
    }

    /// Channels of the stem's feature map.
    pub fn stem_channels(self) -> usize {
        match self.design() {
            Design::EfficientNetLite(size) => size.stem_channels(),
            Design::ResNet(depth) => depth.stem_channels(),
            Design::ConvNext(shape) => shape.stem_channels(),
            Design::Vit(shape) => shape.width,
        }
    }

    /// Returns channels, height and width of the stem's feature map for an input of `size` × `size`
    /// pixels. The map of a transformer is a column of tokens.
    pub fn map(self, size: usize) -> [usize; 3] {
        let [height, width] = match self.design() {
            Design::EfficientNetLite(_) | Design::ResNet(_) => [size.div_ceil(16); 2],
            Design::ConvNext(_) => [size / 16; 2],
            Design::Vit(shape) => [shape.tokens(size), 1],
        };
        [self.stem_channels(), height, width]
    }

    /// Returns width and height of an attention map for an input of `size` × `size` pixels, in
    /// cells.
    pub fn attention_side(self, size: usize) -> usize {
        match self.design() {
            Design::Vit(shape) => size / shape.patch,
            _ => self.map(size)[1],
        }
    }

    /// Length of the pooled feature.
    pub fn pooled(self) -> usize {
        match self.design() {
            Design::EfficientNetLite(_) => efficientnet_lite::POOLED,
            Design::ResNet(depth) => depth.pooled(),
            Design::ConvNext(shape) => shape.pooled(),
            Design::Vit(shape) => shape.pooled(),
        }
    }

    /// The preparation of images that published weights of this kind were trained with. A weights
    /// file can name another one.
    pub fn input(self) -> Input {
        match (self, self.design()) {
            (Self::DinoV3S16, _) => Input::STRETCHED,
            (Self::ClipB32 | Self::ClipB16 | Self::OpenClipB32 | Self::OpenClipB16, _) => {
                Input::CLIP
            }
            (Self::VitTi16 | Self::VitS16 | Self::VitB32 | Self::VitB16, _) => Input::PLAIN,
            (_, Design::EfficientNetLite(_)) => Input::LITE,
            (_, Design::ResNet(_)) => Input::RESNET,
            (_, Design::ConvNext(_) | Design::Vit(_)) => Input::IMAGENET,
        }
    }

    /// Returns the preprocessing for an input of `size` × `size` pixels, for weights with the usual
    /// preparation of images.
    ///
    /// # Errors
    /// As [`TrunkKind::check_size`], or if the size is too large.
    pub fn preprocess(self, size: u32) -> Result<Preprocess, PreprocessError> {
        self.check_size(size)?;
        self.input().preprocess(size)
    }

    /// Checks that images of `size` × `size` pixels suit the trunk.
    ///
    /// # Errors
    /// [`PreprocessError::Size`] if the size is 0 or too small for a feature map,
    /// [`PreprocessError::Patches`] unless it is a multiple of a transformer's patches.
    pub fn check_size(self, size: u32) -> Result<(), PreprocessError> {
        match self.design() {
            Design::Vit(vit::Shape { patch, .. }) => {
                let patch = patch as u32;
                if size > 0 && size.is_multiple_of(patch) {
                    return Ok(());
                }
                let above = (size / patch + 1) * patch;
                let below = (size / patch).max(1) * patch;
                Err(PreprocessError::Patches { size, patch, below, above })
            }
            Design::ConvNext(_) if size < 32 => Err(PreprocessError::Small { size, least: 32 }),
            _ => Ok(()),
        }
    }

    /// Returns the greatest size of an input that suits the trunk and is not above `size`.
    pub fn fitting(self, size: u32) -> u32 {
        match self.design() {
            Design::Vit(vit::Shape { patch, .. }) => (size / patch as u32).max(1) * patch as u32,
            _ => size,
        }
    }

    /// Returns the number of activations in the stem and in refine for one image of `size`
    /// pixels that training keeps.
    #[cfg(feature = "train")]
    pub(crate) fn activations(self, size: usize) -> [usize; 2] {
        match self.design() {
            Design::EfficientNetLite(of) => efficientnet_lite::activations(of, size),
            Design::ResNet(depth) => resnet::activations(depth, size),
            Design::ConvNext(shape) => convnext::activations(shape, size),
            Design::Vit(shape) => vit::activations(shape, size),
        }
    }

    /// Returns the approximate number of weights in the stem and in refine.
    pub(crate) fn weights(self) -> [usize; 2] {
        match self.design() {
            Design::EfficientNetLite(size) => efficientnet_lite::weights(size),
            Design::ResNet(depth) => resnet::weights(depth),
            Design::ConvNext(shape) => convnext::weights(shape),
            Design::Vit(shape) => vit::weights_of(shape),
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
