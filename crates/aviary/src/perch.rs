/*!
The perch, and the legs of the bird on it.
*/

use rand::{Rng, RngExt};

use super::anatomy::HIPS;
use super::brush::{Canvas, disc, leaf, limb, outline, oval, sliver};
use super::colour::{Colour, Plumage, rgb};
use super::plane::{At, at};
use super::pose::Pose;
use super::scene::Perch;

const BARKS: [Colour; 5] =
    [rgb(112, 94, 76), rgb(92, 80, 68), rgb(134, 122, 106), rgb(84, 72, 62), rgb(122, 110, 84)];
const GREENS: [Colour; 5] =
    [rgb(104, 132, 58), rgb(78, 112, 52), rgb(134, 146, 70), rgb(150, 132, 62), rgb(92, 122, 78)];
const SOILS: [Colour; 5] =
    [rgb(128, 112, 84), rgb(96, 108, 62), rgb(160, 146, 116), rgb(112, 122, 76), rgb(140, 122, 92)];

/// The position of the bird's feet, and the slope of the perch there.
#[derive(Clone, Copy)]
struct Footing {
    place: At,
    slope: f32,
}

impl Footing {
    fn at_x(self, x: f32) -> At {
        at(x, self.place.y + (x - self.place.x) * self.slope)
    }
}

/// Paints the perch, the bird's shadow on it, and the legs.
pub fn perch(
    canvas: &mut Canvas,
    pose: &Pose,
    perch: Perch,
    plumage: &Plumage,
    size: f32,
    rng: &mut impl Rng,
) {
    let hips = HIPS.map(|hip| pose.body(hip));
    let [near, far] = hips;
    let slope = match perch {
        Perch::Branch | Perch::Twig => rng.random_range(-0.35..0.35),
        Perch::Reed => rng.random_range(0.7..1.2) * if rng.random_bool(0.5) { 1.0 } else { -1.0 },
        Perch::Stone | Perch::Ground => rng.random_range(-0.04..0.04),
    };
    let forward = at(pose.facing() * 0.05, 0.185) * pose.scale;
    let footing = Footing { place: near.towards(far, 0.5) + forward, slope };
    match perch {
        Perch::Branch => branch(canvas, footing, size, 0.080 * pose.scale, rng),
        Perch::Twig => twig(canvas, footing, size, 0.036 * pose.scale, rng),
        Perch::Reed => reed(canvas, footing, size, 0.034 * pose.scale, rng),
        Perch::Stone => stone(canvas, footing, size, pose.scale, rng),
        Perch::Ground => ground(canvas, footing, size, pose.scale, rng),
    }
    cast(canvas, footing, pose, perch);
    for hip in [far, near] {
        let step = rng.random_range(0.02..0.07) * pose.facing() * pose.scale;
        leg(canvas, hip, footing.at_x(hip.x + step), pose, plumage);
    }
}

/// Paints the soft shadow below the bird, on flat perches.
fn cast(canvas: &mut Canvas, footing: Footing, pose: &Pose, perch: Perch) {
    canvas.keep_within(true);
    let flat = matches!(perch, Perch::Stone | Perch::Ground);
    if flat {
        let centre = footing.place + at(-0.08 * pose.facing(), 0.035) * pose.scale;
        canvas.flat_glow(centre, (0.62 * pose.scale, 0.19), rgb(22, 20, 18), 0.62);
        canvas.flat_glow(centre, (0.22 * pose.scale, 0.16), rgb(16, 14, 12), 0.45);
    }
    canvas.keep_within(false);
}

