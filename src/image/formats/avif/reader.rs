/*!
The picture of an AVIF file: its stills put together, turned and with their alpha.
*/

use ::image::metadata::Orientation;
use ::image::{DynamicImage, ImageBuffer, Pixel, Rgba};

use super::super::isobmff::{IsoBox, brands, is_cut, u16_at, u32_at};
use super::super::straight::{straighten_8, straighten_16};
use super::container::Container;
use super::planes::{Matrix, NAME, Still};
use crate::image::picture::Picture;
use crate::image::profile::Profile;
use crate::image::size::check_size;
use crate::image::{DecodeError, Limits};

/// The most tiles of a grid.
const MOST_TILES: usize = 4096;

/// Decodes the primary picture, which is the first of an animation.
///
/// The crop, the turn and the mirror that the container states are applied; the orientation in
/// EXIF repeats them, so it is not read. Transparency is kept, with straight alpha. Gain maps are
/// left out.
///
/// # Errors
/// If the picture has no pixels or more than `limits` allows, is cut off, is damaged, or is
/// derived from others in another way than as a grid.
pub(in super::super) fn read(bytes: &[u8], limits: &Limits) -> Result<Picture, DecodeError> {
    if is_cut(bytes) {
        return Err(DecodeError::Truncated(NAME));
    }
    let container = Container::read(bytes).ok_or_else(|| {
        if brands(bytes).next() == Some(b"avis") {
            let reason = "it is an animation without a still".into();
            return DecodeError::Unsupported { format: NAME, reason };
        }
        damaged("its description of a picture is incomplete")
    })?;
    let item = container.primary;
    if let Some(size) = container.properties(item).find_map(announced) {
        check_size(size, limits)?;
    }
    let colours = Tiles::read(&container, item, limits)?;
    let alpha = match container.alpha_of(item) {
        Some(alpha) => Some(Tiles::read(&container, alpha, limits)?),
        None => colours.alpha(&container, item, limits)?,
    };
    let said = Colours::of(&container, item, &colours)?;
    let premultiplied = alpha.is_some() && !container.refers_to(b"prem", item).is_empty();
    let deep = colours.stills.iter().any(|still| still.depth() > 8);
    let mut pixels = match deep {
        false => {
            let mut canvas = assemble::<u8>(&colours, alpha.as_ref(), &said)?;
            if premultiplied {
                straighten_8(&mut canvas);
            }
            match alpha {
                Some(_) => DynamicImage::ImageRgba8(canvas),
                None => DynamicImage::ImageRgb8(DynamicImage::ImageRgba8(canvas).into_rgb8()),
            }
        }
        true => {
            let mut canvas = assemble::<u16>(&colours, alpha.as_ref(), &said)?;
            if premultiplied {
                straighten_16(&mut canvas);
            }
            DynamicImage::ImageRgba16(canvas)
        }
    };
    for property in container.properties(item).take(16) {
        pixels = transform(pixels, property);
    }
    check_size((pixels.width(), pixels.height()), limits)?;
    Ok(Picture { pixels, orientation: Orientation::NoTransforms, profile: said.profile })
}

fn damaged(reason: &str) -> DecodeError {
    DecodeError::Damaged { format: NAME, reason: reason.into() }
}

/// Reads `ispe`: width and height.
fn announced(property: &IsoBox) -> Option<(u32, u32)> {
    if property.kind != *b"ispe" {
        return None;
    }
    Some((u32_at(property.content, 4)?, u32_at(property.content, 8)?))
}

fn data(container: &Container, item: u32) -> Result<Vec<u8>, DecodeError> {
    container.data(item).ok_or(DecodeError::Truncated(NAME))
}

/// The stills of a picture, row by row.
struct Tiles {
    size: (u32, u32),
    columns: usize,
    stills: Vec<Still>,
}

impl Tiles {
    fn read(container: &Container, item: u32, limits: &Limits) -> Result<Self, DecodeError> {
        match container.kind(item) {
            Some(kind) if kind == *b"av01" => {
                let still = Still::decode(data(container, item)?, limits.max_pixels)?;
                check_size(still.size(), limits)?;
                Ok(Self { size: still.size(), columns: 1, stills: vec![still] })
            }
            Some(kind) if kind == *b"grid" => {
                let grid = data(container, item)?;
                let (rows, columns, size) = grid_of(&grid).ok_or(DecodeError::Truncated(NAME))?;
                check_size(size, limits)?;
                let tiles = container.refers_to(b"dimg", item);
                if rows * columns > MOST_TILES || tiles.len() < rows * columns {
                    return Err(damaged("its grid lacks tiles"));
                }
                Self::together(container, &tiles[..rows * columns], (columns, size), limits)
            }
            _ => {
                let reason = "it is neither a still nor a grid of stills".into();
                Err(DecodeError::Unsupported { format: NAME, reason })
            }
        }
    }

