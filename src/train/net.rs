/*!
What is trained, and one step of it: forward, loss, backward, update.
*/

use std::time::{Duration, Instant};

use burn::module::{Module, Param, ParamGroup};
use burn::nn::{Linear, LinearConfig};
use burn::optim::{GradientsAccumulator, GradientsParams};
use burn::tensor::{Device as BurnDevice, Tensor, TensorData};

use super::TrainError;
use super::draw::new_weights;
use super::images::Begins;
use super::plan::{LearnPlan, Trained};
use crate::device::Device;
use crate::encoder::EncodeError;
use crate::method::dsah::Step;
use crate::method::exchnet;
use crate::method::learner::{Learner, Moment, Seen, Twice};
use crate::network::Parts;
use crate::network::{Level, Saliency, salient};
use crate::trunk::{Refine, Stem, Trunk, pool, weights};

/// What is trained.
#[derive(Module, Debug)]
pub(super) struct Net {
    /// There if it is trained; else the network begins at the stem's map.
    pub stem: Option<Stem>,
    pub refine: Refine,
    pub parts: Option<Parts>,
    pub saliency: Option<Saliency>,
    pub linear: Linear,
}

impl Net {
    /// The network of a plan on pretrained weights; new layers are drawn from the seed.
    ///
    /// # Errors
    /// When the weights cannot be copied.
    pub fn new(plan: &LearnPlan, trunk: &Trunk, device: &BurnDevice) -> Result<Self, TrainError> {
        // A clone would share its weights and running statistics; a second reading does not.
        let copy = || weights::rounded(trunk.clone(), device);
        let training = device.clone().autodiff();
        let Trunk { stem, refine, .. } = copy()?.train();
        let stem = (plan.trained == Trained::Full).then_some(stem);
        let parts = match plan.method.exchnet() {
            None => None,
            Some(options) => {
                let mut parts = Parts::new(options.parts, copy()?.refine.train(), &training);
                parts.attention = new_weights(parts.attention, plan.seed);
                parts.begin_with(options.attention_gain);
                Some(parts)
            }
        };
        let saliency = plan.saliency().map(|level| {
            let channels = trunk.kind().stem_channels();
            new_weights(Saliency::new(channels, level, &training), plan.seed)
        });
        let (refine, parts) = match plan.trained {
            Trained::Full | Trained::Refine => (refine, parts),
            Trained::Head => {
                let frozen =
                    |Parts { attention, local }| Parts { attention, local: local.freeze() };
                (refine.freeze(), parts.map(frozen))
            }
        };
        let features = trunk.kind().pooled() * (1 + plan.method.parts());
        let linear = LinearConfig::new(features, plan.bits).with_bias(false).init(&training);
        let mut linear = new_weights(linear, plan.seed);
        linear.bias = Some(Param::from_tensor(Tensor::zeros([plan.bits], &training)));
        Ok(Self { stem, refine, parts, saliency, linear })
    }

    /// The layers that were pretrained.
    pub fn pretrained(&self) -> ParamGroup {
        let stem = ParamGroup::ids_from_module(self.stem.clone());
        let refine = stem.fuse(&ParamGroup::ids_from_module(self.refine.clone()));
        match &self.parts {
            Some(parts) => refine.fuse(&ParamGroup::ids_from_module(parts.local.clone())),
            None => refine,
        }
    }

    /// What the network makes of a pass of images.
    ///
    /// # Errors
    /// When the device fails.
    pub fn forward(
        &self,
        input: &Input,
        (plan, at): (&LearnPlan, Moment),
        laps: &mut Laps,
    ) -> Result<Output, TrainError> {
        if input.begins == Begins::Features {
            let features: Tensor<2> = input.values.clone().flatten(1, 3);
            let values = self.linear.forward(features.clone());
            return Ok(Output { values, features, extra: None, twice: None });
        }
        let e = match &self.stem {
            Some(stem) => stem.forward(input.values.clone()),
            None => input.values.clone(),
        };
        laps.end(Lap::Stem)?;
        if let Some(saliency) = &self.saliency {
            return self.look_twice(saliency, input, e, Step::at(at), laps);
        }
        let (mut features, mut extra) = (Vec::new(), None);
        if let (Some(parts), Some(options)) = (&self.parts, plan.method.exchnet()) {
            let attention = parts.attention.forward(e.clone());
            laps.end(Lap::Attention)?;
            let found = parts.refine(e.clone(), attention);
            laps.end(Lap::Refine)?;
            let (local, more) = exchnet::terms(found, input.exchange.clone(), options);
            features.push(local.flatten(1, 2));
            extra = Some(more);
            laps.end(Lap::Loss)?;
        }
        features.push(pool(self.refine.forward(e)));
        laps.end(Lap::Refine)?;
        let features = Tensor::cat(features, 1);
        let values = self.linear.forward(features.clone());
        Ok(Output { values, features, extra, twice: None })
    }

