/*!
An index that keeps up with folders, and what is asked of it.
*/
use std::fs;
use std::process::Stdio;
use std::time::Duration;

use crate::common::{TestEnv, jpeg, png, stderr};
use serde_json::{Value, json};

/// A folder data set of pictures, and an index of it by the built-in model.
fn indexed() -> TestEnv {
    let env = TestEnv::with_birds(3, 4);
    env.ok(&["index", "birds", "--index", "i.db", "--labels", "folder"]);
    env
}

fn index(env: &TestEnv, more: &[&str]) -> Value {
    env.json(&[&["index", "birds", "--index", "i.db"], more].concat())
}

fn search(env: &TestEnv, more: &[&str]) -> Value {
    env.json(&[&["search"], more, &["--index", "i.db"]].concat())
}

fn paths(answer: &Value) -> Vec<String> {
    let path = |hit: &Value| hit["path"].as_str().unwrap().replace('\\', "/");
    let name = |hit| path(hit).rsplit("birds/").next().unwrap().to_owned();
    answer["results"].as_array().unwrap().iter().map(name).collect()
}

/// Added, changed, moved, unchanged, removed, skipped.
fn counts(report: &Value) -> [u64; 6] {
    let skipped = report["skipped"].as_array().unwrap().len() as u64;
    let [added, changed, moved, unchanged, removed] =
        ["added", "changed", "moved", "unchanged", "removed"].map(|n| report[n].as_u64().unwrap());
    [added, changed, moved, unchanged, removed, skipped]
}

/// Every image's path, label and code, in the order of their paths.
fn contents(env: &TestEnv, file: &str) -> Vec<(String, Option<String>, String)> {
    let index = barbule::index::Index::open(&env.path(file)).unwrap();
    let ids = index.ids(&Default::default()).unwrap();
    let mut all: Vec<_> = ids
        .iter()
        .map(|id| {
            let image = index.image(*id).unwrap();
            (image.path, image.label, index.code(*id).unwrap().hex())
        })
        .collect();
    all.sort();
    all
}

#[test]
fn moved_changed_and_deleted_files_are_noticed() {
    let env = indexed();
    let before = contents(&env, "i.db");
    assert_eq!(counts(&index(&env, &[])), [0, 0, 0, 12, 0, 0]);

    // A folder is renamed, one file moves, one is deleted, one changes, one is written anew
    // as it was, one is copied.
    let birds = env.path("birds");
    fs::rename(birds.join("class-0"), birds.join("first")).unwrap();
    fs::rename(birds.join("class-1/0.png"), birds.join("away.png")).unwrap();
    fs::remove_file(birds.join("class-1/1.png")).unwrap();
    env.write("birds/class-1/2.png", png(2, 40));
    env.write("birds/class-1/3.png", png(1, 3));
    let later = std::time::SystemTime::now() + Duration::from_secs(60);
    fs::File::open(birds.join("class-1/3.png")).unwrap().set_modified(later).unwrap();
    fs::copy(birds.join("class-2/0.png"), birds.join("copy.png")).unwrap();
    let report = index(&env, &[]);
    assert_eq!(counts(&report), [1, 1, 5, 5, 1, 0]);
    assert_eq!((&report["copied"], &report["images"]), (&1.into(), &12.into()));

    // What moved keeps its label and its code; nothing else changed.
    let after = contents(&env, "i.db");
    let code = |all: &[(String, Option<String>, String)], name: &str| {
        let entry = all.iter().find(|(path, ..)| path.ends_with(name));
        entry.map(|(_, label, code)| (label.clone(), code.clone())).unwrap()
    };
    for (old, new) in [("class-0/2.png", "first/2.png"), ("class-1/0.png", "birds/away.png")] {
        assert_eq!(code(&before, old), code(&after, new), "{old}");
    }
    assert_eq!(code(&before, "class-2/0.png").1, code(&after, "copy.png").1);
    assert_ne!(code(&before, "class-1/2.png").1, code(&after, "class-1/2.png").1);
    assert_eq!(counts(&index(&env, &[])), [0, 0, 0, 12, 0, 0]);
}

