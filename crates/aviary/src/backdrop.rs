/*!
The out-of-focus background behind the bird, and foreground objects that hide part of it.

The background is painted small, then blurred and enlarged. This is fast, and as soft as a
background behind a telephoto lens.
*/

use std::f32::consts::{PI, TAU};

use rand::{Rng, RngExt};
use tiny_skia::Pixmap;

use super::brush::{Canvas, disc, leaf, limb, oval, polygon, sliver};
use super::colour::{Colour, rgb};
use super::lens;
use super::plane::{At, at};
use super::scene::{Backdrop, Cover};

/// Dark, middle and bright tones of each kind of surroundings.
const TONES: [[Colour; 3]; 8] = [
    [rgb(38, 58, 34), rgb(86, 116, 58), rgb(176, 192, 108)],
    [rgb(52, 66, 54), rgb(112, 132, 104), rgb(196, 206, 176)],
    [rgb(64, 52, 36), rgb(148, 118, 68), rgb(224, 192, 118)],
    [rgb(40, 54, 62), rgb(92, 116, 122), rgb(178, 196, 196)],
    [rgb(72, 62, 54), rgb(138, 124, 108), rgb(208, 198, 182)],
    [rgb(58, 40, 36), rgb(146, 92, 70), rgb(226, 168, 120)],
    [rgb(46, 62, 46), rgb(124, 142, 72), rgb(222, 216, 140)],
    [rgb(62, 58, 72), rgb(126, 118, 132), rgb(206, 194, 198)],
];

const LEAVES: [Colour; 5] =
    [rgb(92, 122, 54), rgb(122, 142, 72), rgb(72, 98, 58), rgb(166, 132, 62), rgb(146, 142, 82)];

/// Paints the background and returns it at full size.
pub fn backdrop(kind: Backdrop, size: u32, rng: &mut impl Rng) -> Option<Pixmap> {
    let small = (size * 3 / 8).max(8);
    let side = small as f32;
    let mut canvas = Canvas::new(small, small)?;
    let tones = TONES[rng.random_range(0..TONES.len())].map(|tone| tone.jittered(rng, 0.05));
    wash(&mut canvas, side, tones, rng);
    match kind {
        Backdrop::Foliage => foliage(&mut canvas, side, tones, rng),
        Backdrop::Bokeh => bokeh(&mut canvas, side, tones, rng),
        Backdrop::Sky => sky(&mut canvas, side, rng),
        Backdrop::Branches => branches(&mut canvas, side, tones, rng),
        Backdrop::Grass => grass(&mut canvas, side, tones, rng),
        Backdrop::Haze => haze(&mut canvas, side, tones, rng),
        Backdrop::Water => water(&mut canvas, side, rng),
    }
    let reach = match kind {
        Backdrop::Bokeh => rng.random_range(0..2),
        _ => rng.random_range(1..4),
    };
    lens::blur(&mut canvas.pixels, reach, 2);
    lens::enlarged(&canvas.pixels, size)
}

fn everything(side: f32) -> [At; 4] {
    [at(0.0, 0.0), at(side, 0.0), at(side, side), at(0.0, side)]
}

fn anywhere(side: f32, rng: &mut impl Rng) -> At {
    at(side * rng.random_range(-0.1..1.1), side * rng.random_range(-0.1..1.1))
}

/// Paints a gradient in a random direction, below everything else.
fn wash(canvas: &mut Canvas, side: f32, tones: [Colour; 3], rng: &mut impl Rng) {
    let [deep, middle, bright] = tones;
    let way = at(0.0, 1.0).turned(At::default(), rng.random_range(-1.0..1.0));
    let centre = at(0.5, 0.5) * side;
    let ends = (centre - way * (0.6 * side), centre + way * (0.6 * side));
    let stops = [
        (0.0, middle.mix(bright, rng.random_range(0.1..0.8)), 1.0),
        (1.0, middle.mix(deep, rng.random_range(0.0..0.8)), 1.0),
    ];
    canvas.blend(polygon(&everything(side)), ends, &stops);
}

