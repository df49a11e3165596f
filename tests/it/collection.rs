/*!
A collection as an app uses it: one state until it is read again, and the model that made it.
*/
use std::collections::BTreeSet;
use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::common::{TestEnv, png};
use barbule::code::Code;
use barbule::device::Device;
use barbule::hash::Asymmetric;
use barbule::index::{
    Collection, Hit, IndexError, IndexWriter, QueryOptions, Scan, ScanOptions, Search,
    UpdateOptions,
};
use barbule::model::Model;
use barbule::task::Task;

/// Two classes of four images, indexed with a model that was trained on them.
fn indexed() -> (TestEnv, Collection) {
    let env = TestEnv::with_birds(2, 4);
    let model = env.train("lsh", 32);
    env.ok(&["index", "birds", "--model", &model, "--index", "i.db", "--labels", "folder"]);
    let collection = Collection::open(&env.path("i.db"), &Device::Cpu).unwrap();
    (env, collection)
}

fn update(env: &TestEnv, collection: &Collection) -> barbule::index::Update {
    let (model, options) = (collection.model().unwrap(), UpdateOptions::default());
    let mut writer = IndexWriter::open(&env.path("i.db"), &model).unwrap();
    writer.update(&model, &[env.path("birds")], &options, &Task::unwatched()).unwrap()
}

#[test]
fn labels_are_given_to_all_or_to_none() {
    let (env, collection) = indexed();
    let label = |id| collection.image(id).unwrap().label;
    let before = (label(1), label(5));
    let wrong = collection.set_labels(&[1, 99], Some("owl")).unwrap_err();
    assert!(matches!(wrong, IndexError::NoSuchImage(99)), "{wrong}");
    let wrong = collection.set_labels(&[1], Some(" ")).unwrap_err();
    assert!(matches!(wrong, IndexError::Label(_)), "{wrong}");
    assert_eq!((label(1), label(5)), before);

    assert_eq!(collection.set_labels(&[1, 5], Some(" owl ")).unwrap(), Some("owl"));
    assert_eq!((label(1).as_deref(), label(5).as_deref()), (Some("owl"), Some("owl")));
    assert_eq!(collection.set_labels(&[5], None).unwrap(), None);
    assert_eq!(label(5), None);
    // An update without labels of its own keeps them, even of a file that moved.
    fs::rename(env.path("birds/class-0/0.png"), env.path("birds/class-1/moved.png")).unwrap();
    assert_eq!(update(&env, &collection).moved, 1);
    collection.reload().unwrap();
    assert_eq!(label(1).as_deref(), Some("owl"));
    let writer = IndexWriter::open_existing(&env.path("i.db")).unwrap();
    let busy = collection.set_labels(&[1], None).unwrap_err();
    assert!(matches!(busy, IndexError::Busy { .. }), "{busy}");
    drop(writer);
    // No index is made where there is none.
    fs::rename(env.path("i.db"), env.path("away.db")).unwrap();
    assert!(matches!(collection.set_labels(&[1], None), Err(IndexError::Missing(_))));
    assert!(!env.path("i.db").exists());
}

