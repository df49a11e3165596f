/*!
How long one training step of the refine part takes: forward, backward, update.
*/

use std::time::{Duration, Instant};

use burn::module::Module;
use burn::optim::{AdamWConfig, GradientsParams};
use burn::tensor::{Distribution, Tensor};

use super::TrainError;
use crate::device::Device;
use crate::encoder::EncodeError;
use crate::trunk::efficientnet_lite::{STEM_CHANNELS, pool};
use crate::trunk::weights;

/// The parts of one training step.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct StepTimes {
    /// Forward pass up to the loss, which has been read.
    pub forward: Duration,
    /// Backward pass.
    pub backward: Duration,
    /// The optimiser's update.
    pub update: Duration,
}

/// Times one step of training refine and a linear layer of 48 outputs on `batch` stem
/// maps of images of `size` pixels, after `warm_up` steps that are not counted.
///
/// The loss is the mean square of the tanh of the outputs: as cheap as a loss gets.
///
/// # Errors
/// When the device fails.
pub fn time_refine_step(
    device: &Device,
    size: u32,
    batch: usize,
    warm_up: usize,
) -> Result<StepTimes, TrainError> {
    let burn = device.burn().autodiff();
    let failed = |reason: String| {
        TrainError::Encode(EncodeError::Device { device: device.to_string(), reason })
    };
    let mut refine = weights::shipped(&burn)?.refine;
    let mut linear =
        burn::nn::LinearConfig::new(crate::trunk::efficientnet_lite::POOLED, 48).init(&burn);
    let mut optimiser = AdamWConfig::new().with_weight_decay(1e-4).init();
    let mut head_optimiser = AdamWConfig::new().with_weight_decay(1e-4).init();
    let side = size.div_ceil(16) as usize;
    let map = [batch, STEM_CHANNELS, side, side];
    let mut times = None;
    for _ in 0..=warm_up {
        let x = Tensor::<4>::random(map, Distribution::Normal(0.0, 1.0), &burn);
        burn.sync().map_err(|error| failed(format!("{error:?}")))?;
        let begun = Instant::now();
        let out = linear.forward(pool(refine.forward(x))).tanh();
        let loss = (out.clone() * out).mean();
        loss.clone().try_into_data().map_err(|error| failed(format!("{error:?}")))?;
        let forward = begun.elapsed();
        let mut grads = loss.backward();
        burn.sync().map_err(|error| failed(format!("{error:?}")))?;
        let backward = begun.elapsed() - forward;
        let of_refine = GradientsParams::from_module(&mut grads, &refine);
        let of_linear = GradientsParams::from_module(&mut grads, &linear);
        refine = optimiser.step(5e-4, refine, of_refine);
        linear = head_optimiser.step(1e-3, linear, of_linear);
        burn.sync().map_err(|error| failed(format!("{error:?}")))?;
        let update = begun.elapsed() - forward - backward;
        times = Some(StepTimes { forward, backward, update });
    }
    let _ = refine.num_params();
    times.ok_or_else(|| failed("no step was run".to_owned()))
}
