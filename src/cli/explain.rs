/*!
`barbule explain`: where a model looks.
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

/// Draw where a model looks: each part's attention over the image
///
/// Writes part-1.png, part-2.png, … and all.png, the image and all parts side by side. With a second
/// image also pair.png, both one above the other, and says which parts made the codes agree: how many
/// bits would differ without each part.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example: barbule explain bird.jpg --model birds.safetensors --out look/\n         \
                  barbule explain bird.jpg hit.jpg --model birds.safetensors --out look/"
)]
pub struct Args {
    /// The image
    #[arg(value_name = "IMAGE", value_hint = ValueHint::FilePath)]
    image: PathBuf,
    /// Another one, to compare: a search's hit, for instance
    #[arg(value_name = "OTHER", value_hint = ValueHint::FilePath)]
    other: Option<PathBuf>,
    /// The model file; one that attends to parts (exchnet) or to what is salient (dsah)
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    model: PathBuf,
    /// The folder for the pictures
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
                .print(format_args!("part {part} weighs places by {least:.2} to {greatest:.2}"))?;
        }
        for (a, b, likeness) in likeness {
            context.print(format_args!(
                "parts {a} and {b}: correlation {likeness:.2} (1: they look at the same places)"
            ))?;
        }
    }
    if let Some(pair) = pair.as_ref().filter(|_| !context.json) {
        context
            .print(format_args!("the codes differ in {} of {} bits", pair.distance, pair.bits))?;
        for (number, share) in (1..).zip(&pair.shares) {
            let name = match number == pair.shares.len() {
                true => "the image as a whole".to_owned(),
                false => format!("part {number}"),
            };
            context.print(format_args!(
                "{name}: {} bits would differ without it, {} by it alone",
                share.without, share.alone
            ))?;
        }
    }
    for (part, map) in (1..).zip(&attention.maps) {
        if greatest(map) == 0.0 {
            context.warn(format_args!("part {part} looks at nothing in this image"));
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn document(pair: &Pair) -> serde_json::Value {
    let shares = pair.shares.iter().map(|s| json!({ "alone": s.alone, "without": s.without }));
    json!({ "distance": pair.distance, "bits": pair.bits, "shares": shares.collect::<Vec<_>>() })
}
