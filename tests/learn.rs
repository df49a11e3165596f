/*!
Training a network: it learns, it is the same every time, and it goes on where it was
stopped.
*/

mod common;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use barbule::dataset::Dataset;
use barbule::device::{Device, DeviceChoice};
use barbule::image::Limits;
use barbule::method::exchnet;
use barbule::model::Model;
use barbule::task::Task;
use barbule::train::{
    EpochReport, Init, LearnMethod, LearnPlan, Split, checkpoint_path, evaluate, learn,
};
use common::TestEnv;

/// Three outer iterations of two epochs on a few small pictures.
fn plan(method: LearnMethod, folder: &Path) -> LearnPlan {
    LearnPlan {
        method,
        bits: 16,
        seed: 5,
        size: 64,
        views: 2,
        least_area: 0.5,
        init: Init::Class,
        outer: 3,
        epochs: 2,
        sample: None,
        batch: 8,
        rate: 1e-3,
        weight_decay: 1e-4,
        images: None,
        weights: None,
        cache: folder.join("cache"),
        limits: Limits::default(),
        resume: false,
    }
}

fn methods() -> [LearnMethod; 2] {
    // An early exchange, so that anchors are part of what is resumed.
    let options = exchnet::Options { parts: 2, exchange_share: 0.7, ..Default::default() };
    [LearnMethod::Adsh, LearnMethod::ExchNet(options)]
}

fn data(env: &TestEnv) -> (PathBuf, Dataset) {
    let folder = env.path("data");
    env.write_classes("data", 4, 8);
    let dataset = Dataset::open(&folder, None, 1).unwrap();
    (folder, dataset)
}

fn run(plan: &LearnPlan, dataset: &Dataset, out: &Path, task: &Task<'_>) -> Vec<EpochReport> {
    let mut epochs = Vec::new();
    let device = Device::open(DeviceChoice::Cpu, None).unwrap();
    learn(plan, dataset, out, &device, task, &mut |epoch| epochs.push(epoch.clone())).unwrap();
    epochs
}

#[test]
fn training_lowers_the_loss_and_gives_a_model() {
    let env = TestEnv::new();
    let (_, dataset) = data(&env);
    for method in methods() {
        let out = env.path("m.safetensors");
        let epochs = run(&plan(method, &env.path("")), &dataset, &out, &Task::unwatched());
        assert_eq!(epochs.len(), 6);
        assert!(epochs[5].loss < epochs[0].loss, "{epochs:?}");
        assert!(!checkpoint_path(&out).exists(), "a finished run leaves no checkpoint");
        let model = Model::open(&out, &Device::Cpu).unwrap();
        assert_eq!((model.bits(), model.card().method.as_str()), (16, method.name()));
        let limits = Limits::default();
        let task = Task::unwatched();
        let figures = evaluate(&model, &dataset, Split::Test, false, &limits, &task).unwrap();
        assert!(figures.network.map > 0.4, "chance is 0.25: {:?}", figures.network.map);
    }
}

#[test]
fn a_stopped_and_resumed_run_equals_an_uninterrupted_one() {
    let env = TestEnv::new();
    let (_, dataset) = data(&env);
    for method in methods() {
        let (whole, parts) = (env.path("whole.safetensors"), env.path("parts.safetensors"));
        let mut plan = plan(method, &env.path(""));
        run(&plan, &dataset, &whole, &Task::unwatched());
        // Stops after every five steps: within epochs, between them, in every iteration.
        let mut stops = 0;
        loop {
            let (stop, steps) = (AtomicBool::new(false), AtomicUsize::new(0));
            let count = |_, _| {
                if steps.fetch_add(1, Ordering::Relaxed) == 4 {
                    stop.store(true, Ordering::Relaxed);
                }
            };
            let task = Task::new(&count, &stop);
            match learn(&plan, &dataset, &parts, &Device::Cpu, &task, &mut |_| ()) {
                Ok(_) => break,
                Err(error) => assert!(error.to_string().contains("stopped"), "{error}"),
            }
            assert!(checkpoint_path(&parts).exists());
            plan.resume = true;
            stops += 1;
        }
        assert!(stops >= 2, "stopped {stops} times");
        let [whole, parts] = [whole, parts].map(|path| std::fs::read(path).unwrap());
        assert!(whole == parts, "{} differs after {stops} stops", method.name());
    }
}

#[test]
fn what_cannot_be_resumed_is_an_error() {
    let env = TestEnv::new();
    let (_, dataset) = data(&env);
    let out = env.path("m.safetensors");
    let mut plan = LearnPlan { resume: true, ..plan(LearnMethod::Adsh, &env.path("")) };
    let task = Task::unwatched();
    let error = learn(&plan, &dataset, &out, &Device::Cpu, &task, &mut |_| ()).unwrap_err();
    assert!(error.to_string().contains("--resume"), "{error}");
    std::fs::write(checkpoint_path(&out), b"BRBCKPT1 no").unwrap();
    assert!(learn(&plan, &dataset, &out, &Device::Cpu, &task, &mut |_| ()).is_err());
    plan.resume = false;
    plan.rate = f64::NAN;
    let error = learn(&plan, &dataset, &out, &Device::Cpu, &task, &mut |_| ()).unwrap_err();
    assert!(error.to_string().contains("learning rate"), "{error}");
    assert!(!out.exists());
}