#[test]
fn every_search_answers_from_one_state_while_a_writer_changes_the_index() {
    let (env, collection) = indexed();
    let code = collection.code(1).unwrap();
    fs::remove_file(env.path("birds/class-0/1.png")).unwrap();
    for number in 0..40 {
        env.write(&format!("birds/more/{number}.png"), png(number % 2, 100 + number));
    }
    let done = AtomicBool::new(false);
    let states = std::thread::scope(|scope| {
        let look = || {
            let mut states = BTreeSet::new();
            while !done.load(Ordering::Relaxed) {
                let snapshot = collection.snapshot();
                let all = snapshot.search(&Search::nearest(&code, usize::MAX)).unwrap();
                // Codes, ids and paths fit together, and stay as they are.
                assert_eq!(all.len(), snapshot.len());
                for hit in &all {
                    assert_eq!(snapshot.image(hit.id).unwrap().path, hit.path);
                    assert_eq!(snapshot.code(hit.id).unwrap().distance(&code), Ok(hit.distance));
                }
                let labelled =
                    snapshot.search(&Search::nearest(&code, 99).label("class-0")).unwrap();
                states.insert((all.len(), labelled.len()));
            }
            states
        };
        let lookers = [scope.spawn(look), scope.spawn(look)];
        // Ends the threads, even if something below fails.
        let end = Raise(&done);
        assert!(collection.is_current());
        let report = update(&env, &collection);
        assert_eq!((report.added, report.removed), (40, 1));
        assert!(!collection.is_current());
        assert_eq!(collection.len(), 8);
        collection.reload().unwrap();
        assert!(collection.is_current());
        drop(end);
        lookers.into_iter().flat_map(|looker| looker.join().unwrap()).collect::<BTreeSet<_>>()
    });
    assert_eq!(collection.len(), 47);
    // Nothing between the two states was seen.
    assert!(states.iter().all(|state| [(8, 4), (47, 3)].contains(state)), "{states:?}");
    assert!(states.contains(&(8, 4)), "{states:?}");
}

/// Raises a flag when it is dropped.
struct Raise<'a>(&'a AtomicBool);

impl Drop for Raise<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn an_id_that_is_gone_is_no_damage() {
    let (env, collection) = indexed();
    let hits = collection.search_file(&env.path("birds/class-1/2.png"), 3).unwrap();
    assert!(hits[0].same && !hits[1].same, "{hits:?}");
    let id = hits[0].id;
    let by_id = collection.search_id(id, 3).unwrap();
    assert_eq!((by_id[0].id, by_id[0].distance, by_id[0].same), (id, 0, true));
    let mut writer = IndexWriter::open_existing(&env.path("i.db")).unwrap();
    writer.remove(&[id], &[]).unwrap();
    assert_eq!(writer.index().len().unwrap(), 7);
    drop(writer);
    // The old state still has it.
    assert_eq!(collection.search_id(id, 3).unwrap(), by_id);
    collection.reload().unwrap();
    assert!(
        matches!(collection.search_id(id, 3), Err(IndexError::NoSuchImage(gone)) if gone == id)
    );
    assert!(matches!(collection.image(id), Err(IndexError::NoSuchImage(_))));
    assert!(matches!(collection.code(99), Err(IndexError::NoSuchImage(99))));
}

#[test]
fn the_model_is_found_where_it_was_and_needed_for_new_images_only() {
    let (env, collection) = indexed();
    assert_eq!((collection.bits(), collection.model().unwrap().bits()), (32, 32));
    let (path, known) = (env.path("i.db"), env.path("birds/class-0/3.png"));
    let new = env.write("new.png", png(1, 9));
    let bytes = fs::read(&new).unwrap();
    let hits = collection.search_file(&new, 5).unwrap();
    assert!(hits.len() == 5 && hits.iter().all(|hit| !hit.same));
    assert_eq!(collection.search_bytes(&bytes, 5).unwrap(), hits);
    let model = fs::read_dir(env.path("")).unwrap().map(|entry| entry.unwrap().path());
    let model = model.into_iter().find(|path| path.extension().is_some_and(|e| e == "safetensors"));
    fs::remove_file(model.unwrap()).unwrap();
    assert!(matches!(Collection::open(&path, &Device::Cpu), Err(IndexError::NoModel(_))));
    let lazy = Collection::open_lazily(&path, &Device::Cpu).unwrap();
    assert!(lazy.search_file(&known, 1).unwrap()[0].same && !lazy.has_model());
    assert!(matches!(lazy.search_file(&new, 1), Err(IndexError::NoModel(_))));
    // Another model is refused, and leaves the collection as it was.
    let general = Model::general(&Device::Cpu).unwrap();
    let other = Collection::with_model(&path, general, &Device::Cpu);
    assert!(matches!(other, Err(IndexError::OtherModel { .. })));
    let code = Code::from_hex(256, &"0".repeat(64)).unwrap();
    assert!(lazy.search_code(&code, 1).is_err());
}

