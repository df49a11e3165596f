/*!
The demo's report: one HTML file with everything in it.
*/

use std::path::Path;

use ::image::codecs::jpeg::JpegEncoder;
use ::image::imageops::{FilterType, resize};
use ::image::{ImageResult, RgbImage};
use anyhow::Result;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::results::{Row, Search, species};
use super::scan::Scan;
use crate::eval::pointing::Pointing;
use crate::image::{self, Limits};
use barbule_aviary::Aviary;

/// Width and height of a bird in the report, in pixels.
const THUMBNAIL: u32 = 144;
/// JPEG quality in the report.
const QUALITY: u8 = 82;
/// Width and height of the plot, in its own units.
const PLOT: (f64, f64) = (460.0, 280.0);
/// Margin for the plot's axis labels.
const MARGIN: f64 = 38.0;
/// Colours of the methods' curves, readable on light and dark.
const COLOURS: [&str; 3] = ["#8a8f98", "#3f8fd2", "#e0782a"];

const STYLE: &str = "
:root { color-scheme: light dark; --ink: #1d2a25; --soft: #5d6b64; --paper: #fbfaf5; --card: #ffffff;
  --line: #dcdcd0; --right: #2e8b57; --wrong: #c2453a; --accent: #b5541c; }
@media (prefers-color-scheme: dark) { :root { --ink: #e9ebe4; --soft: #a3ada6; --paper: #141a18;
  --card: #1d2522; --line: #35403b; --right: #5fc48c; --wrong: #ee8478; --accent: #f0a060; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink);
  font: 16px/1.55 system-ui, -apple-system, 'Segoe UI', Roboto, sans-serif; }
main { max-width: 1120px; margin: 0 auto; padding: 24px 18px 64px; }
h1 { font-size: clamp(1.7rem, 5vw, 2.6rem); line-height: 1.15; margin: .3em 0 .2em; }
h2 { font-size: 1.25rem; margin: 2.2em 0 .5em; }
p { max-width: 70ch; margin: .4em 0 .9em; } .soft { color: var(--soft); }
.card { background: var(--card); border: 1px solid var(--line); border-radius: 12px; padding: 14px;
  margin: 0 0 14px; }
.row { display: grid; grid-template-columns: 128px 1fr; gap: 16px; align-items: center; }
.query img { width: 100%; border-radius: 8px; display: block; }
.query .name { font-weight: 600; font-size: .9rem; line-height: 1.25; margin-top: .35em; }
.hits { display: grid; grid-template-columns: repeat(10, 1fr); gap: 6px; }
.hit img { width: 100%; border-radius: 6px; display: block; border: 3px solid var(--wrong); }
.hit.right img { border-color: var(--right); }
.hit .note { font-size: .72rem; color: var(--wrong); text-align: center; line-height: 1.2; margin-top: 2px; }
.hit.right .note { color: var(--right); }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { text-align: right; padding: .45em .6em; border-bottom: 1px solid var(--line); }
th:first-child, td:first-child { text-align: left; } th { font-weight: 600; color: var(--soft); }
tr:last-child td { border-bottom: 0; } .wide { overflow-x: auto; }
.look img { width: 100%; border-radius: 8px; display: block; margin-bottom: 10px; }
svg { width: 100%; max-width: 560px; height: auto; display: block; }
svg text { fill: var(--soft); font-size: 12px; } svg .axis { stroke: var(--line); }
.legend { display: flex; gap: 18px; flex-wrap: wrap; margin-top: .5em; }
.swatch { display: inline-block; width: 18px; height: 4px; border-radius: 2px; margin-right: 6px;
  vertical-align: middle; }
pre { background: var(--card); border: 1px solid var(--line); border-radius: 12px; padding: 14px;
  overflow-x: auto; font-size: .88rem; line-height: 1.5; }
@media (max-width: 720px) { .row { grid-template-columns: 1fr; }
  .query { display: grid; grid-template-columns: 110px 1fr; gap: 12px; align-items: center; }
  .hits { grid-template-columns: repeat(5, 1fr); } }
";

/// The contents of the page.
pub struct Report<'a> {
    pub aviary: &'a Aviary,
    pub rows: &'a [Row],
    pub searches: &'a [Search],
    pub looks: &'a [RgbImage],
    pub pointing: Option<Pointing>,
    pub scan: &'a Scan,
    pub images: usize,
    pub bits: usize,
    pub device: String,
    pub seconds: f64,
}

/// Renders the page.
///
/// # Errors
/// If a picture cannot be read or encoded.
pub fn render(report: &Report<'_>) -> Result<String> {
    let searches: Result<Vec<Markup>> = report.searches.iter().map(search).collect();
    let looks: Result<Vec<String>> = report.looks.iter().map(|look| Ok(data(look)?)).collect();
    let species = report.aviary.species().len();
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { "Barbule: " (report.images) " birds that all look alike" }
                style { (PreEscaped(STYLE)) }
            }
            body {
                main {
                    h1 { (report.images) " birds that all look alike" }
                    p {
                        "Barbule drew these birds a moment ago, " (species) " species in pairs that differ in "
                        "one part alone: a beak, a crown, an eye ring, a wing bar, a breast or a tail. It learned "
                        "codes of " (report.bits) " bits (" (report.bits.div_ceil(8)) " bytes a bird) and searched with them, on "
                        (report.device) ", in " (format!("{:.0}", report.seconds)) " seconds, with no network."
                    }
                    h2 { "Look for a bird, find its kind" }
                    p class="soft" {
                        "Each row shows a query and its ten nearest neighbours by the codes of Plume, which are words of "
                        "4 bits. Green is the same species. The number is the distance: 0 for equal images, 2000 for "
                        "unrelated ones. The last queries are of species that were held out of training: the hardest case."
                    }
                    @for search in searches? { (search) }
                    h2 { "Attention" }
                    p class="soft" {
                        "Each bird, and the attention of each of ExchNet's parts: in colour where it is strong, dark where it is weak."
                        @if let Some(Pointing { images, share, chance }) = report.pointing {
                            " In " (images) " test images the strongest attention lies on the part that distinguishes the species in "
                            (percent(share)) "; by chance it would in " (percent(chance)) "."
                        }
                    }
                    div class="look" { @for look in looks? { img src=(look) alt="A bird, and the attention of each part over it"; } }
                    h2 { "Accuracy" }
                    div class="card wide" { (table(report)) }
                    p class="soft" {
                        "mAP is the mean average precision over the whole ranking: 1 if all birds of the same species come first. "
                        "Unseen species were held out of training; among new images, the other species are shown by pictures that training did not use either. "
                        "No query image was used for training."
                    }
                    div class="card" { (curves(report.rows)) }
                    h2 { "Cost of a search" }
                    div class="card wide" { (costs(report.scan)) }
                    h2 { "With your own photos" }
                    pre { (NEXT) }
                }
            }
        }
    };
    Ok(page.into_string())
}

