/*!
The rendered data set: its files, and evaluations on it.
*/

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use crate::common::TestEnv;
use barbule::dataset::{Dataset, Layout, TellingParts};
use barbule::device::Device;
use barbule::image::Limits;
use barbule::method::METHODS;
use barbule::model::Model;
use walkdir::WalkDir;

/// Returns the contents of all files below a folder, by relative path.
fn files(root: &Path) -> BTreeMap<String, Vec<u8>> {
    let files = WalkDir::new(root).into_iter().flatten().filter(|f| f.file_type().is_file());
    let place = |path: &Path| path.strip_prefix(root).unwrap().display().to_string();
    files.map(|f| (place(f.path()), fs::read(f.path()).unwrap())).collect()
}

#[test]
fn an_aviary_depends_on_its_seed_alone() {
    let env = TestEnv::new();
    let small = ["aviary", "--species", "4", "--per-species", "3", "--size", "64", "--out"];
    env.ok(&[&small[..], &["a"]].concat());
    env.ok(&[&small[..], &["b"]].concat());
    env.ok(&[&small[..], &["c", "--seed", "2"]].concat());
    let [a, b, c] = ["a", "b", "c"].map(|name| files(&env.path(name)));
    assert_eq!(a.len(), 12 + 9);
    assert!(a == b, "the same seed must draw the same birds");
    assert!(a != c);
    let error = env.fails(&[&small[..], &["a"]].concat());
    assert!(error.contains("not empty"), "{error}");
}

#[test]
fn an_aviary_is_a_data_set_with_parts() {
    let env = TestEnv::new();
    let report = env.json(&["aviary", "--species", "6", "--per-species", "8", "--out", "birds"]);
    assert_eq!((&report["images"], report["species"].as_array().unwrap().len()), (&48.into(), 6));
    let dataset = Dataset::open(&env.path("birds"), None, 1).unwrap();
    assert_eq!((dataset.layout, dataset.classes.len()), (Layout::Cub, 6));
    assert_eq!((dataset.train.len(), dataset.test.len()), (24, 24));
    assert!(dataset.missing_files().is_empty() && dataset.warnings.is_empty());
    let parts = TellingParts::read(&dataset).unwrap().unwrap();
    let seen = dataset.samples().filter(|sample| {
        let areas = parts.of(&sample.path);
        assert!(areas.iter().all(|a| a.left < a.right && a.top < a.bottom && a.right <= 256.0));
        !areas.is_empty()
    });
    assert!(seen.count() > 24, "the telling part must be visible in most images");
}

#[test]
fn attention_is_measured_against_the_telling_parts() {
    let env = TestEnv::new();
    env.ok(&["aviary", "--species", "4", "--per-species", "6", "--out", "birds"]);
    let small = ["--size", "64", "--outer", "1", "--epochs", "1", "--parts", "2"];
    let train = ["train", "exchnet", "--data", "birds", "--bits", "16", "--cache", "cache"];
    env.ok(&[&train[..], &small, &["--out", "x.safetensors"]].concat());
    let report = env.json(&["eval", "--model", "x.safetensors", "--data", "birds"]);
    let score = &report["pointing"];
    let of = |name: &str| score[name].as_f64().unwrap();
    assert!(of("images") >= 6.0 && of("images") <= 12.0, "{score}");
    assert!((0.0..=1.0).contains(&of("share")), "{score}");
    assert!(of("chance") > 0.0 && of("chance") < 0.5, "{score}");
    // A model without attention has no pointing score.
    let lsh = env.train("lsh", 12);
    assert!(env.json(&["eval", "--model", &lsh, "--data", "birds"])["pointing"].is_null());
}

#[test]
fn labels_and_a_kernel_beat_random_directions() {
    let env = TestEnv::new();
    env.ok(&["aviary", "--species", "8", "--per-species", "16", "--size", "96", "--out", "birds"]);
    let map = |method: &str| {
        let model = env.train(method, 32);
        env.json(&["eval", "--model", &model, "--data", "birds"])["map"].as_f64().unwrap()
    };
    let (lsh, sdh) = (map("lsh"), map("sdh"));
    assert!(sdh > lsh + 0.05, "SDH {sdh}, LSH {lsh}");
}

