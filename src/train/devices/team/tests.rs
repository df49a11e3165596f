/*!
Tests: several devices that share an update must match a single device.
*/

use super::*;
use crate::device::DeviceChoice;
use crate::method::asymmetric::Asymmetric;
use crate::method::draw::new_weights;
use crate::method::groups::Groups;
use crate::method::learned_codes::LearnedCodes;
use crate::method::learner::{Learner, Moment};
use crate::method::{Recipe, Settings, Trained, adsh};
use crate::train::images::Begins;
use crate::train::optimiser::{optimiser, schedule};
use crate::train::plan::{Optimiser, Schedule};
use crate::train::step::{Input, Pass, gradients};
use crate::trunk::efficientnet_lite::{POOLED, Size};
use crate::trunk::weights;
use burn::module::{Flag, ParamGroup};
use burn::nn::{Linear, LinearConfig};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::sync::{Arc, Mutex};

const BITS: usize = 6;
const IMAGES: usize = 5;
/// Channels of the shipped stem's map.
const STEM_CHANNELS: usize = Size::Lite0.stem_channels();
/// Numbers in the stem's map of an image, 2 by 2.
const MAP: usize = STEM_CHANNELS * 4;

/// Uses norms in evaluation mode while weights are trained.
struct Still;

impl ModuleMapper for Still {
    fn map_flag(&mut self, flag: Param<Flag>) -> Param<Flag> {
        flag.with_value(false)
    }
}

fn plan(beside: &[Device]) -> LearnPlan {
    let (settings, trained) = (Settings::default(), Trained::Refine);
    LearnPlan {
        optimiser: Optimiser::Sgd,
        schedule: Schedule::Step,
        rate: 0.1,
        batch: IMAGES,
        beside: beside.to_vec(),
        ..LearnPlan::new(Recipe::Paper, &adsh::METHOD, settings, trained, "".into())
    }
}

fn network() -> Net {
    let device = Device::Cpu.burn();
    let refine = weights::shipped(&device).unwrap().refine.train();
    let linear: Linear = LinearConfig::new(POOLED, BITS).with_bias(true).init(&device.autodiff());
    let linear = new_weights(linear, 3);
    Net {
        stem: None,
        refine,
        parts: None,
        saliency: None,
        projections: None,
        linear,
        classifiers: Vec::new(),
        mining: None,
    }
}

/// Creates a separate network with the same values and ids.
fn copy(net: &Net, device: &Device) -> Net {
    net.valid().to_device(&device.burn()).train()
}

fn learner() -> Asymmetric {
    let sets: Vec<Vec<u32>> = [0, 1, 2, 0, 1, 0, 2].iter().map(|label| vec![*label]).collect();
    let mut rng = ChaCha8Rng::seed_from_u64(5);
    let codes = (0..sets.len() * BITS).map(|_| rng.random_range(-1.0..1.0f32)).collect();
    let codes = LearnedCodes::new(BITS, codes);
    let mut learner = Asymmetric::new(Arc::new(Groups::new(&sets)), codes, 200.0);
    learner.begin(&[0, 1, 2, 4, 5], true).unwrap();
    learner
}

/// The results of a team's updates.
struct Done {
    net: Net,
    losses: Vec<f32>,
    codes: Vec<f32>,
    /// The weights of each device at the start of each update.
    begun: Vec<Values>,
}

fn updates(team: &mut Team, plan: &LearnPlan, mut net: Net, count: usize) -> Done {
    let learner = learner();
    let mut optimiser = optimiser(plan);
    let mut rates = schedule(plan, 8, ParamGroup::from_ids(Vec::new())).unwrap();
    let images = [4, 0, 2, 5, 1];
    let mut rng = ChaCha8Rng::seed_from_u64(9);
    let maps: Vec<f32> = (0..IMAGES * MAP).map(|_| rng.random_range(-1.0..1.0)).collect();
    let begun = Mutex::new(Vec::new());
    let share = |net: &Net, device: &Device, rows: Range<usize>, laps: &mut Laps| {
        begun.lock().unwrap().push(read_out(net, What::All, device)?);
        let values = maps[rows.start * MAP..rows.end * MAP].to_vec();
        let values = TensorData::new(values, [rows.len(), STEM_CHANNELS, 2, 2]);
        let values = Tensor::from_data(values, &device.burn().autodiff());
        let pass = Pass {
            input: Input { values, begins: Begins::Maps },
            images: images[rows.clone()].to_vec(),
            share: rows.len() as f32 / IMAGES as f32,
        };
        let at = Moment { progress: 0.0, epoch: 0, epochs: 1 };
        gradients(net, [pass], &learner, at, laps)
    };
    let (mut losses, mut codes) = (Vec::new(), Vec::new());
    for _ in 0..count {
        let mut laps = Laps::off(&team.first);
        let (gathered, found) = team.together(net, IMAGES, &mut laps, share).unwrap();
        losses.push(found.loss);
        codes.extend(found.codes);
        net = optimiser.step(rates.step(), gathered, found.gradients);
    }
    Done { net, losses, codes, begun: begun.into_inner().unwrap() }
}

