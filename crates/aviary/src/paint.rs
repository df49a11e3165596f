/*!
The bird's body: base colours, small feathers, and the markings of the breast.
*/

use rand::{Rng, RngExt};

use super::anatomy::{CONTOUR, GAPE, HEAD, TAIL_ROOT, TAIL_WAY, flow, on_breast, under};
use super::brush::{Canvas, feather, outline, oval, sliver};
use super::colour::{Colour, Plumage};
use super::plane::{At, at, ramp};
use super::pose::Pose;
use super::traits::{BreastPattern, Marking};

/// Returns the colour of the unmarked plumage at a point of the bird at rest.
pub fn coat(plumage: &Plumage, p: At) -> Colour {
    let face = 1.0 - ramp(0.08, 0.19, (p - at(0.27, -0.37)).length());
    let low = ramp(-0.05, 0.42, (p - GAPE).dot(at(-0.62, 0.78)) - 0.30);
    let under_part = plumage.breast.mix(plumage.belly, low);
    let cheek = plumage.mantle.mix(plumage.breast, 0.35);
    let base = plumage.mantle.mix(under_part, ramp(-0.04, 0.06, under(p)));
    // Flanks keep a hint of the back's colour.
    let flank = ramp(0.06, 0.16, under(p)) * (1.0 - ramp(0.16, 0.30, under(p)));
    let flank = flank * ramp(0.15, -0.2, p.x) * 0.30;
    base.mix(cheek, face * 0.75).mix(plumage.mantle, flank)
}

/// Paints the silhouette and its feathers.
pub fn body(canvas: &mut Canvas, pose: &Pose, plumage: &Plumage, rng: &mut impl Rng) {
    fringe(canvas, pose, plumage, rng);
    let silhouette = outline(&pose.bodies(&CONTOUR));
    canvas.fill(silhouette, plumage.mantle, 1.0);
    canvas.keep_within(true);
    underside(canvas, pose, plumage);
    small_feathers(canvas, pose, plumage, rng);
    canvas.keep_within(false);
}

/// Paints soft feather tips that stand out from the outline.
fn fringe(canvas: &mut Canvas, pose: &Pose, plumage: &Plumage, rng: &mut impl Rng) {
    for _ in 0..44 {
        let place = rng.random_range(6..CONTOUR.len() - 2);
        let pair = (CONTOUR.get(place), CONTOUR.get(place + 1));
        let (Some(from), Some(to)) = pair else { continue };
        let edge = from.towards(*to, rng.random());
        let out = (edge - at(0.0, 0.02)).unit();
        let root = edge - out * 0.03;
        let way = (flow(edge) + out * 0.12).unit();
        let tip = root + way * rng.random_range(0.07..0.12);
        let colour = coat(plumage, edge).jittered(rng, 0.03);
        canvas.fill(sliver(pose.body(root), pose.body(tip), 0.012 * pose.scale, 0.0), colour, 0.65);
    }
}

/// Paints the pale underparts, in a few layers so that their edge is soft.
fn underside(canvas: &mut Canvas, pose: &Pose, plumage: &Plumage) {
    for (inset, alpha) in [(-0.03, 0.35), (0.0, 0.45), (0.03, 0.55)] {
        let area = [
            at(0.50, -0.40 + inset),
            at(0.38, -0.36 + inset),
            at(0.25, -0.24 + inset),
            at(0.12, -0.05 + inset),
            at(-0.15, 0.135 + inset),
            at(-0.45, 0.23 + inset),
            at(-0.72, 0.30 + inset),
            at(-0.60, 0.50),
            at(0.10, 0.55),
            at(0.50, 0.25),
            at(0.60, -0.20),
        ];
        let ends = (pose.body(at(0.42, -0.20)), pose.body(at(0.02, 0.32)));
        let stops = [(0.0, plumage.breast, alpha), (1.0, plumage.belly, alpha)];
        canvas.blend(outline(&pose.bodies(&area)), ends, &stops);
    }
}

/// Paints feathers all over the body, each slightly different from the colour below it.
fn small_feathers(canvas: &mut Canvas, pose: &Pose, plumage: &Plumage, rng: &mut impl Rng) {
    let unit = pose.scale;
    for row in 0..15 {
        for column in 0..20 {
            let p = at(
                0.50 - 0.062 * column as f32 + rng.random_range(-0.035..0.035),
                -0.62 + 0.070 * row as f32 + rng.random_range(-0.035..0.035),
            );
            if !inside(p) {
                continue;
            }
            let near_head = 1.0 - ramp(0.16, 0.36, (p - HEAD).length());
            let length = 0.115 - 0.055 * near_head;
            let half = 0.019 - 0.010 * near_head;
            let way = flow(p).turned(At::default(), rng.random_range(-0.22..0.22));
            let colour = coat(plumage, p).jittered(rng, 0.055);
            let (root, tip) = (pose.body(p), pose.body(p + way * length));
            canvas.fill(feather(root, tip, half * unit, 0.6), colour, 0.60);
            if pose.shows_shafts() && under(p) < -0.03 && near_head < 0.5 {
                let shaft = sliver(root, tip, 0.0045 * unit, 0.0);
                canvas.fill(shaft, colour.scaled(0.60), 0.55);
            }
        }
    }
}

