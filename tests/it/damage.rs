/*!
Damaged, forged and foreign files, files of newer versions, unwritable folders, and killed runs:
each causes a one-line error, and no data is lost.
*/
use std::fs;
use std::path::Path;

use crate::common::{TestEnv, png, stderr};
use barbule::device::Device;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rusqlite::Connection;
use serde_json::{Map, Value, json};

/// A parsed model file: the header and the tensors' bytes.
#[derive(Clone)]
struct ModelFile {
    header: Map<String, Value>,
    data: Vec<u8>,
}

impl ModelFile {
    fn read(path: &Path) -> Self {
        let bytes = fs::read(path).unwrap();
        let length = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
        let header = serde_json::from_slice(&bytes[8..8 + length]).unwrap();
        Self { header, data: bytes[8 + length..].to_vec() }
    }

    fn bytes(&self) -> Vec<u8> {
        let header = serde_json::to_vec(&self.header).unwrap();
        [&(header.len() as u64).to_le_bytes(), header.as_slice(), self.data.as_slice()].concat()
    }

    /// Returns the file with a changed card.
    fn card(&self, change: impl FnOnce(&mut Value)) -> Vec<u8> {
        let mut changed = self.clone();
        let text = changed.header["__metadata__"]["barbule"].as_str().unwrap();
        let mut card = serde_json::from_str(text).unwrap();
        change(&mut card);
        changed.header["__metadata__"]["barbule"] = card.to_string().into();
        changed.bytes()
    }

    /// Returns the file with one field of a tensor's header entry changed.
    fn tensor(&self, name: &str, field: &str, value: Value) -> Vec<u8> {
        let mut changed = self.clone();
        changed.header[name][field] = value;
        changed.bytes()
    }

    /// Returns the name of the last tensor, and the file without it.
    fn without_last(&self) -> (String, Vec<u8>) {
        let mut changed = self.clone();
        let begin = |entry: &Value| entry["data_offsets"][0].as_u64();
        let last = self.header.iter().max_by_key(|(_, entry)| begin(entry)).unwrap();
        changed.header.remove(last.0);
        changed.data.truncate(begin(last.1).unwrap() as usize);
        (last.0.clone(), changed.bytes())
    }
}

/// Creates a small model and images to encode.
fn with_model() -> (TestEnv, String, ModelFile) {
    let env = TestEnv::with_birds(2, 4);
    let model = env.train("lsh", 32);
    let file = ModelFile::read(&env.path(&model));
    (env, model, file)
}

