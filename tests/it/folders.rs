/*!
What folders contain besides good images, and changes that are hard to notice.
*/

use std::fs;
#[cfg(target_os = "linux")]
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
#[cfg(target_os = "linux")]
use std::process::{Child, Command, Stdio};
#[cfg(unix)]
use std::time::{Duration, SystemTime};

use crate::common::{TestEnv, jpeg, png, stderr};
use serde_json::{Value, json};

fn index(env: &TestEnv, more: &[&str]) -> Value {
    env.json(&[&["index", "p", "--index", "i.db"], more].concat())
}

fn number(report: &Value, name: &str) -> u64 {
    report[name].as_u64().unwrap()
}

/// Files and links under a folder, folders that are links among them.
fn files(folder: &Path) -> u64 {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap());
    let count = |entry: fs::DirEntry| match entry.file_type().unwrap().is_dir() {
        true => files(&entry.path()),
        false => 1,
    };
    entries.map(count).sum()
}

/// The sum of the counts of a report.
fn counted(report: &Value) -> u64 {
    let indexed = ["added", "changed", "moved", "unchanged", "skipped_before"];
    let indexed: u64 = indexed.iter().map(|name| number(report, name)).sum();
    let left_out = &report["left_out"];
    let rules = ["hidden", "system", "excluded", "links", "special"];
    let rules: u64 = rules.iter().map(|name| number(left_out, name)).sum();
    let kinds = left_out["kinds"].as_object().unwrap().values();
    let kinds = kinds.flat_map(|kind| kind.as_object().unwrap().values());
    let skipped = report["skipped"].as_array().unwrap().len() as u64;
    indexed + skipped + rules + kinds.map(|count| count.as_u64().unwrap()).sum::<u64>()
}

/// A folder `p` with one of everything.
fn one_of_everything() -> TestEnv {
    let env = TestEnv::new();
    env.write("p/good.png", png(0, 1));
    env.write("p/in/other.png", png(0, 2));
    env.write("p/in/copy.png", png(0, 1));
    env.write("p/cut.jpg", &jpeg(0, 8)[..200]);
    env.write("p/empty.png", "");
    for name in [
        ".hidden.png",
        ".git/objects/a.png",
        "@eaDir/good.png/SYNOPHOTO_THUMB_M.jpg",
        "$RECYCLE.BIN/old.png",
        "__MACOSX/._good.png",
        "raw/a.png",
        "raw/deep/b.png",
        "IMG_1.XCF",
        "IMG_2.xcf",
        "a.x3f",
        "film.mp4",
        "notes.txt",
        "README",
        "Thumbs.db",
    ] {
        env.write(&format!("p/{name}"), "x");
    }
    #[cfg(unix)]
    {
        use std::os::unix::ffi::OsStrExt;
        use std::os::unix::fs::symlink;

        let odd = std::ffi::OsStr::from_bytes(b"p/caf\xe9.png");
        fs::write(env.root().join(odd), png(0, 3)).unwrap();
        symlink("in", env.path("p/link")).unwrap();
        symlink("..", env.path("p/up")).unwrap();
        symlink("good.png", env.path("p/again.png")).unwrap();
        symlink("nowhere", env.path("p/gone.png")).unwrap();
        std::os::unix::net::UnixListener::bind(env.path("p/socket.png")).unwrap();
    }
    env
}

