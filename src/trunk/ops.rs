/*!
The operations of a trunk, each in its fastest form for the device.

On a GPU, and if gradients are needed, a block is composed of Burn's own operations. For
inference on the CPU, a whole block is one custom operation on channels-last maps (see
`cpu/inference.rs`), defined as a Burn backend extension.
*/

use burn::backend::tensor::FloatTensor;
use burn::backend::{Backend, Dispatch, DispatchDevice, Flex, backend_extension};
use burn::prelude::*;
use burn::tensor::TensorData;
use burn::tensor::module::conv2d;
use burn::tensor::ops::ConvOptions;

use super::cpu::{self, First, Shape};

/// Custom operations of the CPU backend. All maps have the shape `[batch, channels, height,
/// width]`, but are channels-last in memory, so no copy is needed between two of these.
#[backend_extension(Flex)]
#[allow(clippy::too_many_arguments)]
trait CpuOps: Backend {
    /// First convolution + ReLU6, depthwise + ReLU6, projection, and skip connection.
    ///
    /// `first` is `[wide, input, 1, 1]`, or k×k for an entry of stride 2.
    fn inverted_residual(
        x: FloatTensor<Self>,
        first: FloatTensor<Self>,
        first_bias: FloatTensor<Self>,
        depthwise: FloatTensor<Self>,
        depthwise_bias: FloatTensor<Self>,
        project: FloatTensor<Self>,
        project_bias: FloatTensor<Self>,
        stride: usize,
        skip: bool,
    ) -> FloatTensor<Self>;

    /// ReLU6 of a 1×1 convolution, weights `[output, input, 1, 1]`.
    fn pointwise_relu6(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
    ) -> FloatTensor<Self>;
}

impl CpuOps for Flex {
    fn inverted_residual(
        x: FloatTensor<Self>,
        first: FloatTensor<Self>,
        first_bias: FloatTensor<Self>,
        depthwise: FloatTensor<Self>,
        depthwise_bias: FloatTensor<Self>,
        project: FloatTensor<Self>,
        project_bias: FloatTensor<Self>,
        stride: usize,
        skip: bool,
    ) -> FloatTensor<Self> {
        let (x, batch, shape) = channels_last(&x);
        let first_kernel = first.layout().shape()[2];
        let kernel = depthwise.layout().shape()[2];
        let first = contiguous(first.permute(&[0, 2, 3, 1]));
        let depthwise = contiguous(depthwise.permute(&[2, 3, 0, 1]));
        let (project, project_bias) = (contiguous(project), contiguous(project_bias));
        let (first_bias, depthwise_bias) = (contiguous(first_bias), contiguous(depthwise_bias));
        let block = cpu::Block {
            first: match first_kernel {
                1 => First::Pointwise(values(&first)),
                kernel => First::Strided(values(&first), kernel),
            },
            first_bias: values(&first_bias),
            depthwise: values(&depthwise),
            depthwise_bias: values(&depthwise_bias),
            project: values(&project),
            project_bias: values(&project_bias),
            kernel,
            stride,
            skip,
        };
        let output = block.output(shape);
        from_channels_last(block.run(values(&x), batch, shape), batch, output)
    }

    fn pointwise_relu6(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
    ) -> FloatTensor<Self> {
        let (x, batch, shape) = channels_last(&x);
        let (weight, bias) = (contiguous(weight), contiguous(bias));
        let out = cpu::pointwise_relu6(values(&x), values(&weight), values(&bias));
        from_channels_last(out, batch, Shape { channels: values(&bias).len(), ..shape })
    }
}

pub(super) fn contiguous(tensor: FloatTensor<Flex>) -> FloatTensor<Flex> {
    tensor.to_contiguous()
}

/// Returns the values of a contiguous tensor. Empty for tensors that are not single
/// precision, which trunk layers never contain.
pub(super) fn values(tensor: &FloatTensor<Flex>) -> &[f32] {
    tensor.as_slice::<f32>().unwrap_or_default()
}

/// Returns a map as channels-last, with batch size and shape. Copies only if necessary.
pub(super) fn channels_last(x: &FloatTensor<Flex>) -> (FloatTensor<Flex>, usize, Shape) {
    let x = contiguous(x.permute(&[0, 2, 3, 1]));
    let dims = x.layout().shape();
    let shape = Shape { height: dims[1], width: dims[2], channels: dims[3] };
    let batch = dims[0];
    (x, batch, shape)
}

pub(super) fn from_channels_last(
    values: Vec<f32>,
    batch: usize,
    shape: Shape,
) -> FloatTensor<Flex> {
    let shape = [batch, shape.height, shape.width, shape.channels];
    FloatTensor::<Flex>::from_data(TensorData::new(values, shape)).permute(&[0, 3, 1, 2])
}

/// Weights and bias of a convolution with folded batch norm.
#[derive(Clone)]
pub(super) struct Folded {
    pub weight: Tensor<4>,
    pub bias: Tensor<1>,
}

/// Whether the CPU's custom operations can be used: on the CPU, without gradients.
pub(super) fn on_plain_cpu(x: &Tensor<4>) -> bool {
    matches!(x.device().as_dispatch(), DispatchDevice::Flex(_))
}

/// The custom operation for a whole block. Requires [`on_plain_cpu`].
pub(super) fn inverted_residual(
    x: Tensor<4>,
    [first, depthwise, project]: [Folded; 3],
    stride: usize,
    skip: bool,
) -> Tensor<4> {
    Tensor::from_dispatch(<Dispatch as CpuOps>::inverted_residual(
        x.into_dispatch(),
        first.weight.into_dispatch(),
        first.bias.into_dispatch(),
        depthwise.weight.into_dispatch(),
        depthwise.bias.into_dispatch(),
        project.weight.into_dispatch(),
        project.bias.into_dispatch(),
        stride,
        skip,
    ))
}

/// The custom operation for the head. Requires [`on_plain_cpu`].
pub(super) fn pointwise_relu6(x: Tensor<4>, conv: Folded) -> Tensor<4> {
    let (weight, bias) = (conv.weight.into_dispatch(), conv.bias.into_dispatch());
    Tensor::from_dispatch(<Dispatch as CpuOps>::pointwise_relu6(x.into_dispatch(), weight, bias))
}

/// A convolution with TensorFlow's "same" padding, on any device.
pub(super) fn conv_same(
    x: Tensor<4>,
    weight: Tensor<4>,
    bias: Option<Tensor<1>>,
    stride: usize,
    groups: usize,
) -> Tensor<4> {
    let [_, _, height, width] = x.dims();
    let [_, _, kernel, _] = weight.dims();
    let pads = [height, width].map(|size| {
        let (output, before) = cpu::same_padding(size, kernel, stride);
        let total = ((output - 1) * stride + kernel).saturating_sub(size);
        (before, total - before)
    });
    let options = ConvOptions::new_with_padding([stride; 2], pads, [1; 2], groups);
    conv2d(x, weight, bias, options)
}
