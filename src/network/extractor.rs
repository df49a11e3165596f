/*!
The complete inference network: stem, refine, and the modules that a method adds.
*/

use burn::module::Module;
use burn::prelude::*;

use super::layers::Layers;
use super::parts::Parts;
use super::projections::Projections;
use super::saliency::{Level, Saliency, salient};
use crate::trunk::{Refine, Stem, Trunk, TrunkKind};

/// Computes an image's features: the global ones, and those of parts if there are any.
#[derive(Module, Debug)]
pub struct Extractor {
    /// The layers up to stride 16.
    pub stem: Stem,
    /// Global feature refinement (GFR): the trunk's own refine.
    pub refine: Refine,
    /// Attention and local refinement.
    pub parts: Option<Parts>,
    /// Saliency, if only the salient part of the image is hashed.
    pub saliency: Option<Saliency>,
    /// The pretrained refine, if its features are hashed together with those of the trained
    /// refine, both scaled to length 1.
    pub original: Option<Refine>,
    /// Projections of the last map, if they are hashed instead of its pooled features.
    pub projections: Option<Projections>,
}

impl From<Trunk> for Extractor {
    /// Creates an extractor of the trunk's pooled features.
    fn from(trunk: Trunk) -> Self {
        Self {
            stem: trunk.stem,
            refine: trunk.refine,
            parts: None,
            saliency: None,
            original: None,
            projections: None,
        }
    }
}

impl Extractor {
    /// Creates a network with random weights, to be filled from a file.
    pub fn new(kind: TrunkKind, layers: &Layers, device: &Device) -> Self {
        let Trunk { stem, refine, .. } = Trunk::new(kind, device);
        // Not clones, because clones share running statistics: loading the second from a file
        // would overwrite those of the first.
        let another = || Trunk::new(kind, device).refine;
        let parts = (layers.parts > 0)
            .then(|| Parts::of_kind(layers.attention, layers.parts, another(), device));
        let saliency = |level| Saliency::new(kind.stem_channels(), level, device);
        let projections = layers.projections;
        Self {
            stem,
            refine,
            parts,
            saliency: layers.saliency.map(saliency),
            original: layers.original.then(another),
            projections: (projections > 0)
                .then(|| Projections::new(kind.pooled(), projections, device)),
        }
    }

    /// Maps `[batch, 3, S, S]` to `[batch, features]`: the features of the parts in order, then
    /// the global ones; or those of projections.
    pub fn features(&self, x: Tensor<4>) -> Tensor<2> {
        let e = self.stem.forward(x.clone());
        match &self.saliency {
            Some(saliency) if saliency.level() == Level::Image => {
                let x = salient(x, saliency.forward(e));
                self.refine.pooled(self.stem.forward(x))
            }
            _ => self.features_of_map(e),
        }
    }

    /// Like [`Extractor::features`], from the stem's feature map. Not valid if saliency is
    /// applied to the image.
    pub fn features_of_map(&self, e: Tensor<4>) -> Tensor<2> {
        let seen = match &self.saliency {
            Some(saliency) => salient(e.clone(), saliency.forward(e)),
            None => e,
        };
        let last = self.refine.forward(seen.clone());
        if let Some(projections) = &self.projections {
            return projections.forward(last);
        }
        let global = self.refine.pool(last);
        match (&self.parts, &self.original) {
            (Some(parts), _) => {
                let local = parts.forward(seen, &global).local.flatten::<2>(1, 2);
                Tensor::cat(vec![local, global], 1)
            }
            (None, Some(original)) => {
                let before = original.pooled(seen);
                Tensor::cat(vec![unit(global), unit(before)], 1)
            }
            (None, None) => global,
        }
    }

    /// Computes attention maps `[batch, M, H, W]` of `[batch, 3, S, S]`: those of the parts, the
    /// single saliency map, or those of a transformer's heads. `None` if the network has none.
    pub fn attention(&self, x: Tensor<4>) -> Option<Tensor<4>> {
        match (&self.parts, &self.saliency) {
            (Some(parts), _) => {
                let e = self.stem.forward(x);
                let whole = self.refine.pooled(e.clone());
                Some(parts.attention.forward(e, &whole))
            }
            (None, Some(saliency)) => Some(saliency.forward(self.stem.forward(x))),
            (None, None) => self.refine.class_attention(self.stem.forward(x)),
        }
    }

    /// Computes how much each position stands out to the trunk: `[batch, 3, S, S]` to
    /// `[batch, 1, H, W]`. It is the squared distance between the stem's vector there and the mean
    /// of all positions; of a transformer, the mean attention of the class token.
    pub fn salience(&self, x: Tensor<4>) -> Tensor<4> {
        let e = self.stem.forward(x);
        if let Some(heads) = self.refine.class_attention(e.clone()) {
            return heads.mean_dim(1);
        }
        let away = e.clone() - e.mean_dim(2).mean_dim(3);
        (away.clone() * away).sum_dim(1)
    }

    /// Folds all batch norms, for inference.
    pub fn fold(self) -> Self {
        Self {
            stem: self.stem.fold(),
            refine: self.refine.fold(),
            parts: self.parts.map(Parts::fold),
            saliency: self.saliency.map(Saliency::fold),
            original: self.original.map(Refine::fold),
            projections: self.projections.map(Projections::fold),
        }
    }
}

/// Scales rows to length 1.
fn unit(rows: Tensor<2>) -> Tensor<2> {
    let length = ((rows.clone() * rows.clone()).sum_dim(1) + 1e-12).sqrt();
    rows / length
}