fn leg(canvas: &mut Canvas, hip: At, foot: At, pose: &Pose, plumage: &Plumage) {
    let (unit, way) = (pose.scale, pose.facing());
    let dark = plumage.leg.scaled(0.62);
    let ankle = hip.towards(foot, 0.42) + at(-0.045 * way * unit, 0.0);
    let foot = foot + at(0.0, -0.012 * unit);
    for (shift, colour, half) in [(0.0, dark, 0.017), (0.004, plumage.leg, 0.0115)] {
        let moved = at(shift * way * unit, -shift * unit);
        let bones = [hip + moved, ankle + moved, foot + moved];
        canvas.fill(limb(&bones, half * 1.2 * unit, half * unit), colour, 1.0);
        for (reach, drop) in [(0.105, 0.050), (0.078, 0.068), (0.046, 0.072), (-0.062, 0.050)] {
            let knuckle = foot + moved + at(reach * 0.6 * way * unit, 0.006 * unit);
            let end = foot + moved + at(reach * way * unit, drop * unit);
            let toe = [foot + moved, knuckle, end];
            canvas.fill(limb(&toe, half * 0.95 * unit, half * 0.5 * unit), colour, 1.0);
        }
    }
    canvas.fill(disc(foot, 0.016 * unit), plumage.leg, 1.0);
}

/// Returns a wavy line through the footing, across the whole picture.
fn line(footing: Footing, size: f32, sway: f32, rng: &mut impl Rng) -> Vec<At> {
    let way = at(1.0, footing.slope).unit();
    let side = way.across();
    (-8_i32..=8)
        .map(|step| {
            let far = step.abs().saturating_sub(1) as f32 / 7.0;
            let wander = rng.random_range(-1.0..1.0_f32) * sway * far;
            footing.place + way * (step as f32 * size * 0.19) + side * wander
        })
        .collect()
}

fn branch(canvas: &mut Canvas, footing: Footing, size: f32, half: f32, rng: &mut impl Rng) {
    let half = half * rng.random_range(0.75..1.5);
    let bark = BARKS[rng.random_range(0..BARKS.len())].jittered(rng, 0.05);
    let way = at(1.0, footing.slope).unit();
    let side = way.across();
    let lowered = Footing { place: footing.place + side * (half * 0.85), ..footing };
    let spine = line(lowered, size, half * 0.9, rng);
    let grow = rng.random_range(0.7..1.3);
    let ends = (footing.place - side * (half * 0.2), lowered.place + side * half);
    let stops = [(0.0, bark.scaled(1.32), 1.0), (0.4, bark, 1.0), (1.0, bark.scaled(0.42), 1.0)];
    for _ in 0..rng.random_range(0..3) {
        shoot(canvas, &spine, half, bark, size, rng);
    }
    canvas.blend(limb(&spine, half * grow, half / grow), ends, &stops);
    canvas.keep_within(false);
    for _ in 0..64 {
        let place = lowered.place
            + way * (size * rng.random_range(-0.8..0.8))
            + side * (half * rng.random_range(-0.75..0.8_f32));
        let reach = way * (half * rng.random_range(0.4..1.6))
            + side * (half * rng.random_range(-0.12..0.12));
        let light = rng.random_bool(0.42);
        let ink = bark.scaled(if light { 1.45 } else { 0.45 });
        canvas.fill(sliver(place, place + reach, half * 0.045, 0.0), ink, 0.42);
    }
    let lichen = rgb(158, 168, 130).jittered(rng, 0.10);
    for _ in 0..rng.random_range(0..12) {
        let place = lowered.place
            + way * (size * rng.random_range(-0.6..0.6))
            + side * (half * rng.random_range(-0.6..0.5));
        let wide = half * rng.random_range(0.10..0.32);
        canvas.fill(oval(place, wide, wide * 0.6, footing.slope), lichen, 0.55);
    }
}

/// Paints a side shoot with leaves.
fn shoot(
    canvas: &mut Canvas,
    spine: &[At],
    half: f32,
    bark: Colour,
    size: f32,
    rng: &mut impl Rng,
) {
    let Some(root) = spine.get(rng.random_range(4..13)).copied() else { return };
    let lean = if rng.random_bool(0.65) { 1.0 } else { -1.0 };
    let way = at(rng.random_range(-1.0..1.0), lean).unit();
    let reach = size * rng.random_range(0.12..0.34);
    let tip = root + way * reach + at(0.08 * size * rng.random_range(-1.0..1.0), 0.0);
    let middle = root.towards(tip, 0.5) + way.across() * (0.05 * reach);
    canvas.fill(limb(&[root, middle, tip], half * 0.32, half * 0.12), bark.scaled(0.75), 1.0);
    let green = GREENS[rng.random_range(0..GREENS.len())].jittered(rng, 0.06);
    for place in [0.45, 0.75, 1.0] {
        let stalk = root.towards(tip, place);
        let aim = way.turned(At::default(), rng.random_range(-1.1..1.1));
        blade(canvas, stalk, stalk + aim * (size * rng.random_range(0.07..0.14)), green, rng);
    }
}

