/*!
The layer that all trunks are made of: a convolution and its batch norm.
*/

use burn::module::{Module, Param};
use burn::nn::{BatchNorm, BatchNormConfig, Initializer};
use burn::prelude::*;
use burn::tensor::activation::relu;
use burn::tensor::module::conv2d;
use burn::tensor::ops::ConvOptions;

use super::ops::{self, Folded};
#[cfg(feature = "train")]
use super::train_ops;

/// Where a convolution's input is padded, and the ε of the norm behind it: both are as
/// the released weights were trained.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Style {
    /// "Same" padding, whose odd pixel is at the end; 1e-3.
    TensorFlow,
    /// As much at every border; 1e-5.
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

/// A convolution without bias and its batch norm, or the same folded into one
/// convolution with bias.
#[derive(Module, Debug)]
pub struct ConvNorm {
    /// `[output, input / groups, kernel, kernel]`.
    pub weight: Param<Tensor<4>>,
    /// `[output]`; there once the norm is folded.
    pub bias: Option<Param<Tensor<1>>>,
    /// There until the norm is folded.
    pub norm: Option<BatchNorm>,
    #[module(skip)]
    pub(super) stride: usize,
    #[module(skip)]
    groups: usize,
    #[module(skip)]
    style: Style,
}

impl ConvNorm {
    /// A convolution of `[input, output]` channels with "same" padding, and its norm with
    /// an ε of 1e-3.
    pub(crate) fn new(
        channels: [usize; 2],
        kernel: usize,
        stride: usize,
        groups: usize,
        device: &Device,
    ) -> Self {
        Self::of_style(channels, kernel, stride, groups, Style::TensorFlow, device)
    }

    /// A convolution of `[input, output]` channels, padded by half its odd kernel at every
    /// border, and its norm with an ε of 1e-5.
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

    /// Channels of the input, of a convolution in one group.
    pub(super) fn input(&self) -> usize {
        self.weight.dims()[1]
    }

    /// The convolution, its norm, and ReLU6 if asked for.
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

    /// The convolution and its norm by Burn's own operations.
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

    /// Whether this is a depthwise convolution (`true`), a 1×1 one (`false`), or neither.
    #[cfg(feature = "train")]
    fn simple(&self) -> Option<bool> {
        let [output, input, kernel, _] = self.weight.val().dims();
        match (input, kernel) {
            (1, _) if output == self.groups => Some(true),
            (_, 1) if self.groups == 1 && self.stride == 1 => Some(false),
            _ => None,
        }
    }

    /// Folds the norm: `w' = w·γ/√(σ²+ε)`, `b' = β − μ·γ/√(σ²+ε)`.
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

    pub(super) fn folded(&self) -> Option<Folded> {
        let bias = self.bias.as_ref()?.val();
        Some(Folded { weight: self.weight.val(), bias })
    }
}

/// ReLU6, composed of two comparisons with constants.
///
/// `6 − relu(6 − relu(x))` has the value and the gradient of `clamp(x, 0, 6)`, which
/// Burn's CPU backend runs several times slower.
pub(super) fn relu6(x: Tensor<4>) -> Tensor<4> {
    relu(relu(x).neg() + 6.0).neg() + 6.0
}

/// Global average pooling: `[batch, channels, H, W]` to `[batch, channels]`.
pub fn pool(x: Tensor<4>) -> Tensor<2> {
    x.mean_dims(&[2, 3]).flatten(1, 3)
}
