/*!
The index is changed on the page of `barbule serve`: folders are added and images get labels.
*/
use std::fs;
use std::fs::File;

use crate::common::page::{Page, Reply};
use crate::common::{TestEnv, png};
use image::{Rgb, RgbImage};
use serde_json::{Value, json};

/// With 18 indexed pictures in `birds/`, labelled by their folders, in the index `i.db`.
fn indexed() -> TestEnv {
    let env = TestEnv::with_birds(3, 6);
    env.ok(&["index", "birds", "--index", "i.db", "--labels", "folder"]);
    env
}

/// Writes pictures that are all different, more than a batch.
fn write_many(env: &TestEnv, folder: &str, number: u32) {
    fs::create_dir_all(env.path(folder)).unwrap();
    for i in 0..number {
        let picture = RgbImage::from_fn(48, 48, |x, y| {
            let mixed = (x * 31 + y * 17 + i * 7).wrapping_mul(2_654_435_761);
            Rgb([(mixed >> 8) as u8, (mixed >> 16) as u8, (i % 251) as u8])
        });
        picture.save(env.path(&format!("{folder}/{i}.png"))).unwrap();
    }
}

fn real(env: &TestEnv, name: &str) -> String {
    env.path(name).canonicalize().unwrap().to_str().unwrap().to_owned()
}

fn add(page: &Page, path: &str) -> Reply {
    page.send("POST", "/api/folders", &json!({ "path": path }))
}

fn label(page: &Page, ids: &[i64], label: &Value) -> Reply {
    page.send("POST", "/api/labels", &json!({ "ids": ids, "label": label }))
}

/// Waits until the work has ended.
#[track_caller]
fn ended(page: &Page) -> Value {
    let running = |state: &Value| state == "running" || state == "stopping";
    page.wait_for("/api/work", |work| !running(&work["state"]))
}

fn encoded(text: &str) -> String {
    form_urlencoded::byte_serialize(text.as_bytes()).collect()
}

#[test]
fn a_folder_is_added_and_updated() {
    let env = indexed();
    env.write_classes("more", 2, 3);
    env.write("more/broken.png", "no picture");
    env.write("more/film.mp4", "x");
    let page = Page::start(&env, &[]);
    assert_eq!(page.json("/api/status")["editable"], true);
    assert_eq!(page.json("/api/work")["state"], "idle");

    let begun = add(&page, &real(&env, "more")).document(202);
    assert_eq!((&begun["state"], &begun["known"]), (&"running".into(), &false.into()));
    assert_eq!(begun["folder"], real(&env, "more"));
    let work = ended(&page);
    assert_eq!(
        (&work["state"], &work["done"], &work["total"]),
        (&"finished".into(), &7.into(), &7.into())
    );
    let counts = &work["counts"];
    // Six pictures of birds are indexed already, so they are copies.
    assert_eq!((&counts["added"], &counts["failed"]), (&6.into(), &1.into()));
    assert_eq!(work["sentence"], "6 images added, 1 file could not be used");
    let status = page.json("/api/status");
    assert_eq!((&status["images"], &status["roots"][1]["images"]), (&24.into(), &6.into()));
    assert_eq!(env.json(&["status", "--index", "i.db"])["images"], 24);

    // Once more: it is updated.
    env.write("more/new.png", png(2, 11));
    let begun = add(&page, &real(&env, "more")).document(202);
    assert_eq!(begun["known"], true);
    let work = ended(&page);
    assert_eq!(
        (&work["counts"]["added"], &work["counts"]["unchanged"]),
        (&1.into(), &6.into()),
        "{work}"
    );
    // A folder in an indexed one is not indexed apart from it.
    env.write("more/class-0/inner.png", png(2, 13));
    let begun = add(&page, &real(&env, "more/class-0")).document(202);
    assert_eq!(begun["known"], true);
    assert_eq!(ended(&page)["counts"]["added"], 1);
    assert_eq!(page.json("/api/status")["roots"].as_array().unwrap().len(), 2);

    // All at once, and a home folder's own name.
    env.write("birds/class-0/later.png", png(2, 14));
    assert!(page.send("POST", "/api/folders", &json!({})).document(202)["folder"].is_null());
    let work = ended(&page);
    assert_eq!((&work["counts"]["added"], &work["counts"]["unchanged"]), (&1.into(), &26.into()));
    #[cfg(unix)]
    {
        assert_eq!(add(&page, " ~/more/ ").document(202)["known"], true);
        ended(&page);
    }
    // Labels of folders stay as they are.
    let one = page.id("birds/class-1/0.png");
    assert_eq!(page.json(&format!("/api/images/{one}/similar"))["results"][0]["label"], "class-1");
}

