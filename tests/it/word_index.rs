/*!
Indexes whose codes are words: searches equal a plain computation, on every device; every command
takes such an index, or refuses it in a sentence.
*/

use std::fs;

use barbule::code::{BinaryCodes, Code};
use barbule::device::Device;
use barbule::engine::{self, IndexSource, import};
use barbule::hash::Codebooks;
use barbule::index::{self, DuplicateOptions, Index, IndexError, Search};
use barbule::task::Task;
use rusqlite::Connection;
use serde_json::{Value, json};

use crate::common::TestEnv;
use crate::common::collection::{Collection, Numbers, everything};
use crate::common::gpu;
use crate::common::page::Page;

/// Random numbers from −1 to 1.
fn values(count: usize, seed: u64) -> Vec<f32> {
    let mut numbers = Numbers(seed);
    (0..count).map(|_| (numbers.next() >> 40) as f32 / 8_388_608.0 - 1.0).collect()
}

/// Imports random codes of 12 words of 20 numbers.
fn collection(env: &TestEnv, images: usize) -> Collection {
    let mut collection = Collection::random(images, 48, 7);
    collection.head.codebooks = Some(Codebooks::new(20, values(12 * 16 * 20, 3)).unwrap());
    import(&mut collection, &env.path("words.db"), &Task::unwatched()).unwrap();
    collection
}

/// The sum of the words of a code, in double precision.
fn sum(books: &Codebooks, code: &Code) -> Vec<f64> {
    let mut sum = vec![0f64; books.dim()];
    for book in 0..books.count() {
        let word = code.words()[book / 16] >> (4 * (book % 16)) & 15;
        let at = (book * 16 + word as usize) * books.dim();
        let word = &books.words()[at..at + books.dim()];
        sum.iter_mut().zip(word).for_each(|(sum, v)| *sum += f64::from(*v));
    }
    sum
}

/// The plain sum of squared distances to `vectors`, for every image: position and distance, the
/// nearest first.
fn plain(collection: &Collection, vectors: &[Vec<f64>]) -> Vec<(usize, f64)> {
    let books = collection.head.codebooks.as_ref().unwrap();
    let distance = |at: usize| {
        let sum = sum(books, &collection.all.codes.get(at).unwrap());
        let off = |v: &Vec<f64>| v.iter().zip(&sum).map(|(a, b)| (a - b).powi(2)).sum::<f64>();
        vectors.iter().map(off).sum::<f64>()
    };
    let mut all: Vec<(usize, f64)> =
        (0..collection.all.len()).map(|at| (at, distance(at))).collect();
    all.sort_by(|a, b| a.1.total_cmp(&b.1));
    all
}

fn double(values: &[f32]) -> Vec<f64> {
    values.iter().map(|v| f64::from(*v)).collect()
}

