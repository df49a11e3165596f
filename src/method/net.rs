/*!
The network that is trained, and what it computes for a pass of images.
*/

use burn::module::{Module, ParamGroup};
use burn::nn::Linear;
use burn::prelude::*;

use super::laps::{Lap, Laps};
use crate::encoder::EncodeError;
use crate::network::{Parts, Saliency};
use crate::trunk::{Refine, Stem, pool};

/// The network that is trained, with the linear layer of the hash.
#[derive(Module, Debug)]
pub struct Net {
    /// The stem if it is trained; otherwise the network begins at the stem's map.
    pub stem: Option<Stem>,
    /// Global refinement.
    pub refine: Refine,
    /// Attention to parts, and their refinement.
    pub parts: Option<Parts>,
    /// The saliency of positions.
    pub saliency: Option<Saliency>,
    /// The hash.
    pub linear: Linear,
}

/// A second look of the network at the same images.
#[derive(Debug, Clone)]
pub struct Twice {
    /// Codes of the whole images, `[batch, c]`; the other codes are of what is salient in them.
    pub whole: Tensor<2>,
    /// The saliency of each position, 0 to 1, `[batch, H·W]`.
    pub saliency: Tensor<2>,
}

/// The output of the network for a pass of images.
#[derive(Debug)]
pub struct Output {
    /// The values of the hash, whose signs are the codes, `[batch, c]`.
    pub values: Tensor<2>,
    /// The features that the hash sees, `[batch, F]`.
    pub features: Tensor<2>,
    /// A term of the loss that depends on the network's maps.
    pub extra: Option<Tensor<1>>,
    /// The second look, if there is one. Its codes are not activated yet.
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

    /// Computes the stem's maps `[batch, C, H, W]`, of pixels if the stem is trained; otherwise
    /// `values` are these maps.
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

    /// Hashes the pooled features of the stem's maps.
    ///
    /// # Errors
    /// If the device fails.
    pub fn whole(&self, e: Tensor<4>, laps: &mut Laps) -> Result<Output, EncodeError> {
        let features = pool(self.refine.forward(e));
        laps.end(Lap::Refine)?;
        Ok(self.hash(features))
    }

    /// Hashes features `[batch, F]`.
    pub fn hash(&self, features: Tensor<2>) -> Output {
        let values = self.linear.forward(features.clone());
        Output { values, features, extra: None, twice: None }
    }
}
