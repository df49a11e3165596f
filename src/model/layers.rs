/*!
What lies in a model file, as modules that are stored like the trunk.
*/

use burn::module::{Module, Param};
use burn::prelude::*;
use burn::tensor::TensorData;

use super::Card;
use crate::cause::{Cause, in_detail};
use crate::hash::codebooks::WORDS;
use crate::hash::{Codebooks, Hash, KernelHash, LinearHash, Quantizer, Values};
use crate::network::Extractor;

/// The hash as a module, so that it is stored like the trunk.
///
/// Not called `Linear`: by that name Burn's adapter for half precision takes it for one
/// of its own layers, and rounds what is to stay in single precision.
#[derive(Module, Debug)]
pub(super) struct HashWeights {
    /// `[features]`.
    mean: Param<Tensor<1>>,
    /// `[features, bits]`; with codebooks `[features, values]`.
    projection: Param<Tensor<2>>,
    /// `[bits]` or `[values]`.
    bias: Param<Tensor<1>>,
    /// The kernel that comes first, if any; above, `features` are then the plain ones and its
    /// values.
    kernel: Option<KernelWeights>,
    /// `[codebooks · 16, values]`, if codes are words of codebooks.
    codebooks: Option<Param<Tensor<2>>>,
}

/// The name of [`KernelWeights`] in Burn's adapters.
pub(super) const KERNEL: &str = "KernelWeights";

/// The kernel of a hash.
#[derive(Module, Debug)]
struct KernelWeights {
    /// `[anchors, features]`, without plain ones.
    anchors: Param<Tensor<2>>,
    /// `[1]`: how fast it falls with the squared distance.
    rate: Param<Tensor<1>>,
}

impl HashWeights {
    pub(super) fn zeros(card: &Card, device: &Device) -> Self {
        let features = card.hashed();
        let seen = card.features().saturating_sub(card.plain);
        let bits = card.values.unwrap_or(card.bits);
        Self {
            mean: Param::from_tensor(Tensor::zeros([features], device)),
            projection: Param::from_tensor(Tensor::zeros([features, bits], device)),
            bias: Param::from_tensor(Tensor::zeros([bits], device)),
            kernel: card.anchors.map(|anchors| KernelWeights {
                anchors: Param::from_tensor(Tensor::zeros([anchors, seen], device)),
                rate: Param::from_tensor(Tensor::zeros([1], device)),
            }),
            codebooks: card
                .codebooks
                .map(|count| Param::from_tensor(Tensor::zeros([count * WORDS, bits], device))),
        }
    }

    pub(super) fn new(hash: &Hash, device: &Device) -> Self {
        let kernel = hash.kernel().map(|kernel| {
            let shape = [kernel.count(), kernel.dim() - kernel.plain()];
            let anchors = TensorData::new(kernel.anchors().to_vec(), shape);
            KernelWeights {
                anchors: Param::from_tensor(Tensor::from_data(anchors, device)),
                rate: Param::from_tensor(Tensor::from_data([kernel.rate()], device)),
            }
        });
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

    /// Returns the hash that `card` describes.
    pub(super) fn hash(self, card: &Card) -> Result<Hash, Cause> {
        let numbers = |data: TensorData| data.try_into_vec::<f32>().map_err(in_detail);
        let mean = numbers(self.mean.val().into_data())?;
        let projection = numbers(self.projection.val().into_data())?;
        let bias = numbers(self.bias.val().into_data())?;
        let linear = LinearHash::new(mean, projection)?.with_bias(bias)?;
        let dim = linear.bits();
        let map = match self.kernel {
            None => Values::from(linear),
            Some(kernel) => {
                let anchors = numbers(kernel.anchors.val().into_data())?;
                let rate = numbers(kernel.rate.val().into_data())?;
                let rate = rate.first().copied().unwrap_or_default();
                KernelHash::behind(card.plain, anchors, rate, linear)?.into()
            }
        };
        let Some(words) = self.codebooks else { return Ok(map.into()) };
        let codebooks = Codebooks::new(dim, numbers(words.val().into_data())?)?;
        let hash = Quantizer::new(map, codebooks)?;
        Ok(if card.unit { hash.at_unit_length() } else { hash }.into())
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