#[test]
fn searches_equal_a_plain_computation() {
    let env = TestEnv::new();
    let data = collection(&env, 5000);
    let device = Device::Cpu;
    let index = index::Collection::open_lazily(&env.path("words.db"), &device).unwrap();
    let snapshot = index.snapshot();
    assert_eq!((snapshot.words(), snapshot.bits()), (Some(12), 48));
    let books = data.head.codebooks.as_ref().unwrap();
    let code = data.all.codes.get(9).unwrap();
    let other = data.all.codes.get(77).unwrap();
    let query: Vec<f32> = values(20, 5).iter().map(|v| v * 3.0).collect();
    let mut both = BinaryCodes::new(48).unwrap();
    both.push(&code).unwrap();
    both.push(&other).unwrap();
    let twice = [query.clone(), values(20, 6)].concat();
    let sums = [sum(books, &code), sum(books, &other)];
    let cases = [
        (Search::nearest(&code, 40), vec![sums[0].clone()]),
        (Search::nearest(&code, 40).by_values(3, query.clone()), vec![double(&query)]),
        (Search::nearest_to_all(both.clone(), 40), sums.to_vec()),
        (
            Search::nearest_to_all(both, 40).by_values(9, twice.clone()),
            twice.chunks(20).map(double).collect(),
        ),
    ];
    for (search, vectors) in cases {
        assert_eq!(snapshot.order_of(&search), "words");
        let count = vectors.len() as f64;
        let expected = plain(&data, &vectors);
        let hits = index.search(&search).unwrap();
        assert_eq!(hits.len(), 40);
        for (hit, (_, nearest)) in hits.iter().zip(&expected) {
            let at = data.all.ids.binary_search(&hit.id).unwrap();
            let own = expected.iter().find(|(other, _)| *other == at).unwrap().1;
            // Nothing that was passed over is nearer, but for the rounding of a step.
            assert!((own - nearest).abs() < 1e-3, "{own} {nearest}");
            assert!((f64::from(hit.distance) - 1000.0 * own).abs() < 1.5, "{hit:?} {own}");
            let score = f64::from(hit.score.unwrap());
            assert!((score - (count - own / 2.0)).abs() < 1e-3, "{hit:?} {own}");
        }
        let keys: Vec<_> = hits.iter().map(|hit| (-hit.score.unwrap(), hit.id)).collect();
        assert!(keys.is_sorted(), "{keys:?}");
        // A radius cuts the list, and a filter thins it out.
        let radius = hits[12].distance.div_ceil(vectors.len() as u32);
        let within = index.search(&search.clone().within(radius)).unwrap();
        let most = radius * vectors.len() as u32;
        let near = hits.iter().filter(|hit| hit.distance <= most);
        assert!(within.iter().eq(near), "{within:?}");
        let labelled = index.search(&search.label("kind 7")).unwrap();
        assert!(!labelled.is_empty());
        let all: Vec<i64> = expected.iter().map(|(at, _)| data.all.ids[*at]).collect();
        let place = |id: i64| all.iter().position(|other| *other == id).unwrap();
        for hit in &labelled {
            assert_eq!(hit.label.as_deref(), Some("kind 7"));
            assert!((expected[place(hit.id)].1 * 1000.0 - f64::from(hit.distance)).abs() < 1.5);
        }
    }
    // An image comes first and has a distance of 0 to itself.
    let own = index.search_id(data.all.ids[9], 3).unwrap();
    assert_eq!((own[0].id, own[0].same, own[0].distance), (data.all.ids[9], true, 0));
    assert!((own[0].score.unwrap() - 1.0).abs() < 1e-4);
    // Values of another dimension are an error.
    let wrong = index.search(&Search::nearest(&code, 3).by_values(5, vec![0.5; 48]));
    assert!(wrong.unwrap_err().to_string().contains("features of 48 dimensions"));
    // Near duplicates by codes: the copies that the collection has.
    let options = DuplicateOptions::default().by_code().within(0);
    let found = index.duplicates(&options, &Task::unwatched()).unwrap();
    // Every seventh image has the code of the one before; the files are not there.
    assert!((found.radius, found.groups.len()) == (0, 0) && found.gone >= 2 * (5000 / 7));
}

#[test]
fn devices_find_the_same() {
    let env = TestEnv::new();
    let data = collection(&env, 9000);
    let Some(gpu) = gpu() else { return };
    let open =
        |device: &Device| index::Collection::open_lazily(&env.path("words.db"), device).unwrap();
    let (cpu, gpu) = (open(&Device::Cpu), open(&gpu));
    for (seed, code) in data.queries(4).into_iter().enumerate() {
        let search = Search::nearest(&code, 300);
        assert_eq!(cpu.search(&search).unwrap(), gpu.search(&search).unwrap());
        let search = search.by_values(1, values(20, seed as u64));
        assert_eq!(cpu.search(&search).unwrap(), gpu.search(&search).unwrap());
    }
    assert_eq!(gpu.snapshot().failure(), None);
}

#[test]
fn words_go_out_and_come_in_again() {
    let env = TestEnv::new();
    let data = collection(&env, 6000);
    for to in ["codes.parquet", "codes"] {
        env.ok(&["export", "--index", "words.db", "--to", to]);
        let mut source = engine::open(&[env.path(to)]).unwrap();
        assert_eq!(source.head().codebooks, data.head.codebooks);
        assert_eq!(everything(source.as_mut()).unwrap(), data.all);
        let back = format!("{to}.db");
        env.ok(&["import", to, "--index", &back]);
        let index = Index::open(&env.path(&back)).unwrap();
        assert_eq!(index.codebooks(), data.head.codebooks.as_ref());
        assert_eq!(everything(&mut IndexSource::new(&index).unwrap()).unwrap(), data.all);
    }
    // An earlier program, which would take words for signs, misses its file.
    assert!(!env.path("codes/codes.npy").exists());
    let books = fs::read(env.path("codes/codebooks.npy")).unwrap();
    let text = String::from_utf8_lossy(&books);
    assert!(text.contains("'<f4'") && text.contains("12, 16, 20"));
    for to in ["codes.faiss", "postgres://nobody@127.0.0.1:9/none"] {
        let said = env.fails(&["export", "--index", "words.db", "--to", to]);
        assert!(said.contains("the codes are words") && said.contains("Parquet"), "{said}");
    }
    assert!(!env.path("codes.faiss").exists());
    // Codebooks that do not fit the codes are refused.
    let about = env.path("codes/about.json");
    let text = fs::read_to_string(&about).unwrap();
    let mut document: Value = serde_json::from_str(&text).unwrap();
    for (dim, part) in [
        (json!(40), "of 6 codebooks"),
        (json!(7), "codebooks of 16 words"),
        (json!("x"), "invalid type"),
    ] {
        document["codebooks"]["dim"] = dim;
        fs::write(&about, document.to_string()).unwrap();
        let said = env.fails(&["import", "codes", "--index", "no.db"]);
        assert!(said.contains("about.json") && said.contains(part), "{part}: {said}");
    }
}