#[test]
fn a_failed_reload_keeps_the_old_state() {
    let (env, collection) = indexed();
    let path = env.path("i.db");
    let code = collection.code(1).unwrap();
    let before = collection.search_code(&code, 8).unwrap();
    env.ok(&["index", "birds", "--index", "general.db"]);
    // Another model's index is moved over it.
    fs::rename(env.path("general.db"), &path).unwrap();
    assert!(!collection.is_current());
    assert!(matches!(collection.reload(), Err(IndexError::OtherModel { .. })));
    assert_eq!(collection.search_code(&code, 8).unwrap(), before);
    assert!(!collection.is_current());
}

#[test]
fn a_folder_and_a_file_narrow_a_search() {
    let (env, collection) = indexed();
    let code = collection.code(1).unwrap();
    let within = |search: Search| collection.search(&search).unwrap();
    let all = Search::nearest(&code, 99);
    let folder = env.path("birds/class-1").canonicalize().unwrap();
    let hits = within(all.clone().under(&folder));
    assert!(hits.len() == 4 && hits.iter().all(|hit| hit.path.contains("class-1")));
    let file = folder.join("2.png");
    let hits = within(all.clone().under(&file));
    assert!(hits.len() == 1 && hits[0].path.ends_with("2.png"), "{hits:?}");
    assert!(within(all.clone().under(&file).label("class-0")).is_empty());
    assert_eq!(within(all.clone().not("class-0")).len(), 4);
    assert!(within(all.under("/nowhere")).is_empty());
}

#[test]
fn options_of_folders_are_replaced_added_to_or_kept() {
    let (env, collection) = indexed();
    let folder = env.path("birds");
    let model = collection.model().unwrap();
    let mut writer = IndexWriter::open(&env.path("i.db"), &model).unwrap();
    let without = |pattern: &str| ScanOptions::default().without(pattern);
    let mut images = |scan: Scan| {
        let options = UpdateOptions::default().with_scan(scan);
        writer.update(&model, std::slice::from_ref(&folder), &options, &Task::unwatched()).unwrap();
        writer.index().len().unwrap()
    };
    assert_eq!(images(Scan::Replace(without("0.png"))), 6);
    assert_eq!(images(Scan::Add(without("1.png"))), 4);
    assert_eq!(images(Scan::AsBefore), 4);
    assert_eq!(images(Scan::Replace(without("2.png"))), 6);
    assert_eq!(images(Scan::Replace(ScanOptions::default())), 8);
}

#[test]
fn one_writer_forgets_prunes_and_keeps_others_out() {
    let (env, collection) = indexed();
    let path = env.path("i.db");
    let mut writer = IndexWriter::open_existing(&path).unwrap();
    assert!(matches!(IndexWriter::open_existing(&path), Err(IndexError::Busy { .. })));
    let folder = env.path("birds").canonicalize().unwrap();
    let forgotten = writer.forget(&[folder.join("class-0")]).unwrap();
    assert_eq!((forgotten.images, forgotten.was_root, forgotten.left_out.len()), (4, false, 1));
    assert_eq!(writer.forget(&[folder.join("nothing")]).unwrap(), Default::default());
    fs::remove_file(folder.join("class-1/0.png")).unwrap();
    let gone = writer.prune(false).unwrap();
    assert!(gone.images.len() == 1 && gone.missing.is_empty(), "{gone:?}");
    assert_eq!(writer.index().len().unwrap(), 3);
    writer.close().unwrap();
    assert!(matches!(
        IndexWriter::open_existing(&env.path("none.db")),
        Err(IndexError::Missing(_))
    ));
    collection.reload().unwrap();
    assert_eq!(collection.len(), 3);
}

