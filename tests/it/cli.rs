/*!
The program as its users meet it: each test reads like a session at a terminal.

Pictures are 64 pixels small and few, so that all of this takes seconds.
*/
use std::fs;

use crate::common::{TestEnv, gpu, jpeg, png, stderr};
use serde_json::Value;

/// The file names of a search's results.
fn names(answer: &Value) -> Vec<String> {
    let path = |hit: &Value| hit["path"].as_str().unwrap().replace('\\', "/");
    let name = |hit| path(hit).rsplit("birds/").next().unwrap().to_owned();
    answer["results"].as_array().unwrap().iter().map(name).collect()
}

#[test]
fn every_method_trains_and_is_measured() {
    let env = TestEnv::with_birds(3, 6);
    for (method, bits) in [("lsh", 12), ("itq", 64), ("lda-itq", 48), ("sdh", 24)] {
        let model = env.train(method, bits);
        let report = env.json(&["eval", "--model", &model, "--data", "birds", "--float"]);
        assert_eq!(report["method"], method);
        assert_eq!(report["trunk"], "efficientnet-lite0");
        assert_eq!(report["bits"], bits);
        // A fifth of six, rounded, of each class.
        assert_eq!(report["queries"], 3);
        assert_eq!(report["database"], 15);
        assert_eq!(report["skipped_queries"], 0);
        for share in ["map", "p_at_1", "p_at_10", "p_at_100", "p_radius_2"] {
            let value = report[share].as_f64().unwrap_or_else(|| panic!("no {share}"));
            assert!((0.0..=1.0).contains(&value), "{share} is {value}");
        }
        // The whole database is 15 images, a third of them of each class.
        assert!((report["p_at_100"].as_f64().unwrap() - 1.0 / 3.0).abs() < 1e-9);
        assert!(report["map"].as_f64().unwrap() > 0.4, "{method}: {report}");
        for absent in ["map_learned", "unseen"] {
            assert!(report.get(absent).unwrap_or_else(|| panic!("no {absent}")).is_null());
        }
        assert_eq!(report["bytes_per_image"], bits.div_ceil(8));
        assert!(report["seconds"].as_f64().unwrap() > 0.0);
        assert_eq!(report["float"]["bytes_per_image"], 5120);
    }
    // Three classes of plain colours are told apart.
    let report = env.json(&["eval", "--model", "lda-itq-48.safetensors", "--data", "birds"]);
    assert!(report["map"].as_f64().unwrap() > 0.9, "{report}");
    let table = env.ok(&["eval", "--model", "lsh-12.safetensors", "--data", "birds"]);
    assert!(table.contains("lsh 12 bits") && table.contains("3 test queries"), "{table}");
}

#[test]
fn one_seed_gives_one_file() {
    let env = TestEnv::with_birds(2, 5);
    for method in ["lsh", "itq", "lda-itq", "sdh"] {
        let train = |seed: &str, out: &str| {
            let out = ["--out", out, "--seed", seed, "--bits", "24", "--size", "64"];
            env.ok(&[&["train", method, "--data", "birds"], &out[..]].concat());
        };
        train("7", "first");
        train("7", "second");
        train("8", "other");
        let read = |name| fs::read(env.path(name)).unwrap();
        assert!(read("first") == read("second"), "{method}: the same seed gave another file");
        assert!(read("first") != read("other"), "{method}: another seed gave the same file");
    }
}

#[test]
fn a_kernel_model_indexes_and_searches() {
    let env = TestEnv::with_birds(3, 6);
    let model = env.train("sdh", 24);
    let card = |more: &[&str]| {
        let begin = ["train", "sdh", "--data", "birds", "--bits", "24", "--size", "64"];
        env.json(&[&begin[..], &["--out", "again.safetensors"], more].concat())
    };
    // All 15 training images are anchors, as there are fewer than a thousand.
    assert_eq!((&card(&[])["format"], &card(&[])["anchors"]), (&2.into(), &15.into()));
    let few = card(&["--anchors", "4", "--share-trunk", "--lambda", "3"]);
    assert_eq!((&few["anchors"], &few["figures"]["lambda"]), (&4.into(), &3.0.into()));
    let linear = env.train("lsh", 24);
    let card = env.json(&["train", "lsh", "--data", "birds", "--size", "64", "--out", &linear]);
    assert_eq!((&card["format"], card.get("anchors")), (&1.into(), None));
    for model in [model.as_str(), "again.safetensors"] {
        env.ok(&["index", "birds", "--model", model, "--index", "i.db"]);
        let search =
            ["search", "birds/class-1/0.png", "--model", model, "--index", "i.db", "-k", "4"];
        let found = names(&env.json(&search));
        let of_its_class = found.iter().all(|name| name.starts_with("class-1/"));
        assert!(found.len() == 4 && of_its_class, "{found:?}");
        fs::remove_file(env.path("i.db")).unwrap();
    }
    let said = env.fails(&["train", "sdh", "--data", "birds", "--out", "m", "--nu", "0"]);
    assert!(said.contains("nu must be a number above 0, not 0"), "{said}");
}

#[test]
fn codes_that_are_words_are_measured() {
    let env = TestEnv::with_birds(3, 6);
    let train = ["train", "dtq", "--data", "birds", "--size", "64", "--cache", "cache"];
    let small = ["--outer", "2", "--epochs", "2", "--train", "head", "--out", "m"];
    let card = env.json(&[&train[..], &small, &["--bits", "16"]].concat());
    assert_eq!((&card["format"], &card["codebooks"]), (&3.into(), &4.into()));
    let report = env.json(&["eval", "--model", "m", "--data", "birds"]);
    assert!(report["map"].as_f64().unwrap() > 0.4, "{report}");
    assert!(report["p_radius_2"].is_null() && report["map_learned"].is_null(), "{report}");
    assert_eq!(report["bytes_per_image"], 2);
    // Bits that make no whole words are refused before anything is computed.
    for begin in [&train[..], &["compare", "dtq", "lsh", "--data", "birds"]] {
        let more: &[&str] = if begin[0] == "train" { &small } else { &[] };
        let said = env.fails(&[begin, more, &["--bits", "18"]].concat());
        assert!(said.contains("multiple of 4, not 18"), "{said}");
    }
}

