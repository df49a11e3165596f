/*!
Custom operations of the CPU backend for training, with their gradients.

Burn's generic gradients compute a depthwise weight gradient channel by channel, and a
pointwise one as a convolution with a kernel as large as the map. Here both are computed
directly on channels-last maps (see `cpu/gradients.rs`). Batch norm and the following ReLU6
are one operation.
*/

use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Dispatch, DispatchDevice, Flex, backend_extension};
use burn::nn::BatchNorm;
use burn::prelude::*;

use super::cpu::Shape;
use super::cpu::geometry::Geometry;
use super::cpu::gradients as cpu_train;
use super::cpu::norm::{self as cpu_norm, Seen};
use super::ops::{channels_last, contiguous, from_channels_last, values};

/// Maps have the shape `[batch, channels, height, width]` and are channels-last in memory.
#[backend_extension(Flex, Autodiff)]
trait CpuTrainOps: Backend {
    /// A 1×1 convolution, weights `[output, input, 1, 1]`.
    fn train_pointwise(x: FloatTensor<Self>, weight: FloatTensor<Self>) -> FloatTensor<Self>;

    /// A depthwise convolution with "same" padding, weights `[channels, 1, k, k]`.
    fn train_depthwise(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        stride: usize,
    ) -> FloatTensor<Self>;

    /// Batch norm with the batch's statistics, followed by ReLU6 if `relu6`. Returns the
    /// result, the mean and the variance.
    fn train_norm(
        x: FloatTensor<Self>,
        gamma: FloatTensor<Self>,
        beta: FloatTensor<Self>,
        epsilon: f32,
        relu6: bool,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>);
}

type Tensor_ = FloatTensor<Flex>;

impl CpuTrainOps for Flex {
    fn train_pointwise(x: Tensor_, weight: Tensor_) -> Tensor_ {
        let (x, batch, shape) = channels_last(&x);
        let weight = contiguous(weight);
        let out = cpu_train::pointwise(values(&x), values(&weight), shape.channels);
        let channels = values(&weight).len() / shape.channels.max(1);
        from_channels_last(out, batch, Shape { channels, ..shape })
    }

    fn train_depthwise(x: Tensor_, weight: Tensor_, stride: usize) -> Tensor_ {
        let (x, batch, input) = channels_last(&x);
        let (weight, kernel) = taps(weight);
        let geometry = Geometry { kernel, stride, input };
        let out = cpu_train::depthwise(values(&x), values(&weight), geometry);
        from_channels_last(out, batch, geometry.output())
    }

    fn train_norm(
        x: Tensor_,
        gamma: Tensor_,
        beta: Tensor_,
        epsilon: f32,
        relu6: bool,
    ) -> (Tensor_, Tensor_, Tensor_) {
        let (x, batch, shape) = channels_last(&x);
        let (gamma, beta) = (contiguous(gamma), contiguous(beta));
        let normed = cpu_norm::norm(values(&x), values(&gamma), values(&beta), epsilon, relu6);
        let out = from_channels_last(normed.out, batch, shape);
        (out, vector(normed.mean), vector(normed.variance))
    }
}

/// Returns depthwise weights as `[k, k, 1, channels]`, and k.
fn taps(weight: Tensor_) -> (Tensor_, usize) {
    let kernel = weight.layout().shape()[2];
    (contiguous(weight.permute(&[2, 3, 1, 0])), kernel)
}

fn vector(values: Vec<f32>) -> Tensor_ {
    let shape = [values.len()];
    Tensor_::from_data(burn::tensor::TensorData::new(values, shape))
}

fn shaped(values: Vec<f32>, shape: [usize; 4]) -> Tensor_ {
    Tensor_::from_data(burn::tensor::TensorData::new(values, shape))
}

#[derive(Debug)]
struct Pointwise;

impl Backward<Flex, 2> for Pointwise {
    type State = (Tensor_, Tensor_);

