/*!
`barbule data` on published data sets, and one (CIFAR-10) whose images are stored in batches and
whose database is larger than its training set.
*/

use crate::common::{TestEnv, stderr};
use serde_json::Value;

const LAYOUTS: [&str; 14] = [
    "folder",
    "photos",
    "index",
    "grocery",
    "cub",
    "nabirds",
    "dogs",
    "flowers102",
    "flowers17",
    "aircraft",
    "vegfru",
    "food101",
    "cifar10",
    "nuswide",
];

/// Writes a small CIFAR-10: `each` images of every class, in its six batches.
fn write_cifar(env: &TestEnv, folder: &str, each: usize) {
    let names = ["airplane", "automobile", "bird", "cat", "deer"];
    let names = [names, ["dog", "frog", "horse", "ship", "truck"]].concat().join("\n");
    env.write(&format!("{folder}/batches.meta.txt"), names + "\n\n");
    let mut batches = vec![Vec::new(); 6];
    for number in 0..each * 10 {
        let class = number % 10;
        let batch: &mut Vec<u8> = &mut batches[number / 10 % 6];
        batch.push(class as u8);
        for colour in 0..3 {
            let value = |at: usize| {
                let stripe = (at % 32 + at / 32 * (class % 3)) / (2 + class) % 2 * 60;
                (class * 17 + colour * 40 + number / 10 % 9 + stripe) as u8
            };
            batch.extend((0..1024).map(value));
        }
    }
    for (number, batch) in (1..).zip(batches) {
        let name =
            if number == 6 { "test_batch".to_owned() } else { format!("data_batch_{number}") };
        env.write(&format!("{folder}/{name}.bin"), batch);
    }
}

fn words(value: &Value) -> Vec<u64> {
    ["train", "val", "test", "database"].map(|split| value[split].as_u64().unwrap()).to_vec()
}

#[test]
fn every_layout_is_described() {
    let env = TestEnv::new();
    let all = env.json(&["data"]);
    let named: Vec<&str> =
        all.as_array().unwrap().iter().map(|facts| facts["layout"].as_str().unwrap()).collect();
    assert_eq!(named, LAYOUTS);
    let table = env.ok(&["data"]);
    for layout in LAYOUTS {
        assert!(table.contains(layout), "{layout} in {table}");
        let text = env.ok(&["data", layout]);
        let facts = env.json(&["data", layout]);
        let files = facts["files"].as_array().unwrap();
        assert!(!files.is_empty(), "{layout} describes no files");
        for place in files {
            let (path, holds) = (place["path"].as_str().unwrap(), place["holds"].as_str().unwrap());
            assert!(text.contains(path) && text.contains(holds), "{path} in {text}");
        }
        assert_eq!(
            facts["page"].as_str().is_some_and(|page| text.contains(page)),
            !["folder", "photos", "index"].contains(&layout)
        );
        assert!(facts["check"].is_null());
    }
    let cub = env.ok(&["data", "cub"]);
    assert!(cub.contains("train 5,994, val 0, test 5,794, database 5,994"), "{cub}");
    assert!(env.misused(&["data", "birds"]).contains("choose one of folder, photos"));
    assert!(env.misused(&["data", "--check", "birds"]).contains("<LAYOUT>"));
}

#[test]
fn a_copy_is_checked() {
    let env = TestEnv::new();
    env.write("cub/classes.txt", "1 001.A\n2 002.B\n");
    env.write("cub/images.txt", "1 001.A/a.jpg\n2 001.A/b.jpg\n3 002.B/c.jpg\n");
    env.write("cub/image_class_labels.txt", "1 1\n2 1\n3 2\n");
    env.write("cub/train_test_split.txt", "1 0\n2 1\n3 1\n");
    env.write("cub/images/001.A/a.jpg", "");
    // The report goes to stdout although the check fails.
    let output = env.run(&["data", "cub", "--check", "cub", "--json"]);
    assert_eq!(output.status.code(), Some(1));
    let said = stderr(&output);
    assert!(said.contains("cub is missing 2 images (first: cub/images/001.A/b.jpg)"), "{said}");
    let check = &serde_json::from_slice::<Value>(&output.stdout).unwrap()["check"];
    assert_eq!(words(&check["images"]), [2, 0, 1, 2]);
    assert_eq!((check["classes"].as_u64(), &check["as_published"]), (Some(2), &Value::Bool(false)));
    assert_eq!(check["missing"][1], "cub/images/002.B/c.jpg");
    env.write("cub/images/001.A/b.jpg", "");
    env.write("cub/images/002.B/c.jpg", "");
    let output = env.run(&["data", "cub", "--check", "cub"]);
    assert_eq!(output.status.code(), Some(1));
    let said = stderr(&output);
    assert!(said.contains("cub differs from the published counts of CUB-200-2011"), "{said}");
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("5,994") && !text.contains("complete"), "{text}");
    assert!(env.fails(&["data", "dogs", "--check", "cub"]).contains("train_list.mat"));
    assert!(env.fails(&["data", "dogs", "--check", "none"]).contains("no folder none"));
    // A folder of photos has no published counts to compare with.
    env.write_classes("birds", 2, 3);
    let text = env.ok(&["data", "folder", "--check", "birds"]);
    assert!(text.contains("complete: every listed image was found"), "{text}");
}