#[test]
fn an_index_made_step_by_step_is_the_one_made_at_once() {
    let env = indexed();
    let birds = env.path("birds");
    // Two files change places, and a third takes the old content of one of them.
    fs::rename(birds.join("class-0/0.png"), birds.join("t.png")).unwrap();
    fs::rename(birds.join("class-0/1.png"), birds.join("class-0/0.png")).unwrap();
    fs::rename(birds.join("t.png"), birds.join("class-0/1.png")).unwrap();
    fs::copy(birds.join("class-2/3.png"), birds.join("class-2/9.png")).unwrap();
    env.write("birds/class-2/3.png", png(0, 50));
    index(&env, &["--labels", "folder"]);
    env.ok(&["index", "birds", "--index", "fresh.db", "--labels", "folder"]);
    assert_eq!(contents(&env, "i.db"), contents(&env, "fresh.db"));
}

#[test]
fn a_folder_that_is_not_there_keeps_its_images() {
    let env = indexed();
    fs::rename(env.path("birds"), env.path("unplugged")).unwrap();
    // All folders that the index was made from.
    let report = env.json(&["index", "--index", "i.db"]);
    assert_eq!((&report["images"], report["absent"].as_array().unwrap().len()), (&12.into(), 1));
    let pruned = env.json(&["prune", "--index", "i.db"]);
    assert_eq!((&pruned["images"], pruned["missing"].as_array().unwrap().len()), (&12.into(), 1));
    // The mount point of a drive stays, and is empty.
    fs::create_dir(env.path("birds")).unwrap();
    assert_eq!(index(&env, &[])["images"], 12);
    let pruned = env.json(&["prune", "--index", "i.db"]);
    assert_eq!((&pruned["images"], pruned["missing"].as_array().unwrap().len()), (&12.into(), 1));
    // An image that is gone can still be looked for.
    let answer = search(&env, &["birds/class-1/2.png", "-k", "1"]);
    assert_eq!(paths(&answer), ["class-1/2.png"]);
    fs::remove_dir(env.path("birds")).unwrap();
    let dry = env.json(&["prune", "--all", "--dry-run", "--index", "i.db"]);
    assert_eq!((&dry["images"], dry["removed"].as_array().unwrap().len()), (&12.into(), 12));
    assert_eq!(env.json(&["prune", "--all", "--index", "i.db"])["images"], 0);
    let status = env.json(&["status", "--index", "i.db"]);
    assert_eq!((&status["images"], &status["folders"]), (&0.into(), &json!([])));
}

#[test]
fn a_folder_within_another_is_judged_by_itself() {
    let env = TestEnv::new();
    env.write_classes("media", 1, 2);
    env.write_classes("media/drive", 2, 2);
    env.write_classes("media/.kept", 1, 3);
    for folder in ["media/drive", "media/.kept", "media"] {
        env.ok(&["index", folder, "--index", "i.db"]);
    }
    let outer = || env.json(&["index", "media", "--index", "i.db"]);
    assert_eq!((&outer()["images"], &outer()["unchanged"]), (&9.into(), &9.into()));

    // The drive is unplugged: its mount point is empty, then gone; the hidden folder is left
    // out by the one around it.
    fs::rename(env.path("media/drive"), env.path("unplugged")).unwrap();
    for there in [true, false] {
        if there {
            fs::create_dir(env.path("media/drive")).unwrap();
        } else {
            fs::remove_dir(env.path("media/drive")).unwrap();
        }
        for report in [outer(), env.json(&["index", "--index", "i.db"])] {
            assert_eq!((&report["images"], &report["removed"]), (&9.into(), &0.into()));
            assert_eq!(report["absent"].as_array().unwrap().len(), 1, "{report}");
        }
        assert_eq!(env.json(&["prune", "--index", "i.db"])["images"], 9);
    }
    fs::rename(env.path("unplugged"), env.path("media/drive")).unwrap();

    // What is deleted within it is noticed by way of either.
    fs::remove_file(env.path("media/drive/class-0/0.png")).unwrap();
    assert_eq!(outer()["removed"], 1);
    fs::remove_file(env.path("media/.kept/class-0/0.png")).unwrap();
    assert_eq!(env.json(&["index", "--index", "i.db"])["removed"], 1);
}