/// Paints a leaf with its midrib, one half lit and one half in shade.
fn blade(canvas: &mut Canvas, stalk: At, tip: At, green: Colour, rng: &mut impl Rng) {
    let half = (tip - stalk).length() * rng.random_range(0.17..0.26);
    let ink = green.jittered(rng, 0.06);
    let side = (tip - stalk).unit().across() * half;
    let ends = (stalk - side, stalk + side);
    let stops = [
        (0.0, ink.scaled(1.25), 1.0),
        (0.49, ink.scaled(1.05), 1.0),
        (0.51, ink.scaled(0.82), 1.0),
        (1.0, ink.scaled(0.66), 1.0),
    ];
    canvas.blend(leaf(stalk, tip, half), ends, &stops);
    canvas.fill(sliver(stalk, tip, half * 0.05, 0.0), ink.scaled(1.4), 0.7);
}

fn twig(canvas: &mut Canvas, footing: Footing, size: f32, half: f32, rng: &mut impl Rng) {
    let bark = BARKS[rng.random_range(0..BARKS.len())].jittered(rng, 0.05);
    let green = GREENS[rng.random_range(0..GREENS.len())].jittered(rng, 0.06);
    let side = at(1.0, footing.slope).unit().across();
    let lowered = Footing { place: footing.place + side * (half * 0.8), ..footing };
    let spine = line(lowered, size, half * 1.6, rng);
    for p in &spine {
        if rng.random_bool(0.55) {
            let up = if rng.random_bool(0.3) { -1.0 } else { 1.0 };
            let aim = at(rng.random_range(-1.0..1.0), up).unit();
            blade(canvas, *p, *p + aim * (size * rng.random_range(0.08..0.16)), green, rng);
        }
    }
    let ends = (footing.place, footing.place + side * (half * 2.0));
    let stops = [(0.0, bark.scaled(1.3), 1.0), (1.0, bark.scaled(0.5), 1.0)];
    canvas.blend(limb(&spine, half, half * 0.8), ends, &stops);
}

fn reed(canvas: &mut Canvas, footing: Footing, size: f32, half: f32, rng: &mut impl Rng) {
    let straw = rgb(176, 160, 98).mix(rgb(122, 140, 70), rng.random());
    let way = at(1.0, footing.slope).unit();
    for _ in 0..4 {
        let root = footing.at_x(footing.place.x + size * rng.random_range(-0.5..0.5));
        let aim = at(rng.random_range(-1.0..1.0), rng.random_range(-1.0..0.2)).unit();
        let tip = root + aim * (size * rng.random_range(0.25..0.6));
        let ink = straw.scaled(rng.random_range(0.65..1.0));
        canvas.fill(sliver(root, tip, half * 0.55, size * 0.05), ink, 1.0);
    }
    let side = way.across();
    let lowered = Footing { place: footing.place + side * (half * 0.4), ..footing };
    let spine = line(lowered, size, half, rng);
    let ends = (lowered.place - side * half, lowered.place + side * half);
    let stops = [(0.0, straw.scaled(1.2), 1.0), (1.0, straw.scaled(0.6), 1.0)];
    canvas.blend(limb(&spine, half, half * 0.9), ends, &stops);
}