fn floats(data: &TensorData) -> Vec<f32> {
    data.clone().try_into_vec().unwrap()
}

/// Returns the greatest difference of any two values.
fn difference(a: &Values, b: &Values) -> f32 {
    assert!(a.keys().eq(b.keys()) && !a.is_empty());
    let pairs = a.iter().flat_map(|(id, a)| floats(a).into_iter().zip(floats(&b[id])));
    pairs.fold(0.0, |most, (a, b)| most.max((a - b).abs()))
}

/// Runs an update on all of `devices` and on the CPU, with norms in evaluation mode. Returns the
/// greatest difference of any weight.
fn one_update(devices: &[Device]) -> f32 {
    let net = network().map(&mut Still);
    let (first, beside) = devices.split_first().unwrap();
    let [alone, plan] = [plan(&[]), plan(beside)];
    let start = read_out(&net, What::All, &Device::Cpu).unwrap();
    let mut single = Team::new(&alone, &Device::Cpu).unwrap();
    let single = updates(&mut single, &alone, copy(&net, &Device::Cpu), 1);
    let mut team = Team::new(&plan, first).unwrap();
    let shared = updates(&mut team, &plan, copy(&net, first), 1);
    assert!((single.losses[0] - shared.losses[0]).abs() < 1e-4 * single.losses[0].abs());
    assert_eq!(single.codes.len(), shared.codes.len());
    for (a, b) in single.codes.iter().zip(&shared.codes) {
        assert!((a - b).abs() < 1e-4, "codes come in the order of the images: {a} {b}");
    }
    let single = read_out(&single.net, What::All, &Device::Cpu).unwrap();
    let found = read_out(&shared.net, What::All, first).unwrap();
    let moved = difference(&start, &single);
    assert!(moved > 1e-2, "an update that changes nothing shows nothing: {moved}");
    difference(&single, &found)
}

/// Each device starts the second update with exactly the weights of the first device after the
/// first update.
fn copies_follow(devices: &[Device]) {
    let (first, beside) = devices.split_first().unwrap();
    let plan = plan(beside);
    let mut team = Team::new(&plan, first).unwrap();
    let Done { begun, net, .. } = updates(&mut team, &plan, copy(&network(), first), 2);
    let (one, two) = begun.split_at(devices.len());
    assert_eq!(two.len(), devices.len());
    assert!(difference(&one[0], &two[0]) > 1e-3, "the first update changed something");
    for of in [one, two] {
        assert!(of[1..].iter().all(|other| difference(&of[0], other) == 0.0));
    }
    assert!(difference(&read_out(&net, What::All, first).unwrap(), &two[0]) > 1e-3);
}

#[test]
fn equal_and_unequal_shares_make_the_update_of_one_device() {
    for devices in 2..=IMAGES {
        let found = one_update(&vec![Device::Cpu; devices]);
        println!("{devices} copies on the CPU: off by {found:.1e}");
        assert!(found < 1e-4, "{devices} devices: off by {found}");
    }
}

#[test]
fn copies_get_the_weights_and_statistics_of_the_first() {
    copies_follow(&vec![Device::Cpu; 3]);
}

#[test]
fn a_graphics_adapter_and_the_cpu_make_the_update_of_one_device() {
    let gpu = match Device::open(DeviceChoice::Gpu, None) {
        Ok(gpu) => gpu,
        Err(error) if std::env::var("BARBULE_REQUIRE_GPU").is_ok_and(|v| v == "1") => {
            panic!("BARBULE_REQUIRE_GPU=1, but {error}")
        }
        Err(error) => return eprintln!("skipped: {error}"),
    };
    for devices in [[Device::Cpu, gpu.clone()], [gpu.clone(), Device::Cpu]] {
        let found = one_update(&devices);
        println!("{} and {}: off by {found:.1e}", devices[0], devices[1]);
        assert!(found < 1e-4, "{} and {}: off by {found}", devices[0], devices[1]);
    }
    copies_follow(&[Device::Cpu, gpu]);
}

