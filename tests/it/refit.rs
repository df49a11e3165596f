/*!
An index that fits its hash to its own images.
*/

use std::fs;

use barbule::device::Device;
use barbule::index::{Collection, HashState, Index, IndexWriter, LEAST, UpdateOptions};
use barbule::model::Model;
use barbule::task::Task;
use barbule::train::OwnHash;
use serde_json::{Value, json};

use crate::common::{TestEnv, png};

/// Writes pictures from..to of many kinds to `photos`.
fn write(env: &TestEnv, numbers: std::ops::Range<usize>) {
    for number in numbers {
        env.write(&format!("photos/{number:04}.png"), png(number % 23, number));
    }
}

fn index(env: &TestEnv, more: &[&str]) -> Value {
    env.json(&[&["index", "photos", "--index", "i.db"], more].concat())
}

fn status(env: &TestEnv) -> Value {
    env.json(&["status", "--index", "i.db"])
}

/// All codes of an index, by path.
fn codes(env: &TestEnv, file: &str) -> Vec<(String, String)> {
    let index = Index::open(&env.path(file)).unwrap();
    let ids = index.ids(&Default::default()).unwrap();
    let row = |id: &i64| (index.image(*id).unwrap().path, index.code(*id).unwrap().hex());
    let mut all: Vec<_> = ids.iter().map(row).collect();
    all.sort();
    all
}

#[test]
fn a_collection_that_is_large_enough_gets_a_hash_of_its_own() {
    let env = TestEnv::new();
    write(&env, 0..LEAST - 1);
    index(&env, &[]);
    let few = status(&env);
    assert_eq!((&few["hash"], &few["built_in"]), (&json!("few"), &json!(true)));
    let said = env.ok(&["status", "--index", "i.db"]);
    assert!(said.contains(&format!("as soon as there are {LEAST} images")), "{said}");
    let general = codes(&env, "i.db");

    write(&env, LEAST - 1..LEAST);
    index(&env, &[]);
    let own = status(&env);
    assert_eq!((&own["hash"], &own["built_in"]), (&json!("fitted"), &json!(false)));
    assert_eq!(own["fitted"]["images"], json!(LEAST));
    let said = env.ok(&["status", "--index", "i.db"]);
    assert!(said.contains(&format!("fitted to {LEAST} of these images")), "{said}");
    let fitted = codes(&env, "i.db");
    assert!(general.iter().zip(&fitted).all(|((_, a), (_, b))| a.len() == b.len() && a != b));

    // Codes are those that the hash gives the pictures, but for the rounding of kept features.
    let file = fitted[7].0.as_str();
    let encoded = env.json(&["encode", "--model", "i.db", file]);
    let code = encoded[0]["code"].as_str().unwrap();
    let bits = |hex: &str| -> Vec<u8> {
        hex.bytes().map(|digit| (digit as char).to_digit(16).unwrap() as u8).collect()
    };
    let pairs = bits(code).into_iter().zip(bits(&fitted[7].1));
    let off: u32 = pairs.map(|(a, b)| (a ^ b).count_ones()).sum();
    assert!(off <= 5, "{off} of 256 bits differ");

    // A picture that is not indexed finds its like, and nothing is fitted again for nothing.
    env.write("new.png", png(5, LEAST + 7));
    let found = env.json(&["search", "new.png", "--index", "i.db"]);
    assert_eq!((&found["bits"], &found["order"]), (&json!(256), &json!("asymmetric")));
    let first = found["results"][0]["path"].as_str().unwrap();
    let number: usize = first[first.len() - 8..first.len() - 4].parse().unwrap();
    assert_eq!(number % 23, 5, "{first}");
    write(&env, LEAST..LEAST + 9);
    index(&env, &[]);
    assert_eq!(status(&env)["model"], own["model"]);
    assert_eq!(codes(&env, "i.db").len(), LEAST + 9);
}

#[test]
fn many_changes_fit_it_again_without_reading_a_picture() {
    let env = TestEnv::new();
    write(&env, 0..60);
    let said = env.ok(&["index", "photos", "--index", "i.db", "--fit", "now"]);
    assert!(said.contains("60 images"), "{said}");
    let first = status(&env);
    assert_eq!(first["fitted"]["images"], json!(60));
    // A few more change nothing; a quarter does.
    write(&env, 60..74);
    index(&env, &[]);
    assert_eq!(
        (&status(&env)["hash"], &status(&env)["model"]),
        (&json!("fitted"), &first["model"])
    );
    write(&env, 74..75);
    let report = index(&env, &[]);
    assert_eq!((&report["hash"], &report["unchanged"]), (&json!("fitted"), &json!(74)));
    let second = status(&env);
    assert_eq!(second["fitted"]["images"], json!(75));
    assert_ne!(second["model"], first["model"]);
    // So do images that are gone, as long as enough are left.
    for number in 0..19 {
        fs::remove_file(env.path(&format!("photos/{number:04}.png"))).unwrap();
    }
    index(&env, &[]);
    assert_eq!(status(&env)["fitted"]["images"], json!(56));
    // With folders gone, features are all that is left.
    fs::remove_dir_all(env.path("photos")).unwrap();
    let report = env.json(&["index", "--index", "i.db", "--fit", "now"]);
    assert_eq!((&report["images"], &report["added"]), (&json!(56), &json!(0)));
    assert_eq!(status(&env)["hash"], "fitted");
}

