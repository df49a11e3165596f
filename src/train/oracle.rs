/*!
A reference implementation of one training step, in double precision, with loops that follow the
papers' formulas and gradients by finite differences. It shares no code with the product.
*/

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use burn::module::{Module, ModuleVisitor, Param, ParamGroup, ParamId};
use burn::nn::{BatchNorm, Linear, LinearConfig};
use burn::tensor::{Device as BurnDevice, Tensor, TensorData};
use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;

use super::images::Begins;
use super::optimiser::{optimiser, schedule};
use super::plan::{LearnPlan, Optimiser, Schedule};
use super::step::{Input, Pass, gradients};
use crate::device::Device;
use crate::encoder::EncodeError;
use crate::method::asymmetric::Asymmetric;
use crate::method::draw::new_weights;
use crate::method::exchnet::{self, Exchange};
use crate::method::groups::Groups;
use crate::method::laps::Laps;
use crate::method::learned_codes::LearnedCodes;
use crate::method::learner::{Learner, Moment, Seen, Shown};
use crate::method::net::{Net, Output};
use crate::method::{Method, Recipe, Settings, Trained, adsh};
use crate::network::{Attention, Bottleneck, Parts, Together};
use crate::trunk::efficientnet_lite::{POOLED, Size};
use crate::trunk::{ConvNorm, Refine, efficientnet_lite, weights};

mod successors;

/// Channels of the shipped stem's map.
const STEM_CHANNELS: usize = Size::Lite0.stem_channels();

const BITS: usize = 6;
const PARTS: usize = 2;
const BATCH: usize = 3;
/// Height and width of the stem's map.
const SIDE: usize = 3;
const EPSILON: f64 = 1e-3;

/// Images of one batch: `[n, channels, side, side]`.
#[derive(Clone)]
struct Map {
    n: usize,
    channels: usize,
    side: usize,
    values: Vec<f64>,
}

impl Map {
    fn at(&self, n: usize, c: usize, y: usize, x: usize) -> f64 {
        self.values[((n * self.channels + c) * self.side + y) * self.side + x]
    }

    fn map(mut self, f: impl Fn(f64) -> f64) -> Self {
        self.values.iter_mut().for_each(|v| *v = f(*v));
        self
    }

    fn plus(mut self, other: &Self) -> Self {
        self.values.iter_mut().zip(&other.values).for_each(|(a, b)| *a += b);
        self
    }

    /// Returns the mean over positions, `[n][channels]`.
    fn pooled(&self) -> Vec<Vec<f64>> {
        let area = self.side * self.side;
        let images = self.values.chunks(self.channels * area);
        images
            .map(|i| i.chunks(area).map(|c| c.iter().sum::<f64>() / area as f64).collect())
            .collect()
    }
}

/// All weights by id.
type Weights = BTreeMap<ParamId, Vec<f64>>;

fn convolve(x: &Map, weight: &[f64], [output, input, kernel, _]: [usize; 4], stride: usize) -> Map {
    let side = x.side.div_ceil(stride);
    let before = ((side - 1) * stride + kernel).saturating_sub(x.side) / 2;
    let depthwise = input == 1 && x.channels > 1;
    let mut values = Vec::with_capacity(x.n * output * side * side);
    for n in 0..x.n {
        for o in 0..output {
            for y in 0..side {
                for xx in 0..side {
                    let mut sum = 0.0;
                    for i in 0..input {
                        let channel = if depthwise { o } else { i };
                        for ky in 0..kernel {
                            for kx in 0..kernel {
                                let (iy, ix) = (y * stride + ky, xx * stride + kx);
                                let inside = |v: usize| v >= before && v - before < x.side;
                                if inside(iy) && inside(ix) {
                                    let w = weight[((o * input + i) * kernel + ky) * kernel + kx];
                                    sum += w * x.at(n, channel, iy - before, ix - before);
                                }
                            }
                        }
                    }
                    values.push(sum);
                }
            }
        }
    }
    Map { n: x.n, channels: output, side, values }
}

/// Batch norm with the statistics of the batch.
fn normalise(x: &Map, gamma: &[f64], beta: &[f64]) -> Map {
    let mut out = x.clone();
    let area = x.side * x.side;
    for c in 0..x.channels {
        let places =
            || (0..x.n).flat_map(|n| (0..area).map(move |p| (n * x.channels + c) * area + p));
        let count = (x.n * area) as f64;
        let mean = places().map(|p| x.values[p]).sum::<f64>() / count;
        let variance = places().map(|p| (x.values[p] - mean).powi(2)).sum::<f64>() / count;
        for p in places() {
            out.values[p] = (x.values[p] - mean) / (variance + EPSILON).sqrt() * gamma[c] + beta[c];
        }
    }
    out
}

