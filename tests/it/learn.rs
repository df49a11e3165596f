/*!
Training a network: it learns, it is the same every time, and it goes on where it was
stopped.
*/

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use crate::common::{TestEnv, png};
use barbule::dataset::{Dataset, DatasetError};
use barbule::device::{Device, DeviceChoice};
use barbule::encoder::Encoder;
use barbule::image::Limits;
use barbule::method::{
    METHODS, Method, Recipe, Settings, Trained, a2net, adsh, agmh, dahnet, dch, dpsh, dsah, dtq,
    exchnet, hashnet, orthohash, plume, semicon,
};
use barbule::model::Model;
use barbule::network::Level;
use barbule::task::Task;
use barbule::train::{
    EpochReport, Evaluation, LearnPlan, Outlook, Split, Watcher, checkpoint_path, evaluate, learn,
};
use barbule::trunk::{TrunkKind, weights};

/// Three outer iterations of two epochs on a few small pictures.
fn plan(method: &'static Method, folder: &Path) -> LearnPlan {
    // An early exchange, so that anchors are part of what is resumed.
    let given: &[(&str, &str)] =
        if *method == exchnet::METHOD { &[("parts", "2"), ("exchange", "0.7")] } else { &[] };
    let settings = method.settings(given).unwrap();
    LearnPlan::new(Recipe::Quick, method, settings, Trained::Refine, folder.join("cache")).with(
        |plan| {
            plan.bits = 16;
            plan.seed = 5;
            plan.size = 64;
            plan.least_area = 0.5;
            plan.outer = 3;
            plan.batch = 8;
        },
    )
}

/// Nobody looks at the epochs.
fn unseen(_: &EpochReport) {}

fn methods() -> [&'static Method; 2] {
    [&adsh::METHOD, &exchnet::METHOD]
}

/// The successors of ExchNet, which learn codes of all training images too.
fn successors() -> [&'static Method; 4] {
    [&a2net::METHOD, &semicon::METHOD, &agmh::METHOD, &dahnet::METHOD]
}

/// The other methods that train a network.
fn others() -> impl Iterator<Item = &'static Method> {
    METHODS.into_iter().filter(|m| m.trains_network() && !methods().contains(m))
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
    learn(plan, dataset, out, &device, task, &mut |epoch: &EpochReport| epochs.push(epoch.clone()))
        .unwrap();
    epochs
}

/// Writes two classes of two unlike looks each, which only labels join: codes that follow looks
/// alone find half of a class late.
fn two_looks(env: &TestEnv) -> Dataset {
    for (look, number) in (0..4).flat_map(|look| (0..8).map(move |number| (look, number))) {
        let class = [0, 1, 1, 0][look];
        env.write(&format!("looks/class-{class}/{look}-{number}.png"), png(look, number));
    }
    Dataset::open(&env.path("looks"), None, 1).unwrap()
}

/// Returns the figures of a model on the test images.
fn figures(model: &Model, dataset: &Dataset) -> Evaluation {
    let (limits, task) = (Limits::default(), Task::unwatched());
    evaluate(model, dataset, Split::Test, false, &limits, &task).unwrap()
}

/// Returns the mAP of random directions, with the bits and the image size of [`plan`].
fn untrained(env: &TestEnv, dataset: &Dataset) -> f64 {
    let train = ["train", "lsh", "--data", "looks", "--bits", "16", "--size", "64"];
    env.ok(&[&train[..], &["--seed", "5", "--out", "lsh.safetensors"]].concat());
    let model = Model::open(&env.path("lsh.safetensors"), &Device::Cpu).unwrap();
    figures(&model, dataset).network.known.map
}