#[test]
fn damaged_codebooks_are_told() {
    let env = TestEnv::new();
    collection(&env, 10);
    let path = env.path("words.db");
    let version = |path| -> i64 {
        let connection = Connection::open(path).unwrap();
        connection.pragma_query_value(None, "user_version", |row| row.get(0)).unwrap()
    };
    assert_eq!(version(&path), 4);
    for damage in [
        "UPDATE codebooks SET dim = 19",
        "UPDATE codebooks SET dim = 40",
        "UPDATE codebooks SET dim = -1",
        "UPDATE codebooks SET words = substr(words, 1, 1001)",
        "UPDATE codebooks SET words = zeroblob(0)",
        "UPDATE codebooks SET words = 'text'",
        "DELETE FROM codebooks",
        "DROP TABLE codebooks",
    ] {
        let copy = env.path("copy.db");
        fs::copy(&path, &copy).unwrap();
        Connection::open(&copy).unwrap().execute_batch(damage).unwrap();
        let error = Index::open(&copy).unwrap_err();
        assert!(matches!(error, IndexError::Unfit { .. }), "{damage}: {error}");
        assert!(error.to_string().contains("make it anew"), "{damage}: {error}");
    }
}

#[test]
fn every_command_takes_an_index_of_words() {
    let env = TestEnv::with_birds(3, 6);
    let train = ["train", "lda-words", "--data", "birds", "--size", "64", "--cache", "cache"];
    env.ok(&[&train[..], &["--bits", "16", "--out", "m"]].concat());
    env.ok(&["index", "birds", "--model", "m", "--index", "i.db", "--labels", "folder"]);
    let status = env.json(&["status", "--index", "i.db"]);
    assert_eq!(
        (&status["words"], &status["bits"], &status["images"]),
        (&json!(4), &json!(16), &json!(18))
    );
    assert!(env.ok(&["status", "--index", "i.db"]).contains("codes of 4 words (16 bits)"));

    // Nothing is new, and one more image is.
    let again = env.json(&["index", "--index", "i.db"]);
    assert_eq!((&again["added"], &again["unchanged"]), (&json!(0), &json!(18)));

    let image = "birds/class-1/0.png";
    let found = env.json(&["search", image, "--index", "i.db", "-k", "6"]);
    assert_eq!(found["order"], "words");
    let hits = found["results"].as_array().unwrap();
    assert!(hits.len() == 6 && hits[0]["same"] == true, "{found}");
    assert!(hits.iter().all(|hit| hit["label"] == "class-1"), "{found}");
    let scores: Vec<f64> = hits.iter().skip(1).map(|hit| hit["score"].as_f64().unwrap()).collect();
    assert!(scores.is_sorted_by(|a, b| a >= b), "{scores:?}");
    // The same image from elsewhere: values are those of its pixels in both cases.
    fs::copy(env.path(image), env.path("copy.png")).unwrap();
    let copy = env.json(&["search", "copy.png", "--index", "i.db", "-k", "6"]);
    assert_eq!(copy["results"], found["results"]);

    let code = env.ok(&["encode", image, "--model", "m"]);
    let code = code.split_whitespace().next().unwrap();
    let by_code = env.json(&["search", "--code", code, "--index", "i.db", "-k", "3"]);
    assert_eq!(
        (&by_code["order"], &by_code["results"][0]["distance"]),
        (&json!("words"), &json!(0))
    );
    let both = ["search", image, "birds/class-1/3.png", "--together", "--index", "i.db", "-k", "4"];
    let both = env.json(&both);
    assert!(
        both["results"].as_array().unwrap().iter().all(|hit| hit["label"] == "class-1"),
        "{both}"
    );
    let page = env.ok(&["search", image, "--index", "i.db", "--html", "found.html"]);
    assert!(page.contains("score"), "{page}");
    let html = fs::read_to_string(env.path("found.html")).unwrap();
    assert!(html.contains("distance ") && !html.contains("bits away"));
    for (more, said) in [
        (&["--order", "hamming"][..], "leave --order out"),
        (&["--candidates", "5"], "leave --candidates out"),
        (&["--order", "cosine"], "--keep-features"),
    ] {
        let error = env.fails(&[&["search", image, "--index", "i.db"], more].concat());
        assert!(error.contains(said), "{error}");
    }

    let label = env.json(&["label", "copy.png", "--index", "i.db"]);
    assert_eq!(label["label"], "class-1", "{label}");
    fs::copy(env.path(image), env.path("birds/class-2/twin.png")).unwrap();
    env.ok(&["index", "--index", "i.db"]);
    let twins = env.json(&["duplicates", "--index", "i.db"]);
    let groups = twins["groups"].as_array().unwrap();
    let twin = |image: &Value| image["path"].as_str().unwrap().ends_with("twin.png");
    assert!(groups.iter().any(|group| group.as_array().unwrap().iter().any(twin)), "{twins}");

    // Features decide in the end if they are kept.
    env.ok(&["index", "--index", "i.db", "--keep-features"]);
    let cosine = env.json(&["search", image, "--index", "i.db", "--order", "cosine"]);
    assert_eq!(cosine["order"], "cosine");
    // Behind the image and its twin.
    assert!(cosine["results"][2]["similarity"].is_number(), "{cosine}");
    let hits = cosine["results"].as_array().unwrap();
    assert!(hits.iter().all(|hit| hit.get("score").is_none()), "{cosine}");

    // A model of signs has no business there, and the other way round.
    let said = env.fails(&["search", "copy.png", "--index", "i.db", "--model", "cache"]);
    assert!(said.contains("cache"), "{said}");
    env.ok(&["index", "birds", "--index", "signs.db"]);
    let said = env.fails(&["search", image, "--model", "m", "--index", "signs.db"]);
    assert!(said.contains("was made with another model"), "{said}");
    let said =
        env.fails(&["explain", image, "birds/class-1/1.png", "--model", "m", "--out", "look"]);
    assert!(said.contains("words"), "{said}");
}

