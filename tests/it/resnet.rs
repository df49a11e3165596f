/*!
ResNet-18 and ResNet-50 match PyTorch, and everything that uses a trunk works with them.

`golden/resnet.safetensors` contains PyTorch's results with weights by a formula
(`common/published.rs`).
*/
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::common::TestEnv;
use crate::common::published::{error, golden, input, read, values};
use barbule::dataset::Dataset;
use barbule::device::Device;
use barbule::method::{Recipe, Trained, adsh, exchnet};
use barbule::model::Model;
use barbule::task::Task;
use barbule::train::{EpochReport, LearnPlan, learn};
use barbule::trunk::{Import, Trunk, TrunkKind, WeightsError, import_weights, weights};
use safetensors::Dtype;
use safetensors::tensor::TensorView;

const GOLDEN: &[u8] = include_bytes!("../golden/resnet.safetensors");
const SIZE: usize = 65;

/// Returns names and shapes of torchvision's state dictionary, without its counters. ResNet-34 is a
/// ResNet-18 with more blocks.
fn published(blocks: [usize; 4], bottleneck: bool) -> Vec<(String, Vec<usize>)> {
    let mut all = Vec::new();
    let mut layer = |conv: String, norm: String, shape: [usize; 4]| {
        all.push((format!("{conv}.weight"), shape.to_vec()));
        for name in ["weight", "bias", "running_mean", "running_var"] {
            all.push((format!("{norm}.{name}"), vec![shape[0]]));
        }
    };
    layer("conv1".into(), "bn1".into(), [64, 3, 7, 7]);
    let mut input = 64;
    for (number, (count, width)) in (1..).zip(blocks.into_iter().zip([64, 128, 256, 512])) {
        for block in 0..count {
            let name = format!("layer{number}.{block}");
            let shapes = if bottleneck {
                vec![[width, input, 1, 1], [width, width, 3, 3], [4 * width, width, 1, 1]]
            } else {
                vec![[width, input, 3, 3], [width, width, 3, 3]]
            };
            let output = shapes[shapes.len() - 1][0];
            for (n, shape) in (1..).zip(shapes) {
                layer(format!("{name}.conv{n}"), format!("{name}.bn{n}"), shape);
            }
            if block == 0 && (number > 1 || input != output) {
                let parts = [0, 1].map(|part| format!("{name}.downsample.{part}"));
                let [conv, norm] = parts;
                layer(conv, norm, [output, input, 1, 1]);
            }
            input = output;
        }
    }
    all.push(("fc.weight".into(), vec![1000, input]));
    all.push(("fc.bias".into(), vec![1000]));
    all
}

/// Writes a file in torchvision's layout, with weights by the formula.
fn write_published(path: &Path, tensors: &[(String, Vec<usize>)]) {
    let mut data = BTreeMap::new();
    for (name, shape) in tensors {
        let range = match shape[..] {
            _ if name.starts_with("fc.") => [-0.1, 0.1],
            [_, input, height, width] => {
                let bound = (6.0 / (input * height * width) as f64).sqrt();
                [-bound, bound]
            }
            _ if name.ends_with("weight") || name.ends_with("running_var") => [0.5, 1.5],
            _ => [-0.3, 0.3],
        };
        let values = values(name, shape.iter().product(), range);
        let bytes: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        data.insert(name.clone(), (Dtype::F32, shape.clone(), bytes));
        if let Some(norm) = name.strip_suffix(".running_var") {
            let counter = (Dtype::I64, Vec::new(), 17i64.to_le_bytes().to_vec());
            data.insert(format!("{norm}.num_batches_tracked"), counter);
        }
    }
    let views = data.iter().map(|(name, (dtype, shape, bytes))| {
        (name, TensorView::new(*dtype, shape.clone(), bytes).unwrap())
    });
    safetensors::serialize_to_file(views, None, path).unwrap();
}

fn of_kind(kind: TrunkKind) -> Vec<(String, Vec<usize>)> {
    match kind {
        TrunkKind::ResNet18 => published([2, 2, 2, 2], false),
        TrunkKind::ResNet50 => published([3, 4, 6, 3], true),
        other => panic!("{other} is not published in this form"),
    }
}

/// Imports nothing but this trunk.
fn only(kind: Option<TrunkKind>) -> Import {
    Import::default().with(|import| import.trunk = kind)
}

/// Returns the network with weights by the formula.
fn trunk(env: &TestEnv, kind: TrunkKind, device: &Device) -> Trunk {
    let path = env.path("published.safetensors");
    write_published(&path, &of_kind(kind));
    import_weights(&path, &only(Some(kind)), &device.burn()).unwrap()
}

/// Writes ResNet-18 with weights by the formula in Barbule's format.
fn resnet18_file(env: &TestEnv) -> PathBuf {
    let path = env.path("resnet18.safetensors");
    weights::save(&trunk(env, TrunkKind::ResNet18, &Device::Cpu), &path, true).unwrap();
    path
}

