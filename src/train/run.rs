/*!
The loop of a training run: samples, mini-batches, steps, sweeps, and where it stands.

Every draw is keyed by what it is for, so a run that goes on from a checkpoint draws
what it would have drawn.
*/

use std::path::Path;
use std::time::Instant;

use burn::module::Module;
use burn::nn::Linear;
use burn::optim::{GradientsParams, ModuleOptimizer};
use burn::store::ModuleRecord;
use burn::tensor::{Bytes, Device as BurnDevice, Tensor, TensorData};
use rand::RngExt;
use rand::seq::SliceRandom;

use super::TrainError;
use super::cache::StemCache;
use super::checkpoint::{Checkpoint, Position};
use super::draw::{Purpose, generator};
use super::learn::{EpochReport, Init, LearnMethod, LearnPlan};
use super::optimiser::adamw;
use crate::code::BinaryCodes;
use crate::encoder::EncodeError;
use crate::method::HashError;
use crate::method::asymmetric::{Groups, LearnedCodes, Summary};
use crate::method::exchnet;
use crate::method::parts::Parts;
use crate::model::ModelError;
use crate::task::Task;
use crate::trunk::efficientnet_lite::{POOLED, Refine, STEM_CHANNELS, pool};

/// What is trained: everything behind the stem.
#[derive(Module, Debug)]
pub(super) struct Net {
    pub refine: Refine,
    pub parts: Option<Parts>,
    pub linear: Linear,
}

/// One mini-batch.
struct Batch {
    /// The stem's maps.
    maps: Tensor<4>,
    /// Image numbers.
    images: Vec<usize>,
    /// Their rows of U.
    rows: Vec<usize>,
}

/// A training run: everything but the network.
pub(super) struct Run<'a> {
    plan: &'a LearnPlan,
    cache: &'a StemCache,
    groups: Groups,
    labels: &'a [Vec<u32>],
    classes: usize,
    device: BurnDevice,
    codes: LearnedCodes,
    /// Outer iterations after the budget.
    pub outer: usize,
    sample: usize,
    /// Steps of the whole run.
    steps: usize,
    /// Where it stands.
    pub at: Position,
    /// Real-valued codes of the present sample.
    u: Vec<f32>,
    /// Class anchors of the present outer iteration.
    anchors: Option<Vec<f32>>,
    optimisers: Optimisers,
    begun: Instant,
}

/// The optimisers: one for each part of the network that has its own learning rate.
struct Optimisers {
    refine: ModuleOptimizer,
    parts: ModuleOptimizer,
    linear: ModuleOptimizer,
    local: ModuleOptimizer,
}

impl Optimisers {
    fn new(weight_decay: f32) -> Self {
        let new = || adamw(weight_decay);
        Self { refine: new(), parts: new(), linear: new(), local: new() }
    }

    fn save(&self) -> Result<Vec<Vec<u8>>, String> {
        let all = [&self.refine, &self.parts, &self.linear, &self.local];
        let bytes = all.into_iter().map(|one| one.into_bytes().map(|b| b.to_vec()));
        bytes.collect::<Result<_, _>>().map_err(|error| format!("{error:?}"))
    }

    fn load(self, saved: Vec<Vec<u8>>) -> Result<Self, String> {
        let [refine, parts, linear, local] = <[Vec<u8>; 4]>::try_from(saved)
            .map_err(|saved| format!("it has {} optimisers, not 4", saved.len()))?;
        let load = |one: ModuleOptimizer, bytes: Vec<u8>| {
            one.from_bytes(Bytes::from_bytes_vec(bytes)).map_err(|error| format!("{error:?}"))
        };
        Ok(Self {
            refine: load(self.refine, refine)?,
            parts: load(self.parts, parts)?,
            linear: load(self.linear, linear)?,
            local: load(self.local, local)?,
        })
    }
}

impl<'a> Run<'a> {
    pub fn new(
        plan: &'a LearnPlan,
        cache: &'a StemCache,
        labels: &'a [Vec<u32>],
        device: BurnDevice,
    ) -> Self {
        let groups = Groups::new(labels);
        let images = labels.len();
        let sample = plan.sample.unwrap_or(images.div_ceil(2)).clamp(1, images);
        let outer = match plan.images {
            Some(budget) => (budget / (plan.epochs * sample)).clamp(1, plan.outer),
            None => plan.outer,
        };
        let codes = first_codes(plan, &groups);
        let steps = outer * plan.epochs * sample.div_ceil(plan.batch);
        let classes = labels.iter().flatten().max().map_or(0, |label| *label as usize + 1);
        Self {
            plan,
            cache,
            groups,
            labels,
            classes,
            device,
            codes,
            outer,
            sample,
            steps,
            at: Position::default(),
            u: Vec::new(),
            anchors: None,
            optimisers: Optimisers::new(plan.weight_decay),
            begun: Instant::now(),
        }
    }

