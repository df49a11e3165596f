/*!
How well near duplicates are told from other photos: edits of labelled photos, searched for among
all of them.

    cargo run --release --example copies -- DATA [SPLIT] [PHOTOS]

DATA is a labelled data set, SPLIT `train`, `val` or `test` (the default). For each kind of edit the
table shows the distance of its codes from the original's, the share that is found, and how many
other photos are taken for its original: by `barbule duplicates`, and by its radius of codes alone.
*/

use std::error::Error;
use std::path::PathBuf;
use std::sync::Arc;

use barbule::dataset::{Dataset, Sample};
use barbule::image::Look;
use barbule::{BinaryCodes, Code, Device, Limits, Model, RankSearch, Ranker};
use image::codecs::jpeg::JpegEncoder;
use image::imageops::{self, FilterType};
use image::{ImageFormat, Rgb, RgbImage};
use rayon::prelude::*;

type Edit = (&'static str, fn(&RgbImage) -> RgbImage);

const EDITS: [Edit; 9] = [
    ("JPEG, quality 50", |photo| saved(photo, 50)),
    ("JPEG, quality 30", |photo| saved(photo, 30)),
    ("half size", |photo| {
        let (width, height) = ((photo.width() / 2).max(1), (photo.height() / 2).max(1));
        saved(&imageops::resize(photo, width, height, FilterType::Lanczos3), 90)
    }),
    ("5 % cropped", |photo| saved(&cropped(photo, 0.05), 90)),
    ("10 % cropped", |photo| saved(&cropped(photo, 0.1), 90)),
    ("mirrored", |photo| saved(&imageops::flip_horizontal(photo), 90)),
    ("watermark", |photo| saved(&marked(photo), 90)),
    ("brighter by a quarter", |photo| saved(&scaled(photo, 1.25), 90)),
    ("darker by a fifth", |photo| saved(&scaled(photo, 0.8), 90)),
];

fn saved(photo: &RgbImage, quality: u8) -> RgbImage {
    let mut bytes = Vec::new();
    let encoder = JpegEncoder::new_with_quality(&mut bytes, quality);
    let read = photo
        .write_with_encoder(encoder)
        .and_then(|()| image::load_from_memory_with_format(&bytes, ImageFormat::Jpeg));
    read.map(|read| read.to_rgb8()).expect("a JPEG in memory")
}

/// Removes a share of the width and of the height, half of it at each side.
fn cropped(photo: &RgbImage, share: f32) -> RgbImage {
    let cut = |length: u32| (length as f32 * share / 2.0).round() as u32;
    let (x, y) = (cut(photo.width()), cut(photo.height()));
    imageops::crop_imm(photo, x, y, photo.width() - 2 * x, photo.height() - 2 * y).to_image()
}

fn scaled(photo: &RgbImage, factor: f32) -> RgbImage {
    let mut photo = photo.clone();
    photo.iter_mut().for_each(|v| *v = (f32::from(*v) * factor).min(255.0) as u8);
    photo
}

/// Lays a band half as bright as white over a twentieth of the photo.
fn marked(photo: &RgbImage) -> RgbImage {
    let mut photo = photo.clone();
    let (width, height) = photo.dimensions();
    for y in height * 85 / 100..height * 95 / 100 {
        for x in width * 55 / 100..width * 97 / 100 {
            let Rgb(pixel) = photo.get_pixel_mut(x, y);
            // Letters, more or less.
            let dark = (x / 6 + y / 9).is_multiple_of(3);
            *pixel = pixel.map(|v| if dark { 20 } else { v / 2 + 127 });
        }
    }
    photo
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let data = arguments.next().map(PathBuf::from).ok_or("usage: copies DATA [SPLIT] [PHOTOS]")?;
    let split = arguments.next().unwrap_or_else(|| "test".to_owned());
    let most: usize = arguments.next().map_or(Ok(usize::MAX), |count| count.parse())?;
    let dataset = Dataset::open(&data, None, 1)?;
    let samples: &[Sample] = match split.as_str() {
        "train" => &dataset.train,
        "val" => &dataset.val,
        _ => &dataset.test,
    };
    let step = samples.len().div_ceil(most.max(1)).max(1);
    let model = Model::general(&Device::Cpu)?;
    let radius = u32::try_from(model.bits() * 3 / 8)?;
    let mut originals: Vec<(Code, Look)> = Vec::new();
    let mut edits: Vec<Vec<(Code, Look)>> = vec![Vec::new(); EDITS.len()];
    for sample in samples.iter().step_by(step) {
        let photo = sample.open(&Limits::default())?;
        let of =
            |photo: &RgbImage| Ok::<_, Box<dyn Error>>((model.encode(photo)?, Look::of(photo)));
        originals.push(of(&photo)?);
        for (edits, (_, edit)) in edits.iter_mut().zip(EDITS) {
            edits.push(of(&edit(&photo))?);
        }
    }
    let mut codes = BinaryCodes::new(model.bits())?;
    originals.iter().try_for_each(|(code, _)| codes.push(code))?;
    let ranker = Ranker::new(&Device::Cpu, Arc::new(codes))?;
    let found = |code: &Code| ranker.search_one(code, &RankSearch::within(radius));

    println!("{} photos ({split}), candidates within {radius} bits", originals.len());
    println!("| edit | median bits | largest | found | wrong | wrong by codes alone |");
    println!("|---|---|---|---|---|---|");
    let [mut all, mut right, mut wrong] = [0; 3];
    for (edits, (name, _)) in edits.iter().zip(EDITS) {
        let mut distances = Vec::new();
        for (one, (code, _)) in edits.iter().zip(&originals) {
            distances.push(one.0.distance(code)?);
        }
        distances.sort_unstable();
        let of_one = |(own, (code, look)): (usize, &(Code, Look))| {
            let near = found(code).expect("codes of one length");
            let like = |id: u32| look.is_like(&originals[id as usize].1);
            let others = near.iter().filter(|hit| hit.id as usize != own);
            let own = near.iter().any(|hit| hit.id as usize == own && like(hit.id));
            (usize::from(own), others.clone().filter(|hit| like(hit.id)).count(), others.count())
        };
        let sums = edits.par_iter().enumerate().map(of_one);
        let (hits, misses, near) =
            sums.reduce(|| (0, 0, 0), |a, b| (a.0 + b.0, a.1 + b.1, a.2 + b.2));
        println!(
            "| {name} | {} | {} | {:.3} | {misses} | {near} |",
            distances[distances.len() / 2],
            distances[distances.len() - 1],
            hits as f64 / edits.len() as f64,
        );
        (all, right, wrong) = (all + edits.len(), right + hits, wrong + misses);
    }
    let precision = right as f64 / (right + wrong) as f64;
    println!("recall {:.4}, precision {precision:.4}", right as f64 / all as f64);
    Ok(())
}