#[test]
fn training_lowers_the_loss_and_gives_a_model() {
    let env = TestEnv::new();
    let dataset = two_looks(&env);
    let untrained = untrained(&env, &dataset);
    for method in methods() {
        let out = env.path("m.safetensors");
        let epochs = run(&plan(method, &env.path("")), &dataset, &out, &Task::unwatched());
        assert_eq!(epochs.len(), 6);
        assert!(epochs[5].loss < epochs[0].loss, "{epochs:?}");
        assert!(!checkpoint_path(&out).exists(), "a finished run leaves no checkpoint");
        let model = Model::open(&out, &Device::Cpu).unwrap();
        assert_eq!((model.bits(), model.card().method.as_str()), (16, method.name));
        let figures = figures(&model, &dataset);
        let learned = figures.learned.expect("the training images are the database");
        let map = figures.network.known.map;
        assert!(map > untrained + 0.1, "{method:?}: {map}, untrained {untrained}");
        let map = learned.map;
        assert!(map > untrained, "{method:?}: {map} of learned codes, untrained {untrained}");
        assert!(figures.network.unseen.is_none());
    }
}

#[test]
fn other_methods_lower_their_loss_and_give_models() {
    let env = TestEnv::new();
    let (_, dataset) = data(&env);
    for method in others() {
        for trained in [Trained::Refine, Trained::Head] {
            let out = env.path("m.safetensors");
            let plan = plan(method, &env.path("")).with(|plan| {
                plan.trained = trained;
            });
            let epochs = run(&plan, &dataset, &out, &Task::unwatched());
            assert_eq!(epochs.len(), 6);
            // The second epoch and the last train the same, in DSaH too; HashNet's tanh grows
            // steeper in between, so its loss is another. OrthoHash's loss falls within two epochs, and
            // then depends on the batches. Batches of DCH are drawn by class, and of
            // so few images each has another loss. The codes that successors learn change between
            // outer iterations, and the loss with them.
            let sum = |epochs: &[EpochReport]| epochs.iter().map(|epoch| epoch.loss).sum::<f32>();
            let halves = [&dch::METHOD, &orthohash::METHOD].contains(&method)
                || successors().contains(&method);
            let falls = match halves {
                true => sum(&epochs[3..]) < sum(&epochs[..3]),
                false => epochs[5].loss < epochs[1].loss,
            };
            // A²-Net has two more terms from the middle on.
            let others = [&hashnet::METHOD, &a2net::METHOD];
            assert!(falls || others.contains(&method), "{method:?} {epochs:?}");
            let model = Model::open(&out, &Device::Cpu).unwrap();
            assert_eq!(model.card().method, method.name);
            let figures = figures(&model, &dataset);
            let map = figures.network.known.map;
            // Collapsed codes would give chance, 0.25. The comparison with LSH needs more training
            // (`aviary::every_network_beats_random_directions`).
            assert!(map > 0.6, "{map} of {method:?} {trained:?}");
            assert_eq!(figures.learned.is_some(), successors().contains(&method));
            assert!(figures.network.unseen.is_none());
        }
    }
}

#[test]
fn saliency_works_on_images_too_and_steps_leave_the_other_network_alone() {
    let env = TestEnv::new();
    let (_, dataset) = data(&env);
    let tensors = |out: &Path| {
        let bytes = std::fs::read(out).unwrap();
        let tensors = safetensors::SafeTensors::deserialize(&bytes).unwrap();
        let all = tensors.tensors().into_iter();
        all.map(|(name, tensor)| (name, tensor.data().to_vec()))
            .collect::<std::collections::BTreeMap<_, _>>()
    };
    for level in [Level::Image, Level::Feature] {
        let settings = dsah::METHOD.settings(&[("saliency", &level.to_string())]).unwrap();
        let plan = plan(&dsah::METHOD, &env.path(""));
        let whole = plan.with(|plan| {
            plan.trained = Trained::Full;
            plan.settings = settings;
        });
        // One epoch: whole images. Two: hashing too. Three: attention before that.
        let after = |epochs: usize| {
            let out = env.path("m.safetensors");
            let plan = whole.clone().with(|plan| {
                plan.outer = 1;
                plan.epochs = epochs;
                plan.rate = 1e-3;
            });
            run(&plan, &dataset, &out, &Task::unwatched());
            let model = Model::open(&out, &Device::Cpu).unwrap();
            assert_eq!((model.card().saliency, model.card().format), (Some(level), 2));
            tensors(&out)
        };
        let [one, two, three] = [1, 2, 3].map(after);
        let changed = |a: &std::collections::BTreeMap<String, Vec<u8>>, saliency: bool| {
            let mut names = a.keys().filter(|name| name.contains("saliency") == saliency);
            names.any(|name| a[name] != one[name])
        };
        assert!(one.keys().any(|name| name.contains("saliency")));
        assert!(!changed(&two, true) && changed(&two, false), "hashing leaves attention alone");
        assert!(changed(&three, true), "attention learns");
    }
}

