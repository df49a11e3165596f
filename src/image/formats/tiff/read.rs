/*!
Reading of the picture of a TIFF file.
*/

use std::borrow::Cow;

use ::image::metadata::Orientation;

use super::colours::picture;
use super::compression::{Expander, Rows, fill};
use super::directory::Directory;
use super::file::File;
use super::layout::Layout;
use super::names::{Colours, Compression};
use super::pages::picture_page;
use super::refusal::{damaged, truncated, unsupported};
use super::samples::{Form, Samples, place};
use super::{old_jpeg, tags, ycbcr};
use crate::image::picture::Picture;
use crate::image::profile::Profile;
use crate::image::{DecodeError, Limits};

/// Returns whether a file begins as a TIFF does, or as a BigTIFF for files above 4 GB.
pub fn is_tiff(bytes: &[u8]) -> bool {
    [b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"].iter().any(|start| bytes.starts_with(*start))
}

/// Reads the picture of a TIFF or BigTIFF file: that of the first page which is not marked as a
/// smaller version or a mask.
///
/// Unsigned samples of up to 8 bits become bytes, others words. Floating-point samples are black
/// to white from 0 to 1 if all lie in there, else from the least to the greatest, as are signed
/// ones. CMYK is converted without a profile, Lab by its definition. Memory: the samples in use
/// at their size, or 4 bytes each for floating point, and up to 8 bytes per pixel.
///
/// # Errors
/// If the picture is larger than `limits` allows, of a kind that is not read, cut or damaged.
pub fn read(bytes: &[u8], limits: &Limits) -> Result<Picture, DecodeError> {
    let file = File::new(bytes)?;
    let page = picture_page(&file)?;
    let mut layout = Layout::new(&page, limits)?;
    let samples = if layout.compression == Compression::OldJpeg {
        let rows = old_jpeg::rows(&file, &page, &mut layout, limits)?;
        let mut gathering = Gathering::new(&file, &layout)?;
        gathering.add(rows, false, (0, 0, 0))?;
        gathering.samples
    } else {
        gathered(&file, &page, &layout, limits)?
    };
    let pixels = picture(samples, &layout, &page)?;
    let orientation = page.number(tags::ORIENTATION).ok().flatten();
    let orientation = orientation.and_then(|turn| Orientation::from_exif(u8::try_from(turn).ok()?));
    // A profile of other colours than those of the converted picture says nothing of it.
    let space: &[u8] = if pixels.color().has_color() { b"RGB " } else { b"GRAY" };
    let lab = matches!(layout.colours, Colours::CieLab | Colours::IccLab);
    let profile = page.bytes(tags::ICC_PROFILE);
    let profile = profile.filter(|icc| !lab && icc.get(16..20) == Some(space));
    Ok(Picture {
        pixels,
        orientation: orientation.unwrap_or(Orientation::NoTransforms),
        profile: profile.map(|icc| Profile::Icc(icc.to_vec())),
    })
}

/// Returns the samples of all strips or tiles.
fn gathered(
    file: &File,
    page: &Directory,
    layout: &Layout,
    limits: &Limits,
) -> Result<Samples, DecodeError> {
    let expander = Expander::new(page, layout, limits)?;
    let mut gathering = Gathering::new(file, layout)?;
    let (across, down) = layout.grid();
    let mut planes = if layout.planar { layout.used() } else { vec![0] };
    planes.sort_unstable();
    for plane in planes {
        for part in 0..across * down {
            let index = plane * across * down + part;
            let (data, cut) = data(file, layout, index)?;
            let data = if layout.low_bit_first {
                Cow::Owned(data.iter().map(|byte| byte.reverse_bits()).collect())
            } else {
                Cow::Borrowed(data)
            };
            let row = part / across;
            let rows = expander.rows(&data, layout.rows_below(row));
            // Data that are expanded at once end early where the file does.
            let rows = rows.map_err(|error| match error {
                DecodeError::Damaged { .. } if cut => truncated(),
                error => error,
            })?;
            gathering.add(rows, cut, (plane, part % across, row))?;
        }
    }
    Ok(gathering.samples)
}

/// Returns the bytes of a strip or tile, and whether the file ends within them.
fn data<'a>(
    file: &File<'a>,
    layout: &Layout,
    index: usize,
) -> Result<(&'a [u8], bool), DecodeError> {
    let part = if layout.tiled { "tiles" } else { "strips" };
    let Some(offset) = layout.offsets.get(index).copied() else {
        let count = layout.offsets.len();
        return Err(damaged(format!("it lists {count} {part}, which do not fill the picture")));
    };
    let stated = layout.lengths.get(index).copied().unwrap_or(0);
    if offset == 0 && stated == 0 {
        return Err(unsupported(format!("some of its {part} are left out")));
    }
    let length = match layout.compression {
        // Plain rows are there whatever the tag says, as other readers assume.
        Compression::None => stated.max(layout.plain_length(index) as u64),
        _ if stated == 0 => u64::MAX,
        _ => stated,
    };
    let data = file.slice(offset, length);
    Ok((data, (data.len() as u64) < length))
}

