/*!
One picture: a bird of a species in an environment, and the boxes of its parts.
*/

use image::RgbImage;
use rand::{Rng, RngExt};
use tiny_skia::Pixmap;

use super::anatomy::{
    BREAST_AREA, CREST_TIPS, CROWN_AREA, EYE, EYE_RADIUS, HIPS, TAIL_ROOT, TAIL_WAY, tail_quills,
};
use super::brush::Canvas;
use super::plane::{At, at, bounds};
use super::pose::Pose;
use super::scene::{Cover, Environment};
use super::species::Species;
use super::traits::{CrownPattern, Marking, Traits};
use super::{Part, backdrop, head, lens, paint, perch, wing};

/// Width of the picture that the blur of an environment refers to, in pixels.
const BLUR_SIZE: f32 = 256.0;
/// Alpha value above which a pixel of the foreground object counts as opaque.
const OPAQUE: u8 = 110;
/// A part is visible only if more than this share of its box is inside the picture.
const MIN_INSIDE: f32 = 0.6;
/// A part is visible only if less than this share of its box is covered.
const MAX_COVERED: f32 = 0.4;

/// An axis-aligned rectangle of pixels; `right` and `bottom` are exclusive.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PixelBox {
    /// First column.
    pub left: u32,
    /// First row.
    pub top: u32,
    /// Column after the last one.
    pub right: u32,
    /// Row after the last one.
    pub bottom: u32,
}

impl PixelBox {
    /// Returns whether the rectangle contains no pixel.
    pub fn is_empty(&self) -> bool {
        self.right <= self.left || self.bottom <= self.top
    }

    /// Returns the bounding box of some points, clipped to a picture of `size`.
    fn around(points: &[At], size: u32) -> Self {
        let (low, high) = bounds(points);
        let inside = |value: f32| value.clamp(0.0, size as f32) as u32;
        Self {
            left: inside(low.x.floor()),
            top: inside(low.y.floor()),
            right: inside(high.x.ceil()),
            bottom: inside(high.y.ceil()),
        }
    }
}

/// The box of a part of the bird in its picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PartBox {
    /// The part.
    pub part: Part,
    /// The box, clipped to the picture.
    pub area: PixelBox,
    /// Whether most of the part is inside the picture and not covered.
    pub visible: bool,
}

/// A picture of a bird.
#[derive(Clone, Debug, PartialEq)]
pub struct Specimen {
    /// The picture, before any JPEG compression.
    pub picture: RgbImage,
    /// One box per part.
    pub parts: Vec<PartBox>,
    /// The box of the whole bird.
    pub bird: PixelBox,
    /// The quality for writing the picture as JPEG.
    pub quality: u8,
}

impl Specimen {
    /// Returns a black picture without a bird.
    pub(super) fn blank(size: u32) -> Self {
        let picture = RgbImage::new(size, size);
        Self { picture, parts: Vec::new(), bird: PixelBox::default(), quality: 90 }
    }

    /// Paints a bird; `None` if a canvas cannot be created. `scene` is the random source of the
    /// environment, `plumes` that of the feathers.
    pub(super) fn render(
        species: &Species,
        size: u32,
        scene: &mut impl Rng,
        plumes: &mut impl Rng,
    ) -> Option<Self> {
        let side = size as f32;
        let environment = Environment::draw(scene);
        let pose = Pose::new(&environment.stance, &species.traits, side);
        let backdrop = backdrop::backdrop(environment.backdrop, size, scene)?;
        let mut picture = Canvas::from_pixels(backdrop);
        perch::perch(&mut picture, &pose, environment.perch, &species.plumage, side, scene);
        let bird = painted_bird(species, &environment, &pose, size, plumes)?;
        lens::lay_over(&mut picture.pixels, &bird);
        let extent = silhouette(&pose, &species.traits);
        let veil = match environment.cover {
            Some(kind) => veil(kind, &extent, size, scene),
            None => None,
        };
        if let Some(veil) = &veil {
            lens::lay_over(&mut picture.pixels, veil);
        }
        lens::soften(&mut picture.pixels, environment.flaws.blur * side / BLUR_SIZE);
        Some(Self {
            picture: lens::exposed(&picture.pixels, &environment.light, &environment.flaws, scene),
            parts: boxes(&pose, &species.traits, veil.as_ref(), size),
            bird: PixelBox::around(&extent, size),
            quality: environment.flaws.quality,
        })
    }
}