#[test]
fn a_stopped_and_resumed_run_equals_an_uninterrupted_one() {
    let env = TestEnv::new();
    let (_, dataset) = data(&env);
    let refine = methods().map(|method| plan(method, &env.path("")));
    // The other optimiser and schedule, images decoded anew, updates of two passes.
    let full = LearnPlan::new(
        Recipe::Paper,
        &adsh::METHOD,
        Settings::default(),
        Trained::Full,
        env.path("cache"),
    )
    .with(|plan| {
        plan.bits = 16;
        plan.seed = 5;
        plan.size = 64;
        plan.outer = 2;
        plan.epochs = 1;
        plan.batch = 4;
        plan.accumulate = 2;
    });
    // What alternates, and what keeps most.
    let keeps = [&dsah::METHOD, &dtq::METHOD, &plume::METHOD];
    let more = keeps.into_iter().chain(successors()).map(|method| plan(method, &env.path("")));
    // A classifier that the model file does not have.
    let classifier = plan(&exchnet::METHOD, &env.path("")).with(|plan| {
        let given = [("parts", "2"), ("classifier", "0.5")];
        plan.settings = exchnet::METHOD.settings(&given).unwrap();
    });
    // Updates that devices share: parts are exchanged, and the second device gets its network anew.
    let shared = plan(methods()[1], &env.path("")).with(|plan| {
        plan.beside = vec![Device::Cpu];
    });
    // The same for layers that exist in training only.
    let mined = plan(&agmh::METHOD, &env.path("")).with(|plan| {
        plan.beside = vec![Device::Cpu];
    });
    for mut plan in refine.into_iter().chain([full, shared, classifier, mined]).chain(more) {
        let (whole, parts) = (env.path("whole.safetensors"), env.path("parts.safetensors"));
        run(&plan, &dataset, &whole, &Task::unwatched());
        // Stops after every few steps: within epochs, between them, in every iteration.
        let after = if plan.trained == Trained::Full { 1 } else { 4 };
        let mut stops = 0;
        loop {
            let (stop, steps) = (AtomicBool::new(false), AtomicUsize::new(0));
            let count = |_, _| {
                if steps.fetch_add(1, Ordering::Relaxed) == after {
                    stop.store(true, Ordering::Relaxed);
                }
            };
            let task = Task::new(&count, &stop);
            match learn(&plan, &dataset, &parts, &Device::Cpu, &task, &mut unseen) {
                Ok(_) => break,
                Err(error) => assert!(error.to_string().contains("stopped"), "{error}"),
            }
            assert!(checkpoint_path(&parts).exists());
            plan.resume = true;
            stops += 1;
        }
        assert!(stops >= 2, "stopped {stops} times");
        let [whole, parts] = [whole, parts].map(|path| std::fs::read(path).unwrap());
        assert!(whole == parts, "{:?} differs after {stops} stops", plan.method);
    }
}

#[test]
fn what_cannot_be_resumed_is_an_error() {
    let env = TestEnv::new();
    let (_, dataset) = data(&env);
    let out = env.path("m.safetensors");
    let mut plan = plan(&adsh::METHOD, &env.path("")).with(|plan| {
        plan.resume = true;
    });
    let task = Task::unwatched();
    let error = learn(&plan, &dataset, &out, &Device::Cpu, &task, &mut unseen).unwrap_err();
    assert!(error.to_string().contains("cannot resume"), "{error}");
    std::fs::write(checkpoint_path(&out), b"BRBCKPT1 no").unwrap();
    let error = learn(&plan, &dataset, &out, &Device::Cpu, &task, &mut unseen).unwrap_err();
    assert!(error.to_string().contains("cannot resume"), "{error}");
    plan.resume = false;
    plan.rate = f64::NAN;
    let error = learn(&plan, &dataset, &out, &Device::Cpu, &task, &mut unseen).unwrap_err();
    assert!(error.to_string().contains("learning rate"), "{error}");
    assert!(!out.exists());
}

