/*!
The loop of a training run: samples, mini-batches, steps, sweeps and checkpoints.

Every draw is keyed by its purpose, so a run that is resumed from a checkpoint draws the same values
as an uninterrupted one.
*/

use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::sync_channel;
use std::time::Instant;

use burn::lr_scheduler::module_lr_scheduler::ModuleLrScheduler;
use burn::module::Module;
use burn::optim::ModuleOptimizer;
use burn::store::ModuleRecord;
use burn::tensor::Bytes;
use rand::seq::SliceRandom;

use super::checkpoint::{Checkpoint, Position};
use super::devices::Team;
use super::images::Images;
use super::optimiser::{optimiser, schedule};
use super::plan::{LearnPlan, Length};
use super::step::{Input, Pass, StepResult, gradients};
use super::watch::EpochReport;
use super::{TrainError, survey};
use crate::cause::{Cause, in_detail};
use crate::code::BinaryCodes;
use crate::device::Device;
use crate::encoder::EncodeError;
use crate::hash::HashError;
use crate::method::Start;
use crate::method::draw::{Purpose, generator};
use crate::method::groups::Groups;
use crate::method::laps::{Lap, Laps};
use crate::method::learner::{Batches, Learner, Moment};
use crate::method::net::Net;
use crate::model::ModelError;
use crate::task::Task;

/// Number of mini-batches to prefetch.
const AHEAD: usize = 2;

/// The images of one update.
struct Batch {
    /// The input of the network, image by image.
    values: Vec<f32>,
    /// Indices of the images.
    images: Vec<usize>,
    /// Rows of the images in U.
    rows: Vec<usize>,
}

/// A training run without the network.
pub(super) struct Run<'a> {
    plan: &'a LearnPlan,
    images: &'a Images<'a>,
    groups: Arc<Groups>,
    device: &'a Device,
    /// The devices that share updates.
    team: Team,
    /// The training state of the method.
    learner: Box<dyn Learner>,
    /// The length, with the budget applied.
    pub length: Length,
    /// The position.
    pub at: Position,
    optimiser: ModuleOptimizer,
    schedule: ModuleLrScheduler,
    laps: Laps,
}

impl<'a> Run<'a> {
    /// Creates a run of `length` that trains `net`.
    ///
    /// # Errors
    /// If the plan's learning rate is out of range, or its devices cannot work together.
    pub fn new(
        plan: &'a LearnPlan,
        images: &'a Images<'a>,
        labels: &[Vec<u32>],
        length: Length,
        net: &Net,
        device: &'a Device,
    ) -> Result<Self, TrainError> {
        let groups = Arc::new(Groups::new(labels));
        let schedule = rates(plan, length, net).map_err(TrainError::Rate)?;
        let (bits, seed, init) = (plan.bits, plan.seed, plan.init);
        let start = Start { groups: groups.clone(), bits, seed, init };
        Ok(Self {
            plan,
            images,
            learner: plan.learned()?.learner(start),
            groups,
            device,
            team: Team::new(plan, device)?,
            length,
            at: Position::default(),
            optimiser: optimiser(plan),
            schedule,
            laps: Laps::off(device),
        })
    }

    /// Restores a run from a checkpoint and returns the network.
    ///
    /// # Errors
    /// A sentence if the checkpoint does not match.
    pub fn resume(mut self, net: Net, saved: Checkpoint) -> Result<(Self, Net), Cause> {
        if !self.learner.restore(saved.learner) || saved.position.outer >= self.length.outer {
            return Err("it does not belong to these images".into());
        }
        let record = ModuleRecord::from_bytes(Bytes::from_bytes_vec(saved.network));
        let net = record.and_then(|record| net.try_load_record(record));
        let net = net.map_err(in_detail)?;
        let optimiser = self.optimiser.from_bytes(Bytes::from_bytes_vec(saved.optimiser));
        self.optimiser = optimiser.map_err(in_detail)?;
        self.at = saved.position;
        // The record restored the ids of the weights, by which learning rates are assigned. The
        // only state of Burn's schedules is their number of steps.
        self.schedule = rates(self.plan, self.length, &net)?;
        (0..self.at.step).for_each(|_| drop(self.schedule.step()));
        Ok((self, net))
    }