#[test]
fn ordering_by_real_values_is_measured() {
    let env = TestEnv::new();
    let bench = ["bench", "rank", "--bits", "24,100", "--codes", "3000", "--queries", "1,5"];
    let bench =
        [&bench[..], &["--repeats", "1", "--device", "cpu", "--candidates", "200"]].concat();
    let rows = env.json(&bench);
    let cases = rows.as_array().unwrap().iter().map(|row| {
        let time = |name: &str| row[name].as_f64().unwrap();
        assert!(time("ms_hamming") > 0.0 && time("ms_per_query") > 0.0, "{row}");
        (row["bits"].as_u64().unwrap(), row["queries"].as_u64().unwrap())
    });
    assert_eq!(cases.collect::<Vec<_>>(), [(24, 1), (24, 5), (100, 1), (100, 5)]);
    let printed = env.ok(&bench);
    assert!(printed.contains("of 200 candidates"), "{printed}");
    let said = env.fails(&[&bench[..], &["-k", "201"]].concat());
    assert!(said.contains("--candidates must be at least -k, which is 201"), "{said}");
}

#[test]
fn ranking_words_is_measured() {
    let env = TestEnv::new();
    let bench = ["bench", "rank", "--words", "12,3", "--codes", "3000", "--queries", "1,5"];
    let bench = [&bench[..], &["--repeats", "1", "--device", "cpu"]].concat();
    let rows = env.json(&bench);
    let cases: Vec<_> = rows
        .as_array()
        .unwrap()
        .iter()
        .map(|row| {
            assert!(row["ns_per_code"].as_f64().unwrap() > 0.0, "{row}");
            (row["words"].as_u64().unwrap(), row["queries"].as_u64().unwrap())
        })
        .collect();
    assert_eq!(cases, [(12, 1), (12, 5), (3, 1), (3, 5)]);
    let printed = env.ok(&bench);
    // A heading, the cases, and what they have in common.
    assert_eq!(printed.lines().count(), 6, "{printed}");
    assert!(printed.contains("ns/code"), "{printed}");
}

#[test]
fn the_hash_of_a_model_is_measured_beside_its_network() {
    let env = TestEnv::with_birds(3, 6);
    let model = env.train("lda-itq", 12);
    let bench = ["bench", "encode", "--model", &model, "--repeats", "1", "--batch", "2"];
    let bench = [&bench[..], &["--device", "cpu"]].concat();
    let measured = env.json(&bench);
    assert_eq!((&measured["method"], &measured["bits"]), (&"lda-itq".into(), &12.into()));
    for time in ["ms_per_image", "hash_ms_per_image"] {
        assert!(measured[time].as_f64().unwrap() > 0.0, "{measured}");
    }
    let printed = env.ok(&bench);
    assert!(printed.contains("lda-itq of 12 bits") && printed.contains("\nhash "), "{printed}");
    let said = env.misused(&[&bench[..], &["--size", "96"]].concat());
    assert!(said.contains("cannot be used with"), "{said}");
}

#[test]
fn searching_codes_is_measured_beside_searching_features() {
    let env = TestEnv::with_birds(3, 6);
    let model = env.train("lda-itq", 12);
    let bench = ["bench", "ann", "--model", &model, "--data", "birds", "--repeats", "1", "-k", "4"];
    let report = env.json(&[&bench[..], &["--out", "ann"]].concat());
    assert_eq!((&report["database"], &report["queries"]), (&15.into(), &3.into()));
    // The figures are those of `eval`.
    let eval = ["eval", "--model", &model, "--data", "birds", "--float", "--plot", "plots/of"];
    let eval = env.json(&eval);
    for (file, axis) in [("precision-recall.svg", "recall"), ("recall-at.svg", "images looked at")]
    {
        let svg = std::fs::read_to_string(env.path("plots/of").join(file)).unwrap();
        let document = roxmltree::Document::parse(&svg).unwrap();
        let mut texts = document.descendants().filter_map(|node| node.text()).map(str::trim);
        assert!(texts.clone().any(|text| text == axis) && texts.any(|text| text == "cosine"));
        assert!(document.descendants().any(|node| node.has_tag_name("polyline")), "{file}");
    }
    assert_eq!(report["codes"]["map"], eval["map"]);
    assert!(
        (report["floats"]["map"].as_f64().unwrap() - eval["float"]["map"].as_f64().unwrap()).abs()
            < 1e-3
    );
    assert_eq!(
        (&report["codes"]["bytes_per_image"], &report["floats"]["bytes_per_image"]),
        (&2.into(), &5120.into())
    );
    for time in ["ms_per_query", "batch_ms_per_query"] {
        assert!(report["codes"][time].as_f64().unwrap() > 0.0, "{report}");
        assert!(report["floats"][time].as_f64().unwrap() > 0.0, "{report}");
    }
    let read = |name: &str| fs::read(env.path(&format!("ann/{name}"))).unwrap();
    let features = read("features-database.npy");
    let rows = &features[features.len() - 15 * 1280 * 4..];
    for row in rows.chunks(1280 * 4) {
        let number = |b: &[u8]| f64::from(f32::from_le_bytes(b.try_into().unwrap()));
        let norm: f64 = row.chunks(4).map(number).map(|v| v * v).sum();
        assert!((norm - 1.0).abs() < 1e-4, "{norm}");
    }
    assert!(String::from_utf8_lossy(&features).contains("(15, 1280"));
    assert!(String::from_utf8_lossy(&read("codes-queries.npy")).contains("(3, 2"));
    let lists: Value = serde_json::from_slice(&read("lists.json")).unwrap();
    assert_eq!(lists["database"]["labels"].as_array().unwrap().len(), 15);
    assert_eq!(lists["queries"]["images"].as_array().unwrap().len(), 3);
    let larger = env.json(&[&bench[..], &["--replicate", "3", "--queries", "2"]].concat());
    assert_eq!((&larger["database"], &larger["queries"]), (&45.into(), &2.into()));
    let said = env.ok(&[&bench[..], &["--replicate", "2"]].concat());
    assert!(said.contains("synthetic"), "{said}");
    let said = env.fails(&[&bench[..], &["--replicate", "0"]].concat());
    assert!(said.contains("above 0"), "{said}");
}

