/*!
The network of ExchNet: attention that finds M parts on the stem's map, a local refine
that all parts share, and a global one.

After Cui, Jiang, Wei, Li and Yoshie, "ExchNet: A Unified Hashing Network for
Large-Scale Fine-Grained Image Retrieval" (ECCV 2020). The inner shape of the attention
(bottlenecks, widths, no softmax or sigmoid over the maps) follows re-implementations of
the authors' group, not the paper's text.
*/

use burn::module::{Module, Param};
use burn::prelude::*;
use burn::tensor::activation::relu;

use super::saliency::{Level, Saliency, salient};
use crate::trunk::{ConvNorm, EfficientNetLite0, Refine, Stem, Trunk, TrunkKind, pool};

/// 1×1 down, 3×3, 1×1 up, and the input added: ReLU behind each.
#[derive(Module, Debug)]
pub struct Bottleneck {
    /// 1×1 to the inner width.
    pub down: ConvNorm,
    /// 3×3 at the inner width.
    pub middle: ConvNorm,
    /// 1×1 back.
    pub up: ConvNorm,
}

impl Bottleneck {
    fn new(channels: usize, inner: usize, device: &Device) -> Self {
        Self {
            down: ConvNorm::new([channels, inner], 1, 1, 1, device),
            middle: ConvNorm::new([inner, inner], 3, 1, 1, device),
            up: ConvNorm::new([inner, channels], 1, 1, 1, device),
        }
    }

    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let y = relu(self.down.forward(x.clone(), false));
        let y = relu(self.middle.forward(y, false));
        relu(self.up.forward(y, false) + x)
    }

    fn fold(self) -> Self {
        Self { down: self.down.fold(), middle: self.middle.fold(), up: self.up.fold() }
    }
}

/// From the stem's map to M attention maps of the same size, none negative.
#[derive(Module, Debug)]
pub struct Attention {
    /// Three bottlenecks at shrinking widths.
    pub blocks: Vec<Bottleneck>,
    /// The 1×1 convolution behind each.
    pub narrow: Vec<ConvNorm>,
}

impl Attention {
    /// Attention for `parts` maps on a map of `channels`: widths C/4, C/16 and `parts`,
    /// inner widths C/4, C/16 and C/64, never less than 32, 16 and 8.
    fn new(channels: usize, parts: usize, device: &Device) -> Self {
        let (first, second) = ((channels / 4).max(32), (channels / 16).max(16));
        let widths = [(channels, first, first), (first, second, second)];
        let last = (second, (channels / 64).max(8), parts);
        let (mut blocks, mut narrow) = (Vec::new(), Vec::new());
        for (width, inner, next) in widths.into_iter().chain([last]) {
            blocks.push(Bottleneck::new(width, inner, device));
            narrow.push(ConvNorm::new([width, next], 1, 1, 1, device));
        }
        Self { blocks, narrow }
    }

    /// `[batch, C, H, W]` to `[batch, M, H, W]`.
    pub fn forward(&self, e: Tensor<4>) -> Tensor<4> {
        let layers = self.blocks.iter().zip(&self.narrow);
        relu(layers.fold(e, |x, (block, narrow)| narrow.forward(block.forward(x), false)))
    }

    fn fold(self) -> Self {
        Self {
            blocks: self.blocks.into_iter().map(Bottleneck::fold).collect(),
            narrow: self.narrow.into_iter().map(ConvNorm::fold).collect(),
        }
    }
}

/// What finds and describes parts.
#[derive(Module, Debug)]
pub struct Parts {
    /// Where the parts are.
    pub attention: Attention,
    /// Local feature refinement (LFR), shared by all parts.
    pub local: Refine,
}

/// What an image's parts gave.
#[derive(Debug, Clone)]
pub struct PartFeatures {
    /// Attention maps `[batch, M, H, W]`.
    pub attention: Tensor<4>,
    /// The refined maps of all parts `[batch · M, C', H', W']`, a batch's parts together.
    pub maps: Tensor<4>,
    /// Their means `[batch, M, C']`.
    pub local: Tensor<3>,
}

impl Parts {
    /// Parts whose local refinement starts as a copy of `refine`.
    pub fn new(parts: usize, refine: Refine, device: &Device) -> Self {
        let channels = refine.input_channels();
        Self { attention: Attention::new(channels, parts, device), local: refine }
    }

    /// Attention, and what it finds.
    pub fn forward(&self, e: Tensor<4>) -> PartFeatures {
        let attention = self.attention.forward(e.clone());
        self.refine(e, attention)
    }

    /// Lets the last norm of the attention begin with the scale `gain` around `1 − gain`:
    /// 1 is a norm's usual start, with 0 every map is 1 everywhere.
    pub fn begin_with(&mut self, gain: f32) {
        let norm = self.attention.narrow.last_mut().and_then(|narrow| narrow.norm.as_mut());
        let Some(norm) = norm else { return };
        let set = |param: Param<Tensor<1>>, value: f32| {
            param.map(|tensor| tensor.full_like(value).set_require_grad(tensor.is_require_grad()))
        };
        norm.gamma = set(norm.gamma.clone(), gain);
        norm.beta = set(norm.beta.clone(), 1.0 - gain);
    }