#[test]
fn the_values_of_a_query_order_the_nearest() {
    let env = TestEnv::with_birds(3, 6);
    let model = env.train("lsh", 32);
    env.ok(&["index", "birds", "--model", &model, "--index", "i.db", "--labels", "folder"]);
    let collection = Collection::open(&env.path("i.db"), &Device::Cpu).unwrap();
    let options = QueryOptions::default().with_values();
    for path in [env.path("birds/class-1/2.png"), env.write("new.png", png(2, 9))] {
        assert_eq!(collection.query_file(&path, &QueryOptions::default()).unwrap().values, None);
        let query = collection.query_file(&path, &options).unwrap();
        let bytes = fs::read(&path).unwrap();
        assert_eq!(collection.query_bytes(&bytes, &options).unwrap(), query);
        let values = query.values.clone().unwrap();
        // The code is that of the values' signs.
        assert_eq!(Code::from_signs(&values).unwrap(), query.code);
        let tables = Asymmetric::new(32, &values).unwrap();
        let plain = collection.search(&Search::nearest(&query.code, 18)).unwrap();
        for (candidates, k) in [(18, 18), (18, 3), (5, 18), (5, 2), (1, 18), (1000, 18)] {
            let search = Search::nearest(&query.code, k).by_values(candidates, values.clone());
            let found = collection.search(&search).unwrap();
            let mut expected: Vec<(i64, Option<f32>)> = plain
                .iter()
                .take(candidates)
                .map(|hit| (hit.id, tables.score(&collection.code(hit.id).unwrap()).ok()))
                .collect();
            expected.sort_by(|a, b| b.1.unwrap().total_cmp(&a.1.unwrap()).then(a.0.cmp(&b.0)));
            expected.extend(plain.iter().skip(candidates).map(|hit| (hit.id, None)));
            expected.truncate(k);
            let hits: Vec<_> = found.iter().map(|hit| (hit.id, hit.score)).collect();
            assert_eq!(hits, expected, "{candidates} of {k}");
            let far = |hit: &Hit| query.code.distance(&collection.code(hit.id).unwrap()).unwrap();
            assert!(found.iter().all(|hit| hit.distance == far(hit)));
            let label = search.clone().label("class-2");
            let found = collection.search(&label.within(12)).unwrap();
            assert!(
                found
                    .iter()
                    .all(|hit| hit.distance <= 12 && hit.label.as_deref() == Some("class-2"))
            );
        }
        // The query's own image comes first, with its score.
        let nearest = collection.search(&query.nearest(18)).unwrap();
        assert_eq!(nearest[0].same, query.content.is_some());
        assert!(nearest.iter().all(|hit| hit.score.is_some()) && nearest.len() == 18);
    }
    let code = collection.code(1).unwrap();
    let short = Search::nearest(&code, 3).by_values(9, vec![1.0; 31]);
    assert!(matches!(collection.search(&short), Err(IndexError::Values(_))));
}

#[test]
fn an_indexed_image_without_a_picture_or_a_model_has_its_code_only() {
    let (env, collection) = indexed();
    let (options, known) = (QueryOptions::default().with_values(), env.path("birds/class-0/3.png"));
    let whole = collection.query_file(&known, &options).unwrap();
    assert!(whole.values.is_some());
    fs::remove_file(env.path("lsh-32.safetensors")).unwrap();
    let lazy = Collection::open_lazily(&env.path("i.db"), &Device::Cpu).unwrap();
    let query = lazy.query_file(&known, &options).unwrap();
    assert_eq!((&query.code, &query.content, &query.values), (&whole.code, &whole.content, &None));
    assert_eq!(query.nearest(3).order().name(), "hamming");
    fs::remove_file(&known).unwrap();
    let query = collection.query_file(&known, &options).unwrap();
    assert_eq!((&query.code, &query.values), (&whole.code, &None));
}
