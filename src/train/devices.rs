/*!
Several devices of one machine that share every update.

Each passes its share of the images through a copy of the network, all at the same time.
Gradients come together on the first, each with the weight of its images; the first alone
makes the update, and the others get its weights before the next. All of it goes through
the host's memory, in one reading per device: Burn's collectives need a transport between
devices, which wgpu does not have (docs/SCALE.md).
*/

use std::collections::BTreeMap;
use std::ops::Range;
use std::panic::resume_unwind;
use std::thread;

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param, ParamId};
use burn::optim::{GradientsAccumulator, GradientsParams};
use burn::tensor::{Device as BurnDevice, Tensor, TensorData, Transaction};
use rayon::{ThreadPool, ThreadPoolBuilder};

use super::TrainError;
use super::net::{Lap, Laps, Net, StepResult, device_failed};
use super::plan::LearnPlan;
use crate::device::Device;

/// Tensors of a network in the host's memory.
type Values = BTreeMap<ParamId, TensorData>;

/// The devices of a run.
pub(super) struct Team {
    first: Device,
    others: Vec<Member>,
}

/// A device beside the first.
struct Member {
    device: Device,
    /// Where work for a graphics adapter is asked from. Burn keeps memory for every thread
    /// that ever asked, so it has to be the same one each time.
    thread: Option<ThreadPool>,
    /// Its copy of the network, from the first update on.
    net: Option<Net>,
}

/// What a member made of its share, in the host's memory.
#[derive(Default)]
struct Share {
    images: usize,
    loss: f32,
    codes: Vec<f32>,
    gradients: Values,
    statistics: Values,
}

impl Team {
    /// The devices of a plan: `first`, and those beside it.
    ///
    /// # Errors
    /// As [`check`], or when the system gives no threads.
    pub fn new(plan: &LearnPlan, first: &Device) -> Result<Self, TrainError> {
        check(plan, first)?;
        let others = plan.beside.iter().map(Member::new).collect::<Result<_, _>>()?;
        Ok(Self { first: first.clone(), others })
    }