/// Returns the errors of the stem's map (every 64th channel) and of the pooled features.
fn errors(trunk: &Trunk, device: &Device) -> [f32; 2] {
    let map = trunk.stem.forward(input(2, SIZE, device));
    let pooled = trunk.refine.pooled(map.clone());
    let [batch, channels, height, width] = map.dims();
    let area = height * width;
    let map = read(map);
    let some: Vec<f32> =
        (0..batch * channels / 64).flat_map(|n| map[n * 64 * area..][..area].to_vec()).collect();
    let (shape, expected) = golden(GOLDEN, &format!("{}.stem", trunk.kind()));
    assert_eq!(shape, [batch, channels / 64, height, width]);
    let stem = error(&some, &expected);
    let (shape, expected) = golden(GOLDEN, &format!("{}.pooled", trunk.kind()));
    assert_eq!(pooled.dims().as_slice(), shape);
    [stem, error(&read(pooled), &expected)]
}

#[test]
fn both_networks_give_what_pytorch_gives() {
    let env = TestEnv::new();
    for kind in [TrunkKind::ResNet18, TrunkKind::ResNet50] {
        for device in [Some(Device::Cpu), crate::common::gpu()].into_iter().flatten() {
            let plain = trunk(&env, kind, &device);
            for (form, trunk) in [("folded", plain.clone().fold()), ("as trained", plain)] {
                let [stem, pooled] = errors(&trunk, &device);
                println!("{kind}, {form}, {device}: stem {stem:.2e}, pooled {pooled:.2e}");
                assert!(stem < 1e-4 && pooled < 1e-4, "{form}, {device}: {stem}, {pooled}");
            }
        }
    }
}

#[test]
fn a_file_comes_back_as_it_was_written() {
    let env = TestEnv::new();
    let device = Device::Cpu.burn();
    let trunk = trunk(&env, TrunkKind::ResNet18, &Device::Cpu);
    let file = env.path("r.safetensors");
    weights::save(&trunk, &file, false).unwrap();
    let again = weights::load(&file, TrunkKind::ResNet18, &device).unwrap();
    let x = input(1, 64, &Device::Cpu);
    assert_eq!(read(trunk.pooled(x.clone())), read(again.pooled(x)));
    // Training uses weights rounded to half precision, as stored in a model's file.
    weights::save(&trunk, &file, true).unwrap();
    let halves = weights::load(&file, TrunkKind::ResNet18, &device).unwrap();
    let hash = |trunk: &Trunk| weights::fingerprint(trunk).unwrap();
    assert_eq!(hash(&halves), hash(&weights::rounded(trunk, &device).unwrap()));
    assert!(hash(&halves) != hash(&Trunk::new(TrunkKind::ResNet18, &device)));

    let error = weights::load(&file, TrunkKind::ResNet50, &device).unwrap_err();
    assert!(matches!(error, WeightsError::OtherTrunk { .. }), "{error}");
    assert!(error.to_string().contains("choose the trunk resnet18"), "{error}");
    let error = import_weights(&file, &Import::default(), &device).unwrap_err().to_string();
    assert!(error.contains("already"), "{error}");
}

#[test]
fn files_of_other_networks_are_refused() {
    let env = TestEnv::new();
    let path = env.path("w.safetensors");
    let import = |kind: Option<TrunkKind>, tensors: &[(String, Vec<usize>)]| {
        write_published(&path, tensors);
        import_weights(&path, &only(kind), &Device::Cpu.burn()).map(drop).unwrap_err().to_string()
    };
    // ResNet-34 contains all tensors of ResNet-18 with the right shapes.
    let resnet34 = published([3, 4, 6, 3], false);
    assert!(import(None, &resnet34).contains("unexpected tensor"));
    let resnet18 = of_kind(TrunkKind::ResNet18);
    let error = import(Some(TrunkKind::ResNet50), &resnet18);
    assert!(error.contains("holds the weights of resnet18, not of resnet50"), "{error}");
    let less: Vec<_> = resnet18.iter().filter(|(n, _)| n != "layer3.1.bn2.bias").cloned().collect();
    let error = import(None, &less);
    assert!(error.contains("missing tensor stem.layer3.1.convs.1.norm.beta"), "{error}");
    let mut wide = resnet18.clone();
    let conv = wide.iter_mut().find(|(name, _)| name == "layer4.0.conv2.weight").unwrap();
    conv.1 = vec![512, 512, 1, 1];
    let error = import(None, &wide);
    assert!(error.contains("refine.layer4.0.convs.1.weight has the shape [512, 512, 1, 1]"));
    let nothing = [("a.weight".to_owned(), vec![2])];
    assert!(import(None, &nothing).contains("supported are EfficientNet-Lite, ResNet-18"));
}

