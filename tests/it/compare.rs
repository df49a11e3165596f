/*!
`barbule compare`: every row is there, its figures are those of `train` and `eval`, and
nothing is run twice.
*/

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use crate::common::{TestEnv, stderr};
use barbule::device::Device;
use barbule::method::{Recipe, Settings, Trained, adsh, lsh};
use barbule::task::Task;
use barbule::train::{Comparison, Contender, EpochReport, LearnPlan, Setting, checkpoint_path};
use serde_json::Value;

/// So little training that a network takes a second.
const SMALL: [&str; 10] =
    ["--size", "64", "--outer", "1", "--epochs", "1", "--batch", "8", "--cache", "cache"];

fn compare<'a>(args: &[&'a str]) -> Vec<&'a str> {
    [&["compare"], args, &["--data", "birds"], &SMALL].concat()
}

/// Files in a folder, with what they hold.
fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap());
    let entries = entries.filter(|entry| entry.path().is_file());
    entries
        .map(|e| (e.file_name().into_string().unwrap(), std::fs::read(e.path()).unwrap()))
        .collect()
}

#[test]
fn every_row_is_there_and_nothing_is_run_twice() {
    let env = TestEnv::with_birds(5, 8);
    let args = ["lsh", "lda-itq", "adsh", "--bits", "16,8", "--seeds", "2", "--train", "head"];
    let args = compare(&[&args[..], &["--hold-out-classes", "0.2", "--out", "c"]].concat());
    let printed = env.ok(&args);
    let rows: Vec<Vec<&str>> =
        printed.lines().take(7).map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(rows[0][..4], ["method", "bits", "mAP", "unseen"], "{printed}");
    let named: Vec<[&str; 2]> = rows[1..].iter().map(|row| [row[0], row[1]]).collect();
    let methods = ["lsh", "lda-itq", "adsh"];
    let expected: Vec<[&str; 2]> =
        ["8", "16"].iter().flat_map(|bits| methods.map(|method| [method, *bits])).collect();
    assert_eq!(named, expected, "{printed}");
    assert!(rows[1..].iter().all(|row| row.contains(&"±")), "{printed}");

    let folder = env.path("c");
    let runs = files(&folder.join("runs"));
    assert_eq!(runs.len(), 12);
    assert!(!folder.join("unfinished").exists());
    the_page_shows_all(&folder, &rows[1..]);
    a_lost_run_comes_back(&env, &args, &runs);
    rows_summarise_runs(&env.json(&args));
    other_runs_stand_beside(&env);
    // Another option that matters is another run.
    let other = [&args[..], &["--lr", "0.002"]].concat();
    let said = stderr(&env.run(&other));
    assert!(said.contains("8 of 12 runs are already finished"), "{said}");
}

/// Checks that runs of another comparison are shown, if their setting is the same.
fn other_runs_stand_beside(env: &TestEnv) {
    let with = |share: &'static str, args: &[&'static str]| {
        let setting = ["--hold-out-classes", share, "--seeds", "2", "--out", "d"];
        compare(&[&["itq", "--bits", "8", "--also", "c"], args, &setting].concat())
    };
    let printed = env.ok(&with("0.2", &[]));
    let shown: Vec<&str> =
        printed.lines().filter_map(|line| line.split_whitespace().next()).collect();
    let rows = ["itq", "adsh", "lda-itq", "lsh", "adsh", "lda-itq", "lsh"];
    assert_eq!(shown[1..8], rows, "{printed}");
    let said = env.fails(&with("0.4", &[]));
    assert!(said.contains("hold out classes is 0.2 there and 0.4 here"), "{said}");
    assert!(env.fails(&with("0.2", &["--also", "c"])).contains("more than one run of"));
    assert!(env.fails(&with("0.2", &["--also", "birds"])).contains("cannot read"));
}

/// Checks that every figure of the terminal and every plot is on the page.
fn the_page_shows_all(folder: &Path, rows: &[Vec<&str>]) {
    let page = std::fs::read_to_string(folder.join("table.md")).unwrap();
    let figures = rows.iter().flatten();
    let figures: Vec<_> =
        figures.filter(|word| word.starts_with("0.") && word.len() == 5).collect();
    assert!(figures.len() >= 2 * rows.len(), "{figures:?}");
    for figure in figures {
        assert!(page.contains(*figure), "{figure} is not in {page}");
    }
    assert!(page.contains("barbule compare lsh lda-itq adsh --bits 16,8 --seeds 2"), "{page}");
    let plots: Vec<String> =
        files(folder).into_keys().filter(|name| name.ends_with(".svg")).collect();
    let expected = [
        "known-unseen.svg",
        "map-bits.svg",
        "map-training.svg",
        "precision-recall-16.svg",
        "precision-recall-8.svg",
    ];
    assert_eq!(plots, expected);
    for plot in plots {
        assert!(page.contains(&format!("]({plot})")), "{plot} is not in {page}");
        let svg = std::fs::read_to_string(folder.join(&plot)).unwrap();
        let document = roxmltree::Document::parse(&svg).unwrap();
        let texts: Vec<&str> = document.descendants().filter_map(|node| node.text()).collect();
        assert!(texts.iter().any(|text| text.trim() == "lda-itq"), "{plot}: {texts:?}");
        let panel = match plot.as_str() {
            "known-unseen.svg" => "real-valued query",
            _ => "classes never trained on",
        };
        assert!(texts.iter().any(|text| text.trim() == panel), "{plot}: {texts:?}");
    }
}