#[test]
fn labels_are_used_and_the_hash_can_be_kept() {
    let env = TestEnv::with_birds(4, 6);
    let birds = ["index", "birds", "--index", "i.db", "--labels", "folder"];
    env.ok(&[&birds[..], &["--fit", "never"]].concat());
    let off = status(&env);
    assert_eq!((&off["hash"], &off["features"]), (&json!("off"), &json!(false)));
    let said = env.ok(&["status", "--index", "i.db"]);
    assert!(said.contains("--fit auto"), "{said}");
    // It stays so without being said again.
    env.ok(&birds);
    assert_eq!(status(&env)["hash"], "off");
    env.ok(&[&birds[..], &["--fit", "now"]].concat());
    let own = status(&env);
    assert_eq!((&own["hash"], &own["fitted"]["labels"]), (&json!("fitted"), &json!(4)));
    let said = env.ok(&["status", "--index", "i.db"]);
    assert!(said.contains("and their 4 labels"), "{said}");
    env.ok(&[&birds[..], &["--fit", "never"]].concat());
    assert_eq!(status(&env)["hash"], "fitted");
    // A model of one's own is never replaced.
    let model = env.train("itq", 16);
    env.ok(&["index", "birds", "--index", "mine.db", "--model", &model]);
    let said = env.fails(&["index", "birds", "--index", "mine.db", "--fit", "now"]);
    assert!(said.contains("never replaced"), "{said}");
    env.misused(&["index", "birds", "--model", &model, "--fit", "now"]);
    // Pictures that are all the same have no hash.
    for number in 0..3 {
        env.write(&format!("same/{number}.png"), png(1, 1));
    }
    let said = env.fails(&["index", "same", "--index", "same.db", "--fit", "now", "-q"]);
    assert!(said.contains("no hash can be fitted"), "{said}");
    let found = env.json(&["search", "same/0.png", "--index", "same.db"]);
    assert_eq!(found["results"].as_array().unwrap().len(), 3);
}

#[test]
fn an_index_of_before_goes_on_and_can_be_fitted() {
    let env = TestEnv::with_birds(3, 5);
    let path = env.path("i.db");
    let general = Model::general(&Device::Cpu).unwrap();
    let mut writer = IndexWriter::open(&path, &general).unwrap();
    let (birds, options) = ([env.path("birds")], UpdateOptions::default());
    writer.update(&general, &birds, &options, &Task::unwatched()).unwrap();
    drop(writer);
    env.ok(&["index", "--index", "i.db"]);
    let before = status(&env);
    assert_eq!((&before["hash"], &before["features"]), (&json!("without_features"), &json!(false)));
    assert!(env.ok(&["status", "--index", "i.db"]).contains("--fit now"));
    env.ok(&["index", "--index", "i.db", "--fit", "now"]);
    assert_eq!(status(&env)["hash"], "fitted");
}

#[test]
fn an_open_collection_goes_over_to_the_new_hash() {
    let env = TestEnv::with_birds(4, 6);
    let (path, device) = (env.path("i.db"), Device::Cpu);
    let general = Model::general(&device).unwrap();
    let collection = Collection::open_or_create(&path, general, &device).unwrap();
    let options = UpdateOptions::default().with_fitting();
    collection.update(&[env.path("birds")], &options, &Task::unwatched()).unwrap();
    let before = collection.fingerprint();
    let mut writer = IndexWriter::open_existing(&path).unwrap();
    assert_eq!(writer.index().hash_state().unwrap(), HashState::Few);
    let model = collection.model().unwrap();
    let own = writer.refit(&model, &OwnHash, &Task::unwatched()).unwrap();
    drop(writer);

    // The state of before is whole until it is read again.
    let old = collection.snapshot();
    let bird = env.path("birds/class-2/3.png");
    assert!(collection.search_file(&bird, 3).unwrap()[0].same);
    assert!(!collection.is_current());
    collection.reload().unwrap();
    assert_eq!(
        (old.fingerprint(), collection.fingerprint().as_str()),
        (&*before, own.fingerprint())
    );
    let picture = image::open(&bird).unwrap().to_rgb8();
    for snapshot in [old, collection.snapshot()] {
        let code = snapshot.model().unwrap().encode(&picture).unwrap();
        let search = barbule::index::Search::nearest(&code, 1);
        let hit = &snapshot.search(&search).unwrap()[0];
        assert!(hit.path.ends_with("3.png") && hit.distance <= 5, "{hit:?}");
    }
    // An app that opens it with the general model goes on with its own.
    let general = Model::general(&device).unwrap();
    let again = Collection::open_or_create(&path, general, &device).unwrap();
    assert_eq!(again.model().unwrap().fingerprint(), own.fingerprint());
    // Another model's update is refused.
    let general = Model::general(&device).unwrap();
    assert!(IndexWriter::open(&path, &general).is_err());
}