#[test]
fn every_file_is_in_exactly_one_count() {
    let env = one_of_everything();
    let all = files(&env.path("p"));
    let report = index(&env, &["--exclude", "raw"]);
    assert_eq!(counted(&report), all, "{report:#}");
    let left_out = &report["left_out"];
    for (name, count) in [("hidden", 2), ("system", 3), ("excluded", 2)] {
        assert_eq!(number(left_out, name), count, "{name}: {left_out}");
    }
    assert_eq!(left_out["kinds"]["photo"], json!({ "x3f": 1, "xcf": 2 }));
    assert_eq!(left_out["kinds"]["video"], json!({ "mp4": 1 }));
    assert_eq!(left_out["kinds"]["other"], json!({ "": 1, "db": 1, "txt": 1 }));
    if cfg!(unix) {
        assert_eq!([number(left_out, "links"), number(left_out, "special")], [2, 1]);
    }
    // The same the second time, with links, with hidden files, and in two folders.
    for more in [&[][..], &["--follow-links"], &["--hidden"], &["--exclude", ""], &["p/in"]] {
        let report = index(&env, more);
        assert_eq!(counted(&report), all, "{more:?}: {report:#}");
    }
    assert_eq!(counted(&index(&env, &["--exclude", "raw"])), all);
    let said = env.ok(&["index", "p", "--index", "i.db"]);
    for part in ["2 GIMP, 1 raw files: this build reads none", "1 video", "2 hidden"] {
        assert!(said.contains(part), "{part} in {said}");
    }
    let status = env.json(&["status", "--index", "i.db"]);
    assert_eq!(status["folders"][0]["left_out"]["system"], 3, "{status:#}");
    let said = env.ok(&["status", "--index", "i.db"]);
    for part in ["2 GIMP, 1 raw files", "3 in system folders", "1 .txt"] {
        assert!(said.contains(part), "{part} in {said}");
    }
    // Nothing is said of what is not there.
    env.write("q/a.png", png(1, 1));
    let said = env.ok(&["index", "q", "--index", "q.db"]);
    assert!(said.contains("(1 added, 0 changed, 0 unchanged, 0 skipped) in"), "{said}");
}

#[cfg(unix)]
#[test]
fn a_name_that_is_not_unicode_is_named_once_and_kept() {
    use std::os::unix::ffi::OsStrExt;

    let env = TestEnv::new();
    env.write("p/a.png", png(0, 1));
    let odd = env.root().join(std::ffi::OsStr::from_bytes(b"p/caf\xe9.png"));
    fs::write(&odd, png(0, 2)).unwrap();
    let first = env.run(&["index", "p", "--index", "i.db"]);
    assert!(stderr(&first).contains("caf\\xe9.png"), "{}", stderr(&first));
    let second = env.run(&["index", "p", "--index", "i.db"]);
    assert!(!stderr(&second).contains("caf"), "{}", stderr(&second));
    assert!(String::from_utf8_lossy(&second.stdout).contains("1 skipped"));
    let failures = || env.json(&["status", "--index", "i.db"])["failures"].clone();
    let path = failures()[0]["path"].as_str().unwrap().to_owned();
    assert!(path.ends_with("p/caf\\xe9.png"), "{path}");
    assert!(env.ok(&["status", "--index", "i.db"]).contains("caf\\xe9.png"));
    env.ok(&["prune", "--index", "i.db"]);
    assert_eq!(failures().as_array().unwrap().len(), 1);
    fs::rename(odd, env.path("p/café.png")).unwrap();
    assert_eq!(number(&index(&env, &[]), "added"), 1);
    assert_eq!(failures(), json!([]));
}

/// Runs the program without the right of an administrator to read everything.
#[cfg(target_os = "linux")]
fn humble(env: &TestEnv, args: &[&str]) -> Command {
    let own = env.plain_command(args);
    let probe = env.path("probe");
    fs::create_dir(&probe).unwrap();
    fs::set_permissions(&probe, std::os::unix::fs::PermissionsExt::from_mode(0o0)).unwrap();
    let reads_everything = fs::read_dir(&probe).is_ok();
    fs::remove_dir(&probe).unwrap();
    if !reads_everything {
        return own;
    }
    let mut humble = Command::new("setpriv");
    humble.args(["--bounding-set", "-dac_override,-dac_read_search"]);
    humble.arg(own.get_program()).args(own.get_args()).current_dir(env.root());
    for (name, value) in own.get_envs() {
        match value {
            Some(value) => humble.env(name, value),
            None => humble.env_remove(name),
        };
    }
    humble
}

/// Reads stderr of a program that watches until it does so.
#[cfg(target_os = "linux")]
fn until_watching(child: &mut Child) -> String {
    let (mut said, mut lines) = (String::new(), BufReader::new(child.stderr.take().unwrap()));
    while !said.contains("watching for changes") {
        assert!(lines.read_line(&mut said).unwrap() > 0, "it ended: {said}");
    }
    // It must be able to say more.
    std::thread::spawn(move || lines.read_to_string(&mut String::new()));
    said
}

