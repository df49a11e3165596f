/*!
The page of `barbule serve`, as browsers, programs and those who should not get in meet it.
*/
use std::fs;
use std::io::Write;
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use crate::common::page::Page;
use crate::common::{TestEnv, png};
use image::ImageFormat;
use serde_json::Value;

/// With 18 indexed pictures in `birds/`.
fn indexed() -> TestEnv {
    let env = TestEnv::with_birds(3, 6);
    env.ok(&["index", "birds", "--index", "i.db", "--labels", "folder"]);
    env
}

#[test]
fn nobody_gets_in_without_the_secret() {
    let env = indexed();
    let page = Page::start(&env, &[]);
    assert!(page.token.len() >= 32, "at least 128 bits");
    for (method, path) in barbule::serve::routes() {
        let path = path.replace("{id}", "1");
        let wrong =
            ["", "Authorization: Bearer \r\n", "Authorization: Bearer x\r\n", "Cookie: x\r\n"];
        for lines in wrong {
            let said = page.ask_with(method, &path, lines, b"x").sentence(401);
            assert!(said.contains("open the complete URL that was printed"), "{said}");
        }
    }
    let half = &page.token[1..];
    assert_eq!(page.ask_with("GET", &format!("/?token={half}"), "", b"").status, 401);
    // A wrong secret is not made right by a right one.
    assert_eq!(page.get("/?token=x").status, 401);

    let path = format!("/?id=7&token={}", page.token);
    let reply = page.ask_with("GET", &path, "", b"");
    assert_eq!((reply.status, reply.field("Location")), (303, Some("/?id=7")));
    let cookie = reply.field("Set-Cookie").unwrap();
    assert!(cookie.ends_with("; Path=/; HttpOnly; SameSite=Strict"), "{cookie}");
    let cookie = format!("Cookie: other=1; {}\r\n", cookie.split(';').next().unwrap());
    assert_eq!(page.ask_with("GET", "/", &cookie, b"").status, 200);
    // Nobody is sent on to another server.
    let reply = page.ask_with("GET", &format!("//evil.example/?token={}", page.token), "", b"");
    assert_eq!(reply.field("Location"), Some("/evil.example/"));

    for name in ["Content-Security-Policy", "X-Content-Type-Options", "Referrer-Policy"] {
        for reply in [page.get("/"), page.get("/none"), page.ask_with("GET", "/", "", b"")] {
            assert!(reply.field(name).is_some(), "{name} is missing: {}", reply.head);
        }
    }
    let policy = page.get("/").field("Content-Security-Policy").unwrap().to_owned();
    assert!(policy.contains("frame-ancestors 'none'") && !policy.contains("unsafe"), "{policy}");
}

#[test]
fn other_names_and_other_pages_are_refused() {
    let env = indexed();
    let page = Page::start(&env, &[]);
    let (port, bearer) = (page.port, page.bearer());
    let named = |host: &str| {
        page.raw(format!("GET /api/status HTTP/1.1\r\n{host}{bearer}\r\n").as_bytes()).status
    };
    assert_eq!(named(&format!("Host: localhost:{port}\r\n")), 200);
    for host in ["", "Host: evil.example\r\n", "Host: 127.0.0.1\r\n", "Host: localhost:1\r\n"] {
        assert_eq!(named(host), 421, "{host}");
    }
    assert_eq!(named(&format!("Host: evil.example:{port}\r\n")), 421);
    assert_eq!(named(&format!("Host: 127.0.0.1:{port}\r\nHost: evil.example\r\n")), 421);
    let line = format!("GET http://evil.example:{port}/api/status HTTP/1.1\r\n");
    let absolute = format!("{line}Host: 127.0.0.1:{port}\r\n{bearer}\r\n");
    assert_eq!(page.raw(absolute.as_bytes()).status, 421);

    let from = |origin: &str| {
        let lines = format!("{bearer}Origin: {origin}\r\n");
        page.ask_with("POST", "/api/search", &lines, &png(1, 0)).status
    };
    assert_eq!(from(&format!("http://127.0.0.1:{port}")), 200);
    for origin in ["http://evil.example", "null", "http://127.0.0.1:1", "https://evil.example"] {
        assert_eq!(from(origin), 403, "{origin}");
    }
    assert_eq!(from(&format!("https://127.0.0.1:{port}")), 403);
}

