/*!
The attention network of DSaH: one map with the saliency of each position of an image.

Only the abstract of DSaH was available to us (Jin, Yao, Sun, Zhou, Zhang and Hua, "Deep
Saliency Hashing for Fine-Grained Retrieval", IEEE TIP 2020). The network here and the loss
in `dsah.rs` are Barbule's reconstruction, not the paper's own.
*/

use std::fmt;
use std::str::FromStr;

use burn::module::Module;
use burn::prelude::*;
use burn::tensor::activation::{relu, sigmoid};
use serde::{Deserialize, Serialize};

use crate::trunk::ConvNorm;

/// Weight of a position whose saliency is 0.
const FLOOR: f32 = 0.1;
/// Channels inside the attention network.
const WIDTH: usize = 32;

/// The target to which saliency is applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// The image: the stem runs a second time, on the salient image.
    Image,
    /// The stem's feature map.
    Feature,
}

impl FromStr for Level {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "image" => Ok(Self::Image),
            "feature" => Ok(Self::Feature),
            _ => Err(format!("'{text}' is not a level of saliency; choose image or feature")),
        }
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Image => "image",
            Self::Feature => "feature",
        })
    }
}

/// A light fully convolutional network on the stem's feature map: 1×1 to 32 channels, 3×3, 1×1
/// to one channel, sigmoid.
#[derive(Module, Debug)]
pub struct Saliency {
    /// 1×1 to the inner width.
    pub narrow: ConvNorm,
    /// 3×3 at the inner width.
    pub around: ConvNorm,
    /// 1×1 to one channel.
    pub one: ConvNorm,
    #[module(skip)]
    level: Level,
}

impl Saliency {
    /// Creates the network for stem feature maps of `channels` channels.
    pub fn new(channels: usize, level: Level, device: &Device) -> Self {
        Self {
            narrow: ConvNorm::new([channels, WIDTH], 1, 1, 1, device),
            around: ConvNorm::new([WIDTH, WIDTH], 3, 1, 1, device),
            one: ConvNorm::new([WIDTH, 1], 1, 1, 1, device),
            level,
        }
    }

    /// The target to which the saliency is applied.
    pub fn level(&self) -> Level {
        self.level
    }

    /// Computes `α̃ = α / max α` of each image: `[batch, C, H, W]` to `[batch, 1, H, W]`, with
    /// values above 0 and at most 1.
    pub fn forward(&self, e: Tensor<4>) -> Tensor<4> {
        let x = relu(self.narrow.forward(e, false));
        let x = relu(self.around.forward(x, false));
        let alpha = sigmoid(self.one.forward(x, false));
        let [batch, _, height, width] = alpha.dims();
        let flat = alpha.reshape([batch, height * width]);
        // A sigmoid can round to 0 everywhere, so avoid a division by 0.
        let most = flat.clone().max_dim(1) + 1e-6;
        (flat / most).reshape([batch, 1, height, width])
    }

    /// Folds all batch norms, for inference.
    pub fn fold(self) -> Self {
        Self {
            narrow: self.narrow.fold(),
            around: self.around.fold(),
            one: self.one.fold(),
            ..self
        }
    }
}

/// Weights `x` (images or feature maps `[batch, C, S, S]`) by saliency:
/// `x ⊗ (0.1 + 0.9·α̃)`, with α̃ upsampled to the size of `x`.
pub fn salient(x: Tensor<4>, alpha: Tensor<4>) -> Tensor<4> {
    let [_, _, height, width] = x.dims();
    x * (enlarged(alpha, height, width) * (1.0 - FLOOR) + FLOOR)
}

/// Bilinear upsampling as two matrix products, which every backend can differentiate.
fn enlarged(map: Tensor<4>, height: usize, width: usize) -> Tensor<4> {
    let [batch, _, h, w] = map.dims();
    if (h, w) == (height, width) {
        return map;
    }
    let device = map.device();
    let rows = Tensor::<2>::from_data(TensorData::new(shares(h, height), [height, h]), &device);
    let columns = Tensor::<2>::from_data(TensorData::new(shares(w, width), [width, w]), &device);
    let map: Tensor<3> = map.reshape([batch, h, w]);
    let map = rows.unsqueeze::<3>().matmul(map);
    map.matmul(columns.transpose().unsqueeze::<3>()).reshape([batch, 1, height, width])
}

/// Returns the interpolation weights `[to, from]` from `from` to `to` pixels: linear between
/// pixel centres, constant beyond the outermost ones.
fn shares(from: usize, to: usize) -> Vec<f32> {
    let mut shares = vec![0.0; to * from];
    for (i, row) in shares.chunks_exact_mut(from).enumerate() {
        let at = ((i as f32 + 0.5) * from as f32 / to as f32 - 0.5).clamp(0.0, (from - 1) as f32);
        let (low, part) = (at as usize, at.fract());
        row[low] += 1.0 - part;
        row[(low + 1).min(from - 1)] += part;
    }
    shares
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::Distribution;

    #[test]
    fn enlargement_is_linear_between_centres() {
        assert_eq!(shares(2, 4), [1.0, 0.0, 0.75, 0.25, 0.25, 0.75, 0.0, 1.0]);
        assert_eq!(shares(1, 3), [1.0; 3]);
        let device = Device::flex();
        let map = Tensor::<4>::from_data([[[[0.0, 1.0], [2.0, 3.0]]]], &device);
        let large = enlarged(map, 4, 2).into_data().try_into_vec::<f32>().unwrap();
        assert_eq!(large, [0.0, 1.0, 0.5, 1.5, 1.5, 2.5, 2.0, 3.0]);
    }

    #[test]
    fn the_most_salient_place_is_kept_and_no_place_is_lost() {
        let device = Device::flex();
        let saliency = Saliency::new(5, Level::Feature, &device);
        let e = Tensor::<4>::random([2, 5, 4, 4], Distribution::Default, &device);
        let alpha = saliency.forward(e.clone());
        let values = alpha.clone().into_data().try_into_vec::<f32>().unwrap();
        for image in values.chunks(16) {
            let most = image.iter().fold(0f32, |m, v| m.max(*v));
            assert!((most - 1.0).abs() < 1e-4 && image.iter().all(|v| *v > 0.0), "{image:?}");
        }
        let (before, after) = (e.clone(), salient(e, alpha));
        let read = |t: Tensor<4>| t.into_data().try_into_vec::<f32>().unwrap();
        for (a, b) in read(before).into_iter().zip(read(after)) {
            assert!(b >= 0.0999 * a && b <= 1.001 * a, "{a} {b}");
        }
    }
}