#[test]
fn a_model_file_that_lies_is_refused() {
    let (env, model, file) = with_model();
    let whole = fs::read(env.path(&model)).unwrap();
    let projection = "hash.projection";
    let entry = "trunk.stem.entry.weight";
    let end = file.data.len() as u64;
    let huge = [&u64::MAX.to_le_bytes(), &whole[8..]].concat();
    let long = [&(whole.len() as u64).to_le_bytes(), &whole[8..]].concat();
    let (last, without_last) = file.without_last();
    let mut bare = file.clone();
    bare.header.remove("__metadata__");
    let mut nan = file.clone();
    let at = file.header["hash.mean"]["data_offsets"][0].as_u64().unwrap() as usize;
    nan.data[at..at + 4].copy_from_slice(&f32::NAN.to_le_bytes());
    let set = |field: &'static str, value: Value| move |card: &mut Value| card[field] = value;
    let cases: Vec<(Vec<u8>, &str)> = vec![
        (Vec::new(), "header too small"),
        (b"Dear Sir or Madam,".to_vec(), "header too large"),
        (huge, "header too large"),
        (long, "header"),
        (whole[..whole.len() / 2].to_vec(), "not fully covered"),
        ([&whole, &b"more"[..]].concat(), "not fully covered"),
        (without_last, &last),
        (bare.bytes(), "it has no card"),
        (nan.bytes(), "not a number"),
        (file.tensor(projection, "data_offsets", json!([end, end + 163_840])), "offset"),
        (file.tensor(projection, "data_offsets", json!([0, u64::MAX])), "offset"),
        (file.tensor(projection, "shape", json!([32, 1280])), projection),
        (file.tensor(projection, "shape", json!([40_960])), projection),
        (file.tensor(projection, "shape", json!([1u64 << 62, 8])), "overflow"),
        (file.tensor(projection, "dtype", json!("I32")), projection),
        (file.tensor(entry, "shape", json!([3, 32, 3, 3])), entry),
        (file.tensor(entry, "dtype", json!("I16")), entry),
        (file.tensor(entry, "dtype", json!("U16")), "U16"),
        (file.card(set("format", json!(8))), "install a newer Barbule"),
        (file.card(set("format", json!(5))), "other layers than a file of format 5"),
        (file.card(set("attention", json!("chain"))), "other layers than a file of format 1"),
        (file.card(set("attention", json!("rows"))), "its card is damaged"),
        (file.card(set("projections", json!(6))), "other layers than a file of format 1"),
        (file.card(set("projections", json!(65))), "65 projections, more than 64"),
        (file.card(set("projections", json!(-1))), "its card is damaged"),
        (file.card(set("parts", json!(65))), "65 parts, more than 64"),
        (file.card(set("format", json!(4))), "names no codebooks in a file of format 4"),
        (file.card(set("values", json!(7))), "names no codebooks in a file of format 1"),
        (file.card(set("unit", json!(true))), "names no codebooks in a file of format 1"),
        (file.card(set("format", json!(1e12 as u64))), "install a newer Barbule"),
        (file.card(set("format", json!("1"))), "its card is damaged"),
        (file.card(set("bits", json!(0))), "not 0"),
        (file.card(set("bits", json!(48))), projection),
        (file.card(set("bits", json!(1u64 << 60))), "not 1152921504606846976"),
        (file.card(set("bits", json!(-1))), "its card is damaged"),
        (file.card(set("trunk", json!("resnet-9000"))), "its card is damaged"),
        (file.card(|card| card["preprocess"]["size"] = json!(1_000_000)), "1000000 pixels"),
        (file.card(|card| card["preprocess"]["std"] = json!([0, 0, 0])), "standard deviation"),
        (file.card(|card| *card = json!([[[[[]]]]])), "its card is damaged"),
    ];
    for (bytes, expected) in cases {
        env.write("lie.safetensors", &bytes);
        let said = env.fails(&["encode", "birds/class-0/0.png", "--model", "lie.safetensors"]);
        assert!(said.contains(expected), "{said} instead of {expected}");
        assert!(said.contains("lie.safetensors"), "the file is not named: {said}");
    }
    // Other commands report the same error.
    let said = env.fails(&["eval", "--model", "lie.safetensors", "--data", "birds"]);
    assert!(said.contains("its card is damaged"), "{said}");
    let said = env.fails(&["index", "birds", "--model", "lie.safetensors", "--index", "i.db"]);
    assert!(said.contains("its card is damaged"), "{said}");
    assert!(!env.path("i.db").exists());
}

