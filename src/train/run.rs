/*!
The loop of a training run: samples, mini-batches, steps, sweeps, and where it stands.

Every draw is keyed by what it is for, so a run that goes on from a checkpoint draws
what it would have drawn.
*/

use std::path::Path;
use std::sync::mpsc::sync_channel;
use std::time::Instant;

use burn::lr_scheduler::module_lr_scheduler::ModuleLrScheduler;
use burn::module::Module;
use burn::optim::ModuleOptimizer;
use burn::store::ModuleRecord;
use burn::tensor::{Bytes, Tensor, TensorData};
use rand::RngExt;
use rand::seq::SliceRandom;

use super::TrainError;
use super::checkpoint::{Checkpoint, Position};
use super::draw::{Purpose, generator};
use super::images::Images;
use super::learn::EpochReport;
use super::net::{Input, Lap, Laps, Net, Pass, StepResult, gradients, read};
use super::optimiser::{optimiser, schedule};
use super::plan::{Init, LearnMethod, LearnPlan, Length};
use crate::code::BinaryCodes;
use crate::device::Device;
use crate::encoder::EncodeError;
use crate::method::HashError;
use crate::method::asymmetric::{BatchLoss, Groups, LearnedCodes, Summary};
use crate::method::exchnet::Exchange;
use crate::method::parts::Parts;
use crate::model::ModelError;
use crate::task::Task;
use crate::trunk::Stem;

/// Images per pass when class anchors are computed.
const ANCHOR_BATCH: usize = 64;
/// Mini-batches that are ready before they are needed.
const AHEAD: usize = 2;

/// The images of one update.
struct Batch {
    /// What the network takes, image after image.
    values: Vec<f32>,
    /// Image numbers.
    images: Vec<usize>,
    /// Their rows of U.
    rows: Vec<usize>,
}

/// A training run: everything but the network.
pub(super) struct Run<'a> {
    plan: &'a LearnPlan,
    images: &'a Images<'a>,
    groups: Groups,
    labels: &'a [Vec<u32>],
    classes: usize,
    device: &'a Device,
    codes: LearnedCodes,
    /// Its extent, after the budget.
    pub length: Length,
    /// Where it stands.
    pub at: Position,
    /// Real-valued codes of the present sample.
    u: Vec<f32>,
    /// Class anchors of the present outer iteration.
    anchors: Option<Vec<f32>>,
    optimiser: ModuleOptimizer,
    schedule: ModuleLrScheduler,
    laps: Laps,
}

impl<'a> Run<'a> {
    /// A run of `length` that trains `net`.
    ///
    /// # Errors
    /// When the plan's learning rate is out of range.
    pub fn new(
        plan: &'a LearnPlan,
        images: &'a Images<'a>,
        labels: &'a [Vec<u32>],
        length: Length,
        net: &Net,
        device: &'a Device,
    ) -> Result<Self, TrainError> {
        let groups = Groups::new(labels);
        let schedule = rates(plan, length, net).map_err(TrainError::Rate)?;
        Ok(Self {
            plan,
            images,
            codes: first_codes(plan, &groups),
            groups,
            labels,
            classes: labels.iter().flatten().max().map_or(0, |label| *label as usize + 1),
            device,
            length,
            at: Position::default(),
            u: Vec::new(),
            anchors: None,
            optimiser: optimiser(plan),
            schedule,
            laps: Laps::off(device),
        })
    }

    /// Takes up a run where a checkpoint left it; gives the network as it was.
    ///
    /// # Errors
    /// A sentence when the checkpoint does not fit.
    pub fn resume(mut self, net: Net, saved: Checkpoint) -> Result<(Self, Net), String> {
        let (images, bits) = (self.groups.images(), self.plan.bits);
        let begun = saved.u.len() == self.length.sample * bits;
        let sizes = saved.codes.len() == images * bits && (begun || saved.u.is_empty());
        if !sizes || saved.position.outer >= self.length.outer {
            return Err("it does not belong to these images".to_owned());
        }
        let record = ModuleRecord::from_bytes(Bytes::from_bytes_vec(saved.network));
        let net = record.and_then(|record| net.try_load_record(record));
        let net = net.map_err(|error| format!("{error:?}"))?;
        let optimiser = self.optimiser.from_bytes(Bytes::from_bytes_vec(saved.optimiser));
        self.optimiser = optimiser.map_err(|error| format!("{error:?}"))?;
        self.codes = LearnedCodes::new(bits, saved.codes);
        (self.u, self.anchors, self.at) = (saved.u, saved.anchors, saved.position);
        // The record brought the ids that weights had then, and rates go by ids. Burn's
        // schedules have no other state than how often they were asked.
        self.schedule = rates(self.plan, self.length, &net)?;
        (0..self.at.step).for_each(|_| drop(self.schedule.step()));
        Ok((self, net))
    }

