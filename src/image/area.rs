/*!
Parts of a picture: an area as a user names it, and a rectangle of pixels.
*/

use std::fmt;
use std::str::FromStr;

use ::image::RgbImage;
use ::image::imageops::crop_imm;
use serde::Serialize;

use super::Preprocess;

/// A part of an upright picture: its left, top, width and height, each in pixels or as a share of
/// the picture's width or height.
///
/// ```
/// use barbule::image::Area;
///
/// let area: Area = "10,25%,50%,30".parse()?;
/// let rect = area.of(200, 100)?;
/// assert_eq!((rect.x, rect.y, rect.width, rect.height), (10, 25, 100, 30));
/// # Ok::<(), barbule::image::AreaError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Area {
    left: Length,
    top: Length,
    width: Length,
    height: Length,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Length {
    Pixels(f64),
    /// A share of the whole side.
    Share(f64),
}

/// A rectangle of pixels in an upright picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Rect {
    /// Left edge, in pixels.
    pub x: u32,
    /// Top edge, in pixels.
    pub y: u32,
    /// Width in pixels, at least 1.
    pub width: u32,
    /// Height in pixels, at least 1.
    pub height: u32,
}

/// An error of an area.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AreaError {
    /// The text has another form.
    #[error(
        "'{0}' is not an area of a picture; write X,Y,WIDTH,HEIGHT in pixels or percent, such as 40,30,200,150 or 25%,10%,50%,50%"
    )]
    Text(String),
    /// The area has no pixel in common with the picture.
    #[error("the area {area} lies outside the picture, which has {width} × {height} pixels")]
    Outside {
        /// The area.
        area: String,
        /// Width of the picture, in pixels.
        width: u32,
        /// Height of the picture, in pixels.
        height: u32,
    },
}

impl Length {
    fn in_pixels(self, side: u32) -> f64 {
        match self {
            Self::Pixels(pixels) => pixels,
            Self::Share(share) => share * f64::from(side),
        }
    }

    /// Returns whether it is more than nothing.
    fn is_some(self) -> bool {
        let (Self::Pixels(number) | Self::Share(number)) = self;
        number > 0.0
    }
}

impl fmt::Display for Length {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pixels(pixels) => write!(f, "{pixels}"),
            Self::Share(share) => write!(f, "{}%", (share * 1e4).round() / 1e2),
        }
    }
}

impl fmt::Display for Area {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { left, top, width, height } = self;
        write!(f, "{left},{top},{width},{height}")
    }
}

impl FromStr for Area {
    type Err = AreaError;

    fn from_str(text: &str) -> Result<Self, AreaError> {
        let length = |part: &str| {
            let (number, is_share) = match part.trim().strip_suffix('%') {
                Some(number) => (number, true),
                None => (part.trim(), false),
            };
            let number: f64 = number.parse().ok().filter(|n: &f64| n.is_finite() && *n >= 0.0)?;
            Some(if is_share { Length::Share(number / 100.0) } else { Length::Pixels(number) })
        };
        let parts: Option<Vec<Length>> = text.split(',').map(length).collect();
        match parts.as_deref() {
            Some([left, top, width, height]) if width.is_some() && height.is_some() => {
                let (left, top, width, height) = (*left, *top, *width, *height);
                Ok(Self { left, top, width, height })
            }
            _ => Err(AreaError::Text(text.to_owned())),
        }
    }
}

impl Area {
    /// Returns the pixels of the area in a picture of `width` × `height` pixels: what of it lies in
    /// the picture, and at least one pixel.
    ///
    /// # Errors
    /// [`AreaError::Outside`].
    pub fn of(&self, width: u32, height: u32) -> Result<Rect, AreaError> {
        let across = span(self.left.in_pixels(width), self.width.in_pixels(width), width);
        let down = span(self.top.in_pixels(height), self.height.in_pixels(height), height);
        match (across, down) {
            (Some((x, width)), Some((y, height))) => Ok(Rect { x, y, width, height }),
            _ => Err(AreaError::Outside { area: self.to_string(), width, height }),
        }
    }
}

/// Returns start and length of a span within 0 to `side`, in whole pixels; `None` if it begins
/// behind the last one.
fn span(start: f64, length: f64, side: u32) -> Option<(u32, u32)> {
    let first = start.round();
    if first >= f64::from(side) {
        return None;
    }
    let end = (start + length).round().clamp(first + 1.0, f64::from(side));
    Some((first as u32, (end - first) as u32))
}