    /// Decodes the items of a grid.
    fn together(
        container: &Container,
        items: &[u32],
        (columns, size): (usize, (u32, u32)),
        limits: &Limits,
    ) -> Result<Self, DecodeError> {
        let rows = items.len() / columns;
        let mut stills: Vec<Still> = Vec::new();
        for item in items {
            let next = Still::decode(data(container, *item)?, limits.max_pixels)?;
            let (width, height) = next.size();
            let first = stills.first().map_or((width, height), Still::size);
            // ISO/IEC 23008-12, 6.6.2.3: all of one size, and together they cover the picture,
            // with less than a tile to spare.
            let fits = |tile: u32, count: usize, whole: u32| {
                let all = u64::from(tile) * count as u64;
                all >= whole.into() && all < u64::from(whole) + u64::from(tile)
            };
            let fits = fits(width, columns, size.0) && fits(height, rows, size.1);
            if first != (width, height) || !fits {
                return Err(damaged("the tiles of its grid do not fit"));
            }
            stills.push(next);
        }
        Ok(Self { size, columns, stills })
    }

    /// Decodes the alpha of a grid's tiles, if each has its own.
    fn alpha(
        &self,
        container: &Container,
        item: u32,
        limits: &Limits,
    ) -> Result<Option<Self>, DecodeError> {
        let tiles = container.refers_to(b"dimg", item).iter().take(self.stills.len());
        let items: Vec<u32> = tiles.filter_map(|tile| container.alpha_of(*tile)).collect();
        if items.is_empty() || items.len() != self.stills.len() {
            return Ok(None);
        }
        Self::together(container, &items, (self.columns, self.size), limits).map(Some)
    }

    /// Calls `paint` with the place of each run of pixels and its colours.
    fn paint(&self, matrix: Matrix, full: bool, mut paint: impl FnMut(u32, u32, &[[f32; 3]])) {
        for (index, still) in self.stills.iter().enumerate() {
            let (width, height) = still.size();
            let left = (index % self.columns) as u32 * width;
            let top = (index / self.columns) as u32 * height;
            still.rows(matrix, full, |y, row| {
                let across = row.len().min(self.size.0.saturating_sub(left) as usize);
                if top + y < self.size.1 {
                    paint(left, top + y, &row[..across]);
                }
            });
        }
    }
}

/// Reads a grid: rows, columns, and the size of the picture.
fn grid_of(data: &[u8]) -> Option<(usize, usize, (u32, u32))> {
    let (wide, rows, columns) = (data.get(1)? & 1 == 1, *data.get(2)?, *data.get(3)?);
    let size = if wide {
        (u32_at(data, 4)?, u32_at(data, 8)?)
    } else {
        (u16_at(data, 4)?.into(), u16_at(data, 6)?.into())
    };
    Some((usize::from(rows) + 1, usize::from(columns) + 1, size))
}

/// The meaning of the samples.
struct Colours {
    matrix: Matrix,
    full: bool,
    profile: Option<Profile>,
}

impl Colours {
    /// The container's word goes before the stream's (MIAF, 7.3.6.4).
    fn of(container: &Container, item: u32, tiles: &Tiles) -> Result<Self, DecodeError> {
        let first = tiles.stills.first().ok_or_else(|| damaged("it has no stills"))?;
        let (mut nclx, mut icc) = (None, None);
        for colr in container.properties(item).filter(|p| p.kind == *b"colr") {
            match colr.content.split_first_chunk::<4>() {
                Some((b"nclx", said)) => nclx = said_by(said),
                Some((b"prof" | b"rICC", profile)) => icc = Some(Profile::Icc(profile.to_vec())),
                _ => {}
            }
        }
        let (codes, full) = nclx.unwrap_or_else(|| (first.codes(), first.is_full()));
        let [primaries, transfer, matrix] = codes;
        let matrix = Matrix::of(matrix, primaries).ok_or_else(|| {
            let reason = format!("its colours are coded in an unusual way, matrix {matrix}");
            DecodeError::Unsupported { format: NAME, reason: reason.into() }
        })?;
        let code = |code| u8::try_from(code).ok();
        let said = code(primaries).zip(code(transfer));
        let cicp = said.map(|(primaries, transfer)| Profile::Cicp { primaries, transfer });
        Ok(Self { matrix, full, profile: icc.or(cicp) })
    }
}

