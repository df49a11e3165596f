/*!
Pictures as people have them: in other colour spaces than sRGB, and in every format.
*/

use std::fs;
use std::io::Cursor;
use std::path::Path;

use image::codecs::jpeg::JpegEncoder;
use image::codecs::png::PngEncoder;
use image::{ExtendedColorType, ImageEncoder, RgbImage};
use moxcms::{ColorProfile, Layout, TransformOptions};
use walkdir::WalkDir;

use crate::common::TestEnv;

/// Draws pictures of birds.
fn pictures(env: &TestEnv) -> Vec<RgbImage> {
    env.ok(&["aviary", "--species", "4", "--per-species", "2", "--out", "birds"]);
    let files = WalkDir::new(env.path("birds/images")).sort_by_file_name().into_iter().flatten();
    let files = files.filter(|file| file.file_type().is_file());
    files.map(|file| image::open(file.path()).unwrap().into_rgb8()).collect()
}

/// Returns a picture in sRGB with the numbers that mean the same colours in another space.
fn in_space(picture: &RgbImage, space: &ColorProfile) -> RgbImage {
    let srgb = ColorProfile::new_srgb();
    let options = TransformOptions::default();
    let transform = srgb.create_transform_8bit(Layout::Rgb, space, Layout::Rgb, options).unwrap();
    let mut other = RgbImage::new(picture.width(), picture.height());
    transform.transform(picture.as_raw(), &mut other).unwrap();
    other
}

/// Returns a JPEG and a PNG of a picture, with an embedded profile if there is one.
fn files(picture: &RgbImage, profile: Option<&ColorProfile>) -> [Vec<u8>; 2] {
    let (width, height) = picture.dimensions();
    let (mut jpeg, mut png) = (Vec::new(), Vec::new());
    let mut to_jpeg = JpegEncoder::new_with_quality(&mut jpeg, 95);
    let mut to_png = PngEncoder::new(Cursor::new(&mut png));
    if let Some(profile) = profile {
        to_jpeg.set_icc_profile(profile.encode().unwrap()).unwrap();
        to_png.set_icc_profile(profile.encode().unwrap()).unwrap();
    }
    to_jpeg.write_image(picture, width, height, ExtendedColorType::Rgb8).unwrap();
    to_png.write_image(picture, width, height, ExtendedColorType::Rgb8).unwrap();
    [jpeg, png]
}

fn distance(a: &str, b: &str) -> u32 {
    let bits = |code: &str| {
        let digits = code.chars().map(|digit| digit.to_digit(16).unwrap());
        digits.collect::<Vec<_>>()
    };
    bits(a).iter().zip(bits(b)).map(|(a, b)| (a ^ b).count_ones()).sum()
}

#[test]
fn pictures_in_other_colour_spaces_have_the_codes_of_their_twins() {
    let env = TestEnv::new();
    let spaces = [ColorProfile::new_display_p3(), ColorProfile::new_adobe_rgb()];
    let mut names = Vec::new();
    for (i, picture) in pictures(&env).iter().enumerate() {
        let mut write = |space: &str, files: [Vec<u8>; 2]| {
            for (file, ending) in files.iter().zip(["jpg", "png"]) {
                let name = format!("{i}-{space}.{ending}");
                env.write(&name, file);
                names.push(name);
            }
        };
        write("srgb", files(picture, None));
        for (space, name) in spaces.iter().zip(["p3", "adobe"]) {
            let twin = in_space(picture, space);
            write(name, files(&twin, Some(space)));
            write(&format!("{name}-bare"), files(&twin, None));
        }
    }
    let mut args = vec!["encode", "--device", "cpu"];
    args.extend(names.iter().map(String::as_str));
    let listed = env.ok(&args);
    let codes: Vec<&str> = listed.lines().map(|line| line.split_once("  ").unwrap().0).collect();
    // Of each picture: sRGB, then both spaces with and without a profile, each as JPEG and PNG.
    let (mut png, mut with, mut without, mut twins) = (0, 0, 0, 0);
    for (files, names) in codes.chunks(10).zip(names.chunks(10)) {
        for at in [2, 6] {
            // PNG loses only what eight bits in another space lose.
            let bits = distance(files[1], files[at + 1]);
            assert!(bits <= 10, "{} is {bits} bits from {}", names[at + 1], names[1]);
            png += bits;
            with += distance(files[0], files[at]);
            without += distance(files[0], files[at + 2]);
            twins += 1;
        }
    }
    assert!(png <= 6 * twins, "{png} bits in {twins} twins");
    assert!(3 * with < 2 * without, "JPEG: {with} bits with and {without} without profiles");
}

#[test]
fn every_format_of_the_fixtures_is_indexed() {
    let env = TestEnv::new();
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures");
    let mut expected = 0;
    for entry in fs::read_dir(fixtures).unwrap() {
        let path = entry.unwrap().path();
        let ending = path.extension().and_then(|ending| ending.to_str()).unwrap_or_default();
        let is_read = ["jpg", "png", "webp", "heic", "jxl", "jp2", "j2k"].contains(&ending);
        if is_read && !path.ends_with("arithmetic.jpg") {
            fs::create_dir_all(env.path("p")).unwrap();
            fs::copy(&path, env.path("p").join(path.file_name().unwrap())).unwrap();
            expected += 1;
        }
    }
    assert!(expected >= 20, "{expected} files");
    let report = env.json(&["index", "p", "--index", "i.db", "--device", "cpu"]);
    assert_eq!(report["added"], expected, "{report}");
    // The names of files do not matter.
    fs::rename(env.path("p/rotated.heic"), env.path("p/rotated.jfif")).unwrap();
    let report = env.json(&["index", "p", "--index", "i.db", "--device", "cpu"]);
    assert_eq!(report["moved"], 1, "{report}");
}