fn stone(canvas: &mut Canvas, footing: Footing, size: f32, unit: f32, rng: &mut impl Rng) {
    let grey = rgb(134, 130, 124).mix(rgb(150, 132, 108), rng.random()).jittered(rng, 0.06);
    let broad = unit.max(0.36 * size);
    let (left, right) = (rng.random_range(0.9..1.8) * broad, rng.random_range(0.9..1.8) * broad);
    let top = footing.place;
    let rock = [
        top + at(-left * 0.6, 0.05 * unit),
        top + at(0.0, -0.01 * unit),
        top + at(right * 0.6, 0.05 * unit),
        top + at(right, 0.35 * unit),
        at(top.x + right * 1.1, size * 1.2),
        at(top.x - left * 1.1, size * 1.2),
        top + at(-left, 0.32 * unit),
    ];
    let stops = [
        (0.0, grey.scaled(1.25), 1.0),
        (0.5, grey.scaled(0.85), 1.0),
        (1.0, grey.scaled(0.55), 1.0),
    ];
    canvas.blend(outline(&rock), (top, top + at(0.05 * unit, 0.9 * unit)), &stops);
    let moss = GREENS[rng.random_range(0..GREENS.len())].mix(grey, 0.35);
    for _ in 0..rng.random_range(0..9) {
        let place = top
            + at(rng.random_range(-left * 0.7..right * 0.7), rng.random_range(0.08..0.8) * unit);
        canvas.keep_within(true);
        canvas.flat_glow(place, (unit * rng.random_range(0.06..0.22), 0.5), moss, 0.6);
        canvas.keep_within(false);
    }
    for _ in 0..60 {
        let place = top
            + at(rng.random_range(-left * 0.8..right * 0.8), rng.random_range(0.06..0.9) * unit);
        let ink = grey.scaled(if rng.random_bool(0.5) { 1.35 } else { 0.5 });
        let wide = unit * rng.random_range(0.008..0.035);
        canvas.fill(oval(place, wide, wide * 0.5, 0.1), ink, 0.30);
    }
}

fn ground(canvas: &mut Canvas, footing: Footing, size: f32, unit: f32, rng: &mut impl Rng) {
    let soil = SOILS[rng.random_range(0..SOILS.len())].jittered(rng, 0.04);
    let y = footing.place.y;
    let earth = [
        at(-0.2 * size, y - 0.02 * unit),
        at(0.3 * size, y - 0.07 * unit),
        at(0.7 * size, y - 0.05 * unit),
        at(1.2 * size, y - 0.03 * unit),
        at(1.2 * size, size * 1.3),
        at(-0.2 * size, size * 1.3),
    ];
    let stops = [
        (0.0, soil.mix(rgb(210, 205, 180), 0.25), 1.0),
        (0.35, soil, 1.0),
        (1.0, soil.scaled(0.6), 1.0),
    ];
    let deep = (size - y).max(0.6 * unit);
    canvas.blend(outline(&earth), (at(0.0, y - 0.06 * unit), at(0.0, y + deep)), &stops);
    let green = GREENS[rng.random_range(0..GREENS.len())];
    let lush: f32 = rng.random_range(0.1..0.8);
    canvas.keep_within(true);
    for _ in 0..7 {
        let place = at(size * rng.random::<f32>(), y + deep * rng.random_range(0.15..1.0));
        let patch = soil.jittered(rng, 0.25).mix(green, 0.3);
        canvas.flat_glow(place, (size * rng.random_range(0.12..0.4), 0.3), patch, 0.5);
    }
    canvas.keep_within(false);
    for _ in 0..84 {
        let depth = rng.random::<f32>().powi(2);
        let root = at(size * rng.random::<f32>(), y + deep * depth * 1.1 - 0.05 * unit);
        let tall = unit * rng.random_range(0.02..0.14) * (0.5 + lush + 1.5 * depth);
        let tip = root + at(tall * rng.random_range(-0.7..0.7), -tall);
        let ink = soil.mix(green, lush).jittered(rng, 0.06).scaled(rng.random_range(0.6..1.3));
        let half = unit * (0.006 + 0.008 * depth);
        canvas.fill(sliver(root, tip, half, tall * rng.random_range(-0.2..0.2)), ink, 0.75);
    }
    for _ in 0..14 {
        let place = at(size * rng.random::<f32>(), y + deep * rng.random_range(0.0..1.0));
        let wide = unit * rng.random_range(0.010..0.035);
        canvas.fill(oval(place, wide, wide * 0.55, 0.0), soil.jittered(rng, 0.2), 0.6);
    }
}