#[test]
fn what_cannot_be_added_is_explained() {
    let env = indexed();
    fs::create_dir(env.path("empty")).unwrap();
    let page = Page::start(&env, &[]);
    let root = real(&env, ".");
    for (path, status, said) in [
        (format!("{root}/none"), 404, "there is no folder"),
        (format!("{root}/i.db"), 400, "is not a folder; give the folder that it is in"),
        ("birds".to_owned(), 400, "birds is not a complete path"),
        (String::new(), 400, "the path is empty"),
    ] {
        let sentence = add(&page, &path).sentence(status);
        assert!(sentence.contains(said), "{sentence}");
    }
    for (body, said) in
        [("", "EOF"), ("{", "EOF"), ("[]", "expected a map"), (r#"{"way":"x"}"#, "unknown field")]
    {
        let lines = format!("{}Content-Type: application/json\r\n", page.bearer());
        let sentence = page.ask_with("POST", "/api/folders", &lines, body.as_bytes()).sentence(400);
        assert!(sentence.contains(said), "{body}: {sentence}");
    }
    let large = json!({ "path": "x".repeat(64 << 10) });
    let said = page.send("POST", "/api/folders", &large).sentence(413);
    assert!(said.contains("larger than 64 KiB"), "{said}");
    assert_eq!(page.json("/api/work")["state"], "idle");

    assert_eq!(add(&page, &real(&env, "empty")).document(202)["state"], "running");
    assert_eq!(ended(&page)["sentence"], "no images are there");

    // A folder that goes away while it waits costs nothing.
    fs::rename(env.path("i.db"), env.path("away.db")).unwrap();
    let said = add(&page, &real(&env, "birds")).sentence(500);
    assert!(said.contains("there is no index at"), "{said}");
    assert!(!env.path("i.db").exists(), "no other index is made in its place");
}

#[test]
fn no_other_page_and_no_form_changes_anything() {
    let env = indexed();
    let page = Page::start(&env, &[]);
    let one = page.id("class-0/0.png");
    let bodies = [
        ("POST", "/api/folders", json!({ "path": real(&env, "birds") })),
        ("POST", "/api/labels", json!({ "ids": [one], "label": "x" })),
        ("DELETE", "/api/work", json!({})),
    ];
    for (method, path, body) in &bodies {
        let body = body.to_string();
        let own = format!("http://127.0.0.1:{}", page.port);
        let kind = "Content-Type: application/json\r\n";
        for origin in ["http://evil.example", "null", "http://127.0.0.1:1"] {
            let lines = format!("{}{kind}Origin: {origin}\r\n", page.bearer());
            page.ask_with(method, path, &lines, body.as_bytes()).sentence(403);
        }
        page.ask_with(method, path, kind, body.as_bytes()).sentence(401);
        let named =
            format!("{method} {path} HTTP/1.1\r\nHost: evil.example\r\n{}\r\n", page.bearer());
        page.raw(named.as_bytes()).sentence(421);
        // What a form can send, even from this very page.
        for kind in [
            "",
            "text/plain",
            "application/x-www-form-urlencoded",
            "multipart/form-data",
            "application/jsonp",
        ] {
            let lines = format!("{}Content-Type: {kind}\r\nOrigin: {own}\r\n", page.bearer());
            if *method == "POST" {
                page.ask_with(method, path, &lines, body.as_bytes()).sentence(415);
            }
        }
    }
    assert_eq!(page.json("/api/work")["state"], "idle");
    let row = page.json(&format!("/api/images/{one}/similar"))["results"][0].clone();
    assert_eq!(row["label"], "class-0");
    let lines = format!(
        "{}Content-Type: Application/JSON; charset=utf-8\r\nOrigin: http://127.0.0.1:{}\r\n",
        page.bearer(),
        page.port
    );
    let body = json!({ "ids": [one], "label": "x" }).to_string();
    page.ask_with("POST", "/api/labels", &lines, body.as_bytes()).document(200);
}

#[test]
fn a_server_that_only_reads_changes_nothing() {
    let env = indexed();
    for (args, said) in [
        (&["--read-only"][..], "for reading only"),
        (&["--address", "0.0.0.0"], "other machines reach this server"),
        (&["--address", "0.0.0.0", "--read-only"], "for reading only"),
    ] {
        let page = Page::start(&env, args);
        assert_eq!(page.json("/api/status")["editable"], false);
        let one = page.id("class-0/0.png");
        let answers = [
            add(&page, &real(&env, "birds")),
            page.send("POST", "/api/folders", &json!({})),
            label(&page, &[one], &"x".into()),
            page.send("DELETE", "/api/work", &Value::Null),
            page.get("/api/browse"),
        ];
        for answer in answers {
            let sentence = answer.sentence(403);
            assert!(sentence.contains(said), "{sentence}");
        }
        assert_eq!(page.json("/api/work")["state"], "idle");
        assert_eq!(page.json("/api/left-out")["folders"][0]["images"], 18);
        let found = page.json(&format!("/api/images/{one}/similar"));
        assert_eq!(found["results"][0]["label"], "class-0");
    }
}

#[test]
fn the_first_folder_is_added_without_a_terminal() {
    let env = TestEnv::with_birds(2, 2);
    let page = Page::start_without_index(&env);
    let status = page.json("/api/status");
    assert_eq!((&status["images"], &status["editable"]), (&0.into(), &true.into()));
    assert!(page.json("/api/left-out")["folders"].as_array().unwrap().is_empty());
    let said = page.send("POST", "/api/folders", &json!({})).sentence(400);
    assert_eq!(said, "no folder is indexed yet; add one");
    add(&page, &real(&env, "birds")).document(202);
    assert_eq!(ended(&page)["counts"]["added"], 4);
    assert_eq!(page.search("?k=1", &png(1, 1))["results"][0]["same"], true);
    assert_eq!(env.json(&["status"])["images"], 4);
    // An index that is named, or only read, must be there.
    let said = env.fails(&["serve", "--index", "none.db"]);
    assert!(said.contains("there is no index at none.db"), "{said}");
    let other = TestEnv::new();
    let said = other.fails(&["serve", "--read-only"]);
    assert!(said.contains("there is no index at"), "{said}");
}

#[cfg(unix)]
#[test]
fn only_folders_below_home_can_be_chosen() {
    let env = indexed();
    env.write("home/Photos/2024/a.png", png(0, 1));
    env.write("home/.secret/a.png", png(0, 1));
    env.write("home/Documents/letter.txt", "x");
    let home = real(&env, "home");
    let page = Page::start_at_home(&env, "home");
    let top = page.json("/api/browse");
    assert_eq!(
        (&top["home"], &top["path"], &top["parent"]),
        (&home.clone().into(), &home.clone().into(), &Value::Null)
    );
    let names = |listed: &Value| -> Vec<String> {
        let folders = listed["folders"].as_array().unwrap();
        folders.iter().map(|folder| folder["name"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(names(&top), ["Documents", "Photos"]);
    let of = |path: &str| format!("/api/browse?path={}", encoded(path));
    let photos = page.json(&of(&format!("{home}/Photos")));
    assert_eq!(
        (names(&photos), &photos["parent"]),
        (vec!["2024".to_owned()], &home.clone().into())
    );
    assert_eq!(photos["folders"][0]["images"], 1);
    for outside in [
        "/",
        "/etc",
        &real(&env, "."),
        &real(&env, "birds"),
        &format!("{home}/.."),
        &format!("{home}/Photos/../../birds"),
        &format!("{home}/.secret"),
        "Photos",
        "~",
    ] {
        let sentence = page.get(&of(outside)).sentence(403);
        assert!(
            sentence.contains("below the home folder") || sentence.contains("hidden"),
            "{sentence}"
        );
    }
    std::os::unix::fs::symlink(env.path("birds"), env.path("home/birds")).unwrap();
    page.get(&of(&format!("{home}/birds"))).sentence(403);
    assert_eq!(names(&page.json("/api/browse")), ["Documents", "Photos"]);
    page.get(&of(&format!("{home}/none"))).sentence(404);
    page.get("/api/browse?under=x").sentence(400);

    // A path that is typed may be anywhere; the list then says what is indexed.
    assert_eq!(add(&page, &real(&env, "birds")).document(202)["known"], true);
    ended(&page);
    add(&page, &format!("{home}/Photos")).document(202);
    assert_eq!(ended(&page)["counts"]["added"], 1);
    let top = page.json("/api/browse");
    assert_eq!(
        (&top["folders"][0]["indexed"], &top["folders"][1]["indexed"]),
        (&false.into(), &true.into())
    );
}

#[test]
fn labels_are_kept_and_exported() {
    let env = indexed();
    let page = Page::start(&env, &[]);
    let [one, two, three] =
        ["class-0/0.png", "class-1/1.png", "class-2/2.png"].map(|end| page.id(end));
    let saved = label(&page, &[one, two, one], &" barn \"owl\", ☃ ".into()).document(200);
    assert_eq!((&saved["images"], &saved["label"]), (&3.into(), &"barn \"owl\", ☃".into()));
    // The next search shows it, here and in a terminal.
    let of =
        |id: i64| page.json(&format!("/api/images/{id}/similar"))["results"][0]["label"].clone();
    assert_eq!(
        (of(one), of(two), of(three)),
        ("barn \"owl\", ☃".into(), "barn \"owl\", ☃".into(), "class-2".into())
    );
    let labels = page.json("/api/labels");
    assert_eq!(labels["labels"][0], json!({ "label": "barn \"owl\", ☃", "images": 2 }));
    assert_eq!(env.json(&["status", "--index", "i.db"])["labels"], 4);
    let found = env.json(&["search", "birds/class-1/1.png", "--index", "i.db", "-k", "1"]);
    assert_eq!(found["results"][0]["label"], "barn \"owl\", ☃");
    label(&page, &[three], &Value::Null).document(200);
    assert!(of(three).is_null());

    // What is wrong changes nothing.
    let long = "x".repeat(201);
    for (ids, text, status, said) in [
        (&[one, 999][..], "owl", 404, "there is no image 999 in the index"),
        (&[], "owl", 400, "ids names no images"),
        (&[one], "  ", 400, "a label must not be empty"),
        (&[one], &long, 400, "a label has at most 200 characters"),
        (&[one], "a\nb", 400, "a label has no control characters"),
    ] {
        let sentence = label(&page, ids, &text.into()).sentence(status);
        assert_eq!(sentence, said);
    }
    let forgotten = page.send("POST", "/api/labels", &json!({ "ids": [one] })).sentence(400);
    assert!(forgotten.contains("missing field `label`"), "{forgotten}");
    assert_eq!(of(one), "barn \"owl\", ☃");
    label(&page, &[one], &"x".repeat(200).into()).document(200);

    let csv = page.get("/api/labels.csv");
    assert_eq!(csv.field("Content-Disposition"), Some("attachment; filename=\"labels.csv\""));
    let text = String::from_utf8(csv.body).unwrap();
    assert_eq!(text.lines().count(), 1 + 17);
    assert!(text.starts_with("path,label\n"), "{text}");
    // An update keeps the labels; the table gives them back to an index without any.
    env.write("birds/class-0/9.png", png(0, 9));
    env.ok(&["index", "--index", "i.db"]);
    page.wait_for("/api/status", |status| status["images"] == 19);
    assert_eq!(of(two), "barn \"owl\", ☃");
    env.write("labels.csv", &text);
    let again = env.json(&["index", "birds", "--index", "j.db", "--labels", "labels.csv"]);
    assert_eq!((&again["table"]["rows"], &again["table"]["unmatched"]), (&17.into(), &0.into()));
    drop(page);
    let page = Page::start_with(&env, "j.db", &[]);
    let two = page.id("class-1/1.png");
    assert_eq!(
        page.json(&format!("/api/images/{two}/similar"))["results"][0]["label"],
        "barn \"owl\", ☃"
    );
}

#[test]
fn what_is_left_out_is_told() {
    let env = indexed();
    for (name, content) in [
        ("mixed/a.png", png(2, 20)),
        ("mixed/b.xcf", b"x".to_vec()),
        ("mixed/c.xcf", b"x".to_vec()),
        ("mixed/d.x3f", b"x".to_vec()),
        ("mixed/e.mp4", b"x".to_vec()),
        ("mixed/f.txt", b"x".to_vec()),
        ("mixed/.g.png", b"x".to_vec()),
        ("mixed/lost+found/h.png", b"x".to_vec()),
        ("mixed/skip/i.png", b"x".to_vec()),
        ("mixed/broken.png", b"x".to_vec()),
        ("mixed/inner/also broken.png", b"x".to_vec()),
    ] {
        env.write(name, content);
    }
    env.ok(&["index", "mixed", "--index", "i.db", "--exclude", "skip"]);
    env.ok(&["index", "mixed/inner", "--index", "i.db"]);
    let page = Page::start(&env, &["--read-only"]);
    let told = page.json("/api/left-out");
    let folders = told["folders"].as_array().unwrap();
    assert_eq!(folders.len(), 3);
    let mixed = &folders[1];
    assert_eq!((&mixed["path"], &mixed["images"]), (&real(&env, "mixed").into(), &1.into()));
    assert_eq!((&mixed["there"], &mixed["exclude"]), (&true.into(), &json!(["skip"])));
    assert_eq!(
        mixed["left_out"],
        json!({
            "total": 8, "hidden": 1, "system": 1, "excluded": 1, "links": 0, "special": 0,
            "videos": 1, "others": 1, "photos": 3,
            "photo_kinds": [{ "format": "GIMP", "files": 2 }, { "format": "raw", "files": 1 }],
            "other_kinds": [{ "extension": "txt", "files": 1 }],
        })
    );
    assert_eq!(
        (&mixed["failed"], &folders[2]["failed"], &told["failed"]),
        (&1.into(), &1.into(), &2.into())
    );
    let failures = told["failures"].as_array().unwrap();
    assert_eq!(failures[0]["folder"], real(&env, "mixed"));
    assert!(failures[0]["reason"].as_str().unwrap().contains("broken.png"), "{told}");
    assert_eq!(failures[1]["folder"], real(&env, "mixed/inner"));
    // The same as in a terminal.
    let status = env.json(&["status", "--index", "i.db"]);
    assert_eq!(status["folders"][1]["left_out"]["hidden"], mixed["left_out"]["hidden"]);
    assert_eq!(status["failures"].as_array().unwrap().len(), 2);
    fs::rename(env.path("mixed/inner"), env.path("elsewhere")).unwrap();
    assert_eq!(page.json("/api/left-out")["folders"][2]["there"], false);
}

#[test]
fn one_work_at_a_time_can_be_stopped() {
    let env = indexed();
    write_many(&env, "many", 800);
    let page = Page::start(&env, &[]);
    let one = page.id("class-0/0.png");

    // Another program has it.
    let lock = File::options().write(true).open(env.path("i.db.lock")).unwrap();
    lock.lock().unwrap();
    for answer in [add(&page, &real(&env, "many")), label(&page, &[one], &"x".into())] {
        let sentence = answer.sentence(409);
        assert!(sentence.contains("is writing to"), "{sentence}");
    }
    drop(lock);
    assert_eq!(page.json("/api/work")["state"], "idle");

    add(&page, &real(&env, "many")).document(202);
    let said = add(&page, &real(&env, "birds")).sentence(409);
    assert!(said.contains("folders are being indexed"), "{said}");
    let said = label(&page, &[one], &"x".into()).sentence(409);
    assert!(said.contains("folders are being indexed"), "{said}");
    let work =
        page.wait_for("/api/work", |work| work["done"].as_u64() > Some(0) && work["total"] == 800);
    assert_eq!(work["state"], "running");
    // One can search meanwhile.
    assert_eq!(page.search("?k=1", &png(0, 0))["results"][0]["same"], true);
    let stopping = page.send("DELETE", "/api/work", &Value::Null).document(200);
    assert_eq!(stopping["state"], "stopping");
    let work = ended(&page);
    assert_eq!(work["state"], "stopped", "{work}");
    let done = work["done"].as_u64().unwrap();
    assert!(0 < done && done < 800, "{work}");
    assert_eq!(work["sentence"], format!("stopped: {done} of 800 files are done, and stay"));
    assert!(work["counts"].is_null());
    assert_eq!(page.json("/api/status")["images"], 18 + done);
    // Stopping what has ended does nothing.
    assert_eq!(page.send("DELETE", "/api/work", &Value::Null).document(200)["state"], "stopped");
    label(&page, &[one], &"x".into()).document(200);

    // It goes on from there.
    page.send("POST", "/api/folders", &json!({})).document(202);
    let work = ended(&page);
    assert_eq!(work["counts"]["added"], 800 - done, "{work}");
    assert_eq!(page.json("/api/status")["images"], 818);
    let found = page.json(&format!("/api/images/{one}/similar"));
    assert_eq!(found["results"][0]["label"], "x");
}

#[cfg(unix)]
#[test]
fn ctrl_c_loses_nothing_of_the_work() {
    let env = indexed();
    write_many(&env, "many", 800);
    let mut page = Page::start(&env, &[]);
    add(&page, &real(&env, "many")).document(202);
    let work =
        page.wait_for("/api/work", |work| work["done"].as_u64() > Some(0) && work["total"] == 800);
    let done = work["done"].as_u64().unwrap();
    let pid = page.child.id().to_string();
    assert!(std::process::Command::new("kill").args(["-INT", &pid]).status().unwrap().success());
    assert!(page.child.wait().unwrap().success());
    let images = env.json(&["status", "--index", "i.db"])["images"].as_u64().unwrap();
    assert!(images >= 18 + done && images < 818, "{images} after {done}");
    // Nobody holds the index.
    let rest = env.json(&["index", "--index", "i.db"]);
    assert_eq!(rest["added"], 818 - images);
}

#[cfg(unix)]
mod browser {
    use super::*;
    use crate::common::browser::Browser;

    fn start(env: &TestEnv) -> Option<Browser> {
        fs::create_dir(env.path("browser")).unwrap();
        Browser::start(&env.path("browser"))
    }

    /// The text of an element.
    fn text(id: &str) -> String {
        format!("document.getElementById('{id}').textContent")
    }

    /// The id of the element with the focus.
    const FOCUS: &str = "document.activeElement.id";

    #[test]
    fn a_folder_is_chosen_and_its_pictures_appear() {
        let env = indexed();
        env.write_classes("Photos/Trip", 2, 2);
        env.write("Photos/Trip/broken.png", "no picture");
        env.write("Photos/Trip/a.xcf", "x");
        env.write("Photos/Trip/own.png", png(2, 30));
        let Some(mut browser) = start(&env) else { return };
        let page = Page::start(&env, &[]);
        browser.visit(&page.url);
        browser.wait_for("document.querySelectorAll('.hit').length === 18");
        browser.value("document.getElementById('to-folders').click()");
        browser.wait_for("document.querySelectorAll('#roots .root').length === 1");
        assert_eq!(browser.value("location.search"), "?folders");
        browser.wait_for("!document.getElementById('add').hidden");

        // By keyboard alone: the chooser, down to the folder, and its button.
        browser.value("document.getElementById('choose').focus()");
        browser.press("Enter", 13, Some("\r"));
        browser.wait_for("document.activeElement.matches('.choice')");
        let name = "document.activeElement.firstChild.textContent";
        for _ in 0..4 {
            if browser.value(name) == "Photos" {
                break;
            }
            browser.press("ArrowDown", 40, None);
        }
        assert_eq!(browser.value(name), "Photos");
        browser.press("Enter", 13, Some("\r"));
        browser.wait_for(&format!("{name} === 'Trip'"));
        assert_eq!(browser.value("document.activeElement.lastChild.textContent"), "2 pictures");
        browser.press("Enter", 13, Some("\r"));
        browser.wait_for(&format!("{} === 'Add “Trip”'", text("take")));
        browser.press("Enter", 13, Some("\r"));
        // Nothing lies below: the button has the focus, and an arrow leads back.
        browser.wait_for(&format!("{FOCUS} === 'take' && {} === 'Add “class-0”'", text("take")));
        browser.press("ArrowLeft", 37, None);
        browser.wait_for(&format!("{} === 'Add “Trip”'", text("take")));
        browser.press("ArrowLeft", 37, None);
        browser.wait_for(&format!("{} === 'Add “Photos”'", text("take")));
        browser.value("document.getElementById('take').focus()");
        browser.press("Enter", 13, Some("\r"));
        browser.wait_for("document.querySelectorAll('#roots .root').length === 2");
        let result = text("work-text");
        browser.wait_for(&format!(
            "{result}.startsWith('Photos: 5 images added, 1 file could not be used')"
        ));
        let listed = browser.value("document.getElementById('roots').textContent");
        let listed = listed.as_str().unwrap();
        for said in [
            "1 file left out",
            "1 GIMP picture: not read",
            "1 file could not be used",
            "broken.png",
        ] {
            assert!(listed.contains(said), "{said}: {listed}");
        }
        browser.value("document.getElementById('home').click()");
        browser.wait_for("document.querySelectorAll('.hit').length === 23");
        browser.wait_for(
            "[...document.querySelectorAll('.frame img')].every(i => i.naturalWidth > 0)",
        );

        // A path that is typed, and one that is wrong.
        browser.value("history.back()");
        browser.wait_for("document.querySelectorAll('#roots .root').length === 2");
        browser.value("document.getElementById('typed-path').value = '/none/such'");
        browser.value("document.getElementById('typed').requestSubmit()");
        browser.wait_for(
            "document.getElementById('notice').textContent === 'There is no folder /none/such.'",
        );
    }

    #[test]
    fn work_is_shown_and_stopped() {
        let env = indexed();
        write_many(&env, "many", 800);
        let Some(mut browser) = start(&env) else { return };
        let page = Page::start(&env, &[]);
        browser.visit(&page.url);
        browser.wait_for("document.querySelectorAll('.hit').length === 18");
        browser.value("go('/?folders')");
        browser.wait_for("!document.getElementById('add').hidden");
        let path = real(&env, "many");
        browser.value(&format!("document.getElementById('typed-path').value = '{path}'"));
        browser.value("document.getElementById('typed').requestSubmit()");
        let bar = "document.querySelector('#work [role=progressbar]')";
        browser.wait_for(&format!("Number({bar}.getAttribute('aria-valuenow')) > 0"));
        assert_eq!(browser.value(&text("work-text")), "Adding many");
        let told = browser.value(&format!("{bar}.getAttribute('aria-valuetext')"));
        assert!(told.as_str().unwrap().contains(" of 800 new or changed files"), "{told}");
        assert_eq!(browser.value(FOCUS), "work-stop");
        browser.press("Enter", 13, Some("\r"));
        browser.wait_for(&format!("{}.startsWith('Many: stopped: ')", text("work-text")));
        assert_eq!(page.json("/api/work")["state"], "stopped");
        browser.wait_for(&format!("{bar}.hidden && document.getElementById('work-stop').hidden"));
        // All folders are updated; the rest comes.
        browser.value("document.getElementById('update-all').click()");
        browser.wait_for(&format!("{}.startsWith('All folders: ')", text("work-text")));
        assert_eq!(page.json("/api/status")["images"], 818);
        browser.wait_for(&format!("{} === '818 images in 2 folders'", text("status")));
    }

    #[test]
    fn two_hits_are_labelled_by_keyboard_alone() {
        let env = indexed();
        let Some(mut browser) = start(&env) else { return };
        let page = Page::start(&env, &[]);
        let one = page.id("class-1/0.png");
        browser.visit(&page.url);
        browser.wait_for("document.querySelectorAll('.hit').length === 18");
        browser.value(&format!("go('/?id={one}')"));
        browser.wait_for("document.querySelector('.same')");
        browser.value("document.getElementById('select').focus()");
        browser.press("Enter", 13, Some("\r"));
        let hits = browser.value("shown.hits.map(hit => hit.id)");
        let expected: Vec<i64> =
            hits.as_array().unwrap().iter().map(|id| id.as_i64().unwrap()).collect();
        let boxed = "document.activeElement.matches('.pick')";
        assert_eq!(browser.value(boxed), true, "the first box has the focus");
        let label = browser.value("document.activeElement.getAttribute('aria-label')");
        assert_eq!(label, "Select 0.png");
        browser.press(" ", 32, Some(" "));
        browser.press("ArrowRight", 39, None);
        browser.press(" ", 32, Some(" "));
        browser.wait_for(&format!("{} === 'Label 2 pictures:'", text("picked")));
        browser.press("Enter", 13, Some("\r"));
        assert_eq!(browser.value(FOCUS), "new-label");
        for letter in ["t", "i", "t"] {
            browser.press(letter, u32::from(letter.to_uppercase().as_bytes()[0]), Some(letter));
        }
        browser.press("Enter", 13, Some("\r"));
        browser.wait_for(&format!("{} === 'Labelled 2 pictures: tit'", text("status")));
        let tags = browser.value(
            "[...document.querySelectorAll('#grid li')]
                .map(item => item.querySelector('.tag')?.textContent)",
        );
        assert_eq!((&tags[0], &tags[1]), (&"tit".into(), &"tit".into()));
        assert_ne!(tags[2], "tit");
        let labels = page.json("/api/labels");
        let tit =
            labels["labels"].as_array().unwrap().iter().find(|one| one["label"] == "tit").unwrap();
        assert_eq!(tit["images"], 2);
        let known =
            "[...document.querySelectorAll('#known-labels option')].some(o => o.value === 'tit')";
        browser.wait_for(known);

        // A range with the shift key, and no label for it.
        browser.value("boxes()[2].focus()");
        browser.press(" ", 32, Some(" "));
        browser.value(
            "boxes()[4].dispatchEvent(new MouseEvent('click',
                { shiftKey: true, bubbles: true, cancelable: true }))",
        );
        browser.wait_for(&format!("{} === 'Label 3 pictures:'", text("picked")));
        browser.value("document.getElementById('unlabel').click()");
        browser.wait_for(&format!("{} === 'Removed the label of 3 pictures.'", text("status")));
        for id in &expected[2..5] {
            let row = &page.json(&format!("/api/images/{id}/similar"))["results"][0];
            assert!(row["label"].is_null(), "{row}");
        }
        // A click on an image selects it, and Escape ends the mode.
        browser.value("document.querySelectorAll('.hit')[5].click()");
        browser.wait_for(&format!("{} === 'Label 1 picture:'", text("picked")));
        browser.press("Escape", 27, None);
        assert_eq!(browser.value("document.getElementById('labelling').hidden"), true);
        assert_eq!(browser.value(FOCUS), "select");
        assert_eq!(browser.value("document.querySelectorAll('.pick:checked').length"), 0);
    }

    #[test]
    fn nothing_can_be_changed_where_it_is_only_read() {
        let env = indexed();
        env.write("birds/a.xcf", "x");
        env.ok(&["index", "--index", "i.db"]);
        let Some(mut browser) = start(&env) else { return };
        let page = Page::start(&env, &["--read-only"]);
        browser.visit(&page.url);
        browser.wait_for("document.querySelectorAll('.hit').length === 18");
        let controls = "#select, #labelling, .pick, #add, #update-all, #work, .root button";
        let seen = format!(
            "[...document.querySelectorAll('{controls}')].filter(e => e.checkVisibility()).length"
        );
        assert_eq!(browser.value(&seen), 0);
        browser.value("document.getElementById('to-folders').click()");
        browser.wait_for("document.querySelectorAll('#roots .root').length === 1");
        browser.wait_for("document.getElementById('roots').textContent.includes('1 GIMP picture')");
        assert_eq!(browser.value(&seen), 0);
        // The check finds them where they are.
        std::mem::drop(page);
        let page = Page::start(&env, &[]);
        browser.visit(&page.url);
        browser.wait_for(&format!("{seen} > 0"));
    }
}
