/*!
Training a network by the asymmetric skeleton: ADSH, and ExchNet on top of it.

One outer iteration draws a sample of the images, trains on it for a few epochs against
the learned codes of all images, and then sweeps those codes once in closed form.
*/

use std::path::{Path, PathBuf};
use std::time::Instant;

use burn::module::Module;
use burn::nn::{Linear, LinearConfig};
use burn::optim::{AdamWConfig, GradientsParams, ModuleOptimizer};
use burn::tensor::{Device as BurnDevice, Tensor, TensorData};
use rand::RngExt;
use rand::seq::SliceRandom;
use serde::Serialize;

use super::cache::{Source, StemCache, Views};
use super::draw::{Purpose, generator};
use super::{TrainError, Unreadable};
use crate::dataset::Dataset;
use crate::device::Device;
use crate::encoder::EncodeError;
use crate::image::Limits;
use crate::method::LinearHash;
use crate::method::asymmetric::{Groups, LearnedCodes, Summary};
use crate::method::exchnet;
use crate::method::parts::{Extractor, Parts};
use crate::model::{self, Card, DataCard};
use crate::task::Task;
use crate::trunk::efficientnet_lite::{POOLED, Refine, STEM_CHANNELS, pool};
use crate::trunk::{TrunkKind, weights};

/// A method that trains a network.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum LearnMethod {
    /// Asymmetric deep supervised hashing.
    Adsh,
    /// ExchNet with its options.
    ExchNet(exchnet::Options),
}

impl LearnMethod {
    /// The name on the command line.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Adsh => "adsh",
            Self::ExchNet(_) => "exchnet",
        }
    }

    /// Weight of the pull of a sampled image's code to its learned code.
    fn gamma(&self) -> f32 {
        match self {
            Self::Adsh => 200.0,
            Self::ExchNet(_) => 0.0,
        }
    }

    fn parts(&self) -> usize {
        match self {
            Self::Adsh => 0,
            Self::ExchNet(options) => options.parts,
        }
    }
}

/// What the learned codes are at first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Init {
    /// Random signs for each image, as published.
    Random,
    /// One random code for each class.
    Class,
}

/// What to train and how.
#[derive(Debug, Clone)]
pub struct LearnPlan {
    /// The method.
    pub method: LearnMethod,
    /// Bits per code.
    pub bits: usize,
    /// Seed of every draw.
    pub seed: u64,
    /// Width and height of the trunk's input, in pixels.
    pub size: u32,
    /// Cached views of each image.
    pub views: usize,
    /// The least share of an image that a view shows.
    pub least_area: f32,
    /// First learned codes.
    pub init: Init,
    /// Outer iterations.
    pub outer: usize,
    /// Epochs over the sample in each.
    pub epochs: usize,
    /// Images in a sample; all of them if there are fewer.
    pub sample: Option<usize>,
    /// Images per step.
    pub batch: usize,
    /// Learning rate of new layers at the start; half of it for the pretrained ones.
    pub rate: f64,
    /// AdamW's weight decay.
    pub weight_decay: f32,
    /// Stop after about this many images were shown: the schedule is shortened as a whole.
    pub images: Option<usize>,
    /// A trunk file instead of the shipped weights.
    pub weights: Option<PathBuf>,
    /// Where the stem's features are kept.
    pub cache: PathBuf,
    /// Which images are refused.
    pub limits: Limits,
}

/// What one epoch gave: a line of the log.
#[derive(Debug, Clone, Serialize)]
pub struct EpochReport {
    /// Outer iteration, from 1.
    pub outer: usize,
    /// Epoch within it, from 1.
    pub epoch: usize,
    /// Mean loss.
    pub loss: f32,
    /// Images shown since the start.
    pub images: usize,
    /// Seconds since training began, the cache not included.
    pub seconds: f64,
    /// Learning rate of new layers at the end.
    pub rate: f64,
    /// Whether parts were exchanged.
    pub exchange: bool,
}

/// What was trained and written.
#[derive(Debug)]
pub struct Learned {
    /// The card in the written file.
    pub card: Card,
    /// Training images that could not be read.
    pub unreadable: Vec<Unreadable>,
}

