/*!
Parts of pictures: searches for a part of an image, and regions of indexed images.
*/

use std::fs;

use barbule::index::Index;
use image::imageops::{FilterType, replace};
use image::{ImageFormat, Rgb, RgbImage};
use serde_json::{Value, json};

use crate::common::{TestEnv, png};

/// The place of the small picture in a large one.
const PLACE: [u32; 4] = [480, 240, 160, 160];

/// Returns a large plain picture with a small one in it.
fn large(class: usize, number: usize) -> RgbImage {
    let small = image::load_from_memory(&png(class, number)).unwrap().into_rgb8();
    let [x, y, width, height] = PLACE;
    let small = image::imageops::resize(&small, width, height, FilterType::Triangle);
    let mut large = RgbImage::from_fn(800, 600, |x, y| {
        let shade = 120 + (x / 40) as u8 % 3 + (y / 40) as u8 % 3;
        Rgb([shade, shade, shade + 4])
    });
    replace(&mut large, &small, i64::from(x), i64::from(y));
    large
}

/// Writes four such pictures to `photos`, and the small ones to `small`.
fn photos() -> TestEnv {
    let env = TestEnv::new();
    fs::create_dir(env.path("photos")).unwrap();
    for number in 0..4 {
        let path = env.path(&format!("photos/{number}.png"));
        large(number, 7).save_with_format(path, ImageFormat::Png).unwrap();
        env.write(&format!("small/{number}.png"), png(number, 7));
    }
    env
}

fn index(env: &TestEnv, more: &[&str]) -> Value {
    env.json(&[&["index", "photos", "--index", "i.db"], more].concat())
}

fn search(env: &TestEnv, more: &[&str]) -> Value {
    env.json(&[&["search", "--index", "i.db"], more].concat())
}

fn hits(answer: &Value) -> &[Value] {
    answer["results"].as_array().unwrap()
}

fn name(hit: &Value) -> &str {
    hit["path"].as_str().unwrap().rsplit(['/', '\\']).next().unwrap()
}

/// Number of images of which regions are stored.
fn stored(env: &TestEnv) -> i64 {
    let connection = rusqlite::Connection::open(env.path("i.db")).unwrap();
    connection.query_row("SELECT count(*) FROM regions", [], |row| row.get(0)).unwrap()
}

#[test]
fn a_small_object_is_found_in_a_region_and_the_hit_says_where() {
    let env = photos();
    index(&env, &[]);
    assert!(search(&env, &["small/2.png"])["results"][0].get("region").is_none());
    let report = index(&env, &["--regions", "3"]);
    // Nothing is new, and every picture was read again.
    assert_eq!((&report["unchanged"], &report["regions"]), (&json!(4), &json!(3)));
    for number in 0..4 {
        let answer = search(&env, &[&format!("small/{number}.png")]);
        let found = hits(&answer);
        assert_eq!(found.len(), 4, "each image once: {answer}");
        assert_eq!(name(&found[0]), format!("{number}.png"), "{answer}");
        let region = &found[0]["region"];
        let side = |key: &str| region[key].as_u64().unwrap() as u32;
        let [x, y, width, height] = PLACE;
        let (middle, centre) = (side("x") + side("width") / 2, side("y") + side("height") / 2);
        assert!((x..x + width).contains(&middle), "{region}");
        assert!((y..y + height).contains(&centre), "{region}");
        assert_eq!((side("picture_width"), side("picture_height")), (800, 600));
    }
    // As text, as a page, and in the status.
    let said = env.ok(&["search", "small/1.png", "--index", "i.db", "--html", "found.html"]);
    assert!(said.contains("1.png (at "), "{said}");
    let page = fs::read_to_string(env.path("found.html")).unwrap();
    assert!(page.contains("in a part of it"));
    let said = env.ok(&["status", "--index", "i.db"]);
    assert!(said.contains("with up to 3 regions of each"), "{said}");
    // By distances, by features, with a radius and a filter.
    for order in [&["--order", "hamming"][..], &["--order", "cosine"], &["--under", "photos"]] {
        let answer = search(&env, &[&["small/3.png"], order].concat());
        assert_eq!(name(&hits(&answer)[0]), "3.png", "{order:?}");
        assert!(hits(&answer)[0]["region"].is_object(), "{order:?}: {answer}");
    }
    let none = search(&env, &["small/3.png", "--under", "small"]);
    assert!(hits(&none).is_empty());
}

