/*!
One AV1 still: from its bytes to samples of red, green and blue.
*/

use re_rav1d::dav1d::pixel::YUVRange;
use re_rav1d::dav1d::{
    Decoder, Error, Picture as Frame, PixelLayout, PlanarImageComponent, Plane, Settings,
};

use crate::image::DecodeError;

/// The format's name in messages.
pub(super) const NAME: &str = "AVIF";

/// A decoded still.
pub(super) struct Still(Frame);

/// The meaning of luma and chroma as colours (ITU-T H.273, 8.3).
#[derive(Clone, Copy)]
pub(super) enum Matrix {
    /// The planes are green, blue and red.
    Identity,
    /// YCgCo.
    GreenOrange,
    /// The shares of red and blue in luma.
    Shares(f32, f32),
}

impl Matrix {
    /// Returns the matrix of code points of H.273: of a matrix, and of primaries.
    pub fn of(code: u16, primaries: u16) -> Option<Self> {
        match code {
            // Derived from the primaries: the lightness of the red and the blue one.
            12 => match primaries {
                1 => Self::of(1, primaries),
                9 => Self::of(9, primaries),
                12 => Some(Self::Shares(0.2290, 0.0793)),
                _ => None,
            },
            0 => Some(Self::Identity),
            1 => Some(Self::Shares(0.2126, 0.0722)),
            4 => Some(Self::Shares(0.30, 0.11)),
            // Unsaid: as JPEG has it.
            2 | 5 | 6 => Some(Self::Shares(0.299, 0.114)),
            7 => Some(Self::Shares(0.212, 0.087)),
            8 => Some(Self::GreenOrange),
            9 => Some(Self::Shares(0.2627, 0.0593)),
            _ => None,
        }
    }

    /// Converts luma of 0 to 1 and chroma of -0.5 to 0.5.
    fn rgb(self, y: f32, cb: f32, cr: f32) -> [f32; 3] {
        match self {
            Self::Identity => [cr, y, cb],
            Self::GreenOrange => [y - cb + cr, y + cb, y - cb - cr],
            Self::Shares(red, blue) => {
                let r = y + 2.0 * (1.0 - red) * cr;
                let b = y + 2.0 * (1.0 - blue) * cb;
                [r, (y - red * r - blue * b) / (1.0 - red - blue), b]
            }
        }
    }
}

impl Still {
    /// Decodes the bytes of an `av01` item. Of several layers, the last is taken.
    pub fn decode(data: Vec<u8>, max_pixels: u64) -> Result<Self, DecodeError> {
        if data.is_empty() {
            return Err(DecodeError::Truncated(NAME));
        }
        let mut settings = Settings::new();
        // In this thread: a panic can be caught, and a still has no frames to share out.
        settings.set_n_threads(1);
        settings.set_max_frame_delay(1);
        settings.set_all_layers(false);
        settings.set_frame_size_limit(u32::try_from(max_pixels).unwrap_or(u32::MAX));
        let mut decoder = Decoder::with_settings(&settings).map_err(failed)?;
        match decoder.send_data(data, None, None, None) {
            Ok(()) | Err(Error::Again) => {}
            Err(error) => return Err(failed(error)),
        }
        let frame = decoder.get_picture().map_err(failed)?;
        Ok(Self(frame))
    }

    /// The size in pixels.
    pub fn size(&self) -> (u32, u32) {
        (self.0.width(), self.0.height())
    }

    /// The bits of a sample.
    pub fn depth(&self) -> usize {
        self.0.bit_depth()
    }

    /// The code points of H.273 that the stream states: primaries, transfer characteristics and
    /// matrix.
    ///
    /// # Panics
    /// If a code point is reserved: the decoder's crate does so.
    pub fn codes(&self) -> [u16; 3] {
        let matrix = self.0.matrix_coefficients();
        [self.0.color_primaries() as u16, self.0.transfer_characteristic() as u16, matrix as u16]
    }

    /// Whether samples span the full range.
    pub fn is_full(&self) -> bool {
        self.0.color_range() == YUVRange::Full
    }