    fn backward(self, ops: Ops<Self::State, 2>, grads: &mut Gradients, _: &mut Checkpointer) {
        let [of_x, of_weight] = ops.parents;
        let (dy, ..) = channels_last(&grads.consume::<Flex>(&ops.node));
        let (x, batch, shape) = channels_last(&ops.state.0);
        let weight = contiguous(ops.state.1);
        let output = values(&weight).len() / shape.channels.max(1);
        if let Some(node) = of_x {
            let dx = cpu_train::pointwise_x_grad(values(&dy), values(&weight), shape.channels);
            grads.register::<Flex>(node.id, from_channels_last(dx, batch, shape));
        }
        if let Some(node) = of_weight {
            let dw = cpu_train::pointwise_w_grad(values(&x), values(&dy), shape.channels, output);
            grads.register::<Flex>(node.id, shaped(dw, [output, shape.channels, 1, 1]));
        }
    }
}

#[derive(Debug)]
struct Depthwise;

impl Backward<Flex, 2> for Depthwise {
    type State = (Tensor_, Tensor_, usize);

    fn backward(self, ops: Ops<Self::State, 2>, grads: &mut Gradients, _: &mut Checkpointer) {
        let [of_x, of_weight] = ops.parents;
        let (dy, ..) = channels_last(&grads.consume::<Flex>(&ops.node));
        let (x, weight, stride) = ops.state;
        let (x, batch, input) = channels_last(&x);
        let (weight, kernel) = taps(weight);
        let geometry = Geometry { kernel, stride, input };
        if let Some(node) = of_x {
            let dx = cpu_train::depthwise_x_grad(values(&dy), values(&weight), geometry);
            grads.register::<Flex>(node.id, from_channels_last(dx, batch, input));
        }
        if let Some(node) = of_weight {
            let dw = cpu_train::depthwise_w_grad(values(&x), values(&dy), geometry);
            let dw = shaped(dw, [kernel, kernel, 1, input.channels]);
            grads.register::<Flex>(node.id, contiguous(dw.permute(&[3, 2, 0, 1])));
        }
    }
}

#[derive(Debug)]
struct Norm;

/// The saved state for the gradient of a norm.
#[derive(Debug, Clone)]
struct NormState {
    x: Tensor_,
    gamma: Tensor_,
    beta: Tensor_,
    mean: Tensor_,
    variance: Tensor_,
    epsilon: f32,
    relu6: bool,
}

impl Backward<Flex, 3> for Norm {
    type State = NormState;

    fn backward(self, ops: Ops<Self::State, 3>, grads: &mut Gradients, _: &mut Checkpointer) {
        let [of_x, of_gamma, of_beta] = ops.parents;
        let (dy, ..) = channels_last(&grads.consume::<Flex>(&ops.node));
        let state = ops.state;
        let (x, batch, shape) = channels_last(&state.x);
        let (gamma, beta) = (contiguous(state.gamma), contiguous(state.beta));
        let seen = Seen {
            gamma: values(&gamma),
            beta: values(&beta),
            mean: values(&state.mean),
            variance: values(&state.variance),
            epsilon: state.epsilon,
            relu6: state.relu6,
        };
        let grads_of = seen.grads(values(&dy), values(&x));
        if let Some(node) = of_x {
            grads.register::<Flex>(node.id, from_channels_last(grads_of.x, batch, shape));
        }
        if let Some(node) = of_gamma {
            grads.register::<Flex>(node.id, vector(grads_of.gamma));
        }
        if let Some(node) = of_beta {
            grads.register::<Flex>(node.id, vector(grads_of.beta));
        }
    }
}

