/*!
The devices of a run, and an update that they share.
*/

use std::collections::BTreeMap;
use std::ops::Range;
use std::panic::resume_unwind;
use std::thread;

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param, ParamId};
use burn::optim::{GradientsAccumulator, GradientsParams};
use burn::tensor::{Device as BurnDevice, Tensor, TensorData, Transaction};
use rayon::{ThreadPool, ThreadPoolBuilder};

use super::super::TrainError;
use super::super::error::device_failed;
use super::super::plan::LearnPlan;
use super::super::step::StepResult;
use crate::cause::in_detail;
use crate::device::Device;
use crate::method::laps::{Lap, Laps};
use crate::method::net::Net;

/// Tensors of a network in the host's memory.
type Values = BTreeMap<ParamId, TensorData>;

/// The devices of a run.
pub(in crate::train) struct Team {
    first: Device,
    others: Vec<Member>,
}

/// A device beside the first.
struct Member {
    device: Device,
    /// The thread that submits work to a graphics adapter. Burn keeps memory for every thread that
    /// ever submitted work, so it is always the same one.
    thread: Option<ThreadPool>,
    /// The device's copy of the network; `None` before the first update.
    net: Option<Net>,
}

/// The results of a member's share, in the host's memory.
#[derive(Default)]
struct Share {
    images: usize,
    loss: f32,
    codes: Vec<f32>,
    gradients: Values,
    statistics: Values,
}

impl Team {
    /// Creates the team of a plan: `first` and the additional devices.
    ///
    /// # Errors
    /// As [`check`], or if the system cannot create threads.
    pub fn new(plan: &LearnPlan, first: &Device) -> Result<Self, TrainError> {
        check(plan, first)?;
        let others = plan.beside.iter().map(Member::new).collect::<Result<_, _>>()?;
        Ok(Self { first: first.clone(), others })
    }

    /// Computes loss, codes and gradients of an update of `count` images, and the network with
    /// updated running statistics. `share` processes some of the images with a copy of the network
    /// on one device.
    ///
    /// A single device works without any of this.
    ///
    /// # Errors
    /// If a device fails.
    pub fn together<S>(
        &mut self,
        net: Net,
        count: usize,
        laps: &mut Laps,
        share: S,
    ) -> Result<(Net, StepResult), TrainError>
    where
        S: Fn(&Net, &Device, Range<usize>, &mut Laps) -> Result<StepResult, TrainError> + Sync,
    {
        if self.others.is_empty() {
            let found = share(&net, &self.first, 0..count, laps)?;
            return Ok((net, found));
        }
        let whole = self.others.iter().any(|member| member.net.is_none());
        let weights = read_out(&net, if whole { What::All } else { What::Learned }, &self.first)?;
        let mut shares = divide(count, self.others.len() + 1);
        let own = shares.next().unwrap_or(0..count);
        let images = own.len();
        let (found, theirs) = thread::scope(|scope| {
            let (weights, share) = (&weights, &share);
            let mut started = Vec::new();
            for (member, images) in self.others.iter_mut().zip(shares) {
                // Needs a copy with separate statistics, because clones share them.
                let copy = member.net.is_none().then(|| net.valid());
                started.push(scope.spawn(move || member.work(copy, weights, images, share)));
            }
            let found = share(&net, &self.first, own, laps);
            let theirs = started.into_iter().map(|thread| thread.join());
            let theirs = theirs.map(|done| done.unwrap_or_else(|panic| resume_unwind(panic)));
            (found, theirs.collect::<Vec<_>>())
        });
        let mut found = found?;
        let theirs = theirs.into_iter().collect::<Result<Vec<Share>, TrainError>>()?;
        for share in &theirs {
            found.loss += share.loss;
            found.codes.extend_from_slice(&share.codes);
        }
        // Gradients of a loss that is NaN or infinite are not collected: the caller stops.
        if found.loss.is_finite() {
            found.gradients = self.gathered(&net, found.gradients, &theirs);
        }
        let statistics = self.statistics(&net, images, &theirs)?;
        let net = net.map(&mut Load { values: &statistics, device: self.first.burn() });
        laps.end(Lap::Backward)?;
        Ok((net, found))
    }