/// The samples of a picture while its strips or tiles are read.
struct Gathering<'a> {
    layout: &'a Layout,
    form: Form,
    /// The samples that are used, in the order of the picture's channels.
    used: Vec<usize>,
    samples: Samples,
}

impl<'a> Gathering<'a> {
    fn new(file: &File, layout: &'a Layout) -> Result<Self, DecodeError> {
        let used = layout.used();
        let count = layout.width.checked_mul(layout.height);
        let count = count.and_then(|pixels| pixels.checked_mul(used.len()));
        let count = count.ok_or_else(|| damaged("it is larger than any memory"))?;
        let form = Form {
            kind: layout.kind,
            bits: layout.bits,
            order: file.order,
            indexes: layout.colours == Colours::Palette,
            samples: layout.samples_together(),
        };
        let samples = Samples::zeros(layout.kind, layout.bits, count);
        Ok(Self { layout, form, used, samples })
    }

    /// Adds a strip or tile by its plane, column and row. `cut` tells whether the file ends
    /// within its data.
    ///
    /// # Errors
    /// If the data end before the last row that lies in the picture, or are damaged.
    fn add(
        &mut self,
        mut rows: Rows,
        cut: bool,
        (plane, column, row): (usize, usize, usize),
    ) -> Result<(), DecodeError> {
        let layout = self.layout;
        let (left, top) = (column * layout.chunk.0, row * layout.chunk.1);
        let across = layout.chunk.0.min(layout.width - left);
        let down = layout.rows_below(row);
        let pairs: Vec<(usize, usize)> = if layout.planar {
            let channels = self.used.iter().enumerate();
            channels.filter(|(_, sample)| **sample == plane).map(|(to, _)| (0, to)).collect()
        } else {
            self.used.iter().enumerate().map(|(to, from)| (*from, to)).collect()
        };
        let mut form = self.form;
        let mut bytes = Vec::new();
        let channels = self.used.len();
        if layout.shared != (1, 1) {
            let count = ycbcr::block_row(rows.width, layout.shared);
            for y in 0..down {
                if y % layout.shared.1 == 0 {
                    fill(&mut bytes, &mut rows.data, count, cut)?;
                }
                let row = ycbcr::pixel_row(&bytes, y % layout.shared.1, layout.shared);
                let start = (top + y) * layout.width + left;
                place(&row, form, &mut self.samples, (start, across, channels), &pairs);
            }
            return Ok(());
        }
        let bits = rows.width.saturating_mul(form.samples).saturating_mul(form.bits);
        for y in 0..down {
            fill(&mut bytes, &mut rows.data, bits.div_ceil(8), cut)?;
            let size = form.bits.div_ceil(8);
            form.order = layout.predictor.undo(&mut bytes, size, form.samples, self.form.order);
            let start = (top + y) * layout.width + left;
            place(&bytes, form, &mut self.samples, (start, across, channels), &pairs);
        }
        Ok(())
    }
}