/// Paints the bird alone, in the light of its environment.
fn painted_bird(
    species: &Species,
    environment: &Environment,
    pose: &Pose,
    size: u32,
    rng: &mut impl Rng,
) -> Option<Pixmap> {
    let Species { traits, plumage, .. } = species;
    let mut canvas = Canvas::new(size, size)?;
    wing::tail(&mut canvas, pose, &traits.tail, plumage, rng);
    head::crest(&mut canvas, pose, traits.crown, rng);
    paint::body(&mut canvas, pose, plumage, rng);
    paint::tail_coverts(&mut canvas, pose, plumage, rng);
    paint::breast(&mut canvas, pose, traits.breast, rng);
    head::crown(&mut canvas, pose, traits.crown, rng);
    wing::wing(&mut canvas, pose, traits.wing, plumage, rng);
    head::face(&mut canvas, pose, traits.eye, plumage);
    head::beak(&mut canvas, pose, &traits.beak, plumage);
    lens::round_off(&mut canvas.pixels, 0.17 * pose.scale, &environment.light);
    // The eye is painted after shading: it is wet and dark in any light.
    head::eye(&mut canvas, pose, environment.light.from);
    Some(canvas.pixels)
}

/// Paints the foreground object at full size.
fn veil(kind: Cover, extent: &[At], size: u32, rng: &mut impl Rng) -> Option<Pixmap> {
    let (low, high) = bounds(extent);
    let span = high - low;
    let aim = low + at(span.x * rng.random::<f32>(), span.y * rng.random::<f32>());
    let canvas = backdrop::cover(kind, aim, span.x * 0.36, size, rng)?;
    lens::enlarged(&canvas.pixels, size)
}

/// Returns the outermost points of the bird, including crest and feet.
fn silhouette(pose: &Pose, traits: &Traits) -> Vec<At> {
    let mut points = pose.extent(traits);
    if let Some(Marking { pattern: CrownPattern::Crest, .. }) = traits.crown {
        points.extend(pose.bodies(&CREST_TIPS));
    }
    let drop = at(pose.facing() * 0.05, 0.235) * pose.scale;
    points.extend(HIPS.map(|hip| pose.body(hip) + drop));
    points
}

/// Returns the points that bound a part, in the picture.
fn rim(part: Part, pose: &Pose, traits: &Traits) -> Vec<At> {
    match part {
        Part::Beak => {
            let (upper, lower) = head::beak_halves(&traits.beak);
            pose.bodies(&[upper, lower].concat())
        }
        Part::Crown => match traits.crown {
            Some(Marking { pattern: CrownPattern::Crest, .. }) => {
                pose.bodies(&[CROWN_AREA.as_slice(), &CREST_TIPS].concat())
            }
            _ => pose.bodies(&CROWN_AREA),
        },
        Part::Eye => {
            let reach = EYE_RADIUS * 1.6;
            [at(-reach, 0.0), at(reach, 0.0), at(0.0, -reach), at(0.0, reach)]
                .map(|arm| pose.body(EYE + arm))
                .to_vec()
        }
        Part::Wing => wing::wing_rim().iter().map(|p| pose.wing(*p)).collect(),
        Part::Breast => pose.bodies(&BREAST_AREA),
        Part::Tail => {
            let root = TAIL_ROOT + TAIL_WAY * 0.08;
            let side = TAIL_WAY.across() * 0.05;
            let mut points = vec![pose.tail(root + side), pose.tail(root - side)];
            points.extend(
                tail_quills(&traits.tail, pose.spread()).iter().map(|quill| pose.tail(quill.tip)),
            );
            points
        }
    }
}

/// Returns the share of a part's box that the foreground object covers.
fn covered(area: &PixelBox, veil: &Pixmap) -> f32 {
    let mut hidden = 0_u32;
    for y in area.top..area.bottom {
        for x in area.left..area.right {
            hidden += u32::from(veil.pixel(x, y).is_some_and(|pixel| pixel.alpha() > OPAQUE));
        }
    }
    let count = (area.right - area.left) * (area.bottom - area.top);
    hidden as f32 / count.max(1) as f32
}

fn boxes(pose: &Pose, traits: &Traits, veil: Option<&Pixmap>, size: u32) -> Vec<PartBox> {
    Part::ALL
        .into_iter()
        .map(|part| {
            let points = rim(part, pose, traits);
            let area = PixelBox::around(&points, size);
            let (low, high) = bounds(&points);
            let whole = (high.x - low.x) * (high.y - low.y);
            let kept = if area.is_empty() {
                0.0
            } else {
                ((area.right - area.left) * (area.bottom - area.top)) as f32
            };
            let inside = kept > MIN_INSIDE * whole && !area.is_empty();
            let clear = inside && veil.is_none_or(|veil| covered(&area, veil) < MAX_COVERED);
            PartBox { part, area, visible: clear }
        })
        .collect()
}