#[test]
fn regions_follow_their_images() {
    let env = photos();
    index(&env, &["--regions", "2"]);
    assert_eq!((stored(&env), index(&env, &[])["unchanged"].as_u64()), (4, Some(4)));
    // Moved, copied, changed and removed files.
    fs::rename(env.path("photos/0.png"), env.path("photos/moved.png")).unwrap();
    fs::copy(env.path("photos/1.png"), env.path("photos/copy.png")).unwrap();
    large(9, 9).save(env.path("photos/2.png")).unwrap();
    fs::remove_file(env.path("photos/3.png")).unwrap();
    let report = index(&env, &[]);
    assert_eq!((&report["moved"], &report["copied"]), (&json!(1), &json!(1)));
    assert_eq!(stored(&env), 4);
    let answer = search(&env, &["small/1.png", "-k", "2", "--order", "hamming"]);
    let found = hits(&answer);
    assert_eq!(found[0]["region"], found[1]["region"]);
    assert_eq!(
        (found[0]["distance"].as_u64(), name(&found[0])),
        (found[1]["distance"].as_u64(), "1.png")
    );
    assert_eq!(name(&hits(&search(&env, &["small/0.png"]))[0]), "moved.png");

    // Another number, features of regions, and none again. The file has its earlier format then.
    let version = || {
        let connection = rusqlite::Connection::open(env.path("i.db")).unwrap();
        connection.pragma_query_value(None, "user_version", |row| row.get::<_, i64>(0)).unwrap()
    };
    assert_eq!(version(), 6);
    index(&env, &["--regions", "4"]);
    assert_eq!((stored(&env), version()), (4, 6));
    let report = index(&env, &["--regions", "0"]);
    assert_eq!((stored(&env), version(), &report["regions"]), (0, 3, &json!(0)));
    assert!(search(&env, &["small/1.png"])["results"][0].get("region").is_none());
    let said = env.misused(&["index", "photos", "--regions", "17"]);
    assert!(said.contains("choose 0 to 16 regions"), "{said}");
}

#[test]
fn regions_get_the_codes_of_a_fitted_hash_too() {
    let env = photos();
    index(&env, &["--regions", "2"]);
    let codes = || {
        let connection = rusqlite::Connection::open(env.path("i.db")).unwrap();
        let sql = "SELECT codes FROM regions ORDER BY id";
        let mut statement = connection.prepare(sql).unwrap();
        let rows = statement.query_map([], |row| row.get::<_, Vec<u8>>(0)).unwrap();
        rows.collect::<Result<Vec<_>, _>>().unwrap()
    };
    let general = codes();
    index(&env, &["--fit", "now"]);
    let fitted = codes();
    assert!(general.iter().zip(&fitted).all(|(a, b)| a.len() == b.len() && a != b));
    assert!(Index::open(&env.path("i.db")).unwrap().fitted().is_some());
    for number in 0..4 {
        let answer = search(&env, &[&format!("small/{number}.png")]);
        assert!(hits(&answer)[0]["region"].is_object(), "{answer}");
        assert!(hits(&answer)[0]["score"].as_f64().unwrap() > 0.3, "{answer}");
    }
    // The same codes as if the images were indexed with this hash from the beginning.
    index(&env, &["--again"]);
    assert_eq!(codes(), fitted);
    large(8, 8).save(env.path("photos/new.png")).unwrap();
    index(&env, &[]);
    assert_eq!((codes().len(), &codes()[..4]), (5, &fitted[..]));
}

#[test]
fn pictures_in_which_nothing_stands_out_have_no_regions() {
    let env = TestEnv::new();
    fs::create_dir(env.path("photos")).unwrap();
    for number in 0..3 {
        let plain = RgbImage::from_pixel(90, 60, Rgb([number * 80; 3]));
        plain.save(env.path(&format!("photos/{number}.png"))).unwrap();
    }
    index(&env, &["--regions", "2"]);
    index(&env, &["--fit", "now"]);
    let connection = rusqlite::Connection::open(env.path("i.db")).unwrap();
    connection
        .execute_batch(
            "UPDATE regions SET areas = substr(areas, 1, 8), codes = x'', features = x''",
        )
        .unwrap();
    drop(connection);
    index(&env, &["--fit", "now"]);
    let answer = search(&env, &["photos/1.png"]);
    assert_eq!(hits(&answer).len(), 3);
    assert!(hits(&answer).iter().all(|hit| hit.get("region").is_none()), "{answer}");
    assert_eq!(stored(&env), 3);
    // Damaged features are told, and are no panic.
    let connection = rusqlite::Connection::open(env.path("i.db")).unwrap();
    connection.execute_batch("UPDATE regions SET features = x'0102'").unwrap();
    drop(connection);
    let error = env.fails(&["index", "photos", "--index", "i.db", "--fit", "now"]);
    assert!(error.contains("features"), "{error}");
}

#[test]
fn damaged_regions_are_told() {
    let env = photos();
    index(&env, &["--regions", "2"]);
    for (damage, said) in [
        ("UPDATE regions SET areas = x'00'", "more regions than codes"),
        ("UPDATE regions SET codes = x'00'", "bytes"),
        ("UPDATE meta SET value = '99' WHERE key = 'regions'", "number of regions is damaged"),
        ("DELETE FROM meta WHERE key = 'regions'", "damaged"),
        ("DROP TABLE regions", "damaged"),
    ] {
        fs::copy(env.path("i.db"), env.path("bad.db")).unwrap();
        let connection = rusqlite::Connection::open(env.path("bad.db")).unwrap();
        connection.execute_batch(damage).unwrap();
        drop(connection);
        let error = env.fails(&["search", "small/0.png", "--index", "bad.db"]);
        assert!(error.contains(said), "{damage}: {error}");
    }
}