fn foliage(canvas: &mut Canvas, side: f32, tones: [Colour; 3], rng: &mut impl Rng) {
    let [deep, middle, bright] = tones;
    for step in 0..46 {
        let place = anywhere(side, rng);
        let aim = at(1.0, 0.0).turned(At::default(), rng.random_range(0.0..TAU));
        let reach = side * rng.random_range(0.10..0.34);
        let share: f32 = rng.random();
        let ink = if step < 18 { deep.mix(middle, share) } else { middle.mix(bright, share * 0.8) };
        canvas.fill(leaf(place, place + aim * reach, reach * 0.27), ink, 0.62);
    }
    for _ in 0..rng.random_range(2..7) {
        canvas.glow(anywhere(side, rng), side * rng.random_range(0.08..0.25), bright, 0.55);
    }
}

fn bokeh(canvas: &mut Canvas, side: f32, tones: [Colour; 3], rng: &mut impl Rng) {
    let [deep, _, bright] = tones;
    canvas.fill(polygon(&everything(side)), deep, 0.45);
    foliage(canvas, side, tones, rng);
    lens::blur(&mut canvas.pixels, 3, 2);
    let radius = side * rng.random_range(0.03..0.08);
    for _ in 0..rng.random_range(12..34) {
        let place = anywhere(side, rng);
        let own = radius * rng.random_range(0.7..1.4);
        let ink = bright.mix(rgb(255, 250, 230), rng.random_range(0.0..0.6));
        let alpha = rng.random_range(0.08..0.42);
        canvas.fill(disc(place, own), ink, alpha * 0.7);
        canvas.fill(disc(place, own * 0.88), ink, alpha * 0.5);
    }
}

fn sky(canvas: &mut Canvas, side: f32, rng: &mut impl Rng) {
    let high = rgb(112, 152, 196).mix(rgb(176, 182, 190), rng.random()).jittered(rng, 0.05);
    let low = rgb(218, 226, 230).mix(rgb(238, 216, 186), rng.random());
    let ends = (at(0.0, 0.0), at(0.0, side));
    canvas.blend(polygon(&everything(side)), ends, &[(0.0, high, 1.0), (1.0, low, 1.0)]);
    for _ in 0..rng.random_range(0..7) {
        let radius = side * rng.random_range(0.15..0.4);
        canvas.glow(anywhere(side, rng), radius, rgb(250, 248, 244), 0.5);
    }
}

fn branches(canvas: &mut Canvas, side: f32, tones: [Colour; 3], rng: &mut impl Rng) {
    let [deep, middle, bright] = tones;
    for _ in 0..5 {
        canvas.glow(anywhere(side, rng), side * rng.random_range(0.2..0.5), bright, 0.5);
    }
    for _ in 0..rng.random_range(5..13) {
        let from = anywhere(side, rng);
        let aim = at(1.0, 0.0).turned(At::default(), rng.random_range(0.0..TAU));
        let to = from + aim * (side * rng.random_range(0.5..1.3));
        let bow = from.towards(to, 0.5) + aim.across() * (side * rng.random_range(-0.1..0.1));
        let half = side * rng.random_range(0.006..0.035);
        let ink = deep.mix(middle, rng.random_range(0.0..0.7));
        canvas.fill(limb(&[from, bow, to], half, half * 0.4), ink, 0.85);
    }
}

fn grass(canvas: &mut Canvas, side: f32, tones: [Colour; 3], rng: &mut impl Rng) {
    let [deep, middle, bright] = tones;
    for _ in 0..70 {
        let root = at(side * rng.random_range(-0.1..1.1), side * rng.random_range(0.5..1.2));
        let tall = side * rng.random_range(0.3..0.9);
        let tip = root + at(tall * rng.random_range(-0.35..0.35), -tall);
        let share: f32 = rng.random();
        let ink = deep.mix(bright, share).mix(middle, 0.4);
        let half = side * rng.random_range(0.006..0.022);
        canvas.fill(sliver(root, tip, half, side * rng.random_range(-0.08..0.08)), ink, 0.7);
    }
}