#[test]
fn training_all_of_it_changes_the_stem() {
    let env = TestEnv::new();
    let (_, dataset) = data(&env);
    for method in methods() {
        let out = env.path("m.safetensors");
        let plan = plan(method, &env.path("")).with(|plan| {
            plan.trained = Trained::Full;
        });
        let epochs = run(&plan, &dataset, &out, &Task::unwatched());
        assert!(epochs[5].loss < epochs[0].loss, "{epochs:?}");
        let stem = |bytes: &[u8]| {
            let tensors = safetensors::SafeTensors::deserialize(bytes).unwrap();
            let entry = tensors.names().into_iter().find(|n| n.contains("stem.entry.weight"));
            tensors.tensor(entry.unwrap()).unwrap().data().to_vec()
        };
        let full = stem(&std::fs::read(&out).unwrap());
        let frozen = plan.with(|plan| {
            plan.trained = Trained::Refine;
        });
        run(&frozen, &dataset, &out, &Task::unwatched());
        assert!(full != stem(&std::fs::read(&out).unwrap()));
    }
}

#[test]
fn several_passes_make_one_update() {
    let env = TestEnv::new();
    let (_, dataset) = data(&env);
    // Frozen norms do not see the batch, so that passes of any size add up to the same.
    let of = |batch, accumulate| {
        let plan = plan(&adsh::METHOD, &env.path("")).with(|plan| {
            plan.trained = Trained::Head;
        });
        let plan = plan.with(|plan| {
            plan.batch = batch;
            plan.accumulate = accumulate;
        });
        run(&plan, &dataset, &env.path("m.safetensors"), &Task::unwatched())
    };
    let (whole, halves) = (of(8, 1), of(4, 2));
    assert_eq!((whole.len(), halves.len()), (6, 6));
    for (one, two) in whole.iter().zip(halves) {
        assert!((one.loss - two.loss).abs() < 1e-4 * one.loss, "{one:?} {two:?}");
    }
}

#[test]
fn devices_share_an_update_as_passes_do() {
    let env = TestEnv::new();
    let (_, dataset) = data(&env);
    // Norms and losses see the same images, and gradients add up in the same order: the same bits.
    for method in [&adsh::METHOD, &dpsh::METHOD] {
        let of = |beside: &[Device]| {
            let plan = plan(method, &env.path("")).with(|plan| {
                plan.batch = 4;
                plan.accumulate = 2;
            });
            // Whole updates only: the devices share a smaller one too.
            let plan = plan.with(|plan| {
                plan.sample = Some(16);
                plan.beside = beside.to_vec();
            });
            let epochs = run(&plan, &dataset, &env.path("m.safetensors"), &Task::unwatched());
            epochs.iter().map(|epoch| (epoch.images, epoch.loss)).collect::<Vec<_>>()
        };
        assert_eq!(of(&[]), of(&[Device::Cpu]), "{method:?}");
    }
    let plan = plan(&adsh::METHOD, &env.path("")).with(|plan| {
        plan.batch = 2;
        plan.beside = vec![Device::Cpu; 2];
    });
    let (out, task) = (env.path("m.safetensors"), Task::unwatched());
    let error = learn(&plan, &dataset, &out, &Device::Cpu, &task, &mut unseen).unwrap_err();
    assert!(error.to_string().contains("3 devices cannot share"), "{error}");
}

#[test]
fn a_graphics_adapter_and_the_cpu_train_together() {
    if crate::common::gpu().is_none() {
        return;
    }
    let env = TestEnv::with_birds(3, 6);
    let train = |devices: &str, out: &str| {
        let mut args = vec!["train", "csq", "--data", "birds", "--bits", "16", "--size", "64"];
        args.extend(["--train", "head", "--outer", "1", "--batch", "6", "--cache", "cache"]);
        args.extend(["--device", "gpu", "--devices", devices, "--out", out]);
        let log = format!("{out}.jsonl");
        args.extend(["--log", &log]);
        env.ok(&args);
        let log = std::fs::read_to_string(env.path(&log)).unwrap();
        let lines = log.lines().map(serde_json::from_str::<serde_json::Value>);
        lines.map(|line| line.unwrap()["loss"].as_f64().unwrap()).collect::<Vec<f64>>()
    };
    let (one, two) = (train("cpu", "one.safetensors"), train("cpu,0", "two.safetensors"));
    assert_eq!((one.len(), two.len()), (2, 2));
    for (one, two) in one.iter().zip(&two) {
        assert!((one - two).abs() < 1e-3 * one, "{one} {two}");
    }
    let train = ["train", "csq", "--data", "birds", "--out", "m", "--device", "gpu", "--devices"];
    let said = env.fails(&[&train[..], &["0,0"]].concat());
    assert!(said.contains("twice"), "{said}");
}

