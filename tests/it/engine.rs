/*!
Import and export: collections survive a round trip through every format, damage is reported,
parts are joined, and machines that share a list encode each image once.
*/
use std::fs;
use std::path::Path;
use std::process::Command;

use crate::common::TestEnv;
use crate::common::collection::{Collection, everything};
use barbule::device::{Device, DeviceChoice};
use barbule::engine::shard::{Job, Shard, Share, encode};
use barbule::engine::{self, IndexSource, Parts, Sink, faiss, import, numpy, parquet};
use barbule::index::{self, Index, Labels};
use barbule::model::Model;
use barbule::task::Task;
use proptest::prelude::*;
use serde_json::Value;
use std::sync::atomic::{AtomicBool, Ordering};

fn write(sink: Box<dyn Sink>, collection: &Collection) {
    engine::copy(&mut collection.clone(), sink, &Task::unwatched()).unwrap();
}

fn whole(paths: &[impl AsRef<Path>]) -> barbule::engine::Batch {
    everything(engine::open(paths).unwrap().as_mut()).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, ..ProptestConfig::default() })]

    #[test]
    fn what_goes_out_comes_in_again(images in 0usize..9000, bits in 1usize..300, seed: u64) {
        let env = TestEnv::new();
        let collection = Collection::random(images, bits, seed);
        let head = &collection.head;
        let (file, index, folder) = (env.path("a.parquet"), env.path("a.faiss"), env.path("a"));
        write(Box::new(parquet::Writer::create(&file, head, None).unwrap()), &collection);
        write(Box::new(faiss::Writer::create(&index, head).unwrap()), &collection);
        write(Box::new(numpy::Writer::create(&folder, head).unwrap()), &collection);
        for path in [file, index, folder] {
            let mut source = engine::open(&[&path]).unwrap();
            prop_assert_eq!(source.head(), head);
            prop_assert_eq!(everything(source.as_mut()).unwrap(), collection.all.clone());
        }
    }
}

#[test]
fn an_index_of_an_export_finds_the_same() {
    let env = TestEnv::new();
    let device = Device::open(DeviceChoice::Cpu, None).unwrap();
    let mut collection = Collection::random(10_000, 48, 3);
    let first = env.path("first.db");
    import(&mut collection, &first, &Task::unwatched()).unwrap();
    let again = import(&mut collection, &first, &Task::unwatched()).unwrap_err().to_string();
    assert!(again.contains("another index"), "{again}");

    env.ok(&["export", "--index", "first.db", "--to", "codes/"]);
    env.ok(&["import", "codes", "--index", "second.db"]);
    let second = Index::open(&env.path("second.db")).unwrap();
    let all = everything(&mut IndexSource::new(&second).unwrap()).unwrap();
    assert_eq!(all, collection.all);
    let one = index::Collection::open_lazily(&first, &device).unwrap();
    let two = index::Collection::open_lazily(&env.path("second.db"), &device).unwrap();
    for code in collection.queries(5) {
        assert_eq!(one.search_code(&code, 50).unwrap(), two.search_code(&code, 50).unwrap());
    }
    // Roots and model are imported too, and no temporary file remains.
    assert_eq!(second.roots().unwrap().len(), 1);
    assert_eq!(second.model(), one.fingerprint());
    assert!(!env.path("second.db.importing").exists());
}

#[test]
fn an_imported_image_belongs_to_the_innermost_folder_around_it() {
    let env = TestEnv::new();
    let mut collection = Collection::random(40, 32, 5);
    let inner = format!("{}/inner", collection.head.roots[0]);
    collection.head.roots.push(inner.clone());
    for path in collection.all.paths.iter_mut().step_by(2) {
        *path = format!("{inner}/{}", path.rsplit('/').next().unwrap());
    }
    let path = env.path("i.db");
    import(&mut collection.clone(), &path, &Task::unwatched()).unwrap();
    let connection = rusqlite::Connection::open(path).unwrap();
    let sql = "SELECT roots.path FROM images JOIN roots ON roots.id = root ORDER BY images.id";
    let mut statement = connection.prepare(sql).unwrap();
    let found = statement.query_map([], |row| row.get::<_, String>(0)).unwrap();
    let found: Vec<String> = found.map(Result::unwrap).collect();
    assert_eq!(found.len(), 40);
    for (row, root) in found.iter().enumerate() {
        assert_eq!(root == &inner, row % 2 == 0, "{row}: {root}");
    }
}