impl Rect {
    /// Returns the least square around the rectangle of which the preprocessing of a network shows
    /// all of the rectangle. At the edges of a picture of `width` × `height` pixels it is moved
    /// inwards, and it is never larger than the picture.
    pub fn around(&self, preprocess: &Preprocess, width: u32, height: u32) -> Self {
        let longer = u64::from(self.width.max(self.height));
        let (short_side, size) = (u64::from(preprocess.short_side()), u64::from(preprocess.size()));
        let side = (longer * short_side).div_ceil(size.max(1));
        let fitted = |start: u32, length: u32, all: u32| {
            let side = side.min(u64::from(all)).max(1) as u32;
            let middle = u64::from(start) + u64::from(length / 2);
            let start =
                middle.saturating_sub(u64::from(side / 2)).min(u64::from(all - side.min(all)));
            (start as u32, side)
        };
        let (x, across) = fitted(self.x, self.width, width);
        let (y, down) = fitted(self.y, self.height, height);
        Self { x, y, width: across, height: down }
    }

    /// Cuts the rectangle out of a picture.
    pub fn cut(&self, picture: &RgbImage) -> RgbImage {
        crop_imm(picture, self.x, self.y, self.width, self.height).to_image()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn an_area_is_read_in_pixels_and_percent_or_refused() {
        let of = |text: &str| text.parse::<Area>().unwrap().of(200, 100).unwrap();
        assert_eq!(of("10,20,30,40"), Rect { x: 10, y: 20, width: 30, height: 40 });
        assert_eq!(of(" 50% , 50%, 50% ,50%"), Rect { x: 100, y: 50, width: 100, height: 50 });
        // What lies in the picture, and at least one pixel.
        assert_eq!(of("190,90,500,500"), Rect { x: 190, y: 90, width: 10, height: 10 });
        assert_eq!(of("199,99,0.1%,0.1"), Rect { x: 199, y: 99, width: 1, height: 1 });
        for text in
            ["", "1,2,3", "1,2,3,4,5", "a,2,3,4", "-1,2,3,4", "1,2,0,4", "1,2,3,NaN", "1,2,3,inf"]
        {
            let error = text.parse::<Area>().unwrap_err();
            assert!(error.to_string().contains("write X,Y,WIDTH,HEIGHT"), "{error}");
        }
        let error = "200,0,5,5".parse::<Area>().unwrap().of(200, 100).unwrap_err();
        let said = "the area 200,0,5,5 lies outside the picture, which has 200 × 100 pixels";
        assert_eq!(error.to_string(), said);
    }

    proptest! {
        #[test]
        fn a_square_around_lies_in_the_picture_and_its_crop_shows_the_rectangle(
            width in 1u32..3000, height in 1u32..3000,
            x in 0.0..0.999f64, y in 0.0..0.999f64, w in 0.001..1.0f64, h in 0.001..1.0f64,
        ) {
            let area = Area {
                left: Length::Share(x), top: Length::Share(y),
                width: Length::Share(w), height: Length::Share(h),
            };
            let Ok(rect) = area.of(width, height) else { return Ok(()) };
            prop_assert!(rect.x + rect.width <= width && rect.y + rect.height <= height);
            let preprocess = Preprocess::efficientnet_lite(224).unwrap();
            let around = rect.around(&preprocess, width, height);
            prop_assert!(around.x + around.width <= width && around.y + around.height <= height);
            prop_assert!(around.x <= rect.x && around.x + around.width >= rect.x + rect.width);
            prop_assert!(around.y <= rect.y && around.y + around.height >= rect.y + rect.height);
            // Where the picture has room, the crop shows all of the rectangle.
            let side = around.width.max(around.height);
            if around.width == around.height && side > 8 && side < width.min(height) {
                let (left, top) = preprocess.origin(0.0, 0.0, around.width, around.height);
                let inside = |start: u32, from: u32, margin: f64| {
                    f64::from(start) + margin <= f64::from(from) + 1.5
                };
                // At an edge of the picture it was moved.
                if around.x > 0 && around.x + around.width < width {
                    prop_assert!(inside(around.x, rect.x, left));
                }
                if around.y > 0 && around.y + around.height < height {
                    prop_assert!(inside(around.y, rect.y, top));
                }
            }
        }
    }
}
