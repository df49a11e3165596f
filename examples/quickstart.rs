//! The complete workflow on generated images: trains a model, evaluates it, indexes a folder and
//! searches it.
//!
//! `cargo run --release --example quickstart [FOLDER]` writes everything to FOLDER (default:
//! `quickstart`), for further use with the `barbule` program.

use std::error::Error;
use std::f32::consts::TAU;
use std::path::PathBuf;

use ::image::{Rgb, RgbImage};
use barbule::dataset::Dataset;
use barbule::method::lda;
use barbule::train::{ShallowPlan, Split, evaluate, fit_shallow};
use barbule::{Collection, Device, DeviceChoice, Labels, Model, Task, UpdateOptions};

/// Kinds of flowers: (name, petals, petal colour, colour of the centre). Neighbours in the list
/// differ in one or two properties.
const KINDS: [(&str, f32, [u8; 3], [u8; 3]); 6] = [
    ("five-white-yellow", 5.0, [240, 240, 245], [240, 200, 40]),
    ("five-white-purple", 5.0, [240, 240, 245], [110, 40, 130]),
    ("eight-white-yellow", 8.0, [240, 240, 245], [240, 200, 40]),
    ("five-pink-yellow", 5.0, [240, 120, 160], [240, 200, 40]),
    ("eight-pink-yellow", 8.0, [240, 120, 160], [240, 200, 40]),
    ("eight-pink-purple", 8.0, [240, 120, 160], [110, 40, 130]),
];

fn main() -> Result<(), Box<dyn Error>> {
    let folder = PathBuf::from(std::env::args().nth(1).unwrap_or("quickstart".to_owned()));
    let (photos, file) = (folder.join("flowers"), folder.join("flowers.safetensors"));
    for split in ["train", "test"] {
        for (kind, (name, ..)) in KINDS.iter().enumerate() {
            let folder = photos.join(split).join(name);
            std::fs::create_dir_all(&folder)?;
            for i in 0..20 {
                let seed = (kind * 1000 + i * 2 + usize::from(split == "test")) as u32;
                draw(kind, seed).save(folder.join(format!("{i:02}.png")))?;
            }
        }
    }
    println!("drew {} flowers of {} kinds in {}", 40 * KINDS.len(), KINDS.len(), photos.display());

    // A hardware GPU if available, else all CPU cores.
    let device = Device::open(DeviceChoice::Auto, None)?;
    let task = Task::unwatched();
    let dataset = Dataset::open(&photos, None, 1)?;
    let plan = ShallowPlan::new(&lda::METHOD, 32).with(|plan| plan.size = 160);
    fit_shallow(&plan, &dataset, &file, &device, &task)?;
    let model = Model::open(&file, &device)?;
    let figures = evaluate(&model, &dataset, Split::Test, true, &plan.limits, &task)?;
    println!("mAP with {} bits:     {:.3}", plan.bits, figures.network.known.map);
    if let Some(float) = figures.float {
        println!("mAP with 1280 floats: {:.3}", float.known.map);
    }

    let path = folder.join("flowers.db");
    let collection = Collection::open_or_create(&path, model, &device)?;
    let options = UpdateOptions::default().with_labels(Labels::Folder).with_limits(plan.limits);
    collection.update(&[photos.join("train")], &options, &task)?;
    println!("indexed {} images in {}", collection.len(), path.display());

    let query = photos.join("test/five-pink-yellow/03.png");
    println!("\nnearest to {}:", query.display());
    for hit in collection.search_file(&query, 5)? {
        println!("  {} bits away: {}", hit.distance, hit.path);
    }
    Ok(())
}

/// Draws a flower on grass, at a random position, size and angle.
fn draw(kind: usize, seed: u32) -> RgbImage {
    let (_, petals, petal, centre) = KINDS[kind];
    let mut state = seed.wrapping_mul(2_654_435_761) ^ 0x9e37_79b9;
    let mut random = || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        (state >> 8) as f32 / (1 << 24) as f32
    };
    let (x0, y0) = (90.0 + 60.0 * random(), 90.0 + 60.0 * random());
    let (radius, angle, light) = (55.0 + 30.0 * random(), TAU * random(), 0.75 + 0.25 * random());
    RgbImage::from_fn(240, 240, |x, y| {
        let (dx, dy) = (x as f32 - x0, y as f32 - y0);
        let (distance, direction) = (dx.hypot(dy) / radius, dy.atan2(dx) + angle);
        let edge = 0.55 + 0.45 * (direction * petals / 2.0).cos().abs();
        let noise = 14.0 * random();
        let colour = match distance {
            d if d < 0.25 => centre.map(f32::from),
            d if d < edge => petal.map(|c| f32::from(c) * (0.8 + 0.2 * d / edge)),
            _ => [60.0 + noise, 110.0 + 2.0 * noise, 50.0 + noise],
        };
        Rgb(colour.map(|c| (c * light) as u8))
    })
}