#[test]
fn a_kernel_that_lies_is_refused() {
    let env = TestEnv::with_birds(2, 5);
    let model = env.train("sdh", 16);
    let file = ModelFile::read(&env.path(&model));
    let (anchors, rate) = ("hash.kernel.anchors", "hash.kernel.rate");
    // 4 of 5 images of each of 2 classes are training images.
    assert_eq!(file.header[anchors]["shape"], json!([8, 1280]));
    let number = |tensor: &str, value: f32| {
        let mut changed = file.clone();
        let at = changed.header[tensor]["data_offsets"][0].as_u64().unwrap() as usize;
        changed.data[at..at + 4].copy_from_slice(&value.to_le_bytes());
        changed.bytes()
    };
    let without = |tensor: &str| {
        let mut changed = file.clone();
        let entry = changed.header.remove(tensor).unwrap();
        changed.header.insert("other".to_owned(), entry);
        changed.bytes()
    };
    let named = |anchors: Value| file.card(|card| card["anchors"] = anchors);
    let plain = |count| file.card(|card| (card["format"], card["plain"]) = (json!(6), count));
    let cases: Vec<(Vec<u8>, &str)> = vec![
        (number(anchors, f32::NAN), "not a number"),
        (number(anchors, f32::NEG_INFINITY), "infinite"),
        (number(rate, f32::NAN), "above 0, not NaN"),
        (number(rate, 0.0), "above 0, not 0"),
        (number(rate, -2.0), "above 0, not -2"),
        (without(anchors), anchors),
        (without(rate), rate),
        (file.tensor(anchors, "shape", json!([1280, 8])), anchors),
        (file.tensor(anchors, "shape", json!([10_240])), anchors),
        (file.tensor(anchors, "shape", json!([4, 2560])), anchors),
        (file.tensor(rate, "shape", json!([])), rate),
        (file.tensor(anchors, "dtype", json!("I32")), anchors),
        (named(json!(0)), "the shape"),
        (named(json!(7)), "the shape"),
        (named(json!(9)), "the shape"),
        (named(json!(1_000_000)), "names 1000000 anchors"),
        (named(json!(u64::MAX)), "names 18446744073709551615 anchors"),
        (named(json!(-1)), "its card is damaged"),
        (named(json!("all")), "its card is damaged"),
        // Features that pass by the kernel, in a file whose tensors have none.
        (file.card(|card| card["plain"] = json!(3)), "names 3 features before a kernel"),
        (plain(json!(3)), "the shape"),
        (plain(json!(1280)), "names 1280 features before a kernel"),
        (plain(json!(u64::MAX)), "names 18446744073709551615 features"),
        (plain(json!(-3)), "its card is damaged"),
        // Without anchors the file is read as a linear hash, which needs a mean.
        (named(Value::Null), "hash.mean"),
    ];
    for (bytes, expected) in cases {
        env.write("lie.safetensors", &bytes);
        let said = env.fails(&["encode", "birds/class-0/0.png", "--model", "lie.safetensors"]);
        assert!(said.contains(expected), "{said} instead of {expected}");
        assert!(said.contains("lie.safetensors"), "the file is not named: {said}");
    }
}

#[test]
fn codebooks_that_lie_are_refused() {
    let env = TestEnv::with_birds(2, 5);
    let small = ["--size", "64", "--outer", "1", "--epochs", "1", "--train", "head"];
    let train = ["train", "dtq", "--data", "birds", "--bits", "16", "--cache", "cache"];
    env.ok(&[&train[..], &small, &["--out", "m.safetensors"]].concat());
    let file = ModelFile::read(&env.path("m.safetensors"));
    let words = "hash.codebooks";
    assert_eq!(
        (&file.header[words]["shape"], &file.header[words]["dtype"]),
        (&json!([64, 16]), &json!("F32"))
    );
    let number = |value: f32| {
        let mut changed = file.clone();
        let at = changed.header[words]["data_offsets"][0].as_u64().unwrap() as usize;
        changed.data[at..at + 4].copy_from_slice(&value.to_le_bytes());
        changed.bytes()
    };
    let without = {
        let mut changed = file.clone();
        let entry = changed.header.remove(words).unwrap();
        changed.header.insert("other".to_owned(), entry);
        changed.bytes()
    };
    let named = |count: Value| file.card(|card| card["codebooks"] = count);
    let cases: Vec<(Vec<u8>, &str)> = vec![
        (number(f32::NAN), "not a number"),
        (number(f32::INFINITY), "infinite"),
        (without, words),
        (file.tensor(words, "shape", json!([16, 64])), words),
        (file.tensor(words, "shape", json!([1024])), words),
        (file.tensor(words, "dtype", json!("I32")), words),
        (named(json!(0)), "names 0 codebooks for 16 bits"),
        (named(json!(3)), "names 3 codebooks for 16 bits"),
        (named(json!(u64::MAX)), "names 18446744073709551615 codebooks"),
        (named(json!(-1)), "its card is damaged"),
        (file.card(|card| card["anchors"] = json!(1)), "names 4 codebooks"),
        (file.card(|card| card["bits"] = json!(20)), "names 4 codebooks for 20 bits"),
        // Codebook hashes and sign hashes are not interchangeable.
        (named(Value::Null), "names no codebooks in a file of format 3"),
        (file.card(|card| card["values"] = json!(15)), "names 4 codebooks"),
        (
            file.card(|card| (card["format"], card["values"]) = (json!(4), json!(15))),
            "hash.projection",
        ),
        (
            file.card(|card| (card["format"], card["values"]) = (json!(4), json!(u64::MAX))),
            "more than it holds",
        ),
        (file.card(|card| card["format"] = json!(2)), "names codebooks in a file of format 2"),
    ];
    for (bytes, expected) in cases {
        env.write("lie.safetensors", &bytes);
        let said = env.fails(&["eval", "--model", "lie.safetensors", "--data", "birds"]);
        assert!(said.contains(expected), "{said} instead of {expected}");
        assert!(said.contains("lie.safetensors"), "the file is not named: {said}");
    }
}