#[cfg(target_os = "linux")]
#[test]
fn watching_goes_on_past_folders_that_cannot_be_watched() {
    use std::os::unix::fs::PermissionsExt;

    let env = TestEnv::new();
    env.write("p/a.png", png(0, 1));
    for folder in ["p/lost+found", "p/closed"] {
        fs::create_dir(env.path(folder)).unwrap();
        fs::set_permissions(env.path(folder), fs::Permissions::from_mode(0o0)).unwrap();
    }
    let args = ["index", "p", "--index", "i.db", "--watch"];
    let mut command = humble(&env, &args);
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    until_watching(&mut child);
    let images = || {
        barbule::index::Index::open(&env.path("i.db")).and_then(|index| index.len()).unwrap_or(0)
    };
    let wait = |wanted| {
        let begun = std::time::Instant::now();
        while images() != wanted && begun.elapsed() < Duration::from_secs(60) {
            std::thread::sleep(Duration::from_millis(100));
        }
        assert_eq!(images(), wanted);
    };
    env.write("p/new/b.png", png(0, 2));
    wait(2);
    // The new folder is watched, too.
    env.write("p/new/c.png", png(0, 3));
    wait(3);
    child.kill().unwrap();
    child.wait().unwrap();
}

#[cfg(target_os = "linux")]
#[test]
fn the_limit_of_watches_is_told_with_its_remedy() {
    let env = TestEnv::new();
    (0..20).for_each(|i| drop(env.write(&format!("p/{i}/a.png"), png(0, i))));
    let own = env.plain_command(&["index", "p", "--index", "i.db", "--watch"]);
    // A limit of its own needs a name space of its own.
    let script = "echo 5 > /proc/sys/user/max_inotify_watches && exec \"$0\" \"$@\"";
    let mut limited = Command::new("unshare");
    limited.args(["-Ur", "sh", "-c"]).arg(script).arg(own.get_program()).args(own.get_args());
    limited.current_dir(env.root()).env("HOME", env.root());
    let probe = ["-Ur", "sh", "-c", "echo 5 > /proc/sys/user/max_inotify_watches"];
    let able = Command::new("unshare").args(probe).stderr(Stdio::null()).status();
    if !able.is_ok_and(|status| status.success()) {
        eprintln!("skipped: this system gives out no name spaces");
        return;
    }
    let mut child = limited.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let said = until_watching(&mut child);
    assert!(said.contains("fs.inotify.max_user_watches"), "{said}");
    child.kill().unwrap();
    child.wait().unwrap();
}

#[cfg(target_os = "linux")]
#[test]
fn a_closed_folder_ends_no_training() {
    use std::os::unix::fs::PermissionsExt;

    let env = TestEnv::with_birds(2, 5);
    let closed = env.path("birds/class-0/closed");
    fs::create_dir(&closed).unwrap();
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o0)).unwrap();
    std::os::unix::fs::symlink("..", env.path("birds/class-1/up")).unwrap();
    let train = ["train", "lsh", "--data", "birds", "--bits", "8", "--size", "32", "--out", "m"];
    let output = humble(&env, &train).output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(stderr(&output).contains("class-0/closed"), "{}", stderr(&output));
    assert_eq!(env.json(&train)["data"]["images"], 8);
}

#[cfg(target_os = "linux")]
#[test]
fn a_closed_folder_is_named_once_and_kept() {
    use std::os::unix::fs::PermissionsExt;

    let env = TestEnv::new();
    env.write("p/a.png", png(0, 1));
    env.write("p/closed/b.png", png(0, 2));
    assert_eq!(number(&index(&env, &[]), "added"), 2);
    let mode = |mode| fs::set_permissions(env.path("p/closed"), fs::Permissions::from_mode(mode));
    mode(0).unwrap();
    let index = |env: &TestEnv, _: &[&str]| -> Value {
        let args = ["index", "p", "--index", "i.db", "--json"];
        let output = humble(env, &args).output().unwrap();
        serde_json::from_slice(&output.stdout).unwrap()
    };
    let report = index(&env, &[]);
    assert_eq!((number(&report, "unchanged"), number(&report, "images")), (1, 2));
    assert_eq!(report["skipped"].as_array().unwrap().len(), 1);
    assert_eq!(number(&index(&env, &[]), "skipped_before"), 1);
    let status = env.json(&["status", "--index", "i.db"]);
    assert!(status["failures"][0]["path"].as_str().unwrap().ends_with("closed"), "{status}");
    mode(0o755).unwrap();
    assert_eq!(number(&index(&env, &[]), "unchanged"), 2);
    assert_eq!(env.json(&["status", "--index", "i.db"])["failures"], json!([]));
}