    /// Calls `paint` for each row with its number and its colours, of 0 to 1.
    pub fn rows(&self, matrix: Matrix, full: bool, mut paint: impl FnMut(u32, &[[f32; 3]])) {
        let (width, height) = self.size();
        let luma = Samples::of(&self.0, PlanarImageComponent::Y);
        let scale = Scale::of(self.depth(), full);
        let (across, down) = match self.0.pixel_layout() {
            PixelLayout::I400 => {
                let mut row = Vec::new();
                for y in 0..height {
                    row.clear();
                    row.extend((0..width).map(|x| [scale.luma(luma.at(x, y)); 3]));
                    paint(y, &row);
                }
                return;
            }
            PixelLayout::I420 => (1, 1),
            PixelLayout::I422 => (1, 0),
            PixelLayout::I444 => (0, 0),
        };
        let chroma = [PlanarImageComponent::U, PlanarImageComponent::V]
            .map(|component| Samples::of(&self.0, component));
        let identity = matches!(matrix, Matrix::Identity);
        let (chroma_width, chroma_height) =
            (width.div_ceil(1 << across), height.div_ceil(1 << down));
        // Chroma of one row, not yet widened: mixed of two rows of the plane.
        let mut narrow = [Vec::new(), Vec::new()];
        let mut row = Vec::new();
        for y in 0..height {
            let (near, far) = neighbours(y, down, chroma_height);
            for (plane, mixed) in chroma.iter().zip(&mut narrow) {
                mixed.clear();
                mixed.extend((0..chroma_width).map(|x| {
                    let (near, far) = (plane.at(x, near), plane.at(x, far));
                    let value = 0.75 * near + 0.25 * far;
                    if identity { scale.luma(value) } else { scale.chroma(value) }
                }));
            }
            row.clear();
            row.extend((0..width).map(|x| {
                let (near, far) = neighbours(x, across, chroma_width);
                let [cb, cr] = [&narrow[0], &narrow[1]].map(|mixed: &Vec<f32>| {
                    let at = |x: u32| mixed.get(x as usize).copied().unwrap_or_default();
                    0.75 * at(near) + 0.25 * at(far)
                });
                matrix.rgb(scale.luma(luma.at(x, y)), cb, cr)
            }));
            paint(y, &row);
        }
    }
}

/// Returns the chroma samples beside a pixel, the nearer first: bilinear, with chroma between
/// pixels.
fn neighbours(at: u32, shift: u32, count: u32) -> (u32, u32) {
    if shift == 0 {
        return (at, at);
    }
    let near = at / 2;
    let far = if at.is_multiple_of(2) { near.saturating_sub(1) } else { (near + 1).min(count - 1) };
    (near, far)
}

/// Samples as fractions.
#[derive(Clone, Copy)]
struct Scale {
    black: f32,
    luma: f32,
    middle: f32,
    chroma: f32,
}

impl Scale {
    fn of(depth: usize, full: bool) -> Self {
        let step = (1_u32 << depth.saturating_sub(8).min(8)) as f32;
        let middle = 128.0 * step;
        if full {
            let most = 256.0 * step - 1.0;
            return Self { black: 0.0, luma: 1.0 / most, middle, chroma: 1.0 / most };
        }
        // H.273, 8.3, equations 21 to 23.
        let (luma, chroma) = (1.0 / (219.0 * step), 1.0 / (224.0 * step));
        Self { black: 16.0 * step, luma, middle, chroma }
    }

    fn luma(self, sample: f32) -> f32 {
        (sample - self.black) * self.luma
    }

    fn chroma(self, sample: f32) -> f32 {
        (sample - self.middle) * self.chroma
    }
}

struct Samples {
    plane: Plane,
    stride: usize,
    deep: bool,
}

impl Samples {
    fn of(frame: &Frame, component: PlanarImageComponent) -> Self {
        let stride = frame.stride(component) as usize;
        Self { plane: frame.plane(component), stride, deep: frame.bit_depth() > 8 }
    }

    fn at(&self, x: u32, y: u32) -> f32 {
        let row = y as usize * self.stride;
        let sample = if self.deep {
            let at = row + 2 * x as usize;
            self.plane.get(at..at + 2).map(|two| u16::from_ne_bytes([two[0], two[1]]))
        } else {
            self.plane.get(row + x as usize).map(|one| u16::from(*one))
        };
        f32::from(sample.unwrap_or_default())
    }
}

fn failed(error: Error) -> DecodeError {
    match error {
        // All bytes were given and no frame came of them.
        Error::Again => DecodeError::Truncated(NAME),
        Error::UnsupportedBitstream => {
            DecodeError::Unsupported { format: NAME, reason: error.into() }
        }
        error => DecodeError::Damaged { format: NAME, reason: error.into() },
    }
}