#[test]
fn labels_stay_with_their_images() {
    let env = indexed();
    let at = |name: &str| env.path("birds").join(name);
    let label = |name: &str| {
        let all = contents(&env, "i.db");
        all.into_iter().find(|(path, ..)| path.ends_with(name)).and_then(|(_, label, _)| label)
    };
    env.write(
        "some.csv",
        "birds/class-0/0.png,wren\nbirds/class-0/1.png,owl\nbirds/class-0/2.png,tit\n",
    );
    index(&env, &["--labels", "some.csv"]);
    let named = ["class-0/0.png", "class-0/1.png", "class-0/2.png"].map(label);
    assert_eq!(named, ["wren", "owl", "tit"].map(|label| Some(label.to_owned())));
    // What a table does not name keeps its label.
    assert_eq!(label("class-0/3.png").as_deref(), Some("class-0"));

    // A chain of new names, and one file over another.
    fs::rename(at("class-0/1.png"), at("class-0/9.png")).unwrap();
    fs::rename(at("class-0/0.png"), at("class-0/1.png")).unwrap();
    fs::rename(at("class-1/0.png"), at("class-0/2.png")).unwrap();
    // A file is edited where it lies; another is copied.
    env.write("birds/class-2/0.png", png(2, 60));
    fs::copy(at("class-2/1.png"), at("copy.png")).unwrap();
    index(&env, &[]);
    for (name, expected) in [
        ("class-0/1.png", "wren"),
        ("class-0/9.png", "owl"),
        ("class-0/2.png", "class-1"),
        ("class-2/0.png", "class-2"),
        ("birds/copy.png", "class-2"),
    ] {
        assert_eq!(label(name).as_deref(), Some(expected), "{name}");
    }
    assert_eq!(contents(&env, "i.db").len(), 12);
    // An empty label takes it away.
    env.write("none.csv", "birds/copy.png,\n");
    index(&env, &["--labels", "none.csv"]);
    assert_eq!(label("birds/copy.png"), None);
    env.ok(&["index", "birds", "--index", "fresh.db"]);
    let codes = |file: &str| -> Vec<(String, String)> {
        contents(&env, file).into_iter().map(|(path, _, code)| (path, code)).collect()
    };
    assert_eq!(codes("i.db"), codes("fresh.db"));
}

#[cfg(unix)]
#[test]
fn a_link_to_an_index_is_the_index() {
    use barbule::index::{Index, IndexWriter};

    let env = indexed();
    fs::create_dir(env.path("links")).unwrap();
    std::os::unix::fs::symlink(env.path("i.db"), env.path("links/l.db")).unwrap();
    // While somebody reads what was there before, what is new stays beside the file.
    let reader = Index::open(&env.path("i.db")).unwrap();
    reader.codes(&barbule::task::Task::unwatched()).unwrap();
    env.write_classes("birds/more", 4, 40);
    assert_eq!(env.json(&["index", "birds", "--index", "links/l.db"])["images"], 172);
    assert!(fs::metadata(env.path("i.db-wal")).unwrap().len() > 0);
    assert_eq!(env.json(&["status", "--index", "links/l.db"])["images"], 172);
    assert_eq!(reader.len().unwrap(), 12);
    drop(reader);
    // One writer, whatever it calls the index; and what was left is taken into the file.
    let writer = IndexWriter::open_existing(&env.path("i.db")).unwrap();
    let said = env.fails(&["index", "birds", "--index", "links/l.db", "-q"]);
    assert!(said.contains("is writing to"), "{said}");
    drop(writer);
    fs::copy(env.path("i.db"), env.path("alone.db")).unwrap();
    assert_eq!(env.json(&["status", "--index", "alone.db"])["images"], 172);
}

#[test]
fn what_an_index_left_behind_is_no_part_of_an_import() {
    let env = indexed();
    env.ok(&["export", "--index", "i.db", "--to", "out/"]);
    for ending in ["-wal", ""] {
        let left = env.write(&format!("new.db{ending}"), "left");
        let said = env.fails(&["import", "out/", "--index", "new.db"]);
        assert!(said.contains(&format!("new.db{ending} exists already")), "{said}");
        assert_eq!(fs::read(&left).unwrap(), b"left");
        fs::remove_file(&left).unwrap();
    }
    env.ok(&["import", "out/", "--index", "new.db"]);
    assert_eq!(contents(&env, "new.db"), contents(&env, "i.db"));
}

