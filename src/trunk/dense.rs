/*!
Layers of trunks without batch norms: convolutions and linear layers with bias, layer norm, GELU.

Weights keep PyTorch's layout. The types are Barbule's own, because the adapters for published files
would transpose and rename the tensors of Burn's `Linear` and `LayerNorm`.
*/

use burn::module::{Module, Param};
use burn::nn::Initializer;
use burn::prelude::*;
use burn::tensor::activation::sigmoid;
use burn::tensor::module::{conv2d, layer_norm};
use burn::tensor::ops::ConvOptions;

use super::conv_norm::packed_conv;
use super::cpu::{self, Convolution, Packed, Pads};
use super::ops::numbers;

/// Standard deviation of new weights.
const STD: f64 = 0.02;

/// A tensor of new weights.
pub(super) fn drawn<const D: usize>(shape: [usize; D], device: &Device) -> Param<Tensor<D>> {
    Initializer::Normal { mean: 0.0, std: STD }.init(shape, device)
}

/// A convolution with bias whose stride is its kernel, or a depthwise one that keeps the size.
#[derive(Module, Debug)]
pub struct Conv {
    /// `[output, input / groups, kernel, kernel]`.
    pub weight: Param<Tensor<4>>,
    /// `[output]`.
    pub bias: Option<Param<Tensor<1>>>,
    #[module(skip)]
    stride: usize,
    #[module(skip)]
    padding: usize,
    #[module(skip)]
    groups: usize,
}

impl Conv {
    /// Creates a convolution of `[input, output]` channels of squares that do not overlap.
    pub(super) fn patches(
        [input, output]: [usize; 2],
        side: usize,
        bias: bool,
        device: &Device,
    ) -> Self {
        Self {
            weight: drawn([output, input, side, side], device),
            bias: bias.then(|| Initializer::Zeros.init([output], device)),
            stride: side,
            padding: 0,
            groups: 1,
        }
    }

    /// Creates a convolution of each of `channels` channels with an odd kernel.
    pub(super) fn depthwise(channels: usize, kernel: usize, device: &Device) -> Self {
        Self {
            weight: drawn([channels, 1, kernel, kernel], device),
            bias: Some(Initializer::Zeros.init([channels], device)),
            stride: 1,
            padding: kernel / 2,
            groups: channels,
        }
    }

    /// `[batch, input, H, W]` to `[batch, output, H', W']`. Squares that would reach beyond the map
    /// are left out.
    pub(super) fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let options = ConvOptions::new([self.stride; 2], [self.padding; 2], [1; 2], self.groups);
        conv2d(x, self.weight.val(), self.bias.as_ref().map(Param::val), options)
    }

    /// Packs a convolution of one group for inference on the CPU.
    pub(super) fn packed(&self) -> Convolution {
        let conv = packed_conv(self.weight.val(), self.bias.as_ref().map(Param::val), self.stride);
        Convolution { conv, pads: Pads::Each(self.padding), activation: cpu::Activation::None }
    }

    /// Input channels of a convolution with one group.
    pub(super) fn input(&self) -> usize {
        self.weight.dims()[1]
    }

    /// Output channels.
    pub(super) fn output(&self) -> usize {
        self.weight.dims()[0]
    }
}

/// A linear layer of the last dimension.
#[derive(Module, Debug)]
pub struct Dense {
    /// `[output, input]`.
    pub weight: Param<Tensor<2>>,
    /// `[output]`.
    pub bias: Option<Param<Tensor<1>>>,
}

impl Dense {
    /// Creates a layer with bias.
    pub(super) fn new(input: usize, output: usize, device: &Device) -> Self {
        let bias = Some(Initializer::Zeros.init([output], device));
        Self { weight: drawn([output, input], device), bias }
    }

    /// Creates a layer without bias.
    pub(super) fn unbiased(input: usize, output: usize, device: &Device) -> Self {
        Self { weight: drawn([output, input], device), bias: None }
    }