fn layer(weights: &Weights, conv: &ConvNorm, x: &Map, stride: usize) -> Map {
    let norm: &BatchNorm = conv.norm.as_ref().unwrap();
    let x = convolve(x, &weights[&conv.weight.id], conv.weight.val().dims(), stride);
    normalise(&x, &weights[&norm.gamma.id], &weights[&norm.beta.id])
}

fn relu6(v: f64) -> f64 {
    v.clamp(0.0, 6.0)
}

fn relu(v: f64) -> f64 {
    v.max(0.0)
}

/// The tests assume that the trunk is EfficientNet-Lite0.
fn lite(refine: &Refine) -> &efficientnet_lite::Refine {
    match refine {
        Refine::EfficientNetLite(refine) => refine,
        _ => panic!("another trunk"),
    }
}

fn together(attention: &Attention) -> &Together {
    match attention {
        Attention::Together(together) => together,
        _ => panic!("another attention"),
    }
}

fn refine(weights: &Weights, refine: &Refine, e: &Map) -> Map {
    rest(weights, refine, &blocks(weights, refine, e, 0..1))
}

/// Computes refine after its first block.
fn rest(weights: &Weights, refine: &Refine, x: &Map) -> Map {
    let x = blocks(weights, refine, x, 1..lite(refine).blocks.len());
    layer(weights, &lite(refine).head, &x, 1).map(relu6)
}

/// Computes some blocks of refine.
fn blocks(weights: &Weights, refine: &Refine, e: &Map, numbers: Range<usize>) -> Map {
    let mut x = e.clone();
    for number in numbers {
        let block = &lite(refine).blocks[number];
        let stride = if number == 0 { 2 } else { 1 };
        let wide = layer(weights, block.expand.as_ref().unwrap(), &x, 1).map(relu6);
        let wide = layer(weights, &block.depthwise, &wide, stride).map(relu6);
        let out = layer(weights, &block.project, &wide, 1);
        x = if stride == 1 && out.channels == x.channels { out.plus(&x) } else { out };
    }
    x
}

fn attend(weights: &Weights, attention: &Attention, e: &Map) -> Map {
    let attention = together(attention);
    let mut x = e.clone();
    for (block, narrow) in attention.blocks.iter().zip(&attention.narrow) {
        x = layer(weights, narrow, &bottleneck(weights, block, &x), 1);
    }
    x.map(relu)
}

fn bottleneck(weights: &Weights, block: &Bottleneck, x: &Map) -> Map {
    let y = layer(weights, &block.down, x, 1).map(relu);
    let y = layer(weights, &block.middle, &y, 1).map(relu);
    layer(weights, &block.up, &y, 1).plus(x).map(relu)
}

/// Multiplies a map by each attention map of its image, `[n · parts, channels, side, side]`.
fn attended(e: &Map, attention: &Map) -> Map {
    let mut values = Vec::new();
    for (n, part) in (0..e.n).flat_map(|n| (0..attention.channels).map(move |part| (n, part))) {
        for c in 0..e.channels {
            for (y, x) in (0..e.side).flat_map(|y| (0..e.side).map(move |x| (y, x))) {
                values.push(e.at(n, c, y, x) * attention.at(n, part, y, x));
            }
        }
    }
    Map { n: e.n * attention.channels, channels: e.channels, side: e.side, values }
}

fn softmax(values: &[f64]) -> Vec<f64> {
    let most = values.iter().fold(f64::MIN, |m, v| m.max(*v));
    let powers: Vec<f64> = values.iter().map(|v| (v - most).exp()).collect();
    let sum: f64 = powers.iter().sum();
    powers.into_iter().map(|p| p / sum).collect()
}

/// Returns `‖√a − √b‖₂/√2` of the softmax of two rows.
fn hellinger(a: &[f64], b: &[f64]) -> f64 {
    let (a, b) = (softmax(a), softmax(b));
    let square: f64 = a.iter().zip(&b).map(|(a, b)| (a.sqrt() - b.sqrt()).powi(2)).sum();
    (square / 2.0).sqrt()
}