fn haze(canvas: &mut Canvas, side: f32, tones: [Colour; 3], rng: &mut impl Rng) {
    for tone in tones.into_iter().chain(tones) {
        canvas.glow(anywhere(side, rng), side * rng.random_range(0.4..0.8), tone, 0.5);
    }
}

fn water(canvas: &mut Canvas, side: f32, rng: &mut impl Rng) {
    let deep = rgb(70, 96, 108).mix(rgb(96, 104, 84), rng.random());
    let light = rgb(196, 208, 208).mix(rgb(226, 206, 172), rng.random());
    let ends = (at(0.0, 0.0), at(0.0, side));
    let stops = [(0.0, deep.mix(light, 0.7), 1.0), (1.0, deep, 1.0)];
    canvas.blend(polygon(&everything(side)), ends, &stops);
    for _ in 0..44 {
        let place = anywhere(side, rng);
        let wide = side * rng.random_range(0.05..0.25);
        let ink = if rng.random_bool(0.6) { light } else { deep.scaled(0.7) };
        canvas.fill(oval(place, wide, side * rng.random_range(0.006..0.016), 0.0), ink, 0.42);
    }
}

/// Paints a foreground object near `aim`, at half size.
pub fn cover(kind: Cover, aim: At, reach: f32, size: u32, rng: &mut impl Rng) -> Option<Canvas> {
    let mut canvas = Canvas::new(size / 2, size / 2)?;
    let (aim, reach, side) = (aim * 0.5, reach * 0.5, size as f32 * 0.5);
    let green = LEAVES[rng.random_range(0..LEAVES.len())].jittered(rng, 0.06);
    match kind {
        Cover::Leaf => leaves(&mut canvas, aim, reach, green, rng),
        Cover::Twig => {
            let way = at(1.0, 0.0).turned(At::default(), rng.random_range(0.0..PI));
            let bow = aim + way.across() * (side * 0.03);
            let rod = limb(
                &[aim - way * (1.5 * side), bow, aim + way * (1.5 * side)],
                reach * 0.06,
                reach * 0.045,
            );
            canvas.fill(rod, green.mix(rgb(84, 66, 52), 0.7), 1.0);
        }
        Cover::Blades => {
            for _ in 0..5 {
                let root = at(aim.x + reach * rng.random_range(-0.8..0.8), side * 1.05);
                let tip = at(
                    aim.x + reach * rng.random_range(-0.9..0.9),
                    aim.y - reach * rng.random_range(-0.4..0.6),
                );
                let bend = reach * rng.random_range(-0.2..0.2);
                canvas.fill(sliver(root, tip, reach * 0.040, bend), green.jittered(rng, 0.08), 1.0);
            }
        }
    }
    lens::blur(&mut canvas.pixels, rng.random_range(0..3), 2);
    Some(canvas)
}

/// Paints a few leaves that reach into the picture from one side.
fn leaves(canvas: &mut Canvas, aim: At, reach: f32, green: Colour, rng: &mut impl Rng) {
    for _ in 0..rng.random_range(1..3) {
        let way = at(1.0, 0.0).turned(At::default(), rng.random_range(0.0..TAU));
        let stalk = aim - way * (reach * rng.random_range(0.4..0.7));
        let tip = aim + way * (reach * rng.random_range(0.2..0.5));
        let half = (tip - stalk).length() * 0.26;
        let side = way.across() * half;
        let twig =
            [stalk - way * (6.0 * reach), stalk - way * reach + side, stalk, stalk + way * half];
        canvas.fill(limb(&twig, half * 0.10, half * 0.05), green.mix(rgb(84, 66, 52), 0.6), 1.0);
        let stops = [(0.0, green.scaled(1.3), 1.0), (1.0, green.scaled(0.75), 1.0)];
        canvas.blend(leaf(stalk, tip, half), (stalk - side, stalk + side), &stops);
        canvas.fill(sliver(stalk, tip, half * 0.06, 0.0), green.scaled(1.5), 0.6);
    }
}