const NEXT: &str = "\
# index any folders, and search them with a photo: nothing to train
barbule index ~/Pictures
barbule search photo.jpg -k 10

# photos in one folder per class: train, evaluate, and search with your own model
barbule train plume-words --data my-photos/ --bits 64 --out mine.safetensors
barbule eval --model mine.safetensors --data my-photos/
barbule index my-photos/ --model mine.safetensors --index mine.db
barbule search photo.jpg --model mine.safetensors --index mine.db

# train a network with parts, and draw its attention
barbule train exchnet --guide 30 --data my-photos/ --bits 64 --out parts.safetensors
barbule explain photo.jpg --model parts.safetensors --out look/";

fn search(search: &Search) -> Result<Markup> {
    let own = species(&search.query.path);
    let mut hits = Vec::new();
    for (path, right, distance) in search.neighbours() {
        hits.push((species(path), thumbnail(path)?, right, distance));
    }
    let picture = thumbnail(&search.query.path)?;
    let right = hits.iter().filter(|(_, _, right, _)| *right).count();
    Ok(html! {
        div class="card row" {
            div class="query" {
                img src=(picture) alt=(own);
                div {
                    div class="name" { (own) }
                    div class="soft" {
                        (right) " of " (hits.len()) " right"
                        @if !search.known { ", a species it was never trained on" }
                    }
                }
            }
            div class="hits" {
                @for (name, picture, right, distance) in &hits {
                    div class=(if *right { "hit right" } else { "hit" }) title=(name) {
                        img src=(picture) alt=(name);
                        div class="note" { (if *right { "✓" } else { "✗" }) " " (distance) }
                    }
                }
            }
        }
    })
}

