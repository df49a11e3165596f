/*!
The canvas and its strokes.

tiny-skia returns `None` for an empty path or a gradient without extent; such strokes are
skipped.
*/

use tiny_skia::{
    BlendMode, Color, FillRule, GradientStop, LinearGradient, Paint, Path, PathBuilder, Pixmap,
    Point, RadialGradient, Shader, SpreadMode, Transform,
};

use super::colour::Colour;
use super::plane::{At, at};

/// A picture with transparency, to paint on.
pub struct Canvas {
    pub pixels: Pixmap,
    mode: BlendMode,
}

fn ink(colour: Colour, alpha: f32) -> Color {
    let clear = |c: f32| c.clamp(0.0, 1.0);
    Color::from_rgba(clear(colour.r), clear(colour.g), clear(colour.b), clear(alpha))
        .unwrap_or(Color::TRANSPARENT)
}

fn point(p: At) -> Point {
    Point::from_xy(p.x, p.y)
}

impl Canvas {
    /// Creates an empty canvas; `None` if a side is zero.
    pub fn new(width: u32, height: u32) -> Option<Self> {
        Some(Self { pixels: Pixmap::new(width, height)?, mode: BlendMode::SourceOver })
    }

    /// Creates a canvas on top of an existing picture.
    pub fn from_pixels(pixels: Pixmap) -> Self {
        Self { pixels, mode: BlendMode::SourceOver }
    }

    /// Sets whether strokes are clipped to what is already painted.
    pub fn keep_within(&mut self, within: bool) {
        self.mode = if within { BlendMode::SourceAtop } else { BlendMode::SourceOver };
    }

    fn lay(&mut self, path: &Path, shader: Shader<'_>) {
        let paint = Paint { shader, blend_mode: self.mode, ..Paint::default() };
        self.pixels.fill_path(path, &paint, FillRule::Winding, Transform::identity(), None);
    }

    /// Fills a path with one colour.
    pub fn fill(&mut self, path: Option<Path>, colour: Colour, alpha: f32) {
        if let Some(path) = path {
            self.lay(&path, Shader::SolidColor(ink(colour, alpha)));
        }
    }

    /// Fills a path with a linear gradient between two points.
    pub fn blend(&mut self, path: Option<Path>, ends: (At, At), stops: &[(f32, Colour, f32)]) {
        let stops = stops.iter().map(|s| GradientStop::new(s.0, ink(s.1, s.2))).collect();
        let (start, end) = (point(ends.0), point(ends.1));
        let shader = LinearGradient::new(start, end, stops, SpreadMode::Pad, Transform::identity());
        if let (Some(path), Some(shader)) = (path, shader) {
            self.lay(&path, shader);
        }
    }

    /// Paints a soft round patch that fades out at `radius`.
    pub fn glow(&mut self, centre: At, radius: f32, colour: Colour, alpha: f32) {
        self.flat_glow(centre, (radius, 1.0), colour, alpha);
    }

    /// Paints a soft elliptical patch. `form` is the horizontal radius and the ratio of the
    /// vertical to the horizontal radius.
    pub fn flat_glow(&mut self, centre: At, form: (f32, f32), colour: Colour, alpha: f32) {
        let (radius, flat) = form;
        let stops = vec![
            GradientStop::new(0.0, ink(colour, alpha)),
            GradientStop::new(0.5, ink(colour, alpha * 0.6)),
            GradientStop::new(1.0, ink(colour, 0.0)),
        ];
        let middle = point(centre);
        let shader = RadialGradient::new(
            middle,
            middle,
            radius,
            stops,
            SpreadMode::Pad,
            Transform::from_row(1.0, 0.0, 0.0, flat, 0.0, centre.y * (1.0 - flat)),
        );
        if let (Some(path), Some(shader)) = (oval(centre, radius, radius * flat, 0.0), shader) {
            self.lay(&path, shader);
        }
    }
}

/// Returns a disc.
pub fn disc(centre: At, radius: f32) -> Option<Path> {
    PathBuilder::from_circle(centre.x, centre.y, radius)
}