#[test]
fn layers_that_lie_are_refused() {
    let env = TestEnv::with_birds(2, 5);
    let small = ["--size", "64", "--outer", "1", "--epochs", "1", "--train", "head"];
    for method in ["semicon", "agmh", "dahnet"] {
        let train = ["train", method, "--data", "birds", "--bits", "16", "--cache", "cache"];
        env.ok(&[&train[..], &small, &["--out", "m.safetensors"]].concat());
        let file = ModelFile::read(&env.path("m.safetensors"));
        let names: Vec<&String> = file.header.keys().collect();
        let training = ["classifier", "mining"];
        assert!(!names.iter().any(|name| training.iter().any(|own| name.contains(own))));
        let tensor = match method {
            "semicon" => "trunk.parts.attention.heads.2.weight",
            "agmh" => "trunk.projections.groups.5.weight",
            _ => "trunk.parts.attention.columns.weight",
        };
        let without = {
            let mut changed = file.clone();
            let entry = changed.header.remove(tensor).unwrap();
            changed.header.insert("other".to_owned(), entry);
            changed.bytes()
        };
        let shape = &file.header[tensor]["shape"];
        let turned = json!([shape[1], shape[0], 1, 1]);
        let set = |fields: &[(&str, Value)]| {
            file.card(|card| fields.iter().for_each(|(name, value)| card[*name] = value.clone()))
        };
        let mut cases = vec![
            (without, tensor),
            (file.tensor(tensor, "shape", turned), tensor),
            (set(&[("format", json!(1))]), "other layers than a file of format 1"),
            (set(&[("parts", json!(65))]), "more than 64"),
            (set(&[("projections", json!(u64::MAX))]), "more than 64"),
            (set(&[("parts", json!(2)), ("projections", json!(2))]), "do not belong together"),
            (set(&[("anchors", json!(1))]), "do not belong together"),
            (set(&[("codebooks", json!(4))]), "codebooks in a file of format 5"),
            (set(&[("values", json!(7))]), "no codebooks in a file of format 5"),
        ];
        if method != "agmh" {
            cases.push((set(&[("parts", json!(0))]), "do not belong together"));
            cases.push((set(&[("parts", json!(2))]), "hash."));
            let other = if method == "semicon" { "strips" } else { "chain" };
            cases.push((set(&[("attention", json!(other))]), "missing tensor"));
            cases.push((set(&[("attention", json!("together"))]), "file of format 5"));
        } else {
            cases.push((set(&[("projections", json!(7))]), "hash."));
            cases.push((set(&[("projections", json!(5))]), "hash."));
        }
        for (bytes, expected) in cases {
            env.write("lie.safetensors", &bytes);
            let said = env.fails(&["eval", "--model", "lie.safetensors", "--data", "birds"]);
            assert!(said.contains(expected), "{method}: {said} instead of {expected}");
            assert!(said.contains("lie.safetensors"), "the file is not named: {said}");
        }
    }
}