#[test]
fn codes_are_printed_in_every_form() {
    let env = TestEnv::with_birds(2, 4);
    let model = env.train("lsh", 12);
    let images = ["birds/class-0/0.png", "birds/class-1/1.png"];
    let begin = [&["encode", "--model", &model], &images[..]].concat();
    let encode = |more: &[&'static str]| [&begin, more].concat();

    let hex = env.ok(&encode(&[]));
    let lines: Vec<_> = hex.lines().map(|line| line.split_once("  ").unwrap()).collect();
    assert_eq!(lines.iter().map(|l| l.1).collect::<Vec<_>>(), images);
    // 12 bits are two bytes, the upper half of the second clear.
    assert!(lines.iter().all(|(code, _)| code.len() == 4 && code.as_bytes()[2] == b'0'), "{hex}");

    let bits = env.ok(&encode(&["--format", "bits"]));
    assert_eq!(bits.lines().count(), lines.len());
    for (line, (hex, _)) in bits.lines().zip(&lines) {
        let (bits, _) = line.split_once("  ").unwrap();
        assert_eq!(bits.len(), 12);
        let byte = |at: usize| u8::from_str_radix(&hex[at..at + 2], 16).unwrap();
        let of = |k: usize| byte(k / 8 * 2) >> (k % 8) & 1;
        let expected: String = (0..12).map(|k| if of(k) == 1 { '1' } else { '0' }).collect();
        assert_eq!(bits, expected);
    }

    let documents = env.json(&encode(&[]));
    let documents = documents.as_array().unwrap();
    assert_eq!(documents.len(), lines.len());
    for (document, (code, path)) in documents.iter().zip(&lines) {
        assert_eq!(document["code"], *code);
        assert_eq!(document["path"], *path);
        assert_eq!(document["bits"], 12);
        assert!(document["error"].is_null());
    }

    assert_eq!(env.ok(&encode(&["--npy", "codes.npy"])), "");
    let npy = fs::read(env.path("codes.npy")).unwrap();
    assert!(npy.starts_with(b"\x93NUMPY"));
    let header = String::from_utf8_lossy(&npy[..npy.len() - 4]).into_owned();
    assert!(header.contains("|u1") && header.contains("(2, 2"), "{header}");
    let tail: String = npy[npy.len() - 4..].iter().map(|b| format!("{b:02x}")).collect();
    assert_eq!(tail, format!("{}{}", lines[0].0, lines[1].0));
}

#[test]
fn without_a_model_the_general_one_is_used_and_said_once() {
    let env = TestEnv::with_birds(3, 4);
    let said = |args: &[&str]| {
        let output = env.run(args);
        assert!(output.status.success(), "{output:?}");
        let said = String::from_utf8(output.stderr).unwrap();
        said.matches("general model").count()
    };
    assert_eq!(said(&["index", "birds", "--index", "i.db"]), 1);
    assert_eq!(said(&["index", "birds", "--index", "i.db", "-q"]), 0);
    // The codes of indexed images need no model at all.
    let indexed = ["search", "birds/class-1/2.png", "--index", "i.db"];
    assert_eq!(said(&[&indexed[..], &["--order", "hamming"]].concat()), 0);
    assert_eq!(said(&indexed), 1);
    env.write("new.png", png(1, 9));
    env.write("newer.png", png(2, 9));
    assert_eq!(said(&["search", "new.png", "newer.png", "--index", "i.db"]), 1);
    let search = ["search", "new.png", "--index", "i.db", "-k", "12", "--order", "hamming"];
    let answer = env.json(&search);
    assert_eq!((&answer["bits"], names(&answer).len()), (&256.into(), 12));

    // Its codes are those of `encode`, and of no other model.
    let code = env.ok(&["encode", "new.png"]);
    let code = code.split_whitespace().next().unwrap();
    let by_code = env.json(&["search", "--code", code, "--index", "i.db", "-k", "12"]);
    assert_eq!(names(&by_code), names(&answer));
    let model = env.train("lda-itq", 48);
    let said = env.fails(&["index", "birds", "--index", "i.db", "--model", &model]);
    assert!(said.contains("another model") && said.contains("256 bits"), "{said}");
}

#[test]
fn a_folder_of_photos_without_classes_can_be_fitted_to() {
    let env = TestEnv::with_birds(3, 4);
    env.write("birds/loose.png", png(1, 7));
    let train = |method, more: &[&'static str]| {
        let args = ["train", method, "--data", "birds", "--layout", "photos", "--size", "32"];
        [&args[..], &["--bits", "16", "--out", "m.safetensors"], more].concat()
    };
    assert!(env.ok(&train("itq", &["--share-trunk"])).contains("from 13 images in"));
    // The trunk is not in the file.
    let size = fs::metadata(env.path("m.safetensors")).unwrap().len();
    assert!(size < 200_000, "{size}");
    env.ok(&["index", "birds", "--model", "m.safetensors", "--index", "i.db"]);
    let said =
        env.fails(&["eval", "--model", "m.safetensors", "--data", "birds", "--layout", "photos"]);
    assert!(said.contains("no test split"), "{said}");
    for method in ["lda-itq", "adsh"] {
        let said = env.fails(&train(method, &[]));
        assert!(said.contains("0 different label(s)"), "{said}");
    }
    assert!(env.fails(&train("adsh", &["--share-trunk"])).contains("--share-trunk"));
}

/// Searches `birds.db`.
fn search(env: &TestEnv, image: &str, more: &[&str]) -> Value {
    env.json(&[&["search", image, "--index", "birds.db"], more].concat())
}

fn results(answer: &Value) -> &[Value] {
    answer["results"].as_array().unwrap()
}

/// What hits in the order of distances are sorted by.
fn order(hit: &Value) -> (u64, u64) {
    (hit["distance"].as_u64().unwrap(), hit["id"].as_u64().unwrap())
}

/// Checks that hits are sorted by descending score, then by id, and returns their number.
#[track_caller]
fn by_score(hits: &[Value]) -> usize {
    let key = |hit: &Value| (hit["score"].as_f64().unwrap(), hit["id"].as_u64().unwrap());
    let sorted = |a: &Value, b: &Value| {
        let (a, b) = (key(a), key(b));
        a.0 > b.0 || a.0 == b.0 && a.1 < b.1
    };
    assert!(hits.is_sorted_by(sorted), "{hits:#?}");
    hits.len()
}

#[test]
fn an_index_is_kept_up_to_date_and_searched() {
    let env = TestEnv::with_birds(3, 4);
    let model = env.train("lda-itq", 48);
    let index = ["index", "birds", "--model", &model, "--index", "birds.db"];
    let counts = |report: &Value| {
        ["images", "found", "added", "changed", "unchanged", "copied"]
            .map(|name| report[name].as_u64().unwrap())
    };
    assert_eq!(counts(&env.json(&index)), [12, 12, 12, 0, 0, 0]);
    assert_eq!(counts(&env.json(&index)), [12, 12, 0, 0, 12, 0]);

    an_indexed_image_comes_first(&env);
    a_code_finds_what_its_image_finds(&env, &model);
    a_new_image_needs_the_model(&env, &model);
    several_images_are_answered_one_by_one(&env);
    an_order_is_chosen(&env, &model);

    // A changed file is encoded again, a copy takes the code that is there.
    env.write("birds/class-0/0.png", png(2, 30));
    env.write("birds/class-0/copy.png", png(1, 3));
    let report = env.json(&index);
    assert_eq!(counts(&report), [13, 13, 1, 1, 11, 1]);
    let answer = search(&env, "birds/class-1/3.png", &["-k", "2"]);
    assert_eq!(names(&answer), ["class-1/3.png", "class-0/copy.png"]);
    assert!(results(&answer).iter().all(|hit| hit["same"] == true), "{answer}");
}

/// Checks a search for an indexed image by its code, which needs no model.
fn an_indexed_image_comes_first(env: &TestEnv) {
    let image = "birds/class-1/2.png";
    let answer = search(env, image, &["-k", "4", "--order", "hamming"]);
    assert_eq!((&answer["bits"], &answer["order"]), (&48.into(), &"hamming".into()));
    assert_eq!(answer["query"], image);
    assert_eq!(answer["index"], "birds.db");
    let hits = results(&answer);
    assert_eq!(hits.len(), 4);
    assert_eq!(names(&answer)[0], "class-1/2.png");
    assert_eq!(hits[0]["same"], true);
    assert_eq!(hits[0]["distance"], 0);
    assert!(hits[1..].iter().all(|hit| hit["same"] == false), "{answer}");
    for (rank, hit) in (1..).zip(hits) {
        assert_eq!(hit["rank"], rank);
        assert!(hit["id"].is_i64() && hit["label"].is_null(), "{hit}");
        assert!(hit.get("score").is_none(), "{hit}");
    }
    assert!(hits[1..].is_sorted_by_key(order), "{answer}");
    // As many as there are, however many are asked for; none if none are.
    assert_eq!(results(&search(env, image, &["-k", "18446744073709551615"])).len(), 12);
    assert!(results(&search(env, image, &["-k", "0"])).is_empty());
}

fn a_code_finds_what_its_image_finds(env: &TestEnv, model: &str) {
    let image = "birds/class-1/2.png";
    let printed = env.ok(&["encode", image, "--model", model]);
    let code = printed.split_whitespace().next().unwrap();
    let by_code = env.json(&["search", "--code", code, "--index", "birds.db", "-k", "12"]);
    let by_image = search(env, image, &["-k", "12", "--order", "hamming"]);
    assert_eq!(by_code["order"], "hamming");
    let distances =
        |answer: &Value| results(answer).iter().map(|hit| order(hit).0).collect::<Vec<_>>();
    assert_eq!(distances(&by_code).len(), 12);
    assert_eq!(distances(&by_code), distances(&by_image));
}

/// Checks that the model is found where it was, or named.
fn a_new_image_needs_the_model(env: &TestEnv, model: &str) {
    env.write("new.png", png(1, 9));
    assert_eq!(results(&search(env, "new.png", &["-k", "3"])).len(), 3);
    fs::rename(env.path(model), env.path("away")).unwrap();
    let said = env.fails(&["search", "new.png", "--index", "birds.db"]);
    assert!(said.contains("new.png is not indexed") && said.contains("--model"), "{said}");
    // The code of an indexed image is there, and its order that of distances.
    let image = "birds/class-1/2.png";
    let answer = search(env, image, &[]);
    assert_eq!(answer, search(env, image, &["--order", "hamming"]));
    assert_eq!(answer["order"], "hamming");
    fs::rename(env.path("away"), env.path(model)).unwrap();
    let answer = search(env, "new.png", &["--model", model, "-k", "3"]);
    let hits = results(&answer);
    assert!(hits.len() == 3 && hits.iter().all(|hit| hit["same"] == false), "{answer}");
    assert!(names(&answer)[0].starts_with("class-1/"), "{answer}");
}

/// Checks the order by scores, which is the usual one, and the ways to choose another.
fn an_order_is_chosen(env: &TestEnv, model: &str) {
    for image in ["birds/class-1/2.png", "new.png"] {
        let hamming = search(env, image, &["-k", "12", "--order", "hamming"]);
        let answer = search(env, image, &["-k", "12"]);
        assert_eq!(answer["order"], "asymmetric");
        let hits = results(&answer);
        let own = hits.iter().take_while(|hit| hit["same"] == true).count();
        assert_eq!(by_score(&hits[own..]), 12 - own);
        assert!(hits.iter().all(|hit| hit["score"].as_f64().unwrap().abs() <= 1.0), "{answer}");
        assert_eq!(answer, search(env, image, &["-k", "12", "--order", "asymmetric"]));
        // The same images at the same distances.
        let mut sorted: Vec<_> = hits[own..].iter().map(order).collect();
        sorted.sort_unstable();
        let expected: Vec<_> = results(&hamming)[own..].iter().map(order).collect();
        assert_eq!(sorted, expected);
        // The nearest three alone: the others follow as they were.
        let few = search(env, image, &["-k", "12", "--candidates", "3"]);
        let (first, rest) = results(&few)[own..].split_at(3);
        assert_eq!(by_score(first), 3);
        assert_eq!(rest.iter().map(order).collect::<Vec<_>>(), expected[3..]);
        assert!(rest.iter().all(|hit| hit.get("score").is_none()), "{few}");
        // As many as are wanted come of all candidates.
        let one = search(env, image, &["-k", "1"]);
        assert_eq!(results(&one), &hits[..1]);
    }
    let table = env.ok(&["search", "new.png", "--index", "birds.db"]);
    assert!(table.contains("distance") && table.contains("score"), "{table}");
    let table = env.ok(&["search", "new.png", "--index", "birds.db", "--order", "hamming"]);
    assert!(!table.contains("score"), "{table}");
    // A picture that is gone has its code only.
    fs::rename(env.path("birds/class-1/2.png"), env.path("kept.png")).unwrap();
    let answer = search(env, "birds/class-1/2.png", &["-k", "12"]);
    assert_eq!((&answer["order"], names(&answer).len()), (&"hamming".into(), 12));
    fs::rename(env.path("kept.png"), env.path("birds/class-1/2.png")).unwrap();

    let code = env.ok(&["encode", "new.png", "--model", model]);
    let code = code.split_whitespace().next().unwrap();
    for (args, said) in [
        (&["--code", code, "--order", "asymmetric"][..], "--order asymmetric needs an image"),
        (&["--code", code, "--candidates", "9"], "--candidates sorts by scores"),
        (&["new.png", "--order", "hamming", "--candidates", "9"], "--candidates sorts by scores"),
        (&["new.png", "--candidates", "0"], "--candidates must be at least 1"),
        (&["new.png", "--order", "cosine"], "no stored features"),
    ] {
        let failed = env.fails(&[&["search", "--index", "birds.db"], args].concat());
        assert!(failed.contains(said), "{failed}");
    }
    for option in ["--order", "--candidates"] {
        let value = if option == "--order" { "cosine" } else { "5" };
        let args = ["search", "new.png", "--index", "birds.db", "--rerank", "5", option, value];
        assert!(env.misused(&args).contains("cannot be used with"), "{option}");
    }
}

fn several_images_are_answered_one_by_one(env: &TestEnv) {
    let two = ["search", "birds/class-0/0.png", "birds/class-2/0.png", "--index", "birds.db"];
    let answers = env.json(&two);
    let first: Vec<String> =
        answers.as_array().unwrap().iter().map(|answer| names(answer)[0].clone()).collect();
    assert_eq!(first, ["class-0/0.png", "class-2/0.png"]);
    let table = env.ok(&two);
    assert!(table.contains("birds/class-2/0.png (the same image)"), "{table}");
}

#[test]
fn two_new_files_of_one_content_are_encoded_once() {
    let env = TestEnv::with_birds(2, 4);
    let model = env.train("lsh", 32);
    env.write("more/a.png", png(0, 9));
    env.write("more/b.png", png(0, 9));
    let report = env.json(&["index", "more", "--model", &model, "--index", "more.db"]);
    assert_eq!((&report["added"], &report["copied"]), (&2.into(), &1.into()));
    let answer = env.json(&["search", "more/b.png", "--index", "more.db"]);
    let results = answer["results"].as_array().unwrap();
    assert!(results.len() == 2 && results.iter().all(|hit| hit["same"] == true), "{answer}");
}

#[test]
fn options_for_servers_need_one() {
    let env = TestEnv::with_birds(1, 1);
    let image = "birds/class-0/0.png";
    for option in [&["--approximate"][..], &["--explain-sql"], &["--timeout", "5"]] {
        let said = env.misused(&[&["search", image], option].concat());
        assert!(said.contains("--engine"), "{said}");
        let said = env.misused(&[&["search", image, "--index", "i.db"], option].concat());
        assert!(said.contains("cannot be used with"), "{said}");
    }
}

#[test]
fn labels_come_from_folders_or_a_table() {
    let env = TestEnv::with_birds(2, 4);
    let model = env.train("lsh", 32);
    let label = |labels: &str| {
        let index = ["index", "birds", "--model", &model, "--index", "birds.db"];
        env.ok(&[&index[..], &["--labels", labels]].concat());
        let search = ["search", "birds/class-1/0.png", "--index", "birds.db", "-k", "1"];
        env.json(&search)["results"][0]["label"].clone()
    };
    assert_eq!(label("folder"), "class-1");
    // As a spreadsheet writes it; paths are relative to the table.
    env.write("table.csv", "\u{feff}birds/class-1/0.png,\"kingfisher\"\r\nbirds/none.png,wren\r\n");
    assert_eq!(label("table.csv"), "kingfisher");
    // Without --labels, labels stay.
    env.ok(&["index", "birds", "--model", &model, "--index", "birds.db"]);
    let answer = env.json(&["search", "birds/class-1/0.png", "--index", "birds.db", "-k", "1"]);
    assert_eq!(answer["results"][0]["label"], "kingfisher");

    env.write("broken.csv", "birds/class-1/0.png,a\nno label here\n");
    let index = ["index", "birds", "--model", &model, "--index", "birds.db"];
    let said = env.fails(&[&index[..], &["--labels", "broken.csv"]].concat());
    assert!(said.contains("broken.csv: line 2 has no comma"), "{said}");
    let said = env.fails(&[&index[..], &["--labels", "none.csv"]].concat());
    assert!(said.contains("none.csv"), "{said}");
}

#[cfg(target_os = "linux")]
#[test]
fn drivers_print_nothing_where_there_is_no_desktop() {
    let env = TestEnv::with_birds(1, 1);
    // Looking for a GPU asks the drivers.
    let args = ["encode", "birds/class-0/0.png", "--device", "auto", "-q"];
    let mut encode = env.plain_command(&args);
    let output = encode.env_remove("XDG_RUNTIME_DIR").output().unwrap();
    assert!(output.status.success());
    assert_eq!(stderr(&output), "");
}

#[cfg(unix)]
#[test]
fn names_are_printed_so_that_they_cannot_do_anything() {
    let env = TestEnv::with_birds(1, 1);
    let picture = fs::read(env.path("birds/class-0/0.png")).unwrap();
    env.write("odd/\u{1b}[31mred\n\u{202e}gnp.png", picture);
    let listed = env.ok(&["encode", "odd/\u{1b}[31mred\n\u{202e}gnp.png", "--device", "cpu"]);
    assert_eq!(listed.lines().count(), 1, "{listed}");
    assert!(listed.ends_with("  odd/\\u{1b}[31mred\\n\\u{202e}gnp.png\n"), "{listed}");
}

#[test]
fn unusable_files_are_skipped_and_named() {
    let env = TestEnv::with_birds(2, 5);
    let model = env.train("lsh", 32);
    let whole = jpeg(0, 8);
    env.write("mixed/whole.jpg", &whole);
    env.write("mixed/cut.jpg", &whole[..whole.len() / 2]);
    env.write("mixed/letter.jpg", "Dear Sir or Madam,");
    env.write("mixed/empty.png", "");
    env.write("mixed/notes.txt", "no image, and none is expected");
    env.write("mixed/.hidden.png", png(0, 0));
    let index = ["index", "mixed", "--model", &model, "--index", "mixed.db"];
    let output = env.run(&[&index[..], &["--json"]].concat());
    assert!(output.status.success());
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&report["found"], &report["images"]), (&4.into(), &1.into()));
    let skipped = report["skipped"].as_array().unwrap();
    assert_eq!(skipped.len(), 3);
    for (name, reason) in [
        ("cut.jpg", "cut off"),
        ("letter.jpg", "not an image of a known format"),
        ("empty.png", "empty"),
    ] {
        let line = |line: &&str| line.starts_with("warning: skipped: ") && line.contains(name);
        let said = stderr(&output);
        let line = said.lines().find(line).unwrap_or_else(|| panic!("{name} is not in {said}"));
        assert!(line.contains(reason), "{line}");
        let path = |entry: &&Value| entry["path"].as_str().unwrap().ends_with(name);
        assert!(skipped.iter().any(|entry| path(&entry)), "{name} is not in {report}");
    }

    let output = env.run(&[&index[..], &["--strict"]].concat());
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("error: 3 images were skipped (--strict)"));

    // Training and measuring leave them out as well.
    env.write("birds/class-0/cut.jpg", &whole[..whole.len() / 2]);
    let output = env.run(&["train", "lsh", "--data", "birds", "--size", "32", "--out", "m"]);
    let evaluated = env.run(&["eval", "--model", &model, "--data", "birds"]);
    assert!(output.status.success() && evaluated.status.success());
    assert!(stderr(&evaluated).contains("cut.jpg"), "{}", stderr(&evaluated));

    // Of the images named to `encode`, those that can be are, and the status says it.
    let output = env.run(&["encode", "mixed/whole.jpg", "mixed/cut.jpg", "--model", &model]);
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stdout).ends_with("mixed/whole.jpg\n"));
    assert!(stderr(&output).contains("error: 1 of 2 images could not be encoded"));
}