    /// Trains to the end. `checkpoint` is written before the first step, after every
    /// outer iteration and when the work is stopped; `key` tells this run from others.
    ///
    /// # Errors
    /// When the loss is no number, the device or a file fails, or the work is stopped.
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
            let r = self.groups.ratio(&sample)?;
            if (self.at.epoch, self.at.batch) == (0, 0) {
                self.u = vec![0.0; sample.len() * self.plan.bits];
                let exchanges = self.exchanges(self.at.outer);
                self.anchors = if exchanges { Some(self.anchors(&net)?) } else { None };
            }
            let summary = self.codes.summary(&self.groups, r);
            while self.at.epoch < self.length.epochs {
                let clock = || before + begun.elapsed().as_secs_f64();
                let save = |run: &Self, net: &Net| run.save(net, checkpoint, key);
                net = self.epoch(net, &sample, &summary, task, &clock, &save, report)?;
            }
            self.codes.sweep(&self.groups, &sample, &self.u, r, self.plan.method.gamma());
            self.at = Position { outer: self.at.outer + 1, epoch: 0, ..self.at };
            if self.at.outer < self.length.outer {
                self.save(&net, checkpoint, key)?;
            }
        }
        Ok(net)
    }

    /// The rest of the present epoch; the next batches are made ready on another thread.
    #[allow(clippy::too_many_arguments)]
    fn epoch(
        &mut self,
        mut net: Net,
        sample: &[usize],
        summary: &Summary,
        task: &Task<'_>,
        clock: &dyn Fn() -> f64,
        save: &dyn Fn(&Self, &Net) -> Result<(), TrainError>,
        report: &mut dyn FnMut(&EpochReport),
    ) -> Result<Net, TrainError> {
        let number = self.number();
        let order = self.order(number);
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
                (net, loss, rate) = self.step(net, &batch, summary, number)?;
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
            exchange: self.anchors.is_some(),
        });
        self.at = Position { epoch: self.at.epoch + 1, batch: 0, loss: 0.0, ..self.at };
        Ok(net)
    }

    /// The present epoch, counted over the whole run.
    fn number(&self) -> usize {
        self.at.outer * self.length.epochs + self.at.epoch
    }

    /// The order of the sample's rows in an epoch.
    fn order(&self, number: usize) -> Vec<usize> {
        let mut order: Vec<usize> = (0..self.length.sample).collect();
        order.shuffle(&mut generator(self.plan.seed, Purpose::Order, number, 0));
        order
    }

    /// The learned codes of all images as the card holds them.
    pub fn learned(&self) -> Result<String, TrainError> {
        let codes = BinaryCodes::from_signs(self.plan.bits, self.codes.signs());
        let codes = codes.map_err(|error| ModelError::from(HashError::from(error)))?;
        Ok((0..codes.len()).map(|row| codes.hex(row)).collect())
    }

    fn save(&self, net: &Net, path: &Path, key: &str) -> Result<(), TrainError> {
        let failed = |reason: String| TrainError::Checkpoint { path: path.to_owned(), reason };
        // A validation copy: running statistics that only this thread has seen so far
        // are not in a record of the network itself.
        let network = net.valid().into_record().into_bytes();
        let optimiser =
            self.optimiser.into_bytes().map_err(|error| failed(format!("{error:?}")))?;
        let checkpoint = Checkpoint {
            run: key.to_owned(),
            length: self.length,
            position: self.at,
            codes: self.codes.signs().to_vec(),
            u: self.u.clone(),
            anchors: self.anchors.clone(),
            network: network.map_err(|error| failed(format!("{error:?}")))?.to_vec(),
            optimiser: optimiser.to_vec(),
        };
        checkpoint.save(path).map_err(|error| failed(error.to_string()))
    }

    /// Whether parts are exchanged in this outer iteration (from 0).
    fn exchanges(&self, outer: usize) -> bool {
        let LearnMethod::ExchNet(options) = self.plan.method else { return false };
        let late = (self.length.outer as f32 * options.exchange_share).ceil() as usize;
        late > 0 && outer + late >= self.length.outer
    }

    fn draw_sample(&self, outer: usize) -> Vec<usize> {
        let mut images: Vec<usize> = (0..self.groups.images()).collect();
        images.shuffle(&mut generator(self.plan.seed, Purpose::Sample, outer, 0));
        images.truncate(self.length.sample);
        images
    }

    /// Forward, backward, update; the batch's rows of U are filled in. Gives the loss
    /// and the rate of new layers too.
    fn step(
        &mut self,
        net: Net,
        batch: &Batch,
        summary: &Summary,
        epoch: usize,
    ) -> Result<(Net, f32, f64), TrainError> {
        let rates = self.schedule.step();
        self.at.step += 1;
        let device = self.device.burn().autodiff();
        let (plan, count) = (self.plan, batch.images.len());
        let len = batch.values.len() / count.max(1);
        let chunks = batch.images.chunks(plan.batch).zip(batch.values.chunks(plan.batch * len));
        let mut passes = Vec::new();
        for (images, values) in chunks {
            passes.push(Pass {
                input: Input {
                    values: self.images.tensor(values.to_vec(), images.len(), &device),
                    exchange: self.exchange(images, epoch),
                },
                loss: BatchLoss::new(
                    &self.codes,
                    summary,
                    &self.groups,
                    images,
                    plan.method.gamma(),
                    &device,
                ),
                share: images.len() as f32 / count as f32,
            });
        }
        self.laps.end(Lap::Data)?;
        let found = gradients(&net, passes, &plan.method, &mut self.laps)?;
        let StepResult { loss, codes, gradients } = found;
        if !loss.is_finite() {
            let (step, rate) = (self.at.step, rates.base());
            return Err(TrainError::NotFinite { loss, step, rate });
        }
        for (row, code) in batch.rows.iter().zip(codes.chunks_exact(plan.bits)) {
            self.u[row * plan.bits..(row + 1) * plan.bits].copy_from_slice(code);
        }
        let rate = rates.base();
        let net = self.optimiser.step(rates, net, gradients);
        self.laps.end(Lap::Update)?;
        Ok((net, loss, rate))
    }

    /// Which parts are kept and what replaces the others, once the exchange has begun.
    fn exchange(&self, images: &[usize], epoch: usize) -> Option<Exchange> {
        let (anchors, parts) = (self.anchors.as_ref()?, self.plan.method.parts());
        let (count, pooled) = (images.len(), self.plan.trunk.pooled());
        let mut keep = Vec::with_capacity(count * parts);
        let mut own = Vec::with_capacity(count * parts * pooled);
        for image in images {
            keep.extend(kept_parts(self.plan.seed, epoch, *image, parts));
            own.extend(mean_of_rows(anchors, parts * pooled, &self.labels[*image]));
        }
        let device = self.device.burn().autodiff();
        let keep = TensorData::new(keep, [count, parts, 1]);
        let own = TensorData::new(own, [count, parts, pooled]);
        Some(Exchange {
            keep: Tensor::from_data(keep, &device),
            anchors: Tensor::from_data(own, &device),
        })
    }

    /// The mean local features of each class, `[classes, M·C']`, in evaluation mode.
    fn anchors(&self, net: &Net) -> Result<Vec<f32>, TrainError> {
        let net = net.valid();
        let Some(parts) = net.parts.map(Parts::fold) else { return Ok(Vec::new()) };
        let stem = net.stem.map(Stem::fold);
        let width = self.plan.method.parts() * self.plan.trunk.pooled();
        let (mut sums, mut counts) =
            (vec![0.0f64; self.classes * width], vec![0usize; self.classes]);
        let images: Vec<usize> = (0..self.groups.images()).collect();
        for images in images.chunks(ANCHOR_BATCH) {
            let values = self.images.plain(self.plan, images)?;
            let input = self.images.tensor(values, images.len(), &self.device.burn());
            let e = stem.as_ref().map_or(input.clone(), |stem| stem.forward(input));
            let local = read(self.device, parts.forward(e).local)?;
            for (image, row) in images.iter().zip(local.chunks_exact(width)) {
                for label in &self.labels[*image] {
                    let label = *label as usize;
                    counts[label] += 1;
                    let sum = &mut sums[label * width..(label + 1) * width];
                    sum.iter_mut().zip(row).for_each(|(s, v)| *s += f64::from(*v));
                }
            }
        }
        let means = sums.chunks_exact(width).zip(&counts);
        Ok(means
            .flat_map(|(sum, n)| sum.iter().map(move |s| (s / (*n).max(1) as f64) as f32))
            .collect())
    }

    /// Seconds per image, and the parts of that time, as the last of `updates` updates
    /// shows them. The run is of no use afterwards.
    ///
    /// # Errors
    /// As [`Run::train`].
    pub fn pace(&mut self, mut net: Net, updates: usize) -> Result<(f64, Laps), TrainError> {
        let sample = self.draw_sample(0);
        self.u = vec![0.0; sample.len() * self.plan.bits];
        let summary = self.codes.summary(&self.groups, self.groups.ratio(&sample)?);
        let order = self.order(0);
        let per_update = self.plan.batch * self.plan.accumulate;
        let mut seconds = f64::INFINITY;
        for rows in order.chunks(per_update).cycle().take(updates.max(1)) {
            self.laps = Laps::on(self.device);
            let begun = Instant::now();
            let batch = load(self.plan, self.images, &sample, rows, 0)?;
            self.laps.end(Lap::Data)?;
            (net, ..) = self.step(net, &batch, &summary, 0)?;
            seconds = begun.elapsed().as_secs_f64() / rows.len() as f64;
        }
        Ok((seconds, self.laps.clone()))
    }
}

