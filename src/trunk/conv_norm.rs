/*!
The basic layer of all trunks: a convolution and its batch norm.
*/

use burn::module::{Module, Param};
use burn::nn::{BatchNorm, BatchNormConfig, Initializer};
use burn::prelude::*;
use burn::tensor::activation::relu;
use burn::tensor::module::conv2d;
use burn::tensor::ops::ConvOptions;

use std::sync::Arc;

use super::cpu::{Activation, Convolution, PackedConv, Pads};
use super::ops;
#[cfg(feature = "train")]
use super::train_ops;

/// The padding of a convolution and the ε of its norm, as in the training of the released
/// weights.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Style {
    /// "Same" padding, with the odd pixel at the end; ε = 1e-3.
    TensorFlow,
    /// Equal padding at every border; ε = 1e-5.
    PyTorch,
}

impl Style {
    fn epsilon(self) -> f64 {
        match self {
            Self::TensorFlow => 1e-3,
            Self::PyTorch => 1e-5,
        }
    }
}

/// A convolution without bias and its batch norm, or both folded into one convolution with
/// bias.
#[derive(Module, Debug)]
pub struct ConvNorm {
    /// `[output, input / groups, kernel, kernel]`.
    pub weight: Param<Tensor<4>>,
    /// `[output]`; only present after folding.
    pub bias: Option<Param<Tensor<1>>>,
    /// Only present before folding.
    pub norm: Option<BatchNorm>,
    #[module(skip)]
    pub(super) stride: usize,
    #[module(skip)]
    groups: usize,
    #[module(skip)]
    style: Style,
}

impl ConvNorm {
    /// Creates a convolution of `[input, output]` channels with "same" padding, and a norm
    /// with ε = 1e-3.
    pub(crate) fn new(
        channels: [usize; 2],
        kernel: usize,
        stride: usize,
        groups: usize,
        device: &Device,
    ) -> Self {
        Self::of_style(channels, kernel, stride, groups, Style::TensorFlow, device)
    }

    /// Creates a convolution of `[input, output]` channels, padded by half its odd kernel at
    /// every border, and a norm with ε = 1e-5.
    pub(crate) fn symmetric(
        channels: [usize; 2],
        kernel: usize,
        stride: usize,
        device: &Device,
    ) -> Self {
        Self::of_style(channels, kernel, stride, 1, Style::PyTorch, device)
    }

    fn of_style(
        [input, output]: [usize; 2],
        kernel: usize,
        stride: usize,
        groups: usize,
        style: Style,
        device: &Device,
    ) -> Self {
        let shape = [output, input / groups, kernel, kernel];
        let fan_out = kernel * kernel * output / groups;
        let init = Initializer::Normal { mean: 0.0, std: (2.0 / fan_out as f64).sqrt() };
        Self {
            weight: init.init(shape, device),
            bias: None,
            norm: Some(BatchNormConfig::new(output).with_epsilon(style.epsilon()).init(device)),
            stride,
            groups,
            style,
        }
    }

    /// Input channels of a convolution with one group.
    pub(super) fn input(&self) -> usize {
        self.weight.dims()[1]
    }

    /// Output channels of a convolution.
    pub(super) fn output(&self) -> usize {
        self.weight.dims()[0]
    }

    /// Applies the convolution, its norm, and ReLU6 if `activate`.
    pub(crate) fn forward(&self, x: Tensor<4>, activate: bool) -> Tensor<4> {
        #[cfg(feature = "train")]
        if train_ops::on_training_cpu(&x)
            && let (Some(norm), Some(depthwise)) = (&self.norm, self.simple())
        {
            let x = train_ops::conv(x, self.weight.val(), self.stride, depthwise);
            if norm.training.is_enabled() {
                return train_ops::norm(x, norm, activate);
            }
            let x = norm.forward(x);
            return if activate { relu6(x) } else { x };
        }
        let x = self.forward_generic(x);
        if activate { relu6(x) } else { x }
    }

    /// Applies the convolution and its norm with Burn's own operations.
    pub(super) fn forward_generic(&self, x: Tensor<4>) -> Tensor<4> {
        let bias = self.bias.as_ref().map(|b| b.val());
        let (weight, stride) = (self.weight.val(), self.stride);
        let x = match self.style {
            Style::TensorFlow => ops::conv_same(x, weight, bias, stride, self.groups),
            Style::PyTorch => {
                let pad = weight.dims()[2] / 2;
                let options = ConvOptions::new([stride; 2], [pad; 2], [1; 2], self.groups);
                conv2d(x, weight, bias, options)
            }
        };
        match &self.norm {
            Some(norm) => norm.forward(x),
            None => x,
        }
    }

    /// Returns `true` for a depthwise convolution, `false` for a 1×1 convolution of stride 1,
    /// `None` for others.
    #[cfg(feature = "train")]
    fn simple(&self) -> Option<bool> {
        let [output, input, kernel, _] = self.weight.val().dims();
        match (input, kernel) {
            (1, _) if output == self.groups => Some(true),
            (_, 1) if self.groups == 1 && self.stride == 1 => Some(false),
            _ => None,
        }
    }

    /// Folds the norm into the convolution: `w' = w·γ/√(σ²+ε)`, `b' = β − μ·γ/√(σ²+ε)`.
    pub(crate) fn fold(self) -> Self {
        let Some(norm) = self.norm else { return self };
        let scale = norm.gamma.val() / (norm.running_var.value() + norm.epsilon).sqrt();
        let bias = norm.beta.val() - norm.running_mean.value() * scale.clone();
        let [output] = scale.dims();
        let weight = self.weight.val() * scale.reshape([output, 1, 1, 1]);
        Self {
            weight: Param::from_tensor(weight),
            bias: Some(Param::from_tensor(bias)),
            norm: None,
            ..self
        }
    }

    /// The biases of a folded convolution.
    pub(super) fn biases(&self) -> Vec<f32> {
        self.bias.as_ref().map(|bias| ops::numbers(bias.val())).unwrap_or_default()
    }

    /// Packs a folded convolution of one group for inference on the CPU.
    pub(super) fn packed(&self, activation: Activation) -> Convolution {
        let (weight, bias) = (self.weight.val(), self.bias.as_ref().map(|bias| bias.val()));
        let pads = match self.style {
            Style::TensorFlow => Pads::Same,
            Style::PyTorch => Pads::Each(weight.dims()[2] / 2),
        };
        Convolution { conv: packed_conv(weight, bias, self.stride), pads, activation }
    }
}

/// Packs a convolution of one group for inference on the CPU.
pub(super) fn packed_conv(
    weight: Tensor<4>,
    bias: Option<Tensor<1>>,
    stride: usize,
) -> Arc<PackedConv> {
    let [_, channels, kernel, _] = weight.dims();
    let weight = ops::numbers(weight.permute([0, 2, 3, 1]));
    let bias = bias.map(ops::numbers).unwrap_or_default();
    Arc::new(PackedConv::new(&weight, channels, kernel, stride, &bias))
}

/// ReLU6 as `6 − relu(6 − relu(x))`.
///
/// This has the value and the gradient of `clamp(x, 0, 6)`, which Burn's CPU backend runs
/// several times slower.
pub(super) fn relu6(x: Tensor<4>) -> Tensor<4> {
    relu(relu(x).neg() + 6.0).neg() + 6.0
}

/// Global average pooling: `[batch, channels, H, W]` to `[batch, channels]`.
pub fn pool(x: Tensor<4>) -> Tensor<2> {
    x.mean_dims(&[2, 3]).flatten(1, 3)
}