#[test]
fn damage_and_strangers_are_told() {
    let env = TestEnv::new();
    let collection = Collection::random(5000, 48, 4);
    for name in ["a.parquet", "a.faiss"] {
        let path = env.path(name);
        match name {
            "a.parquet" => write(
                Box::new(parquet::Writer::create(&path, &collection.head, None).unwrap()),
                &collection,
            ),
            _ => write(
                Box::new(faiss::Writer::create(&path, &collection.head).unwrap()),
                &collection,
            ),
        }
        let bytes = fs::read(&path).unwrap();
        for length in [0, 3, 40, bytes.len() / 2, bytes.len() - 1] {
            fs::write(&path, &bytes[..length]).unwrap();
            let said = env.fails(&["import", name, "--index", "x.db"]);
            assert!(said.contains(name), "{said}");
            assert!(!env.path("x.db").exists());
        }
        // A changed byte causes an error or another collection, but no panic.
        for place in (0..bytes.len()).step_by(bytes.len() / 60) {
            let mut wrong = bytes.clone();
            wrong[place] ^= 0x55;
            fs::write(&path, wrong).unwrap();
            if let Ok(mut source) = engine::open(&[&path]) {
                everything(source.as_mut()).ok();
            }
        }
        fs::write(&path, bytes).unwrap();
        assert_eq!(whole(&[&path]), collection.all);
    }
    let folder = env.path("a");
    write(Box::new(numpy::Writer::create(&folder, &collection.head).unwrap()), &collection);
    for name in ["codes.npy", "ids.npy", "contents.npy", "paths.txt", "labels.txt", "about.json"] {
        let path = folder.join(name);
        let bytes = fs::read(&path).unwrap();
        fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
        let said = env.fails(&["import", "a", "--index", "x.db"]);
        assert!(said.contains(name), "{said}");
        fs::write(&path, bytes).unwrap();
    }
    env.write("photo.parquet", "no such thing");
    assert!(env.fails(&["import", "photo.parquet", "--index", "x.db"]).contains("photo.parquet"));
    assert!(env.fails(&["import", "nothing", "--index", "x.db"]).contains("nothing"));
    env.ok(&["import", "a", "--index", "x.db"]);
    assert!(env.fails(&["export", "--index", "x.db", "--to", "a.xls"]).contains(".parquet"));
    assert!(
        env.fails(&["export", "--index", "x.db", "--to", "no/such/a.parquet"]).contains("no/such")
    );
    assert!(
        env.fails(&["export", "--index", "x.db", "--to", "b/", "--replace"]).contains("servers")
    );
}

/// Files with impossible metadata.
#[test]
fn hostile_files_are_told() {
    let env = TestEnv::new();
    let collection = Collection::random(100, 48, 14);
    let folder = env.path("a");
    write(Box::new(numpy::Writer::create(&folder, &collection.head).unwrap()), &collection);
    let about = folder.join("about.json");
    let fine = fs::read_to_string(&about).unwrap();
    let bits = ["0", "1025", "18446744073709551615", "9223372036854775807"];
    let images = ["18446744073709551615", "9223372036854775807", "576460752303423488"];
    let bits = bits.map(|bits| fine.replace("\"bits\": 48", &format!("\"bits\": {bits}")));
    let images = images.map(|n| fine.replace("\"images\": 100", &format!("\"images\": {n}")));
    for text in bits.iter().chain(&images) {
        assert_ne!(text, &fine);
        fs::write(&about, text).unwrap();
        let said = engine::open(&[&folder]).err().unwrap().to_string();
        assert!(said.contains("about.json"), "{said}");
    }
    fs::write(&about, &fine).unwrap();
    assert_eq!(whole(&[&folder]), collection.all);

    // Image counts that are too large individually, and in sum.
    let paths: Vec<_> = (0..20).map(|n| env.path(&format!("parts/{n}.parquet"))).collect();
    fs::create_dir(env.path("parts")).unwrap();
    let announce = |path: &Path, images: u64| {
        let mut writer = Box::new(parquet::Writer::create(path, &collection.head, None).unwrap());
        writer.write(&collection.all).unwrap();
        writer.set_images(images);
        writer.finish().unwrap();
    };
    announce(&paths[0], u64::MAX);
    assert!(engine::open(&[&paths[0]]).is_err());
    for path in &paths {
        announce(path, i64::MAX as u64 / 128);
    }
    assert!(engine::open(&[&paths[0]]).is_ok());
    let said = Parts::open(&paths).err().unwrap().to_string();
    assert!(said.contains("exceeds the limit"), "{said}");
    let mut head = collection.head.clone();
    head.images = u64::MAX;
    assert!(faiss::Writer::create(&env.path("x.faiss"), &head).is_err());
    assert!(numpy::Writer::create(&env.path("x"), &head).is_err());
}