    /// Loss, codes and gradients of an update of `count` images, and the network with the
    /// running statistics that came of it. `share` works on some of the images with a copy of
    /// the network on one device.
    ///
    /// A single device works as if there were no team.
    ///
    /// # Errors
    /// When a device fails.
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
                // A copy with statistics of its own: those of clones are shared.
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
        // What is no number is not worth gathering: the caller gives up.
        if found.loss.is_finite() {
            found.gradients = self.gathered(&net, found.gradients, &theirs);
        }
        let statistics = self.statistics(&net, images, &theirs)?;
        let net = net.map(&mut Load { values: &statistics, device: self.first.burn() });
        laps.end(Lap::Backward)?;
        Ok((net, found))
    }

    /// The sum of all gradients on the first device, always in the same order.
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

    /// The mean of all devices' running statistics, by their images.
    fn statistics(&self, net: &Net, images: usize, theirs: &[Share]) -> Result<Values, TrainError> {
        let own = read_out(net, What::Statistics, &self.first)?;
        let count = images + theirs.iter().map(|share| share.images).sum::<usize>();
        let failed = |error| device_failed(&self.first, format!("{error:?}"));
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

/// Makes sure that a plan's devices can work together with `first`.
///
/// # Errors
/// When there are more than an update has images, or one is named twice.
pub(super) fn check(plan: &LearnPlan, first: &Device) -> Result<(), TrainError> {
    let (devices, images) = (plan.devices(), plan.batch * plan.accumulate);
    if devices > images.max(1) {
        return Err(TrainError::TooManyDevices { devices, images });
    }
    for (number, device) in plan.beside.iter().enumerate() {
        let mut before = std::iter::once(first).chain(&plan.beside[..number]);
        // The CPU twice is of no use and does no harm.
        if !device.is_cpu() && before.any(|other| other.same(device)) {
            return Err(TrainError::SameDevice(device.to_string()));
        }
    }
    Ok(())
}

/// The ranges of `count` images in shares that are equal to within one. The first has an image
/// whenever there is one.
fn divide(count: usize, shares: usize) -> impl Iterator<Item = Range<usize>> {
    let before = move |share: usize| (count * share).div_ceil(shares);
    (0..shares).map(move |share| before(share)..before(share + 1))
}

impl Member {
    fn new(device: &Device) -> Result<Self, TrainError> {
        let thread = match device.is_cpu() {
            // The CPU backend shares its work out by itself.
            true => None,
            false => {
                let pool = ThreadPoolBuilder::new().num_threads(1).build();
                Some(pool.map_err(|error| device_failed(device, error.to_string()))?)
            }
        };
        Ok(Self { device: device.clone(), thread, net: None })
    }

    /// Takes the weights over and works on a share. `copy` becomes the network of a member that
    /// has none.
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

/// Which of a network's tensors are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum What {
    /// All of them.
    All,
    /// Those that an update changes: weights that learn, and running statistics.
    Learned,
    /// Running statistics.
    Statistics,
}

/// Some of a network's tensors, read at once.
fn read_out(net: &Net, what: What, device: &Device) -> Result<Values, TrainError> {
    // Statistics that only this thread has seen so far are not visited: a validation copy
    // takes them up, as for a checkpoint.
    drop(net.valid());
    let (field, ids, reading) = (String::new(), Vec::new(), Transaction::default());
    let mut reader = Reader { what, field, ids, reading };
    net.visit(&mut reader);
    read(reader.ids, reader.reading, device)
}

fn read(ids: Vec<ParamId>, reading: Transaction, device: &Device) -> Result<Values, TrainError> {
    let failed = |error| device_failed(device, format!("{error:?}"));
    Ok(ids.into_iter().zip(reading.try_execute().map_err(failed)?).collect())
}

/// Registers tensors of a network for reading.
struct Reader {
    what: What,
    /// The field that is visited.
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

/// Puts gradients on a device.
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

/// Puts tensors of a network on a device; those without a value stay as they are.
struct Load<'a> {
    values: &'a Values,
    device: BurnDevice,
}

impl ModuleMapper for Load<'_> {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let Some(data) = self.values.get(&param.id) else { return param };
        param.map(|old| {
            let new = Tensor::from_data(data.clone(), &self.device);
            match old.is_autodiff() {
                true => Tensor::from_inner(new).set_require_grad(old.is_require_grad()),
                false => new,
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::DeviceChoice;
    use crate::method::asymmetric::{Asymmetric, Groups, LearnedCodes};
    use crate::method::learner::{Learner, Moment};
    use crate::train::draw::new_weights;
    use crate::train::images::Begins;
    use crate::train::net::{Input, Pass, gradients};
    use crate::train::optimiser::{optimiser, schedule};
    use crate::train::plan::{LearnMethod, Optimiser, Recipe, Schedule, Trained};
    use crate::trunk::efficientnet_lite::{POOLED, STEM_CHANNELS};
    use crate::trunk::{Trunk, weights};
    use burn::module::{Flag, ParamGroup};
    use burn::nn::{Linear, LinearConfig};
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;
    use std::sync::{Arc, Mutex};

    const BITS: usize = 6;
    const IMAGES: usize = 5;
    /// Numbers in the stem's map of an image, 2 by 2.
    const MAP: usize = STEM_CHANNELS * 4;

    /// Norms as they are in evaluation, while weights learn.
    struct Still;

    impl ModuleMapper for Still {
        fn map_flag(&mut self, flag: Param<Flag>) -> Param<Flag> {
            flag.with_value(false)
        }
    }

    fn plan(beside: &[Device]) -> LearnPlan {
        LearnPlan {
            optimiser: Optimiser::Sgd,
            schedule: Schedule::Step,
            rate: 0.1,
            batch: IMAGES,
            beside: beside.to_vec(),
            ..LearnPlan::new(Recipe::Paper, LearnMethod::Adsh, Trained::Refine, "".into())
        }
    }

    fn network() -> Net {
        let device = Device::Cpu.burn();
        let refine = Trunk::from(weights::shipped(&device).unwrap()).refine.train();
        let linear: Linear =
            LinearConfig::new(POOLED, BITS).with_bias(true).init(&device.autodiff());
        let linear = new_weights(linear, 3);
        Net { stem: None, refine, parts: None, saliency: None, linear }
    }

    /// A network of its own with the same values and ids.
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

    /// What a team made of some updates.
    struct Done {
        net: Net,
        losses: Vec<f32>,
        codes: Vec<f32>,
        /// What each device began each update with.
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
                input: Input { values, begins: Begins::Maps, exchange: None },
                images: images[rows.clone()].to_vec(),
                share: rows.len() as f32 / IMAGES as f32,
            };
            let at = Moment { progress: 0.0, epoch: 0, epochs: 1 };
            gradients(net, [pass], (plan, &learner, at), laps)
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

    /// The greatest difference of any two values.
    fn difference(a: &Values, b: &Values) -> f32 {
        assert!(a.keys().eq(b.keys()) && !a.is_empty());
        let pairs = a.iter().flat_map(|(id, a)| floats(a).into_iter().zip(floats(&b[id])));
        pairs.fold(0.0, |most, (a, b)| most.max((a - b).abs()))
    }

    /// One update by all of `devices` against one by the CPU, norms in evaluation mode; the
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

    /// What each device begins the second update with is what the first one made of the first,
    /// to the bit.
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
        // A rate of 0 is refused, so what is compared is what `together` gives.
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
}