#[test]
fn running_statistics_are_the_mean_of_all_devices_by_images() {
    let (net, cpu) = (network(), Device::Cpu);
    let plan = plan(std::slice::from_ref(&cpu));
    let mut team = Team::new(&plan, &cpu).unwrap();
    let statistics = |net: &Net| read_out(net, What::Statistics, &cpu).unwrap();
    // A rate of 0 is not allowed, so the test compares the results of `together`.
    let of = |team: &mut Team, rows: Range<usize>| {
        let mut rng = ChaCha8Rng::seed_from_u64(9);
        let maps: Vec<f32> = (0..IMAGES * MAP).map(|_| rng.random_range(-1.0..1.0)).collect();
        let share = |net: &Net, device: &Device, some: Range<usize>, _: &mut Laps| {
            let some = rows.start + some.start..rows.start + some.end;
            let values = maps[some.start * MAP..some.end * MAP].to_vec();
            let values = TensorData::new(values, [some.len(), STEM_CHANNELS, 2, 2]);
            let maps = Tensor::from_data(values, &device.burn().autodiff());
            let _ = net.refine.forward(maps);
            Ok(StepResult { loss: 0.0, codes: Vec::new(), gradients: GradientsParams::new() })
        };
        let laps = &mut Laps::off(&cpu);
        let (net, _) = team.together(copy(&net, &cpu), rows.len(), laps, share).unwrap();
        statistics(&net)
    };
    let mut alone = Team::new(&self::plan(&[]), &cpu).unwrap();
    let [three, two] = [of(&mut alone, 0..3), of(&mut alone, 3..5)];
    let both = of(&mut team, 0..5);
    assert!(difference(&two, &three) > 1e-2 && difference(&two, &statistics(&net)) > 1e-2);
    for (id, both) in &both {
        let parts = floats(&two[id]).into_iter().zip(floats(&three[id]));
        for (mean, (two, three)) in floats(both).into_iter().zip(parts) {
            let wanted = (2.0 * two + 3.0 * three) / 5.0;
            assert!((mean - wanted).abs() <= 1e-5 * wanted.abs().max(1.0), "{mean} {wanted}");
        }
    }
}

#[test]
fn devices_without_images_wait() {
    let (net, plan) = (network().map(&mut Still), plan(&[]));
    let of = |devices: usize| {
        let others = (1..devices).map(|_| Member::new(&Device::Cpu).unwrap()).collect();
        let mut team = Team { first: Device::Cpu, others };
        updates(&mut team, &plan, copy(&net, &Device::Cpu), 2)
    };
    let (single, many) = (of(1), of(7));
    assert_eq!((many.codes.len(), many.begun.len()), (2 * IMAGES * BITS, 2 * IMAGES));
    for (a, b) in many.losses.iter().zip(&single.losses) {
        assert!((a - b).abs() < 1e-4 * b.abs(), "{a} {b}");
    }
}

#[test]
fn shares_are_equal_and_lose_nothing() {
    for (count, shares) in [(5, 2), (1, 3), (32, 3), (0, 2), (7, 7)] {
        let ranges: Vec<_> = divide(count, shares).collect();
        assert_eq!((ranges.len(), ranges[0].start, ranges[shares - 1].end), (shares, 0, count));
        assert!(!ranges[0].is_empty() || count == 0);
        assert!(ranges.windows(2).all(|pair| pair[0].end == pair[1].start));
        let sizes = || ranges.iter().map(Range::len);
        assert!(sizes().max().unwrap() - sizes().min().unwrap() <= 1);
    }
}

#[test]
fn what_cannot_work_together_is_said() {
    let many = plan(&vec![Device::Cpu; IMAGES]);
    let error = Team::new(&many, &Device::Cpu).err().unwrap().to_string();
    assert!(error.contains("6 devices cannot share an update of 5 images"), "{error}");
    let more = LearnPlan { accumulate: 2, ..many };
    assert!(Team::new(&more, &Device::Cpu).is_ok());
    let Ok(gpu) = Device::open(DeviceChoice::Gpu, None) else { return };
    let error = Team::new(&plan(std::slice::from_ref(&gpu)), &gpu).err().unwrap().to_string();
    assert!(error.contains("is named twice"), "{error}");
}