/// Reads `nclx`: primaries, transfer characteristics and matrix, and whether the range is full.
fn said_by(nclx: &[u8]) -> Option<([u16; 3], bool)> {
    let codes = [u16_at(nclx, 0)?, u16_at(nclx, 2)?, u16_at(nclx, 4)?];
    Some((codes, nclx.get(6)? >> 7 == 1))
}

/// A sample of 8 or 16 bits.
trait Sample: Copy + Default {
    const FULL: Self;
    fn from_unit(value: f32) -> Self;
}

impl Sample for u8 {
    const FULL: Self = u8::MAX;
    fn from_unit(value: f32) -> Self {
        // The conversion saturates.
        (value * 255.0 + 0.5) as Self
    }
}

impl Sample for u16 {
    const FULL: Self = u16::MAX;
    fn from_unit(value: f32) -> Self {
        (value * 65535.0 + 0.5) as Self
    }
}

type Canvas<S> = ImageBuffer<Rgba<S>, Vec<S>>;

fn assemble<S: Sample>(
    colours: &Tiles,
    alpha: Option<&Tiles>,
    said: &Colours,
) -> Result<Canvas<S>, DecodeError>
where
    Rgba<S>: Pixel<Subpixel = S>,
{
    let (width, height) = colours.size;
    let mut canvas = Canvas::from_pixel(width, height, Rgba([S::FULL; 4]));
    colours.paint(said.matrix, said.full, |left, y, row| {
        for (x, colour) in (left..).zip(row) {
            let [r, g, b] = colour.map(S::from_unit);
            canvas.put_pixel(x, y, Rgba([r, g, b, S::FULL]));
        }
    });
    if let Some(alpha) = alpha {
        if alpha.size != colours.size {
            let reason = "its transparency has another size than its colours".into();
            return Err(DecodeError::Unsupported { format: NAME, reason });
        }
        let full = alpha.stills.first().is_some_and(Still::is_full);
        alpha.paint(Matrix::Identity, full, |left, y, row| {
            for (x, [_, value, _]) in (left..).zip(row) {
                let Rgba([r, g, b, _]) = *canvas.get_pixel(x, y);
                canvas.put_pixel(x, y, Rgba([r, g, b, S::from_unit(*value)]));
            }
        });
    }
    Ok(canvas)
}

/// Applies `clap`, `irot` or `imir`; other properties change nothing.
fn transform(mut image: DynamicImage, property: &IsoBox) -> DynamicImage {
    let first = property.content.first().copied().unwrap_or_default();
    let turn = match &property.kind {
        // Quarters, anticlockwise.
        b"irot" => match first & 3 {
            1 => Orientation::Rotate270,
            2 => Orientation::Rotate180,
            3 => Orientation::Rotate90,
            _ => Orientation::NoTransforms,
        },
        // 0 exchanges top and bottom, 1 left and right.
        b"imir" if first & 1 == 0 => Orientation::FlipVertical,
        b"imir" => Orientation::FlipHorizontal,
        b"clap" => {
            return match crop(property.content, image.width(), image.height()) {
                Some([x, y, width, height]) => image.crop_imm(x, y, width, height),
                None => image,
            };
        }
        _ => Orientation::NoTransforms,
    };
    image.apply_orientation(turn);
    image
}

/// Reads `clap` (ISO/IEC 14496-12, 12.1.4): left, top, width, height; `None` if it lies outside.
fn crop(clap: &[u8], width: u32, height: u32) -> Option<[u32; 4]> {
    let part = |at: usize, whole: u32| {
        let number = |at| u32_at(clap, at).map(|value| f64::from(value as i32));
        let size = f64::from(u32_at(clap, at)?) / f64::from(u32_at(clap, at + 4)?);
        let offset = number(at + 16)? / f64::from(u32_at(clap, at + 20)?);
        let start = (f64::from(whole) - size) / 2.0 + offset;
        let inside = start > -0.5 && size >= 1.0 && start + size < f64::from(whole) + 0.5;
        // Rounded, so that both stay inside.
        inside.then(|| {
            let start = (start.round() as u32).min(whole - 1);
            (start, (size.round() as u32).min(whole - start))
        })
    };
    let (left, width) = part(0, width)?;
    let (top, height) = part(8, height)?;
    Some([left, top, width, height])
}