#[test]
fn a_database_beyond_the_training_images_is_searched() {
    let env = TestEnv::new();
    write_cifar(&env, "cifar-10-batches-bin", 610);
    let data = ["--data", "cifar-10-batches-bin"];
    let options = ["--bits", "16", "--seed", "5", "--size", "32", "--out", "m.safetensors"];
    let card = env.json(&[&["train", "lda-itq"], &data[..], &options[..]].concat());
    assert_eq!(card["data"]["images"], 5000);
    let split = (&card["data"]["layout"], &card["data"]["split_seed"]);
    assert_eq!(split, (&"cifar10".into(), &5.into()));
    let report = env.json(&[&["eval", "--model", "m.safetensors"], &data[..]].concat());
    // The remaining images of each class are only in the database.
    assert_eq!((report["queries"].as_u64(), report["database"].as_u64()), (Some(1000), Some(5100)));
    assert!(report["map"].as_f64().unwrap() > 0.3, "{report}");
    assert_eq!(report["unreadable_images"], 0);
    assert_eq!(report["map_learned"], Value::Null);
    let found = env.run(&["data", "cifar10", "--check", ".", "--json"]);
    let check = &serde_json::from_slice::<Value>(&found.stdout).unwrap()["check"];
    assert_eq!(words(&check["images"]), [5000, 0, 1000, 5100]);
    assert_eq!(check["missing"].as_array().unwrap().len(), 0);
}

#[test]
fn an_index_with_labels_is_a_data_set() {
    let env = TestEnv::with_birds(3, 6);
    env.ok(&["index", "birds", "--index", "photos.db", "--labels", "folder", "--device", "cpu"]);
    // A copy and a file that is gone do not count.
    std::fs::copy(env.path("birds/class-0/0.png"), env.path("birds/class-0/copy.png")).unwrap();
    env.ok(&["index", "birds", "--index", "photos.db", "--labels", "folder", "--device", "cpu"]);
    std::fs::remove_file(env.path("birds/class-2/5.png")).unwrap();

    let check = ["data", "index", "--check", "photos.db"];
    assert_eq!(words(&env.json(&check)["check"]["images"]), [14, 0, 3, 14]);
    let said = stderr(&env.run(&check));
    assert!(said.contains("1 labelled image left out: the files are not there"), "{said}");
    assert!(said.contains("1 labelled image left out: copies of others"), "{said}");

    let train = ["train", "lsh", "--data", "photos.db", "--bits", "16", "--size", "32"];
    env.ok(&[&train[..], &["--out", "m.safetensors", "--device", "cpu"]].concat());
    let figures = env.json(&["eval", "--model", "m.safetensors", "--data", "photos.db"]);
    assert!(figures["map"].as_f64().unwrap() > 0.0, "{figures}");

    // The table of labels can be read back, and gives the same labels.
    env.ok(&["export", "--index", "photos.db", "--to", "labels.csv"]);
    let table = std::fs::read_to_string(env.path("labels.csv")).unwrap();
    assert_eq!(table.lines().next().unwrap(), "path,label");
    assert_eq!(table.lines().count(), 1 + 19);
    env.ok(&["index", "birds", "--index", "again.db", "--labels", "labels.csv", "--device", "cpu"]);
    let check = ["data", "index", "--check", "again.db"];
    assert_eq!(words(&env.json(&check)["check"]["images"]), [14, 0, 3, 14]);

    env.ok(&["index", "birds", "--index", "plain.db", "--device", "cpu"]);
    let said = env.fails(&["train", "lsh", "--data", "plain.db", "--out", "n"]);
    assert!(said.contains("no image of plain.db has a label"), "{said}");
}