#[test]
fn parts_make_a_whole_or_say_what_is_missing() {
    let env = TestEnv::new();
    let collection = Collection::random(1000, 64, 5);
    let names: Vec<_> = (1..=3).map(|part| env.path(&format!("parts/{part}.parquet"))).collect();
    fs::create_dir(env.path("parts")).unwrap();
    let part = |part: usize, list: &str, name: &Path| {
        let rows: Vec<usize> = Shard::new(part, 3).unwrap().range(1000).collect();
        let own = Collection::of(collection.select(&rows));
        let share = Share::new(part, 3, list);
        write(Box::new(parquet::Writer::create(name, &own.head, Some(share)).unwrap()), &own);
    };
    for (number, name) in (1..).zip(&names) {
        part(number, "one", name);
    }
    assert_eq!(whole(&[env.path("parts")]), collection.all);
    // Ids ascend whatever the order of the arguments.
    assert_eq!(whole(&[&names[2], &names[0], &names[1]]), collection.all);
    let said = |paths: &[&Path]| Parts::open(paths).err().unwrap().to_string();
    assert!(said(&[&names[0], &names[2]]).contains("part 2 of 3 is missing"));
    assert!(
        said(&[&names[0], &names[1], &names[2], &names[1]]).contains("part 2 of 3 is named twice")
    );
    // A different division of the same list would overlap or leave a gap.
    let other = Collection::of(collection.select(&(0..500).collect::<Vec<_>>()));
    let half = env.path("half.parquet");
    let share = Share::new(1, 2, "one");
    write(Box::new(parquet::Writer::create(&half, &other.head, Some(share)).unwrap()), &other);
    for paths in [[&half, &names[1]], [&names[1], &half]] {
        let said = said(&paths.map(|path| path.as_path()));
        assert!(said.contains("of 2") && said.contains("of 3"), "{said}");
    }
    part(2, "another", &names[1]);
    assert!(said(&[&names[0], &names[1], &names[2]]).contains("different lists"));

    let other = Collection::random(10, 65, 6);
    let (own, twice) = (env.path("own.parquet"), env.path("twice.parquet"));
    write(Box::new(parquet::Writer::create(&own, &other.head, None).unwrap()), &other);
    fs::copy(&own, &twice).unwrap();
    let mut both = Parts::open(&[&own, &twice]).unwrap();
    let index = env.path("both.db");
    let error = import(&mut both, &index, &Task::unwatched()).unwrap_err().to_string();
    assert!(error.contains("duplicated") && !index.exists(), "{error}");
    let single = Collection::random(10, 64, 6);
    write(Box::new(parquet::Writer::create(&twice, &single.head, None).unwrap()), &single);
    assert!(said(&[&own, &twice]).contains("another model"));
}