    /// Takes up a run where a checkpoint left it; gives the network as it was.
    pub fn resume(&mut self, net: Net, saved: Checkpoint) -> Result<Net, String> {
        let (images, bits) = (self.groups.images(), self.plan.bits);
        let sizes = saved.codes.len() == images * bits && saved.u.len() == self.sample * bits;
        if !sizes || saved.position.outer >= self.outer {
            return Err("it does not belong to these images".to_owned());
        }
        let record = ModuleRecord::from_bytes(Bytes::from_bytes_vec(saved.network));
        let net = record.and_then(|record| net.try_load_record(record));
        let net = net.map_err(|error| format!("{error:?}"))?;
        let optimisers = Optimisers::new(self.plan.weight_decay).load(saved.optimisers)?;
        self.codes = LearnedCodes::new(bits, saved.codes);
        (self.u, self.anchors) = (saved.u, saved.anchors);
        (self.at, self.optimisers) = (saved.position, optimisers);
        Ok(net)
    }

    /// Trains to the end. `checkpoint` is written after every outer iteration and when
    /// the work is stopped; `run` tells this run from others.
    ///
    /// # Errors
    /// When the loss is no number, the device or a file fails, or the work is stopped.
    pub fn train(
        &mut self,
        mut net: Net,
        checkpoint: &Path,
        run: &str,
        task: &Task<'_>,
        report: &mut dyn FnMut(&EpochReport),
    ) -> Result<Net, TrainError> {
        let before = self.at.seconds;
        let begun = Instant::now();
        self.begun = begun;
        let total = self.outer * self.plan.epochs * self.sample;
        while self.at.outer < self.outer {
            let sample = self.draw_sample(self.at.outer);
            let r = self.groups.ratio(&sample)?;
            if (self.at.epoch, self.at.batch) == (0, 0) {
                self.u = vec![0.0; sample.len() * self.plan.bits];
                let exchanges = self.exchanges(self.at.outer);
                self.anchors = if exchanges { Some(self.anchors(&net)?) } else { None };
            }
            let summary = self.codes.summary(&self.groups, r);
            while self.at.epoch < self.plan.epochs {
                let number = self.at.outer * self.plan.epochs + self.at.epoch;
                let mut order: Vec<usize> = (0..sample.len()).collect();
                order.shuffle(&mut generator(self.plan.seed, Purpose::Order, number, 0));
                let mut rate = self.rate();
                for rows in order.chunks(self.plan.batch).skip(self.at.batch) {
                    let batch = self.load(&sample, rows, number);
                    rate = self.rate();
                    let loss;
                    (net, loss) = self.step(net, batch, &summary, number, rate)?;
                    self.at.loss += loss * rows.len() as f32;
                    self.at.shown += rows.len();
                    self.at.batch += 1;
                    self.at.seconds = before + begun.elapsed().as_secs_f64();
                    if let Err(stopped) = task.step(self.at.shown, total) {
                        self.save(&net, checkpoint, run)?;
                        return Err(EncodeError::from(stopped).into());
                    }
                }
                report(&EpochReport {
                    outer: self.at.outer + 1,
                    epoch: self.at.epoch + 1,
                    loss: self.at.loss / sample.len() as f32,
                    images: self.at.shown,
                    seconds: self.at.seconds,
                    rate,
                    exchange: self.anchors.is_some(),
                });
                self.at = Position { epoch: self.at.epoch + 1, batch: 0, loss: 0.0, ..self.at };
            }
            let gamma = self.plan.method.gamma();
            self.codes.sweep(&self.groups, &sample, &self.u, r, gamma);
            self.at = Position { outer: self.at.outer + 1, epoch: 0, ..self.at };
            if self.at.outer < self.outer {
                self.save(&net, checkpoint, run)?;
            }
        }
        Ok(net)
    }

    /// The learned codes of all images as the card holds them.
    pub fn learned(&self) -> Result<String, TrainError> {
        let codes = BinaryCodes::from_signs(self.plan.bits, self.codes.signs());
        let codes = codes.map_err(|error| ModelError::from(HashError::from(error)))?;
        Ok((0..codes.len()).map(|row| codes.hex(row)).collect())
    }

