/*!
The head: crown, eye and beak.
*/

use rand::{Rng, RngExt};

use super::anatomy::{EYE, EYE_RADIUS, GAPE, beak_form, flow};
use super::brush::{Canvas, disc, feather, limb, outline, oval, polygon, sliver};
use super::colour::{Colour, Plumage, Tint, rgb};
use super::plane::{At, at};
use super::pose::Pose;
use super::traits::{Beak, CrownPattern, EyePattern, Marking};

const CAP: [At; 9] = [
    at(0.52, -0.475),
    at(0.44, -0.500),
    at(0.34, -0.528),
    at(0.22, -0.505),
    at(0.10, -0.440),
    at(-0.02, -0.420),
    at(0.05, -0.620),
    at(0.25, -0.720),
    at(0.50, -0.640),
];
const FRONT: [At; 6] = [
    at(0.52, -0.455),
    at(0.43, -0.480),
    at(0.36, -0.530),
    at(0.32, -0.600),
    at(0.34, -0.720),
    at(0.55, -0.620),
];
const NAPE: [At; 7] = [
    at(0.22, -0.600),
    at(0.18, -0.500),
    at(0.11, -0.400),
    at(0.02, -0.320),
    at(-0.10, -0.330),
    at(-0.05, -0.520),
    at(0.12, -0.660),
];
const BROW: [At; 8] = [
    at(0.480, -0.462),
    at(0.400, -0.500),
    at(0.340, -0.518),
    at(0.250, -0.495),
    at(0.140, -0.425),
    at(0.150, -0.470),
    at(0.250, -0.550),
    at(0.390, -0.565),
];

/// Paints the feathers of a crest, which stand up behind the outline of the head.
pub fn crest(
    canvas: &mut Canvas,
    pose: &Pose,
    marking: Option<Marking<CrownPattern>>,
    rng: &mut impl Rng,
) {
    let Some(Marking { pattern: CrownPattern::Crest, tint }) = marking else { return };
    for step in 0..11 {
        let place = step as f32 / 10.0;
        let root = at(0.40, -0.585).towards(at(0.16, -0.585), place) + at(0.0, 0.03);
        let reach = 0.13 + 0.12 * place + rng.random_range(-0.022..0.022);
        let tip = root + at(-0.75, -0.72 + 0.42 * place).unit() * reach;
        let colour = tint.colour().jittered(rng, 0.08);
        canvas.fill(
            feather(pose.body(root), pose.body(tip), 0.026 * pose.scale, 0.15),
            colour,
            1.0,
        );
    }
}

/// Paints the marking of the crown.
pub fn crown(
    canvas: &mut Canvas,
    pose: &Pose,
    marking: Option<Marking<CrownPattern>>,
    rng: &mut impl Rng,
) {
    let Some(Marking { pattern, tint }) = marking else { return };
    let area: &[At] = match pattern {
        CrownPattern::Cap | CrownPattern::Crest => &CAP,
        CrownPattern::Front => &FRONT,
        CrownPattern::Nape => &NAPE,
        CrownPattern::Brow => &BROW,
    };
    let ink = tint.colour();
    canvas.keep_within(true);
    canvas.fill(outline(&pose.bodies(area)), ink, 0.88);
    // Feathers along the edge break up its hard outline.
    let inner = area.len().min(6) - 1;
    for pair in area.windows(2).take(inner) {
        let [from, to] = pair else { continue };
        for step in 0..4 {
            let p = from.towards(*to, step as f32 / 4.0) + at(0.0, rng.random_range(-0.03..0.004));
            let tip = p + flow(p) * rng.random_range(0.035..0.06);
            let stroke = feather(pose.body(p), pose.body(tip), 0.009 * pose.scale, 0.4);
            canvas.fill(stroke, ink.jittered(rng, 0.05), 0.75);
        }
    }
    canvas.keep_within(false);
}

/// Paints the cheek, the lore and the surroundings of the eye.
pub fn face(
    canvas: &mut Canvas,
    pose: &Pose,
    marking: Option<Marking<EyePattern>>,
    plumage: &Plumage,
) {
    let unit = pose.scale;
    let centre = pose.body(EYE);
    let radius = EYE_RADIUS * unit;
    let dusk = plumage.mantle.scaled(0.55);
    canvas.keep_within(true);
    let cheek = plumage.mantle.mix(plumage.belly, 0.55);
    canvas.glow(pose.body(at(0.265, -0.385)), 0.125 * unit, cheek, 0.55);
    canvas.glow(pose.body(at(0.150, -0.400)), 0.085 * unit, plumage.mantle.scaled(0.7), 0.35);
    canvas.fill(
        sliver(pose.body(GAPE), pose.body(at(0.22, -0.445)), 0.016 * unit, 0.0),
        dusk,
        0.55,
    );
    canvas.fill(disc(centre, radius * 1.28), dusk, 0.55);
    canvas.keep_within(false);
    surround(canvas, pose, marking, centre, radius);
}

