/*!
The pose: maps points of the bird at rest to the picture.

The head bends at the neck, the wing at the shoulder and the tail at its root. Then the whole
bird is tilted, mirrored, scaled and moved.
*/

use super::anatomy::{CONTOUR, GAPE, HEAD, NECK, SHOULDER, TAIL_ROOT, beak_form, tail_quills};
use super::plane::{At, at, bounds, ramp};
use super::scene::Stance;
use super::traits::Traits;

/// Room for the legs and the perch below the body, in units.
const LEG_ROOM: f32 = 0.30;
/// Scale, in pixels per unit, above which feather shafts are drawn.
const SHAFT_SCALE: f32 = 95.0;

/// The map from points of one bird at rest to its picture.
#[derive(Clone, Debug)]
pub struct Pose {
    stance: Stance,
    /// Pixels per unit.
    pub scale: f32,
    shift: At,
}

impl Pose {
    /// Fits a bird into a square picture according to its stance.
    pub fn new(stance: &Stance, traits: &Traits, size: f32) -> Self {
        let mut pose = Self { stance: stance.clone(), scale: 1.0, shift: at(0.0, 0.0) };
        let mut extent = pose.extent(traits);
        // Every bird gets room for a crest; otherwise the layout would reveal the species.
        extent.push(pose.body(at(0.20, -0.72)));
        let (low, high) = bounds(&extent);
        let reach = high - low;
        let tall = reach.y + LEG_ROOM;
        pose.scale = (stance.fill * size / reach.x).min(0.94 * size / tall);
        let (wide, tall) = (reach.x * pose.scale, tall * pose.scale);
        // The bird may extend slightly beyond the sides of the picture.
        let play = at(1.04 * size - wide, 0.98 * size - tall);
        let corner =
            at(play.x * stance.place.x - 0.02 * size, play.y * stance.place.y + 0.01 * size);
        pose.shift = corner - low * pose.scale;
        pose
    }

    /// Returns the outermost points of the bird in the picture.
    pub fn extent(&self, traits: &Traits) -> Vec<At> {
        let mut points: Vec<At> = CONTOUR.iter().map(|p| self.body(*p)).collect();
        points.push(self.body(GAPE + at(beak_form(&traits.beak).length, 0.0)));
        points.extend(
            tail_quills(&traits.tail, self.stance.spread).iter().map(|quill| self.tail(quill.tip)),
        );
        points
    }

    /// Returns whether the bird is large enough for feather shafts to be visible.
    pub fn shows_shafts(&self) -> bool {
        self.scale > SHAFT_SCALE
    }

    /// Returns how far the tail is spread; 1 is normal.
    pub fn spread(&self) -> f32 {
        self.stance.spread
    }

    /// Returns the direction that the bird faces: 1 for right, -1 for left.
    pub fn facing(&self) -> f32 {
        if self.stance.faces_left { -1.0 } else { 1.0 }
    }

    fn settle(&self, p: At) -> At {
        let turned = p.turned(at(0.0, 0.0), self.stance.tilt);
        at(turned.x * self.facing(), turned.y) * self.scale + self.shift
    }

    /// Thickens or thins the body across its axis, as if feathers were raised or laid flat.
    fn fluffed(&self, p: At) -> At {
        let axis = at(0.80, -0.60);
        let middle = at(-0.05, 0.0);
        let arm = p - middle;
        let along = axis * arm.dot(axis);
        let share = 1.0 - ramp(0.45, 0.75, arm.dot(axis).abs());
        middle + along + (arm - along) * (1.0 + (self.stance.fluff - 1.0) * share)
    }

    /// Maps a point of the body or head.
    pub fn body(&self, p: At) -> At {
        let share = ramp(0.06, 0.27, (p - at(0.10, -0.15)).dot(at(0.55, -0.83)));
        let q = self.fluffed(p);
        let arm = (p - HEAD) * 1.10;
        let slim = HEAD + at(arm.x * self.stance.turn, arm.y);
        let head = slim.turned(NECK, self.stance.nod);
        self.settle(q.towards(head, share))
    }

    /// Maps a point of the wing.
    pub fn wing(&self, p: At) -> At {
        self.settle(p.turned(SHOULDER, self.stance.lift))
    }

    /// Maps a point of the tail.
    pub fn tail(&self, p: At) -> At {
        self.settle(p.turned(TAIL_ROOT, self.stance.cock))
    }

    /// Maps several points of the body or head.
    pub fn bodies(&self, points: &[At]) -> Vec<At> {
        points.iter().map(|p| self.body(*p)).collect()
    }
}