    fn save(&self, net: &Net, path: &Path, run: &str) -> Result<(), TrainError> {
        let failed = |reason: String| TrainError::Checkpoint { path: path.to_owned(), reason };
        // A validation copy: running statistics that only this thread has seen so far
        // are not in a record of the network itself.
        let network = net.valid().into_record().into_bytes();
        let checkpoint = Checkpoint {
            run: run.to_owned(),
            position: self.at,
            codes: self.codes.signs().to_vec(),
            u: self.u.clone(),
            anchors: self.anchors.clone(),
            network: network.map_err(|error| failed(format!("{error:?}")))?.to_vec(),
            optimisers: self.optimisers.save().map_err(failed)?,
        };
        checkpoint.save(path).map_err(|error| failed(error.to_string()))
    }

    /// Cosine from the plan's rate to 0 over the whole run.
    fn rate(&self) -> f64 {
        let done = self.at.step as f64 / self.steps.max(1) as f64;
        self.plan.rate * 0.5 * (1.0 + (std::f64::consts::PI * done).cos())
    }

    /// Whether parts are exchanged in this outer iteration (from 0).
    fn exchanges(&self, outer: usize) -> bool {
        let LearnMethod::ExchNet(options) = self.plan.method else { return false };
        let late = (self.outer as f32 * options.exchange_share).ceil() as usize;
        late > 0 && outer + late >= self.outer
    }

    fn draw_sample(&self, outer: usize) -> Vec<usize> {
        let mut images: Vec<usize> = (0..self.groups.images()).collect();
        images.shuffle(&mut generator(self.plan.seed, Purpose::Sample, outer, 0));
        images.truncate(self.sample);
        images
    }

    fn load(&self, sample: &[usize], rows: &[usize], epoch: usize) -> Batch {
        let mut values = Vec::with_capacity(rows.len() * self.cache.len_of_map());
        let images: Vec<usize> = rows.iter().map(|row| sample[*row]).collect();
        for image in &images {
            let mut rng = generator(self.plan.seed, Purpose::View, epoch, *image);
            self.cache.read_into(rng.random_range(0..self.plan.views), *image, &mut values);
        }
        let maps = self.maps(values, images.len(), &self.device);
        Batch { maps, images, rows: rows.to_vec() }
    }

    fn maps(&self, values: Vec<f32>, count: usize, device: &BurnDevice) -> Tensor<4> {
        let side = self.cache.side();
        Tensor::from_data(TensorData::new(values, [count, STEM_CHANNELS, side, side]), device)
    }

    /// Forward, backward, update; the batch's rows of U are filled in.
    fn step(
        &mut self,
        net: Net,
        batch: Batch,
        summary: &Summary,
        epoch: usize,
        rate: f64,
    ) -> Result<(Net, f32), TrainError> {
        self.at.step += 1;
        let global = pool(net.refine.forward(batch.maps.clone()));
        let (features, extra) = match (&net.parts, self.plan.method) {
            (Some(parts), LearnMethod::ExchNet(options)) => {
                let found = parts.forward(batch.maps.clone());
                let mut extra = exchnet::diversity(&found, &options);
                let local = match &self.anchors {
                    Some(anchors) => {
                        let (kept, own) = self.exchange(&batch, anchors, options.parts, epoch);
                        let mixed = exchnet::exchange(found.local, own.clone(), kept);
                        if options.pull > 0.0 {
                            let apart = mixed.clone() - own;
                            let pull = (apart.clone() * apart).mean();
                            extra = extra + pull * options.pull;
                        }
                        mixed
                    }
                    None => found.local,
                };
                (Tensor::cat(vec![local.flatten::<2>(1, 2), global], 1), Some(extra))
            }
            _ => (global, None),
        };
        let f = net.linear.forward(features).tanh();
        let mut loss = self.asymmetric(f.clone(), &batch, summary);
        if let Some(extra) = extra {
            loss = loss + extra;
        }
        let value = read(loss.clone().inner().into_data()).first().copied().unwrap_or(f32::NAN);
        if !value.is_finite() {
            return Err(TrainError::NotFinite { loss: value, step: self.at.step, rate });
        }
        let c = self.plan.bits;
        for (row, code) in batch.rows.iter().zip(read(f.inner().into_data()).chunks_exact(c)) {
            self.u[row * c..(row + 1) * c].copy_from_slice(code);
        }
        Ok((update(net, &mut self.optimisers, loss, rate), value))
    }

