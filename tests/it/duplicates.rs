/*!
Near duplicates: what is one, and that nobody is led to delete a last copy.
*/

use std::fs;
use std::path::Path;
use std::time::{Duration, SystemTime};

use image::codecs::jpeg::JpegEncoder;
use image::{DynamicImage, ImageFormat, Rgb, RgbImage, imageops};
use serde_json::{Value, json};

use crate::common::{TestEnv, stderr};

/// A drawing of discs. Different seeds give different drawings.
fn drawing(seed: u32) -> RgbImage {
    let random = |n: u32| {
        let mut value = n.wrapping_mul(0x9e37_79b9) ^ seed.wrapping_mul(0x85eb_ca6b);
        value ^= value >> 15;
        value = value.wrapping_mul(0xc2b2_ae35);
        f64::from(value ^ (value >> 13)) / f64::from(u32::MAX)
    };
    RgbImage::from_fn(240, 180, |x, y| {
        let (x, y) = (f64::from(x) / 240.0, f64::from(y) / 180.0);
        let inside = (0..14u32).rev().find(|disc| {
            let (dx, dy) = (x - random(disc * 5), y - random(disc * 5 + 1));
            dx.hypot(dy) < 0.05 + 0.25 * random(disc * 5 + 2)
        });
        let base = inside.unwrap_or(99) * 5;
        Rgb([base + 3, base + 4, base + 6].map(|n| (40.0 + 200.0 * random(n)) as u8))
    })
}

fn save(path: &Path, picture: &RgbImage, format: ImageFormat) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    picture.save_with_format(path, format).unwrap();
}

/// Sets the modification time: so many days ago.
fn age(path: &Path, days: u64) {
    let time = SystemTime::now() - Duration::from_secs(days * 86_400);
    fs::File::options().write(true).open(path).unwrap().set_modified(time).unwrap();
}

fn duplicates(env: &TestEnv) -> Value {
    env.json(&["duplicates", "--index", "i.db"])
}

/// The groups: name of the file and role of each image.
fn roles(report: &Value) -> Vec<Vec<(String, String)>> {
    let name = |image: &Value| {
        let path = image["path"].as_str().unwrap().replace('\\', "/");
        let below = path.split_once("/album/").unwrap().1.to_owned();
        (below, image["role"].as_str().unwrap().to_owned())
    };
    let group = |group: &Value| group.as_array().unwrap().iter().map(name).collect();
    report["groups"].as_array().unwrap().iter().map(group).collect()
}

fn pairs(expected: &[(&str, &str)]) -> Vec<(String, String)> {
    expected.iter().map(|(name, role)| (name.to_string(), role.to_string())).collect()
}

#[test]
fn edits_are_grouped_around_the_best_file_and_others_are_left_alone() {
    let env = TestEnv::new();
    let whole = drawing(1);
    let small = imageops::resize(&whole, 120, 90, imageops::FilterType::Triangle);
    let cropped = imageops::crop_imm(&whole, 6, 4, 228, 172).to_image();
    save(&env.path("album/small.png"), &small, ImageFormat::Png);
    save(&env.path("album/whole.png"), &whole, ImageFormat::Png);
    let mut jpeg = Vec::new();
    JpegEncoder::new_with_quality(&mut jpeg, 40).encode_image(&whole).unwrap();
    env.write("album/whole.jpg", jpeg);
    save(&env.path("album/cropped.png"), &cropped, ImageFormat::Png);
    for seed in 2..12 {
        save(&env.path(&format!("album/{seed}.png")), &drawing(seed), ImageFormat::Png);
    }
    env.ok(&["index", "album", "--index", "i.db"]);
    let report = duplicates(&env);
    let [group] = &roles(&report)[..] else { panic!("{report}") };
    assert_eq!(group[0], ("whole.png".to_owned(), "original".to_owned()));
    let mut others: Vec<_> = group[1..].to_vec();
    others.sort();
    let near = [("cropped.png", "near"), ("small.png", "near"), ("whole.jpg", "near")];
    assert_eq!(others, pairs(&near));
    let first = &report["groups"][0][0];
    assert_eq!((&first["width"], &first["height"]), (&json!(240), &json!(180)));
    assert_eq!(first["bytes"], fs::metadata(env.path("album/whole.png")).unwrap().len());
    // Codes alone group different drawings, too.
    let by_code = env.json(&["duplicates", "--by-code", "--radius", "256", "--index", "i.db"]);
    assert_eq!(by_code["groups"][0].as_array().unwrap().len(), 14);
    let under = env.json(&["duplicates", "--under", "elsewhere", "--index", "i.db"]);
    assert_eq!(under["groups"], json!([]));
    let said = stderr(&env.run(&["duplicates", "--under", "elsewhere", "--index", "i.db"]));
    assert!(said.contains("elsewhere is indexed (--under)"), "{said}");
}

