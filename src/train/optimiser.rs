/*!
Optimisers whose saved state is restored on the CPU, and learning rate schedules.

Burn restores an optimiser's state on the default device. That is a GPU in every build with GPU
support, even on a machine without one. The next step moves each state to its parameter's device
anyway, so restoring on the CPU always works.
*/

use burn::lr_scheduler::LrSchedulerConfig;
use burn::lr_scheduler::cosine::CosineAnnealingLrSchedulerConfig;
use burn::lr_scheduler::module_lr_scheduler::{ModuleLrScheduler, ModuleLrSchedulerConfig};
use burn::lr_scheduler::step::StepLrSchedulerConfig;
use burn::module::ParamGroup;
use burn::optim::decay::WeightDecayConfig;
use burn::optim::momentum::MomentumConfig;
use burn::optim::{AdamWConfig, LearningRate, ModuleOptimizer, Optimizer, SgdConfig};
use burn::optim::{RecordState, StateSink, StateSource};
use burn::tensor::{Device, Tensor};

use super::plan::{LearnPlan, Optimiser, Schedule};

/// One of Burn's optimisers, restorable on any machine.
#[derive(Clone)]
struct Host<O>(O);

/// The state.
#[derive(Clone)]
struct HostState<S>(S);

impl<S: RecordState> RecordState for HostState<S> {
    fn state_flatten(&self, prefix: &str, out: &mut StateSink) {
        self.0.state_flatten(prefix, out);
    }

    fn state_unflatten(prefix: &str, src: &mut StateSource, _: &Device) -> Option<Self> {
        S::state_unflatten(prefix, src, &Device::flex()).map(Self)
    }
}

impl<O: Optimizer> Optimizer for Host<O> {
    type State<const D: usize> = HostState<O::State<D>>;

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
        HostState(O::to_device(state.0, device))
    }
}

/// Creates the optimiser of a plan.
pub(super) fn optimiser(plan: &LearnPlan) -> ModuleOptimizer {
    match plan.optimiser {
        Optimiser::AdamW => {
            let adamw = AdamWConfig::new().with_weight_decay(plan.weight_decay);
            ModuleOptimizer::from(Host(adamw.build()))
        }
        Optimiser::Sgd => {
            // Burn's default dampens new gradients by 0.1.
            let momentum = MomentumConfig::new().with_momentum(0.9).with_dampening(0.0);
            let decay = WeightDecayConfig::new(plan.weight_decay);
            let sgd = SgdConfig::new().with_momentum(Some(momentum)).with_weight_decay(Some(decay));
            ModuleOptimizer::from(Host(sgd.build()))
        }
    }
}

/// Creates the learning rates of a run of `updates` updates. Layers in `pretrained` have their own.
///
/// # Errors
/// A sentence if the plan's rate is not above 0 and at most 1.
pub(super) fn schedule(
    plan: &LearnPlan,
    updates: usize,
    pretrained: ParamGroup,
) -> Result<ModuleLrScheduler, String> {
    let rate_in_range = |rate: f64| rate > 0.0 && rate <= 1.0;
    if !rate_in_range(plan.rate) || !rate_in_range(plan.rate * plan.pretrained) {
        return Err(format!("a learning rate of {} is not above 0 and at most 1", plan.rate));
    }
    let of = |rate: f64| -> LrSchedulerConfig {
        let updates = updates.max(1);
        match plan.schedule {
            Schedule::Cosine => CosineAnnealingLrSchedulerConfig::new(rate, updates).into(),
            Schedule::Step => StepLrSchedulerConfig::new(rate, (updates * 7).div_ceil(8)).into(),
        }
    };
    ModuleLrSchedulerConfig::new(of(plan.rate))
        .with_group(pretrained, of(plan.rate * plan.pretrained))
        .init()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::method::{Recipe, Settings, Trained, adsh};
    use burn::module::ParamId;

    fn plan(recipe: Recipe) -> LearnPlan {
        let (settings, trained) = (Settings::default(), Trained::Refine);
        LearnPlan::new(recipe, &adsh::METHOD, settings, trained, "".into())
    }

    fn rates(recipe: Recipe, updates: usize) -> Vec<(f64, f64)> {
        let plan = plan(recipe);
        let old = ParamId::new();
        let mut schedule = schedule(&plan, updates, ParamGroup::from_ids(vec![old])).unwrap();
        let mut next = || {
            let rates = schedule.step();
            (rates.base(), rates.lr_from_param(old, None))
        };
        (0..updates).map(|_| next()).collect()
    }

    #[test]
    fn a_cosine_falls_from_the_rate_to_almost_nothing() {
        let rates = rates(Recipe::Quick, 100);
        assert_eq!(rates[0], (1e-3, 5e-4));
        assert!((rates[50].0 - 5e-4).abs() < 1e-9 && rates[99].0 < 1e-6);
        assert!(rates.windows(2).all(|pair| pair[1].0 < pair[0].0));
        assert!(rates.iter().all(|(new, old)| (new / 2.0 - old).abs() < 1e-12));
    }

    #[test]
    fn steps_fall_to_a_tenth_after_seven_eighths() {
        let rates = rates(Recipe::Paper, 40);
        assert!(rates[..35].iter().all(|rate| *rate == (1e-4, 1e-4)));
        assert!(rates[35..].iter().all(|rate| (rate.0 - 1e-5).abs() < 1e-12));
    }

    #[test]
    fn a_rate_out_of_range_is_refused() {
        let mut plan = plan(Recipe::Quick);
        for rate in [0.0, -1.0, f64::NAN, 2.0, f64::INFINITY] {
            plan.rate = rate;
            assert!(schedule(&plan, 10, ParamGroup::from_ids(Vec::new())).is_err(), "{rate}");
        }
    }
}