/// Whether a part is kept, and the anchor that replaces it otherwise.
type Replaceable = (bool, Vec<f64>);

/// The inputs of a step besides the weights.
struct Case {
    e: Map,
    labels: Vec<usize>,
    /// Indices of the images in the batch.
    batch: Vec<usize>,
    codes: Vec<Vec<f64>>,
    ratio: f64,
    /// For each image of the batch and each part: whether it is kept, and its anchor.
    exchange: Option<Vec<[Replaceable; PARTS]>>,
    gamma: f64,
}

/// Computes the loss by its plain definition.
fn loss(weights: &Weights, net: &Net, case: &Case) -> f64 {
    let global = refine(weights, &net.refine, &case.e).pooled();
    let mut features = global;
    let mut extra = 0.0;
    if let Some(parts) = &net.parts {
        let attention = attend(weights, &parts.attention, &case.e);
        let maps = refine(weights, &parts.local, &attended(&case.e, &attention));
        let local = maps.pooled();
        for (n, features) in features.iter_mut().enumerate() {
            let spatial = |part: usize| -> Vec<f64> {
                let places = (0..maps.side).flat_map(|y| (0..maps.side).map(move |x| (y, x)));
                let mean = |y, x| {
                    (0..POOLED).map(|c| maps.at(n * PARTS + part, c, y, x)).sum::<f64>()
                        / POOLED as f64
                };
                places.map(|(y, x)| mean(y, x)).collect()
            };
            // Two parts form one pair.
            let [a, b] = [&local[n * PARTS], &local[n * PARTS + 1]];
            extra += (1.0 - hellinger(&spatial(0), &spatial(1))) / BATCH as f64;
            extra += (0.4 - hellinger(a, b)).max(0.0) / BATCH as f64;
            let mut all = Vec::new();
            for part in 0..PARTS {
                let own = local[n * PARTS + part].clone();
                all.extend(match &case.exchange {
                    Some(exchange) if !exchange[n][part].0 => exchange[n][part].1.clone(),
                    _ => own,
                });
            }
            all.append(features);
            *features = all;
        }
    }
    let bias = net.linear.bias.as_ref().unwrap();
    let (weight, bias) = (&weights[&net.linear.weight.id], &weights[&bias.id]);
    let codes: Vec<Vec<f64>> = features
        .iter()
        .map(|features| {
            let code = |k: usize| -> f64 {
                let terms = features.iter().enumerate().map(|(i, f)| f * weight[i * BITS + k]);
                (terms.sum::<f64>() + bias[k]).tanh()
            };
            (0..BITS).map(code).collect()
        })
        .collect();
    asymmetric(&codes, case) + extra
}

/// Computes the loss of the asymmetric skeleton for the codes of a batch.
fn asymmetric(codes: &[Vec<f64>], case: &Case) -> f64 {
    let count = (BATCH * case.labels.len()) as f64;
    let (c, mut sum) = (BITS as f64, 0.0);
    for (code, image) in codes.iter().zip(&case.batch) {
        for (other, target) in case.codes.iter().enumerate() {
            let same = case.labels[*image] == case.labels[other];
            let wanted = if same { 1.0 } else { -case.ratio };
            let dot: f64 = code.iter().zip(target).map(|(a, b)| a * b).sum();
            sum += (dot - c * wanted).powi(2) / count;
        }
        let own = code.iter().zip(&case.codes[*image]).map(|(a, b)| (a - b).powi(2));
        sum += case.gamma * own.sum::<f64>() / count;
    }
    12.0 / c * sum
}

/// Returns the values of all parameters.
#[derive(Default)]
struct Reader(Weights);

impl ModuleVisitor for Reader {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let values = param.val().into_data().try_into_vec::<f32>().unwrap();
        self.0.insert(param.id, values.into_iter().map(f64::from).collect());
    }
}

fn read(net: &Net) -> Weights {
    let mut reader = Reader::default();
    net.visit(&mut reader);
    reader.0
}

/// A learner with a given exchange of parts instead of a random one.
struct Given {
    skeleton: Asymmetric,
    options: exchnet::Options,
    exchange: Option<Exchange>,
}

impl Learner for Given {
    fn look(&self, net: &Net, shown: Shown<'_>, laps: &mut Laps) -> Result<Output, EncodeError> {
        exchnet::look(net, shown, self.exchange.clone(), None, &self.options, laps)
    }