#[cfg(target_os = "linux")]
#[test]
fn an_image_that_cannot_be_read_for_a_while_stays() {
    let env = indexed();
    let (image, before) = (env.path("birds/class-1/1.png"), contents(&env, "i.db"));
    let bytes = fs::read(&image).unwrap();
    // A file that anybody finds and nobody can read.
    fs::remove_file(&image).unwrap();
    std::os::unix::fs::symlink("/proc/self/mem", &image).unwrap();
    assert_eq!(counts(&index(&env, &[])), [0, 0, 0, 11, 0, 1]);
    assert_eq!(contents(&env, "i.db"), before);
    // It is named once, and tried each time.
    let report = index(&env, &[]);
    assert_eq!((counts(&report), &report["skipped_before"]), ([0, 0, 0, 11, 0, 0], &1.into()));
    fs::remove_file(&image).unwrap();
    fs::write(&image, bytes).unwrap();
    assert_eq!(counts(&index(&env, &[])), [0, 0, 0, 12, 0, 0]);
    assert_eq!(contents(&env, "i.db"), before);
    assert_eq!(env.json(&["status", "--index", "i.db"])["failures"], json!([]));
}

#[test]
fn a_greater_limit_is_enough_to_try_again() {
    let env = indexed();
    let large = image::RgbImage::new(1200, 1000);
    large.save(env.path("birds/large.png")).unwrap();
    let report = index(&env, &["--max-megapixels", "1"]);
    assert_eq!(counts(&report), [0, 0, 0, 12, 0, 1]);
    assert_eq!(counts(&index(&env, &["--max-megapixels", "2"])), [1, 0, 0, 12, 0, 0]);
}

#[test]
fn what_is_left_out_stays_left_out() {
    let env = indexed();
    let report = index(&env, &["--exclude", "class-1", "--exclude", "/class-2/0.*"]);
    assert_eq!(counts(&report), [0, 0, 0, 7, 5, 0]);
    assert_eq!(counts(&index(&env, &[])), [0, 0, 0, 7, 0, 0]);
    let status = env.json(&["status", "--index", "i.db"]);
    assert_eq!(status["folders"][0]["options"]["exclude"], json!(["class-1", "/class-2/0.*"]));
    assert_eq!(counts(&index(&env, &["--exclude", ""])), [5, 0, 0, 7, 0, 0]);
    let said = env.fails(&["index", "birds", "--index", "i.db", "-q", "--exclude", "a["]);
    assert!(said.contains("a[ is not a valid pattern"), "{said}");
    // A file that is not read is not indexed under another root either.
    assert_eq!(env.json(&["forget", "birds/class-0", "--index", "i.db"])["removed"], 4);
    let said = env.fails(&["forget", "elsewhere", "--index", "i.db"]);
    assert!(said.contains("no image in"), "{said}");
    assert_eq!(env.json(&["forget", "birds", "--index", "i.db"])["images"], 0);
    assert_eq!(env.json(&["status", "--index", "i.db"])["folders"], json!([]));
}

#[test]
fn an_unusable_file_is_named_once() {
    let env = indexed();
    let whole = jpeg(0, 8);
    env.write("birds/cut.jpg", &whole[..whole.len() / 2]);
    assert_eq!(counts(&index(&env, &[])), [0, 0, 0, 12, 0, 1]);
    let again = env.run(&["index", "birds", "--index", "i.db"]);
    assert!(!stderr(&again).contains("skipped"), "{}", stderr(&again));
    assert!(String::from_utf8_lossy(&again.stdout).contains("1 skipped"));
    assert_eq!(env.run(&["index", "birds", "--index", "i.db", "--strict"]).status.code(), Some(1));
    let status = env.ok(&["status", "--index", "i.db"]);
    assert!(status.contains("cut.jpg") && status.contains("cut off"), "{status}");
    env.write("birds/cut.jpg", &whole);
    assert_eq!(counts(&index(&env, &[])), [1, 0, 0, 12, 0, 0]);
    assert_eq!(env.json(&["status", "--index", "i.db"])["failures"], json!([]));
}

