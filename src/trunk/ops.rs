/*!
The operations of a trunk, each in its fastest form for the device.

On a GPU, and if gradients are needed, a network is composed of Burn's own operations. For
inference on the CPU, half a trunk is one custom operation on channels-last maps (`Chain` in
`cpu/layer.rs`), defined as a Burn backend extension.
*/

use std::sync::Arc;

use burn::backend::tensor::FloatTensor;
use burn::backend::{Backend, Dispatch, DispatchDevice, Flex, backend_extension};
use burn::prelude::*;
use burn::tensor::TensorData;
use burn::tensor::module::conv2d;
use burn::tensor::ops::ConvOptions;

use super::cpu::{self, Chain, Layer, Maps, Shape};

/// Custom operations of the CPU backend. All maps have the shape `[batch, channels, height,
/// width]`, but are channels-last in memory, so no copy is needed between two of these.
#[backend_extension(Flex)]
trait CpuOps: Backend {
    /// Layers with packed weights.
    fn chain(x: FloatTensor<Self>, chain: Arc<Chain>) -> FloatTensor<Self>;
}

impl CpuOps for Flex {
    fn chain(x: FloatTensor<Self>, chain: Arc<Chain>) -> FloatTensor<Self> {
        let (x, batch, shape) = channels_last(&x);
        let (out, shape) = chain.run(Maps { values: values(&x), batch, shape });
        from_channels_last(out, batch, shape)
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

/// Whether the CPU's custom operations can be used: on the CPU, without gradients.
pub(super) fn on_plain_cpu(x: &Tensor<4>) -> bool {
    is_plain_cpu(&x.device())
}

/// Whether a device is the CPU without gradients.
pub(super) fn is_plain_cpu(device: &Device) -> bool {
    matches!(device.as_dispatch(), DispatchDevice::Flex(_))
}

/// The packed layers of a part of a network, for inference on the CPU.
#[derive(Debug, Clone, Default)]
pub(super) struct Fast(Option<Arc<Chain>>);

impl Fast {
    /// Packs layers if `device` is the CPU without gradients.
    pub fn on(device: &Device, pack: impl FnOnce() -> Vec<Arc<dyn Layer>>) -> Self {
        Self(is_plain_cpu(device).then(|| Arc::new(Chain(pack()))))
    }

    /// The layers, empty if there are none.
    pub fn layers(&self) -> Vec<Arc<dyn Layer>> {
        self.0.as_ref().map(|chain| chain.0.clone()).unwrap_or_default()
    }

    /// Computes the layers; gives `x` back if it is on another device, needs gradients, or nothing
    /// is packed.
    // What comes back is no error.
    #[allow(clippy::result_large_err)]
    pub fn run(&self, x: Tensor<4>) -> Result<Tensor<4>, Tensor<4>> {
        match &self.0 {
            Some(chain) if on_plain_cpu(&x) => {
                let chain = chain.clone();
                Ok(Tensor::from_dispatch(<Dispatch as CpuOps>::chain(x.into_dispatch(), chain)))
            }
            _ => Err(x),
        }
    }
}

/// Reads a tensor's values; empty if it is not of single precision, which weights always are.
pub(super) fn numbers<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data().try_into_vec().unwrap_or_default()
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