#[test]
fn the_oldest_of_equal_files_is_the_original() {
    let env = TestEnv::new();
    for (name, days) in [("a", 1), ("b", 30), ("c", 2)] {
        let path = env.path(&format!("album/{name}.png"));
        save(&path, &drawing(1), ImageFormat::Png);
        age(&path, days);
    }
    env.ok(&["index", "album", "--index", "i.db"]);
    let group = pairs(&[("b.png", "original"), ("a.png", "copy"), ("c.png", "copy")]);
    assert_eq!(roles(&duplicates(&env)), [group]);
    let printed = env.ok(&["duplicates", "--index", "i.db"]);
    assert!(printed.contains("1 groups of 3 files; 2 are copies and 0 look nearly"), "{printed}");
    let paths = env.ok(&["duplicates", "--paths0", "--exact", "--index", "i.db"]);
    let names: Vec<&str> = paths.split_terminator('\0').map(|p| &p[p.len() - 5..]).collect();
    assert_eq!(names, ["a.png", "c.png"]);
}

#[test]
fn a_file_that_is_gone_is_no_original_and_does_not_count() {
    let env = TestEnv::new();
    save(&env.path("album/lib/a.png"), &drawing(1), ImageFormat::Png);
    env.ok(&["index", "album", "--index", "i.db"]);
    fs::create_dir(env.path("album/library")).unwrap();
    fs::rename(env.path("album/lib/a.png"), env.path("album/library/a.png")).unwrap();
    fs::remove_dir(env.path("album/lib")).unwrap();
    env.ok(&["index", "album/library", "--index", "i.db"]);
    assert_eq!(roles(&duplicates(&env)), Vec::<Vec<_>>::new());
    assert_eq!(duplicates(&env)["gone"], 1);
    assert_eq!(env.ok(&["duplicates", "--paths0", "--index", "i.db"]), "");
    // With a second living file there is a group, and the one that is gone is named last.
    fs::copy(env.path("album/library/a.png"), env.path("album/library/b.png")).unwrap();
    age(&env.path("album/library/a.png"), 9);
    env.ok(&["index", "album/library", "--index", "i.db"]);
    let group =
        pairs(&[("library/a.png", "original"), ("library/b.png", "copy"), ("lib/a.png", "gone")]);
    assert_eq!(roles(&duplicates(&env)), [group]);
    // A search shows the living copies first, even if only one hit is wanted.
    let hits = env.json(&["search", "album/library/a.png", "-k", "3", "--index", "i.db"]);
    let gone: Vec<bool> =
        hits["results"].as_array().unwrap().iter().map(|hit| hit["gone"] == true).collect();
    assert_eq!(gone, [false, false, true], "{hits}");
    let hits = env.json(&["search", "album/library/a.png", "-k", "1", "--index", "i.db"]);
    assert!(hits["results"][0].get("gone").is_none(), "{hits}");
    let table = env.ok(&["search", "album/library/a.png", "-k", "3", "--index", "i.db"]);
    assert!(table.contains("a.png (the same image) (not there now)"), "{table}");
}