    /// Adds all gradients on the first device, always in the same order.
    fn gathered(&self, net: &Net, own: GradientsParams, theirs: &[Share]) -> GradientsParams {
        let mut sum = GradientsAccumulator::new();
        sum.accumulate(net, own);
        for share in theirs {
            let mut received = Received {
                values: &share.gradients,
                device: self.first.burn(),
                gradients: GradientsParams::new(),
            };
            net.visit(&mut received);
            sum.accumulate(net, received.gradients);
        }
        sum.grads()
    }

    /// Averages the running statistics of all devices, weighted by images.
    fn statistics(&self, net: &Net, images: usize, theirs: &[Share]) -> Result<Values, TrainError> {
        let own = read_out(net, What::Statistics, &self.first)?;
        let count = images + theirs.iter().map(|share| share.images).sum::<usize>();
        let failed = |error| device_failed(&self.first, in_detail(error));
        let mut means = Values::new();
        for (id, data) in own {
            let shape = data.shape();
            let mut mean = vec![0.0f64; data.num_elements()];
            let all = theirs.iter().map(|share| (share.statistics.get(&id), share.images));
            for (data, images) in std::iter::once((Some(&data), images)).chain(all) {
                let Some(data) = data else { continue };
                let weight = images as f64 / count.max(1) as f64;
                let values = data.clone().try_into_vec::<f32>().map_err(failed)?;
                mean.iter_mut().zip(values).for_each(|(m, v)| *m += weight * f64::from(v));
            }
            let mean: Vec<f32> = mean.into_iter().map(|m| m as f32).collect();
            means.insert(id, TensorData::new(mean, shape));
        }
        Ok(means)
    }
}

/// Checks that a plan's devices can work together with `first`.
///
/// # Errors
/// If there are more devices than images in an update, or a device is listed twice.
pub(in crate::train) fn check(plan: &LearnPlan, first: &Device) -> Result<(), TrainError> {
    let (devices, images) = (plan.devices(), plan.batch * plan.accumulate);
    if devices > images.max(1) {
        return Err(TrainError::TooManyDevices { devices, images });
    }
    for (number, device) in plan.beside.iter().enumerate() {
        let mut before = std::iter::once(first).chain(&plan.beside[..number]);
        // The CPU may be listed twice: useless, but harmless.
        if !device.is_cpu() && before.any(|other| other.same(device)) {
            return Err(TrainError::SameDevice(device.to_string()));
        }
    }
    Ok(())
}

/// Divides `count` images into ranges whose sizes differ by at most one. The first range is empty
/// only if `count` is 0.
fn divide(count: usize, shares: usize) -> impl Iterator<Item = Range<usize>> {
    let before = move |share: usize| (count * share).div_ceil(shares);
    (0..shares).map(move |share| before(share)..before(share + 1))
}

impl Member {
    fn new(device: &Device) -> Result<Self, TrainError> {
        // The CPU backend parallelises by itself.
        let thread = if device.is_cpu() {
            None
        } else {
            let pool = ThreadPoolBuilder::new().num_threads(1).build();
            Some(pool.map_err(|error| device_failed(device, error.into()))?)
        };
        Ok(Self { device: device.clone(), thread, net: None })
    }