impl<C: CheckpointStrategy> CpuTrainOps for Autodiff<Flex, C> {
    fn train_pointwise(x: FloatTensor<Self>, weight: FloatTensor<Self>) -> FloatTensor<Self> {
        let ((x, x_node), (weight, weight_node)) = (x.into_parts(), weight.into_parts());
        let out = Flex::train_pointwise(x.clone(), weight.clone());
        match Pointwise.prepare::<C>([x_node, weight_node]).compute_bound().stateful() {
            OpsKind::Tracked(prep) => prep.finish((x, weight), out),
            OpsKind::UnTracked(prep) => prep.finish(out),
        }
    }

    fn train_depthwise(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        stride: usize,
    ) -> FloatTensor<Self> {
        let ((x, x_node), (weight, weight_node)) = (x.into_parts(), weight.into_parts());
        let out = Flex::train_depthwise(x.clone(), weight.clone(), stride);
        match Depthwise.prepare::<C>([x_node, weight_node]).compute_bound().stateful() {
            OpsKind::Tracked(prep) => prep.finish((x, weight, stride), out),
            OpsKind::UnTracked(prep) => prep.finish(out),
        }
    }

    fn train_norm(
        x: FloatTensor<Self>,
        gamma: FloatTensor<Self>,
        beta: FloatTensor<Self>,
        epsilon: f32,
        relu6: bool,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
        let ((x, x_node), (gamma, gamma_node)) = (x.into_parts(), gamma.into_parts());
        let (beta, beta_node) = beta.into_parts();
        let (out, mean, variance) =
            Flex::train_norm(x.clone(), gamma.clone(), beta.clone(), epsilon, relu6);
        let nodes = [x_node, gamma_node, beta_node];
        let out = match Norm.prepare::<C>(nodes).compute_bound().stateful() {
            OpsKind::Tracked(prep) => {
                let (mean, variance) = (mean.clone(), variance.clone());
                prep.finish(NormState { x, gamma, beta, mean, variance, epsilon, relu6 }, out)
            }
            OpsKind::UnTracked(prep) => prep.finish(out),
        };
        (out, FloatTensor::<Self>::new(mean), FloatTensor::<Self>::new(variance))
    }
}

/// Whether these operations can be used: on the CPU, with gradients recorded.
pub(super) fn on_training_cpu(x: &Tensor<4>) -> bool {
    let device = x.device();
    device.is_autodiff() && matches!(device.inner().as_dispatch(), DispatchDevice::Flex(_))
}

/// Computes a 1×1 or depthwise convolution. Requires [`on_training_cpu`].
pub(super) fn conv(x: Tensor<4>, weight: Tensor<4>, stride: usize, depthwise: bool) -> Tensor<4> {
    let (x, weight) = (x.into_dispatch(), weight.into_dispatch());
    Tensor::from_dispatch(if depthwise {
        <Dispatch as CpuTrainOps>::train_depthwise(x, weight, stride)
    } else {
        <Dispatch as CpuTrainOps>::train_pointwise(x, weight)
    })
}