#[test]
fn machines_that_share_a_list_encode_each_image_once() {
    let env = TestEnv::with_birds(4, 9);
    env.write("birds/class-1/broken.jpg", "no picture");
    env.ok(&["index", "birds", "--index", "whole.db", "--labels", "folder"]);
    let mut counted = [0, 0];
    for part in 1..=3 {
        let out = format!("parts/{part}.parquet");
        fs::create_dir_all(env.path("parts")).unwrap();
        let shard = format!("{part}/3");
        let args = ["encode", "birds", "--shard", &shard, "--out", &out, "--labels", "folder"];
        let report = env.json(&args);
        let skipped = report["skipped"].as_array().unwrap().len() as u64;
        let images = report["images"].as_u64().unwrap();
        assert!((12..=13).contains(&(images + skipped)), "{report}");
        counted = [counted[0] + images, counted[1] + skipped];
        assert!(!env.path(&format!("{out}.work")).exists());
    }
    assert_eq!(counted, [36, 1], "the images, and the file that is none");
    env.ok(&["import", "parts", "--index", "joined.db"]);
    let open = |name: &str| {
        let index = Index::open(&env.path(name)).unwrap();
        let mut all = everything(&mut IndexSource::new(&index).unwrap()).unwrap();
        // An unreadable file takes an id in a part, but not in an index.
        all.ids = (0..all.len() as i64).collect();
        all
    };
    assert_eq!(open("joined.db"), open("whole.db"));
    assert_eq!(open("joined.db").len(), 36);
    let said = env.misused(&["encode", "birds", "--shard", "4/3", "--out", "x.parquet"]);
    assert!(said.contains("3/16"), "{said}");
    let said = env.misused(&["encode"]);
    assert!(said.contains("required"), "{said}");
    env.write("list.txt", "birds/class-0/1.png\n\nbirds/class-2/3.png\n");
    env.ok(&["encode", "--list", "list.txt", "--out", "listed.parquet"]);
    let listed = whole(&[env.path("listed.parquet")]);
    assert_eq!(listed.ids, [1, 2]);
    assert!(listed.paths[1].ends_with("class-2/3.png"), "{:?}", listed.paths);
    // An update of the imported index finds every image unchanged.
    let update = env.json(&["index", "--index", "joined.db"]);
    assert_eq!((&update["unchanged"], &update["added"]), (&36.into(), &0.into()));
}

#[test]
fn a_part_that_was_stopped_goes_on() {
    let env = TestEnv::with_birds(3, 8);
    let device = Device::open(DeviceChoice::Cpu, None).unwrap();
    let model = Model::general(&device).unwrap();
    let (files, _) =
        barbule::index::files_under(&env.path("birds"), &Default::default(), &Task::unwatched())
            .unwrap();
    let files: Vec<String> = files.iter().map(|file| file.display().to_string()).collect();
    let (whole, out) = (env.path("whole.parquet"), env.path("part.parquet"));
    let labels = Labels::Folder;
    let job = |out| Job::new(&files, &labels, out).with_segment(10);
    encode(&model, &job(&whole), &Task::unwatched()).unwrap();
    let stop = AtomicBool::new(false);
    let progress = |done: usize, _: usize| stop.store(done >= 20, Ordering::Relaxed);
    let stopped = encode(&model, &job(&out), &Task::new(&progress, &stop)).unwrap_err();
    assert!(stopped.to_string().contains("stopped"), "{stopped}");
    assert!(!out.exists());
    let report = encode(&model, &job(&out), &Task::unwatched()).unwrap();
    assert_eq!((report.images, report.before), (24, 20));
    assert_eq!(self::whole(&[&out]), self::whole(&[&whole]));
}

/// DuckDB, faiss and NumPy find the same in an export as `barbule search`. Needs a Python with
/// these packages in `BARBULE_PYTHON`.
#[test]
fn other_programs_find_the_same() {
    let required = std::env::var("BARBULE_REQUIRE_PYTHON").is_ok_and(|value| value == "1");
    let Some(python) = std::env::var_os("BARBULE_PYTHON") else {
        assert!(!required, "BARBULE_REQUIRE_PYTHON=1, but BARBULE_PYTHON is not set");
        eprintln!("skipped: BARBULE_PYTHON is not set");
        return;
    };
    let env = TestEnv::new();
    let mut collection = Collection::random(20_000, 100, 8);
    import(&mut collection, &env.path("all.db"), &Task::unwatched()).unwrap();
    let script = crate::common::root().join("benches/readers.py");
    let program = assert_cmd::cargo::cargo_bin("barbule");
    let mut command = Command::new(python);
    command.arg(script).arg("--barbule").arg(program).arg("--index").arg(env.path("all.db"));
    let output = command.args(["--queries", "5", "--json"]).output().unwrap();
    assert!(output.status.success(), "{}", crate::common::stderr(&output));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    for reader in ["numpy", "faiss", "duckdb"] {
        assert_eq!(report[reader]["same"], true, "{report}");
    }
}