#[test]
fn a_sent_image_finds_what_search_finds() {
    let env = indexed();
    let page = Page::start(&env, &[]);
    env.write("new.png", png(1, 17));
    for image in ["new.png", "birds/class-2/3.png"] {
        let expected = env.json(&["search", image, "--index", "i.db", "-k", "7"]);
        let answer = page.search("?k=7", &fs::read(env.path(image)).unwrap());
        assert_eq!(answer["results"], expected["results"], "{image}");
        assert_eq!(answer["bits"], expected["bits"]);
        assert_eq!(answer["results"].as_array().unwrap().len(), 7);
    }
    let own = page.id("class-2/3.png");
    let similar = page.json(&format!("/api/images/{own}/similar?k=7"));
    let expected = env.json(&["search", "birds/class-2/3.png", "--index", "i.db", "-k", "7"]);
    assert_eq!(similar["results"], expected["results"]);
    assert_eq!(
        (&similar["results"][0]["id"], &similar["results"][0]["same"]),
        (&own.into(), &true.into())
    );

    // In the order of distances; what is not that image now gives no other.
    assert_eq!(
        (&similar["order"], &expected["order"]),
        (&"asymmetric".into(), &"asymmetric".into())
    );
    let by_distance = ["search", "birds/class-2/3.png", "--index", "i.db", "-k", "7"];
    let by_distance = env.json(&[&by_distance[..], &["--order", "hamming"]].concat());
    let of_id = format!("/api/images/{own}/similar?k=7");
    let hamming = page.json(&format!("{of_id}&order=hamming"));
    assert_eq!(
        (&hamming["order"], &hamming["results"]),
        (&"hamming".into(), &by_distance["results"])
    );
    let sent = page.search("?k=7&order=hamming", &png(2, 3));
    assert_eq!((&sent["order"], &sent["results"]), (&"hamming".into(), &by_distance["results"]));
    fs::rename(env.path("birds/class-2/3.png"), env.path("kept.png")).unwrap();
    env.write("birds/class-2/3.png", png(0, 33));
    assert_eq!(page.json(&of_id), hamming);
    fs::rename(env.path("kept.png"), env.path("birds/class-2/3.png")).unwrap();
    assert_eq!(page.json(&of_id), similar);

    // Narrowed to a folder, a label, a radius: the same order, without the others.
    let all = page.search("", &png(1, 17));
    let all = all["results"].as_array().unwrap();
    assert_eq!(all.len(), 18);
    let root = page.json("/api/status")["roots"][0]["path"].as_str().unwrap().to_owned();
    let encoded = |text: &str| form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
    let within = all[8]["distance"].as_u64().unwrap();
    type Wanted<'a> = &'a dyn Fn(&Value) -> bool;
    let class_0 = format!("?k=4&under={}", encoded(&format!("{root}/class-0")));
    let radius = format!("?radius={within}");
    let cases: [(&str, Wanted<'_>, usize); 4] = [
        ("?k=4&label=class-2", &|hit| hit["label"] == "class-2", 4),
        ("?label=none", &|_| false, 1000),
        (&class_0, &|hit| hit["label"] == "class-0", 4),
        (&radius, &|hit| hit["distance"].as_u64().unwrap() <= within, 1000),
    ];
    for (query, wanted, k) in cases {
        let ids = |hits: &[Value]| hits.iter().map(|hit| hit["id"].clone()).collect::<Vec<_>>();
        let mut expected: Vec<_> = all.iter().filter(|hit| wanted(hit)).cloned().collect();
        expected.truncate(k);
        let found = page.search(query, &png(1, 17));
        let found = found["results"].as_array().unwrap();
        assert_eq!(ids(found), ids(&expected), "{query}");
        assert!(found.iter().zip(1..).all(|(hit, rank)| hit["rank"] == rank), "{found:?}");
    }
    for (query, said) in [
        ("?k=0", "k must be a number from 1 to 1000"),
        ("?under=%2Fetc", "no indexed image is under /etc"),
        ("?page=1", "there is no parameter 'page' here"),
        ("?order=recent", "order must be hamming or asymmetric"),
    ] {
        let sentence = page.ask("POST", &format!("/api/search{query}"), &png(1, 0)).sentence(400);
        assert!(sentence.starts_with(said), "{sentence}");
    }
    let folders = page.json("/api/folders");
    let counts: Vec<_> = folders["folders"]
        .as_array()
        .unwrap()
        .iter()
        .map(|f| f["images"].as_u64().unwrap())
        .collect();
    assert_eq!(counts, [18, 6, 6, 6]);
    assert_eq!(page.json("/api/labels")["labels"][1]["label"], "class-1");
}

#[test]
fn what_cannot_be_searched_is_explained() {
    let env = indexed();
    let page = Page::start(&env, &[]);
    let small = ["--max-megapixels", "0"];
    for (body, said) in [
        (&b"Dear Sir or Madam,"[..], "not an image of a known format"),
        (b"", "the file is empty"),
        (&png(1, 1)[..200], "cut off"),
        (b"\0\0\0\x18ftypheic\0\0\0\0", "HEIC image is cut off"),
        (b"GIF89a\x01\0\x01\0\0\0\0", "cut off"),
    ] {
        for path in ["/api/search", "/api/explanation"] {
            let sentence = page.ask("POST", path, body).sentence(400);
            assert!(sentence.contains(said), "{sentence}");
        }
    }
    let head = |lines: &str| {
        let (port, bearer) = (page.port, page.bearer());
        page.raw(
            format!("POST /api/search HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n{bearer}{lines}\r\n")
                .as_bytes(),
        )
    };
    let said = head(&format!("Content-Length: {}\r\n", (64 << 20) + 1)).sentence(413);
    assert!(said.contains("larger than 64 MiB"), "{said}");
    // One that is really sent is answered too.
    let large = page.ask("POST", "/api/search", &vec![0; (64 << 20) + 1]);
    assert_eq!(large.sentence(413), said);
    assert!(head("Transfer-Encoding: chunked\r\n").sentence(411).contains("Content-Length"));
    assert_eq!(head("Content-Length: x\r\n").status, 400);
    assert_eq!(page.get("/api/search").status, 405);
    assert_eq!(page.ask("DELETE", "/api/images/1/view", b"").status, 405);
    assert!(
        page.raw(b"\x16\x03\x01 no http at all\r\n\r\n")
            .sentence(400)
            .contains("invalid HTTP request")
    );
    // All of that has not hurt it.
    assert_eq!(page.search("?k=1", &png(0, 0))["results"][0]["same"], true);

    let page = Page::start(&env, &small);
    let said = page.ask("POST", "/api/search", &png(1, 17)).sentence(400);
    assert!(said.contains("pixels, more than the limit"), "{said}");
}

#[test]
fn pictures_are_made_anew_and_only_of_indexed_files() {
    let env = indexed();
    let page = Page::start(&env, &[]);
    let one = page.id("class-1/2.png");
    for kind in ["thumbnail", "view"] {
        let reply = page.get(&format!("/api/images/{one}/{kind}"));
        assert_eq!((reply.status, reply.field("Content-Type")), (200, Some("image/jpeg")));
        let picture = image::load_from_memory_with_format(&reply.body, ImageFormat::Jpeg).unwrap();
        assert_eq!((picture.width(), picture.height()), (88, 64));
        let head = page.ask("HEAD", &format!("/api/images/{one}/{kind}"), b"");
        assert_eq!((head.status, head.body.len()), (200, 0));
    }
    for path in [
        "/api/images/999/thumbnail",
        "/api/images/-1/thumbnail",
        "/api/images/../../i.db",
        "/api/images/%2e%2e%2fi.db/view",
        "/api/images/1/view/../../../../i.db",
        "/i.db",
        "/page.js/../i.db",
        "/%2e%2e/i.db",
        "//api/status",
    ] {
        page.get(path).sentence(404);
    }
    // The general model has no attention to parts.
    let said = page.get(&format!("/api/images/{one}/explanation")).sentence(404);
    assert!(said.contains("no attention to parts"), "{said}");

    let view = format!("/api/images/{one}/view");
    let file = env.path("birds/class-1/2.png");
    fs::write(&file, "no picture any more").unwrap();
    assert!(page.get(&view).sentence(422).contains("not an image of a known format"));
    fs::remove_file(&file).unwrap();
    assert!(page.get(&view).sentence(404).contains("2.png"));
    fs::create_dir(&file).unwrap();
    assert!(page.get(&view).sentence(403).contains("no longer a file"));
    #[cfg(unix)]
    {
        fs::remove_dir(&file).unwrap();
        env.write("secret.png", png(2, 9));
        std::os::unix::fs::symlink(env.path("secret.png"), &file).unwrap();
        for kind in ["view", "thumbnail", "explanation"] {
            let said = page.get(&format!("/api/images/{one}/{kind}")).sentence(403);
            assert!(said.contains("links outside the indexed folders"), "{said}");
        }
    }
}

#[test]
fn every_address_answers_and_is_described() {
    let env = indexed();
    let page = Page::start(&env, &[]);
    let described = page.json("/api/openapi.json");
    assert_eq!(described, serde_json::from_str::<Value>(barbule::serve::OPENAPI).unwrap());
    let one = page.id("class-0/0.png").to_string();
    for (method, path) in barbule::serve::routes() {
        let reply = page.ask(method, &path.replace("{id}", &one), &png(0, 1));
        // The general model has no explanations.
        let expected = match path {
            _ if path.ends_with("explanation") => 404,
            // It has to be told with which other image.
            _ if path.ends_with("agreement") => 400,
            // A picture is no JSON document.
            "/api/folders" | "/api/labels" if method == "POST" => 415,
            _ => 200,
        };
        assert_eq!(reply.status, expected, "{method} {path}");
        let answers = &described["paths"][path][method.to_lowercase()]["responses"];
        assert!(answers.get(expected.to_string()).is_some(), "{method} {path}: {answers}");
        if expected == 200 {
            let kind = reply.field("Content-Type").unwrap().split(';').next().unwrap();
            assert!(answers["200"]["content"].get(kind).is_some(), "{path}: {kind}");
        }
    }
    // The page asks this server alone, and only what is described.
    let scripts = ["/page.js", "/duplicates.js", "/folders.js", "/labels.js", "/edit.css"];
    let parts = ["/"].iter().chain(&scripts).map(|path| page.get(path).body);
    let text = String::from_utf8(parts.collect::<Vec<_>>().concat()).unwrap();
    for foreign in ["https://", "//cdn", "innerHTML", "eval("] {
        assert!(!text.contains(foreign), "{foreign}");
    }
}

#[test]
fn what_is_indexed_meanwhile_is_found() {
    let env = indexed();
    let page = Page::start(&env, &[]);
    env.write("birds/class-3/0.png", png(3, 0));
    env.ok(&["index", "birds", "--index", "i.db", "--labels", "folder"]);
    let until = Instant::now() + Duration::from_secs(30);
    while page.json("/api/status")["images"] != 19 {
        assert!(Instant::now() < until, "the new image never came");
        thread::sleep(Duration::from_millis(100));
    }
    let found = page.search("?k=1", &png(3, 0));
    assert_eq!(
        (&found["results"][0]["label"], &found["results"][0]["same"]),
        (&"class-3".into(), &true.into())
    );

    // One that cannot be used is said, and the last sound one goes on.
    #[cfg(unix)]
    {
        fs::rename(env.path("i.db"), env.path("away.db")).unwrap();
        let trouble = || page.json("/api/status")["trouble"].clone();
        while trouble().is_null() {
            assert!(Instant::now() < until, "that it is gone was never noticed");
            thread::sleep(Duration::from_millis(100));
        }
        assert!(trouble().as_str().unwrap().contains("there is no index at"));
        assert_eq!(page.search("?k=1", &png(3, 0))["results"][0]["same"], true);
        fs::rename(env.path("away.db"), env.path("i.db")).unwrap();
        while !trouble().is_null() {
            assert!(Instant::now() < until, "that it is back was never noticed");
            thread::sleep(Duration::from_millis(100));
        }
    }
}

#[cfg(unix)]
#[test]
fn ctrl_c_ends_it_in_peace() {
    let env = indexed();
    let mut page = Page::start(&env, &[]);
    // One who says nothing, and one who stops in the middle, do not hold it up.
    let silent = TcpStream::connect(("127.0.0.1", page.port)).unwrap();
    let mut slow = TcpStream::connect(("127.0.0.1", page.port)).unwrap();
    slow.write_all(b"GET / HT").unwrap();
    assert_eq!(page.get("/").status, 200);
    let pid = page.child.id().to_string();
    assert!(std::process::Command::new("kill").args(["-INT", &pid]).status().unwrap().success());
    let begun = Instant::now();
    assert!(page.child.wait().unwrap().success());
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    drop((silent, slow));
}

#[test]
fn what_keeps_it_from_starting_is_said() {
    let env = indexed();
    let said = env.fails(&["serve", "--index", "none.db"]);
    assert!(said.contains("there is no index at none.db"), "{said}");
    let model = env.train("lsh", 16);
    let said = env.fails(&["serve", "--index", "i.db", "--model", &model]);
    assert!(said.contains("made with another model"), "{said}");
    let page = Page::start(&env, &[]);
    let port = page.port.to_string();
    let said = env.fails(&["serve", "--index", "i.db", "--port", &port, "-q"]);
    assert!(said.contains("(--port"), "{said}");
    assert!(env.misused(&["serve", "--address", "everywhere"]).contains("invalid value"));
}

/// An environment with an index whose model attends to parts.
fn attending() -> TestEnv {
    let env = TestEnv::with_birds(3, 6);
    let train = ["train", "exchnet", "--data", "birds", "--size", "64", "--bits", "16"];
    let quick = ["--images", "60", "--train", "head", "--out", "m"];
    env.ok(&[&train[..], &quick].concat());
    env.ok(&["index", "birds", "--index", "i.db", "--model", "m", "--labels", "folder"]);
    env
}

#[test]
fn a_model_that_attends_is_explained() {
    let env = attending();
    let page = Page::start(&env, &["--model", "m"]);
    let parts = page.json("/api/status")["model"]["parts"].as_u64().unwrap();
    assert!(parts > 1, "{parts}");
    let one = page.id("class-1/0.png");
    let path = format!("/api/images/{one}/explanation");
    let all = page.get(&path);
    assert_eq!((all.status, all.field("Content-Type")), (200, Some("image/png")));
    let picture = image::load_from_memory_with_format(&all.body, ImageFormat::Png).unwrap();
    assert_eq!((picture.width(), picture.height()), (64, 64));
    let sent = page.ask("POST", "/api/explanation", &png(1, 0));
    assert!(sent.body == all.body, "an image is explained alike, sent or indexed");
    for part in 1..=parts {
        assert_eq!(page.get(&format!("{path}?part={part}")).status, 200);
    }
    let said = page.get(&format!("{path}?part={}", parts + 1)).sentence(404);
    assert!(said.contains(&format!("{parts} parts")), "{said}");
    page.get(&format!("{path}?part=0")).sentence(400);

    // Two images: as many bits differ as a search says, and each part has its share.
    let other = page.id("class-2/1.png");
    let found = page.json(&format!("/api/images/{one}/similar?k=18"));
    let hits = found["results"].as_array().unwrap();
    let distance = &hits.iter().find(|hit| hit["id"] == other).unwrap()["distance"];
    let pair = page.json(&format!("/api/images/{one}/agreement?with={other}"));
    assert_eq!((&pair["distance"], &pair["bits"]), (distance, &16.into()));
    let shares = pair["parts"].as_array().unwrap();
    assert_eq!(shares.len() as u64, parts + 1);
    assert!(shares.last().unwrap()["part"].is_null() && shares[0]["part"] == 1);
    let same = page.json(&format!("/api/images/{one}/agreement?with={one}"));
    let none = |share: &Value| share["alone"] == 0 && share["without"] == 0;
    assert!(same["distance"] == 0 && same["parts"].as_array().unwrap().iter().all(none));
    page.get(&format!("/api/images/{one}/agreement?with=99999")).sentence(404);
}

#[test]
fn duplicates_are_shown_and_a_list_is_saved() {
    use crate::common::browser::Browser;

    let env = indexed();
    for copy in ["copy", "other"] {
        let to = env.path(&format!("birds/class-0/{copy}.png"));
        fs::copy(env.path("birds/class-0/0.png"), to).unwrap();
    }
    env.ok(&["index", "birds", "--index", "i.db", "--labels", "folder"]);
    fs::remove_file(env.path("birds/class-0/other.png")).unwrap();
    let page = Page::start(&env, &[]);
    let found = page.json("/api/duplicates");
    let own = env.json(&["duplicates", "--index", "i.db"]);
    assert_eq!(found["groups"], own["groups"]);
    let group = found["groups"].as_array().unwrap().iter().find(|group| {
        let mut roles = group.as_array().unwrap().iter().map(|image| &image["role"]);
        roles.any(|role| role == "gone")
    });
    assert!(group.is_some() && found["gone"] == 1, "{found}");
    assert_eq!(page.json("/api/duplicates?label=class-1")["gone"], 0);

    fs::create_dir(env.path("browser")).unwrap();
    let Some(mut browser) = Browser::start(&env.path("browser")) else { return };
    browser.visit(&page.url);
    browser.wait_for("document.querySelectorAll('.hit').length === 20");
    browser.value("document.getElementById('twins').click()");
    browser.wait_for("document.querySelectorAll('#groups .twin').length > 2");
    assert_eq!(browser.value("location.search"), "?duplicates");
    browser.wait_for("document.getElementById('notice').textContent.includes('not there now')");
    let kept = "groups.map(group => group.images.find(i => i.id === group.keep).role)";
    let all = browser.value(kept);
    assert!(all.as_array().unwrap().iter().all(|role| role == "original"), "{all}");
    // What is gone cannot be kept, so that nothing is listed in its favour.
    let gone = "document.querySelectorAll('.twin.aside input').length";
    assert_eq!(browser.value(gone), 0);
    let listed = "dropped().map(image => image.path.split(/[\\\\/]/).at(-1)).join()";
    let first = browser.value(listed);
    let choose = "[...document.querySelectorAll('.twin input')].find(i => !i.checked).click()";
    browser.value(choose);
    let second = browser.value(listed);
    assert_ne!(first, second, "the choice changes the list");
    browser.value("document.getElementById('save').click()");
    browser.wait_for("document.getElementById('status').textContent.startsWith('Saved a list of')");
    // Back to the images.
    browser.value("history.back()");
    browser.wait_for(
        "document.querySelectorAll('.hit').length && document.getElementById('groups').hidden",
    );
}

#[cfg(unix)]
#[test]
fn the_page_searches_in_a_real_browser() {
    use crate::common::browser::Browser;
    use base64::Engine as _;

    let env = attending();
    fs::create_dir(env.path("browser")).unwrap();
    let Some(mut browser) = Browser::start(&env.path("browser")) else { return };
    let page = Page::start(&env, &["--model", "m"]);

    // It begins with one's own images, at an address without the secret.
    browser.visit(&page.url);
    browser.wait_for("document.querySelectorAll('.hit').length === 18");
    assert_eq!(browser.value("location.search"), "");
    browser.wait_for("[...document.querySelectorAll('.frame img')].every(i => i.naturalWidth > 0)");
    assert_eq!(browser.value("document.cookie"), "", "the cookie is not for scripts");

    // An image is dropped.
    let image = base64::engine::general_purpose::STANDARD.encode(png(1, 17));
    let drop = |bytes: &str, name: &str, kind: &str| {
        format!(
            "(() => {{ const data = new DataTransfer();
            const bytes = Uint8Array.from(atob('{bytes}'), c => c.charCodeAt(0));
            data.items.add(new File([bytes], '{name}', {{ type: '{kind}' }}));
            const event = name => new DragEvent(name, {{ dataTransfer: data, bubbles: true, cancelable: true }});
            document.body.dispatchEvent(event('dragenter'));
            const hint = !document.getElementById('over').hidden;
            document.body.dispatchEvent(event('drop'));
            return hint && document.getElementById('over').hidden; }})()"
        )
    };
    assert_eq!(
        browser.value(&drop(&image, "wren.png", "image/png")),
        true,
        "a hint comes and goes"
    );
    browser.wait_for("document.getElementById('title').textContent === 'What looks most like it'");
    let ids = "[...document.querySelectorAll('.hit')].map(hit => Number(hit.dataset.id))";
    let found: Vec<Value> = page.search("", &png(1, 17))["results"].as_array().unwrap().clone();
    let expected: Vec<Value> = found.iter().map(|hit| hit["id"].clone()).collect();
    assert_eq!(browser.value(ids), Value::from(expected.clone()));
    assert_eq!(browser.value("document.getElementById('query-name').textContent"), "wren.png");
    browser.wait_for("document.getElementById('preview-image').naturalWidth > 0");

    // A click on a hit searches from it, and back leads back.
    browser.value("document.querySelectorAll('.hit')[1].click()");
    let second = expected[1].as_i64().unwrap();
    browser.wait_for(&format!(
        "location.search === '?id={second}' && document.querySelector('.same')"
    ));
    assert_eq!(browser.value(ids)[0], second);
    browser.value("history.back()");
    browser.wait_for("location.search === '' && document.getElementById('query-name').textContent === 'wren.png'");
    browser.wait_for(&format!("JSON.stringify({ids}) === '{}'", Value::from(expected)));

    // The keyboard: along the grid, and Enter or Space.
    browser.value("document.querySelector('.hit').focus()");
    browser.press("ArrowRight", 39, None);
    assert_eq!(browser.value("Number(document.activeElement.dataset.id)"), second);
    browser.press("ArrowLeft", 37, None);
    browser.press("End", 35, None);
    assert_eq!(
        browser.value("document.activeElement === [...document.querySelectorAll('.hit')].at(-1)"),
        true
    );
    browser.press("Home", 36, None);
    browser.press("ArrowRight", 39, None);
    browser.press(" ", 32, Some(" "));
    browser.wait_for(&format!(
        "location.search === '?id={second}' && document.querySelector('.same')"
    ));

    // Narrowed to a label, and where the model looks.
    browser.value("(() => { const s = document.getElementById('label'); s.value = 'class-2'; s.dispatchEvent(new Event('change')) })()");
    browser.wait_for("document.querySelectorAll('.hit').length === 6");
    browser.value("document.getElementById('look').click()");
    browser.wait_for("[...document.querySelectorAll('.frame img, #preview-image')].every(i => i.src.includes('/explanation') && i.naturalWidth === 64)");

    browser.value("document.querySelector('button.why').click()");
    browser.wait_for("document.querySelectorAll('ul.why li').length > 2");

    // What cannot be searched is said on the page.
    let text = base64::engine::general_purpose::STANDARD.encode("Dear Sir or Madam,");
    browser.value(&drop(&text, "letter.jpg", "image/jpeg"));
    browser.wait_for(
        "document.getElementById('notice').textContent.includes('Not an image of a known format')",
    );
    let large = "(() => { const data = new DataTransfer();
        data.items.add(new File([new Uint8Array(64 * 1048576 + 1)], 'huge.png', { type: 'image/png' }));
        document.body.dispatchEvent(new DragEvent('drop', { dataTransfer: data, bubbles: true, cancelable: true })) })()";
    browser.value(large);
    browser.wait_for("document.getElementById('notice').textContent === 'huge.png is larger than 64 MiB: choose a smaller one.'");

    // It says so when the program has ended.
    std::mem::drop(page);
    browser.value("document.getElementById('home').click()");
    browser.wait_for("document.getElementById('notice').textContent.startsWith('No answer: start the server again')");
}
