/*!
What lies in a model file, as modules that are stored like the trunk.
*/

use burn::module::{Module, Param};
use burn::prelude::*;
use burn::tensor::TensorData;

use super::Card;
use crate::cause::{Cause, in_detail};
use crate::hash::codebooks::WORDS;
use crate::hash::{Codebooks, Hash, KernelHash, LinearHash, Quantizer};
use crate::network::Extractor;

/// The hash as a module, so that it is stored like the trunk.
///
/// Not called `Linear`: by that name Burn's adapter for half precision takes it for one
/// of its own layers, and rounds what is to stay in single precision.
#[derive(Module, Debug)]
pub(super) struct HashWeights {
    /// `[features]`.
    mean: Param<Tensor<1>>,
    /// `[features, bits]`.
    projection: Param<Tensor<2>>,
    /// `[bits]`.
    bias: Param<Tensor<1>>,
    /// The kernel that comes first, if any; above, `features` are then its values.
    kernel: Option<KernelWeights>,
    /// `[codebooks · 16, bits]`, if codes are words of codebooks.
    codebooks: Option<Param<Tensor<2>>>,
}

/// The kernel of a hash.
#[derive(Module, Debug)]
struct KernelWeights {
    /// `[anchors, features]`.
    anchors: Param<Tensor<2>>,
    /// `[1]`: how fast it falls with the squared distance.
    rate: Param<Tensor<1>>,
}

impl HashWeights {
    pub(super) fn zeros(card: &Card, device: &Device) -> Self {
        let (features, bits) = (card.anchors.unwrap_or(card.features()), card.bits);
        Self {
            mean: Param::from_tensor(Tensor::zeros([features], device)),
            projection: Param::from_tensor(Tensor::zeros([features, bits], device)),
            bias: Param::from_tensor(Tensor::zeros([bits], device)),
            kernel: card.anchors.map(|anchors| KernelWeights {
                anchors: Param::from_tensor(Tensor::zeros([anchors, card.features()], device)),
                rate: Param::from_tensor(Tensor::zeros([1], device)),
            }),
            codebooks: card
                .codebooks
                .map(|count| Param::from_tensor(Tensor::zeros([count * WORDS, bits], device))),
        }
    }

    pub(super) fn new(hash: &Hash, device: &Device) -> Self {
        let kernel = match hash {
            Hash::Linear(_) | Hash::Quantizer(_) => None,
            Hash::Kernel(hash) => {
                let anchors = hash.anchors().to_vec();
                let anchors = TensorData::new(anchors, [hash.linear().dim(), hash.dim()]);
                Some(KernelWeights {
                    anchors: Param::from_tensor(Tensor::from_data(anchors, device)),
                    rate: Param::from_tensor(Tensor::from_data([hash.rate()], device)),
                })
            }
        };
        let codebooks = hash.codebooks().map(|books| {
            let words =
                TensorData::new(books.words().to_vec(), [books.count() * WORDS, books.dim()]);
            Param::from_tensor(Tensor::from_data(words, device))
        });
        let hash = hash.linear();
        let mean = TensorData::new(hash.mean().to_vec(), [hash.dim()]);
        let projection = TensorData::new(hash.projection().to_vec(), [hash.dim(), hash.bits()]);
        Self {
            mean: Param::from_tensor(Tensor::from_data(mean, device)),
            projection: Param::from_tensor(Tensor::from_data(projection, device)),
            bias: Param::from_tensor(Tensor::from_data(hash.bias(), device)),
            kernel,
            codebooks,
        }
    }

    pub(super) fn hash(self) -> Result<Hash, Cause> {
        let values = |data: TensorData| data.try_into_vec::<f32>().map_err(in_detail);
        let mean = values(self.mean.val().into_data())?;
        let projection = values(self.projection.val().into_data())?;
        let bias = values(self.bias.val().into_data())?;
        let linear = LinearHash::new(mean, projection)?.with_bias(bias)?;
        if let Some(words) = self.codebooks {
            let words = values(words.val().into_data())?;
            let codebooks = Codebooks::new(linear.bits(), words)?;
            return Ok(Quantizer::new(linear, codebooks)?.into());
        }
        let Some(kernel) = self.kernel else { return Ok(linear.into()) };
        let anchors = values(kernel.anchors.val().into_data())?;
        let rate = values(kernel.rate.val().into_data())?.first().copied().unwrap_or_default();
        Ok(KernelHash::new(anchors, rate, linear)?.into())
    }
}

/// All that is in the file of a model that shares the shipped trunk.
#[derive(Module, Debug)]
pub(super) struct HashAlone {
    pub(super) hash: HashWeights,
}

/// All that is in any other file.
#[derive(Module, Debug)]
pub(super) struct Network {
    pub(super) trunk: Extractor,
    pub(super) hash: HashWeights,
}