/// Paints the eye with its highlight.
pub fn eye(canvas: &mut Canvas, pose: &Pose, gleam: At) {
    let (centre, radius) = (pose.body(EYE), EYE_RADIUS * pose.scale);
    canvas.fill(disc(centre, radius), rgb(24, 18, 16), 1.0);
    canvas.fill(disc(centre, radius * 0.84), rgb(66, 42, 28), 0.9);
    canvas.fill(disc(centre + gleam * (radius * -0.05), radius * 0.62), rgb(10, 8, 9), 1.0);
    // Light that enters the eye glows on the opposite side.
    canvas.fill(
        oval(centre - gleam * (radius * 0.45), radius * 0.40, radius * 0.22, 0.3),
        rgb(120, 104, 92),
        0.30,
    );
    canvas.fill(disc(centre + gleam * (radius * 0.42), radius * 0.27), rgb(255, 255, 250), 0.97);
}

fn surround(
    canvas: &mut Canvas,
    pose: &Pose,
    marking: Option<Marking<EyePattern>>,
    centre: At,
    radius: f32,
) {
    let Some(Marking { pattern, tint }) = marking else { return };
    let ink = tint.colour();
    match pattern {
        EyePattern::Ring => canvas.fill(disc(centre, radius * 1.42), ink, 1.0),
        EyePattern::Crescents => {
            for side in [-1.0, 1.0] {
                let ends = [at(-0.052, side * 0.044), at(0.052, side * 0.044)];
                let [from, to] = ends.map(|end| pose.body(EYE + end));
                let bend = (pose.body(EYE + at(0.0, side)) - centre).unit();
                let sign = if (to - from).across().dot(bend) > 0.0 { 1.0 } else { -1.0 };
                let arc = sliver(from, to, radius * 0.26, sign * radius * 0.75);
                canvas.fill(arc, ink, 1.0);
            }
        }
        EyePattern::Patch => {
            let patch = [
                at(0.425, -0.445),
                at(0.385, -0.535),
                at(0.320, -0.540),
                at(0.245, -0.470),
                at(0.285, -0.400),
                at(0.365, -0.385),
            ]
            .map(|p| EYE.towards(p, 0.88));
            canvas.fill(outline(&pose.bodies(&patch)), ink, 0.97);
        }
    }
}

/// Returns the outlines of the upper and the lower half of the beak at rest.
pub fn beak_halves(beak: &Beak) -> (Vec<At>, Vec<At>) {
    let form = beak_form(beak);
    let root = at(0.452, -0.415);
    let line =
        |share: f32| root + at(form.length * share, 0.012 * share + form.droop * share * share);
    let tip = line(1.0);
    let mut upper = vec![root + at(0.0, -form.depth)];
    for share in [0.3, 0.6, 0.85] {
        upper.push(line(share) + at(0.0, -form.depth * (1.0 - share).powf(0.62)));
    }
    upper.push(tip);
    if form.hook > 0.0 {
        upper.push(tip + at(0.012, form.hook));
        upper.push(tip + at(-0.030, form.hook * 0.15));
    }
    upper.extend([line(0.75), line(0.45), line(0.2), root]);
    let mut lower = vec![root, line(0.2), line(0.45), line(0.75), line(0.93)];
    for share in [0.75, 0.5, 0.25, 0.0] {
        let deep = form.depth * 0.80 * (0.93_f32 - share).max(0.0).powf(0.62);
        lower.push(line(share) + at(0.0, deep));
    }
    (upper, lower)
}

/// Paints the beak.
pub fn beak(canvas: &mut Canvas, pose: &Pose, beak: &Beak, plumage: &Plumage) {
    let unit = pose.scale;
    let ink = beak.tint.colour();
    let (upper, lower) = beak_halves(beak);
    let (upper, lower) = (pose.bodies(&upper), pose.bodies(&lower));
    let high = upper.first().copied().unwrap_or_default();
    let deep = lower.last().copied().unwrap_or_default();
    let stops = [(0.0, lit(ink, 0.20), 1.0), (0.45, ink, 1.0), (1.0, ink.scaled(0.66), 1.0)];
    canvas.blend(polygon(&lower), (high, deep), &stops);
    canvas.blend(polygon(&upper), (high, deep), &stops);
    let gape: Vec<At> = lower.iter().take(5).copied().collect();
    let dark = if beak.tint == Tint::Black { rgb(92, 90, 92) } else { ink.scaled(0.42) };
    canvas.fill(limb(&gape, 0.0065 * unit, 0.003 * unit), dark, 0.8);
    let shine: Vec<At> =
        upper.iter().take(4).zip(&lower).map(|(top, gape)| top.towards(*gape, 0.30)).collect();
    canvas.fill(limb(&shine, 0.008 * unit, 0.002 * unit), lit(ink, 0.55), 0.55);
    // Short feathers overlap the root of the beak.
    for place in [-0.030, -0.010, 0.012, 0.030] {
        let from = pose.body(at(0.425, -0.418 + place * 1.1));
        let to = pose.body(at(0.478, -0.418 + place));
        let colour = plumage.mantle.mix(plumage.breast, 0.25).scaled(0.85);
        canvas.fill(sliver(from, to, 0.010 * unit, 0.0), colour, 0.75);
    }
}

fn lit(colour: Colour, share: f32) -> Colour {
    colour.mix(rgb(255, 252, 244), share)
}