    /// Trains to the end. Writes `checkpoint` before the first step, after every outer iteration
    /// and when the work is stopped. `key` identifies the run.
    ///
    /// # Errors
    /// If the loss becomes NaN or infinite, the device or a file fails, or the work is stopped.
    pub fn train(
        &mut self,
        mut net: Net,
        checkpoint: &Path,
        key: &str,
        task: &Task<'_>,
        report: &mut dyn FnMut(&EpochReport),
    ) -> Result<Net, TrainError> {
        let before = self.at.seconds;
        let begun = Instant::now();
        self.save(&net, checkpoint, key)?;
        while self.at.outer < self.length.outer {
            let sample = self.draw_sample(self.at.outer);
            let fresh = (self.at.epoch, self.at.batch) == (0, 0);
            self.learner.begin(&sample, fresh)?;
            if fresh {
                let (outer, of) = (self.at.outer, self.length.outer);
                let wanted = self.learner.survey(&net, outer, of);
                let found =
                    wanted.map(|wanted| survey::run(wanted, self.plan, self.images, self.device));
                self.learner.surveyed(found.transpose()?, outer, of);
            }
            while self.at.epoch < self.length.epochs {
                let clock = || before + begun.elapsed().as_secs_f64();
                let save = |run: &Self, net: &Net| run.save(net, checkpoint, key);
                net = self.epoch(net, &sample, task, &clock, &save, report)?;
            }
            self.learner.end(&sample);
            self.at = Position { outer: self.at.outer + 1, epoch: 0, ..self.at };
            if self.at.outer < self.length.outer {
                self.save(&net, checkpoint, key)?;
            }
        }
        Ok(net)
    }

    /// Trains the rest of the current epoch. Another thread prepares the next batches.
    fn epoch(
        &mut self,
        mut net: Net,
        sample: &[usize],
        task: &Task<'_>,
        clock: &dyn Fn() -> f64,
        save: &dyn Fn(&Self, &Net) -> Result<(), TrainError>,
        report: &mut dyn FnMut(&EpochReport),
    ) -> Result<Net, TrainError> {
        let number = self.number();
        let order = self.order(sample, number);
        let (plan, images) = (self.plan, self.images);
        let (per_update, done) = (plan.batch * plan.accumulate, self.at.batch);
        let mut rate = 0.0;
        net = std::thread::scope(|scope| -> Result<Net, TrainError> {
            let (sender, batches) = sync_channel(AHEAD);
            let order = &order;
            scope.spawn(move || {
                let batches = order.chunks(per_update).skip(done);
                batches
                    .map(|rows| load(plan, images, sample, rows, number))
                    .all(|batch| sender.send(batch).is_ok())
            });
            for batch in batches {
                let batch = batch?;
                self.laps.end(Lap::Data)?;
                let loss;
                (net, loss, rate) = self.step(net, &batch, number)?;
                self.at.loss += loss * batch.rows.len() as f32;
                self.at.shown += batch.rows.len();
                self.at.batch += 1;
                self.at.seconds = clock();
                if let Err(stopped) = task.step(self.at.shown, self.length.images()) {
                    save(self, &net)?;
                    return Err(EncodeError::from(stopped).into());
                }
            }
            Ok(net)
        })?;
        report(&EpochReport {
            outer: self.at.outer + 1,
            of: self.length.outer,
            epoch: self.at.epoch + 1,
            loss: self.at.loss / sample.len() as f32,
            images: self.at.shown,
            seconds: self.at.seconds,
            rate,
            exchange: self.learner.exchanges(),
        });
        self.at = Position { epoch: self.at.epoch + 1, batch: 0, loss: 0.0, ..self.at };
        Ok(net)
    }

    /// Returns the current epoch, counted over the whole run.
    fn number(&self) -> usize {
        self.at.outer * self.length.epochs + self.at.epoch
    }

    /// Returns the current moment, in an epoch counted over the whole run.
    fn moment(&self, epoch: usize) -> Moment {
        Moment {
            progress: self.at.shown as f32 / self.length.images().max(1) as f32,
            epoch,
            epochs: self.length.outer * self.length.epochs,
        }
    }

    /// Returns the order of the sample's rows in an epoch.
    fn order(&self, sample: &[usize], number: usize) -> Vec<usize> {
        let mut order: Vec<usize> = (0..sample.len()).collect();
        let mut rng = generator(self.plan.seed, Purpose::Order, number, 0);
        order.shuffle(&mut rng);
        let Batches::Grouped(together) = self.learner.batches(self.moment(number)) else {
            return order;
        };
        // Sort by class in the drawn order, then take groups of this size in turn.
        order.sort_by_key(|row| self.groups.of(sample[*row]));
        let of_class =
            order.chunk_by(|a, b| self.groups.of(sample[*a]) == self.groups.of(sample[*b]));
        let mut some: Vec<&[usize]> = of_class.flat_map(|rows| rows.chunks(together)).collect();
        some.shuffle(&mut rng);
        some.concat()
    }

    /// Returns the training state of the method.
    pub fn learner(&self) -> &dyn Learner {
        &*self.learner
    }

    /// Returns the learned codes of all images for the card, if the method has them.
    pub fn learned(&self) -> Result<Option<String>, TrainError> {
        let Some(codes) = self.learner.learned() else { return Ok(None) };
        let codes = BinaryCodes::from_signs(self.plan.bits, codes.signs());
        let codes = codes.map_err(|error| ModelError::from(HashError::from(error)))?;
        Ok(Some((0..codes.len()).map(|row| codes.hex(row)).collect()))
    }

