/*!
Timing a training step and its parts.
*/

use std::time::Duration;

use image::{Rgb, RgbImage};
use rand::RngExt;

use super::build::build;
use super::plan::LearnPlan;
use super::prepared::{Prepared, open_images};
use super::run::Run;
use super::{TrainError, memory};
use crate::dataset::{Dataset, Layout};
use crate::device::Device;
use crate::method::draw::{Purpose, generator};
use crate::method::laps::Lap;
use crate::task::Task;
use crate::trunk::{Trunk, weights};

/// Number of classes of the generated images.
const CLASSES: usize = 4;
/// Width and height of the generated images, in pixels.
const SIDE: u32 = 256;

/// Times of the parts of a training step.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct StepTimes {
    /// Images in the step.
    pub images: usize,
    /// Preparing the mini-batch and moving it to the device. In a run, another thread does this
    /// during the previous step.
    pub data: Duration,
    /// The stem's forward pass; almost 0 if the stem is not trained.
    pub stem: Duration,
    /// The forward pass of the attention.
    pub attention: Duration,
    /// The forward passes of refine, including those of parts.
    pub refine: Duration,
    /// The linear layer and all terms of the loss.
    pub loss: Duration,
    /// All backward passes.
    pub backward: Duration,
    /// The optimiser's update.
    pub update: Duration,
}

impl StepTimes {
    /// Seconds for the whole step.
    pub fn total(&self) -> f64 {
        let Self { data, stem, attention, refine, loss, backward, update, .. } = self;
        [data, stem, attention, refine, loss, backward, update]
            .map(Duration::as_secs_f64)
            .iter()
            .sum()
    }
}

/// Times a training step of `plan` after `warm_up` other steps, on generated images of 256 pixels,
/// with the code of a real run.
///
/// # Errors
/// If the device fails or temporary files cannot be written.
pub fn time_training(
    plan: &LearnPlan,
    device: &Device,
    warm_up: usize,
) -> Result<StepTimes, TrainError> {
    plan.check()?;
    let folder = tempfile::tempdir().map_err(TrainError::Temporary)?;
    let images = plan.batch * plan.accumulate;
    let data = folder.path().join("images");
    for number in 0..(2 * images).max(CLASSES) {
        let class = data.join(format!("class {}", number % CLASSES));
        std::fs::create_dir_all(&class).map_err(TrainError::Temporary)?;
        let written = draw(number).save(class.join(format!("{number}.jpg")));
        written.map_err(|error| TrainError::Temporary(std::io::Error::other(error)))?;
    }
    let found = Dataset::open(&data, Some(Layout::Folder), plan.seed);
    let dataset = found.map_err(|error| TrainError::Temporary(std::io::Error::other(error)))?;
    let weights = match &plan.weights {
        // Times do not depend on the values of weights.
        None if !plan.trunk.ships() => {
            let path = folder.path().join("trunk.safetensors");
            weights::save(&Trunk::new(plan.trunk, &Device::Cpu.burn()), &path, true)?;
            Some(path)
        }
        given => given.clone(),
    };
    let plan = LearnPlan {
        weights,
        sample: Some(images),
        cache: folder.path().join("cache"),
        resume: false,
        ..plan.clone()
    };
    let prepared = Prepared::new(&plan, device)?;
    let source = prepared.source(&plan, &dataset, device);
    let (images, kept, _) = open_images(&plan, &dataset, &source, &Task::unwatched())?;
    let labels: Vec<Vec<u32>> =
        kept.iter().map(|position| dataset.train[*position].labels.clone()).collect();
    let length = plan.length(labels.len(), None);
    let net = build(&plan, &prepared.trunk, &labels, &device.burn())?;
    let mut run = Run::new(&plan, &images, &labels, length, &net, device)?;
    let (_, laps) = run.pace(net, warm_up + 1).map_err(|error| memory::advise(error, &plan))?;
    let of = |lap: Lap| laps.times[lap as usize];
    Ok(StepTimes {
        images: length.sample,
        data: of(Lap::Data),
        stem: of(Lap::Stem),
        attention: of(Lap::Attention),
        refine: of(Lap::Refine),
        loss: of(Lap::Loss),
        backward: of(Lap::Backward),
        update: of(Lap::Update),
    })
}

/// Generates an image with the detail of a photograph: smooth colours and fine noise.
fn draw(number: usize) -> RgbImage {
    let mut rng = generator(0, Purpose::View, 0, number);
    let phase = number as f32;
    RgbImage::from_fn(SIDE, SIDE, |x, y| {
        let wave = |k: f32| ((x as f32 * 0.02 * k + y as f32 * 0.03 + phase).sin() + 1.0) * 110.0;
        let noise = rng.random_range(0.0..32.0f32);
        Rgb([1.0, 1.7, 2.3].map(|k| (wave(k) + noise) as u8))
    })
}