#[test]
fn a_part_of_an_image_is_searched_for() {
    let env = photos();
    env.ok(&["index", "small", "--index", "i.db"]);
    let [x, y, width, height] = PLACE;
    for number in 0..4 {
        let image = format!("photos/{number}.png");
        let crop = format!("{x},{y},{width},{height}");
        let answer = search(&env, &[&image, "--crop", &crop]);
        assert_eq!(answer["crop"], json!(crop));
        assert_eq!(name(&hits(&answer)[0]), format!("{number}.png"), "{answer}");
        // The same part in percent.
        let same = search(&env, &[&image, "--crop", "60%,40%,20%,26.6667%"]);
        assert_eq!(same["results"], answer["results"]);
    }
    // All of a square image is the image itself, which is not told from others then.
    let whole = search(&env, &["small/1.png", "--order", "hamming"]);
    let all = search(&env, &["small/1.png", "--crop", "0,0,100%,100%", "--order", "hamming"]);
    assert_eq!((&hits(&whole)[0]["same"], &hits(&all)[0]["same"]), (&json!(true), &json!(false)));
    assert_eq!((name(&hits(&all)[0]), &hits(&all)[0]["distance"]), ("1.png", &json!(0)));

    let error = env.fails(&["search", "small/1.png", "--crop", "9000,0,5,5", "--index", "i.db"]);
    assert!(error.contains("lies outside the picture"), "{error}");
    let error = env.misused(&["search", "small/1.png", "--crop", "1,2,3", "--index", "i.db"]);
    assert!(error.contains("X,Y,WIDTH,HEIGHT"), "{error}");
    let error = env.fails(&["search", "gone.png", "--crop", "1,2,3,4", "--index", "i.db"]);
    assert!(error.contains("gone.png"), "{error}");
}

#[cfg(unix)]
#[test]
fn the_page_searches_for_a_part_and_shows_the_regions_of_hits() {
    use crate::common::browser::Browser;
    use crate::common::page::Page;

    let env = photos();
    index(&env, &["--regions", "2"]);
    let page = Page::start(&env, &[]);
    // As the command does it, of a sent image and of an indexed one.
    let [x, y, width, height] = PLACE;
    let crop = format!("{x},{y},{width},{height}");
    let expected = search(&env, &["photos/1.png", "--crop", &crop, "-k", "24"]);
    let image = fs::read(env.path("photos/1.png")).unwrap();
    let sent = page.search(&format!("?crop={crop}"), &image);
    assert_eq!(sent["results"], expected["results"]);
    assert!(sent["results"][0]["region"].is_object(), "{sent}");
    let own = page.id("1.png");
    let of_id = format!("/api/images/{own}/similar?crop=60%25,40%25,20%25,26.6667%25");
    assert_eq!(page.json(&of_id)["results"], expected["results"]);
    for (area, said) in [("9000,0,5,5", "lies outside the picture"), ("a", "is not an area")] {
        let path = format!("/api/images/{own}/similar?crop={area}");
        let sentence = page.ask("GET", &path, &[]).sentence(400);
        assert!(sentence.contains(said), "{sentence}");
    }

    fs::create_dir(env.path("browser")).unwrap();
    let Some(mut browser) = Browser::start(&env.path("browser")) else { return };
    browser.visit(&page.url);
    browser.wait_for("document.querySelectorAll('.hit').length === 4");
    browser.value(&format!("document.querySelector('.hit[data-id=\"{own}\"]').click()"));
    browser
        .wait_for("document.getElementById('preview-image').naturalWidth > 0 && location.search");
    browser.value("document.getElementById('crop-start').click()");
    browser.wait_for("document.activeElement.id === 'large-box'");
    browser.press("ArrowRight", 39, None);
    browser.press("Enter", 13, None);
    browser.wait_for("location.search.includes('crop=27%25%2C25%25%2C50%25%2C50%25')");
    browser.wait_for(
        "document.getElementById('title').textContent === 'What looks most like this part'",
    );
    browser.wait_for("!document.getElementById('preview-box').hidden");
    browser.value("document.getElementById('crop-whole').click()");
    browser.wait_for(&format!("location.search === '?id={own}'"));
    browser.wait_for("document.getElementById('preview-box').hidden");
    browser.value("history.back()");
    browser.wait_for("location.search.includes('crop=')");
    browser.value(&format!("void go('/?id={own}&crop=60%25,40%25,20%25,27%25')"));
    browser
        .wait_for("document.querySelector('.hit .region') && document.querySelector('.in-part')");
}