#[test]
fn minutes_become_images_once() {
    #[derive(Default)]
    struct Seen(Vec<Outlook>, usize);
    impl Watcher for Seen {
        fn begins(&mut self, outlook: &Outlook) {
            self.0.push(outlook.clone());
        }
        fn epoch(&mut self, _: &EpochReport) {
            self.1 += 1;
        }
    }
    let env = TestEnv::new();
    let (_, dataset) = data(&env);
    let out = env.path("m.safetensors");
    let mut plan = plan(&adsh::METHOD, &env.path(""));
    // So little that only the least run is left: one iteration of two epochs.
    plan.minutes = Some(1e-9);
    let (stop, mut seen) = (AtomicBool::new(false), Seen::default());
    let stop_soon = |done, total| {
        // Past the stem's features, in the training itself.
        if total == 24 && done > 0 {
            stop.store(true, Ordering::Relaxed);
        }
    };
    let task = Task::new(&stop_soon, &stop);
    let error = learn(&plan, &dataset, &out, &Device::Cpu, &task, &mut seen).unwrap_err();
    assert!(error.to_string().contains("stopped"), "{error}");
    plan.resume = true;
    let task = Task::unwatched();
    let learned = learn(&plan, &dataset, &out, &Device::Cpu, &task, &mut seen).unwrap();
    let Seen(outlooks, epochs) = seen;
    assert_eq!(outlooks.iter().map(|o| o.images).collect::<Vec<_>>(), [24, 24]);
    assert!(outlooks[0].seconds_per_image.is_some() && outlooks[0].memory > 0);
    assert_eq!(outlooks[1].seconds_per_image, None, "the checkpoint knows the extent");
    assert_eq!((epochs, learned.images), (2, 24));
}

#[test]
fn a_head_alone_leaves_the_trunk_as_it_was() {
    let env = TestEnv::new();
    let (_, dataset) = data(&env);
    for method in methods() {
        let out = env.path("m.safetensors");
        let plan = plan(method, &env.path("")).with(|plan| {
            plan.trained = Trained::Head;
        });
        let epochs = run(&plan, &dataset, &out, &Task::unwatched());
        assert!(epochs[5].loss < epochs[0].loss, "{epochs:?}");
        // The global features are those of the shipped trunk, to the bit.
        let trunk = weights::shipped(&Device::Cpu.burn()).unwrap();
        let preprocess = TrunkKind::EfficientNetLite0.preprocess(64).unwrap();
        let shipped = Encoder::new(trunk.into(), preprocess, Device::Cpu);
        let model = Model::open(&out, &Device::Cpu).unwrap();
        let input: Vec<f32> = (0..3 * 64 * 64).map(|i| (i as f32 * 0.1).sin()).collect();
        let ours = model.encoder().features(input.clone()).unwrap();
        let theirs = shipped.features(input).unwrap();
        assert_eq!(ours[ours.len() - theirs.len()..], theirs);
    }
}