#[test]
fn exports_carry_the_hash() {
    let env = TestEnv::with_birds(4, 6);
    env.ok(&["index", "birds", "--index", "i.db", "--fit", "now"]);
    env.write("new.png", png(2, 40));
    let found = env.json(&["search", "new.png", "--index", "i.db"]);
    for (out, back) in
        [("out.parquet", "parquet.db"), ("numpy/", "numpy.db"), ("out.faiss", "faiss.db")]
    {
        env.ok(&["export", "--index", "i.db", "--to", out]);
        env.ok(&["import", out, "--index", back]);
        let again = env.json(&["search", "new.png", "--index", back]);
        assert_eq!((&again["results"], &again["order"]), (&found["results"], &found["order"]));
        let status = env.json(&["status", "--index", back]);
        assert_eq!(
            (&status["hash"], &status["model"]),
            (&json!("fitted"), &self::status(&env)["model"])
        );
    }
    // Parts of a list that were encoded by it, on any machine.
    env.ok(&["encode", "birds", "--model", "i.db", "--out", "part.parquet"]);
    env.ok(&["import", "part.parquet", "--index", "part.db"]);
    let again = env.json(&["search", "new.png", "--index", "part.db", "-k", "1"]);
    assert_eq!(again["results"][0]["path"], found["results"][0]["path"]);
}

#[test]
fn another_index_can_have_its_hash() {
    let env = TestEnv::with_birds(4, 6);
    env.ok(&["index", "birds", "--index", "i.db", "--fit", "now"]);
    env.ok(&["index", "birds", "--index", "other.db", "--model", "i.db"]);
    let other = env.json(&["status", "--index", "other.db"]);
    assert_eq!((&other["hash"], &other["model"]), (&json!("named"), &status(&env)["model"]));
    env.write("new.png", png(2, 40));
    let found = |file: &str| env.json(&["search", "new.png", "--index", file])["results"].clone();
    assert_eq!(found("i.db"), found("other.db"));
    // An index that names itself has no model.
    let connection = rusqlite::Connection::open(env.path("other.db")).unwrap();
    let itself = env.path("other.db").to_string_lossy().into_owned();
    let sql = "UPDATE meta SET value = ?1 WHERE key = 'model_file'";
    assert_eq!(connection.execute(sql, [itself]).unwrap(), 1);
    let said = env.fails(&["search", "new.png", "--index", "other.db"]);
    assert!(said.contains("--model"), "{said}");
}

#[test]
fn a_damaged_hash_is_named() {
    let env = TestEnv::with_birds(3, 4);
    env.ok(&["index", "birds", "--index", "i.db", "--fit", "now"]);
    env.write("new.png", png(2, 40));
    for (damage, said) in [
        ("UPDATE fitted SET file = zeroblob(100)", "its own model"),
        ("UPDATE meta SET value = 'abc' WHERE key = 'model'", "its own model"),
        ("UPDATE features SET numbers = x'01' WHERE id = 3", "another length"),
        ("DELETE FROM features WHERE id = 3", "contains no features"),
        ("DELETE FROM fitted", "damaged"),
        ("DROP TABLE fitted", "damaged"),
    ] {
        fs::copy(env.path("i.db"), env.path("d.db")).unwrap();
        let connection = rusqlite::Connection::open(env.path("d.db")).unwrap();
        connection.execute_batch(damage).unwrap();
        drop(connection);
        let error = if damage.contains("features") {
            fs::rename(env.path("birds"), env.path("away")).unwrap();
            let error = env.fails(&["index", "--index", "d.db", "--fit", "now"]);
            fs::rename(env.path("away"), env.path("birds")).unwrap();
            error
        } else {
            env.fails(&["search", "new.png", "--index", "d.db"])
        };
        assert!(error.contains(said), "{damage}: {error}");
    }
}