#[test]
fn machines_share_the_encoding_of_words() {
    let env = TestEnv::with_birds(2, 5);
    let train = ["train", "lda-words", "--data", "birds", "--size", "64", "--bits", "8"];
    env.ok(&[&train[..], &["--out", "m"]].concat());
    for shard in ["1/2", "2/2"] {
        let out = format!("parts/{}.parquet", &shard[..1]);
        env.ok(&["encode", "birds", "--model", "m", "--shard", shard, "--out", &out]);
    }
    env.ok(&["import", "parts", "--index", "all.db"]);
    env.ok(&["index", "birds", "--model", "m", "--index", "one.db"]);
    let search = |index| {
        let found = env.json(&["search", "birds/class-1/2.png", "--index", index, "--model", "m"]);
        let hits = found["results"].as_array().unwrap().clone();
        let key = |hit: &Value| (hit["path"].to_string(), hit["score"].to_string());
        hits.iter().map(key).collect::<Vec<_>>()
    };
    assert_eq!(search("all.db"), search("one.db"));
}

#[test]
fn the_page_shows_words() {
    let env = TestEnv::with_birds(3, 5);
    let train = ["train", "lda-words", "--data", "birds", "--size", "64", "--bits", "16"];
    env.ok(&[&train[..], &["--out", "m"]].concat());
    env.ok(&["index", "birds", "--model", "m", "--index", "i.db", "--labels", "folder"]);
    let page = Page::start_with(&env, "i.db", &[]);
    let status = page.json("/api/status");
    assert_eq!((&status["words"], &status["bits"]), (&json!(4), &json!(16)));
    let id = page.id("class-1/0.png");
    let found = page.json(&format!("/api/images/{id}/similar?k=5"));
    assert_eq!(found["order"], "words");
    assert!(found["results"][1]["score"].is_number(), "{found}");
    let sent = fs::read(env.path("birds/class-1/0.png")).unwrap();
    let searched = page.search("?k=5", &sent);
    assert_eq!(searched["results"], found["results"]);
    let refused = page.get(&format!("/api/images/{id}/similar?order=hamming"));
    assert!(refused.sentence(400).contains("words"));
}