    /// Copies the weights and processes a share. A member without a network gets `copy`.
    fn work<S>(
        &mut self,
        copy: Option<Net>,
        weights: &Values,
        images: Range<usize>,
        share: &S,
    ) -> Result<Share, TrainError>
    where
        S: Fn(&Net, &Device, Range<usize>, &mut Laps) -> Result<StepResult, TrainError> + Sync,
    {
        // The last update of an epoch may have fewer images than there are devices.
        if images.is_empty() {
            return Ok(Share::default());
        }
        let Self { device, thread, net: kept } = self;
        let work = || -> Result<Share, TrainError> {
            let load = |net: Net| net.map(&mut Load { values: weights, device: device.burn() });
            let Some(net) = kept.take().map(load).or_else(|| copy.map(|net| load(net).train()))
            else {
                return Ok(Share::default());
            };
            let net = kept.insert(net);
            let count = images.len();
            let StepResult { loss, codes, gradients } =
                share(net, device, images, &mut Laps::off(device))?;
            let mut sent = Sent { gradients, ids: Vec::new(), reading: Transaction::default() };
            net.visit(&mut sent);
            Ok(Share {
                images: count,
                loss,
                codes,
                gradients: read(sent.ids, sent.reading, device)?,
                statistics: read_out(net, What::Statistics, device)?,
            })
        };
        match thread {
            Some(thread) => thread.install(work),
            None => work(),
        }
    }
}

/// The tensors of a network to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum What {
    /// All of them.
    All,
    /// Tensors that an update changes: trained weights and running statistics.
    Learned,
    /// Running statistics.
    Statistics,
}

/// Reads some of a network's tensors together.
fn read_out(net: &Net, what: What, device: &Device) -> Result<Values, TrainError> {
    // The visitor skips statistics that only this thread has. A validation copy includes them, as
    // for a checkpoint.
    drop(net.valid());
    let (field, ids, reading) = (String::new(), Vec::new(), Transaction::default());
    let mut reader = Reader { what, field, ids, reading };
    net.visit(&mut reader);
    read(reader.ids, reader.reading, device)
}

fn read(ids: Vec<ParamId>, reading: Transaction, device: &Device) -> Result<Values, TrainError> {
    let failed = |error| device_failed(device, in_detail(error));
    Ok(ids.into_iter().zip(reading.try_execute().map_err(failed)?).collect())
}

/// Registers tensors of a network for reading.
struct Reader {
    what: What,
    /// The name of the visited field.
    field: String,
    ids: Vec<ParamId>,
    reading: Transaction,
}

impl ModuleVisitor for Reader {
    fn enter_module(&mut self, name: &str, _: &str) {
        name.clone_into(&mut self.field);
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        // Visitors see a running statistic as a parameter without gradient.
        let statistic = self.field.starts_with("running_");
        let wanted = match self.what {
            What::All => true,
            What::Learned => statistic || param.is_require_grad(),
            What::Statistics => statistic,
        };
        if wanted {
            self.ids.push(param.id);
            let reading = std::mem::take(&mut self.reading);
            self.reading = reading.register(param.val().inner());
        }
    }
}

/// Registers gradients for reading.
struct Sent {
    gradients: GradientsParams,
    ids: Vec<ParamId>,
    reading: Transaction,
}

impl ModuleVisitor for Sent {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if let Some(gradient) = self.gradients.remove::<D>(param.id) {
            self.ids.push(param.id);
            self.reading = std::mem::take(&mut self.reading).register(gradient);
        }
    }
}

/// Moves gradients to a device.
struct Received<'a> {
    values: &'a Values,
    device: BurnDevice,
    gradients: GradientsParams,
}

impl ModuleVisitor for Received<'_> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if let Some(data) = self.values.get(&param.id) {
            let gradient = Tensor::<D>::from_data(data.clone(), &self.device);
            self.gradients.register(param.id, gradient);
        }
    }
}

/// Moves tensors of a network to a device; tensors without a value are unchanged.
struct Load<'a> {
    values: &'a Values,
    device: BurnDevice,
}

impl ModuleMapper for Load<'_> {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let Some(data) = self.values.get(&param.id) else { return param };
        param.map(|old| {
            let new = Tensor::from_data(data.clone(), &self.device);
            if old.is_autodiff() {
                Tensor::from_inner(new).set_require_grad(old.is_require_grad())
            } else {
                new
            }
        })
    }
}

#[cfg(test)]
mod tests;