    fn save(&self, net: &Net, path: &Path, key: &str) -> Result<(), TrainError> {
        let failed = |reason: Cause| TrainError::Checkpoint { path: path.to_owned(), reason };
        // A record of the network would miss running statistics that only this thread has; those of
        // a validation copy are complete.
        let network = net.valid().into_record().into_bytes();
        let optimiser = self.optimiser.into_bytes().map_err(|error| failed(in_detail(error)))?;
        let checkpoint = Checkpoint {
            run: key.to_owned(),
            length: self.length,
            position: self.at,
            learner: self.learner.state(),
            network: network.map_err(|error| failed(in_detail(error)))?.to_vec(),
            optimiser: optimiser.to_vec(),
        };
        checkpoint.save(path).map_err(|error| failed(error.into()))
    }

    fn draw_sample(&self, outer: usize) -> Vec<usize> {
        let mut images: Vec<usize> = (0..self.groups.images()).collect();
        images.shuffle(&mut generator(self.plan.seed, Purpose::Sample, outer, 0));
        images.truncate(self.length.sample);
        images
    }

    /// Runs forward pass, backward pass and update, and passes the codes to the method. Returns the
    /// loss and the learning rate of new layers.
    fn step(
        &mut self,
        net: Net,
        batch: &Batch,
        epoch: usize,
    ) -> Result<(Net, f32, f64), TrainError> {
        let rates = self.schedule.step();
        self.at.step += 1;
        let (plan, images, learner) = (self.plan, self.images, &*self.learner);
        let count = batch.images.len();
        let len = batch.values.len() / count.max(1);
        let at = self.moment(epoch);
        let share = |net: &Net, device: &Device, rows: Range<usize>, laps: &mut Laps| {
            let training = device.burn().autodiff();
            let values = &batch.values[rows.start * len..rows.end * len];
            let chunks = batch.images[rows].chunks(plan.batch).zip(values.chunks(plan.batch * len));
            let mut passes = Vec::new();
            for (numbers, values) in chunks {
                passes.push(Pass {
                    input: Input {
                        values: images.tensor(values.to_vec(), numbers.len(), &training),
                        begins: images.begins(),
                    },
                    images: numbers.to_vec(),
                    share: numbers.len() as f32 / count as f32,
                });
            }
            laps.end(Lap::Data)?;
            gradients(net, passes, learner, at, laps)
        };
        let (net, found) = self.team.together(net, count, &mut self.laps, share)?;
        let StepResult { loss, codes, gradients } = found;
        if !loss.is_finite() {
            let (step, rate) = (self.at.step, rates.base());
            return Err(TrainError::NotFinite { loss, step, rate });
        }
        self.learner.saw(&batch.rows, &codes);
        let rate = rates.base();
        let net = self.optimiser.step(rates, net, gradients);
        self.laps.end(Lap::Update)?;
        Ok((net, loss, rate))
    }

    /// Returns the seconds per image and their parts, measured in the last of `updates` updates.
    /// The run cannot be used afterwards.
    ///
    /// # Errors
    /// As [`Run::train`].
    pub fn pace(&mut self, mut net: Net, updates: usize) -> Result<(f64, Laps), TrainError> {
        let sample = self.draw_sample(0);
        self.learner.begin(&sample, true)?;
        let order = self.order(&sample, 0);
        let per_update = self.plan.batch * self.plan.accumulate;
        let mut seconds = f64::INFINITY;
        for rows in order.chunks(per_update).cycle().take(updates.max(1)) {
            self.laps = Laps::on(self.device);
            let begun = Instant::now();
            let batch = load(self.plan, self.images, &sample, rows, 0)?;
            self.laps.end(Lap::Data)?;
            (net, ..) = self.step(net, &batch, 0)?;
            seconds = begun.elapsed().as_secs_f64() / rows.len() as f64;
        }
        Ok((seconds, self.laps.clone()))
    }
}

/// Creates the learning rates of a run of `length` for the layers of `net`.
fn rates(plan: &LearnPlan, length: Length, net: &Net) -> Result<ModuleLrScheduler, String> {
    schedule(plan, length.updates(plan.batch * plan.accumulate), net.pretrained())
}

/// Returns the batch of some rows of the sample.
fn load(
    plan: &LearnPlan,
    images: &Images<'_>,
    sample: &[usize],
    rows: &[usize],
    epoch: usize,
) -> Result<Batch, TrainError> {
    let numbers: Vec<usize> = rows.iter().map(|row| sample[*row]).collect();
    let values = images.shown(plan, &numbers, epoch)?;
    Ok(Batch { values, images: numbers, rows: rows.to_vec() })
}