/// Bytes of a picture whose length depends on its size alone.
#[cfg(unix)]
fn bmp(seed: usize) -> Vec<u8> {
    let image = image::load_from_memory(&png(seed, 0)).unwrap().to_rgb8();
    let mut bytes = std::io::Cursor::new(Vec::new());
    image.write_to(&mut bytes, image::ImageFormat::Bmp).unwrap();
    bytes.into_inner()
}

#[cfg(unix)]
fn set_time(path: &Path, time: SystemTime) {
    fs::File::options().write(true).open(path).unwrap().set_modified(time).unwrap();
}

/// Path, content and code of each image, in the order of paths.
fn contents(env: &TestEnv) -> Vec<(String, [u8; 32], String)> {
    let index = barbule::index::Index::open(&env.path("i.db")).unwrap();
    let ids = index.ids(&Default::default()).unwrap();
    let row = |id: &i64| {
        let image = index.image(*id).unwrap();
        (image.path, *image.content.as_bytes(), index.code(*id).unwrap().hex())
    };
    let mut all: Vec<_> = ids.iter().map(row).collect();
    all.sort();
    all
}

#[cfg(unix)]
#[test]
fn an_edit_that_keeps_size_and_date_is_noticed() {
    let env = TestEnv::new();
    let time = SystemTime::now() - Duration::from_secs(1_000_000);
    let old = SystemTime::UNIX_EPOCH - Duration::from_secs(86_400);
    for (name, seed) in [("p/a.bmp", 1), ("p/b.bmp", 2)] {
        set_time(&env.write(name, bmp(seed)), time);
    }
    index(&env, &[]);
    let before = contents(&env);
    assert_eq!(number(&index(&env, &[]), "unchanged"), 2);
    set_time(&env.write("p/a.bmp", bmp(3)), time);
    assert_eq!(number(&index(&env, &[]), "changed"), 1);
    assert_ne!(contents(&env)[0].2, before[0].2);
    set_time(&env.write("p/a.bmp", bmp(1)), time);
    assert_eq!(number(&index(&env, &[]), "changed"), 1);
    assert_eq!(contents(&env), before);
    // Two files change names.
    let [a, b, c] = ["p/a.bmp", "p/b.bmp", "p/c"].map(|name| env.path(name));
    for (from, to) in [(&a, &c), (&b, &a), (&c, &b)] {
        fs::rename(from, to).unwrap();
    }
    index(&env, &[]);
    let after = contents(&env);
    assert_eq!((&after[0].1, &after[1].1), (&before[1].1, &before[0].1));
    assert_eq!((&after[0].2, &after[1].2), (&before[1].2, &before[0].2));
    // Dates before 1970 are dates.
    set_time(&a, old);
    index(&env, &[]);
    let stored: i64 = rusqlite::Connection::open(env.path("i.db"))
        .unwrap()
        .query_row("SELECT min(modified) FROM images", [], |row| row.get(0))
        .unwrap();
    assert_eq!(stored, -86_400_000_000_000);
    // Other rights are another change time, and no other content.
    let codes = contents(&env);
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    fs::set_permissions(&a, mode).unwrap();
    let report = index(&env, &[]);
    assert_eq!((number(&report, "unchanged"), number(&report, "changed")), (2, 0));
    assert_eq!(contents(&env), codes);
}

