/*!
Parts of an image: maps find M of them on the stem's feature map, and one local refine, shared by
all parts, describes them.
*/

use std::fmt;

use burn::module::{Module, Param};
use burn::nn::BatchNorm;
use burn::prelude::*;
use serde::{Deserialize, Serialize};

use super::attention::Together;
use super::chain::Chain;
use super::glance::Glance;
use super::strips::{Strips, complemented};
use crate::trunk::Refine;

/// The kinds of attention to parts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum AttentionKind {
    /// All maps together, as in ExchNet.
    #[default]
    Together,
    /// One map after the other, as in SEMICON.
    Chain,
    /// Strips that are boosted and suppressed in rounds, as in DAHNet.
    Strips,
    /// All maps together, directed by a first look at the whole image.
    Glance,
}

impl fmt::Display for AttentionKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Together => "together",
            Self::Chain => "chain",
            Self::Strips => "strips",
            Self::Glance => "glance",
        })
    }
}

/// The network that locates parts.
///
/// Tensor names in files do not contain the variant names.
// A program has only a few of these.
#[allow(clippy::large_enum_variant)]
#[derive(Module, Debug)]
pub enum Attention {
    /// Of ExchNet.
    Together(Together),
    /// Of SEMICON.
    Chain(Chain),
    /// Of DAHNet.
    Strips(Strips),
    /// Of ExchNet with a guide.
    Glance(Glance),
}

impl Attention {
    fn new(kind: AttentionKind, refine: &Refine, parts: usize, device: &Device) -> Self {
        let channels = refine.input_channels();
        match kind {
            AttentionKind::Together => Self::Together(Together::new(channels, parts, device)),
            AttentionKind::Chain => Self::Chain(Chain::new(channels, parts, device)),
            AttentionKind::Strips => Self::Strips(Strips::new(channels, parts, device)),
            AttentionKind::Glance => {
                Self::Glance(Glance::new(channels, refine.features(), parts, device))
            }
        }
    }

    /// Computes non-negative maps that the feature map is multiplied by: `[batch, C, H, W]` and the
    /// pooled features of the whole images `[batch, C']` to `[batch, M, H, W]`.
    pub fn forward(&self, e: Tensor<4>, whole: &Tensor<2>) -> Tensor<4> {
        match self {
            Self::Together(together) => together.forward(e),
            Self::Chain(chain) => chain.forward(e),
            Self::Strips(strips) => strips.forward(e),
            Self::Glance(glance) => glance.forward(e, whole),
        }
    }

    fn fold(self) -> Self {
        match self {
            Self::Together(together) => Self::Together(together.fold()),
            Self::Chain(chain) => Self::Chain(chain.fold()),
            Self::Strips(strips) => Self::Strips(strips.fold()),
            Self::Glance(glance) => Self::Glance(glance.fold()),
        }
    }
}

/// The network that finds and describes parts.
#[derive(Module, Debug)]
pub struct Parts {
    /// Locates the parts.
    pub attention: Attention,
    /// Local feature refinement (LFR), shared by all parts.
    pub local: Refine,
}

/// The features of a batch's parts.
#[derive(Debug, Clone)]
pub struct PartFeatures {
    /// Attention maps `[batch, M, H, W]`.
    pub attention: Tensor<4>,
    /// The refined maps of all parts `[batch · M, C', H', W']`, an image's parts adjacent.
    pub maps: Tensor<4>,
    /// The means of the refined maps `[batch, M, C']`.
    pub local: Tensor<3>,
}

impl Parts {
    /// Creates ExchNet's part network with `refine` as the initial local refinement.
    pub fn new(parts: usize, refine: Refine, device: &Device) -> Self {
        Self::of_kind(AttentionKind::Together, parts, refine, device)
    }

    /// Creates a part network with `refine` as the initial local refinement.
    pub fn of_kind(kind: AttentionKind, parts: usize, refine: Refine, device: &Device) -> Self {
        Self { attention: Attention::new(kind, &refine, parts, device), local: refine }
    }

    /// Computes attention and part features, given the pooled features of the whole images.
    pub fn forward(&self, e: Tensor<4>, whole: &Tensor<2>) -> PartFeatures {
        let attention = self.attention.forward(e.clone(), whole);
        self.refine(e, attention)
    }

    /// Initialises the last norm before each map with scale `gain` and offset `1 − gain`. 1 is
    /// the usual initialisation of a norm; with 0 every attention map is 1 everywhere. Strips
    /// stay as they are: their maps begin near 1.
    pub fn begin_with(&mut self, gain: f32) {
        let last: Vec<&mut BatchNorm> = match &mut self.attention {
            Attention::Together(together) => {
                together.narrow.last_mut().and_then(|conv| conv.norm.as_mut()).into_iter().collect()
            }
            Attention::Chain(chain) => {
                chain.heads.iter_mut().filter_map(|conv| conv.norm.as_mut()).collect()
            }
            Attention::Strips(_) => Vec::new(),
            Attention::Glance(glance) => vec![&mut glance.last],
        };
        let set = |param: Param<Tensor<1>>, value: f32| {
            param.map(|tensor| tensor.full_like(value).set_require_grad(tensor.is_require_grad()))
        };
        for norm in last {
            norm.gamma = set(norm.gamma.clone(), gain);
            norm.beta = set(norm.beta.clone(), 1.0 - gain);
        }
    }

    /// Computes and refines `E ⊗ A^j` on every channel, for all parts in one batch. The rounds of
    /// strips exchange positions after the first block of the refinement.
    pub fn refine(&self, e: Tensor<4>, attention: Tensor<4>) -> PartFeatures {
        let [batch, parts, height, width] = attention.dims();
        let [_, channels, ..] = e.dims();
        let attended = e.unsqueeze_dim::<5>(1) * attention.clone().unsqueeze_dim::<5>(2);
        let attended = attended.reshape([batch * parts, channels, height, width]);
        let maps = match &self.attention {
            Attention::Together(_) | Attention::Chain(_) | Attention::Glance(_) => {
                self.local.forward(attended)
            }
            Attention::Strips(_) => {
                let first = self.local.first(attended);
                self.local.rest(complemented(first, parts))
            }
        };
        let pooled = self.local.pool(maps.clone());
        let [_, width] = pooled.dims();
        PartFeatures { attention, maps, local: pooled.reshape([batch, parts, width]) }
    }

    /// Folds all batch norms, for inference.
    pub fn fold(self) -> Self {
        Self { attention: self.attention.fold(), local: self.local.fold() }
    }
}