/// Computes batch norm in training and updates its running statistics, followed by ReLU6 if
/// `relu6`. Requires [`on_training_cpu`].
pub(super) fn norm(x: Tensor<4>, norm: &BatchNorm, relu6: bool) -> Tensor<4> {
    let (out, mean, variance) = <Dispatch as CpuTrainOps>::train_norm(
        x.into_dispatch(),
        norm.gamma.val().into_dispatch(),
        norm.beta.val().into_dispatch(),
        norm.epsilon as f32,
        relu6,
    );
    let blend = |old: Tensor<1>, new: Tensor<1>| {
        (old * (1.0 - norm.momentum) + new.detach() * norm.momentum).detach()
    };
    let (mean, variance) = (Tensor::from_dispatch(mean), Tensor::from_dispatch(variance));
    norm.running_mean.update(blend(norm.running_mean.value_sync(), mean));
    norm.running_var.update(blend(norm.running_var.value_sync(), variance));
    Tensor::from_dispatch(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trunk::efficientnet_lite::Block;
    use burn::tensor::Distribution;

    /// Returns output, gradients and running statistics of a block, with our operations or
    /// Burn's.
    fn run(block: &Block, x: &Tensor<4>, ours: bool) -> Vec<Vec<f32>> {
        // Clones share their running statistics, so they are reset before each run.
        for c in block.expand.iter().chain([&block.depthwise, &block.project]) {
            let norm = c.norm.as_ref().unwrap();
            norm.running_mean.update(norm.running_mean.value_sync().zeros_like());
            norm.running_var.update(norm.running_var.value_sync().ones_like());
        }
        let x = x.clone().require_grad();
        let out = block.forward_training(x.clone(), ours);
        let weights = Tensor::<1>::arange_step_test(out.shape().num_elements(), &out.device());
        let loss = (out.clone() * weights.reshape(out.shape())).sum();
        let grads = loss.backward();
        let conv = |c: &crate::trunk::ConvNorm| {
            let norm = c.norm.as_ref().unwrap();
            vec![
                c.weight.val().grad(&grads).unwrap().into_data(),
                norm.gamma.val().grad(&grads).unwrap().into_data(),
                norm.beta.val().grad(&grads).unwrap().into_data(),
                norm.running_mean.value_sync().into_data(),
                norm.running_var.value_sync().into_data(),
            ]
        };
        let mut all = vec![out.into_data(), x.grad(&grads).unwrap().into_data()];
        all.extend(block.expand.iter().flat_map(conv));
        all.extend([&block.depthwise, &block.project].into_iter().flat_map(conv));
        all.into_iter().map(|data| data.try_into_vec::<f32>().unwrap()).collect()
    }

    trait ArangeTest {
        fn arange_step_test(len: usize, device: &Device) -> Self;
    }
    impl ArangeTest for Tensor<1> {
        /// Weights that all differ, so that gradients do not cancel.
        fn arange_step_test(len: usize, device: &Device) -> Self {
            let values: Vec<f32> = (0..len).map(|i| (i as f32 * 0.37).sin()).collect();
            Tensor::from_data(burn::tensor::TensorData::new(values, [len]), device)
        }
    }

    #[test]
    fn gradients_equal_burns() {
        let device = Device::flex().autodiff();
        for (kernel, stride, size, output, expansion) in [
            (3, 1, 7, 24, 3),
            (5, 1, 5, 13, 4),
            (5, 2, 10, 40, 3),
            (3, 2, 9, 24, 4),
            (5, 2, 3, 7, 3),
            (5, 1, 1, 7, 1),
        ] {
            device.seed(7);
            // Covers blocks of four registers, single registers and single values.
            let block = Block::new_test([24, output], kernel, stride, expansion, &device);
            let x = Tensor::<4>::random([3, 24, size, size], Distribution::Default, &device);
            let theirs = run(&block.clone(), &x, false);
            let ours = run(&block.clone(), &x, true);
            for (i, (a, b)) in ours.iter().zip(&theirs).enumerate() {
                assert_eq!(a.len(), b.len());
                let scale = b.iter().fold(1e-3f32, |m, v| m.max(v.abs()));
                let worst = a.iter().zip(b).fold(0f32, |m, (a, b)| m.max((a - b).abs()));
                assert!(
                    worst <= 1e-3 * scale,
                    "{kernel} {stride}: value {i} off by {worst} of {scale}"
                );
            }
        }
    }

    #[test]
    fn a_step_is_the_same_every_time() {
        let device = Device::flex().autodiff();
        device.seed(3);
        let block = Block::new_test([24, 24], 5, 1, 6, &device);
        let x = Tensor::<4>::random([9, 24, 6, 6], Distribution::Default, &device);
        let once = run(&block.clone(), &x, true);
        let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
        assert_eq!(once[1], pool.install(|| run(&block.clone(), &x, true))[1]);
        assert_eq!(once[2], run(&block.clone(), &x, true)[2]);
    }
}