#[cfg(unix)]
#[test]
fn odd_names_links_and_pipes_are_survived() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;
    use std::os::unix::fs::symlink;

    let env = TestEnv::with_birds(2, 4);
    let model = env.train("lsh", 32);
    env.write("odd/a, \"b\" 'c' %2f?#.png", png(0, 0));
    env.write("odd/new\nline.png", png(0, 1));
    env.write("odd/Größe 🐦.PNG", png(0, 2));
    let odd = env.path("odd");
    fs::write(odd.join(OsStr::from_bytes(b"not-unicode-\xff.png")), png(0, 3)).unwrap();
    symlink("loop.png", odd.join("loop.png")).unwrap();
    symlink("nothing.png", odd.join("dangling.png")).unwrap();
    symlink("../odd", odd.join("self")).unwrap();
    symlink("../birds/class-1/0.png", odd.join("link.png")).unwrap();
    fs::create_dir(odd.join("folder.jpg")).unwrap();
    let pipe = std::process::Command::new("mkfifo").arg(odd.join("pipe.jpg")).status();
    assert!(pipe.unwrap().success());

    let index = ["index", "odd", "--model", &model, "--index", "odd.db"];
    let report = env.json(&index);
    assert_eq!(report["images"], 4, "{report}");
    let reasons = report["skipped"].to_string();
    for name in ["loop.png: ", "dangling.png: ", "not-unicode-"] {
        assert!(reasons.contains(name), "{name} is not in {reasons}");
    }
    assert_eq!(env.json(&index)["unchanged"], 4);
    // A folder by two ways is one folder.
    assert_eq!(
        env.json(&["index", "odd/self", "odd", "--model", &model, "--index", "odd.db"])["found"],
        4
    );
    let answer = env.json(&["search", "odd/new\nline.png", "--index", "odd.db", "-k", "1"]);
    assert!(answer["results"][0]["path"].as_str().unwrap().ends_with("odd/new\nline.png"));

    // The same where the name of the index is not Unicode either.
    let name = OsStr::from_bytes(b"index-\xff.db");
    let mut command = env.command(&["index", "birds", "--model", &model, "--json"]);
    command.arg("--index").arg(name).assert().success();
    assert!(env.path("").join(name).is_file());
}