#[test]
fn changed_bytes_of_a_model_are_no_panic() {
    let (env, model, _) = with_model();
    let whole = fs::read(env.path(&model)).unwrap();
    let header = 8 + u64::from_le_bytes(whole[..8].try_into().unwrap()) as usize;
    let mut rng = ChaCha8Rng::seed_from_u64(5);
    let digits = b"0123456789[]{}\",:";
    for _ in 0..40 {
        let mut bytes = whole.clone();
        for _ in 0..rng.random_range(1..6) {
            let at = rng.random_range(0..header);
            bytes[at] =
                if rng.random() { digits[rng.random_range(0..digits.len())] } else { rng.random() };
        }
        env.write("changed", &bytes);
        let output = env.run(&["encode", "birds/class-0/0.png", "--model", "changed", "-q"]);
        assert!(matches!(output.status.code(), Some(0 | 1)), "{}", stderr(&output));
        assert!(stderr(&output).lines().count() <= 1, "{}", stderr(&output));
    }
}

/// Creates a model, and the index `i.db` of eight images.
fn with_index() -> (TestEnv, String) {
    let env = TestEnv::with_birds(2, 4);
    let model = env.train("lsh", 32);
    env.ok(&["index", "birds", "--model", &model, "--index", "i.db"]);
    (env, model)
}

const SEARCH: [&str; 2] = ["search", "birds/class-0/0.png"];

#[test]
fn what_is_no_index_is_left_alone() {
    let (env, model) = with_index();
    let other = env.path("other.db");
    Connection::open(&other).unwrap().execute_batch("CREATE TABLE x (y)").unwrap();
    env.write("letter.db", "Dear Sir or Madam,");
    env.write("long-letter.db", "Dear Sir or Madam,\n".repeat(1000));
    fs::copy(env.path("i.db"), env.path("newer.db")).unwrap();
    let newer = Connection::open(env.path("newer.db")).unwrap();
    newer.pragma_update(None, "user_version", 99).unwrap();
    newer.close().unwrap();
    let cases = [
        ("letter.db", "it is no SQLite file"),
        ("long-letter.db", "it is no SQLite file"),
        ("other.db", "it was made by another program"),
        ("newer.db", "index of format 99"),
        ("birds", "birds"),
    ];
    for (name, expected) in cases {
        let before = fs::read(env.path(name)).ok();
        for args in [&SEARCH[..], &["index", "birds", "--model", &model]] {
            let said = env.fails(&[args, &["--index", name]].concat());
            assert!(said.contains(expected) && said.contains(name), "{said}");
        }
        assert_eq!(fs::read(env.path(name)).ok(), before, "{name} was changed");
    }
}

#[test]
fn a_creation_that_was_cut_short_is_taken_up() {
    let (env, model) = with_index();
    env.write("empty.db", "");
    let wal = Connection::open(env.path("wal.db")).unwrap();
    wal.pragma_update(None, "journal_mode", "wal").unwrap();
    wal.close().unwrap();
    for name in ["empty.db", "wal.db"] {
        let said = env.fails(&[&SEARCH[..], &["--index", name]].concat());
        assert!(said.contains("it is empty; `barbule index` fills it"), "{said}");
        env.ok(&["index", "birds", "--model", &model, "--index", name]);
        assert_eq!(
            env.json(&[&SEARCH[..], &["--index", name]].concat())["results"][0]["same"],
            true
        );
    }
    // Names with a special meaning in SQLite are ordinary files.
    for name in [":memory:", "file:x?mode=memory"] {
        env.ok(&["index", "birds", "--model", &model, "--index", name]);
        assert!(env.path(name).is_file(), "{name}");
    }
}