#[test]
fn every_network_beats_random_directions() {
    let env = TestEnv::new();
    env.ok(&["aviary", "--species", "8", "--per-species", "16", "--size", "96", "--out", "birds"]);
    let short = ["--size", "96", "--bits", "32", "--hold-out-classes", "0.2", "--images", "1024"];
    let networks = METHODS.iter().filter(|method| method.trains_network());
    let methods: Vec<&str> =
        std::iter::once("lsh").chain(networks.map(|method| method.name)).collect();
    let args = ["compare", "--data", "birds", "--cache", "cache", "--out", "table"];
    let report = env.json(&[&args[..], &short, &methods].concat());
    let rows = report["rows"].as_array().unwrap();
    let map = |method: &str| {
        let row = rows.iter().find(|row| row["name"] == *method).unwrap();
        row["map"]["mean"].as_f64().unwrap()
    };
    for method in &methods[1..] {
        assert!(map(method) > map("lsh") + 0.05, "{method} {}, LSH {}", map(method), map("lsh"));
    }
}

#[test]
fn saliency_neither_vanishes_nor_fills_the_image() {
    let env = TestEnv::new();
    env.ok(&["aviary", "--species", "8", "--per-species", "16", "--size", "96", "--out", "birds"]);
    let train = ["train", "dsah", "--data", "birds", "--bits", "32", "--size", "96"];
    let more = ["--images", "2048", "--cache", "cache", "--out", "dsah.safetensors"];
    env.ok(&[&train[..], &more].concat());
    let dataset = Dataset::open(&env.path("birds"), None, 1).unwrap();
    let model = Model::open(&env.path("dsah.safetensors"), &Device::Cpu).unwrap();
    let (mut shares, mut spreads) = (Vec::new(), Vec::new());
    for sample in dataset.test.iter().step_by(4) {
        let attention = model.attention(&sample.open(&Limits::default()).unwrap()).unwrap();
        let [map] = &attention.maps[..] else { panic!("{} maps", attention.maps.len()) };
        let mean = map.iter().sum::<f32>() / map.len() as f32;
        shares.push(mean);
        spreads.push(map.iter().map(|v| (v - mean).abs()).sum::<f32>() / map.len() as f32);
    }
    let mean = |values: &[f32]| values.iter().sum::<f32>() / values.len() as f32;
    let (share, spread) = (mean(&shares), mean(&spreads));
    assert!((0.05..0.8).contains(&share), "saliency is {share} on average");
    assert!(spread > 0.05, "saliency has a mean deviation of only {spread}");
}

#[test]
fn a_demo_leaves_a_page_that_stands_alone() {
    let env = TestEnv::new();
    let small = ["demo", "--out", "demo", "--species", "4", "--per-species", "6"];
    let report = env.json(&small);
    let methods: Vec<&str> = report["methods"]
        .as_array()
        .unwrap()
        .iter()
        .map(|m| m["method"].as_str().unwrap())
        .collect();
    assert_eq!(methods, ["lsh", "plume-words", "exchnet"]);
    let page = fs::read_to_string(env.path("demo/report.html")).unwrap();
    assert!(page.starts_with("<!DOCTYPE html>") && page.ends_with("</html>"));
    assert!(page.matches("data:image/jpeg;base64,").count() > 20, "images must be embedded");
    assert!(!page.contains("http"), "the page must not load anything");
    // A second run starts over; a folder with other files is left unchanged.
    let again = env.json(&small);
    assert_eq!(report["methods"][2]["known"], again["methods"][2]["known"]);
    fs::create_dir(env.path("mine")).unwrap();
    fs::write(env.path("mine/letter.txt"), "dear").unwrap();
    let error = env.fails(&["demo", "--out", "mine"]);
    assert!(error.contains("--out"), "{error}");
    assert_eq!(fs::read_to_string(env.path("mine/letter.txt")).unwrap(), "dear");
}