    fn loss(&self, seen: Seen<'_>) -> Tensor<1> {
        self.skeleton.loss(seen)
    }
}

fn net(with_parts: bool, device: &BurnDevice) -> Net {
    let training = device.clone().autodiff();
    let refine = || weights::shipped(device).unwrap().refine.train();
    let parts = with_parts.then(|| {
        let mut parts = Parts::new(PARTS, refine(), &training);
        parts.attention = new_weights(parts.attention, 3);
        // Large enough that ReLU cuts some positions to 0.
        parts.begin_with(0.8);
        parts
    });
    let features = POOLED * if parts.is_some() { PARTS + 1 } else { 1 };
    let linear: Linear = LinearConfig::new(features, BITS).with_bias(true).init(&training);
    let linear = new_weights(linear, 3);
    Net {
        stem: None,
        refine: refine(),
        parts,
        saliency: None,
        projections: None,
        linear,
        classifiers: Vec::new(),
        mining: None,
    }
}

/// Runs one step of SGD with both implementations. Compares the change of every weight tensor along
/// a random direction.
fn compare(method: &'static Method, with_exchange: bool) {
    let mut rng = ChaCha8Rng::seed_from_u64(11);
    let device = Device::Cpu.burn();
    let training = device.clone().autodiff();
    let net = net(*method == exchnet::METHOD, &device);
    let before = read(&net);

    let labels = vec![0, 1, 2, 0, 1, 0, 2];
    let sets: Vec<Vec<u32>> = labels.iter().map(|label| vec![*label as u32]).collect();
    let (groups, batch) = (Arc::new(Groups::new(&sets)), vec![4, 0, 2]);
    let sample = [0, 1, 2, 4];
    let ratio = groups.ratio(&sample).unwrap();
    let real = |count: usize, rng: &mut ChaCha8Rng| -> Vec<f32> {
        (0..count).map(|_| rng.random_range(-1.0..1.0f32)).collect()
    };
    let codes = LearnedCodes::new(BITS, real(labels.len() * BITS, &mut rng));
    let e: Vec<f32> = real(BATCH * STEM_CHANNELS * SIDE * SIDE, &mut rng);
    let keep: Vec<f32> = vec![1.0, 0.0, 0.0, 1.0, 1.0, 1.0];
    let anchors: Vec<f32> = real(BATCH * PARTS * POOLED, &mut rng);

    let gamma = if *method == adsh::METHOD { 200.0 } else { 0.0 };
    let exchange = with_exchange.then(|| Exchange {
        keep: Tensor::from_data(TensorData::new(keep.clone(), [BATCH, PARTS, 1]), &training),
        anchors: Tensor::from_data(
            TensorData::new(anchors.clone(), [BATCH, PARTS, POOLED]),
            &training,
        ),
    });
    let values = TensorData::new(e.clone(), [BATCH, STEM_CHANNELS, SIDE, SIDE]);
    let mut skeleton = Asymmetric::new(groups, codes.clone(), gamma);
    skeleton.begin(&sample, true).unwrap();
    let options = exchnet::Options { parts: PARTS, ..exchnet::Options::default() };
    let learner = Given { skeleton, options, exchange };
    let values = Tensor::from_data(values, &training);
    let pass =
        Pass { input: Input { values, begins: Begins::Maps }, images: batch.clone(), share: 1.0 };
    let plan = LearnPlan {
        optimiser: Optimiser::Sgd,
        schedule: Schedule::Step,
        rate: 0.5,
        pretrained: 1.0,
        weight_decay: 0.01,
        ..LearnPlan::new(Recipe::Paper, method, Settings::default(), Trained::Refine, "".into())
    };
    let mut optimiser = optimiser(&plan);
    let mut schedule = schedule(&plan, 8, ParamGroup::from_ids(Vec::new())).unwrap();
    let at = Moment { progress: 0.0, epoch: 0, epochs: 1 };
    let found = gradients(&net, [pass], &learner, at, &mut Laps::off(&Device::Cpu)).unwrap();
    let trained = optimiser.step(schedule.step(), net.clone(), found.gradients);
    let after = read(&trained);

    let doubles = |values: &[f32]| values.iter().map(|v| f64::from(*v)).collect::<Vec<f64>>();
    let case = Case {
        e: Map { n: BATCH, channels: STEM_CHANNELS, side: SIDE, values: doubles(&e) },
        labels,
        batch,
        codes: codes.signs().chunks(BITS).map(doubles).collect(),
        ratio: f64::from(ratio),
        exchange: with_exchange.then(|| {
            let part = |k: usize| (keep[k] > 0.0, doubles(&anchors[k * POOLED..(k + 1) * POOLED]));
            (0..BATCH).map(|n| std::array::from_fn(|p| part(n * PARTS + p))).collect()
        }),
        gamma: f64::from(gamma),
    };
    let plain = loss(&before, &net, &case);
    assert!((plain - f64::from(found.loss)).abs() < 1e-4 * plain, "{plain} {}", found.loss);

    // Tests only some tensors, since all would take minutes. They are of different kinds, because
    // five and four have no common factor with the three of a layer.
    let directions: Vec<(ParamId, Vec<f64>)> = trainable(&net)
        .into_iter()
        .step_by(if with_exchange { 4 } else { 5 })
        .map(|id| (id, random_signs(before[&id].len(), &mut rng)))
        .collect();
    assert!(directions.len() > 9);
    check(directions, [&before, &after], 1e-3, |weights| loss(weights, &net, &case));
}