/// Returns a smooth closed outline through `points`.
pub fn outline(points: &[At]) -> Option<Path> {
    let count = points.len();
    if count < 3 {
        return None;
    }
    let pick = |i: usize| points.get(i % count).copied().unwrap_or_default();
    let mut path = PathBuilder::new();
    path.move_to(pick(0).x, pick(0).y);
    for i in 0..count {
        let (before, from, to, after) = (pick(i + count - 1), pick(i), pick(i + 1), pick(i + 2));
        let (first, second) =
            (from + (to - before) * (1.0 / 6.0), to - (after - from) * (1.0 / 6.0));
        path.cubic_to(first.x, first.y, second.x, second.y, to.x, to.y);
    }
    path.close();
    path.finish()
}

/// Returns a closed outline with straight sides.
pub fn polygon(points: &[At]) -> Option<Path> {
    let mut path = PathBuilder::new();
    let (first, rest) = points.split_first()?;
    path.move_to(first.x, first.y);
    for p in rest {
        path.line_to(p.x, p.y);
    }
    path.close();
    path.finish()
}

/// Returns a feather from root to tip; `blunt` ranges from 0 (pointed) to 1 (round).
pub fn feather(root: At, tip: At, half_width: f32, blunt: f32) -> Option<Path> {
    let along = tip - root;
    let side = along.unit().across() * half_width;
    let far = 0.72 + 0.28 * blunt;
    let mut path = PathBuilder::new();
    let root_side = side * 0.45;
    path.move_to(root.x + root_side.x, root.y + root_side.y);
    curve(&mut path, root + along * 0.3 + side * 1.15, root + along * far + side * 1.3, tip);
    curve(
        &mut path,
        root + along * far - side * 1.3,
        root + along * 0.3 - side * 1.15,
        root - root_side,
    );
    path.close();
    path.finish()
}

fn curve(path: &mut PathBuilder, first: At, second: At, to: At) {
    path.cubic_to(first.x, first.y, second.x, second.y, to.x, to.y);
}

/// Returns a thin stroke that tapers at both ends; `bend` shifts its middle sideways.
pub fn sliver(from: At, to: At, half_width: f32, bend: f32) -> Option<Path> {
    let middle = from.towards(to, 0.5);
    let side = (to - from).unit().across();
    let (left, right) =
        (middle + side * (bend + 2.0 * half_width), middle + side * (bend - 2.0 * half_width));
    let mut path = PathBuilder::new();
    path.move_to(from.x, from.y);
    path.quad_to(left.x, left.y, to.x, to.y);
    path.quad_to(right.x, right.y, from.x, from.y);
    path.close();
    path.finish()
}

/// Returns a limb with even taper through `points`, such as a leg or a branch.
pub fn limb(points: &[At], start: f32, end: f32) -> Option<Path> {
    let last = points.len().checked_sub(1).filter(|last| *last > 0)?;
    let mut rim = Vec::with_capacity(points.len() * 2);
    let mut back = Vec::with_capacity(points.len());
    for (i, p) in points.iter().enumerate() {
        let (before, after) = (points.get(i.saturating_sub(1))?, points.get((i + 1).min(last))?);
        let half = start + (end - start) * i as f32 / last as f32;
        let side = (*after - *before).unit().across() * half;
        rim.push(*p + side);
        back.push(*p - side);
    }
    rim.extend(back.into_iter().rev());
    outline(&rim)
}

/// Returns a leaf from stalk to tip.
pub fn leaf(stalk: At, tip: At, half_width: f32) -> Option<Path> {
    let along = tip - stalk;
    let side = along.unit().across() * half_width;
    let mut path = PathBuilder::new();
    path.move_to(stalk.x, stalk.y);
    curve(&mut path, stalk + along * 0.15 + side * 1.3, stalk + along * 0.6 + side * 1.2, tip);
    curve(&mut path, stalk + along * 0.6 - side * 1.2, stalk + along * 0.15 - side * 1.3, stalk);
    path.close();
    path.finish()
}

/// Returns an oval, rotated by `angle` radians.
pub fn oval(centre: At, wide: f32, high: f32, angle: f32) -> Option<Path> {
    let ring: Vec<At> = (0..8)
        .map(|i| {
            let turn = i as f32 * std::f32::consts::FRAC_PI_4;
            centre + at(turn.cos() * wide, turn.sin() * high).turned(At::default(), angle)
        })
        .collect();
    outline(&ring)
}