#[test]
fn searches_are_narrowed_widened_and_joined() {
    let env = indexed();
    let bird = "birds/class-1/2.png";
    let class = |answer: &Value, class: &str| paths(answer).iter().all(|p| p.starts_with(class));
    let answer = search(&env, &[bird, "--under", "birds/class-2"]);
    assert!(class(&answer, "class-2/") && paths(&answer).len() == 4, "{answer}");
    for narrowed in [&["--label", "class-0", "--label", "class-2"][..], &["--not", "class-1"]] {
        let answer = search(&env, &[&[bird, "-k", "99"], narrowed].concat());
        let outside = paths(&answer).iter().all(|path| !path.starts_with("class-1/"));
        assert!(outside && paths(&answer).len() == 8, "{answer}");
    }
    let all = search(&env, &[bird, "-k", "99"]);
    let distances: Vec<u64> = all["results"]
        .as_array()
        .unwrap()
        .iter()
        .map(|h| h["distance"].as_u64().unwrap())
        .collect();
    let radius = distances[5];
    let near = search(&env, &[bird, "-k", "99", "--radius", &radius.to_string()]);
    let expected = distances.iter().filter(|d| **d <= radius).count();
    assert_eq!(paths(&near).len(), expected);

    // Near to both: the sum of the distances to each.
    let other = "birds/class-2/1.png";
    let both = search(&env, &[bird, other, "--together", "-k", "99"]);
    let of = |answer: &Value, id: &Value| {
        let hits = answer["results"].as_array().unwrap();
        hits.iter().find(|h| h["id"] == *id).unwrap()["distance"].as_u64().unwrap()
    };
    let second = search(&env, &[other, "-k", "99"]);
    // However few are asked for, and however near.
    let few = search(&env, &[bird, other, "--together", "-k", "2", "--radius", "0"]);
    let hits = |answer: &Value| answer["results"].as_array().unwrap().clone();
    assert_eq!(hits(&few).len(), 2);
    assert_eq!(hits(&both).len(), 12);
    for hit in hits(&both).iter().chain(&hits(&few)) {
        let sum = of(&all, &hit["id"]) + of(&second, &hit["id"]);
        assert_eq!(hit["distance"], sum, "{hit}");
    }
    assert_eq!(paths(&both)[..2], ["class-1/2.png", "class-2/1.png"]);
    // And of the scores.
    let score = |answer: &Value, id: &Value| {
        let hits = answer["results"].as_array().unwrap();
        hits.iter().find(|h| h["id"] == *id).unwrap()["score"].as_f64().unwrap()
    };
    for hit in hits(&both) {
        let sum = score(&all, &hit["id"]) + score(&second, &hit["id"]);
        assert!((hit["score"].as_f64().unwrap() - sum).abs() < 1e-5, "{hit}");
    }
    let scores: Vec<f64> = hits(&both)[2..].iter().map(|h| h["score"].as_f64().unwrap()).collect();
    assert!(scores.is_sorted_by(|a, b| a >= b), "{scores:?}");

    // Paths for other programs, and from them.
    let output = env.ok(&["search", bird, "--index", "i.db", "-k", "3", "--paths0"]);
    let listed: Vec<&str> = output.split_terminator('\0').collect();
    let found: Vec<String> = search(&env, &[bird, "-k", "3"])["results"]
        .as_array()
        .unwrap()
        .iter()
        .map(|h| h["path"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(listed, found);
    let mut command = env.command(&["search", "-", "--index", "i.db", "-k", "1", "--json"]);
    let input = format!("\"{bird}\"\nfile://{}\n", env.path(other).display());
    let output = command.write_stdin(input).output().unwrap();
    let answers: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(answers.as_array().unwrap().len(), 2);
    assert_eq!(paths(&answers[1]), ["class-2/1.png"]);
    let said = env.fails(&["search", "-", "--index", "i.db"]);
    assert!(said.contains("no paths on stdin"), "{said}");
}

#[test]
fn a_page_shows_what_was_found() {
    let env = indexed();
    env.write("birds/class-1/odd & <name>.png", png(1, 77));
    index(&env, &[]);
    env.ok(&["search", "birds/class-1/2.png", "--index", "i.db", "--html", "found.html"]);
    let page = fs::read_to_string(env.path("found.html")).unwrap();
    assert_eq!(page.matches("<li ").count(), 10);
    assert!(
        page.matches("data:image/jpeg;base64,").count() == 11 && page.contains("the same image")
    );
    assert!(page.contains("odd%20%26%20%3Cname%3E.png") && !page.contains("<name>"));
    let shown =
        env.ok(&["search", "birds/class-1/2.png", "--index", "i.db", "-k", "2", "--preview"]);
    assert!(shown.contains("1. ") && shown.contains('▄'), "{shown}");
}

#[test]
fn kept_features_put_hits_into_a_finer_order() {
    let env = TestEnv::with_birds(3, 4);
    env.ok(&["index", "birds", "--index", "i.db", "--labels", "folder", "--fit", "never"]);
    let bird = "birds/class-1/2.png";
    let said = env.fails(&["search", bird, "--index", "i.db", "--rerank", "9"]);
    assert!(said.contains("--keep-features"), "{said}");
    let report = index(&env, &["--keep-features"]);
    assert_eq!(counts(&report), [0, 0, 0, 12, 0, 0]);
    // From now on of new ones too, without being asked.
    env.write("birds/class-1/7.png", png(1, 7));
    env.write("birds/class-1/8.png", png(1, 7));
    index(&env, &[]);
    env.write("new.png", png(1, 90));
    for query in [bird, "new.png"] {
        let answer = search(&env, &[query, "--rerank", "14", "-k", "14"]);
        let hits = answer["results"].as_array().unwrap();
        assert_eq!(hits.len(), 14);
        let cosines: Vec<f64> = hits.iter().filter_map(|hit| hit["similarity"].as_f64()).collect();
        assert_eq!(cosines.len(), if query == bird { 13 } else { 14 });
        assert!(cosines.is_sorted_by(|a, b| a >= b), "{cosines:?}");
        assert!(cosines.iter().all(|c| (-1.0..=1.001).contains(c)), "{cosines:?}");
    }
    let reranked = search(&env, &["new.png", "--rerank", "5", "-k", "14"]);
    assert_eq!(reranked["order"], "cosine");
    let hits = reranked["results"].as_array().unwrap();
    let compared = hits.iter().take_while(|hit| hit["similarity"].is_number()).count();
    assert_eq!((compared, hits.len()), (5, 14));
    let order = ["new.png", "--order", "cosine", "--candidates", "5", "-k", "14"];
    assert_eq!(search(&env, &order), reranked);
    let said =
        env.fails(&["search", "--code", &"0".repeat(64), "--index", "i.db", "--rerank", "3"]);
    assert!(said.contains("cannot be used with --code"), "{said}");
}

#[test]
fn neighbours_name_what_an_image_is_like() {
    let env = indexed();
    env.write("new.png", png(2, 90));
    let label = env.json(&["label", "new.png", "--index", "i.db"]);
    assert_eq!(label["label"], "class-2", "{label}");
    assert!(label["confidence"].as_f64().unwrap() > 0.5);
    let far = env.json(&["label", "new.png", "--index", "i.db", "--radius", "0"]);
    assert!(far["label"].is_null() && far["neighbours"] == json!([]), "{far}");
    env.ok(&["index", "birds", "--index", "plain.db"]);
    assert!(env.fails(&["label", "new.png", "--index", "plain.db"]).contains("has no labels"));
}

#[test]
fn a_second_writer_is_told_and_readers_go_on() {
    let env = indexed();
    let fingerprint = barbule::model::Model::general_fingerprint();
    let writer =
        barbule::index::IndexWriter::open_for(&env.path("i.db"), 256, &fingerprint, None).unwrap();
    let said = env.fails(&["index", "birds", "--index", "i.db", "-q"]);
    assert!(said.contains("another program") && said.contains("is writing to"), "{said}");
    assert_eq!(paths(&search(&env, &["birds/class-1/2.png", "-k", "3"])).len(), 3);
    drop(writer);
    assert_eq!(counts(&index(&env, &[])), [0, 0, 0, 12, 0, 0]);
}

#[test]
fn killed_at_any_moment_the_next_run_goes_on() {
    let env = TestEnv::with_birds(4, 60);
    env.ok(&["index", "birds", "--index", "whole.db", "--labels", "folder"]);
    let args = ["index", "birds", "--index", "i.db", "--labels", "folder"];
    for round in 0..10u64 {
        let mut child =
            env.plain_command(&args).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        // From before the file is made to near the end.
        std::thread::sleep(Duration::from_millis(40 + round * 97 % 700));
        // On Unix this is SIGKILL.
        child.kill().unwrap();
        child.wait().unwrap();
        if env.path("i.db").exists() {
            let connection = rusqlite::Connection::open(env.path("i.db")).unwrap();
            let check =
                connection.query_row("PRAGMA integrity_check", [], |r| r.get::<_, String>(0));
            assert_eq!(check.unwrap(), "ok", "round {round}");
        }
    }
    env.ok(&args);
    assert_eq!(contents(&env, "i.db"), contents(&env, "whole.db"));
}

#[test]
fn an_index_of_the_first_format_is_read_and_brought_up_to_date() {
    let env = indexed();
    {
        // As format 1 was.
        let old = rusqlite::Connection::open(env.path("i.db")).unwrap();
        let sql = "DROP TABLE features; DROP TABLE failures; ALTER TABLE roots DROP COLUMN options;
            ALTER TABLE roots DROP COLUMN left_out; ALTER TABLE images DROP COLUMN changed;
            ALTER TABLE images DROP COLUMN file; DELETE FROM meta WHERE key = 'kept';
            PRAGMA user_version = 1;";
        old.execute_batch(sql).unwrap();
    }
    assert_eq!(paths(&search(&env, &["birds/class-1/2.png", "-k", "3"])).len(), 3);
    assert_eq!(env.json(&["status", "--index", "i.db"])["images"], 12);
    assert_eq!(counts(&index(&env, &["--exclude", "class-0"])), [0, 0, 0, 8, 4, 0]);
}

#[test]
fn watching_follows_what_happens() {
    let env = indexed();
    let mut child = env
        .plain_command(&["index", "birds", "--index", "i.db", "--watch"])
        .stdout(fs::File::create(env.path("out.txt")).unwrap())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let images = || {
        barbule::index::Index::open(&env.path("i.db")).and_then(|index| index.len()).unwrap_or(0)
    };
    // Until the watch begins: it says so.
    let mut said = String::new();
    let mut lines = std::io::BufReader::new(child.stderr.take().unwrap());
    while !said.contains("watching") {
        let read = std::io::BufRead::read_line(&mut lines, &mut said).unwrap();
        assert!(read > 0, "it ended: {said}");
    }
    env.write("birds/class-0/new.png", png(0, 33));
    let begun = std::time::Instant::now();
    while images() != 13 && begun.elapsed() < Duration::from_secs(60) {
        std::thread::sleep(Duration::from_millis(100));
    }
    assert_eq!(images(), 13);
    // Its own looking around is nothing that happens.
    std::thread::sleep(Duration::from_secs(6));
    let told = || fs::read_to_string(env.path("out.txt")).unwrap();
    let before = told();
    std::thread::sleep(Duration::from_secs(5));
    assert_eq!(told(), before);
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn what_is_said_of_folders_adds_up_and_what_is_forgotten_stays_so() {
    let env = indexed();
    let options = || env.json(&["status", "--index", "i.db"])["folders"][0]["options"].clone();
    index(&env, &["--exclude", "class-0"]);
    index(&env, &["--hidden"]);
    assert_eq!((&options()["exclude"], &options()["hidden"]), (&json!(["class-0"]), &json!(true)));
    // All that there is can be left out.
    let report = index(&env, &["--exclude", "*.png"]);
    assert_eq!((&report["images"], &report["absent"]), (&0.into(), &json!([])));
    assert_eq!(index(&env, &["--exclude", ""])["images"], 12);
    assert_eq!((&options()["exclude"], &options()["hidden"]), (&json!([]), &json!(false)));
    // A forgotten folder is not found again by the one around it, unless it is asked for.
    assert_eq!(env.json(&["forget", "birds/class-1", "--index", "i.db"])["removed"], 4);
    assert_eq!(index(&env, &[])["images"], 8);
    assert_eq!(env.json(&["index", "birds/class-1", "--index", "i.db"])["images"], 12);
    assert_eq!(index(&env, &[])["images"], 12);
}

#[test]
fn a_table_that_names_nothing_is_told() {
    let env = indexed();
    let before = contents(&env, "i.db");
    env.write("wrong/labels.csv", "birds/class-0/0.png,wren\n");
    let output = env.run(&["index", "birds", "--index", "i.db", "--labels", "wrong/labels.csv"]);
    assert!(output.status.success());
    assert!(stderr(&output).contains("none of the 1 images"), "{}", stderr(&output));
    assert_eq!(contents(&env, "i.db"), before);
}
