/*!
`barbule explain`: draws the attention maps of a model.
*/

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use clap::ValueHint;
use serde_json::json;

use super::Context;
use crate::explain::Pair;
use crate::image;
use crate::model::Model;

/// Show where a model looks in an image, as attention maps
///
/// Writes one overlay per attention map (part-1.png, part-2.png, …) and all.png, which shows the
/// image and all overlays side by side. With a second image, also writes pair.png, which shows both
/// images one above the other. Then it prints how many bits of the two codes would differ without
/// each part. If the number is above the distance of the codes, the part makes them agree; if
/// below, it makes them differ.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example: barbule explain bird.jpg --model birds.safetensors --out look/\n         \
                  barbule explain bird.jpg hit.jpg --model birds.safetensors --out look/"
)]
pub struct Args {
    /// The image file
    #[arg(value_name = "IMAGE", value_hint = ValueHint::FilePath)]
    image: PathBuf,
    /// A second image to compare with, for example a search result
    #[arg(value_name = "OTHER", value_hint = ValueHint::FilePath)]
    other: Option<PathBuf>,
    /// The model file, of a method with attention: exchnet (parts) or dsah (saliency)
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    model: PathBuf,
    /// The output folder
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    out: PathBuf,
}

pub fn run(context: &Context, args: &Args) -> Result<ExitCode> {
    let model = Model::open(&args.model, &context.device()?)?;
    let picture = image::open(&args.image, &context.limits)?;
    let other = args.other.as_ref().map(|other| image::open(other, &context.limits)).transpose()?;
    let pair = other.map(|other| model.explain(&picture, &other)).transpose()?;
    let attention = match &pair {
        Some(pair) => pair.first.clone(),
        None => model.attention(&picture)?,
    };
    let parts = attention.maps.len();
    std::fs::create_dir_all(&args.out)
        .with_context(|| format!("cannot make the folder {}", args.out.display()))?;
    let mut files = Vec::new();
    let pictures =
        (0..parts).map(|part| (format!("part-{}.png", part + 1), attention.overlay(part)));
    for (name, picture) in pictures.chain([("all.png".to_owned(), attention.all())]) {
        let path = args.out.join(name);
        picture.save(&path).with_context(|| format!("cannot write {}", path.display()))?;
        files.push(path.display().to_string());
    }
    if let Some(pair) = &pair {
        let path = args.out.join("pair.png");
        let saved = pair.sheet().save(&path);
        saved.with_context(|| format!("cannot write {}", path.display()))?;
        files.push(path.display().to_string());
    }
    let greatest = |map: &Vec<f32>| map.iter().copied().fold(0f32, f32::max);
    let least = |map: &Vec<f32>| map.iter().copied().fold(f32::MAX, f32::min);
    let pairs = (0..parts).flat_map(|a| (a + 1..parts).map(move |b| (a, b)));
    let likeness: Vec<_> = pairs.map(|(a, b)| (a + 1, b + 1, attention.likeness(a, b))).collect();
    if context.json {
        context.print_json(&json!({
            "image": args.image.display().to_string(),
            "files": files,
            "least": attention.maps.iter().map(least).collect::<Vec<_>>(),
            "greatest": attention.maps.iter().map(greatest).collect::<Vec<_>>(),
            "pair": pair.as_ref().map(document),
            "likeness": likeness.iter().map(|(a, b, c)| json!({ "parts": [a, b], "correlation": c })).collect::<Vec<_>>(),
        }))?;
    } else {
        context.print(format_args!("{} pictures in {}", files.len(), args.out.display()))?;
        for (part, map) in (1..).zip(&attention.maps) {
            let (least, greatest) = (least(map), greatest(map));
            context
                .print(format_args!("part {part}: attention from {least:.2} to {greatest:.2}"))?;
        }
        for (a, b, likeness) in likeness {
            context.print(format_args!(
                "parts {a} and {b}: correlation {likeness:.2} (1: same regions)"
            ))?;
        }
    }
    if let Some(pair) = pair.as_ref().filter(|_| !context.json) {
        context
            .print(format_args!("the codes differ in {} of {} bits", pair.distance, pair.bits))?;
        for (number, share) in (1..).zip(&pair.shares) {
            let name = if number == pair.shares.len() {
                "the image as a whole".to_owned()
            } else {
                format!("part {number}")
            };
            context.print(format_args!(
                "{name}: {} bits would differ without it, {} with it alone",
                share.without, share.alone
            ))?;
        }
    }
    for (part, map) in (1..).zip(&attention.maps) {
        if greatest(map) == 0.0 {
            context.warn(format_args!("part {part} has no attention anywhere in this image"));
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn document(pair: &Pair) -> serde_json::Value {
    let shares = pair.shares.iter().map(|s| json!({ "alone": s.alone, "without": s.without }));
    json!({ "distance": pair.distance, "bits": pair.bits, "shares": shares.collect::<Vec<_>>() })
}