/// What is trained: everything behind the stem.
#[derive(Module, Debug)]
struct Net {
    refine: Refine,
    parts: Option<Parts>,
    linear: Linear,
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

/// Trains `plan` on the training split and writes the model to `out`.
///
/// `report` gets every epoch; progress counts images shown.
///
/// # Errors
/// When the images, the weights, the device or the file make trouble, the loss is no
/// number any more, or the work is stopped; `out` is as before then.
pub fn learn(
    plan: &LearnPlan,
    dataset: &Dataset,
    out: &Path,
    device: &Device,
    task: &Task<'_>,
    report: &mut dyn FnMut(&EpochReport),
) -> Result<Learned, TrainError> {
    model::check_writable(out)?;
    let kind = TrunkKind::EfficientNetLite0;
    let preprocess = kind.preprocess(plan.size)?;
    let burn = device.burn();
    burn.seed(plan.seed);
    let trunk = match &plan.weights {
        Some(path) => weights::load(path, &burn)?,
        None => weights::shipped(&burn)?,
    };
    let trunk = weights::rounded(trunk, &burn)?;
    let views = Views { count: plan.views, seed: plan.seed, least_area: plan.least_area };
    let source = Source {
        stem: &trunk.stem.clone().fold(),
        weights: weights::fingerprint(&trunk)?,
        preprocess: &preprocess,
        views: &views,
        samples: &dataset.train,
        limits: &plan.limits,
        device,
    };
    let begun = Instant::now();
    let (cache, unreadable) = source.open(&plan.cache, task)?;
    let seconds_cache = begun.elapsed().as_secs_f64();
    let labels: Vec<Vec<u32>> =
        cache.kept.iter().map(|position| dataset.train[*position].labels.clone()).collect();

    let training = burn.clone().autodiff();
    let refine = trunk.refine.clone().train();
    let parts = match plan.method.parts() {
        0 => None,
        // A clone would share its weights; a second reading does not.
        parts => {
            let local = weights::rounded(trunk.clone(), &burn)?.refine.train();
            Some(Parts::new(parts, local, &training))
        }
    };
    let features = POOLED * (1 + plan.method.parts());
    let linear = LinearConfig::new(features, plan.bits).init(&training);
    let net = Net { refine, parts, linear };
    let begun = Instant::now();
    let mut run = Run::new(plan, &cache, &labels, training);
    let net = run.train(net, task, report)?;
    let seconds_train = begun.elapsed().as_secs_f64();

    let net = net.valid();
    let hash = hash_of(&net.linear)?;
    let figures = [
        ("seconds_cache", seconds_cache),
        ("seconds_train", seconds_train),
        ("images_shown", run.shown as f64),
        ("outer", run.outer as f64),
    ];
    let name = dataset.root.file_name().map(|name| name.to_string_lossy().into_owned());
    let card = Card {
        format: model::FORMAT,
        program: env!("CARGO_PKG_VERSION").to_owned(),
        method: plan.method.name().to_owned(),
        bits: plan.bits,
        trunk: kind,
        parts: plan.method.parts(),
        preprocess,
        classes: dataset.classes.clone(),
        data: DataCard {
            name: name.unwrap_or_default(),
            layout: dataset.layout.to_string(),
            images: labels.len(),
            split_seed: dataset.split_seed,
        },
        seed: plan.seed,
        figures: figures.map(|(name, value)| (name.to_owned(), value)).into_iter().collect(),
        licence: "trunk: Apache-2.0 (EfficientNet-Lite0); the rest: as its training data"
            .to_owned(),
    };
    let extractor = Extractor { stem: trunk.stem, refine: net.refine, parts: net.parts };
    model::write(out, &card, extractor, &hash)?;
    Ok(Learned { card, unreadable })
}

/// The linear layer as a hash.
fn hash_of(linear: &Linear) -> Result<LinearHash, TrainError> {
    let [features, _] = linear.weight.dims();
    let values = |data: TensorData| data.try_into_vec::<f32>().unwrap_or_default();
    let projection = values(linear.weight.val().into_data());
    let bias = linear.bias.as_ref().map(|bias| values(bias.val().into_data()));
    let hash = LinearHash::new(vec![0.0; features], projection).map_err(model::ModelError::from)?;
    Ok(match bias {
        Some(bias) => hash.with_bias(bias).map_err(model::ModelError::from)?,
        None => hash,
    })
}

/// A training run: everything but the network.
struct Run<'a> {
    plan: &'a LearnPlan,
    cache: &'a StemCache,
    groups: Groups,
    labels: &'a [Vec<u32>],
    classes: usize,
    device: BurnDevice,
    codes: LearnedCodes,
    /// Outer iterations after the budget.
    outer: usize,
    sample: usize,
    shown: usize,
    step: usize,
    steps: usize,
    begun: Instant,
}