#[test]
fn a_damaged_index_is_said_to_be() {
    let (env, model) = with_index();
    let whole = fs::read(env.path("i.db")).unwrap();
    let named = |said: &str| assert!(said.contains("t.db is not a Barbule index"), "{said}");
    for length in [1, 50, 600, 4096, 8192, whole.len() - 1] {
        env.write("t.db", &whole[..length]);
        named(&env.fails(&[&SEARCH[..], &["--index", "t.db"]].concat()));
    }
    let damage = [
        "DROP TABLE meta",
        "DROP TABLE blocks",
        "DELETE FROM meta",
        "UPDATE meta SET value = '0' WHERE key = 'bits'",
        "UPDATE meta SET value = 'many' WHERE key = 'bits'",
        "UPDATE blocks SET ids = zeroblob(length(ids))",
        "UPDATE blocks SET ids = zeroblob(8)",
        "UPDATE blocks SET codes = 'text'",
        "DELETE FROM images WHERE id > 2",
        "UPDATE images SET path = randomblob(9)",
        "PRAGMA user_version = 0",
        "PRAGMA user_version = -5",
    ];
    for sql in damage {
        env.write("t.db", &whole);
        let connection = Connection::open(env.path("t.db")).unwrap();
        connection.execute_batch(sql).unwrap();
        connection.close().unwrap();
        println!("{sql}");
        named(&env.fails(&["search", "--code", "00000000", "--index", "t.db"]));
    }
    let mut rng = ChaCha8Rng::seed_from_u64(6);
    for round in 0..40 {
        let mut bytes = whole.clone();
        for _ in 0..rng.random_range(1..20) {
            let at = rng.random_range(0..bytes.len());
            bytes[at] = rng.random();
        }
        for extra in ["r.db-wal", "r.db-shm"] {
            let _ = fs::remove_file(env.path(extra));
        }
        env.write("r.db", &bytes);
        let index = ["index", "birds", "--model", &model];
        let args = if round % 2 == 0 { &SEARCH[..] } else { &index[..] };
        let output = env.run(&[args, &["--index", "r.db", "-q"]].concat());
        assert!(matches!(output.status.code(), Some(0 | 1)), "{}", stderr(&output));
        assert!(stderr(&output).lines().count() <= 1, "{}", stderr(&output));
    }
}

#[test]
fn a_search_sees_the_index_as_it_was_opened() {
    use barbule::code::Code;
    use barbule::device::Device;
    use barbule::index::{Collection, Index};

    let (env, _) = with_index();
    let collection = Collection::open_lazily(&env.path("i.db"), &Device::Cpu).unwrap();
    // Another process takes everything out meanwhile.
    let writer = Connection::open(env.path("i.db")).unwrap();
    writer.execute_batch("DELETE FROM images; DELETE FROM blocks").unwrap();
    let query = Code::from_hex(32, "00000000").unwrap();
    assert_eq!(collection.search_code(&query, 20).unwrap().len(), 8);
    drop(collection);
    assert!(Index::open(&env.path("i.db")).unwrap().is_empty().unwrap());
}

#[test]
fn runs_at_once_add_each_image_once() {
    let env = TestEnv::with_birds(2, 20);
    let model = env.train("lsh", 32);
    let run = || {
        let args = ["index", "birds", "--model", &model, "--index", "i.db", "-q"];
        let output = env.run(&args);
        // A run that finds another one writing reports that, and changes nothing.
        let told = stderr(&output).contains("is writing to i.db");
        assert!(output.status.success() || told, "{}", stderr(&output));
        output.status.success()
    };
    let done = std::thread::scope(|scope| {
        let runs: Vec<_> = (0..3).map(|_| scope.spawn(run)).collect();
        runs.into_iter().map(|run| run.join().unwrap()).filter(|done| *done).count()
    });
    assert!(done > 0, "no run succeeded");
    let report = env.json(&["index", "birds", "--model", &model, "--index", "i.db"]);
    assert_eq!((&report["images"], &report["unchanged"]), (&40.into(), &40.into()), "{report}");
    let answer = env.json(&[&SEARCH[..], &["--index", "i.db", "-k", "100"]].concat());
    assert_eq!(answer["results"].as_array().unwrap().len(), 40);
}