fn table(report: &Report<'_>) -> Markup {
    html! {
        table {
            thead { tr { th { "method" } th { "mAP known" } th { "mAP unseen" } th { "among new images" } th { "training" } } }
            tbody {
                @for row in report.rows {
                    tr {
                        td { (title(row.method)) }
                        td { (format!("{:.3}", row.known)) }
                        td { (format!("{:.3}", row.unseen)) }
                        td { (format!("{:.3}", row.unseen_fresh)) }
                        td { (format!("{:.0} s", row.seconds)) }
                    }
                }
            }
        }
    }
}

fn costs(scan: &Scan) -> Markup {
    let rows = [
        ("codes", scan.code_bytes, scan.code_nanoseconds),
        ("floating-point features, by cosine", scan.float_bytes, scan.float_nanoseconds),
    ];
    html! {
        table {
            thead { tr { th { "search by" } th { "bytes per image" } th { "ns per image" } th { "a million images" } } }
            tbody {
                @for (name, bytes, nanoseconds) in rows {
                    tr {
                        td { (name) }
                        td { (bytes) }
                        td { (format!("{nanoseconds:.1}")) }
                        td {
                            (format!("{:.0} MB, {:.1} ms", bytes as f64, nanoseconds))
                        }
                    }
                }
            }
        }
    }
}

/// Draws precision over recall as inline SVG.
fn curves(rows: &[Row]) -> Markup {
    let (width, height) = PLOT;
    let x = |recall: f64| MARGIN + recall * (width - 2.0 * MARGIN);
    let y = |precision: f64| height - MARGIN - precision * (height - 1.6 * MARGIN);
    let points = |curve: &[(f64, f64)]| -> String {
        let points = curve.iter().map(|(r, p)| format!("{:.1},{:.1}", x(*r), y(*p)));
        points.collect::<Vec<_>>().join(" ")
    };
    let coloured = || rows.iter().zip(COLOURS.iter().cycle());
    html! {
        svg viewBox=(format!("0 0 {width} {height}")) role="img" aria-label="Precision over recall" {
            @for tick in [0.0, 0.25, 0.5, 0.75, 1.0] {
                line class="axis" x1=(x(0.0)) x2=(x(1.0)) y1=(y(tick)) y2=(y(tick)) {}
                text x=(x(0.0) - 6.0) y=(y(tick) + 4.0) text-anchor="end" { (tick) }
                text x=(x(tick)) y=(y(0.0) + 16.0) text-anchor="middle" { (tick) }
            }
            text x=(x(0.5)) y=(height - 4.0) text-anchor="middle" { "recall" }
            text x=(x(0.0) - 6.0) y=(12.0) text-anchor="start" { "precision" }
            @for (row, colour) in coloured() {
                polyline points=(points(&row.curve)) fill="none" stroke=(colour) stroke-width="2.5" {}
            }
        }
        div class="legend" {
            @for (row, colour) in coloured() {
                span { span class="swatch" style=(format!("background:{colour}")) {} (title(row.method)) }
            }
        }
    }
}

fn title(method: &str) -> &str {
    match method {
        "lsh" => "LSH (no training)",
        "plume-words" => "Plume, words",
        "exchnet" => "ExchNet",
        other => other,
    }
}

fn percent(share: f64) -> String {
    format!("{:.0} %", share * 100.0)
}

fn thumbnail(path: &Path) -> Result<String> {
    let picture = image::open(path, &Limits::default())?;
    Ok(data(&resize(&picture, THUMBNAIL, THUMBNAIL, FilterType::CatmullRom))?)
}

/// Returns a picture as a JPEG data URL.
fn data(picture: &RgbImage) -> ImageResult<String> {
    let mut bytes = Vec::new();
    picture.write_with_encoder(JpegEncoder::new_with_quality(&mut bytes, QUALITY))?;
    Ok(format!("data:image/jpeg;base64,{}", STANDARD.encode(bytes)))
}