#[test]
fn too_few_images_are_explained() {
    let env = TestEnv::with_birds(2, 4);
    let model = env.train("lsh", 32);
    fs::create_dir(env.path("empty")).unwrap();
    let said = env.fails(&["train", "lsh", "--data", "empty", "--out", "m"]);
    assert!(said.contains("empty has no images"), "{said}");
    let output = env.run(&["index", "empty", "--model", &model, "--index", "i.db"]);
    assert!(output.status.success());
    assert!(stderr(&output).contains("warning: no images found"));
    let output = env.run(&["search", "--code", "00000000", "--index", "i.db", "--json"]);
    assert!(output.status.success());
    assert!(stderr(&output).contains("warning: i.db holds no images"));

    env.write("one/only/0.png", png(0, 0));
    env.write("one/only/1.png", png(0, 1));
    let said = env.fails(&["train", "lsh", "--data", "one", "--out", "m"]);
    assert!(said.contains("are of one class, 'only'"), "{said}");

    // A class of one image warns, and trains with the others.
    env.write("birds/rare/0.png", png(5, 0));
    let output = env.run(&["train", "lda-itq", "--data", "birds", "--size", "32", "--out", "m"]);
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(stderr(&output).contains("warning: only one image of each of these classes"));
    assert!(stderr(&output).contains("rare"));

    // Pictures that cannot be told apart.
    for n in 0..6 {
        env.write(&format!("equal/class-{}/{n}.png", n % 2), png(0, 0));
    }
    let said = env.fails(&["train", "itq", "--data", "equal", "--size", "32", "--out", "equal.m"]);
    assert!(said.contains("have the same features"), "{said}");
    assert!(!env.path("equal.m").exists());
}