    /// `(12/c)·Σ_i Σ_n (f_i·b_n − c·S_in)² / (|batch|·N)`, and for ADSH the pull to the
    /// learned codes `γ·(12/c)·‖F − B‖² / (|batch|·N)`.
    fn asymmetric(&self, f: Tensor<2>, batch: &Batch, summary: &Summary) -> Tensor<1> {
        let (c, n) = (self.plan.bits, self.groups.images() as f32);
        let count = batch.images.len();
        let groups: Vec<usize> = batch.images.iter().map(|image| self.groups.of(*image)).collect();
        let targets =
            groups.iter().flat_map(|g| summary.targets[g * c..(g + 1) * c].iter().copied());
        let constant: f32 = groups.iter().map(|g| summary.constants[*g] / count as f32).sum();
        let tensor = |values: Vec<f32>, rows: usize| -> Tensor<2> {
            Tensor::from_data(TensorData::new(values, [rows, c]), &self.device)
        };
        let gram = tensor(summary.gram.clone(), c);
        let targets = tensor(targets.collect(), count);
        let square = (f.clone().matmul(gram) * f.clone()).sum() / count as f32;
        let cross = (f.clone() * targets).sum() * (2.0 * c as f32 / count as f32);
        let mut loss = square - cross + constant;
        let gamma = self.plan.method.gamma();
        if gamma > 0.0 {
            let codes =
                batch.images.iter().flat_map(|image| self.codes.row(*image).iter().copied());
            let apart = f - tensor(codes.collect(), count);
            loss = loss + (apart.clone() * apart).sum() * (gamma / count as f32);
        }
        loss * (12.0 / (c as f32 * n))
    }

    /// Which parts are kept, `[batch, M, 1]`, and each image's anchors, `[batch, M, C']`.
    fn exchange(
        &self,
        batch: &Batch,
        anchors: &[f32],
        parts: usize,
        epoch: usize,
    ) -> (Tensor<3>, Tensor<3>) {
        let count = batch.images.len();
        let mut kept = Vec::with_capacity(count * parts);
        let mut own = Vec::with_capacity(count * parts * POOLED);
        for image in &batch.images {
            let mut rng = generator(self.plan.seed, Purpose::Exchange, epoch, *image);
            kept.extend((0..parts).map(|_| if rng.random_bool(0.5) { 1.0f32 } else { 0.0 }));
            own.extend(mean_of_rows(anchors, parts * POOLED, &self.labels[*image]));
        }
        let kept = TensorData::new(kept, [count, parts, 1]);
        let own = TensorData::new(own, [count, parts, POOLED]);
        (Tensor::from_data(kept, &self.device), Tensor::from_data(own, &self.device))
    }

    /// The mean local features of each class, `[classes, M·C']`, in evaluation mode.
    fn anchors(&self, net: &Net) -> Result<Vec<f32>, TrainError> {
        let Some(parts) = net.parts.clone().map(|parts| parts.valid().fold()) else {
            return Ok(Vec::new());
        };
        let width = self.plan.method.parts() * POOLED;
        let (mut sums, mut counts) =
            (vec![0.0f64; self.classes * width], vec![0usize; self.classes]);
        let device = self.device.clone().inner();
        let images: Vec<usize> = (0..self.groups.images()).collect();
        for images in images.chunks(64) {
            let mut values = Vec::with_capacity(images.len() * self.cache.len_of_map());
            images.iter().for_each(|image| self.cache.read_into(0, *image, &mut values));
            let local = parts.forward(self.maps(values, images.len(), &device)).local;
            let local = read(local.into_data());
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

/// One update of every part of the network: the pretrained ones at half the rate.
fn update(net: Net, optimisers: &mut Optimisers, loss: Tensor<1>, rate: f64) -> Net {
    let mut grads = loss.backward();
    let Net { refine, parts, linear } = net;
    let of = GradientsParams::from_module(&mut grads, &refine);
    let refine = optimisers.refine.step(rate / 2.0, refine, of);
    let of = GradientsParams::from_module(&mut grads, &linear);
    let linear = optimisers.linear.step(rate, linear, of);
    let parts = parts.map(|Parts { attention, local }| {
        let of = GradientsParams::from_module(&mut grads, &attention);
        let attention = optimisers.parts.step(rate, attention, of);
        let of = GradientsParams::from_module(&mut grads, &local);
        Parts { attention, local: optimisers.local.step(rate / 2.0, local, of) }
    });
    Net { refine, parts, linear }
}

fn read(data: TensorData) -> Vec<f32> {
    data.try_into_vec::<f32>().unwrap_or_default()
}