    /// DSaH's two looks at a pass of images, whose stem's maps are `e`. What the step does not
    /// train stands still, running statistics too.
    fn look_twice(
        &self,
        saliency: &Saliency,
        input: &Input,
        e: Tensor<4>,
        step: Step,
        laps: &mut Laps,
    ) -> Result<Output, TrainError> {
        if step == Step::Whole {
            let features = pool(self.refine.forward(e));
            laps.end(Lap::Refine)?;
            let values = self.linear.forward(features.clone());
            return Ok(Output { values, features, extra: None, twice: None });
        }
        let hashing = step == Step::Hashing;
        let alpha = match hashing {
            true => standing_still(saliency).forward(e.clone()).detach(),
            false => saliency.forward(e.clone()),
        };
        laps.end(Lap::Attention)?;
        let frozen = |stem: &Stem| if hashing { stem.clone() } else { standing_still(stem) };
        let attended = match (saliency.level(), &self.stem) {
            (Level::Image, Some(stem)) => {
                frozen(stem).forward(salient(input.values.clone(), alpha.clone()))
            }
            _ => salient(e.clone(), alpha.clone()),
        };
        laps.end(Lap::Stem)?;
        let [batch, _, height, width] = alpha.dims();
        // Both looks in one pass, so that norms see them as one.
        let both = Tensor::cat(vec![attended, e], 0);
        let (refine, linear) = match hashing {
            true => (self.refine.clone(), self.linear.clone()),
            false => (standing_still(&self.refine), self.linear.clone().freeze()),
        };
        let features = pool(refine.forward(both));
        laps.end(Lap::Refine)?;
        let values = linear.forward(features.clone());
        let rows = |of: &Tensor<2>, first: usize| of.clone().slice(first..first + batch);
        let saliency = alpha.reshape([batch, height * width]);
        Ok(Output {
            values: rows(&values, 0),
            features: rows(&features, 0),
            extra: None,
            twice: Some(Twice { whole: rows(&values, batch), saliency }),
        })
    }
}

/// A module as it is, for a step that does not train it.
///
/// A norm that is used as it is looks at running statistics without what the last step
/// left for the next; the validation copy takes that up first, as a checkpoint does.
fn standing_still<M: Module>(module: &M) -> M {
    drop(module.valid());
    module.clone().freeze()
}

/// What the network makes of a pass of images.
pub(super) struct Output {
    /// The hash's values, of which the codes are the signs, `[batch, c]`.
    pub values: Tensor<2>,
    /// What the hash sees, `[batch, F]`.
    pub features: Tensor<2>,
    /// What the network itself adds to the loss.
    pub extra: Option<Tensor<1>>,
    /// What it gives besides where it looked twice; its codes are not activated yet.
    pub twice: Option<Twice>,
}

/// What one pass through the network takes.
#[derive(Clone)]
pub(super) struct Input {
    /// Pixels `[batch, 3, S, S]`, the stem's maps `[batch, C, ⌈S/16⌉, ⌈S/16⌉]`, or pooled
    /// features `[batch, F, 1, 1]`.
    pub values: Tensor<4>,
    /// Which of these.
    pub begins: Begins,
    /// ExchNet's exchange of parts, where it has begun.
    pub exchange: Option<exchnet::Exchange>,
}

/// One pass and its part of the loss: with `accumulate` several make an update.
pub(super) struct Pass {
    pub input: Input,
    /// Numbers of its images.
    pub images: Vec<usize>,
    /// Its images over those of the update.
    pub share: f32,
}

/// What a step gave besides the updated network.
pub(super) struct StepResult {
    /// Mean loss of the step's images.
    pub loss: f32,
    /// Codes of the images before their signs, pass by pass, `[images, c]`.
    pub codes: Vec<f32>,
    /// Gradients, until they are used.
    pub gradients: GradientsParams,
}

/// Loss, codes and gradients of the passes of one update.
///
/// # Errors
/// When the device fails.
pub(super) fn gradients(
    net: &Net,
    passes: impl IntoIterator<Item = Pass>,
    (plan, learner, at): (&LearnPlan, &dyn Learner, Moment),
    laps: &mut Laps,
) -> Result<StepResult, TrainError> {
    let mut sum = GradientsAccumulator::new();
    let (mut total, mut all_codes) = (0.0, Vec::new());
    for pass in passes {
        let Output { values, features, extra, twice } =
            net.forward(&pass.input, (plan, at), laps)?;
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

/// The values of a tensor in row order.
///
/// # Errors
/// When the device fails.
pub(super) fn read<const D: usize>(
    device: &Device,
    tensor: Tensor<D>,
) -> Result<Vec<f32>, TrainError> {
    let failed = |reason: String| device_failed(device, reason);
    let data: TensorData = tensor.try_into_data().map_err(|error| failed(format!("{error:?}")))?;
    data.try_into_vec::<f32>().map_err(|error| failed(format!("{error:?}")))
}

/// A failure of a device, as it puts it.
pub(super) fn device_failed(device: &Device, reason: String) -> TrainError {
    TrainError::Encode(EncodeError::Device { device: device.to_string(), reason })
}

/// Parts of a step whose time is told apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lap {
    /// Waiting for a mini-batch, and moving it to the device.
    Data,
    /// The stem forward.
    Stem,
    /// The attention forward.
    Attention,
    /// All refine passes forward.
    Refine,
    /// The loss forward, the linear layer included.
    Loss,
    /// All backward passes.
    Backward,
    /// The optimiser.
    Update,
}

/// A stopwatch for the parts of a step.
#[derive(Clone)]
pub(super) struct Laps {
    pub device: Device,
    /// Whether it runs: it has to wait for the device after each part.
    running: bool,
    last: Instant,
    pub times: [Duration; 7],
}

impl Laps {
    /// A stopwatch that stands still and costs nothing.
    pub fn off(device: &Device) -> Self {
        Self {
            device: device.clone(),
            running: false,
            last: Instant::now(),
            times: [Duration::ZERO; 7],
        }
    }

    /// A running one.
    pub fn on(device: &Device) -> Self {
        Self { running: true, ..Self::off(device) }
    }

    /// Counts the time since the last call to `lap`.
    ///
    /// # Errors
    /// When the device fails.
    pub fn end(&mut self, lap: Lap) -> Result<(), TrainError> {
        if self.running {
            let synced = self.device.burn().sync();
            synced.map_err(|error| device_failed(&self.device, format!("{error:?}")))?;
            let now = Instant::now();
            self.times[lap as usize] += now - self.last;
            self.last = now;
        }
        Ok(())
    }
}
