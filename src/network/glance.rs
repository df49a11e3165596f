/*!
Attention that a first look at the whole image directs: what the image seems to be decides where its
parts are looked for. Barbule's own.

The pooled features of the whole image give the weights with which a map sums up the channels at
each position. Maps of a network of convolutions alone depend on what stands at and around a
position; these ones also on the class that the whole image resembles.
*/

use burn::module::Module;
use burn::nn::{BatchNorm, BatchNormConfig, Linear, LinearConfig};
use burn::prelude::*;
use burn::tensor::activation::relu;

use crate::trunk::ConvNorm;

/// Numbers that a first look keeps of the pooled features.
const SEEN: usize = 64;
/// Channels that maps are summed up from.
const CHANNELS: usize = 64;
/// The ε of the norms.
const EPSILON: f64 = 1e-3;

/// Computes M maps of an image, directed by its pooled features.
#[derive(Module, Debug)]
pub struct Glance {
    /// 1×1 to K channels of the stem's map.
    pub places: ConvNorm,
    /// From the pooled features.
    pub look: Linear,
    /// The norm of what a first look keeps.
    pub seen: BatchNorm,
    /// From what is kept to K weights for each map.
    pub weights: Linear,
    /// The norm of the maps.
    pub last: BatchNorm,
}

impl Glance {
    /// Creates attention with `parts` maps on a feature map of `channels` channels, for `pooled`
    /// features of the whole image.
    pub(super) fn new(channels: usize, pooled: usize, parts: usize, device: &Device) -> Self {
        let norm = |size| BatchNormConfig::new(size).with_epsilon(EPSILON).init(device);
        Self {
            places: ConvNorm::new([channels, CHANNELS], 1, 1, 1, device),
            look: LinearConfig::new(pooled, SEEN).with_bias(false).init(device),
            seen: norm(SEEN),
            // The offset of the norm before it is that of the weights, too.
            weights: LinearConfig::new(SEEN, parts * CHANNELS).with_bias(false).init(device),
            last: norm(parts),
        }
    }

    /// `[batch, C, H, W]`, and the pooled features `[batch, C']` of the whole images, to
    /// `[batch, M, H, W]`. Losses of the maps do not change the pooled features.
    pub fn forward(&self, e: Tensor<4>, whole: &Tensor<2>) -> Tensor<4> {
        let [batch, _, height, width] = e.dims();
        let places = self.places.forward(e, false).reshape([batch, CHANNELS, height * width]);
        let seen = self.seen.forward(self.look.forward(whole.clone().detach()));
        let weights = self.weights.forward(seen);
        let parts = weights.dims()[1] / CHANNELS;
        let maps = weights.reshape([batch, parts, CHANNELS]).matmul(places);
        relu(self.last.forward(maps.reshape([batch, parts, height, width])))
    }

    pub(super) fn fold(self) -> Self {
        Self { places: self.places.fold(), ..self }
    }
}