#[test]
fn explain_draws_each_part() {
    let env = TestEnv::with_birds(3, 6);
    let small = ["--size", "64", "--outer", "1", "--epochs", "1", "--parts", "2"];
    let mut train = vec!["train", "exchnet", "--data", "birds", "--bits", "16"];
    train.extend(["--out", "x.safetensors", "--cache", "cache", "--log", "log.jsonl"]);
    env.ok(&[&train[..], &small].concat());
    let log = std::fs::read_to_string(env.path("log.jsonl")).unwrap();
    let lines: Vec<serde_json::Value> =
        log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((lines.len(), &lines[0]["images"]), (1, &8.into()), "{log}");
    let look = ["explain", "birds/class-0/0.png", "--out", "look", "--model"];
    let report = env.json(&[&look[..], &["x.safetensors"]].concat());
    assert_eq!(report["files"].as_array().unwrap().len(), 3);
    let sizes = ["part-1.png", "part-2.png", "all.png"]
        .map(|name| image::image_dimensions(env.path("look").join(name)).unwrap());
    assert_eq!(sizes, [(64, 64), (64, 64), (3 * 68 - 4, 64)]);

    // Two images: as many bits differ as their codes do, and each part has its share.
    let other = "birds/class-1/3.png";
    let pair = ["explain", "birds/class-0/0.png", other, "--out", "pair", "--model"];
    let report = env.json(&[&pair[..], &["x.safetensors"]].concat());
    assert_eq!(report["pair"]["shares"].as_array().unwrap().len(), 3);
    let encode = ["encode", "birds/class-0/0.png", other, "--model", "x.safetensors"];
    let codes = env.json(&encode);
    let code = |i: usize| u32::from_str_radix(codes[i]["code"].as_str().unwrap(), 16).unwrap();
    assert_eq!(report["pair"]["distance"], (code(0) ^ code(1)).count_ones());
    let size = image::image_dimensions(env.path("pair/pair.png")).unwrap();
    assert_eq!(size, (3 * 68 - 4, 2 * 64 + 4));
    let said = env.ok(&[&pair[..], &["x.safetensors"]].concat());
    assert!(said.contains("bits would differ without it"), "{said}");
    let lsh = env.train("lsh", 12);
    let error = env.fails(&[&look[..], &[lsh.as_str()]].concat());
    assert!(error.contains("exchnet"), "{error}");
}

#[test]
fn maps_of_successors_are_explained_too() {
    let env = TestEnv::with_birds(3, 6);
    let small = ["--size", "64", "--outer", "1", "--epochs", "1"];
    for method in ["semicon", "dahnet", "a2net", "agmh"] {
        let train = ["train", method, "--data", "birds", "--bits", "16", "--cache", "cache"];
        env.ok(&[&train[..], &["--out", "x.safetensors"], &small].concat());
        let other = "birds/class-1/3.png";
        let pair = ["explain", "birds/class-0/0.png", other, "--model", "x.safetensors"];
        if method == "agmh" {
            assert!(env.fails(&[&pair[..], &["--out", "none"]].concat()).contains("no attention"));
            continue;
        }
        let report = env.json(&[&pair[..], &["--out", method]].concat());
        assert_eq!(report["pair"]["shares"].as_array().unwrap().len(), 4, "{method}");
        let size = image::image_dimensions(env.path(method).join("pair.png")).unwrap();
        assert_eq!(size, (4 * 68 - 4, 2 * 64 + 4), "three maps of {method}");
        // An index holds the codes.
        let index = ["--model", "x.safetensors", "--index", "i.db"];
        env.ok(&[&["index", "birds"], &index[..]].concat());
        let search = ["search", "birds/class-0/0.png", "-k", "20"];
        let hits = env.json(&[&search[..], &index].concat());
        assert!(hits.to_string().contains("class-0/0.png"), "{method}: {hits}");
        std::fs::remove_file(env.path("i.db")).unwrap();
    }
}

#[test]
fn classes_held_out_are_measured_apart() {
    let env = TestEnv::new();
    let (folder, mut dataset) = data(&env);
    let train = dataset.train.len();
    dataset.hold_out(0.3, 1).unwrap();
    assert_eq!(dataset.held_out.len(), 1);
    assert_eq!(dataset.train.len(), train * 3 / 4);
    let out = env.path("m.safetensors");
    let plan = plan(&adsh::METHOD, &env.path("")).with(|plan| {
        plan.outer = 1;
    });
    run(&plan, &dataset, &out, &Task::unwatched());
    let model = Model::open(&out, &Device::Cpu).unwrap();
    assert_eq!(model.card().data.held_out, [dataset.classes[dataset.held_out[0] as usize].clone()]);
    // A user measures on the whole data set.
    let whole = Dataset::open(&folder, None, 1).unwrap();
    let (limits, task) = (Limits::default(), Task::unwatched());
    let figures = evaluate(&model, &whole, Split::Test, true, &limits, &task).unwrap();
    let (known, unseen) = (figures.network.known, figures.network.unseen.unwrap());
    assert_eq!(known.queries + unseen.queries, whole.test.len());
    assert_eq!((known.database, unseen.database), (train * 3 / 4, train));
    assert!(figures.learned.is_none() && figures.float.unwrap().unseen.is_some());
    for share in [0.0, 1.0, f64::NAN] {
        let mut dataset = Dataset::open(&folder, None, 1).unwrap();
        let error = dataset.hold_out(share, 1).unwrap_err();
        assert!(matches!(error, DatasetError::HoldOut { classes: 4, .. }), "{share}: {error}");
    }
}

