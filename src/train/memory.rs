/*!
An estimate of the memory that training needs, before it starts.

A step keeps most of it for the backward pass: the result of every convolution and of every norm
that follows one, for every pass of every image.
*/

use super::error::{Smaller, TrainError};
use super::plan::{LearnPlan, Optimiser};
use crate::device::Device;
use crate::encoder::EncodeError;
use crate::method::mining::Mining;
use crate::method::{Additions, Trained};

/// Bytes per number.
const NUMBER: u64 = 4;
/// Memory of the rest of the process (bytes): code, buffers, prefetched images.
const BASE: u64 = 300 << 20;

/// Estimates the bytes that training takes, on the CPU or on a graphics adapter.
///
/// On the CPU, a convolution and a norm each keep their input, and gradients temporarily take half
/// as much again. Burn's operations on a graphics adapter keep about three times as much, because a
/// norm consists of several operations.
pub(super) fn estimate(plan: &LearnPlan, additions: Additions, device: &Device) -> u64 {
    let [stem, refine] = plan.trunk.activations(plan.size as usize).map(|n| n as u64);
    // Salient images pass a second time.
    let layers = additions.layers;
    let parts = layers.parts as u64 + u64::from(layers.saliency.is_some());
    let stem = if plan.trained == Trained::Full { stem } else { 0 };
    let passes = match plan.trained {
        // The gradient of attention passes through the frozen parts, but not through GFR.
        Trained::Head => parts,
        Trained::Full | Trained::Refine => parts + 1,
    };
    let side = u64::from(plan.size).div_ceil(32);
    let mined = match additions.mining {
        true => Mining::activations(plan.trunk.pooled(), layers.projections) as u64,
        false => 0,
    };
    let per_image = stem + refine * passes + mined * side * side;
    let factor = if device.is_cpu() { 3 } else { 9 };
    let kept = per_image * plan.per_pass() as u64 * NUMBER * factor / 2;
    let copies = match plan.optimiser {
        Optimiser::AdamW => 4,
        Optimiser::Sgd => 3,
    };
    let branches = 1 + u64::from(parts > 0);
    let linear = layers.features(plan.trunk.pooled()) as u64 * plan.bits as u64;
    let [in_stem, in_refine] = plan.trunk.weights().map(|n| n as u64);
    let weights = (in_stem + in_refine * branches + linear) * NUMBER * copies;
    BASE + kept + weights
}

/// Returns an error if the memory of this machine is too small.
///
/// Graphics adapters do not report their memory; there the driver fails instead.
///
/// # Errors
/// [`TrainError::Memory`] if there is not enough memory.
pub(super) fn check(needed: u64, plan: &LearnPlan, device: &Device) -> Result<(), TrainError> {
    if !device.is_cpu() {
        return Ok(());
    }
    let mut system = sysinfo::System::new();
    system.refresh_memory();
    let here = match system.cgroup_limits() {
        Some(limits) => limits.total_memory.min(system.total_memory()),
        None => system.total_memory(),
    };
    // If the system does not report its memory, assume that it suffices.
    if here == 0 || needed <= here {
        return Ok(());
    }
    Err(TrainError::Memory { needed: gibibytes(needed), here: gibibytes(here), way: way(plan) })
}

/// Converts bytes to GiB.
pub(super) fn gibibytes(bytes: u64) -> f64 {
    bytes as f64 / (1u64 << 30) as f64
}

/// Converts errors that report exhausted device memory; returns other errors unchanged.
pub(super) fn advise(error: TrainError, plan: &LearnPlan) -> TrainError {
    let source = match error {
        TrainError::Encode(source) => source,
        error => return error,
    };
    let signs = ["outofmemory", "out-of-memory", "out of memory", "buffertoobig"];
    match &source {
        EncodeError::Device { device, reason }
            if signs.iter().any(|sign| reason.to_string().to_lowercase().contains(sign)) =>
        {
            TrainError::OutOfMemory { device: device.clone(), way: way(plan), source }
        }
        _ => source.into(),
    }
}

/// Returns settings that need less memory.
fn way(plan: &LearnPlan) -> Smaller {
    if plan.batch > 1 {
        let batch = plan.batch.div_ceil(2);
        let accumulate = (plan.batch * plan.accumulate).div_ceil(batch);
        Smaller::Batch { batch, accumulate }
    } else {
        Smaller::Size((plan.size / 2).max(32))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::method::{Recipe, Settings, exchnet};
    use crate::trunk::TrunkKind;

    fn plan(trained: Trained) -> LearnPlan {
        let (method, settings) = (&exchnet::METHOD, Settings::default());
        LearnPlan::new(Recipe::Quick, method, settings, trained, "".into())
    }

    fn on_cpu(plan: &LearnPlan) -> u64 {
        estimate(plan, plan.additions().unwrap(), &Device::Cpu)
    }

    #[test]
    fn more_training_takes_more_memory() {
        let of = |trained| on_cpu(&plan(trained));
        assert!(of(Trained::Head) < of(Trained::Refine));
        assert!(of(Trained::Refine) < of(Trained::Full));
        let larger = LearnPlan { batch: 64, ..plan(Trained::Refine) };
        assert!(on_cpu(&larger) > of(Trained::Refine));
        let wider = LearnPlan { trunk: TrunkKind::ResNet50, ..plan(Trained::Refine) };
        assert!(on_cpu(&wider) > of(Trained::Refine));
    }

    #[test]
    fn too_much_is_refused_with_a_way_out() {
        let plan = LearnPlan { batch: 32, accumulate: 2, ..plan(Trained::Full) };
        assert!(check(1 << 20, &plan, &Device::Cpu).is_ok());
        let error = check(u64::MAX, &plan, &Device::Cpu).unwrap_err().to_string();
        assert!(error.contains("a batch of 16 and 4 batches"), "{error}");
    }

    #[test]
    fn an_adapter_out_of_memory_is_told_from_other_failures() {
        let failed = |reason: &str| {
            let (device, reason) = ("a card".to_owned(), reason.into());
            TrainError::Encode(EncodeError::Device { device, reason })
        };
        let plan = plan(Trained::Refine);
        let error = advise(failed("Server(OutOfMemory { reason: 3 })"), &plan).to_string();
        assert!(error.contains("resume with a batch of 16 and 2 batches"), "{error}");
        let error = advise(failed("device lost"), &plan);
        assert!(matches!(error, TrainError::Encode(_)));
        let last = LearnPlan { batch: 1, ..plan };
        assert_eq!(way(&last), Smaller::Size(80));
    }
}