/// The learning rates of a run of `length` for the layers of `net`.
fn rates(plan: &LearnPlan, length: Length, net: &Net) -> Result<ModuleLrScheduler, String> {
    schedule(plan, length.updates(plan.batch * plan.accumulate), net.pretrained())
}

/// The batch of some rows of the sample.
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

/// ξ of equation 8 for each part of an image: 1 keeps it, 0 replaces it.
fn kept_parts(seed: u64, epoch: usize, image: usize, parts: usize) -> impl Iterator<Item = f32> {
    let mut rng = generator(seed, Purpose::Exchange, epoch, image);
    (0..parts).map(move |_| if rng.random_bool(0.5) { 1.0 } else { 0.0 })
}

/// First learned codes, as the plan wants them.
fn first_codes(plan: &LearnPlan, groups: &Groups) -> LearnedCodes {
    let code = |key: usize| {
        let mut rng = generator(plan.seed, Purpose::Codes, 0, key);
        (0..plan.bits).map(move |_| if rng.random_bool(0.5) { 1.0f32 } else { -1.0 })
    };
    let images = 0..groups.images();
    let values = match plan.init {
        Init::Random => images.flat_map(code).collect(),
        Init::Class => images.flat_map(|image| code(groups.of(image))).collect(),
    };
    LearnedCodes::new(plan.bits, values)
}

/// The mean of some rows of a table.
fn mean_of_rows(table: &[f32], width: usize, rows: &[u32]) -> Vec<f32> {
    let mut mean = vec![0.0; width];
    for row in rows {
        let at = *row as usize * width;
        mean.iter_mut().zip(&table[at..at + width]).for_each(|(m, v)| *m += v);
    }
    mean.iter_mut().for_each(|m| *m /= rows.len().max(1) as f32);
    mean
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn about_half_of_all_parts_are_exchanged() {
        let kept = |epoch| -> Vec<f32> {
            (0..2000).flat_map(|image| kept_parts(7, epoch, image, 3)).collect()
        };
        let share = kept(4).iter().sum::<f32>() / 6000.0;
        assert!((share - 0.5).abs() < 0.03, "{share}");
        assert!(kept(4) != kept(5), "other ones in each epoch");
    }

    #[test]
    fn the_mean_of_rows_is_that_of_an_images_labels() {
        let table = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0];
        assert_eq!(mean_of_rows(&table, 2, &[0, 2]), [3.0, 4.0]);
        assert_eq!(mean_of_rows(&table, 2, &[1]), [3.0, 4.0]);
    }
}
