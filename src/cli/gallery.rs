/*!
The page of `search --html`: pictures of the hits, in one file.
*/

use std::path::Path;

use ::image::codecs::jpeg::JpegEncoder;
use ::image::{DynamicImage, Rgb, RgbImage};
use anyhow::Result;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use maud::{DOCTYPE, Markup, PreEscaped, html};
use rayon::prelude::*;

use super::answer::Answer;
use crate::image::{self, Limits, Rect};
use crate::index::Hit;

/// The longer side of a picture in the page, in pixels: twice the displayed size, for high-density
/// screens.
const SIDE: u32 = 400;
/// Width of the line around a part, in pixels.
const LINE: u32 = 3;
/// JPEG quality.
const QUALITY: u8 = 80;

const STYLE: &str = "
:root { color-scheme: light dark; --ink: #1d2a25; --soft: #5d6b64; --paper: #fbfaf5; --card: #fff;
  --line: #dcdcd0; --accent: #b5541c; }
@media (prefers-color-scheme: dark) { :root { --ink: #e9ebe4; --soft: #a3ada6; --paper: #141a18;
  --card: #1d2522; --line: #35403b; --accent: #f0a060; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink);
  font: 15px/1.5 system-ui, -apple-system, 'Segoe UI', Roboto, sans-serif; }
main { max-width: 1280px; margin: 0 auto; padding: 24px 18px 64px; }
header { display: flex; gap: 18px; align-items: center; margin: 28px 0 14px; }
header img { width: 150px; height: 150px; object-fit: cover; border-radius: 12px; flex: none; }
h1 { font-size: 1.3rem; margin: 0; overflow-wrap: anywhere; } p { margin: .3em 0 0; color: var(--soft); }
ol { list-style: none; margin: 0; padding: 0; display: grid; gap: 14px;
  grid-template-columns: repeat(auto-fill, minmax(168px, 1fr)); }
li { background: var(--card); border: 1px solid var(--line); border-radius: 12px; overflow: hidden; }
li a img.all { object-fit: contain; }
li a { display: block; } li img, .none { width: 100%; aspect-ratio: 1; object-fit: cover; display: block; }
.none { display: grid; place-items: center; color: var(--soft); text-align: center; padding: 8px; }
.text { padding: 8px 10px 10px; } .name { font-weight: 600; overflow-wrap: anywhere; line-height: 1.3; }
.where, .far { color: var(--soft); font-size: .84rem; overflow-wrap: anywhere; line-height: 1.35; }
.far b { color: var(--accent); }
";

/// Renders the page.
///
/// # Errors
/// If a picture cannot be encoded as JPEG.
pub fn render(answers: &[Answer], limits: &Limits) -> Result<String> {
    let sections: Vec<Markup> =
        answers.iter().map(|answer| section(answer, limits)).collect::<Result<_>>()?;
    let title = answers.first().map_or("nothing", |answer| answer.query.as_str());
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { "Like " (title) }
                style { (PreEscaped(STYLE)) }
            }
            body { main { @for section in &sections { (section) } } }
        }
    };
    Ok(page.into_string())
}

fn section(answer: &Answer, limits: &Limits) -> Result<Markup> {
    // Of several query images the first is shown.
    let first = answer.query.split(" + ").next().unwrap_or_default();
    let part = |size: (u32, u32)| answer.crop.and_then(|area| area.of(size.0, size.1).ok());
    let query = picture(Path::new(first), part, limits)?;
    let pictures: Vec<Option<String>> = answer
        .results
        .par_iter()
        .map(|hit| picture(Path::new(&hit.path), |_| hit.region.map(|one| one.rect), limits))
        .collect::<Result<_>>()?;
    let count = answer.results.len();
    let name = |path: &str| match Path::new(path).file_name() {
        Some(name) => name.to_string_lossy().into_owned(),
        None => path.to_owned(),
    };
    let names: Vec<String> = answer.query.split(" + ").map(name).collect();
    Ok(html! {
        header {
            @if let Some(query) = query { img src=(query) alt="The query image"; }
            div {
                h1 title=(answer.query) { "Like " (names.join(" + ")) }
                p { (count) " hits in " (answer.index) ", " (answer.bits) "-bit codes" }
            }
        }
        ol { @for (hit, picture) in answer.results.iter().zip(&pictures) { (card(answer, hit, picture.as_deref())) } }
    })
}