#[cfg(unix)]
#[test]
fn a_killed_run_loses_its_last_batch_at_most() {
    use std::process::Stdio;
    use std::time::{Duration, Instant};

    let env = TestEnv::with_birds(2, 150);
    let model = env.train("lsh", 32);
    let args = ["index", "birds", "--model", &model, "--index", "i.db"];
    let count = || {
        let connection = Connection::open(env.path("i.db")).ok()?;
        connection.query_row("SELECT count(*) FROM images", [], |row| row.get::<_, i64>(0)).ok()
    };
    let mut command = env.plain_command(&args);
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let begun = Instant::now();
    while !env.path("i.db").exists() || count().unwrap_or(0) == 0 {
        assert!(begun.elapsed() < Duration::from_secs(60), "nothing was indexed");
        std::thread::sleep(Duration::from_millis(1));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    let kept = count().unwrap();
    // Every image that was written has its code.
    let answer = env.json(&["search", "--code", "00000000", "--index", "i.db", "-k", "1000"]);
    assert_eq!(answer["results"].as_array().unwrap().len() as i64, kept);
    let report = env.json(&args);
    assert_eq!((&report["images"], &report["unchanged"]), (&300.into(), &kept.into()));
}

#[cfg(unix)]
#[test]
fn folders_that_cannot_be_read_or_written_are_said_to_be() {
    use std::os::unix::fs::PermissionsExt;

    let (env, model) = with_index();
    env.write("closed/a.png", png(0, 0));
    env.write("closed/inner/b.png", png(0, 1));
    env.write("fixed/note.txt", "here to make the folder");
    fs::copy(env.path("i.db"), env.path("fixed/i.db")).unwrap();
    let mode = |name: &str, mode| {
        fs::set_permissions(env.path(name), fs::Permissions::from_mode(mode)).unwrap();
    };
    mode("closed/inner", 0o000);
    mode("fixed", 0o555);
    if fs::read_dir(env.path("closed/inner")).is_ok() {
        eprintln!("skipped: permissions do not restrict this user");
        return;
    }
    let report = env.json(&["index", "closed", "--model", &model, "--index", "c.db"]);
    assert_eq!(report["added"], 1);
    assert!(report["skipped"][0]["reason"].as_str().unwrap().contains("closed/inner"), "{report}");
    let said = env.fails(&["index", "closed/inner", "--model", &model, "--index", "c.db"]);
    assert!(said.contains("closed/inner"), "{said}");

    let said = env.fails(&["train", "lsh", "--data", "birds", "--out", "fixed/m"]);
    assert!(said.contains("fixed/m"), "{said}");
    let said = env.fails(&["index", "birds", "--model", &model, "--index", "fixed/new.db"]);
    assert!(said.contains("fixed/new.db"), "{said}");
    // An index in a read-only folder can be searched.
    let answer = env.json(&[&SEARCH[..], &["--index", "fixed/i.db"]].concat());
    assert_eq!(answer["results"][0]["same"], true);
    mode("closed/inner", 0o755);
    mode("fixed", 0o755);
}

/// The sentence of an error, and that of its source.
fn told(error: &dyn std::error::Error) -> (String, String) {
    (error.to_string(), error.source().expect("a cause").to_string())
}

#[test]
fn errors_give_their_cause() {
    use std::error::Error as _;

    use barbule::engine::{Parts, numpy};
    use barbule::index::{Index, Labels};
    use barbule::model::Model;

    let env = TestEnv::new();
    let damaged = env.write("damaged", "no such thing");
    let (said, cause) = told(&Model::open(&damaged, &Device::Cpu).unwrap_err());
    assert!(said.contains(&format!("is not a Barbule model: {cause}")), "{said}");
    let (said, cause) = told(&Index::open(&damaged).unwrap_err());
    assert!(said.ends_with(&format!("is not a Barbule index: {cause}")), "{said}");
    let (said, cause) = told(&Labels::read(&env.path("none.csv")).unwrap_err());
    assert!(said.contains(&cause) && cause.contains("os error 2"), "{said}");
    let (said, cause) = told(&Labels::read(&damaged).unwrap_err());
    assert!(said.contains(&cause) && cause.starts_with("line 1 has no"), "{said}");
    let parts = Parts::open(&[&damaged]).err().unwrap();
    let (said, cause) = told(&parts);
    assert!(said.contains(&cause), "{said}");
    assert!(numpy::Reader::open(&damaged).err().unwrap().source().is_some());
}