#[test]
fn a_file_that_has_changed_since_is_in_no_group() {
    let env = TestEnv::new();
    for name in ["a", "b"] {
        save(&env.path(&format!("album/{name}.png")), &drawing(1), ImageFormat::Png);
    }
    env.ok(&["index", "album", "--index", "i.db"]);
    save(&env.path("album/a.png"), &drawing(2), ImageFormat::Png);
    age(&env.path("album/a.png"), 3);
    let report = duplicates(&env);
    assert_eq!((&report["groups"], &report["changed"]), (&json!([]), &json!(1)));
    // Another date alone is no change.
    save(&env.path("album/a.png"), &drawing(1), ImageFormat::Png);
    age(&env.path("album/a.png"), 3);
    assert_eq!(duplicates(&env)["groups"][0].as_array().unwrap().len(), 2);
}

#[cfg(unix)]
#[test]
fn one_file_by_several_paths_is_one_file() {
    let env = TestEnv::new();
    save(&env.path("album/2023/x.png"), &drawing(1), ImageFormat::Png);
    std::os::unix::fs::symlink("2023", env.path("album/best")).unwrap();
    fs::hard_link(env.path("album/2023/x.png"), env.path("album/hard.png")).unwrap();
    env.ok(&["index", "album", "--follow-links", "--index", "i.db"]);
    let report = duplicates(&env);
    assert_eq!(report["groups"], json!([]), "{report}");
    assert_eq!(env.ok(&["duplicates", "--paths0", "--index", "i.db"]), "");
    // Beside a real copy, the other paths are named and cannot be removed.
    fs::copy(env.path("album/hard.png"), env.path("album/copy.png")).unwrap();
    age(&env.path("album/hard.png"), 5);
    env.ok(&["index", "album", "--follow-links", "--index", "i.db"]);
    let groups = roles(&duplicates(&env));
    let [group] = &groups[..] else { panic!("{groups:?}") };
    assert_eq!(group[0].1, "original");
    assert_eq!(group[1], ("copy.png".to_owned(), "copy".to_owned()));
    assert_eq!(group.iter().filter(|(_, role)| role == "same_file").count(), 1, "{group:?}");
    let paths = env.ok(&["duplicates", "--paths0", "--index", "i.db"]);
    assert!(paths.ends_with("copy.png\0") && paths.matches('\0').count() == 1, "{paths}");
}

#[test]
fn pictures_of_one_colour_are_told_apart() {
    let env = TestEnv::new();
    let plain = |colour| RgbImage::from_pixel(64, 64, Rgb(colour));
    for (name, colour) in
        [("black", [0; 3]), ("white", [255; 3]), ("red", [200, 0, 0]), ("white2", [254; 3])]
    {
        save(&env.path(&format!("album/{name}.png")), &plain(colour), ImageFormat::Png);
    }
    env.ok(&["index", "album", "--index", "i.db"]);
    let groups = roles(&duplicates(&env));
    let [group] = &groups[..] else { panic!("{groups:?}") };
    let mut names: Vec<&str> = group.iter().map(|(name, _)| name.as_str()).collect();
    names.sort_unstable();
    assert_eq!(names, ["white.png", "white2.png"]);
}

#[test]
fn an_index_without_looks_reads_the_files() {
    let env = TestEnv::new();
    let half = DynamicImage::ImageRgb8(drawing(1)).thumbnail(120, 90).to_rgb8();
    save(&env.path("album/whole.png"), &drawing(1), ImageFormat::Png);
    save(&env.path("album/half.png"), &half, ImageFormat::Png);
    save(&env.path("album/other.png"), &drawing(2), ImageFormat::Png);
    env.ok(&["index", "album", "--index", "i.db"]);
    let expected = roles(&duplicates(&env));
    assert_eq!(expected[0].len(), 2);
    let index = rusqlite::Connection::open(env.path("i.db")).unwrap();
    index.execute_batch("DROP TABLE looks").unwrap();
    drop(index);
    assert_eq!(roles(&duplicates(&env)), expected);
    // The next change adds the table again.
    fs::remove_file(env.path("album/other.png")).unwrap();
    env.ok(&["index", "album", "--index", "i.db"]);
    assert_eq!(roles(&duplicates(&env)), expected);
}
