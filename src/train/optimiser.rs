/*!
AdamW whose saved state comes back on the CPU.

Burn restores an optimiser's state on the default device, which is a GPU in every build
that can use one, whether or not this machine has one. The next step moves each state to
its parameter's device anyway, so the CPU is the place that is always right.
*/

use burn::optim::{AdamW, AdamWConfig, AdamWState, LearningRate, ModuleOptimizer, Optimizer};
use burn::optim::{RecordState, StateSink, StateSource};
use burn::tensor::{Device, Tensor};

/// Burn's AdamW, restorable on any machine.
#[derive(Clone)]
pub struct HostAdamW(AdamW);

/// Its state.
#[derive(Clone)]
pub struct HostState<const D: usize>(AdamWState<D>);

impl<const D: usize> RecordState for HostState<D> {
    fn state_flatten(&self, prefix: &str, out: &mut StateSink) {
        self.0.state_flatten(prefix, out);
    }

    fn state_unflatten(prefix: &str, src: &mut StateSource, _: &Device) -> Option<Self> {
        AdamWState::state_unflatten(prefix, src, &Device::flex()).map(Self)
    }
}

impl Optimizer for HostAdamW {
    type State<const D: usize> = HostState<D>;

    fn step<const D: usize>(
        &self,
        rate: LearningRate,
        tensor: Tensor<D>,
        grad: Tensor<D>,
        state: Option<Self::State<D>>,
    ) -> (Tensor<D>, Option<Self::State<D>>) {
        let (tensor, state) = self.0.step(rate, tensor, grad, state.map(|s| s.0));
        (tensor, state.map(HostState))
    }

    fn to_device<const D: usize>(state: Self::State<D>, device: &Device) -> Self::State<D> {
        HostState(AdamW::to_device(state.0, device))
    }
}

/// AdamW with the given weight decay.
pub fn adamw(weight_decay: f32) -> ModuleOptimizer {
    ModuleOptimizer::from(HostAdamW(AdamWConfig::new().with_weight_decay(weight_decay).build()))
}