#[cfg(unix)]
#[test]
fn again_looks_into_every_file() {
    use std::os::unix::fs::MetadataExt;

    let env = TestEnv::new();
    env.write("p/a.bmp", bmp(1));
    env.write("p/b.bmp", bmp(2));
    env.write("p/broken.png", "x");
    index(&env, &[]);
    let before = contents(&env);
    let file = env.write("p/a.bmp", bmp(3));
    // As if nothing told of the change.
    let meta = fs::metadata(&file).unwrap();
    let modified = meta.mtime() * 1_000_000_000 + meta.mtime_nsec();
    let changed = meta.ctime() * 1_000_000_000 + meta.ctime_nsec();
    rusqlite::Connection::open(env.path("i.db"))
        .unwrap()
        .execute(
            "UPDATE images SET modified = ?1, changed = ?2 WHERE path LIKE '%a.bmp'",
            [modified, changed],
        )
        .unwrap();
    assert_eq!(number(&index(&env, &[]), "unchanged"), 2);
    assert_eq!(contents(&env), before);
    let report = index(&env, &["--again"]);
    assert_eq!(["changed", "unchanged", "skipped_before"].map(|n| number(&report, n)), [1, 1, 1]);
    assert_ne!(contents(&env)[0].2, before[0].2);
}

#[test]
fn an_index_of_the_second_format_goes_on() {
    let env = TestEnv::new();
    env.write("p/a.png", png(0, 1));
    env.write("p/broken.png", "x");
    index(&env, &[]);
    let before = contents(&env);
    {
        let old = rusqlite::Connection::open(env.path("i.db")).unwrap();
        let sql = "ALTER TABLE roots DROP COLUMN left_out;
            ALTER TABLE images DROP COLUMN changed; ALTER TABLE images DROP COLUMN file;
            ALTER TABLE failures DROP COLUMN changed; ALTER TABLE failures DROP COLUMN file;
            PRAGMA user_version = 2;";
        old.execute_batch(sql).unwrap();
    }
    let status = env.json(&["status", "--index", "i.db"]);
    assert_eq!(status["folders"][0]["left_out"], Value::Null);
    assert_eq!(status["failures"].as_array().unwrap().len(), 1);
    // Looked at once, not encoded again.
    let report = index(&env, &[]);
    assert_eq!(["unchanged", "changed", "skipped_before"].map(|n| number(&report, n)), [1, 0, 1]);
    assert_eq!(contents(&env), before);
    let version = || -> (i64, i64) {
        let index = rusqlite::Connection::open(env.path("i.db")).unwrap();
        let version = index.query_row("PRAGMA user_version", [], |row| row.get(0)).unwrap();
        let sql = "SELECT count(changed) FROM images";
        (version, index.query_row(sql, [], |row| row.get(0)).unwrap())
    };
    assert_eq!(version(), (3, 1));
}

#[test]
fn codes_of_an_earlier_reader_are_computed_anew_on_request() {
    let env = TestEnv::new();
    env.write("p/a.png", png(0, 1));
    env.write("p/copy.png", png(0, 1));
    env.write("p/b.png", png(0, 2));
    let labels = ["--labels", "folder"];
    index(&env, &labels);
    let codes = || -> Vec<Vec<u8>> {
        let index = rusqlite::Connection::open(env.path("i.db")).unwrap();
        let mut statement = index.prepare("SELECT codes FROM blocks ORDER BY first").unwrap();
        let rows = statement.query_map([], |row| row.get(0)).unwrap();
        rows.collect::<Result<_, _>>().unwrap()
    };
    let right = codes();
    {
        // As if the pictures had been read in another way.
        let old = rusqlite::Connection::open(env.path("i.db")).unwrap();
        old.execute_batch("DELETE FROM meta WHERE key = 'reading'").unwrap();
        let wrong = vec![0x55_u8; right[0].len()];
        old.execute("UPDATE blocks SET codes = ?1", [wrong]).unwrap();
    }
    let as_now = || env.json(&["status", "--index", "i.db"])["read_as_now"] == json!(true);
    assert!(!as_now());
    assert!(env.ok(&["status", "--index", "i.db"]).contains("`barbule index --again`"));
    assert_eq!(number(&index(&env, &[]), "unchanged"), 3);
    assert_ne!(codes(), right);

    let report = index(&env, &["--again"]);
    assert_eq!(["changed", "unchanged", "images"].map(|n| number(&report, n)), [3, 0, 3]);
    assert_eq!(codes(), right);
    assert!(as_now());
    let labels = env.json(&["status", "--index", "i.db"])["labels"].clone();
    assert_eq!(labels, json!(1));
    assert_eq!(number(&index(&env, &["--again"]), "unchanged"), 3);
}