/// Returns whether a point is roughly inside the body. This saves strokes that would be invisible.
fn inside(p: At) -> bool {
    let head = (p - HEAD).length() < 0.25;
    let along = p.turned(at(0.0, 0.0), 0.60) - at(-0.05, 0.09);
    let trunk = (along.x / 0.62).powi(2) + (along.y / 0.34).powi(2) < 1.15;
    head || trunk
}

/// Paints the feathers above and below the root of the tail.
pub fn tail_coverts(canvas: &mut Canvas, pose: &Pose, plumage: &Plumage, rng: &mut impl Rng) {
    let across = TAIL_WAY.across();
    for step in 0..12 {
        let place = (step as f32 / 11.0 - 0.5) * 0.16;
        let root = TAIL_ROOT + across * place - TAIL_WAY * 0.10;
        let tip = root + (TAIL_WAY + across * place).unit() * rng.random_range(0.15..0.21);
        // `across` points up: positive positions are on the back.
        let base = if place < -0.025 { plumage.belly } else { plumage.mantle };
        let colour = base.jittered(rng, 0.04);
        canvas.fill(
            feather(pose.body(root), pose.tail(tip), 0.024 * pose.scale, 0.5),
            colour,
            0.85,
        );
    }
}

/// Paints the marking of the breast, if the species has one.
pub fn breast(
    canvas: &mut Canvas,
    pose: &Pose,
    marking: Option<Marking<BreastPattern>>,
    rng: &mut impl Rng,
) {
    let Some(Marking { pattern, tint }) = marking else { return };
    let ink = tint.colour();
    canvas.keep_within(true);
    match pattern {
        BreastPattern::Streaks => streaks(canvas, pose, ink, rng),
        BreastPattern::Spots => spots(canvas, pose, ink, rng),
        BreastPattern::Bib => bib(canvas, pose, ink, rng),
        BreastPattern::Band => band(canvas, pose, ink, rng),
    }
    canvas.keep_within(false);
}

fn streaks(canvas: &mut Canvas, pose: &Pose, ink: Colour, rng: &mut impl Rng) {
    for row in 0..9 {
        for column in 0..6 {
            let shift = if row % 2 == 0 { 0.0 } else { 0.08 };
            let along = 0.05 + 0.105 * row as f32 + rng.random_range(-0.02..0.02);
            let p = on_breast(along, 0.04 + 0.155 * column as f32 + shift);
            let way = flow(p).turned(At::default(), rng.random_range(-0.15..0.15));
            let tip = p + way * rng.random_range(0.075..0.105);
            let stroke = feather(pose.body(tip), pose.body(p), 0.0125 * pose.scale, 0.1);
            canvas.fill(stroke, ink.jittered(rng, 0.03), 0.88);
        }
    }
}

fn spots(canvas: &mut Canvas, pose: &Pose, ink: Colour, rng: &mut impl Rng) {
    for row in 0..8 {
        for column in 0..5 {
            let shift = if row % 2 == 0 { 0.0 } else { 0.09 };
            let along = 0.06 + 0.115 * row as f32 + rng.random_range(-0.02..0.02);
            let p = on_breast(along, 0.06 + 0.18 * column as f32 + shift);
            let radius = rng.random_range(0.019..0.025) * pose.scale;
            let spot = oval(pose.body(p), radius * 0.9, radius, rng.random_range(0.0..3.0));
            canvas.fill(spot, ink.jittered(rng, 0.03), 0.90);
        }
    }
}

/// Covers a section of the breast with short feathers of one colour. `reach` is the start and end
/// along the breast, and the depth.
fn tuft(canvas: &mut Canvas, pose: &Pose, ink: Colour, reach: (f32, f32, f32), rng: &mut impl Rng) {
    let (start, end, depth) = reach;
    for _ in 0..46 {
        let p = on_breast(rng.random_range(start..end), depth * rng.random_range(0.0..1.0_f32));
        let tip = p + flow(p) * rng.random_range(0.06..0.09);
        let stroke = feather(pose.body(p), pose.body(tip), 0.013 * pose.scale, 0.4);
        canvas.fill(stroke, ink.jittered(rng, 0.04), 0.8);
    }
}

fn bib(canvas: &mut Canvas, pose: &Pose, ink: Colour, rng: &mut impl Rng) {
    let area = [
        at(0.50, -0.36),
        at(0.42, -0.345),
        at(0.33, -0.27),
        at(0.27, -0.13),
        at(0.30, -0.01),
        at(0.40, 0.03),
        at(0.52, -0.05),
        at(0.55, -0.25),
    ];
    canvas.fill(outline(&pose.bodies(&area)), ink, 0.92);
    tuft(canvas, pose, ink, (0.0, 0.38, 0.36), rng);
}

fn band(canvas: &mut Canvas, pose: &Pose, ink: Colour, rng: &mut impl Rng) {
    let area = [
        at(0.50, -0.13),
        at(0.36, -0.12),
        at(0.22, -0.17),
        at(0.17, -0.10),
        at(0.24, -0.03),
        at(0.36, 0.01),
        at(0.50, 0.0),
    ];
    canvas.fill(outline(&pose.bodies(&area)), ink, 0.92);
    tuft(canvas, pose, ink, (0.19, 0.34, 0.50), rng);
}