#[test]
fn pytorch_files_are_read_by_their_content() {
    let env = TestEnv::new();
    let fixtures = crate::common::root().join("tests/fixtures");
    for name in ["tensors.pth", "tensors-old.pth"] {
        // The error shows that the file was read completely; it contains no network.
        let file = fixtures.join(name);
        let error =
            import_weights(&file, &Import::default(), &Device::Cpu.burn()).unwrap_err().to_string();
        assert!(error.contains("tensor names match no known network"), "{error}");
        let whole = std::fs::read(&file).unwrap();
        let cut = env.write("cut.pth", &whole[..whole.len() / 2]);
        let error =
            import_weights(&cut, &Import::default(), &Device::Cpu.burn()).unwrap_err().to_string();
        assert!(error.contains("cut off"), "{error}");
    }
}

#[test]
fn models_on_a_resnet_train_index_and_search() {
    let env = TestEnv::with_birds(3, 6);
    let file = resnet18_file(&env);
    let file = file.to_str().unwrap();
    let on = ["--data", "birds", "--bits", "16", "--size", "64", "--trunk", "resnet18"];
    for (method, options) in [("adsh", &["--outer", "2", "--cache", "cache"][..]), ("lda-itq", &[])]
    {
        let mut train = vec!["train", method, "--out", "m.safetensors"];
        train.extend(on);
        let error = env.fails(&[&train[..], options].concat());
        assert!(error.contains("resnet18 do not ship") && error.contains("--weights"), "{error}");
        let other = ["train", method, "--data", "birds", "--out", "m", "--weights", file];
        let error = env.fails(&[&other[..], options].concat());
        assert!(error.contains("(--trunk resnet18, --weights)"), "{error}");
        train.extend(["--weights", file]);
        env.ok(&[&train[..], options].concat());
        let figures = env.json(&["eval", "--model", "m.safetensors", "--data", "birds"]);
        assert_eq!(figures["trunk"], "resnet18");
        let index = format!("{method}.db");
        env.ok(&["index", "birds", "--model", "m.safetensors", "--index", &index]);
        let model = ["--model", "m.safetensors"];
        let search = ["search", "birds/class-1/2.png", "--index", &index, "-k", "1"];
        let hits = env.json(&[&search[..], &model].concat());
        assert!(hits.to_string().contains("class-1/2.png"), "{hits}");
    }
}

#[test]
fn every_part_of_a_resnet_can_be_trained() {
    let env = TestEnv::with_birds(3, 4);
    let dataset = Dataset::open(&env.path("birds"), None, 1).unwrap();
    let file = resnet18_file(&env);
    let cases = [
        (&adsh::METHOD, Trained::Full),
        (&exchnet::METHOD, Trained::Refine),
        (&exchnet::METHOD, Trained::Head),
    ];
    for (method, trained) in cases {
        let parts = if *method == exchnet::METHOD { 2 } else { 0 };
        let given: &[(&str, &str)] =
            if parts > 0 { &[("parts", "2"), ("exchange", "1")] } else { &[] };
        let settings = method.settings(given).unwrap();
        let plan = LearnPlan::new(Recipe::Quick, method, settings, trained, env.path("cache"))
            .with(|plan| {
                plan.bits = 16;
                plan.size = 64;
                plan.outer = 2;
                plan.epochs = 2;
                plan.batch = 4;
                plan.trunk = TrunkKind::ResNet18;
                plan.weights = Some(file.clone());
            });
        let (out, task) = (env.path("m.safetensors"), Task::unwatched());
        let mut losses = Vec::new();
        let mut watch = |epoch: &EpochReport| losses.push(epoch.loss);
        learn(&plan, &dataset, &out, &Device::Cpu, &task, &mut watch).unwrap();
        assert!(losses.len() == 4 && losses.iter().all(|loss| loss.is_finite()), "{losses:?}");
        let model = Model::open(&out, &Device::Cpu).unwrap();
        assert_eq!((model.card().trunk, model.card().parts), (plan.trunk, parts));
        let features = model.encoder().features(read(input(1, 64, &Device::Cpu))).unwrap();
        assert_eq!(features.len(), 512 * (1 + parts));
        let maps = model.encoder().attention(read(input(1, 64, &Device::Cpu))).unwrap();
        assert_eq!(maps.map(|maps| maps.len()).unwrap_or(0), parts * 4 * 4);
        // The refine stage changes only if it is trained.
        let frozen = weights::load(&file, plan.trunk, &Device::Cpu.burn()).unwrap().fold();
        let before = read(frozen.pooled(input(1, 64, &Device::Cpu)));
        let after = &features[features.len() - 512..];
        assert_eq!(error(after, &before) > 1e-4, trained != Trained::Head);
    }
}
