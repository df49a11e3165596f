/*!
The shape of the bird at rest, facing right: the outline and the positions of its parts.

One unit is about the length of the body without head and tail.
*/

use super::plane::{At, at};
use super::traits::{Beak, BeakShape, Tail, TailShape};

/// The silhouette without beak and tail, from the brow along the back to the throat.
pub const CONTOUR: [At; 20] = [
    at(0.478, -0.468),
    at(0.440, -0.560),
    at(0.352, -0.634),
    at(0.240, -0.648),
    at(0.142, -0.592),
    at(0.092, -0.480),
    at(0.028, -0.350),
    at(-0.135, -0.240),
    at(-0.360, -0.070),
    at(-0.560, 0.130),
    at(-0.680, 0.255),
    at(-0.640, 0.335),
    at(-0.450, 0.365),
    at(-0.200, 0.395),
    at(0.040, 0.365),
    at(0.250, 0.250),
    at(0.385, 0.070),
    at(0.446, -0.115),
    at(0.428, -0.275),
    at(0.470, -0.372),
];

/// The centre of the head.
pub const HEAD: At = at(0.275, -0.435);
/// The pivot of the head.
pub const NECK: At = at(0.190, -0.290);
/// The centre of the eye.
pub const EYE: At = at(0.352, -0.462);
/// The radius of the eye.
pub const EYE_RADIUS: f32 = 0.045;
/// The point where the beak meets the face.
pub const GAPE: At = at(0.462, -0.415);
/// The pivot of the wing.
pub const SHOULDER: At = at(0.240, -0.110);
/// The root of the tail.
pub const TAIL_ROOT: At = at(-0.590, 0.265);
/// The direction of the tail.
pub const TAIL_WAY: At = at(-0.838, 0.545);
/// The hips, where the legs leave the body: the near one and the far one.
pub const HIPS: [At; 2] = [at(-0.020, 0.350), at(-0.170, 0.365)];

/// The front edge of the breast from throat to flank. Markings follow it.
pub const BREAST_EDGE: [At; 6] = [
    at(0.430, -0.260),
    at(0.425, -0.100),
    at(0.365, 0.080),
    at(0.230, 0.245),
    at(0.030, 0.345),
    at(-0.180, 0.375),
];

/// The region of the breast that defines its box.
pub const BREAST_AREA: [At; 6] = [
    at(0.430, -0.230),
    at(0.438, -0.120),
    at(0.385, 0.070),
    at(0.250, 0.250),
    at(0.060, 0.330),
    at(0.200, -0.060),
];

/// The region of the head that defines the box of the crown.
pub const CROWN_AREA: [At; 7] = [
    at(0.470, -0.470),
    at(0.435, -0.560),
    at(0.345, -0.632),
    at(0.230, -0.638),
    at(0.120, -0.575),
    at(0.050, -0.470),
    at(0.300, -0.520),
];

/// The tips of the first and the last feather of a crest.
pub const CREST_TIPS: [At; 2] = [at(0.310, -0.655), at(-0.040, -0.640)];

/// Returns a point of the breast: `along` from throat to flank, `depth` inwards from the edge.
pub fn on_breast(along: f32, depth: f32) -> At {
    let place = along.clamp(0.0, 0.999) * (BREAST_EDGE.len() - 1) as f32;
    let first = place as usize;
    let pick = |i: usize| BREAST_EDGE.get(i).copied().unwrap_or_default();
    let edge = pick(first).towards(pick(first + 1), place.fract());
    edge.towards(at(0.06, -0.06), depth)
}

/// Returns the direction of the feathers at `p`: away from the beak, then along the body.
pub fn flow(p: At) -> At {
    let away = (p - GAPE).unit();
    let share = super::plane::ramp(0.25, 0.85, (p - GAPE).length());
    away.towards(at(-0.88, 0.47), share).unit()
}

/// Returns how far `p` lies below the line between upper parts and underparts.
pub fn under(p: At) -> f32 {
    const LINE: [At; 7] = [
        at(-0.70, 0.30),
        at(-0.45, 0.225),
        at(-0.15, 0.130),
        at(0.12, -0.060),
        at(0.24, -0.250),
        at(0.36, -0.365),
        at(0.50, -0.400),
    ];
    let line = LINE
        .windows(2)
        .find_map(|pair| match pair {
            [a, b] if p.x < b.x => Some(a.towards(*b, ((p.x - a.x) / (b.x - a.x)).max(0.0)).y),
            _ => None,
        })
        .unwrap_or(-0.40);
    p.y - line
}

/// A tail feather: root, tip and half width.
#[derive(Clone, Copy, Debug)]
pub struct Quill {
    pub root: At,
    pub tip: At,
    pub half_width: f32,
}

/// Returns the tail feathers, outermost first; `spread` opens the fan.
pub fn tail_quills(tail: &Tail, spread: f32) -> Vec<Quill> {
    let length = if tail.long { 0.78 } else { 0.46 };
    let across = TAIL_WAY.across();
    [-1.0_f32, 1.0, -0.66, 0.66, -0.33, 0.33, 0.0]
        .into_iter()
        .map(|place| {
            let outer = place.abs();
            let cut = match tail.shape {
                TailShape::Square => 0.02 * outer,
                TailShape::Forked => 0.42 * (1.0 - outer),
                TailShape::Rounded => 0.40 * outer * outer,
            };
            let reach = length * (1.0 - cut);
            let root = TAIL_ROOT + across * (0.035 * place);
            let aim = TAIL_WAY + across * (place * 0.21 * spread);
            Quill { root, tip: root + aim.unit() * reach, half_width: 0.034 }
        })
        .collect()
}

/// The measures of a beak: length, half depth at the root, droop of the tip, and hook.
pub struct BeakForm {
    pub length: f32,
    pub depth: f32,
    pub droop: f32,
    pub hook: f32,
}

/// Returns the measures of a beak.
pub fn beak_form(beak: &Beak) -> BeakForm {
    let (length, depth, droop, hook) = match beak.shape {
        BeakShape::Fine => (0.170, 0.036, 0.005, 0.0),
        BeakShape::Conical => (0.195, 0.083, 0.012, 0.0),
        BeakShape::Long => (0.380, 0.042, 0.010, 0.0),
        BeakShape::Curved => (0.380, 0.044, 0.135, 0.0),
        BeakShape::Hooked => (0.235, 0.060, 0.030, 0.045),
    };
    BeakForm { length, depth, droop, hook }
}