/// The optimisers: one for each part of the network that has its own learning rate.
struct Optimisers {
    refine: ModuleOptimizer,
    parts: ModuleOptimizer,
    linear: ModuleOptimizer,
    local: ModuleOptimizer,
}

impl<'a> Run<'a> {
    fn new(
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
        let begun = Instant::now();
        let (shown, step) = (0, 0);
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
            shown,
            step,
            steps,
            begun,
        }
    }

    fn train(
        &mut self,
        mut net: Net,
        task: &Task<'_>,
        report: &mut dyn FnMut(&EpochReport),
    ) -> Result<Net, TrainError> {
        let adam = || AdamWConfig::new().with_weight_decay(self.plan.weight_decay).init();
        let mut optimisers =
            Optimisers { refine: adam(), parts: adam(), linear: adam(), local: adam() };
        let total = self.outer * self.plan.epochs * self.sample;
        for outer in 0..self.outer {
            let anchors = match self.exchanges(outer) {
                true => Some(self.anchors(&net)?),
                false => None,
            };
            let sample = self.draw_sample(outer);
            let r = self.groups.ratio(&sample)?;
            let summary = self.codes.summary(&self.groups, r);
            let mut u = vec![0.0; sample.len() * self.plan.bits];
            for epoch in 0..self.plan.epochs {
                let number = outer * self.plan.epochs + epoch;
                let mut order: Vec<usize> = (0..sample.len()).collect();
                order.shuffle(&mut generator(self.plan.seed, Purpose::Order, number, 0));
                let (mut sum, mut rate) = (0.0, 0.0);
                for rows in order.chunks(self.plan.batch) {
                    let batch = self.load(&sample, rows, number);
                    rate = self.rate();
                    let loss;
                    (net, loss) = self.step(
                        net,
                        &mut optimisers,
                        batch,
                        &summary,
                        anchors.as_deref(),
                        &mut u,
                        number,
                        rate,
                    )?;
                    sum += loss * rows.len() as f32;
                    self.shown += rows.len();
                    task.step(self.shown, total).map_err(EncodeError::from)?;
                }
                report(&EpochReport {
                    outer: outer + 1,
                    epoch: epoch + 1,
                    loss: sum / sample.len() as f32,
                    images: self.shown,
                    seconds: self.begun.elapsed().as_secs_f64(),
                    rate,
                    exchange: anchors.is_some(),
                });
            }
            self.codes.sweep(&self.groups, &sample, &u, r, self.plan.method.gamma());
        }
        Ok(net)
    }

    /// Cosine from the plan's rate to 0 over the whole run.
    fn rate(&self) -> f64 {
        let done = self.step as f64 / self.steps.max(1) as f64;
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
    #[allow(clippy::too_many_arguments)]
    fn step(
        &mut self,
        net: Net,
        optimisers: &mut Optimisers,
        batch: Batch,
        summary: &Summary,
        anchors: Option<&[f32]>,
        u: &mut [f32],
        epoch: usize,
        rate: f64,
    ) -> Result<(Net, f32), TrainError> {
        self.step += 1;
        let global = pool(net.refine.forward(batch.maps.clone()));
        let (features, extra) = match (&net.parts, self.plan.method) {
            (Some(parts), LearnMethod::ExchNet(options)) => {
                let found = parts.forward(batch.maps.clone());
                let mut extra = exchnet::diversity(&found, &options);
                let local = match anchors {
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
            return Err(TrainError::NotFinite { loss: value, step: self.step, rate });
        }
        let c = self.plan.bits;
        for (row, code) in batch.rows.iter().zip(read(f.inner().into_data()).chunks_exact(c)) {
            u[row * c..(row + 1) * c].copy_from_slice(code);
        }
        Ok((update(net, optimisers, loss, rate), value))
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
