/*!
The folded wing and the tail, feather by feather.
*/

use rand::{Rng, RngExt};

use super::anatomy::tail_quills;
use super::brush::{Canvas, feather, outline, sliver};
use super::colour::{Colour, Plumage, Tint, rgb};
use super::plane::{At, at};
use super::pose::Pose;
use super::traits::{Marking, Tail, WingPattern};

/// Returns a point of the wing: `along` from shoulder to tip, `down` from back to flank.
fn spot(along: f32, down: f32) -> At {
    at(0.255, -0.115) + at(-0.937, 0.349) * along + at(0.349, 0.937) * down
}

/// The rim of the folded wing, as pairs of `along` and `down`.
const RIM: [(f32, f32); 12] = [
    (-0.01, 0.00),
    (0.01, 0.10),
    (0.12, 0.175),
    (0.32, 0.190),
    (0.52, 0.150),
    (0.75, 0.085),
    (0.97, 0.030),
    (0.80, -0.005),
    (0.62, -0.065),
    (0.40, -0.120),
    (0.20, -0.135),
    (0.05, -0.090),
];

/// Returns the rim of the wing at rest.
pub fn wing_rim() -> Vec<At> {
    RIM.iter().map(|(along, down)| spot(*along, *down)).collect()
}

/// One feather of the wing: root and tip as pairs of `along` and `down`, half width, roundness.
struct Vane {
    root: (f32, f32),
    tip: (f32, f32),
    half: f32,
    blunt: f32,
}

/// Paints the wing with the marking of the species.
pub fn wing(
    canvas: &mut Canvas,
    pose: &Pose,
    marking: Option<Marking<WingPattern>>,
    plumage: &Plumage,
    rng: &mut impl Rng,
) {
    shadow(canvas, pose, plumage);
    let rim: Vec<At> = wing_rim().iter().map(|p| pose.wing(*p)).collect();
    canvas.fill(outline(&rim), plumage.flight, 1.0);
    long_feathers(canvas, pose, plumage, rng);
    panel(canvas, pose, marking, rng);
    tertials(canvas, pose, plumage, rng);
    let bar = |wanted: &[WingPattern]| {
        marking.filter(|mark| wanted.contains(&mark.pattern)).map(|mark| mark.tint)
    };
    let great = bar(&[WingPattern::OneBar, WingPattern::TwoBars]);
    coverts(canvas, pose, plumage, (0.13, 0.21, 8), great, rng);
    coverts(canvas, pose, plumage, (0.045, 0.155, 7), bar(&[WingPattern::TwoBars]), rng);
    shoulder(canvas, pose, plumage, rng);
}

/// Paints the shadow of the wing on the flank.
fn shadow(canvas: &mut Canvas, pose: &Pose, plumage: &Plumage) {
    canvas.keep_within(true);
    let dark = plumage.mantle.scaled(0.35);
    for (drop, alpha) in [(0.045, 0.10), (0.028, 0.14), (0.012, 0.20)] {
        let rim: Vec<At> =
            wing_rim().iter().map(|p| pose.wing(*p + at(drop * 0.3, drop))).collect();
        canvas.fill(outline(&rim), dark, alpha);
    }
    canvas.keep_within(false);
}

/// Paints one feather with a pale rim and a dark shaft.
fn vane(canvas: &mut Canvas, pose: &Pose, vane: &Vane, fill: Colour, rim: Colour) {
    let unit = pose.scale;
    let root = pose.wing(spot(vane.root.0, vane.root.1));
    let tip = pose.wing(spot(vane.tip.0, vane.tip.1));
    let along = tip - root;
    canvas.fill(feather(root, tip, vane.half * unit, vane.blunt), rim, 1.0);
    let inner =
        feather(root, tip - along.unit() * (0.008 * unit), (vane.half - 0.0075) * unit, vane.blunt);
    canvas.fill(inner, fill, 1.0);
    if pose.shows_shafts() {
        let shaft = sliver(root, tip - along * 0.06, 0.0028 * unit, 0.0);
        canvas.fill(shaft, fill.scaled(0.6), 0.7);
    }
}

/// Paints primaries and secondaries, the longest first, so that the others overlap them.
fn long_feathers(canvas: &mut Canvas, pose: &Pose, plumage: &Plumage, rng: &mut impl Rng) {
    for step in 0..7 {
        let place = step as f32;
        let feather = Vane {
            root: (0.36, 0.125 - 0.016 * place),
            tip: (0.985 - 0.052 * place, 0.040 - 0.010 * place),
            half: 0.024,
            blunt: 0.35,
        };
        let fill = plumage.flight.scaled(0.86).jittered(rng, 0.015);
        vane(canvas, pose, &feather, fill, plumage.edging.mix(plumage.flight, 0.15));
    }
    for step in 0..6 {
        let place = step as f32;
        let feather = Vane {
            root: (0.24, 0.165 - 0.036 * place),
            tip: (0.570 + 0.022 * place, 0.150 - 0.030 * place),
            half: 0.026,
            blunt: 0.5,
        };
        let fill = plumage.flight.jittered(rng, 0.02);
        vane(canvas, pose, &feather, fill, plumage.edging.mix(fill, 0.15));
    }
}