/// Compares the change of weight tensors by a step of SGD with the slope of `plain` along the
/// direction of each, to the share `tolerance` of the gradient.
fn check(
    directions: Vec<(ParamId, Vec<f64>)>,
    [before, after]: [&Weights; 2],
    tolerance: f64,
    plain: impl Fn(&Weights) -> f64 + Sync,
) {
    directions.into_par_iter().for_each(|(id, direction)| {
        let shifted = |by: f64| {
            let mut weights = before.clone();
            let values = weights.get_mut(&id).unwrap().iter_mut().zip(&direction);
            values.for_each(|(w, d)| *w += by * d);
            plain(&weights)
        };
        // Small enough that almost no ReLU switches between the two.
        let step = 1e-7;
        let slope = (shifted(step) - shifted(-step)) / (2.0 * step);
        let (old, new) = (&before[&id], &after[&id]);
        // The change in SGD's first step: −rate·(gradient + decay·weight).
        let gradient: Vec<f64> =
            old.iter().zip(new).map(|(old, new)| (old - new) / 0.5 - 0.01 * old).collect();
        let ours: f64 = gradient.iter().zip(&direction).map(|(g, d)| g * d).sum();
        let norm = gradient.iter().map(|g| g * g).sum::<f64>().sqrt();
        let apart = (slope - ours).abs();
        // A shift before a norm has no gradient and changes only by rounding. The gradients of most
        // layers are in the tens and hundreds.
        assert!(
            apart <= tolerance * norm + 1e-3 && norm > 0.0,
            "{} values: {slope} by differences, {ours} by the step ({norm})",
            old.len()
        );
    });
}

fn random_signs(count: usize, rng: &mut impl Rng) -> Vec<f64> {
    (0..count).map(|_| if rng.random_bool(0.5) { 1.0 } else { -1.0 }).collect()
}

/// Returns the ids of weights and norms, without running statistics.
fn trainable(net: &Net) -> Vec<ParamId> {
    let of_conv = |conv: &ConvNorm| {
        let norm = conv.norm.as_ref().unwrap();
        vec![conv.weight.id, norm.gamma.id, norm.beta.id]
    };
    let of_refine = |refine: &Refine| -> Vec<ParamId> {
        let refine = lite(refine);
        let blocks = refine.blocks.iter();
        let convs = blocks.flat_map(|b| b.expand.iter().chain([&b.depthwise, &b.project]));
        convs.chain([&refine.head]).flat_map(of_conv).collect()
    };
    let mut ids = vec![net.linear.weight.id, net.linear.bias.as_ref().unwrap().id];
    ids.extend(of_refine(&net.refine));
    if let Some(parts) = &net.parts {
        ids.extend(of_refine(&parts.local));
        let attention = together(&parts.attention);
        let blocks = attention.blocks.iter().flat_map(|b| [&b.down, &b.middle, &b.up]);
        ids.extend(blocks.chain(&attention.narrow).flat_map(of_conv));
    }
    ids
}

#[test]
fn a_step_of_adsh_is_the_plain_step() {
    compare(&adsh::METHOD, false);
}

#[test]
fn a_step_of_exchnet_is_the_plain_step() {
    compare(&exchnet::METHOD, false);
    compare(&exchnet::METHOD, true);
}
