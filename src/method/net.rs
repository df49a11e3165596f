/*!
The network during training, and its output for a batch.
*/

use burn::module::{Module, ParamGroup};
use burn::nn::Linear;
use burn::prelude::*;

use super::laps::{Lap, Laps};
use super::mining::Mining;
use crate::encoder::EncodeError;
use crate::network::{Parts, Projections, Saliency};
use crate::trunk::{Refine, Stem};

/// The trained network, including the linear layer of the hash.
#[derive(Module, Debug)]
pub struct Net {
    /// The stem if it is trained; otherwise the input is the stem's map.
    pub stem: Option<Stem>,
    /// Global refinement.
    pub refine: Refine,
    /// Attention to parts, and the refinement of parts.
    pub parts: Option<Parts>,
    /// The saliency of each position.
    pub saliency: Option<Saliency>,
    /// Projections of the last map, which take the place of its pooled features.
    pub projections: Option<Projections>,
    /// The hash.
    pub linear: Linear,
    /// Classifiers of features, in training only.
    pub classifiers: Vec<Linear>,
    /// Attention to projections, in training only.
    pub mining: Option<Mining>,
}

/// The output of the network for a second view of the same images.
#[derive(Debug, Clone)]
pub struct Twice {
    /// Values of the whole images, `[batch, c]`; the main values are those of the salient view.
    pub whole: Tensor<2>,
    /// The saliency of each position, 0 to 1, `[batch, H·W]`.
    pub saliency: Tensor<2>,
}

/// Joins the features of parts, `[batch, M, C']`, with the global ones, `[batch, C']`.
pub fn joined(local: Option<Tensor<3>>, global: Tensor<2>) -> Tensor<2> {
    match local {
        Some(local) => Tensor::cat(vec![local.flatten(1, 2), global], 1),
        None => global,
    }
}

/// The output of a forward pass.
#[derive(Debug)]
pub struct Output {
    /// The values of the hash, whose signs are the codes, `[batch, c]`.
    pub values: Tensor<2>,
    /// Features that the hash takes, `[batch, F]`.
    pub features: Tensor<2>,
    /// A term of the loss that depends on the network's maps.
    pub extra: Option<Tensor<1>>,
    /// The second view, if the method uses one. Its values are not activated yet.
    pub twice: Option<Twice>,
}

impl Net {
    /// The pretrained layers.
    pub fn pretrained(&self) -> ParamGroup {
        let stem = ParamGroup::ids_from_module(self.stem.clone());
        let refine = stem.fuse(&ParamGroup::ids_from_module(self.refine.clone()));
        match &self.parts {
            Some(parts) => refine.fuse(&ParamGroup::ids_from_module(parts.local.clone())),
            None => refine,
        }
    }

    /// Computes the stem's maps `[batch, C, H, W]` from pixels if the stem is trained; otherwise
    /// `values` are already these maps.
    ///
    /// # Errors
    /// If the device fails.
    pub fn maps(&self, values: Tensor<4>, laps: &mut Laps) -> Result<Tensor<4>, EncodeError> {
        let e = match &self.stem {
            Some(stem) => stem.forward(values),
            None => values,
        };
        laps.end(Lap::Stem)?;
        Ok(e)
    }

    /// Computes the features of parts `[batch, M, C']`, if the network has parts, and the global ones
    /// `[batch, C']` from the stem's maps.
    ///
    /// # Errors
    /// If the device fails.
    pub fn in_parts(
        &self,
        e: Tensor<4>,
        laps: &mut Laps,
    ) -> Result<(Option<Tensor<3>>, Tensor<2>), EncodeError> {
        let global = self.refine.pooled(e.clone());
        laps.end(Lap::Refine)?;
        let local = match &self.parts {
            Some(parts) => {
                let attention = parts.attention.forward(e.clone(), &global);
                laps.end(Lap::Attention)?;
                Some(parts.refine(e, attention).local)
            }
            None => None,
        };
        laps.end(Lap::Refine)?;
        Ok((local, global))
    }

    /// Pools the stem's maps and hashes the features.
    ///
    /// # Errors
    /// If the device fails.
    pub fn whole(&self, e: Tensor<4>, laps: &mut Laps) -> Result<Output, EncodeError> {
        let features = self.refine.pooled(e);
        laps.end(Lap::Refine)?;
        Ok(self.hash(features))
    }

    /// Hashes features `[batch, F]`.
    pub fn hash(&self, features: Tensor<2>) -> Output {
        let values = self.linear.forward(features.clone());
        Output { values, features, extra: None, twice: None }
    }
}