/// Paints the patch on the closed secondaries, if the species has one.
fn panel(
    canvas: &mut Canvas,
    pose: &Pose,
    marking: Option<Marking<WingPattern>>,
    rng: &mut impl Rng,
) {
    let Some(Marking { pattern: WingPattern::Panel, tint }) = marking else { return };
    for step in 0..5 {
        let place = step as f32;
        let reach = 0.50 + 0.024 * place + rng.random_range(-0.012..0.012);
        let root = pose.wing(spot(0.30, 0.165 - 0.034 * place));
        let tip = pose.wing(spot(reach, 0.146 - 0.030 * place));
        let ink = tint.colour().jittered(rng, 0.03);
        canvas.fill(feather(root, tip, 0.0185 * pose.scale, 0.7), ink, 0.95);
    }
}

fn tertials(canvas: &mut Canvas, pose: &Pose, plumage: &Plumage, rng: &mut impl Rng) {
    for step in 0..3 {
        let place = step as f32;
        let feather = Vane {
            root: (0.20, -0.030 - 0.018 * place),
            tip: (0.690 - 0.075 * place, -0.018 - 0.024 * place),
            half: 0.040,
            blunt: 0.8,
        };
        let fill = plumage.flight.mix(plumage.mantle, 0.2).jittered(rng, 0.02);
        vane(canvas, pose, &feather, fill, plumage.edging.mix(rgb(250, 246, 236), 0.2));
    }
}

/// Paints a row of coverts. `row` is start, length and number of feathers; `bar` colours the tips.
fn coverts(
    canvas: &mut Canvas,
    pose: &Pose,
    plumage: &Plumage,
    row: (f32, f32, usize),
    bar: Option<Tint>,
    rng: &mut impl Rng,
) {
    let (start, length, count) = row;
    for step in 0..count {
        let place = step as f32 / (count - 1) as f32;
        let down = -0.105 + 0.278 * place;
        // The row is curved, because the arm that carries the feathers is bent.
        let lean = 0.045 * (1.0 - (2.0 * place - 1.0).powi(2)) - 0.05 * place;
        let feather_shape = Vane {
            root: (start, down),
            tip: (start + length + lean, down * 0.96 + 0.004),
            half: 0.027,
            blunt: 0.9,
        };
        let fill = plumage.flight.mix(plumage.mantle, 0.30).jittered(rng, 0.025);
        vane(canvas, pose, &feather_shape, fill, plumage.edging.mix(fill, 0.45));
        if let Some(tint) = bar {
            let end = start + length + lean + rng.random_range(-0.006..0.012);
            let root = pose.wing(spot(end - 0.054, down * 0.97));
            let tip = pose.wing(spot(end, down * 0.96 + 0.004));
            let ink = tint.colour().jittered(rng, 0.035);
            canvas.fill(feather(root, tip, 0.0235 * pose.scale, 0.9), ink, 1.0);
        }
    }
}

/// Paints small feathers where the wing meets back and breast.
fn shoulder(canvas: &mut Canvas, pose: &Pose, plumage: &Plumage, rng: &mut impl Rng) {
    for step in 0..34 {
        let place = step as f32 / 33.0;
        let along = rng.random_range(-0.035..0.10) + 0.02 * place;
        let down = -0.125 + 0.27 * rng.random::<f32>();
        let root = spot(along - 0.035, down);
        let tip = spot(along + 0.05, down * 0.98);
        let colour = plumage.mantle.jittered(rng, 0.06);
        let (root, tip) = (pose.body(root).towards(pose.wing(root), 0.6), pose.wing(tip));
        canvas.fill(feather(root, tip, 0.017 * pose.scale, 0.8), colour, 0.85);
    }
    for _ in 0..30 {
        let along = rng.random_range(0.02..0.50);
        let top = -0.150 + 0.20 * f32::max(0.0, along - 0.22);
        let down = top + rng.random_range(-0.03..0.055);
        let root = spot(along - 0.04, down - 0.012);
        let tip = spot(along + 0.06, down + 0.012);
        let colour = plumage.mantle.jittered(rng, 0.06);
        let (root, tip) = (pose.body(root), pose.body(tip).towards(pose.wing(tip), 0.5));
        canvas.fill(feather(root, tip, 0.019 * pose.scale, 0.7), colour, 0.75);
    }
}

/// Paints the tail, including the colour of its tip.
pub fn tail(canvas: &mut Canvas, pose: &Pose, tail: &Tail, plumage: &Plumage, rng: &mut impl Rng) {
    let unit = pose.scale;
    for quill in tail_quills(tail, pose.spread()) {
        let (root, tip) = (pose.tail(quill.root), pose.tail(quill.tip));
        let half = quill.half_width * unit;
        let along = tip - root;
        let fill = plumage.flight.jittered(rng, 0.025);
        canvas.fill(feather(root, tip, half, 0.7), plumage.edging, 1.0);
        let inner = tip - along.unit() * (0.008 * unit);
        canvas.fill(feather(root, inner, half - 0.008 * unit, 0.7), fill, 1.0);
        if let Some(tint) = tail.tip {
            let start = tip - along.unit() * (0.135 * unit);
            let ink = tint.colour().jittered(rng, 0.02);
            canvas.fill(feather(start, tip, half * 0.96, 0.85), ink, 1.0);
        }
        if pose.shows_shafts() {
            canvas.fill(sliver(root, tip, 0.003 * unit, 0.0), fill.scaled(0.6), 0.7);
        }
    }
}
