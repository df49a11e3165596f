/*!
The demo's searches as one picture.
*/

use ::image::imageops::{FilterType, overlay, resize};
use ::image::{Rgb, RgbImage};
use anyhow::Result;

use super::results::Search;
use crate::image::{self, Limits};

/// Sizes of a query and of a hit, and the gap between them, in pixels.
const QUERY: u32 = 132;
const HIT: u32 = 96;
const GAP: u32 = 10;
/// Width of the green or red frame, in pixels.
const FRAME: u32 = 4;
const PAPER: Rgb<u8> = Rgb([251, 250, 245]);
const RIGHT: Rgb<u8> = Rgb([46, 139, 87]);
const WRONG: Rgb<u8> = Rgb([194, 69, 58]);

/// Draws one row per search: the query, then its hits, framed green if they show the query's
/// species and red otherwise.
///
/// # Errors
/// If a picture cannot be read.
pub fn sheet(searches: &[Search]) -> Result<RgbImage> {
    let most = searches.iter().map(|search| search.neighbours().count()).max().unwrap_or(0) as u32;
    let width = GAP + QUERY + 2 * GAP + most * (HIT + GAP);
    let height = GAP + searches.len() as u32 * (QUERY + GAP);
    let mut sheet = RgbImage::from_pixel(width, height, PAPER);
    for (row, search) in (0..).zip(searches) {
        let top = GAP + row * (QUERY + GAP);
        let picture = search.query.open(&Limits::default())?;
        let picture = resize(&picture, QUERY, QUERY, FilterType::CatmullRom);
        overlay(&mut sheet, &picture, i64::from(GAP), i64::from(top));
        for (column, (path, right, _)) in (0..).zip(search.neighbours()) {
            let mut frame = RgbImage::from_pixel(HIT, HIT, if right { RIGHT } else { WRONG });
            let inner = HIT - 2 * FRAME;
            let picture = resize(
                &image::open(path, &Limits::default())?,
                inner,
                inner,
                FilterType::CatmullRom,
            );
            overlay(&mut frame, &picture, i64::from(FRAME), i64::from(FRAME));
            let left = GAP + QUERY + 2 * GAP + column * (HIT + GAP);
            overlay(&mut sheet, &frame, i64::from(left), i64::from(top + (QUERY - HIT) / 2));
        }
    }
    Ok(sheet)
}