#[test]
fn rows_of_a_table_that_do_nothing_are_told() {
    let env = TestEnv::new();
    env.write("p/a.png", png(0, 1));
    env.write("p/b.png", png(0, 2));
    env.write("l.csv", "p/a.png,owl\np/B.png,wren\np/a.png,tit\n");
    let output = env.run(&["index", "p", "--index", "i.db", "--labels", "l.csv"]);
    let said = stderr(&output);
    for part in [
        "1 of 3 rows of the table names no image here (first: line 2, p/B.png)",
        "1 of 3 rows of the table contradicts an earlier row",
        "(first: line 3, p/a.png)",
    ] {
        assert!(said.contains(part), "{part} in {said}");
    }
    let report = index(&env, &["--labels", "l.csv"]);
    let first = json!({ "line": 2, "path": "p/B.png" });
    assert_eq!(
        (&report["table"]["unmatched"], &report["table"]["first_unmatched"]),
        (&1.into(), &first)
    );
    assert_eq!(index(&env, &[])["table"], Value::Null);
    // As a spreadsheet saves it.
    let text = "Path;Label\r\np/a.png;Steinkauz\r\np/b.png;Zaunkönig\r\n";
    let units = text.encode_utf16().flat_map(u16::to_le_bytes);
    let bytes: Vec<u8> = [0xff, 0xfe].into_iter().chain(units).collect();
    env.write("l.csv", bytes);
    let output = env.run(&["index", "p", "--index", "i.db", "--labels", "l.csv"]);
    assert!(!stderr(&output).contains("warning"), "{}", stderr(&output));
    let answer = env.json(&["search", "p/b.png", "--index", "i.db", "-k", "1"]);
    assert_eq!(answer["results"][0]["label"], "Zaunkönig");
}

#[test]
fn a_search_says_when_nothing_is_in_a_folder_or_has_a_label() {
    let env = TestEnv::new();
    env.write("p/owl/a.png", png(0, 1));
    index(&env, &["--labels", "folder"]);
    let said = |more: &[&str]| {
        let search = ["search", "p/owl/a.png", "--index", "i.db"];
        stderr(&env.run(&[&search[..], more].concat()))
    };
    assert!(said(&["--under", "elsewhere"]).contains("elsewhere is indexed (--under)"));
    assert!(said(&["--label", "tit", "--label", "owl"]).contains("has the label tit (--label)"));
    let fine = said(&["--under", "p", "--under", "p/owl/a.png", "--label", "owl"]);
    assert!(!fine.contains("warning"), "{fine}");
    // Lists with a byte order mark, and of `find -print0`.
    for list in ["\u{feff}p/owl/a.png\r\n", "p/owl/a.png\0"] {
        let args = ["search", "-", "--index", "i.db", "--json", "--device", "cpu"];
        let output = env.command(&args).write_stdin(list).output().unwrap();
        let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(answer["results"][0]["distance"], 0, "{list:?}");
    }
}

#[test]
fn thumbnails_are_no_training_data_and_pictures_in_both_splits_are_told() {
    let env = TestEnv::new();
    for split in ["Train", "Test"] {
        for (class, number) in (0..2).flat_map(|class| (0..4).map(move |n| (class, n))) {
            let number = if split == "Test" && number > 0 { number + 9 } else { number };
            env.write(&format!("d/{split}/class-{class}/{number}.png"), png(class, number));
            let thumb = format!("d/{split}/class-{class}/@eaDir/{number}.png/THUMB.jpg");
            env.write(&thumb, jpeg(class, number));
        }
    }
    let train = ["train", "lsh", "--data", "d", "--bits", "8", "--size", "32", "--out", "m"];
    let said = stderr(&env.run(&train));
    assert!(said.contains("2 of 8 test images are also among the images"), "{said}");
    assert_eq!(env.json(&train)["data"]["images"], 8);
    assert_eq!(env.json(&["eval", "--model", "m", "--data", "d"])["shared_images"], 2);
}