/// Checks that a second comparison repeats a lost run and leaves the others as they are.
fn a_lost_run_comes_back(env: &TestEnv, args: &[&str], runs: &BTreeMap<String, Vec<u8>>) {
    let folder = env.path("c/runs");
    let lost = runs.keys().find(|name| name.starts_with("adsh-8-2-")).unwrap();
    let before: Value = serde_json::from_slice(&runs[lost]).unwrap();
    std::fs::remove_file(folder.join(lost)).unwrap();
    let said = stderr(&env.run(args));
    assert!(said.contains("11 of 12 runs are already finished"), "{said}");
    let again = files(&folder);
    let after: Value = serde_json::from_slice(&again[lost]).unwrap();
    for field in ["key", "map", "unseen", "curve", "settings", "images_shown"] {
        assert!(!before[field].is_null() && before[field] == after[field], "{field}");
    }
    let others = |runs: &BTreeMap<String, Vec<u8>>| {
        runs.clone().into_iter().filter(|(name, _)| name != lost).collect::<Vec<_>>()
    };
    assert!(others(runs) == others(&again));
}

/// Checks the means and deviations of the rows against the runs.
fn rows_summarise_runs(results: &Value) {
    assert_eq!(results["rows"].as_array().unwrap().len(), 6);
    assert_eq!(results["runs"].as_array().unwrap().len(), 12);
    let [lsh, held] =
        ["/rows/0", "/runs/0/settings/held_out"].map(|at| results.pointer(at).unwrap());
    assert_eq!(lsh["name"], "lsh");
    assert_eq!(lsh["seeds"], 2);
    assert_eq!(held.as_array().unwrap().len(), 1);
    let maps = |seed: u64| {
        let runs = results["runs"].as_array().unwrap().iter();
        let mut of =
            runs.filter(|run| run["name"] == "lsh" && run["bits"] == 8 && run["seed"] == seed);
        of.next().unwrap()["map"].as_f64().unwrap()
    };
    let (a, b) = (maps(1), maps(2));
    assert!((lsh["map"]["mean"].as_f64().unwrap() - (a + b) / 2.0).abs() < 1e-12);
    // Of two values, the sample deviation is their difference over √2.
    let deviation = lsh["map"]["deviation"].as_f64().unwrap();
    assert!((deviation - (a - b).abs() / 2f64.sqrt()).abs() < 1e-12);
}

#[test]
fn figures_are_those_of_train_and_eval() {
    let env = TestEnv::with_birds(4, 8);
    for (methods, extra) in [
        (&["itq", "lda-itq", "adsh", "csq"][..], &["--train", "head"][..]),
        (
            &["adsh", "exchnet"],
            &["--train", "refine", "--parts", "2", "--hold-out-classes", "0.25"],
        ),
        (&["exchnet"], &["--train", "head", "--parts", "2"]),
        (&["adsh"], &["--train", "full", "--recipe", "quick"]),
    ] {
        let results = env.json(&compare(&[methods, extra, &["--bits", "16"]].concat()));
        let runs = results["runs"].as_array().unwrap();
        assert_eq!(runs.len(), methods.len(), "{extra:?}");
        for (method, row) in methods.iter().zip(runs) {
            let train =
                ["train", method, "--data", "birds", "--bits", "16", "--out", "m.safetensors"];
            // Methods that are fitted take no options of networks to heart.
            env.ok(&[&train[..], &SMALL, extra].concat());
            let alone = env.json(&["eval", "--model", "m.safetensors", "--data", "birds"]);
            assert_eq!(row["name"], **method);
            // A figure that both lack would be equal too.
            for field in ["map", "p_at_1", "queries", "database", "curve"] {
                assert!(!row[field].is_null(), "{method} {extra:?}: {field}");
                assert_eq!(row[field], alone[field], "{method} {extra:?}: {field}");
            }
            assert_eq!(row["map_learned"], alone["map_learned"], "{method} {extra:?}");
            assert_eq!(row["unseen"]["map"], alone["unseen"]["map"], "{method} {extra:?}");
            let held_out = extra.contains(&"--hold-out-classes");
            assert_eq!(row["unseen"]["map"].is_f64(), held_out, "{method} {extra:?}");
            let learns_codes = ["adsh", "exchnet"].contains(method) && !held_out;
            assert_eq!(row["map_learned"].is_f64(), learns_codes, "{method} {extra:?}");
        }
    }
}

