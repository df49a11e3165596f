/*!
One step of training: forward, loss, backward.
*/

use burn::optim::{GradientsAccumulator, GradientsParams};
use burn::tensor::{Tensor, TensorData};

use super::TrainError;
use super::error::device_failed;
use super::images::Begins;
use crate::cause::in_detail;
use crate::device::Device;
use crate::method::laps::{Lap, Laps};
use crate::method::learner::{Learner, Moment, Seen, Shown};
use crate::method::net::{Net, Output, Twice};

/// The input of one pass through the network.
#[derive(Clone)]
pub(super) struct Input {
    /// Pixels `[batch, 3, S, S]`, the stem's maps `[batch, C, ⌈S/16⌉, ⌈S/16⌉]`, or pooled
    /// features `[batch, F, 1, 1]`.
    pub values: Tensor<4>,
    /// The kind of `values`.
    pub begins: Begins,
}

/// A pass and its share of the loss; with `accumulate`, an update consists of several.
pub(super) struct Pass {
    pub input: Input,
    /// Indices of its images.
    pub images: Vec<usize>,
    /// Its images as a share of the update's images.
    pub share: f32,
}

/// The result of a step, apart from the updated network.
pub(super) struct StepResult {
    /// Mean loss of the step's images.
    pub loss: f32,
    /// Values of the images, whose signs are the codes, pass by pass, `[images, c]`.
    pub codes: Vec<f32>,
    /// Gradients, until they are used.
    pub gradients: GradientsParams,
}

/// Computes loss, codes and gradients of the passes of an update.
///
/// # Errors
/// If the device fails.
pub(super) fn gradients(
    net: &Net,
    passes: impl IntoIterator<Item = Pass>,
    learner: &dyn Learner,
    at: Moment,
    laps: &mut Laps,
) -> Result<StepResult, TrainError> {
    let mut sum = GradientsAccumulator::new();
    let (mut total, mut all_codes) = (0.0, Vec::new());
    for pass in passes {
        let Input { values, begins } = pass.input;
        let output = match begins {
            Begins::Features => net.hash(values.flatten(1, 3)),
            Begins::Pixels | Begins::Maps => {
                learner.look(net, Shown { images: &pass.images, values, at }, laps)?
            }
        };
        let Output { values, features, extra, twice } = output;
        let codes = learner.activate(values, at);
        let twice = twice.map(|twice| Twice { whole: learner.activate(twice.whole, at), ..twice });
        let seen = Seen { images: &pass.images, codes: codes.clone(), features, twice, at };
        let mut loss = learner.loss(seen);
        if let Some(extra) = extra {
            loss = loss + extra;
        }
        let loss = loss * pass.share;
        total += read(&laps.device, loss.clone().inner())?.first().copied().unwrap_or(f32::NAN);
        all_codes.extend(read(&laps.device, codes.inner())?);
        laps.end(Lap::Loss)?;
        if !total.is_finite() {
            break;
        }
        sum.accumulate(net, GradientsParams::from_grads(loss.backward(), net));
        laps.end(Lap::Backward)?;
    }
    Ok(StepResult { loss: total, codes: all_codes, gradients: sum.grads() })
}

/// Returns the values of a tensor in row order.
///
/// # Errors
/// If the device fails.
pub(super) fn read<const D: usize>(
    device: &Device,
    tensor: Tensor<D>,
) -> Result<Vec<f32>, TrainError> {
    let data: TensorData =
        tensor.try_into_data().map_err(|error| device_failed(device, in_detail(error)))?;
    data.try_into_vec::<f32>().map_err(|error| device_failed(device, in_detail(error)))
}