    /// `[…, input]` to `[…, output]`.
    pub(super) fn forward<const D: usize>(&self, x: Tensor<D>) -> Tensor<D> {
        let [output, input] = self.weight.dims();
        let mut shape = x.dims();
        shape[D - 1] = output;
        let rows: usize = shape[..D - 1].iter().product();
        let out = x.reshape([rows, input]).matmul(self.weight.val().transpose());
        let out = match &self.bias {
            Some(bias) => out + bias.val().unsqueeze(),
            None => out,
        };
        out.reshape(shape)
    }

    /// Length of its output.
    pub(super) fn output(&self) -> usize {
        self.weight.dims()[0]
    }

    /// Packs the weights, each output times its `scale`.
    pub(super) fn packed(&self, scale: Option<&Param<Tensor<1>>>) -> Packed {
        let [output, input] = self.weight.dims();
        let scale = scale.map_or_else(|| vec![1.0; output], |scale| numbers(scale.val()));
        let bias = self.bias.as_ref().map_or_else(|| vec![0.0; output], |b| numbers(b.val()));
        let bias: Vec<f32> = bias.iter().zip(&scale).map(|(bias, scale)| bias * scale).collect();
        let weight = numbers(self.weight.val());
        Packed::with(input, output, &bias, |k, column| weight[column * input + k] * scale[column])
    }
}

/// Layer norm of the last dimension: mean 0 and variance 1, then a scale and an offset.
#[derive(Module, Debug)]
pub struct LayerNorm {
    /// The scale.
    pub weight: Param<Tensor<1>>,
    /// The offset.
    pub bias: Param<Tensor<1>>,
    #[module(skip)]
    epsilon: f64,
}

impl LayerNorm {
    /// Creates a norm of `channels` values.
    pub(super) fn new(channels: usize, epsilon: f64, device: &Device) -> Self {
        Self {
            weight: Initializer::Ones.init([channels], device),
            bias: Initializer::Zeros.init([channels], device),
            epsilon,
        }
    }

    /// Normalises `[…, channels]`.
    pub(super) fn forward<const D: usize>(&self, x: Tensor<D>) -> Tensor<D> {
        layer_norm(x, self.weight.val(), Some(self.bias.val()), self.epsilon)
    }

    /// Normalises the channels of `[batch, channels, H, W]` at each position.
    pub(super) fn forward_map(&self, x: Tensor<4>) -> Tensor<4> {
        self.forward(x.permute([0, 2, 3, 1])).permute([0, 3, 1, 2])
    }
}

impl LayerNorm {
    /// The norm on the CPU.
    pub(super) fn packed(&self) -> cpu::Norm {
        let (weight, bias) = (numbers(self.weight.val()), numbers(self.bias.val()));
        cpu::Norm { weight, bias, epsilon: self.epsilon as f32 }
    }
}

/// The activation between the two linear layers of a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Activation {
    /// `x · Φ(x)`, with the exact normal distribution.
    Gelu,
    /// `x · σ(1.702 x)`, an approximation that OpenAI's CLIP was trained with.
    QuickGelu,
}

impl Activation {
    /// The activation on the CPU.
    pub(super) fn packed(self) -> cpu::Activation {
        match self {
            Self::Gelu => cpu::Activation::Gelu,
            Self::QuickGelu => cpu::Activation::QuickGelu,
        }
    }

    /// Applies the activation.
    ///
    /// Burn's own GELU has the gradient of another approximation, so it is composed here.
    pub(super) fn forward<const D: usize>(self, x: Tensor<D>) -> Tensor<D> {
        match self {
            Self::Gelu => {
                let share = (x.clone() * std::f32::consts::FRAC_1_SQRT_2).erf();
                x * (share + 1.0) * 0.5
            }
            Self::QuickGelu => x.clone() * sigmoid(x * 1.702),
        }
    }
}
