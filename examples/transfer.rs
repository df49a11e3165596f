//! Measures how well hashes fitted to one kind of photos retrieve images of another kind.
//!
//! `cargo run --release --example transfer -- grocery/` uses the Grocery Store data set. It fits
//! 256-bit hashes without labels to the training images of packages and searches fruit and
//! vegetables, and the reverse. Queries come from the test split, the database is the training
//! split. The built-in general model was chosen (on training images alone) and measured this way.

use std::error::Error;
use std::path::{Path, PathBuf};

use barbule::dataset::{Dataset, Layout, Sample};
use barbule::encoder::Encoder;
use barbule::eval::{evaluate, evaluate_scores};
use barbule::hash::Features;
use barbule::method::{FitInput, Method, Settings, itq, lsh, whitened};
use barbule::trunk::{TrunkKind, weights};
use barbule::{Device, DeviceChoice, Limits, Task};

const BITS: usize = 256;
const SEEDS: u64 = 3;
static METHODS: [&Method; 3] = [&lsh::METHOD, &itq::METHOD, &whitened::METHOD];

/// Features and labels of one kind of images.
#[derive(Default)]
struct Side {
    values: Vec<f32>,
    labels: Vec<Vec<u32>>,
}

impl Side {
    fn features(&self) -> Features<'_> {
        Features { dim: TrunkKind::EfficientNetLite0.pooled(), values: &self.values }
    }

    fn new(
        encoder: &Encoder,
        samples: &[Sample],
        wanted: impl Fn(&Path) -> bool,
    ) -> Result<Self, Box<dyn Error>> {
        let samples: Vec<&Sample> = samples.iter().filter(|s| wanted(&s.path)).collect();
        let files: Vec<PathBuf> = samples.iter().map(|s| s.path.clone()).collect();
        let found = encoder.features_of_files(&files, &Limits::default(), &Task::unwatched())?;
        let labels = found.kept.iter().map(|i| samples[*i].labels.clone()).collect();
        Ok(Self { values: found.values, labels })
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let root = std::env::args().nth(1).ok_or("specify the folder of the Grocery Store data set")?;
    let dataset = Dataset::open(root.as_ref(), Some(Layout::Grocery), 1)?;
    let device = Device::open(DeviceChoice::Cpu, None)?;
    let kind = TrunkKind::EfficientNetLite0;
    let trunk = weights::shipped(&device.burn())?;
    let encoder = Encoder::new(trunk.into(), kind.preprocess(224)?, device);

    let packages = |path: &Path| path.iter().any(|part| part == "Packages");
    let side = |samples: &[Sample], wanted: bool| {
        Side::new(&encoder, samples, |path| packages(path) == wanted)
    };
    let names = ["fruit and vegetables", "packages"];
    let train = [side(&dataset.train, false)?, side(&dataset.train, true)?];
    let test = [side(&dataset.test, false)?, side(&dataset.test, true)?];

    println!("mAP, {BITS} bits, mean of seeds 1 to {SEEDS}");
    for searched in [0, 1] {
        let (database, queries) = (&train[searched], &test[searched]);
        println!("\nsearched: {}, {} images", names[searched], database.labels.len());
        let (q, d) = (queries.features(), database.features());
        let cosine =
            evaluate_scores(q, &queries.labels, d, &database.labels, &Task::unwatched())?.map;
        println!("{:<48} {cosine:.3}", format!("cosine of {} floats", kind.pooled()));
        for fitted in [1 - searched, searched] {
            for method in METHODS {
                let mut sum = 0.0;
                for seed in 1..=SEEDS {
                    let features = train[fitted].features();
                    let input = FitInput::new(features, BITS, seed);
                    let method = method.make_fitted(&Settings::default())?;
                    let hash = method.fit(input, &Task::unwatched())?;
                    let (q, d) = (hash.encode(&q)?, hash.encode(&d)?);
                    sum += evaluate(&q, &queries.labels, &d, &database.labels, &Task::unwatched())?
                        .map;
                }
                let what = format!("{method} fitted to {}", names[fitted]);
                println!("{what:<48} {:.3}", sum / SEEDS as f64);
            }
        }
    }
    Ok(())
}