#[test]
fn a_model_does_not_search_the_index_of_another() {
    let env = TestEnv::with_birds(2, 4);
    let (first, second) = (env.train("lsh", 32), env.train("lsh", 48));
    env.ok(&["index", "birds", "--model", &first, "--index", "i.db"]);
    for args in [["index", "birds"], ["search", "birds/class-0/0.png"]] {
        let said = env.fails(&[&args[..], &["--model", &second, "--index", "i.db"]].concat());
        assert!(said.contains("another model (32 bits") && said.contains("not 48 bits"), "{said}");
    }
    // The same bits of another training are no more comparable.
    let other = ["--bits", "32", "--size", "64", "--seed", "2", "--out", "other"];
    env.ok(&[&["train", "lsh", "--data", "birds"], &other[..]].concat());
    let said = env.fails(&["index", "birds", "--model", "other", "--index", "i.db"]);
    assert!(said.contains("another model (32 bits"), "{said}");
    let said = env.fails(&["search", "--code", "0000", "--index", "i.db"]);
    assert!(said.contains("8 hexadecimal digits, but 4"), "{said}");
    let said = env.fails(&["search", "--code", "0000000g", "--index", "i.db"]);
    assert!(said.contains("'g' is not a hexadecimal digit"), "{said}");
}

#[test]
fn wrong_usage_is_explained_with_status_2() {
    let env = TestEnv::new();
    let begin = ["train", "lsh", "--data", "d", "--out", "m"];
    let train = |more: &[&'static str]| [&begin[..], more].concat();
    for bits in ["--bits=0", "--bits=2000", "--bits=-1", "--bits=many", "--bits=1025"] {
        let said = env.misused(&train(&[bits]));
        assert!(said.contains("'--bits <BITS>'"), "{said}");
    }
    let said = env.misused(&["train", "magic", "--data", "d", "--out", "m"]);
    assert!(
        said.contains("'magic'") && said.contains("lsh, whitened-lsh, itq, lda-itq, sdh"),
        "{said}"
    );
    assert!(env.misused(&train(&["--device", "cuda"])).contains("'cuda' is not one of auto, gpu"));
    assert!(
        env.misused(&train(&["--layout", "zip"])).contains("folder, photos, index, grocery, cub")
    );
    assert!(env.misused(&["search"]).contains("required"));
    assert!(env.misused(&["search", "a.png", "--code", "00"]).contains("cannot be used with"));
    assert!(env.misused(&["fly"]).contains("'fly'"));
}

#[test]
fn help_and_version_are_no_failures() {
    let env = TestEnv::new();
    assert!(env.ok(&["--version"]).starts_with("barbule 0."));
    for command in
        ["train", "eval", "compare", "encode", "index", "search", "doctor", "bench", "weights"]
    {
        assert!(env.ok(&[command, "--help"]).contains("Usage: barbule"), "{command}");
    }
}

#[test]
fn what_is_missing_is_named() {
    let env = TestEnv::with_birds(2, 4);
    let model = env.train("lsh", 32);
    env.ok(&["index", "birds", "--model", &model, "--index", "i.db"]);
    let image = "birds/class-0/0.png";
    env.write("notes.txt", "Not to be lost.");
    let cases: [(&[&str], &str); 13] = [
        (&["train", "lsh", "--data", "no/data", "--out", "m"], "no/data"),
        (&["train", "lsh", "--data", "birds", "--out", "notes.txt"], "is no Barbule model"),
        (&["train", "lsh", "--data", "birds", "--out", "no/folder/m"], "no folder no/folder"),
        (&["train", "lsh", "--data", "birds", "--out", "birds"], "it is a folder"),
        (&["train", "lsh", "--data", "birds", "--out", "m", "--size", "0"], "0 pixels"),
        (&["train", "lsh", "--data", "birds", "--out", "m", "--weights", "no.w"], "no.w"),
        (&["eval", "--model", "no.model", "--data", "birds"], "no.model"),
        (&["encode", image, "--model", "birds"], "birds: it is not a file"),
        (&["index", "no/folder", "--model", &model, "--index", "i.db"], "no/folder"),
        (&["index", "birds", "--model", &model, "--index", "no/folder/i.db"], "no/folder/i.db"),
        (&["search", image, "--index", "no.db"], "there is no index at no.db"),
        (&["search", "no.png", "--index", "i.db"], "no.png"),
        (&["weights", "import", "no.weights", "--out", "w"], "no.weights"),
    ];
    for (args, expected) in cases {
        let said = env.fails(args);
        assert!(said.contains(expected), "{args:?}: {said}");
        assert!(!said.contains(".barbule-"), "a temporary name is shown: {said}");
    }
    // An error leaves stdout empty with --json as well.
    let said = env.fails(&["search", "no.png", "--index", "i.db", "--json"]);
    assert!(said.contains("no.png"), "{said}");
    // The default index is in the user's folder, and not there yet.
    let said = env.fails(&["search", image]);
    assert!(
        said.contains(&env.path("").display().to_string()) && said.contains("barbule.db"),
        "{said}"
    );
    env.ok(&["index", "birds", "--model", &model]);
    assert_eq!(names(&env.json(&["search", image, "-k", "1"])), ["class-0/0.png"]);
}

#[test]
fn weights_of_another_network_are_refused() {
    let env = TestEnv::with_birds(2, 4);
    let model = env.train("lsh", 32);
    env.write("text.safetensors", "this is no such file at all");
    for file in ["text.safetensors", &model, "birds"] {
        let train = ["train", "lsh", "--data", "birds", "--out", "m", "--weights", file];
        let said = env.fails(&train);
        assert!(said.contains(file), "{said}");
        let said = env.fails(&["weights", "import", file, "--out", "w"]);
        assert!(said.contains(file), "{said}");
    }
    assert!(!env.path("m").exists() && !env.path("w").exists());
}

#[test]
fn devices_that_are_not_there_are_named() {
    let env = TestEnv::with_birds(2, 5);
    let doctor = |device: &[&str]| env.fails(&[&["doctor"], device].concat());
    let said = doctor(&["--device", "cpu", "--adapter", "0"]);
    assert!(said.contains("leave one of them out"), "{said}");
    let said = doctor(&["--device", "gpu", "--adapter", "nosuch"]);
    assert!(said.contains("no adapter matches 'nosuch'"), "{said}");
    if cfg!(target_os = "linux") {
        for device in ["metal", "dx12"] {
            let said = doctor(&["--device", device]);
            assert!(
                said.contains(&format!("no adapter found for the device '{device}'")),
                "{said}"
            );
        }
    }
    let train = |method: &str, more: &[&str]| {
        env.fails(
            &[&["train", method, "--data", "birds", "--out", "m", "--devices"], more].concat(),
        )
    };
    let said = train("adsh", &["cpu,nosuch", "--device", "gpu"]);
    assert!(said.contains("no adapter matches 'nosuch'"), "{said}");
    let said = train("adsh", &["cpu,CPU", "--device", "gpu"]);
    assert!(said.contains("names CPU") && said.contains("twice"), "{said}");
    let said = train("adsh", &["cpu", "--device", "gpu", "--adapter", "0"]);
    assert!(said.contains("leave --adapter out"), "{said}");
    let said = train("adsh", &["0", "--device", "cpu"]);
    assert!(said.contains("leave --device cpu out"), "{said}");
    let said = train("itq", &["cpu"]);
    assert!(said.contains("itq does not"), "{said}");
    let report = env.json(&["doctor"]);
    assert!(report["check"].is_null() && report["device"].as_str().unwrap().starts_with("CPU"));
    let kernels = report["shaders"].as_array().unwrap();
    assert!(!kernels.is_empty() && kernels.iter().all(|kernel| kernel["error"].is_null()));
}

#[test]
fn cpu_and_gpu_give_the_same_bytes() {
    if gpu().is_none() {
        return;
    }
    let env = TestEnv::with_birds(2, 5);
    let model = env.train("lda-itq", 48);
    env.ok(&["index", "birds", "--model", &model, "--index", "i.db"]);
    env.write("new.png", png(1, 20));
    let both = |args: &[&str]| {
        ["cpu", "gpu"].map(|device| env.ok(&[args, &["--device", device]].concat()))
    };
    for order in [&["--order", "hamming"][..], &["--paths0"]] {
        let indexed = ["search", "birds/class-0/1.png", "--index", "i.db", "-k", "9"];
        let [cpu, gpu] = both(&[&indexed, order].concat());
        assert_eq!(cpu, gpu);
        let new = ["search", "new.png", "--index", "i.db", "--model", &model, "-k", "9"];
        let [cpu, gpu] = both(&[&new, order].concat());
        assert_eq!(cpu, gpu);
    }
    let images: Vec<_> = (0..5).map(|n| format!("birds/class-1/{n}.png")).collect();
    let mut encode = vec!["encode", "--model", &model];
    encode.extend(images.iter().map(String::as_str));
    let [cpu, gpu] = both(&encode);
    assert_eq!(cpu, gpu);
    let report = env.json(&["doctor", "--device", "gpu"]);
    assert_eq!(report["check"]["different"], 0);
}

#[cfg(unix)]
#[test]
fn a_closed_pipe_is_no_failure() {
    use std::process::Stdio;

    let env = TestEnv::with_birds(2, 4);
    let model = env.train("lsh", 32);
    env.write("birds/class-0/text.jpg", "text");
    let index = ["index", "birds", "--model", &model, "--index", "i.db"];
    let search = ["search", "birds/class-0/0.png", "--index", "i.db"];
    for (args, close) in [(&index[..], "stderr"), (&index[..], "stdout"), (&search[..], "stdout")] {
        let mut command = env.plain_command(args);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        // The reading end goes before anything is written.
        match close {
            "stderr" => drop(child.stderr.take()),
            _ => drop(child.stdout.take()),
        }
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{args:?} without {close}: {}", stderr(&output));
        assert!(!stderr(&output).contains("error: "), "{}", stderr(&output));
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_is_a_failure() {
    use std::process::Stdio;

    let env = TestEnv::new();
    let full = fs::File::options().write(true).open("/dev/full").unwrap();
    let mut command = env.plain_command(&["doctor"]);
    let output = command.stdout(full).stderr(Stdio::piped()).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).starts_with("error: cannot write to stdout"), "{}", stderr(&output));
}

#[test]
fn packagers_get_completions_and_manual_pages() {
    let env = TestEnv::new();
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let script = env.ok(&["completions", shell]);
        assert!(script.contains("barbule") && script.contains("index"), "{shell}");
    }
    env.ok(&["man", "pages"]);
    let page = std::fs::read_to_string(env.path("pages/barbule-train.1")).unwrap();
    assert!(page.contains("exchnet") && page.contains("hold\\-out\\-classes"), "{page}");
}

#[test]
fn every_command_shows_an_example() {
    let env = TestEnv::new();
    let help = env.ok(&["--help"]);
    let commands = help.lines().skip_while(|line| *line != "Commands:").skip(1);
    let commands = commands.take_while(|line| !line.is_empty());
    let names: Vec<&str> = commands.filter_map(|line| line.split_whitespace().next()).collect();
    assert!(names.contains(&"train") && names.len() > 12, "{names:?}");
    for name in names.into_iter().filter(|name| !["help", "bench", "weights"].contains(name)) {
        assert!(env.ok(&[name, "--help"]).contains("Example: barbule"), "{name}");
    }
    for nested in [["bench", "train"], ["bench", "encode"], ["weights", "import"]] {
        assert!(env.ok(&[&nested[..], &["--help"]].concat()).contains("Example: barbule"));
    }
}