fn card(answer: &Answer, hit: &Hit, picture: Option<&str>) -> Markup {
    let path = Path::new(&hit.path);
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let folder = path.parent().unwrap_or(path).to_string_lossy();
    html! {
        li title=(hit.path) {
            a href=(address(&hit.path)) {
                @match picture {
                    // All of a picture in which a part is marked, which may be at its edge.
                    Some(picture) => {
                        img class=[hit.region.map(|_| "all")] src=(picture) alt=(name) loading="lazy";
                    }
                    None => { div class="none" { "no longer readable" } }
                }
            }
            div class="text" {
                div class="name" { @if let Some(label) = &hit.label { (label) } @else { (name) } }
                div class="where" { (folder) }
                div class="far" {
                    @if hit.same { b { "the same image" } }
                    @else { b { (answer.distance(hit)) } }
                    @if let Some(score) = hit.score { ", score " (format!("{score:.3}")) }
                    @if hit.region.is_some() { ", in a part of it" }
                    @if let Some(cosine) = hit.similarity { ", cosine " (format!("{cosine:.3}")) }
                }
            }
        }
    }
}

/// Returns a path as a file URL.
fn address(path: &str) -> String {
    let path = if cfg!(windows) { path.replace('\\', "/") } else { path.to_owned() };
    let mut address = "file://".to_owned();
    if !path.starts_with('/') {
        address.push('/');
    }
    for byte in path.bytes() {
        match byte {
            b'/' | b'-' | b'_' | b'.' | b':' | b'~' => address.push(byte.into()),
            _ if byte.is_ascii_alphanumeric() => address.push(byte.into()),
            _ => address.push_str(&format!("%{byte:02X}")),
        }
    }
    address
}

/// Returns a small JPEG of a file as a data URL; `None` if it cannot be read. `part` returns the
/// rectangle to mark in a picture of a width and a height.
fn picture(
    path: &Path,
    part: impl Fn((u32, u32)) -> Option<Rect>,
    limits: &Limits,
) -> Result<Option<String>> {
    let Ok(picture) = image::open(path, limits) else { return Ok(None) };
    let (marked, width) = (part(picture.dimensions()), picture.width());
    let mut picture = DynamicImage::ImageRgb8(picture).thumbnail(SIDE, SIDE).into_rgb8();
    if let Some(rect) = marked {
        let scale = f64::from(picture.width()) / f64::from(width.max(1));
        mark(&mut picture, &rect, scale);
    }
    let mut bytes = Vec::new();
    picture.write_with_encoder(JpegEncoder::new_with_quality(&mut bytes, QUALITY))?;
    Ok(Some(format!("data:image/jpeg;base64,{}", STANDARD.encode(bytes))))
}

/// Draws the edges of a rectangle of a larger picture, in light and dark so that they are seen on
/// both.
fn mark(picture: &mut RgbImage, rect: &Rect, scale: f64) {
    let at = |pixel: u32| (f64::from(pixel) * scale).round() as u32;
    let (left, right) = (at(rect.x), at(rect.x + rect.width));
    let (top, bottom) = (at(rect.y), at(rect.y + rect.height));
    for (x, y, pixel) in picture.enumerate_pixels_mut() {
        if !(left..right).contains(&x) || !(top..bottom).contains(&y) {
            continue;
        }
        let depth = (x - left).min(right - 1 - x).min(y - top).min(bottom - 1 - y);
        if depth < LINE {
            *pixel = Rgb([255, 176, 0]);
        } else if depth < LINE + 1 {
            *pixel = Rgb([20, 20, 20]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_edges_of_a_part_are_drawn_in_its_place() {
        let mut picture = RgbImage::new(40, 30);
        let rect = Rect { x: 20, y: 10, width: 40, height: 30 };
        mark(&mut picture, &rect, 0.5);
        let marked = |x, y| picture.get_pixel(x, y).0 != [0; 3];
        assert!(marked(10, 5) && marked(29, 19) && marked(10, 12));
        assert!(!marked(9, 5) && !marked(30, 19) && !marked(20, 12) && !marked(10, 20));
    }

    #[test]
    fn addresses_keep_what_means_something_out() {
        let expected = "file:///a/what%3F%20a%23%25%22.jpg";
        assert_eq!(address("/a/what? a#%\".jpg"), expected);
    }
}