    /// `E ⊗ A^j` on every channel, refined: all parts in one batch.
    pub fn refine(&self, e: Tensor<4>, attention: Tensor<4>) -> PartFeatures {
        let [batch, parts, height, width] = attention.dims();
        let [_, channels, ..] = e.dims();
        let attended = e.unsqueeze_dim::<5>(1) * attention.clone().unsqueeze_dim::<5>(2);
        let maps = self.local.forward(attended.reshape([batch * parts, channels, height, width]));
        let pooled = pool(maps.clone());
        let [_, width] = pooled.dims();
        PartFeatures { attention, maps, local: pooled.reshape([batch, parts, width]) }
    }

    /// For inference: norms folded.
    pub fn fold(self) -> Self {
        Self { attention: self.attention.fold(), local: self.local.fold() }
    }
}

/// What gives an image's features: the global ones, and those of parts if there are any.
#[derive(Module, Debug)]
pub struct Extractor {
    /// Up to stride 16.
    pub stem: Stem,
    /// Global feature refinement (GFR): the trunk's own refine.
    pub refine: Refine,
    /// Attention and local refinement.
    pub parts: Option<Parts>,
    /// What matters in the image, where only that is hashed.
    pub saliency: Option<Saliency>,
    /// The pretrained refine, where the hash sees its features beside those of the trained one,
    /// both of length 1.
    pub original: Option<Refine>,
}

impl From<Trunk> for Extractor {
    /// A trunk alone: pooled features.
    fn from(trunk: Trunk) -> Self {
        Self { stem: trunk.stem, refine: trunk.refine, parts: None, saliency: None, original: None }
    }
}

impl From<EfficientNetLite0> for Extractor {
    /// A trunk alone: pooled features.
    fn from(trunk: EfficientNetLite0) -> Self {
        Trunk::from(trunk).into()
    }
}

impl Extractor {
    /// A network with random weights, to be filled from a file; 0 parts for none, and with
    /// `original` a second refine.
    pub fn new(
        trunk: TrunkKind,
        parts: usize,
        saliency: Option<Level>,
        original: bool,
        device: &Device,
    ) -> Self {
        let Trunk { stem, refine, .. } = Trunk::new(trunk, device);
        // Not clones: those share running statistics, and of two that are read from a file
        // the second would replace the first.
        let another = || Trunk::new(trunk, device).refine;
        let found = (parts > 0).then(|| Parts::new(parts, another(), device));
        let saliency = saliency.map(|level| Saliency::new(trunk.stem_channels(), level, device));
        let original = original.then(another);
        Self { stem, refine, parts: found, saliency, original }
    }

    /// `[batch, 3, S, S]` to `[batch, features]`: those of the parts in order, then the
    /// global ones.
    pub fn features(&self, x: Tensor<4>) -> Tensor<2> {
        let e = self.stem.forward(x.clone());
        match &self.saliency {
            Some(saliency) if saliency.level() == Level::Image => {
                let x = salient(x, saliency.forward(e));
                pool(self.refine.forward(self.stem.forward(x)))
            }
            _ => self.features_of_map(e),
        }
    }

    /// The same from the stem's map, which is all that there is to see unless saliency is
    /// applied to the image.
    pub fn features_of_map(&self, e: Tensor<4>) -> Tensor<2> {
        let seen = match &self.saliency {
            Some(saliency) => salient(e.clone(), saliency.forward(e)),
            None => e,
        };
        let global = pool(self.refine.forward(seen.clone()));
        match (&self.parts, &self.original) {
            (Some(parts), _) => {
                let local = parts.forward(seen).local.flatten::<2>(1, 2);
                Tensor::cat(vec![local, global], 1)
            }
            (None, Some(original)) => {
                let before = pool(original.forward(seen));
                Tensor::cat(vec![unit(global), unit(before)], 1)
            }
            (None, None) => global,
        }
    }

    /// Attention maps `[batch, M, H, W]` of `[batch, 3, S, S]`, if there are parts; the one
    /// map of saliency, if that is there.
    pub fn attention(&self, x: Tensor<4>) -> Option<Tensor<4>> {
        match (&self.parts, &self.saliency) {
            (Some(parts), _) => Some(parts.attention.forward(self.stem.forward(x))),
            (None, Some(saliency)) => Some(saliency.forward(self.stem.forward(x))),
            (None, None) => None,
        }
    }

    /// For inference: norms folded.
    pub fn fold(self) -> Self {
        Self {
            stem: self.stem.fold(),
            refine: self.refine.fold(),
            parts: self.parts.map(Parts::fold),
            saliency: self.saliency.map(Saliency::fold),
            original: self.original.map(Refine::fold),
        }
    }
}

/// Rows of length 1.
fn unit(rows: Tensor<2>) -> Tensor<2> {
    let length = ((rows.clone() * rows.clone()).sum_dim(1) + 1e-12).sqrt();
    rows / length
}