#[test]
fn three_steps_on_a_graphics_adapter_equal_three_on_the_cpu() {
    let Some(gpu) = crate::common::gpu() else { return };
    let env = TestEnv::new();
    let (_, dataset) = data(&env);
    for method in methods().into_iter().chain(successors()) {
        let mut found = Vec::new();
        for device in [&Device::Cpu, &gpu] {
            let out = env.path("m.safetensors");
            let plan = plan(method, &env.path("")).with(|plan| {
                plan.outer = 1;
                plan.epochs = 1;
                plan.sample = Some(12);
                plan.batch = 4;
                // AdamW's first steps are as large for a gradient of rounding noise as for
                // any other; at a low rate they do not drown what is compared.
                plan.rate = 1e-5;
                plan.cache = env.path(&format!("cache-{}", device.is_cpu()));
            });
            let mut loss = 0.0;
            let task = Task::unwatched();
            learn(&plan, &dataset, &out, device, &task, &mut |epoch: &EpochReport| {
                loss = epoch.loss
            })
            .unwrap();
            found.push(loss);
        }
        let [cpu, gpu] = found[..] else { panic!("two devices") };
        assert!((cpu - gpu).abs() < 1e-3 * cpu.abs(), "{}: {cpu} and {gpu}", method.name);
    }
}

#[test]
fn codes_and_maps_of_a_graphics_adapter_are_those_of_the_cpu() {
    let Some(gpu) = crate::common::gpu() else { return };
    let env = TestEnv::new();
    let (_, dataset) = data(&env);
    let out = env.path("m.safetensors");
    let plan = plan(methods()[1], &env.path("")).with(|plan| {
        plan.bits = 64;
        plan.outer = 1;
    });
    run(&plan, &dataset, &out, &Task::unwatched());
    let models = [&Device::Cpu, &gpu].map(|device| Model::open(&out, device).unwrap());

    let (limits, task) = (Limits::default(), Task::unwatched());
    let figures = models
        .each_ref()
        .map(|model| evaluate(model, &dataset, Split::Test, false, &limits, &task).unwrap());
    let [cpu, other] = figures.map(|figures| figures.network.known);
    assert!((cpu.map - other.map).abs() < 0.02, "{} and {}", cpu.map, other.map);

    let path = &dataset.train[0].path;
    let files: Vec<PathBuf> = dataset.train.iter().map(|s| s.path.clone()).collect();
    let codes = models.each_ref().map(|model| {
        let features = model.encoder().features_of_files(&files, &limits, &task).unwrap();
        model.codes(&features.values).unwrap()
    });
    let bits = codes[0].len() * 64;
    let words = codes[0].words().iter().zip(codes[1].words());
    let different: u32 = words.map(|(a, b)| (a ^ b).count_ones()).sum();
    assert!(different as usize * 1000 <= bits, "{different} of {bits} bits");

    let image = barbule::image::open(path, &limits).unwrap();
    let [cpu, other] = models.map(|model| model.attention(&image).unwrap());
    let (cpu, other) = (cpu.maps.concat(), other.maps.concat());
    let most = cpu.iter().fold(0f32, |m, v| m.max(v.abs()));
    let worst = cpu.iter().zip(&other).fold(0f32, |m, (a, b)| m.max((a - b).abs()));
    assert!(most > 0.0 && worst < 1e-3 * most, "off by {worst} of {most}");
}