#[test]
fn exchnet_is_taken_apart() {
    let env = TestEnv::with_birds(3, 6);
    let args = compare(&["exchnet", "--ablate", "--bits", "8", "--parts", "2", "--exchange", "1"]);
    let results = env.json(&args);
    let rows = results["rows"].as_array().unwrap();
    let names: Vec<&str> = rows.iter().map(|row| row["name"].as_str().unwrap()).collect();
    let expected = [
        "exchnet",
        "exchnet without exchange",
        "exchnet without L_sp",
        "exchnet without L_cp",
        "exchnet global only",
    ];
    assert_eq!(names, expected);
    let runs = results["runs"].as_array().unwrap();
    let keys: std::collections::BTreeSet<&str> =
        runs.iter().map(|run| run["key"].as_str().unwrap()).collect();
    assert_eq!(keys.len(), 5, "each leaves out something else");
}

#[test]
fn what_cannot_be_compared_is_said() {
    let env = TestEnv::with_birds(3, 6);
    assert!(env.misused(&compare(&["adhs"])).contains("no method is called 'adhs'"));
    assert!(env.misused(&compare(&["lsh", "--seeds", "0"])).contains("above 0"));
    assert!(env.misused(&compare(&["lsh", "--bits", "0"])).contains("'--bits <"));
    assert!(env.misused(&compare(&["lsh", "--bits", ""])).contains("'--bits <"));
    assert!(env.misused(&["compare", "--data", "birds"]).contains("required"));
    let error = env.fails(&["compare", "lsh", "--data", "no/such"]);
    assert!(error.contains("no/such"), "{error}");
    let error = env.fails(&compare(&["lsh", "--split", "val", "--hold-out-classes", "2"]));
    assert!(error.contains("has no val split"), "{error}");
    let error = env.fails(&compare(&["adsh", "--ablate"]));
    assert!(error.contains("--ablate"), "{error}");
    env.write("file", "not a folder");
    let error = env.fails(&compare(&["lsh", "--out", "file"]));
    assert!(error.contains("--out"), "{error}");
    // One that fails does not stop the others, and is not forgotten.
    let args = compare(&["lsh", "adsh", "--bits", "8", "--lr", "2", "--json"]);
    let output = env.run(&args);
    assert_eq!(output.status.code(), Some(1));
    let results: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(results["rows"].as_array().unwrap().len(), 1);
    let failed = &results["failures"][0];
    assert_eq!(failed["name"], "adsh");
    assert!(failed["error"].as_str().unwrap().contains("--lr"), "{failed}");
    // Nothing but failures is a failure.
    assert!(env.fails(&compare(&["adsh", "--lr", "2", "-q"])).contains("--lr"));
}

#[test]
fn a_stopped_run_goes_on_from_its_checkpoint() {
    let env = TestEnv::with_birds(3, 8);
    let setting = Setting::new(env.path("birds"), env.path("cache"));
    let setting = setting.with(|setting| (setting.seeds, setting.size) = (vec![4], 64));
    let mut comparison = Comparison::open(setting, &Device::Cpu).unwrap();
    let (settings, trained) = (Settings::default(), Trained::Refine);
    let plan = LearnPlan::new(Recipe::Quick, &adsh::METHOD, settings, trained, "".into());
    let contender = Contender::Network(Box::new(plan.with(|plan| {
        plan.outer = 3;
        plan.batch = 4;
    })));
    let (whole, parts) = (env.path("whole.safetensors"), env.path("parts.safetensors"));
    let mut epochs = 0;
    let mut count = |_: &EpochReport| epochs += 1;
    let task = Task::unwatched();
    let uninterrupted = comparison.run(&contender, 8, 4, &whole, &task, &mut count).unwrap();

    let (stop, steps) = (AtomicBool::new(false), AtomicUsize::new(0));
    let progress = |_, _| {
        if steps.fetch_add(1, Ordering::Relaxed) == 10 {
            stop.store(true, Ordering::Relaxed);
        }
    };
    let task = Task::new(&progress, &stop);
    let error = comparison.run(&contender, 8, 4, &parts, &task, &mut count).unwrap_err();
    assert!(error.to_string().contains("stopped"), "{error}");
    assert!(checkpoint_path(&parts).exists());
    let task = Task::unwatched();
    let mut resumed = 0;
    let mut count = |_: &EpochReport| resumed += 1;
    let gone_on = comparison.run(&contender, 8, 4, &parts, &task, &mut count).unwrap();
    assert!(resumed < 6, "{resumed} epochs are not what was left");
    assert_eq!(gone_on.evaluation.network, uninterrupted.evaluation.network);
    assert_eq!(gone_on.shown, uninterrupted.shown);
    // A damaged checkpoint costs time only.
    std::fs::write(checkpoint_path(&parts), b"BRBCKPT4 no").unwrap();
    let anew = comparison.run(&contender, 8, 4, &parts, &task, &mut |_: &EpochReport| ()).unwrap();
    assert_eq!(anew.evaluation.network, uninterrupted.evaluation.network);
    // Keys tell runs apart, and are the same for the same run.
    let key = |contender: &Contender, bits| comparison.key(contender, bits, 4).unwrap();
    let lsh = Contender::Shallow(&lsh::METHOD);
    assert_eq!(key(&contender, 8), key(&contender, 8));
    assert!(key(&contender, 8) != key(&contender, 9) && key(&lsh, 8) != key(&contender, 8));
}
